//! `replay dead-letters`: list, show, requeue and discard.

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
/// Open dead letters: each reader refuses two records.
const OPEN: usize = 2 * READERS.len();
const TOPIC: Topic = Topic::OrderCompleted;

/// A shop whose dead letters are decided with the command line.
struct Operator {
    shop: Shop,
}

impl Operator {
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

    /// Number of distinct events that a group has folded.
    async fn folded(&self, group: &str) -> i64 {
        let processor = PROCESSORS.iter().find(|processor| processor.name == group).unwrap();
        let schema = self.shop.live(processor).await.unwrap().generation.schema;
        let sql = format!("SELECT count(*) FROM {schema}.seen");
        sqlx::query_scalar(&sql).fetch_one(&mut self.shop.database().await).await.unwrap()
    }

    fn records(&self, topic: Topic) -> i64 {
        self.shop.end_offsets(&self.shop.connections.namespace.topic(topic)).iter().sum()
    }

    /// Produces a dead letter for a record that this version accepts.
    async fn produce_dead_letter(&self, group: &str, event: &Event, offset: i64) {
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

fn id(dead_letter: &Value) -> &str {
    dead_letter["id"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_letters_are_listed_requeued_and_discarded() {
    let mut shop = Shop::open("letters").await;
    shop.produce_raw(TOPIC, None, headers_of(&[]), b"\xff\xfe no headers, no text".to_vec()).await;
    shop.produce(&[order("good", -TimeDelta::minutes(1)), order("future", TimeDelta::hours(2))]).await;
    shop.start_processors();
    shop.settle().await;
    let operator = Operator { shop };

    refused_records_are_listed_and_shown(&operator);
    unreadable_records_are_not_requeued(&operator);
    readable_records_are_requeued_and_folded_once(&operator).await;
    unchecked_records_are_requeued_unchanged(&operator).await;
    discarded_dead_letters_are_closed(&operator).await;
    invalid_arguments_are_errors(&operator);
    operator.shop.close().await;
}

fn refused_records_are_listed_and_shown(operator: &Operator) {
    let dead_letters = operator.list(&[]);
    let groups: HashSet<&str> = dead_letters.iter().map(|dead_letter| dead_letter["group"].as_str().unwrap()).collect();
    assert_eq!((dead_letters.len(), groups), (OPEN, READERS.into()), "{dead_letters:#?}");
    assert!(
        dead_letters.iter().all(|dead_letter| dead_letter["status"] == "open" && dead_letter["topic"] == TOPIC.name())
    );

    let ahead = operator.list(&["--group", "analytics", "--cause", "AHEAD"]);
    assert_eq!(ahead.len(), 1, "{ahead:#?}");
    assert!(ahead[0]["cause"].as_str().unwrap().contains("more than an hour ahead"));
    let shown = operator.show(id(&ahead[0]));
    assert_eq!(
        shown["value"],
        serde_json::from_slice::<Value>(&order("", TimeDelta::zero()).data.to_json().unwrap()).unwrap()
    );
    let headers = shown["headers"].as_array().unwrap();
    assert!(headers.contains(&json!({ "name": "ce_id", "value": "future" })), "{headers:?}");
    assert!(!headers.iter().any(|header| header["name"].as_str().unwrap().starts_with("deadletter-")));

    let garbage = operator.list(&["--topic", TOPIC.name(), "--cause", "missing"]);
    assert_eq!(garbage.len(), READERS.len());
    let page = operator.succeed(&["show", id(&garbage[0])]);
    assert!(page.contains("key       none"), "{page}");
    assert!(page.contains("ff fe 20 6e 6f 20 68 65"), "{page}");
    let table = operator.succeed(&["list", "--limit", "1"]);
    assert!(table.contains("CAUSE") && table.contains(id(&dead_letters[0])), "{table}");
    assert_eq!(table.lines().count(), 2, "{table}");

    let appended = dead_letters.iter().map(|dead_letter| dead_letter["appended"].as_str().unwrap()).min().unwrap();
    assert_eq!(operator.list(&["--since", appended]).len(), OPEN);
    assert_eq!(operator.list(&["--until", appended]), Vec::<Value>::new());
    assert!(operator.list(&["--topic", "catalog-events"]).is_empty());
}

fn unreadable_records_are_not_requeued(operator: &Operator) {
    let records = operator.records(TOPIC);
    for (cause, why) in [("missing", "ce_specversion is missing"), ("ahead", "more than an hour ahead")] {
        let dead_letters = operator.list(&["--group", "recommendation", "--cause", cause]);
        let message = operator.fail(&["requeue", id(&dead_letters[0])]);
        assert!(message.contains("would be refused again") && message.contains(why), "{message}");
        assert!(message.contains("1 of 1 dead letters were not requeued"), "{message}");
    }
    let message = operator.fail(&["requeue", "--all-matching", "--yes"]);
    assert!(message.contains(&format!("{OPEN} of {OPEN} dead letters were not requeued")), "{message}");
    assert_eq!(operator.records(TOPIC), records);
    assert_eq!(operator.records(Topic::DeadLetterEvents), 0);
    assert_eq!(operator.list(&[]).len(), OPEN);
}

async fn readable_records_are_requeued_and_folded_once(operator: &Operator) {
    let event = order("readable by now", -TimeDelta::minutes(1));
    // Produced twice, as after a crash.
    for _ in 0..2 {
        operator.produce_dead_letter("analytics", &event, 4000).await;
    }
    let dead_letter = "analytics/order-completed/0/4000";
    assert_eq!(operator.list(&["--cause", "older program"]).len(), 1);
    let (records, folded) = (operator.records(TOPIC), operator.folded("analytics").await);
    let output = operator.succeed(&["requeue", dead_letter, "--reason", "the new program reads it"]);
    assert!(output.starts_with(&format!("requeued {dead_letter} -> order-completed/")), "{output}");
    assert_eq!(operator.records(TOPIC), records + 1);
    operator.shop.settle().await;
    assert_eq!(operator.folded("analytics").await, folded + 1);

    let message = operator.fail(&["requeue", dead_letter]);
    assert!(message.contains("it was requeued at "), "{message}");
    let message = operator.fail(&["discard", dead_letter]);
    assert!(message.contains("it was requeued at "), "{message}");
    assert_eq!(operator.records(TOPIC), records + 1);
    assert_eq!(operator.list(&[]).len(), OPEN, "it is not open any more");
    let requeued = operator.list(&["--status", "requeued"]);
    assert_eq!(requeued.len(), 1);
    assert_eq!(requeued[0]["decision"]["reason"], "the new program reads it");

    // As after a crash between the requeued record and the decision's event.
    operator.succeed(&["requeue", dead_letter, "--again"]);
    assert_eq!(operator.records(TOPIC), records + 2);
    operator.shop.settle().await;
    assert_eq!(operator.folded("analytics").await, folded + 1, "ids make it harmless");
}

/// The dead letters of all groups come from the same records: each record is requeued once.
async fn unchecked_records_are_requeued_unchanged(operator: &Operator) {
    let records = operator.records(TOPIC);
    let before = operator.show(id(&operator.list(&["--group", "analytics", "--cause", "missing"])[0]));
    let output = operator.succeed(&["requeue", "--all-matching", "--unchecked", "--yes"]);
    assert_eq!(output.lines().count(), OPEN, "{output}");
    assert_eq!(operator.records(TOPIC), records + 2);
    operator.shop.settle().await;
    assert_eq!(operator.list(&["--status", "requeued"]).len(), OPEN + 1);
    assert_eq!(operator.list(&[]).len(), OPEN, "refused again, at new offsets");
    let after = operator.show(id(&operator.list(&["--group", "analytics", "--cause", "missing"])[0]));
    assert_ne!(after["id"], before["id"]);
    for part in ["key", "headers", "value"] {
        assert_eq!(after[part], before[part]);
    }
}

async fn discarded_dead_letters_are_closed(operator: &Operator) {
    let connections = &operator.shop.connections;
    assert_eq!(discarded(connections, "analytics").await.unwrap(), HashSet::new());
    let dead_letters = operator.list(&["--group", "analytics", "--cause", "missing"]);
    let dead_letter = id(&dead_letters[0]);
    operator.succeed(&["discard", dead_letter, "--reason", "a test of the checkout"]);
    let number = i32::try_from(dead_letters[0]["partition"].as_i64().unwrap()).unwrap();
    let position = (Partition { topic: TOPIC, number }, dead_letters[0]["offset"].as_i64().unwrap());
    assert_eq!(discarded(connections, "analytics").await.unwrap(), HashSet::from([position]));
    assert_eq!(discarded(connections, "recommendation").await.unwrap(), HashSet::new());

    assert!(operator.fail(&["discard", dead_letter]).contains("it was discarded at "));
    assert!(operator.fail(&["requeue", dead_letter, "--unchecked"]).contains("it was discarded at "));
    assert_eq!(id(&operator.list(&["--status", "discarded"])[0]), dead_letter);
    assert!(operator.succeed(&["show", dead_letter]).contains("a test of the checkout"));
    assert_eq!(operator.list(&[]).len(), OPEN - 1, "the others are open");
    let output = operator.succeed(&["discard", "--all-matching", "--yes"]);
    assert_eq!(output.lines().count(), OPEN - 1, "{output}");
    assert!(operator.list(&[]).is_empty());
    assert_eq!(operator.list(&["--status", "all"]).len(), 2 * OPEN + 1);
    assert_eq!(discarded(connections, "analytics").await.unwrap().len(), 2);

    let mut elsewhere = connections.clone();
    elsewhere.namespace = "t_no_such_shop".parse().unwrap();
    assert_eq!(discarded(&elsewhere, "analytics").await.unwrap(), HashSet::new(), "no topic, no decision");
}

fn invalid_arguments_are_errors(operator: &Operator) {
    let message = operator.fail(&["show", "analytics/order-completed/0/777"]);
    assert!(message.contains("no such dead letter: analytics/order-completed/0/777"), "{message}");
    let message = operator.fail(&["discard", "analytics/order-completed/0/777"]);
    assert!(message.contains("no such dead letter"), "{message}");
    let message = operator.fail(&["list", "--group", "unknown"]);
    assert!(message.contains("there are: recommendation, analytics"), "{message}");
    let message = operator.fail(&["requeue", "--all-matching", "--cause", "no such cause", "--yes"]);
    assert!(message.contains("no dead letter matches"), "{message}");
    let message = operator.fail(&["discard", "--all-matching", "--status", "all"]);
    assert!(message.contains("give --yes"), "{message}");
    let message = operator.fail(&["requeue"]);
    assert!(message.contains("required"), "{message}");
    let message = operator.fail(&["requeue", "analytics/order-completed/0/4000", "--cause", "older"]);
    assert!(message.contains("filters go with --all-matching"), "{message}");
    let empty = operator.run(&["list", "--cause", "no such cause"]);
    assert!(empty.status.success() && String::from_utf8(empty.stderr).unwrap().contains("no dead letter matches"));

    let began = Instant::now();
    let mut unavailable = operator.shop.command(&["replay", "dead-letters", "list"]);
    let output = unavailable.env("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1").output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("from kafka at 127.0.0.1:1"), "{message}");
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
}
