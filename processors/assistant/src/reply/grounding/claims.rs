//! Grounding check of claims about the shop: discounts, delivery, stock, and what it sells.

use jangbogo_events::RecommendedProduct;

use super::{Sentence, Ungrounded, find_phrase, is_placeholder, spaced};

/// Claims that no recommendation supports.
#[rustfmt::skip]
const UNSUPPORTED: &[&str] = &[
    "discount", "discounts", "discounted", "sale", "deal", "deals", "bargain", "promotion", "promo", "coupon",
    "coupons", "half price", "price cut", "reduced", "special offer", "for free", "free of charge", "free gift",
    "free shipping", "free delivery", "is free", "are free", "all free", "costs nothing", "cost nothing", "cheapest",
    "lowest price", "best price", "off today", "off now", "delivery", "deliver", "delivers", "delivered", "shipping",
    "ships", "shipped", "dispatch", "warranty", "guarantee", "guaranteed", "refund", "refunds", "restock", "restocked",
    "limited", "remaining", "last one", "last few", "selling fast", "sells fast", "bestseller", "best seller", "http",
    "https", "www",
];
#[rustfmt::skip]
const KOREAN_UNSUPPORTED: &[&str] = &[
    "할인", "세일", "특가", "반값", "무료", "공짜", "쿠폰", "증정", "사은품", "최저가", "가장 저렴", "제일 저렴", "가장 싼", "제일 싼", "배송", "배달", "환불",
    "보증", "한정", "입고", "얼마 남지", "몇 개 남", "남았", "남아 있", "서두르",
];
const IN_STOCK: &[&str] = &["in stock", "재고"];
const SOLD_OUT: &[&str] = &["out of stock", "sold out", "unavailable", "품절", "매진"];
const ON_SALE: &[&str] = &["available", "판매 중", "판매중"];
const DENIALS: &[&str] = &["no", "not", "none", "nothing", "isnt", "arent", "never", "longer"];
const KOREAN_DENIALS: &[&str] = &["없", "아니", "않", "못"];
/// Phrases that claim that the shop has what follows.
#[rustfmt::skip]
const POSSESSION: &[&str] = &[
    "we have", "weve got", "we also have", "we do have", "we sell", "we also sell", "we carry", "we stock", "we offer",
    "we also offer", "i have a", "i have one", "i have it", "i also have", "there is a", "theres a", "there are",
    "here it is", "try our", "our", "the shop has", "the shop also has", "the shop sells", "you can buy",
    "you can also buy", "you can get",
];
/// Uses of "our" that claim no product.
#[rustfmt::skip]
const OUR_SHOP: &[&str] = &[
    "our shop", "our store", "our catalogue", "our catalog", "our selection", "our range", "our list", "our collection",
];
#[rustfmt::skip]
const KOREAN_POSSESSION: &[&str] = &[
    "있어요", "있습니다", "있답니다", "있고요", "팔아요", "팔고", "판매합니다", "판매해요", "판매하고", "보유", "갖추고", "준비되어", "준비돼",
];

pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let (words, text) = (spaced(sentence.text), sentence.text);
    let claim = find_phrase(&words, UNSUPPORTED)
        .or_else(|| find_substring(text, KOREAN_UNSUPPORTED))
        .or_else(|| few_left(&words));
    if let Some(claim) = claim {
        return Err(Ungrounded::Claim(claim.to_owned()));
    }
    // "[1] is in stock, but [2] is not": each clause is about the products it names.
    let mut antecedent = sentence.antecedent;
    for clause in text.split([',', ';']).flat_map(|clause| clause.split(" but ")) {
        let clause = Sentence { text: clause, antecedent, ..*sentence };
        check_stock(&clause, &spaced(clause.text))?;
        antecedent = clause.subject();
    }
    check_possession(sentence, &words)
}

fn find_substring(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().copied().find(|word| text.contains(word))
}

/// Finds "only two left", but not "I left out plastic".
fn few_left(words: &str) -> Option<&'static str> {
    let is_claimed = words.match_indices(" left ").any(|(position, phrase)| {
        let behind = &words[position + phrase.len()..];
        !["out ", "aside ", "off ", "over "].iter().any(|other| behind.starts_with(other))
    });
    is_claimed.then_some("left")
}

fn check_stock(sentence: &Sentence<'_>, words: &str) -> Result<(), Ungrounded> {
    let find = |phrases| find_phrase(words, phrases).or_else(|| find_substring(sentence.text, phrases));
    let is_denied = find_phrase(words, DENIALS).or_else(|| find_substring(sentence.text, KOREAN_DENIALS)).is_some();
    let all = |condition: fn(&RecommendedProduct) -> bool| {
        let mut products = sentence.products(sentence.subject()).peekable();
        products.peek().is_some() && products.all(condition)
    };
    let is_sold_out = |product: &RecommendedProduct| product.stock == Some(0);
    let false_claim = if let Some(claim) = find(SOLD_OUT) {
        (is_denied || !all(is_sold_out)).then_some(claim)
    } else if let Some(claim) = find(IN_STOCK) {
        let is_true =
            if is_denied { all(is_sold_out) } else { all(|product| product.stock.is_some_and(|stock| stock > 0)) };
        (!is_true).then_some(claim)
    } else {
        find(ON_SALE).filter(|_| !is_denied && !all(|product| product.stock != Some(0)))
    };
    false_claim.map_or(Ok(()), |claim| Err(Ungrounded::Stock(claim.to_owned())))
}

/// A claim that the shop has something must name a product or be a denial.
fn check_possession(sentence: &Sentence<'_>, words: &str) -> Result<(), Ungrounded> {
    let words = OUR_SHOP.iter().fold(words.to_owned(), |words, phrase| words.replace(&format!(" {phrase} "), " "));
    let text = sentence.text.replace("수 있", "");
    let is_question = text.trim_end().ends_with('?');
    let claim =
        find_phrase(&words, POSSESSION).or_else(|| find_substring(&text, KOREAN_POSSESSION).filter(|_| !is_question));
    let is_denied = find_phrase(&words, DENIALS).or_else(|| find_substring(&text, &["없", "못"])).is_some();
    let is_named = text.contains(is_placeholder) || text.contains("재고");
    match claim {
        Some(claim) if !is_denied && !is_named => Err(Ungrounded::Claim(claim.to_owned())),
        _ => Ok(()),
    }
}
