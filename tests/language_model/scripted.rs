//! A scripted server with faults, and with ungrounded replies.

use std::time::Duration;

use futures::StreamExt as _;
use jangbogo_platform::reply_chunks::{ReplyChunk, channel};
use jangbogo_test_support::hostile::UNGROUNDED;
use jangbogo_test_support::scripted_server::{
    Reaction, ScriptedServer, Step, answer, chunk, finished, refusal, streamed,
};
use serde_json::json;

use super::{ChatSession, LOCAL_ANALYSER, TEMPLATE_WRITER, authors};

const MODEL: &str = "scripted-1";
const MESSAGE: &str = "I am looking for a red bag under 5 pounds";

/// A valid analysis of the message.
fn analysis() -> Reaction {
    let wish = |slot: &str, value: &str| json!({ "slot": slot, "value": value, "wanted": true });
    let wishes = [wish("product", "bag"), wish("color", "red")];
    let price = json!({ "min_minor": null, "max_minor": 500, "currency": "GBP" });
    let understanding = json!({
        "intent": "find-product", "wishes": wishes, "price": price, "price_direction": null, "quantity": null,
        "retracted": [], "indifferent": [], "references": [], "sentiment_permille": 0, "language": "en",
    });
    answer(&understanding.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_gets_one_reply_despite_faults_of_the_server() {
    let server = ScriptedServer::start([refusal(500, "not yet")]).await;
    let variables = [
        ("OPENAI_BASE_URL", server.base_url.as_str()),
        ("LLM_TIMEOUT", "6"),
        ("LLM_PIECE_TIMEOUT", "1"),
        ("LLM_ATTEMPTS", "2"),
        ("LLM_MIN_PAUSE", "0.01"),
        ("LLM_MAX_PAUSE", "0.05"),
        // The breaker is tested elsewhere: here it must not open.
        ("LLM_BREAKER_CALLS", "10000"),
    ];
    let mut session = ChatSession::open("scripted", &variables).await;
    grounded_replies_are_sent_and_streamed(&mut session, &server).await;
    failed_calls_are_replaced_by_local_results(&mut session, &server).await;
    ungrounded_replies_are_replaced(&mut session, &server).await;
    session.assert_answered_once().await;
    session.chat.close().await;
}

async fn grounded_replies_are_sent_and_streamed(session: &mut ChatSession, server: &ScriptedServer) {
    let connections = &session.chat.shop.connections;
    let client = redis::Client::open(connections.redis.as_str()).unwrap();
    let mut listener = client.get_async_pubsub().await.unwrap();
    listener.subscribe(connections.namespace.redis_key(&channel(session.conversation))).await.unwrap();

    server.follow([analysis(), streamed(&["I would", " take [1]. ", "Shall I look for", " another bag?"])]);
    let turn = session.ask(MESSAGE).await;
    assert_eq!(authors(&turn), (MODEL, MODEL));
    assert_eq!(turn.recommendation["request"]["price"]["max_minor"], 500);
    let item = &turn.recommendation["items"][0];
    let price = item["price"]["amount_minor"].as_i64().unwrap();
    let named = format!("{} (£{}.{:02})", item["title"].as_str().unwrap(), price / 100, price % 100);
    assert_eq!(turn.reply["content"], format!("I would take {named}. Shall I look for another bag?"));
    assert_eq!(turn.reply["product_ids"], json!([item["product_id"]]));

    // The first sentence was streamed before the reply was complete.
    let chunk = tokio::time::timeout(Duration::from_secs(5), listener.on_message().next()).await.unwrap().unwrap();
    let chunk: ReplyChunk = serde_json::from_str(&chunk.get_payload::<String>().unwrap()).unwrap();
    assert_eq!((chunk.message_id, chunk.piece), (session.messages[0], format!("I would take {named}. ")));
}

async fn failed_calls_are_replaced_by_local_results(session: &mut ChatSession, server: &ScriptedServer) {
    let half = |step: Step| Reaction::Stream(vec![chunk("I would take [1]. "), chunk("It is"), step]);
    let understandings = [
        ("429", refusal(429, "slow down")),
        ("500", refusal(500, "broken")),
        ("no JSON", answer("a red bag, I think")),
        ("JSON of another schema", answer(r#"{"intent":"buy everything"}"#)),
        ("half a JSON", finished(r#"{"intent":"find-product","wishes":[{"#, "length")),
        ("a closed connection", Reaction::HangUp),
        ("silence", Reaction::Hang),
    ];
    for (what, reaction) in understandings {
        server.follow([reaction]);
        let turn = session.ask(MESSAGE).await;
        assert_eq!(authors(&turn), (LOCAL_ANALYSER, TEMPLATE_WRITER), "{what}");
        assert_eq!(turn.recommendation["request"]["price"]["max_minor"], 500, "{what}");
    }
    let replies = [
        ("killed in mid-answer", half(Step::Kill)),
        ("stalled in mid-answer", half(Step::Stall)),
        ("429", refusal(429, "slow down")),
        ("nothing", streamed(&[""])),
    ];
    for (what, reaction) in replies {
        server.follow([analysis(), reaction]);
        assert_eq!(authors(&session.ask(MESSAGE).await), (MODEL, TEMPLATE_WRITER), "{what}");
    }
}

async fn ungrounded_replies_are_replaced(session: &mut ChatSession, server: &ScriptedServer) {
    for text in UNGROUNDED {
        server.follow([analysis(), streamed(&["I would take [1]. ", text])]);
        let turn = session.ask(MESSAGE).await;
        assert_eq!(authors(&turn), (MODEL, TEMPLATE_WRITER), "{text}: {}", turn.reply["content"]);
    }
}
