//! Grounding over HTTP: messages to the gateway, replies from the query service.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use jangbogo_events::{MessageCreated, ProductId, RecommendationGenerated};
use jangbogo_test_support::chat::ChatShop;
use jangbogo_test_support::demo_lines;
use serde_json::json;

use crate::catalogue::{Catalogue, changes, from_log};
use crate::generator::{Expected, Utterance, conversation};
use crate::judge::{Judge, Reply};
use crate::report::Report;
use crate::scale;

/// Number of imported order lines.
const LINES: usize = 3000;
/// Number of concurrent conversations.
const AT_ONCE: usize = 8;
/// Limit for a reply on a busy machine.
const REPLY_TIMEOUT: Duration = Duration::from_mins(1);

/// A message, and the recommendation and reply to it.
struct Turn {
    said: Utterance,
    expected: Expected,
    given: RecommendationGenerated,
    reply: MessageCreated,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_shop_says_is_so() {
    let (conversations, seed) = scale(40);
    let chat = ChatShop::open("grounding", &[]).await;
    let catalogue = stock(&chat).await;
    let judge = Judge::new(&catalogue);
    let mut report = Report::new();
    let mut held = stream::iter(0..conversations).map(|number| hold(&chat, seed, number)).buffer_unordered(AT_ONCE);
    while let Some(turns) = held.next().await {
        for Turn { said, expected, given, reply } in &turns {
            let names = reply.product_ids.iter().map(ProductId::as_str).collect();
            report.add(&judge, (said, expected), given, &Reply { text: &reply.content, names });
        }
        report.conversations += 1;
        if report.conversations.is_multiple_of(50) {
            println!("{report}");
        }
    }
    drop(held);
    println!("over HTTP: {report}");
    report.assert_no_faults();
    chat.close().await;
}

/// Imports the demo shop's products and changes some. Returns the products on sale, read from the log.
async fn stock(chat: &ChatShop) -> Catalogue {
    let directory = tempfile::tempdir().unwrap();
    chat.import(&demo_lines(directory.path(), LINES)).await;
    let imported = from_log(chat);
    for products in changes(&imported).chunks(100) {
        chat.post("/v1/products", &json!(products)).await;
    }
    let retired: Vec<_> = imported.keys().step_by(40).map(|product_id| json!({ "product_id": product_id })).collect();
    chat.post("/v1/products/retirements", &json!(retired)).await;
    chat.settled().await;
    from_log(chat)
}

async fn hold(chat: &ChatShop, seed: u64, number: u64) -> Vec<Turn> {
    let conversation_id = chat.open_conversation(&format!("shopper-{number}")).await;
    let mut expected = Expected::default();
    let mut turns: Vec<Turn> = Vec::new();
    for said in conversation(seed, number) {
        let lists: Vec<_> = turns.iter().map(|turn| &*turn.given.items).collect();
        expected.after(&said.meaning, &lists);
        let message = chat.say(conversation_id, &said.text).await;
        let turn = chat.wait_for_reply(conversation_id, message, REPLY_TIMEOUT).await;
        turns.push(Turn {
            said,
            expected: expected.clone(),
            given: serde_json::from_value(turn.recommendation).unwrap(),
            reply: serde_json::from_value(turn.reply).unwrap(),
        });
    }
    turns
}
