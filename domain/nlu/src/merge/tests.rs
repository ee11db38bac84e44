use super::*;
use crate::Analysis;
use crate::testing::{fresh, say, shown, wish};

fn request(context: &crate::Context, text: &str) -> Request {
    say(context, text).request
}

/// Values of the wishes; `-` marks an exclusion.
fn wishes(request: &Request) -> Vec<String> {
    let sign = |wanted| if wanted { "" } else { "-" };
    request.wishes.iter().map(|wish| format!("{}{}", sign(wish.wanted), &*wish.value)).collect()
}

#[test]
fn a_first_message_makes_the_request() {
    let request = request(&fresh(), "나무로 된 빨간 램프 세 개 만원 이하, 플라스틱 말고");
    assert_eq!(&*request.words, "red wood lamp");
    assert_eq!(wishes(&request), ["wood", "red", "lamp", "-plastic"]);
    assert_eq!((request.quantity, request.price.unwrap().max_minor), (Some(3), Some(10_000)));
}

#[test]
fn a_refinement_changes_it() {
    let not_red = request(&shown(), "not red");
    assert_eq!(wishes(&not_red), ["lunch bag", "-red"]);
    assert_eq!(&*not_red.words, "lunch bag");
    assert_eq!(request(&shown(), "빨간색 말고"), not_red);
    assert_eq!(wishes(&request(&shown(), "blue or green")), ["lunch bag", "blue", "green"]);
    assert_eq!(wishes(&request(&shown(), "any colour")), ["lunch bag"]);
    assert_eq!(wishes(&request(&shown(), "빨간색이라고 한 건 취소")), ["lunch bag"]);
    assert_eq!(wishes(&request(&shown(), "forget everything I said")), Vec::<String>::new());
}

#[test]
fn a_wide_exclusion_removes_narrower_values() {
    let mut context = fresh();
    context.request.wishes = vec![wish("product", "lamp", true), wish("material", "zinc", true)];
    assert_eq!(wishes(&request(&context, "no metal please")), ["lamp", "-metal"]);
}

#[test]
fn a_new_product_kind_keeps_only_wishes_about_the_shopper() {
    let mut context = shown();
    context.request.wishes.push(wish("material", "plastic", false));
    context.request.wishes.push(wish("occasion", "birthday", true));
    context.request.quantity = Some(4);
    let request = request(&context, "and an umbrella");
    assert_eq!(wishes(&request), ["-plastic", "birthday", "umbrella"]);
    assert_eq!((request.quantity, &*request.words), (None, "birthday umbrella"));
}

#[test]
fn cheaper_is_below_the_referenced_products_or_the_cheapest_shown() {
    let limit = |text| request(&shown(), text).price.map(|price| (price.min_minor, price.max_minor));
    assert_eq!(limit("cheaper"), Some((None, Some(144))));
    assert_eq!(limit("cheaper than the last one"), Some((None, Some(199))));
    assert_eq!(limit("더 싼 거"), Some((None, Some(144))));
    assert_eq!(limit("더 비싼 거"), Some((Some(201), None)));
    let mut unpriced = shown();
    unpriced.shown.iter_mut().for_each(|product| product.price = None);
    assert_eq!(request(&unpriced, "cheaper").price, None);
}

#[test]
fn a_cheaper_limit_that_found_nothing_is_dropped() {
    // Messages, and whether products were found for each.
    let limit = |turns: &[(&str, bool)]| {
        let mut answered: Vec<(Analysis, bool)> = Vec::new();
        let mut context = shown();
        for (text, found) in turns {
            answered.push((say(&context, text), !found));
            context.request = request_so_far(answered.iter().map(|(analysis, found_nothing)| AnalysedMessage {
                analysis: &analysis.understanding,
                request: &analysis.request,
                found_nothing: *found_nothing,
            }));
        }
        context.request.price.and_then(|price| price.max_minor)
    };
    assert_eq!(limit(&[("under 3 pounds", true), ("cheaper", true)]), Some(144));
    assert_eq!(limit(&[("under 3 pounds", true), ("cheaper", false)]), Some(300));
    assert_eq!(limit(&[("under 3 pounds", true), ("cheaper", false), ("cheaper", false)]), Some(300));
    assert_eq!(limit(&[("under 3 pounds", true), ("cheaper", false), ("thank you", false)]), Some(300));
    assert_eq!(limit(&[("cheaper", false)]), None);
    assert_eq!(limit(&[("under 3 pounds", false)]), Some(300), "an explicit limit stays");
}

#[test]
fn a_referenced_product_is_what_others_should_be_like() {
    let like = |text| request(&shown(), text).like.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(like("like the second one but blue"), ["B"]);
    assert_eq!(like("how much is the second one?"), ["B"]);
    let without = request(&shown(), "anything except the second");
    assert_eq!(wishes(&without), ["lunch bag", "red", "-B"]);
}

#[test]
fn small_talk_changes_nothing() {
    assert_eq!(request(&shown(), "thanks!"), shown().request);
    assert_eq!(request(&shown(), "where is my parcel"), shown().request);
}

#[test]
fn words_are_at_most_512_characters() {
    let wishes: Vec<Wish> =
        (0..100).map(|index| wish("product", &format!("thing{index:02} with a name"), true)).collect();
    let words = search_words(&wishes);
    assert!(words.chars().count() <= MAX_WORDS_CHARS && words.chars().count() > MAX_WORDS_CHARS - 20);
}

#[test]
fn more_like_the_second_is_a_refinement_with_a_reference() {
    let more = [
        "두 번째 거 더 있어?",
        "두번째거 더 있나요",
        "2번 더 보여줘",
        "2번째 거랑 비슷한 걸로 더요",
        "is there more of the second one?",
        "do you have any more of the second one?",
        "got more of the 2nd?",
        "more like the second one",
    ];
    for text in more {
        let analysis = say(&shown(), text);
        assert_eq!(analysis.understanding.intent, Intent::RefineSearch, "{text}");
        assert_eq!(analysis.understanding.references, [ProductId::new("B").unwrap()], "{text}");
        assert_eq!(analysis.request.like, analysis.understanding.references, "{text}");
        assert_eq!(wishes(&analysis.request), ["lunch bag", "red"], "{text}: wishes stay");
    }
}

#[test]
fn a_taste_is_retracted() {
    let mut context = shown();
    context.request.wishes.push(wish("material", "plastic", true));
    for text in ["forget that I like plastic", "플라스틱 좋아한다고 한 거 잊어줘"] {
        let analysis = say(&context, text);
        assert_eq!(analysis.understanding.intent, Intent::RetractPreference, "{text}");
        assert_eq!(wishes(&analysis.request), ["lunch bag", "red"], "{text}");
        // Without a matching wish in this conversation, it still retracts a wish of another one.
        assert_eq!(say(&fresh(), text).understanding.retracted, analysis.understanding.retracted, "{text}");
        assert_eq!(analysis.understanding.retracted.len(), 1, "{text}");
    }
}
