use super::*;
use crate::testing::{fresh, pounds, say};

const LINES: &str = r#"
{"id":"en-1","language":"en","text":"red or blue mugs, no plastic","intent":"find-product","slots":[{"attribute":"product","operator":"=","value":"mug","polarity":"+"},{"attribute":"color","operator":"=","value":"red","polarity":"+"},{"attribute":"color","operator":"=","value":"green","polarity":"+"},{"attribute":"material","operator":"=","value":"plastic","polarity":"-"}],"retractions":[],"no_preference":["size"]}

{"id":"ko-1","language":"ko","text":"더 싼 거","context":{"request":{"wishes":[],"price":null},"shown":[{"product_id":"A","title":"MUG","price_minor":100,"currency":"GBP"}]},"intent":"refine-search","slots":[{"attribute":"price-direction","operator":"=","value":"cheaper","polarity":"+"}],"retractions":[],"no_preference":[]}
"#;

#[test]
fn answers_are_counted_by_slot_and_language() {
    let utterances = read(LINES).unwrap();
    let report = evaluate(&utterances, pounds(), |context, text| say(context, text).understanding);
    assert_eq!(report.slots[&("en".to_owned(), "color".to_owned())], Score { right: 1, wrong: 1, missed: 1 });
    assert_eq!(report.slots[&("en".to_owned(), "(any will do)".to_owned())], Score { right: 0, wrong: 0, missed: 1 });
    assert_eq!(report.negations["en"], Score { right: 1, wrong: 0, missed: 0 });
    assert_eq!(report.overall(Some("en")), Score { right: 3, wrong: 1, missed: 1 });
    assert_eq!(report.turns(None), Score { right: 0, wrong: 0, missed: 1 });
    assert!((report.overall(Some("ko")).f1() - 1.0).abs() < 1e-9);
    assert_eq!((report.intents["en"], report.intents["ko"]), ((1, 1), (1, 1)));
    assert_eq!(report.differences.len(), 1);
    assert_eq!(report.differences[0].wrong, ["color = blue"]);
    let shown = report.to_string();
    assert!(shown.contains("en all slots") && shown.contains("ko intent: 1 of 1"), "{shown}");
}

#[test]
fn the_context_is_the_conversation_before() {
    let utterances = read(LINES).unwrap();
    let context = utterances[1].context(pounds());
    assert_eq!((context.shown[0].title.as_str(), context.shown[0].price.unwrap().amount_minor), ("MUG", 100));
    assert!(utterances[0].context(pounds()).shown.is_empty());
    assert_eq!(utterances[0].context(pounds()).request, fresh().request);
}

#[test]
fn a_line_that_is_no_utterance_is_named() {
    assert!(read("\n{\"id\": 3}").unwrap_err().starts_with("line 2: "));
}

#[test]
fn nothing_said_and_nothing_labelled_is_perfect() {
    let none = Score::default();
    assert!(
        (none.precision() - 1.0).abs() < 1e-9 && (none.recall() - 1.0).abs() < 1e-9 && (none.f1() - 1.0).abs() < 1e-9
    );
}
