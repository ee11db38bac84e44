use super::*;
use crate::testing::{brief, fresh, pounds, say};

const LINES: &str = r#"
{"id":"en-1","language":"en","text":"red or blue mugs, no plastic","intent":"find-product","slots":[{"attribute":"product","operator":"=","value":"mug","polarity":"+"},{"attribute":"color","operator":"=","value":"red","polarity":"+"},{"attribute":"color","operator":"=","value":"green","polarity":"+"},{"attribute":"material","operator":"=","value":"plastic","polarity":"-"}],"retractions":[],"no_preference":["size"]}

{"id":"ko-1","language":"ko","text":"더 싼 거","context":{"request":{"wishes":[],"price":null},"shown":[{"product_id":"A","title":"MUG","price_minor":100,"currency":"GBP"}]},"intent":"refine-search","slots":[{"attribute":"price-direction","operator":"=","value":"cheaper","polarity":"+"}],"retractions":[],"no_preference":[]}
"#;

#[test]
fn answers_are_counted_by_slot_and_language() {
    let utterances = read(LINES).unwrap();
    let mut report = Report::default();
    for utterance in &utterances {
        let answer = say(&utterance.context(pounds()), &utterance.text).understanding;
        report.add(utterance, Some(&answer));
    }
    let english = &report.languages["en"];
    assert_eq!(english.slots["color"], Score { right: 1, wrong: 1, missed: 1 });
    assert_eq!(english.all_slots, Score { right: 3, wrong: 1, missed: 1 });
    assert_eq!(english.unwanted, Score { right: 1, wrong: 0, missed: 0 });
    assert_eq!(english.no_preference, Score { right: 0, wrong: 0, missed: 1 });
    assert_eq!(english.retractions, Score::default());
    assert_eq!((english.right_intents, english.utterances), (1, 1));
    assert_eq!(report.languages["ko"].all_slots.f1(), Some(1.0));
    assert_eq!(report.differences.len(), 1);
    assert_eq!(report.differences[0].wrong, ["color = blue"]);
    assert_eq!(report.differences[0].missed, ["color = green", "any will do: size = any"]);
}

#[test]
fn without_an_answer_all_labels_are_missed() {
    let utterances = read(LINES).unwrap();
    let mut report = Report::default();
    report.add(&utterances[0], None);
    assert_eq!(report.languages["en"].all_slots, Score { right: 0, wrong: 0, missed: 4 });
    assert_eq!(report.languages["en"].right_intents, 0);
}

#[test]
fn the_context_is_the_conversation_before_the_utterance() {
    let utterances = read(LINES).unwrap();
    let context = utterances[1].context(pounds());
    assert_eq!((context.shown[0].title.as_str(), context.shown[0].price.unwrap().amount_minor), ("MUG", 100));
    assert!(utterances[0].context(pounds()).shown.is_empty());
    assert_eq!(utterances[0].context(pounds()).request, fresh().request);
}

#[test]
fn a_line_that_is_not_an_utterance_is_named() {
    assert!(read("\n{\"id\": 3}").unwrap_err().starts_with("line 2: "));
}

#[test]
fn the_splits_can_be_read_and_share_nothing() {
    let [development, held_out] = [Split::Development, Split::HeldOut].map(|split| split.utterances().unwrap());
    for language in ["ko", "en"] {
        let labelled = development.iter().chain(&held_out).filter(|utterance| utterance.language == language).count();
        assert!(labelled >= 200, "{language}: {labelled}");
    }
    let texts: std::collections::HashSet<&str> = development.iter().map(|utterance| &*utterance.text).collect();
    assert!(held_out.iter().all(|utterance| !texts.contains(&*utterance.text)));
    let ids: std::collections::HashSet<&str> =
        development.iter().chain(&held_out).map(|utterance| &*utterance.id).collect();
    assert_eq!(ids.len(), development.len() + held_out.len());
}

#[test]
fn precision_recall_and_f1_are_ratios_of_answers_and_labels() {
    let score = Score { right: 6, wrong: 2, missed: 4 };
    assert_eq!((score.precision(), score.recall(), score.f1()), (Some(0.75), Some(0.6), Some(12.0 / 18.0)));
    let none = Score::default();
    assert_eq!((none.precision(), none.recall(), none.f1()), (None, None, None));
}

const DIALOGUE: &str = r#"[{"id": "SportsandOutdoors:47:1:2", "metadata": {"id": "47", "desc": "red running shoes"}, "utterances": [
    {"participant": "Wizard", "utterance": "Hi, what can I do for you?", "goal": "meta", "intents": [["greeting", 6.0]]},
    {"participant": "Client", "utterance": "a red mug please", "goal": "recommendation", "intents": [["disclose", 4.0]]},
    {"participant": "Wizard", "utterance": "We have the SAVE THE PLANET MUG", "goal": "recommendation", "intents": [["recommend", 5.0]]},
    {"participant": "Wizard", "utterance": "and the REGENCY TEA CUP", "goal": "recommendation", "intents": [["recommend", 3.0]]},
    {"participant": "Client", "utterance": "how much is the second one?", "goal": "qa", "intents": [["o_question", 5.0], ["pf", 2.0]]},
    {"participant": "Client", "utterance": "perfect, thank you!", "goal": "recommendation", "intents": [["pf", 3.0]]}
]}]"#;

#[test]
fn a_dialogue_is_evaluated_message_by_message() {
    let dialogues = read_dialogues(DIALOGUE).unwrap();
    let mut conversation = Conversation::new(&dialogues[0], pounds());
    let mut seen = Vec::new();
    while let Some(text) = conversation.next_message() {
        let answer = say(conversation.context(), text).understanding;
        seen.push((conversation.earlier().count(), conversation.context().shown.len(), brief(&answer).join(" ")));
        conversation.understood(Some(answer));
    }
    let row = |earlier, shown, brief: &str| (earlier, shown, brief.to_owned());
    assert_eq!(seen, [row(1, 0, "color=red product=mug"), row(4, 2, "@turn-3"), row(5, 2, "")]);
    assert_eq!(conversation.context().request.wishes.len(), 2);

    let mut report = DialogueReport::default();
    report.add(&conversation);
    assert_eq!((report.dialogues, report.messages), (1, 3));
    assert_eq!(report.goals["recommendation"], Score { right: 1, wrong: 0, missed: 1 });
    assert_eq!(report.goals["qa"], Score { right: 1, wrong: 0, missed: 0 });
    assert_eq!(report.goals["meta"], Score { right: 0, wrong: 1, missed: 0 });
    assert_eq!(report.taken_for["recommendation"]["meta"], 1);
    assert_eq!(report.feedback["positive"].right, 1);
    assert_eq!((report.needs.found, report.needs.labelled), (1, 1));
    // The shoes of the task were never named.
    assert_eq!(report.tasks.len(), 1);
    assert_eq!((report.tasks["color"].found, report.tasks["color"].labelled), (1, 1));
}
