//! The template reply: fixed sentences in the shopper's language, filled in from the recommendation alone.

use jangbogo_events::{Intent, ProductId, RecommendationGenerated, RecommendedProduct, Wish};
use jangbogo_ranking::{Language, money, named};

/// Maximum number of products named in a reply; the recommendation beside it has them all.
const MAX_PRODUCTS: usize = 3;

/// Writes the reply; returns it with the products it names.
#[must_use]
pub fn template_reply(recommendation: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let language = Language::from_tag(&recommendation.understood.language);
    match recommendation.understood.intent {
        Intent::SmallTalk => (small_talk(language), Vec::new()),
        Intent::Other => (other(language), Vec::new()),
        Intent::RetractPreference => with_list(retraction(language, recommendation), language, recommendation),
        Intent::StatePreference => with_list(preferences(language, recommendation), language, recommendation),
        _ if recommendation.items.is_empty() => (nothing_found(language, recommendation), Vec::new()),
        _ if !recommendation.request.like.is_empty() => product_facts(language, recommendation),
        _ => product_list(language, recommendation),
    }
}

/// An acknowledgement, followed by the recommended products, if there are any.
fn with_list(
    acknowledgement: String,
    language: Language,
    recommendation: &RecommendationGenerated,
) -> (String, Vec<ProductId>) {
    if recommendation.items.is_empty() {
        return (acknowledgement, Vec::new());
    }
    let (list, product_ids) = product_list(language, recommendation);
    (format!("{acknowledgement}\n{list}"), product_ids)
}

fn small_talk(language: Language) -> String {
    match language {
        Language::English => "Glad to help! Tell me what you are looking for and I will find it.",
        Language::Korean => "네, 도와드릴게요! 찾으시는 상품을 말씀해 주시면 찾아드릴게요.",
    }
    .to_owned()
}

pub(super) fn other(language: Language) -> String {
    match language {
        Language::English => "I can help you find products in this shop. What are you looking for?",
        Language::Korean => "저는 이 쇼핑몰의 상품을 찾아드릴 수 있어요. 어떤 상품을 찾으세요?",
    }
    .to_owned()
}

fn retraction(language: Language, recommendation: &RecommendationGenerated) -> String {
    let retracted = recommendation.understood.retracted.iter();
    let values: Vec<&str> = retracted.map(|value| named(language, &value.slot, &value.value)).collect();
    let values = values.join(", ");
    match language {
        Language::English if values.is_empty() => "All right, I will not count that any more.".to_owned(),
        Language::English => format!("All right, I will not count {values} any more."),
        Language::Korean if values.is_empty() => "알겠습니다. 더 이상 반영하지 않을게요.".to_owned(),
        Language::Korean => format!("알겠습니다. 더 이상 반영하지 않을게요: {values}"),
    }
}

fn preferences(language: Language, recommendation: &RecommendationGenerated) -> String {
    let values = |wanted: bool| {
        let wishes = recommendation.understood.wishes.iter().filter(|wish| wish.wanted == wanted);
        wishes.map(|wish| named(language, &wish.slot, &wish.value)).collect::<Vec<_>>().join(", ")
    };
    let (liked, disliked) = (values(true), values(false));
    let mut parts = Vec::new();
    match language {
        Language::English => {
            parts.push("Noted.".to_owned());
            parts.extend((!liked.is_empty()).then(|| format!("You like: {liked}.")));
            parts.extend((!disliked.is_empty()).then(|| format!("Not for you: {disliked}.")));
        }
        Language::Korean => {
            parts.push("기억해 둘게요.".to_owned());
            parts.extend((!liked.is_empty()).then(|| format!("좋아하시는 것: {liked}.")));
            parts.extend((!disliked.is_empty()).then(|| format!("제외할 것: {disliked}.")));
        }
    }
    parts.join(" ")
}

