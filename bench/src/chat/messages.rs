//! Shoppers' messages: each conversation repeats from a search to thanks, in its own language.

/// Kinds of products of the demo shop, in English and Korean.
const KINDS: [(&str, &str); 16] = [
    ("lunch bag", "도시락 가방"),
    ("mug", "머그컵"),
    ("candle", "양초"),
    ("umbrella", "우산"),
    ("cake stand", "케이크 스탠드"),
    ("picture frame", "액자"),
    ("cushion", "쿠션"),
    ("wall clock", "벽시계"),
    ("lantern", "랜턴"),
    ("apron", "앞치마"),
    ("jewellery box", "보석함"),
    ("notebook", "노트"),
    ("hot water bottle", "보온 물주머니"),
    ("shopping bag", "장바구니"),
    ("tea towel", "행주"),
    ("cookie jar", "쿠키 항아리"),
];
const COLOURS: [(&str, &str); 7] = [
    ("red", "빨간색"),
    ("blue", "파란색"),
    ("pink", "분홍색"),
    ("white", "하얀색"),
    ("green", "초록색"),
    ("black", "검은색"),
    ("ivory", "아이보리색"),
];
const MATERIALS: [(&str, &str); 4] = [("plastic", "플라스틱"), ("metal", "금속"), ("wood", "나무"), ("glass", "유리")];
/// Number of turns until the next search.
const TURNS: usize = 8;

/// The message of a conversation at a turn, both counted from 0. Every other conversation is in Korean.
pub fn message(conversation: usize, turn: usize) -> String {
    // Steps coprime to the lists' lengths, so that all combinations occur.
    let search = conversation.wrapping_mul(31).wrapping_add((turn / TURNS).wrapping_mul(17));
    let (kind, kind_ko) = KINDS[search % KINDS.len()];
    let (colour, colour_ko) = COLOURS[(search / 3) % COLOURS.len()];
    let (other, other_ko) = COLOURS[(search / 3 + 2) % COLOURS.len()];
    let (material, material_ko) = MATERIALS[(search / 5) % MATERIALS.len()];
    let pounds = 2 + search % 9;
    let in_korean = !conversation.is_multiple_of(2);
    match (turn % TURNS, in_korean) {
        (0, false) => format!("I am looking for a {colour} {kind} under {pounds} pounds"),
        (0, true) => format!("{colour_ko} {kind_ko} 추천해줘, {pounds}파운드 이하로"),
        (1, false) => "Something cheaper, please".to_owned(),
        (1, true) => "좀 더 싼 거 있어?".to_owned(),
        (2, false) => format!("not {colour}, and without {material}"),
        (2, true) => format!("{colour_ko} 말고, {material_ko}도 빼고"),
        (3, false) => "Do you have more of the second one?".to_owned(),
        (3, true) => "두 번째 거 더 있어?".to_owned(),
        (4, false) => format!("I like {material}, and {other} is my favourite colour"),
        (4, true) => format!("나는 {material_ko} 좋아해, {other_ko}도 좋아하고"),
        (5, false) => format!("A {other} {kind} as a birthday gift, about {pounds} pounds"),
        (5, true) => format!("생일 선물로 {other_ko} {kind_ko}, {pounds}파운드 정도"),
        (6, false) => format!("Forget that I like {material}"),
        (6, true) => format!("{material_ko} 좋아한다는 말은 취소할게"),
        (_, false) => "Thank you, that helps a lot!".to_owned(),
        (_, true) => "고마워, 도움이 됐어!".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn conversations_are_many_and_go_on() {
        let first: BTreeSet<String> = (0..1000).map(|conversation| message(conversation, 0)).collect();
        assert!(first.len() > 100, "a model that remembers a few texts answers too soon: {}", first.len());
        let turns: BTreeSet<String> = (0..TURNS).map(|turn| message(1, turn)).collect();
        assert_eq!(turns.len(), TURNS);
        assert_ne!(message(1, 0), message(1, TURNS), "the next search is another");
    }
}
