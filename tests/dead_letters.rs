//! Dead letters are found, shown, requeued through the front door and discarded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::process::Output;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use jangbogo_consume::dead_letter::discarded;
use jangbogo_events::{Envelope, Event, EventType, Topic};
use jangbogo_log::Partition;
use jangbogo_processors::PROCESSORS;
use jangbogo_test_support::{Shop, headers_of};
use rdkafka::producer::{FutureProducer, FutureRecord};
use serde_json::{Value, json};

/// The groups that read orders.
const READERS: [&str; 3] = ["analytics", "preference-analysis", "recommendation"];
/// Two records are refused by each of them.
const OPEN: usize = 2 * READERS.len();
const TOPIC: Topic = Topic::OrderCompleted;

struct Desk {
    shop: Shop,
}

impl Desk {
    fn run(&self, arguments: &[&str]) -> Output {
        self.shop.command(&["replay", "dead-letters"]).args(arguments).output().unwrap()
    }

    /// Standard output of a run that succeeds.
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Standard error of a run that fails.
    fn fail(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(!output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn list(&self, filters: &[&str]) -> Vec<Value> {
        let lines = self.succeed(&[&["list", "--json"], filters].concat());
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn show(&self, id: &str) -> Value {
        serde_json::from_str(&self.succeed(&["show", id, "--json"])).unwrap()
    }

    /// The events that a group has folded, each counted once.
    async fn folded(&self, group: &str) -> i64 {
        let processor = PROCESSORS.iter().find(|processor| processor.name == group).unwrap();
        let schema = self.shop.live(processor).await.unwrap().generation.schema;
        let sql = format!("SELECT count(*) FROM {schema}.seen");
        sqlx::query_scalar(&sql).fetch_one(&mut self.shop.database().await).await.unwrap()
    }

    fn records(&self, topic: Topic) -> i64 {
        self.shop.end_offsets(&self.shop.connections.namespace.topic(topic)).iter().sum()
    }

    /// Keeps a record as the runtime does, without having refused it.
    async fn keep(&self, group: &str, event: &Event, offset: i64) {
        let encoded = event.encode().unwrap();
        let (offset, appended_at) = (offset.to_string(), Utc::now().to_rfc3339());
        let position = [
            ("deadletter-cause", "an older program could not read it"),
            ("deadletter-group", group),
            ("deadletter-topic", encoded.topic.name()),
            ("deadletter-partition", "0"),
            ("deadletter-offset", &offset),
            ("deadletter-appended-at", &appended_at),
        ];
        let own = encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let headers: Vec<(&str, &[u8])> =
            own.chain(position.iter().map(|(name, value)| (*name, value.as_bytes()))).collect();
        let topic = self.shop.connections.namespace.dead_letter_topic(group);
        let producer: FutureProducer = self.shop.connections.kafka_producer("test").create().unwrap();
        let record = FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(headers_of(&headers));
        producer.send(record, Duration::from_secs(10)).await.unwrap();
    }
}

fn order(id: &str, ahead: TimeDelta) -> Event {
    let envelope = Envelope::new(id, "test", Utc::now() + ahead);
    Event { envelope, data: EventType::OrderCompleted.example() }
}

fn id(letter: &Value) -> &str {
    letter["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_decide_about_dead_letters() {
    let mut shop = Shop::open("letters").await;
    shop.produce_raw(TOPIC, None, headers_of(&[]), b"\xff\xfe no headers, no text".to_vec()).await;
    shop.produce(&[order("good", -TimeDelta::minutes(1)), order("future", TimeDelta::hours(2))]).await;
    shop.start_processors();
    shop.settle().await;
    let desk = Desk { shop };

    what_was_refused_is_listed_and_shown(&desk);
    what_cannot_be_read_is_not_requeued(&desk);
    what_can_be_read_by_now_is_folded_once(&desk).await;
    unchecked_records_come_back_unchanged(&desk).await;
    discarded_letters_are_settled(&desk).await;
    mistakes_are_named(&desk);
    desk.shop.close().await;
}

fn what_was_refused_is_listed_and_shown(desk: &Desk) {
    let letters = desk.list(&[]);
    let groups: HashSet<&str> = letters.iter().map(|letter| letter["group"].as_str().unwrap()).collect();
    assert_eq!((letters.len(), groups), (OPEN, READERS.into()), "{letters:#?}");
    assert!(letters.iter().all(|letter| letter["status"] == "open" && letter["topic"] == TOPIC.name()));

    let ahead = desk.list(&["--group", "analytics", "--cause", "AHEAD"]);
    assert_eq!(ahead.len(), 1, "{ahead:#?}");
    assert!(ahead[0]["cause"].as_str().unwrap().contains("more than an hour ahead"));
    let shown = desk.show(id(&ahead[0]));
    assert_eq!(
        shown["value"],
        serde_json::from_slice::<Value>(&order("", TimeDelta::zero()).data.to_json().unwrap()).unwrap()
    );
    let headers = shown["headers"].as_array().unwrap();
    assert!(headers.contains(&json!({ "name": "ce_id", "value": "future" })), "{headers:?}");
    assert!(!headers.iter().any(|header| header["name"].as_str().unwrap().starts_with("deadletter-")));

    let garbage = desk.list(&["--topic", TOPIC.name(), "--cause", "missing"]);
    assert_eq!(garbage.len(), READERS.len());
    let page = desk.succeed(&["show", id(&garbage[0])]);
    assert!(page.contains("key       none"), "{page}");
    assert!(page.contains("ff fe 20 6e 6f 20 68 65"), "{page}");
    let table = desk.succeed(&["list", "--limit", "1"]);
    assert!(table.contains("CAUSE") && table.contains(id(&letters[0])), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");

    let appended = letters.iter().map(|letter| letter["appended"].as_str().unwrap()).min().unwrap();
    assert_eq!(desk.list(&["--since", appended]).len(), OPEN);
    assert_eq!(desk.list(&["--until", appended]), Vec::<Value>::new());
    assert!(desk.list(&["--topic", "catalog-events"]).is_empty());
}

fn what_cannot_be_read_is_not_requeued(desk: &Desk) {
    let records = desk.records(TOPIC);
    for (cause, why) in [("missing", "ce_specversion is missing"), ("ahead", "more than an hour ahead")] {
        let letters = desk.list(&["--group", "recommendation", "--cause", cause]);
        let message = desk.fail(&["requeue", id(&letters[0])]);
        assert!(message.contains("would be refused again") && message.contains(why), "{message}");
        assert!(message.contains("1 of 1 dead letters were not requeued"), "{message}");
    }
    let message = desk.fail(&["requeue", "--all-matching", "--yes"]);
    assert!(message.contains(&format!("{OPEN} of {OPEN} dead letters were not requeued")), "{message}");
    assert_eq!(desk.records(TOPIC), records);
    assert_eq!(desk.records(Topic::DeadLetterEvents), 0);
    assert_eq!(desk.list(&[]).len(), OPEN);
}

async fn what_can_be_read_by_now_is_folded_once(desk: &Desk) {
    let event = order("readable by now", -TimeDelta::minutes(1));
    // Kept twice, as after a crash.
    for _ in 0..2 {
        desk.keep("analytics", &event, 4000).await;
    }
    let letter = "analytics/order-completed/0/4000";
    assert_eq!(desk.list(&["--cause", "older program"]).len(), 1);
    let (records, folded) = (desk.records(TOPIC), desk.folded("analytics").await);
    let told = desk.succeed(&["requeue", letter, "--reason", "the new program reads it"]);
    assert!(told.starts_with(&format!("requeued {letter} -> order-completed/")), "{told}");
    assert_eq!(desk.records(TOPIC), records + 1);
    desk.shop.settle().await;
    assert_eq!(desk.folded("analytics").await, folded + 1);

    let message = desk.fail(&["requeue", letter]);
    assert!(message.contains("it was requeued at "), "{message}");
    let message = desk.fail(&["discard", letter]);
    assert!(message.contains("it was requeued at "), "{message}");
    assert_eq!(desk.records(TOPIC), records + 1);
    assert_eq!(desk.list(&[]).len(), OPEN, "it is not open any more");
    let requeued = desk.list(&["--status", "requeued"]);
    assert_eq!(requeued.len(), 1);
    assert_eq!(requeued[0]["decision"]["reason"], "the new program reads it");

    // As after a crash between the record and the event.
    desk.succeed(&["requeue", letter, "--again"]);
    assert_eq!(desk.records(TOPIC), records + 2);
    desk.shop.settle().await;
    assert_eq!(desk.folded("analytics").await, folded + 1, "ids make it harmless");
}

/// The records of all groups' letters are the same: each goes back once.
async fn unchecked_records_come_back_unchanged(desk: &Desk) {
    let records = desk.records(TOPIC);
    let before = desk.show(id(&desk.list(&["--group", "analytics", "--cause", "missing"])[0]));
    let told = desk.succeed(&["requeue", "--all-matching", "--unchecked", "--yes"]);
    assert_eq!(told.lines().count(), OPEN, "{told}");
    assert_eq!(desk.records(TOPIC), records + 2);
    desk.shop.settle().await;
    assert_eq!(desk.list(&["--status", "requeued"]).len(), OPEN + 1);
    assert_eq!(desk.list(&[]).len(), OPEN, "refused again, at their new places");
    let after = desk.show(id(&desk.list(&["--group", "analytics", "--cause", "missing"])[0]));
    assert_ne!(after["id"], before["id"]);
    for part in ["key", "headers", "value"] {
        assert_eq!(after[part], before[part]);
    }
}

async fn discarded_letters_are_settled(desk: &Desk) {
    let connections = &desk.shop.connections;
    assert_eq!(discarded(connections, "analytics").await.unwrap(), HashSet::new());
    let letters = desk.list(&["--group", "analytics", "--cause", "missing"]);
    let letter = id(&letters[0]);
    desk.succeed(&["discard", letter, "--reason", "a test of the till"]);
    let number = i32::try_from(letters[0]["partition"].as_i64().unwrap()).unwrap();
    let position = (Partition { topic: TOPIC, number }, letters[0]["offset"].as_i64().unwrap());
    assert_eq!(discarded(connections, "analytics").await.unwrap(), HashSet::from([position]));
    assert_eq!(discarded(connections, "recommendation").await.unwrap(), HashSet::new());

    assert!(desk.fail(&["discard", letter]).contains("it was discarded at "));
    assert!(desk.fail(&["requeue", letter, "--unchecked"]).contains("it was discarded at "));
    assert_eq!(id(&desk.list(&["--status", "discarded"])[0]), letter);
    assert!(desk.succeed(&["show", letter]).contains("a test of the till"));
    assert_eq!(desk.list(&[]).len(), OPEN - 1, "the others are open");
    let told = desk.succeed(&["discard", "--all-matching", "--yes"]);
    assert_eq!(told.lines().count(), OPEN - 1, "{told}");
    assert!(desk.list(&[]).is_empty());
    assert_eq!(desk.list(&["--status", "all"]).len(), 2 * OPEN + 1);
    assert_eq!(discarded(connections, "analytics").await.unwrap().len(), 2);

    let mut elsewhere = connections.clone();
    elsewhere.namespace = "t_no_such_shop".parse().unwrap();
    assert_eq!(discarded(&elsewhere, "analytics").await.unwrap(), HashSet::new(), "no topic, no decision");
}

fn mistakes_are_named(desk: &Desk) {
    let message = desk.fail(&["show", "analytics/order-completed/0/777"]);
    assert!(message.contains("no such dead letter: analytics/order-completed/0/777"), "{message}");
    let message = desk.fail(&["discard", "analytics/order-completed/0/777"]);
    assert!(message.contains("no such dead letter"), "{message}");
    let message = desk.fail(&["list", "--group", "nobody"]);
    assert!(message.contains("there are: recommendation, analytics"), "{message}");
    let message = desk.fail(&["requeue", "--all-matching", "--cause", "no such cause", "--yes"]);
    assert!(message.contains("no dead letter matches"), "{message}");
    let message = desk.fail(&["discard", "--all-matching", "--status", "all"]);
    assert!(message.contains("give --yes"), "{message}");
    let message = desk.fail(&["requeue"]);
    assert!(message.contains("required"), "{message}");
    let message = desk.fail(&["requeue", "analytics/order-completed/0/4000", "--cause", "older"]);
    assert!(message.contains("filters go with --all-matching"), "{message}");
    let empty = desk.run(&["list", "--cause", "no such cause"]);
    assert!(empty.status.success() && String::from_utf8(empty.stderr).unwrap().contains("no dead letter matches"));

    let asked = Instant::now();
    let mut away = desk.shop.command(&["replay", "dead-letters", "list"]);
    let output = away.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("from kafka at 127.0.0.1:1"), "{message}");
    assert!(asked.elapsed() < Duration::from_secs(20), "it took {:?}", asked.elapsed());
}