fn nothing_found(language: Language, recommendation: &RecommendationGenerated) -> String {
    let price = recommendation.request.price.as_ref();
    let limit = price.and_then(|price| Some(money(language, price.max_minor?, price.currency.as_str())));
    match (language, limit) {
        (Language::English, None) => "I found nothing that fits. Shall I look without one of your wishes?".to_owned(),
        (Language::English, Some(limit)) => {
            format!("I found nothing that fits for {limit} or less. Shall I look above that?")
        }
        (Language::Korean, None) => "조건에 맞는 상품을 찾지 못했어요. 조건을 조금 바꿔 볼까요?".to_owned(),
        (Language::Korean, Some(limit)) => {
            format!("{limit} 이하로 조건에 맞는 상품을 찾지 못했어요. 가격을 조금 올려 볼까요?")
        }
    }
}

/// Price and stock of the products that the message asks about; the list if none of them is recommended.
fn product_facts(language: Language, recommendation: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let is_asked = |item: &&RecommendedProduct| recommendation.request.like.contains(&item.product_id);
    let products: Vec<_> = recommendation.items.iter().filter(is_asked).take(MAX_PRODUCTS).collect();
    if products.is_empty() {
        return product_list(language, recommendation);
    }
    let lines: Vec<String> = products.iter().map(|item| facts(language, item)).collect();
    (lines.join("\n"), products.iter().map(|item| item.product_id.clone()).collect())
}

fn facts(language: Language, item: &RecommendedProduct) -> String {
    let title = &*item.title;
    let price = item.price.map(|price| money(language, price.amount_minor, price.currency.as_str()));
    match language {
        Language::English => {
            let price = price.map_or_else(|| "I do not know its price".to_owned(), |price| format!("it costs {price}"));
            match item.stock {
                Some(0) => format!("{title}: {price}; it is sold out."),
                Some(stock) => format!("{title}: {price}; {stock} in stock."),
                None => format!("{title}: {price}; it can be ordered."),
            }
        }
        Language::Korean => {
            let price = price.map_or_else(|| "가격 정보 없음".to_owned(), |price| format!("가격 {price}"));
            match item.stock {
                Some(0) => format!("{title}: {price}, 품절입니다."),
                Some(stock) => format!("{title}: {price}, 재고 {stock}개 있습니다."),
                None => format!("{title}: {price}, 주문하실 수 있습니다."),
            }
        }
    }
}

/// The first products with prices and reasons, after the constraints that no product meets.
fn product_list(language: Language, recommendation: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let mut lines = vec![unmet_constraints(language, recommendation).unwrap_or_else(|| {
        match language {
            Language::English => "This is what I would look at:",
            Language::Korean => "이런 상품은 어떠세요?",
        }
        .to_owned()
    })];
    let items = &recommendation.items[..recommendation.items.len().min(MAX_PRODUCTS)];
    for (index, item) in items.iter().enumerate() {
        let price =
            item.price.map(|price| format!(", {}", money(language, price.amount_minor, price.currency.as_str())));
        lines.push(format!("{}. {}{} ({})", index + 1, &*item.title, price.unwrap_or_default(), &*item.reason));
    }
    (lines.join("\n"), items.iter().map(|item| item.product_id.clone()).collect())
}

