//! A conversation's entries over a WebSocket.

use std::time::Duration;

use chrono::{DateTime, TimeZone as _, Utc};
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_events::{ConversationCreated, Event, IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_platform::config::Connections;
use jangbogo_query::QueryArgs;
use redis::AsyncCommands as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::client::Client;
use crate::conversation_events::{
    CONVERSATION, QUESTION_ID, conversation_created, intent_analyzed, message_created, question,
    recommendation_generated, reply,
};
use crate::log::{Log, event};
use crate::shop::{Shop, get};

fn stream() -> String {
    format!("/v1/conversations/{CONVERSATION}/stream")
}

fn at(minute: u32) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 3, 1, 13, minute, 0).unwrap()
}

/// A shop whose assistant has a conversation, and the topics of conversations. Both are removed when dropped.
async fn shop_with_log() -> (Shop, Log) {
    let mut shop = Shop::start().await;
    let log = Log::open(&shop.cli.connections);
    log.create_topics().await;
    shop.fold_by(&ASSISTANT).await;
    shop.fold::<ConversationCreated>(conversation_created()).await;
    (shop, log)
}

async fn metrics(base: &str) -> String {
    reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap()
}

async fn append_and_fold(shop: &mut Shop, log: &Log, event: &Event) {
    let (partition, offset) = log.append(event).await;
    shop.commit(event, partition, offset).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_rows_are_pushed_once() {
    let (mut shop, log) = shop_with_log().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let unknown = format!("/v1/conversations/{}/stream", Uuid::from_u128(9));
    assert_eq!(Client::open(&base, &unknown).await.err(), Some(StatusCode::NOT_FOUND));
    assert_eq!(Client::open(&base, &format!("{}?as_of=1", stream())).await.err(), Some(StatusCode::BAD_REQUEST));
    let plain = get(&base, &stream()).await;
    assert_eq!((plain.status, &plain.body["title"]), (StatusCode::UPGRADE_REQUIRED, &json!("Upgrade required")));

    let mut client = Client::open(&base, &stream()).await.unwrap();
    let mut other = Client::open(&base, &stream()).await.unwrap();
    assert!(client.until_live().await.is_empty() && other.until_live().await.is_empty());

    // Pushed only once it is folded; and the row is pushed, not a duplicate of the event.
    let (message, forged) = (
        event::<MessageCreated>("m1", at(10), question()),
        event::<MessageCreated>("m1", at(10), message_created(QUESTION_ID, "something else")),
    );
    let (partition, offset) = log.append(&message).await;
    log.append(&forged).await;
    client.is_silent().await;
    assert_eq!(shop.commit(&message, partition, offset).await, 1);
    let message = client.next().await;
    let expected = json!({
        "event_id": "m1", "kind": "message", "happened_at": "2026-03-01T13:10:00Z", "message_id": QUESTION_ID, "data": question(),
    });
    assert_eq!(message, expected);
    assert_eq!(other.next().await, expected);
    assert_eq!(shop.commit(&forged, partition, offset + 1).await, 0);
    client.is_silent().await;

    // A turn; the intent comes without its vector.
    let turn = [
        event::<IntentAnalyzed>("i1", at(11), intent_analyzed()),
        event::<RecommendationGenerated>("r1", at(12), recommendation_generated("i1")),
        event::<MessageCreated>("a1", at(13), reply()),
    ];
    for (event, kind) in turn.iter().zip(["intent", "recommendation", "message"]) {
        append_and_fold(&mut shop, &log, event).await;
        let message = client.next().await;
        assert_eq!((&message["event_id"], &message["kind"]), (&json!(event.envelope.id), &json!(kind)));
    }
    // Another conversation wakes no socket.
    let mut elsewhere = message_created(Uuid::from_u128(8), "hello");
    elsewhere["conversation_id"] = json!(Uuid::from_u128(7));
    append_and_fold(&mut shop, &log, &event::<MessageCreated>("e1", at(14), elsewhere)).await;
    client.is_silent().await;

    // Neither entries before the overlap of five minutes come again, nor the event itself.
    append_and_fold(
        &mut shop,
        &log,
        &event::<MessageCreated>("m2", at(17), message_created(Uuid::from_u128(6), "thanks")),
    )
    .await;
    for (after, ids) in [
        ("", vec!["m1", "i1", "r1", "a1", "m2"]),
        ("?after=m2", vec!["r1", "a1"]),
        ("?after=x", vec!["m1", "i1", "r1", "a1", "m2"]),
    ] {
        let mut again = Client::open(&base, &format!("{}{after}", stream())).await.unwrap();
        assert_eq!(again.until_live().await, ids, "{after}");
    }

    let metrics = metrics(&base).await;
    assert!(metrics.contains(r#"jangbogo_query_stream_pushes_total{kind="intent"} 2"#), "{metrics}");

    // Another generation goes live.
    let next = shop.generation(&ASSISTANT, "ready").await;
    let folded = shop.generation.clone();
    for table in ["conversation", "conversation_entry", "seen", "checkpoint"] {
        let copy = format!("INSERT INTO {0}.{table} SELECT * FROM {1}.{table}", next.schema, folded.schema);
        sqlx::query(&copy).execute(&shop.pool).await.unwrap();
    }
    shop.switch_to(&next).await;
    shop.adopt(next).await;
    append_and_fold(
        &mut shop,
        &log,
        &event::<MessageCreated>("m3", at(18), message_created(Uuid::from_u128(5), "bye")),
    )
    .await;
    assert_eq!(client.next().await["event_id"], "m2");
    assert_eq!(client.next().await["event_id"], "m3");

    shop.stop.cancel();
    assert_eq!(client.closed().await, 1001);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_chunks_are_forwarded_until_the_reply_is_there() {
    let (mut shop, log) = shop_with_log().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let mut client = Client::open(&base, &stream()).await.unwrap();
    client.until_live().await;
    let channel = shop.key(&format!("reply:{CONVERSATION}"));
    let attempt = Uuid::from_u128;
    let piece = |attempt: Uuid, piece: &str| json!({ "attempt": attempt, "message_id": QUESTION_ID, "piece": piece });
    let published = async |shop: &mut Shop, value: &Value| -> i64 {
        shop.redis.publish(&channel, value.to_string()).await.unwrap()
    };
    while published(&mut shop, &json!("not a chunk")).await == 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for (attempt, words) in [(attempt(1), "Here "), (attempt(2), "Here is")] {
        published(&mut shop, &piece(attempt, words)).await;
        let expected = json!({ "kind": "piece", "attempt": attempt, "message_id": QUESTION_ID, "piece": words });
        assert_eq!(client.next().await, expected);
    }
    append_and_fold(&mut shop, &log, &event::<MessageCreated>("a1", at(10), reply())).await;
    assert_eq!(client.next().await["event_id"], "a1");
    published(&mut shop, &piece(attempt(2), " a red tote.")).await;
    client.is_silent().await;

    // A client that does not read is closed, and delays no other.
    let mut slow = Client::open(&base, &stream()).await.unwrap();
    slow.until_live().await;
    let mut other = piece(attempt(1), &"long ".repeat(10_000));
    other["message_id"] = json!(Uuid::from_u128(11));
    for number in 1.. {
        published(&mut shop, &other).await;
        assert_eq!(client.next().await["message_id"], other["message_id"], "{number}");
        if number % 20 == 0 && metrics(&base).await.contains("jangbogo_query_stream_overflows_total 1") {
            break;
        }
        assert!(number < 5000, "the slow client is not closed");
    }
    assert_eq!(slow.closed().await, 1013);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_number_of_sockets_is_limited() {
    let (shop, _log) = shop_with_log().await;
    let args = QueryArgs { max_sockets: 2, ..shop.cli.query.clone() };
    let base = shop.serve_with(shop.cli.connections.clone(), args).await;
    let first = Client::open(&base, &stream()).await.unwrap();
    let _second = Client::open(&base, &stream()).await.unwrap();
    assert_eq!(Client::open(&base, &stream()).await.err(), Some(StatusCode::SERVICE_UNAVAILABLE));
    drop(first);
    let mut attempts = 0;
    while let Err(status) = Client::open(&base, &stream()).await {
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        attempts += 1;
        assert!(attempts < 100, "no socket is free");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_socket_gets_only_its_own_conversation() {
    let (mut shop, log) = shop_with_log().await;
    let conversations: Vec<Uuid> = (100..120).map(Uuid::from_u128).collect();
    for conversation_id in &conversations {
        let opened = json!({ "conversation_id": conversation_id, "member_id": "mina" });
        shop.fold::<ConversationCreated>(opened).await;
    }
    let base = shop.serve(shop.cli.connections.clone()).await;
    let mut clients = Vec::new();
    for conversation_id in conversations.iter().cycle().take(400) {
        let path = format!("/v1/conversations/{conversation_id}/stream");
        let mut client = Client::open(&base, &path).await.unwrap();
        assert!(client.until_live().await.is_empty());
        clients.push((conversation_id, client));
    }
    for conversation_id in &conversations {
        let mut message = question();
        message["conversation_id"] = json!(conversation_id);
        append_and_fold(&mut shop, &log, &event::<MessageCreated>(&conversation_id.to_string(), at(10), message)).await;
    }
    for (conversation_id, client) in &mut clients {
        assert_eq!(client.next().await["event_id"], json!(conversation_id));
    }
    assert!(metrics(&base).await.contains("jangbogo_query_stream_sockets 400"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_pushed_after_an_outage_of_the_log() {
    let mut shop = Shop::start().await;
    shop.fold_by(&ASSISTANT).await;
    shop.fold::<ConversationCreated>(conversation_created()).await;
    // Kafka and Redis are unavailable: existing entries are sent, and the socket stays open.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let without_kafka_and_redis =
        Connections { kafka: free.to_string(), redis: format!("redis://{free}"), ..shop.cli.connections.clone() };
    let base = shop.serve(without_kafka_and_redis).await;
    shop.fold::<MessageCreated>(question()).await;
    let mut client = Client::open(&base, &stream()).await.unwrap();
    assert_eq!(client.until_live().await, ["event-2"]);
    client.is_silent().await;

    // The log's tail cannot be read before there are topics.
    let base = shop.serve(shop.cli.connections.clone()).await;
    let mut client = Client::open(&base, &stream()).await.unwrap();
    assert_eq!(client.until_live().await, ["event-2"]);
    shop.fold::<IntentAnalyzed>(intent_analyzed()).await;
    client.is_silent().await;
    let log = Log::open(&shop.cli.connections);
    log.create_topics().await;
    assert_eq!(client.next().await["event_id"], "event-3");
    append_and_fold(&mut shop, &log, &event::<MessageCreated>("a1", at(10), reply())).await;
    assert_eq!(client.next().await["event_id"], "a1");
    client.is_silent().await;
}
