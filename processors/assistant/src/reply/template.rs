//! Answers in words of ours, in the shopper's language: made from nothing but the recommendation.

use jangbogo_events::{Intent, ProductId, RecommendationGenerated, RecommendedProduct, Wish};
use jangbogo_ranking::{Language, money, named};

/// So many products are named in an answer; the list beside it has them all.
const NAMED: usize = 3;

/// The answer, and the products it names.
#[must_use]
pub fn write(given: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let language = Language::from_tag(&given.understood.language);
    match given.understood.intent {
        Intent::SmallTalk => (small_talk(language), Vec::new()),
        Intent::Other => (other(language), Vec::new()),
        Intent::RetractPreference => after(forgotten(language, given), language, given),
        Intent::StatePreference => after(noted(language, given), language, given),
        _ if !given.request.like.is_empty() => about(language, given),
        _ if given.items.is_empty() => (nothing(language, given), Vec::new()),
        _ => listed(language, given),
    }
}

/// What was said first, and the products that fit what is looked for by now, if there are any.
fn after(said: String, language: Language, given: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    if given.items.is_empty() {
        return (said, Vec::new());
    }
    let (list, named) = listed(language, given);
    (format!("{said}\n{list}"), named)
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

fn forgotten(language: Language, given: &RecommendationGenerated) -> String {
    let retracted = given.understood.retracted.iter();
    let values: Vec<&str> = retracted.map(|back| named(language, &back.slot, &back.value)).collect();
    let values = values.join(", ");
    match language {
        Language::English if values.is_empty() => "All right, I will not count that any more.".to_owned(),
        Language::English => format!("All right, I will not count {values} any more."),
        Language::Korean if values.is_empty() => "알겠습니다. 더 이상 반영하지 않을게요.".to_owned(),
        Language::Korean => format!("알겠습니다. 더 이상 반영하지 않을게요: {values}"),
    }
}

fn noted(language: Language, given: &RecommendationGenerated) -> String {
    let said = |wanted: bool| {
        let wishes = given.understood.wishes.iter().filter(|wish| wish.wanted == wanted);
        wishes.map(|wish| named(language, &wish.slot, &wish.value)).collect::<Vec<_>>().join(", ")
    };
    let (liked, disliked) = (said(true), said(false));
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

fn nothing(language: Language, given: &RecommendationGenerated) -> String {
    let limit =
        given.request.price.as_ref().and_then(|price| Some(money(language, price.max_minor?, price.currency.as_str())));
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

/// What is known of the products that were asked about.
fn about(language: Language, given: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let asked: Vec<&RecommendedProduct> =
        given.items.iter().filter(|item| given.request.like.contains(&item.product_id)).take(NAMED).collect();
    if asked.is_empty() {
        return if given.items.is_empty() { (nothing(language, given), Vec::new()) } else { listed(language, given) };
    }
    let told: Vec<String> = asked.iter().map(|item| facts(language, item)).collect();
    (told.join("\n"), asked.iter().map(|item| item.product_id.clone()).collect())
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

/// The first products, and that none has all that was asked for, if that is so.
fn listed(language: Language, given: &RecommendationGenerated) -> (String, Vec<ProductId>) {
    let mut lines = vec![lacking(language, given).unwrap_or_else(|| {
        match language {
            Language::English => "This is what I would look at:",
            Language::Korean => "이런 상품은 어떠세요?",
        }
        .to_owned()
    })];
    let items = &given.items[..given.items.len().min(NAMED)];
    for (place, item) in items.iter().enumerate() {
        let price =
            item.price.map(|price| format!(", {}", money(language, price.amount_minor, price.currency.as_str())));
        lines.push(format!("{}. {}{} ({})", place + 1, &*item.title, price.unwrap_or_default(), &*item.reason));
    }
    (lines.join("\n"), items.iter().map(|item| item.product_id.clone()).collect())
}

fn lacking(language: Language, given: &RecommendationGenerated) -> Option<String> {
    // What things are for, and what they feel like, products seldom say.
    let is_told = |wish: &&Wish| !matches!(&*wish.slot, "occasion" | "style");
    let mut told = given.lacking.iter().filter(is_told).peekable();
    told.peek()?;
    // A message may hold anything: only what the lexicon knows is said again.
    let known = told.filter(|wish| jangbogo_lexicon::in_korean(&wish.slot, &wish.value).is_some());
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

    fn given(intent: Intent, language: &str) -> RecommendationGenerated {
        let mut given = RecommendationGenerated::example();
        given.understood.intent = intent;
        given.understood.language = Text::new(language).unwrap();
        given
    }

    #[test]
    fn an_answer_names_products_with_price_and_reason_in_the_shoppers_language() {
        let (english, named) = write(&given(Intent::FindProduct, "en"));
        assert!(english.contains("1. LUNCH BAG RED RETROSPOT, £1.65 (red, under 3 pounds"), "{english}");
        assert_eq!(named.len(), 1);
        let (korean, _) = write(&given(Intent::FindProduct, "ko"));
        assert!(korean.starts_with("이런 상품은 어떠세요?") && korean.contains("1.65파운드"), "{korean}");
    }

    #[test]
    fn a_question_about_a_product_is_answered_with_price_and_stock() {
        let mut asked = given(Intent::AskAboutProduct, "ko");
        asked.request.like = vec![asked.items[0].product_id.clone()];
        asked.items[0].stock = Some(7);
        assert_eq!(write(&asked).0, "LUNCH BAG RED RETROSPOT: 가격 1.65파운드, 재고 7개 있습니다.");
        asked.items[0].stock = Some(0);
        assert!(write(&asked).0.contains("품절"));
    }

    #[test]
    fn nothing_found_says_by_which_price() {
        let mut empty = given(Intent::FindProduct, "en");
        empty.items.clear();
        assert_eq!(
            write(&empty),
            ("I found nothing that fits for £3.00 or less. Shall I look above that?".to_owned(), vec![])
        );
    }

    #[test]
    fn what_no_product_has_is_said() {
        let (mut english, mut korean) = (given(Intent::FindProduct, "en"), given(Intent::FindProduct, "ko"));
        let wish =
            |slot, value| Wish { slot: Text::new(slot).unwrap(), value: Text::new(value).unwrap(), wanted: true };
        english.lacking =
            vec![wish("color", "blue"), wish("material", "zinc"), wish("occasion", "wedding"), wish("brand", "acme")];
        korean.lacking.clone_from(&english.lacking);
        for (given, begins) in [
            (english, "I found nothing with all of that: no blue, no zinc. This comes closest:\n1. LUNCH BAG"),
            (korean, "말씀하신 파랑, 아연 상품은 찾지 못했어요. 가장 가까운 상품이에요:\n1. LUNCH BAG"),
        ] {
            let (text, _) = write(&given);
            assert!(text.starts_with(begins), "{text}");
            assert_eq!(check(&text, &given), Ok(()));
        }
    }

    #[test]
    fn every_answer_says_what_is_so() {
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
                    let mut given = given(intent, language);
                    given.items.truncate(items);
                    let (text, _) = write(&given);
                    assert_eq!(check(&text, &given), Ok(()), "{text}");
                }
            }
        }
    }
}
