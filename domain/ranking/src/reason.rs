//! Reasons for recommendations, in the shopper's language.

use jangbogo_events::Request;

use crate::rank::{Evidence, RankedItem};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    #[default]
    English,
    Korean,
}

impl Language {
    /// Language of a BCP 47 tag; English for any but Korean.
    #[must_use]
    pub fn from_tag(tag: &str) -> Self {
        if tag == "ko" || tag.starts_with("ko-") { Self::Korean } else { Self::English }
    }
}

/// Most reasons of one item, besides wishes and the price limit.
const MAX_REASONS: usize = 2;

/// Reason of an item: its strongest evidence in words. `title` maps a product's id to its title.
#[must_use]
pub fn reason<'a>(
    language: Language,
    request: Option<&Request>,
    item: &'a RankedItem,
    title: impl Fn(&'a str) -> &'a str,
) -> String {
    let requested: Vec<&str> = item
        .sources
        .iter()
        .filter_map(|evidence| match evidence {
            Evidence::Asked { slot, value } => Some(named(language, slot, value)),
            _ => None,
        })
        .collect();
    let mut parts = Vec::new();
    if !requested.is_empty() {
        parts.push(match language {
            Language::English => format!("{} as you asked", requested.join(", ")),
            Language::Korean => format!("찾으시는 {} 상품", requested.join(", ")),
        });
    }
    if let Some(limit) = request
        .and_then(|request| request.price.as_ref())
        .and_then(|price| Some(money(language, price.max_minor?, price.currency.as_str())))
    {
        parts.push(match language {
            Language::English => format!("not over {limit}"),
            Language::Korean => format!("{limit} 이하"),
        });
    }
    let others = item.sources.iter().filter_map(|evidence| phrase(language, evidence, &title));
    parts.extend(others.take(MAX_REASONS));
    if parts.is_empty() {
        return match language {
            Language::English => "chosen for you".to_owned(),
            Language::Korean => "추천 상품".to_owned(),
        };
    }
    parts.join(if language == Language::English { "; " } else { ", " })
}

fn phrase<'a>(language: Language, evidence: &'a Evidence, title: impl Fn(&'a str) -> &'a str) -> Option<String> {
    let is_english = language == Language::English;
    Some(match evidence {
        Evidence::Asked { .. } => return None,
        Evidence::Neighbour { product_id, bought, .. } => {
            let title = title(product_id);
            match (is_english, bought) {
                (true, true) => format!("often bought with {title}, which you bought"),
                (true, false) => format!("often bought with {title}, which you looked at"),
                (false, true) => format!("구매하신 {title} 상품과 함께 많이 구매"),
                (false, false) => format!("보신 {title} 상품과 함께 많이 구매"),
            }
        }
        Evidence::Popular { category } => {
            let category = category.replace('-', " ");
            if is_english { format!("popular in {category}") } else { format!("{category} 인기 상품") }
        }
        Evidence::Trending => (if is_english { "trending now" } else { "지금 인기" }).to_owned(),
        Evidence::Liked { slot, value } => {
            let value = named(language, slot, value);
            if is_english {
                format!("{value}, which you said you like")
            } else {
                format!("좋아하신다고 한 {value}")
            }
        }
        Evidence::LikeRequest => {
            (if is_english { "close to what you describe" } else { "말씀하신 내용과 비슷함" }).to_owned()
        }
        Evidence::LikeHistory => (if is_english {
            "like what you bought or looked at"
        } else {
            "보거나 구매하신 상품과 비슷함"
        })
        .to_owned(),
    })
}

/// Name of a value in a language; the value itself if the lexicon has no word for it.
#[must_use]
pub fn named<'a>(language: Language, slot: &str, value: &'a str) -> &'a str {
    match language {
        Language::English => value,
        Language::Korean => jangbogo_lexicon::in_korean(slot, value).unwrap_or(value),
    }
}

/// Formats an amount: `£3.00`, `3.00파운드`; with the ISO 4217 code for other than the common currencies.
#[must_use]
pub fn money(language: Language, amount_minor: i64, currency: &str) -> String {
    let (units, cents) = (amount_minor / 100, (amount_minor % 100).abs());
    match (currency, language) {
        ("GBP", Language::English) => format!("£{units}.{cents:02}"),
        ("GBP", Language::Korean) => format!("{units}.{cents:02}파운드"),
        ("USD", Language::English) => format!("${units}.{cents:02}"),
        ("USD", Language::Korean) => format!("{units}.{cents:02}달러"),
        ("EUR", Language::English) => format!("€{units}.{cents:02}"),
        ("EUR", Language::Korean) => format!("{units}.{cents:02}유로"),
        ("KRW", Language::English) => format!("₩{amount_minor}"),
        ("KRW", Language::Korean) => format!("{amount_minor}원"),
        ("JPY", _) => format!("¥{amount_minor}"),
        _ => format!("{units}.{cents:02} {currency}"),
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Currency, PriceRange};

    use super::*;

    fn item(sources: Vec<Evidence>) -> RankedItem {
        RankedItem {
            product_id: "1".to_owned(),
            score: 1.0,
            content: 0.0,
            collaborative: 0.0,
            intent: 0.0,
            sources,
            causes: Vec::new(),
        }
    }

    fn neighbour(bought: bool) -> Evidence {
        Evidence::Neighbour { product_id: "20725".to_owned(), bought, contribution: 1.0 }
    }

    #[test]
    fn reasons_are_written_in_both_languages() {
        let popular = || Evidence::Popular { category: "lunch-bags".to_owned() };
        for (sources, english, korean) in [
            (
                vec![neighbour(true), popular()],
                "often bought with LUNCH BAG, which you bought; popular in lunch bags",
                "구매하신 LUNCH BAG 상품과 함께 많이 구매, lunch bags 인기 상품",
            ),
            (
                vec![neighbour(false)],
                "often bought with LUNCH BAG, which you looked at",
                "보신 LUNCH BAG 상품과 함께 많이 구매",
            ),
            (vec![Evidence::Trending], "trending now", "지금 인기"),
            (Vec::new(), "chosen for you", "추천 상품"),
        ] {
            let item = item(sources);
            assert_eq!(reason(Language::English, None, &item, |_| "LUNCH BAG"), english);
            assert_eq!(reason(Language::Korean, None, &item, |_| "LUNCH BAG"), korean);
        }
    }

    #[test]
    fn requested_values_come_first() {
        let currency = Currency::new("GBP").unwrap();
        let price = Some(PriceRange { min_minor: None, max_minor: Some(300), currency });
        let request = Request { price, ..Request::default() };
        let requested = Evidence::Asked { slot: "color".to_owned(), value: "red".to_owned() };
        let item = item(vec![Evidence::Trending, requested]);
        let text = reason(Language::English, Some(&request), &item, |id| id);
        assert_eq!(text, "red as you asked; not over £3.00; trending now");
        let text = reason(Language::Korean, Some(&request), &item, |id| id);
        assert_eq!(text, "찾으시는 빨강 상품, 3.00파운드 이하, 지금 인기");
    }

    #[test]
    fn money_is_formatted_by_currency_and_language() {
        assert_eq!(money(Language::English, 165, "GBP"), "£1.65");
        assert_eq!(money(Language::Korean, 30_000, "KRW"), "30000원");
        assert_eq!(money(Language::English, 105, "CHF"), "1.05 CHF");
    }
}
