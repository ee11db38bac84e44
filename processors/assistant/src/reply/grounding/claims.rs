//! What an answer says the shop has, does and gives.

use jangbogo_events::RecommendedProduct;

use super::{Sentence, Ungrounded, is_mark, says, spaced};

/// Claims that no recommendation supports.
#[rustfmt::skip]
const NEVER: &[&str] = &[
    "discount", "discounts", "discounted", "sale", "deal", "deals", "bargain", "promotion", "promo", "coupon", "coupons",
    "half price", "price cut", "reduced", "special offer", "for free", "free of charge", "free gift", "free shipping",
    "free delivery", "is free", "are free", "all free", "costs nothing", "cost nothing", "cheapest", "lowest price",
    "best price", "off today", "off now", "delivery", "deliver", "delivers", "delivered", "shipping", "ships", "shipped",
    "dispatch", "warranty", "guarantee", "guaranteed", "refund", "refunds", "restock", "restocked", "limited", "remaining",
    "last one", "last few", "selling fast", "sells fast", "bestseller", "best seller", "http", "https", "www",
];
const NEVER_IN_KOREAN: &[&str] = &[
    "할인",
    "세일",
    "특가",
    "반값",
    "무료",
    "공짜",
    "쿠폰",
    "증정",
    "사은품",
    "최저가",
    "가장 저렴",
    "제일 저렴",
    "가장 싼",
    "제일 싼",
    "배송",
    "배달",
    "환불",
    "보증",
    "한정",
    "입고",
    "얼마 남지",
    "몇 개 남",
    "남았",
    "남아 있",
    "서두르",
];
const IN_STOCK: &[&str] = &["in stock", "재고"];
const SOLD_OUT: &[&str] = &["out of stock", "sold out", "unavailable", "품절", "매진"];
const ON_SALE: &[&str] = &["available", "판매 중", "판매중"];
const DENIALS: &[&str] = &["no", "not", "none", "nothing", "isnt", "arent", "never", "longer"];
const KOREAN_DENIALS: &[&str] = &["없", "아니", "않", "못"];
/// Says that the shop has what is told next.
#[rustfmt::skip]
const POSSESSION: &[&str] = &[
    "we have", "weve got", "we also have", "we do have", "we sell", "we also sell", "we carry", "we stock", "we offer",
    "we also offer", "i have a", "i have one", "i have it", "i also have", "there is a", "theres a", "there are", "here it is",
    "try our", "our", "the shop has", "the shop also has", "the shop sells", "you can buy", "you can also buy", "you can get",
];
/// What "our" may be said of.
const OURS: &[&str] = &[
    "our shop",
    "our store",
    "our catalogue",
    "our catalog",
    "our selection",
    "our range",
    "our list",
    "our collection",
];
const KOREAN_POSSESSION: &[&str] = &[
    "있어요",
    "있습니다",
    "있답니다",
    "있고요",
    "팔아요",
    "팔고",
    "판매합니다",
    "판매해요",
    "판매하고",
    "보유",
    "갖추고",
    "준비되어",
    "준비돼",
];

/// Checks what a sentence claims.
pub(super) fn check(sentence: &Sentence<'_>) -> Result<(), Ungrounded> {
    let (words, text) = (spaced(sentence.text), sentence.text);
    let found = says(&words, NEVER).or_else(|| among(text, NEVER_IN_KOREAN)).or_else(|| left(&words));
    if let Some(words) = found {
        return Err(Ungrounded::Claim(words.to_owned()));
    }
    // "[1] is in stock, but [2] is not": each clause is about what it names.
    let mut earlier = sentence.earlier;
    for clause in text.split([',', ';']).flat_map(|clause| clause.split(" but ")) {
        let clause = Sentence { text: clause, earlier, ..*sentence };
        stock(&clause, &spaced(clause.text))?;
        earlier = clause.subject();
    }
    possession(sentence, &words)
}

fn among(text: &str, words: &[&'static str]) -> Option<&'static str> {
    words.iter().copied().find(|word| text.contains(word))
}

/// "Only two left", but not "I left out plastic".
fn left(words: &str) -> Option<&'static str> {
    let told = words.match_indices(" left ").any(|(position, found)| {
        let behind = &words[position + found.len()..];
        !["out ", "aside ", "off ", "over "].iter().any(|other| behind.starts_with(other))
    });
    told.then_some("left")
}

fn stock(sentence: &Sentence<'_>, words: &str) -> Result<(), Ungrounded> {
    let has = |phrases| says(words, phrases).or_else(|| among(sentence.text, phrases));
    let denied = says(words, DENIALS).or_else(|| among(sentence.text, KOREAN_DENIALS)).is_some();
    let all = |is: fn(&RecommendedProduct) -> bool| {
        let mut named = sentence.products(sentence.subject()).peekable();
        named.peek().is_some() && named.all(is)
    };
    let gone = |product: &RecommendedProduct| product.stock == Some(0);
    let wrong = if let Some(words) = has(SOLD_OUT) {
        (denied || !all(gone)).then_some(words)
    } else if let Some(words) = has(IN_STOCK) {
        let so = if denied { all(gone) } else { all(|product| product.stock.is_some_and(|stock| stock > 0)) };
        (!so).then_some(words)
    } else {
        has(ON_SALE).filter(|_| !denied && !all(|product| product.stock != Some(0)))
    };
    wrong.map_or(Ok(()), |words| Err(Ungrounded::Stock(words.to_owned())))
}

/// What the shop has is named, or denied.
fn possession(sentence: &Sentence<'_>, words: &str) -> Result<(), Ungrounded> {
    let words = OURS.iter().fold(words.to_owned(), |words, ours| words.replace(&format!(" {ours} "), " "));
    let text = sentence.text.replace("수 있", "");
    let question = text.trim_end().ends_with('?');
    let claim = says(&words, POSSESSION).or_else(|| among(&text, KOREAN_POSSESSION).filter(|_| !question));
    let denied = says(&words, DENIALS).or_else(|| among(&text, &["없", "못"])).is_some();
    let named = text.contains(is_mark) || text.contains("재고");
    match claim {
        Some(claim) if !denied && !named => Err(Ungrounded::Claim(claim.to_owned())),
        _ => Ok(()),
    }
}
