//! Words of generated conversations: a small list of its own, because the judge must not depend on the shop's lexicon.

/// Product kinds, as in titles of the demo shop and in Korean.
#[rustfmt::skip]
pub const KINDS: &[(&str, &str)] = &[
    ("lunch bag", "도시락 가방"), ("mug", "머그컵"), ("candle", "양초"), ("cushion", "쿠션"), ("clock", "시계"),
    ("necklace", "목걸이"), ("bowl", "그릇"), ("plate", "접시"), ("notebook", "공책"), ("umbrella", "우산"),
    ("apron", "앞치마"), ("teapot", "찻주전자"), ("mirror", "거울"), ("doormat", "현관매트"), ("tea towel", "행주"),
    ("candle holder", "촛대"), ("lamp", "램프"), ("basket", "바구니"), ("doll", "인형"), ("bracelet", "팔찌"),
    ("tray", "쟁반"), ("hot water bottle", "보온 물주머니"), ("photo frame", "액자"), ("ribbon", "리본"), ("magnet", "자석"),
    ("earrings", "귀걸이"), ("purse", "동전 지갑"), ("cake stand", "케이크 스탠드"),
];

/// A quality that a shopper may exclude: its names, and the words for it in titles and descriptions.
#[derive(Debug)]
pub struct Quality {
    pub english: &'static str,
    pub korean: &'static str,
    pub words: &'static [&'static str],
}

const fn quality(english: &'static str, korean: &'static str, words: &'static [&'static str]) -> Quality {
    Quality { english, korean, words }
}

pub const COLOURS: &[Quality] = &[
    quality("red", "빨간색", &["red"]),
    quality("blue", "파란색", &["blue"]),
    quality("pink", "분홍색", &["pink"]),
    quality("green", "초록색", &["green"]),
    quality("white", "흰색", &["white"]),
    quality("black", "검은색", &["black"]),
];

pub const MATERIALS: &[Quality] = &[
    quality("plastic", "플라스틱", &["plastic"]),
    quality("glass", "유리", &["glass"]),
    quality("ceramic", "도자기", &["ceramic"]),
    quality("wood", "나무", &["wood", "wooden"]),
    quality("paper", "종이", &["paper"]),
    quality("metal", "금속", &["metal", "zinc"]),
];

/// The words of a text in lower case.
pub fn words(text: &str) -> Vec<String> {
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}

/// True when a title contains the words of a kind in sequence, singular or plural.
pub fn is_kind(title: &str, kind: &str) -> bool {
    let (title, kind) = (words(title), words(kind));
    title
        .windows(kind.len())
        .any(|run| run.iter().zip(&kind).all(|(word, kind)| word == kind || *word == format!("{kind}s")))
}
