//! Grounding over HTTP: messages to the gateway, replies from the query service.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jangbogo_events::{MessageCreated, ProductId, RecommendationGenerated};
use jangbogo_test_support::chat::ChatShop;
use jangbogo_test_support::demo_lines;
use serde_json::json;

use super::catalogue::{Catalogue, changes, from_log};
use super::generator::{Expected, Utterance, conversation};
use super::judge::{Judge, Reply};
use super::report::Report;
use super::scale;

/// Number of imported order lines.
const LINES: usize = 3000;
/// Number of concurrent conversations.
const MAX_CONCURRENT: usize = 8;
/// Limit for a reply on a busy machine.
const REPLY_TIMEOUT: Duration = Duration::from_mins(1);

/// A message, and the recommendation and reply to it.
struct Turn {
    utterance: Utterance,
    expected: Expected,
    recommendation: RecommendationGenerated,
    reply: MessageCreated,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_over_http_are_grounded() {
    let (conversations, seed) = scale(40);
    let chat = ChatShop::open("grounding", &[]).await;
    let catalogue = import_catalogue(&chat).await;
    let judge = Judge::new(&catalogue);
    let mut report = Report::new();
    let conversations = stream::iter(0..conversations).map(|number| hold_conversation(&chat, seed, number));
    let mut conversations = conversations.buffer_unordered(MAX_CONCURRENT);
    while let Some(turns) = conversations.next().await {
        for Turn { utterance, expected, recommendation, reply } in &turns {
            let product_ids = reply.product_ids.iter().map(ProductId::as_str).collect();
            let reply = Reply { text: &reply.content, product_ids };
            report.add(&judge, (utterance, expected), recommendation, &reply);
        }
        report.conversations += 1;
        if report.conversations.is_multiple_of(50) {
            println!("{report}");
        }
    }
    drop(conversations);
    println!("over HTTP: {report}");
    report.assert_no_faults();
    chat.close().await;
}

/// Imports the demo shop's products and changes some. Returns the products on sale, read from the log.
async fn import_catalogue(chat: &ChatShop) -> Catalogue {
    let directory = tempfile::tempdir().unwrap();
    chat.import(&demo_lines(directory.path(), LINES)).await;
    let imported = from_log(chat);
    for products in changes(&imported).chunks(100) {
        chat.post("/v1/products", &json!(products)).await;
    }
    let retired: Vec<_> = imported.keys().step_by(40).map(|product_id| json!({ "product_id": product_id })).collect();
    chat.post("/v1/products/retirements", &json!(retired)).await;
    chat.settle().await;
    from_log(chat)
}

async fn hold_conversation(chat: &ChatShop, seed: u64, number: u64) -> Vec<Turn> {
    let conversation_id = chat.open_conversation(&format!("shopper-{number}")).await;
    let mut expected = Expected::default();
    let mut turns: Vec<Turn> = Vec::new();
    for utterance in conversation(seed, number) {
        let lists: Vec<_> = turns.iter().map(|turn| &*turn.recommendation.items).collect();
        expected.apply(&utterance.meaning, &lists);
        let message = chat.say(conversation_id, &utterance.text).await;
        let turn = chat.wait_for_reply(conversation_id, message, REPLY_TIMEOUT).await;
        turns.push(Turn {
            utterance,
            expected: expected.clone(),
            recommendation: serde_json::from_value(turn.recommendation).unwrap(),
            reply: serde_json::from_value(turn.reply).unwrap(),
        });
    }
    turns
}