fn unmet_constraints(language: Language, recommendation: &RecommendationGenerated) -> Option<String> {
    // Catalogues seldom have occasion and style, so that products without them may still fit.
    let is_reported = |wish: &&Wish| !matches!(&*wish.slot, "occasion" | "style");
    let mut unmet = recommendation.lacking.iter().filter(is_reported).peekable();
    unmet.peek()?;
    // A message is untrusted text: only values of the lexicon are repeated.
    let known = unmet.filter(|wish| jangbogo_lexicon::in_korean(&wish.slot, &wish.value).is_some());
    let known: Vec<&str> = known.map(|wish| named(language, &wish.slot, &wish.value)).collect();
    Some(match language {
        Language::English if known.is_empty() => "I found nothing with all of that. This comes closest:".to_owned(),
        Language::English => {
            format!("I found nothing with all of that: no {}. This comes closest:", known.join(", no "))
        }
        Language::Korean if known.is_empty() => {
            "말씀하신 조건에 모두 맞는 상품은 찾지 못했어요. 가장 가까운 상품이에요:".to_owned()
        }
        Language::Korean => format!("말씀하신 {} 상품은 찾지 못했어요. 가장 가까운 상품이에요:", known.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Payload as _, Text};

    use super::*;
    use crate::reply::grounding::check;

    fn recommendation(intent: Intent, language: &str) -> RecommendationGenerated {
        let mut recommendation = RecommendationGenerated::example();
        recommendation.understood.intent = intent;
        recommendation.understood.language = Text::new(language).unwrap();
        recommendation
    }

    #[test]
    fn a_reply_names_products_with_price_and_reason_in_the_shoppers_language() {
        let (english, product_ids) = template_reply(&recommendation(Intent::FindProduct, "en"));
        assert!(english.contains("1. LUNCH BAG RED RETROSPOT, £1.65 (red, under 3 pounds"), "{english}");
        assert_eq!(product_ids.len(), 1);
        let (korean, _) = template_reply(&recommendation(Intent::FindProduct, "ko"));
        assert!(korean.starts_with("이런 상품은 어떠세요?") && korean.contains("1.65파운드"), "{korean}");
    }

    #[test]
    fn a_question_about_a_product_is_answered_with_price_and_stock() {
        let mut question = recommendation(Intent::AskAboutProduct, "ko");
        question.request.like = vec![question.items[0].product_id.clone()];
        question.items[0].stock = Some(7);
        assert_eq!(template_reply(&question).0, "LUNCH BAG RED RETROSPOT: 가격 1.65파운드, 재고 7개 있습니다.");
        question.items[0].stock = Some(0);
        assert!(template_reply(&question).0.contains("품절"));
    }

    #[test]
    fn a_reply_without_products_names_the_price_limit() {
        let mut empty = recommendation(Intent::FindProduct, "en");
        empty.items.clear();
        assert_eq!(
            template_reply(&empty),
            ("I found nothing that fits for £3.00 or less. Shall I look above that?".to_owned(), vec![])
        );
    }

    #[test]
    fn constraints_that_no_product_meets_are_named() {
        let (mut english, mut korean) =
            (recommendation(Intent::FindProduct, "en"), recommendation(Intent::FindProduct, "ko"));
        let wish =
            |slot, value| Wish { slot: Text::new(slot).unwrap(), value: Text::new(value).unwrap(), wanted: true };
        english.lacking =
            vec![wish("color", "blue"), wish("material", "zinc"), wish("occasion", "wedding"), wish("brand", "acme")];
        korean.lacking.clone_from(&english.lacking);
        for (recommendation, begins) in [
            (english, "I found nothing with all of that: no blue, no zinc. This comes closest:\n1. LUNCH BAG"),
            (korean, "말씀하신 파랑, 아연 상품은 찾지 못했어요. 가장 가까운 상품이에요:\n1. LUNCH BAG"),
        ] {
            let (text, _) = template_reply(&recommendation);
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(check(&text, &recommendation), Ok(()));
        }
    }

    #[test]
    fn every_template_reply_is_grounded() {
        for intent in [
            Intent::FindProduct,
            Intent::RefineSearch,
            Intent::AskAboutProduct,
            Intent::StatePreference,
            Intent::RetractPreference,
            Intent::SmallTalk,
            Intent::Other,
        ] {
            for language in ["ko", "en"] {
                for items in [0, 1] {
                    let mut recommendation = recommendation(intent, language);
                    recommendation.items.truncate(items);
                    let (text, _) = template_reply(&recommendation);
                    assert_eq!(check(&text, &recommendation), Ok(()), "{text}");
                }
            }
        }
    }
}
