//! `replay export` and `replay import`: a copy has the same records at the same offsets, also after kills.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use jangbogo_events::{Envelope, Event, EventType, MemberId, Topic};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_test_support::{Shop, demo_lines};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Header, Headers as _, Message as _, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::{Offset, TopicPartitionList};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// Header names and values.
type RecordHeaders = Vec<(String, Option<Vec<u8>>)>;

/// A record as Kafka stores it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct StoredRecord {
    offset: i64,
    appended_at: String,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: RecordHeaders,
}

impl StoredRecord {
    /// The expected record after an import: the header `appendtime` has the time of its first append.
    fn imported(mut self) -> Self {
        if !self.headers.iter().any(|(name, _)| name == "appendtime") {
            self.headers.push(("appendtime".to_owned(), Some(self.appended_at.clone().into_bytes())));
        }
        self.appended_at = String::new();
        self
    }
}

/// All records of a topic, by partition.
fn records(shop: &Shop, topic: Topic) -> Vec<Vec<StoredRecord>> {
    let name = shop.connections.namespace.topic(topic);
    let ends = shop.end_offsets(&name);
    let mut config = shop.connections.kafka_client("test");
    let consumer: BaseConsumer = config.set("group.id", "test").set("enable.auto.commit", "false").create().unwrap();
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(ends.len()).unwrap() {
        assignment.add_partition_offset(&name, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut found = vec![Vec::new(); ends.len()];
    let mut missing: i64 = ends.iter().sum();
    while missing > 0 {
        let message = consumer.poll(Duration::from_secs(10)).expect("a record").unwrap();
        missing -= 1;
        let appended_at = DateTime::<Utc>::from_timestamp_millis(message.timestamp().to_millis().unwrap()).unwrap();
        let headers = message.headers().map(|headers| {
            headers.iter().map(|header| (header.key.to_owned(), header.value.map(<[u8]>::to_vec))).collect()
        });
        found[usize::try_from(message.partition()).unwrap()].push(StoredRecord {
            offset: message.offset(),
            appended_at: appended_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers.unwrap_or_default(),
        });
    }
    found
}

fn imported(records: Vec<Vec<StoredRecord>>) -> Vec<Vec<StoredRecord>> {
    records.into_iter().map(|partition| partition.into_iter().map(StoredRecord::imported).collect()).collect()
}

/// Asserts that the copy has the original's records at the same offsets. Returns their number.
fn assert_copied(original: &Shop, copy: &Shop, topic: Topic) -> usize {
    let expected = imported(records(original, topic));
    let found = imported(records(copy, topic));
    for (partition, (expected, found)) in expected.iter().zip(&found).enumerate() {
        for (expected, found) in expected.iter().zip(found) {
            assert_eq!(expected, found, "{topic}/{partition}");
        }
        assert_eq!(expected.len(), found.len(), "{topic}/{partition}");
    }
    found.iter().map(Vec::len).sum()
}

fn record_count(shop: &Shop) -> i64 {
    Topic::ALL.iter().flat_map(|topic| shop.end_offsets(&shop.connections.namespace.topic(*topic))).sum()
}

fn replay(shop: &Shop, command: &str, directory: &Path, more: &[&str]) -> Output {
    let option = if command == "export" { "--to" } else { "--from" };
    let directory = directory.to_str().unwrap();
    shop.command(&["replay", command, "--json", option, directory]).args(more).output().unwrap()
}

fn start(shop: &Shop, command: &str, directory: &Path, more: &[&str]) -> Child {
    let option = if command == "export" { "--to" } else { "--from" };
    let mut command = shop.command(&["replay", command, option, directory.to_str().unwrap()]);
    command.args(more).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// The summary that a successful command prints.
fn printed_summary(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Standard error of a command that fails.
fn refusal(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn event(event_type: EventType, id: &str, time: DateTime<Utc>) -> Event {
    Event { envelope: Envelope::new(id, "test", time), data: event_type.example() }
}

fn event_headers(event: &Event) -> OwnedHeaders {
    let encoded = event.encode().unwrap();
    encoded.headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(value) }))
}

/// Produces records that no program of this project produces: without key or value, with unusual headers.
async fn produce_unusual_records(shop: &Shop) {
    let producer: FutureProducer = shop.connections.kafka_producer("test").create().unwrap();
    let topic = shop.connections.namespace.topic(Topic::ProductViewed);
    let header = |key, value| Header { key, value };
    let headers = OwnedHeaders::new()
        .insert(header("twice", Some(b"1".as_slice())))
        .insert(header("null", None))
        .insert(header("binary", Some(b"\xff\xfe")))
        .insert(header("twice", Some(b"")));
    let empty: &[u8] = b"";
    let parts: [Parts<'_>; 5] = [
        (Some(b"\x00\xff\x80"), Some(b"\xc3\x28 no text"), Some(headers.clone())),
        (Some(b"tombstone"), None, None),
        (None, Some("{\"린넨\": \"\\u0000\n\"}".as_bytes()), Some(headers)),
        (Some(empty), Some(empty), None),
        (None, None, None),
    ];
    for (partition, (key, value, headers)) in (0..).zip(parts) {
        let mut record: FutureRecord<'_, [u8], [u8]> = FutureRecord::to(&topic).partition(partition);
        (record.key, record.payload, record.headers) = (key, value, headers);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    // Its header names an append time one day before its event time, as after an import from another log.
    let now = Utc::now();
    let early = event(EventType::ProductViewed, "early", now - TimeDelta::days(1));
    let carried = (now - TimeDelta::days(2)).to_rfc3339_opts(SecondsFormat::Millis, true);
    let headers = event_headers(&early).insert(Header { key: "appendtime", value: Some(&carried) });
    let encoded = early.encode().unwrap();
    shop.produce_raw(Topic::ProductViewed, Some(encoded.key), headers, encoded.value).await;
}

/// Key, value and headers of a record.
type Parts<'a> = (Option<&'a [u8]>, Option<&'a [u8]>, Option<OwnedHeaders>);

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_holds_the_same_records_and_folds_to_the_same_rows() {
    let mut original = Shop::open("original").await;
    let directory = tempfile::tempdir().unwrap();
    original.import(demo_lines(directory.path(), 5_000).to_str().unwrap());
    produce_unusual_records(&original).await;
    original.start_processors();
    original.settle().await;
    let dead_letters = |shop: &Shop| {
        let topic = shop.connections.namespace.dead_letter_topic(RECOMMENDATION.name);
        shop.end_offsets(&topic).iter().sum::<i64>()
    };
    assert_eq!(dead_letters(&original), 6, "the unusual records and the event that is ahead of its append time");

    let export = directory.path().join("export");
    let summary = printed_summary(&replay(&original, "export", &export, &["--all"]));
    assert_eq!(summary["records"], record_count(&original));
    assert_eq!(summary["resumed"], false);
    let again = refusal(&replay(&original, "export", &export, &["--all"]));
    assert!(again.contains("holds an export already"), "{again}");

    let mut copy = Shop::open("copy").await;
    let summary = printed_summary(&replay(&copy, "import", &export, &[]));
    assert_eq!((&summary["produced"], &summary["offsets_kept"]), (&record_count(&original).into(), &true.into()));
    for topic in Topic::ALL {
        assert_copied(&original, &copy, *topic);
    }
    copy.start_processors();
    copy.settle().await;
    copy.digest().await.assert_equal(&original.digest().await);
    assert_eq!(dead_letters(&copy), 6);

    let summary = printed_summary(&replay(&copy, "import", &export, &[]));
    assert_eq!((&summary["produced"], &summary["already_there"]), (&0.into(), &record_count(&original).into()));
    original.close().await;
    copy.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_exports_and_imports_resume() {
    let original = Shop::open("whole").await;
    let directory = tempfile::tempdir().unwrap();
    original.import(demo_lines(directory.path(), 20_000).to_str().unwrap());
    // Enough records for an import to take some seconds.
    let now = Utc::now();
    for thousand in 0..30 {
        let views = (0..1_000).map(|id| event(EventType::ProductViewed, &format!("view-{thousand}-{id}"), now));
        original.produce(&views.enumerate().map(|(id, view)| with_member(view, id)).collect::<Vec<_>>()).await;
    }
    let all = record_count(&original);
    let export = directory.path().join("export");
    let topics = ["order-completed", "catalog-events", "user-behavior", "product-viewed"];
    let more: Vec<&str> = topics.iter().flat_map(|topic| ["--topic", topic]).collect();

    let mut exporting = start(&original, "export", &export, &more);
    let is_written = || {
        let entries = fs::read_dir(&export).into_iter().flatten();
        entries.flatten().filter(|entry| entry.file_name().to_string_lossy().ends_with(".zst")).count() > 2
    };
    kill_when(&mut exporting, is_written);
    assert!(export.join("incomplete.json").exists() && !export.join("manifest.json").exists());
    let copy = Shop::open("killed").await;
    let early = refusal(&replay(&copy, "import", &export, &[]));
    assert!(early.contains("was interrupted; repeat"), "{early}");
    let other = refusal(&replay(&original, "export", &export, &["--all"]));
    assert!(
        other.contains("holds an interrupted export of catalog-events, order-completed, product-viewed, user-behavior"),
        "{other}"
    );
    let modified = |name: &str| fs::metadata(export.join(name)).unwrap().modified().unwrap();
    let before = modified("catalog-events.0.jsonl.zst");
    let summary = printed_summary(&replay(&original, "export", &export, &more));
    assert_eq!((&summary["records"], &summary["resumed"]), (&all.into(), &true.into()));
    assert_eq!(modified("catalog-events.0.jsonl.zst"), before, "what was written stays");

    let mut kills = 0;
    let orders = copy.connections.namespace.topic(Topic::OrderCompleted);
    let views = copy.connections.namespace.topic(Topic::ProductViewed);
    let imported_so_far = || [&orders, &views].iter().flat_map(|topic| copy.end_offsets(topic)).sum::<i64>();
    for _ in 0..2 {
        let (before, before_of_these) = (record_count(&copy), imported_so_far());
        let mut importing = start(&copy, "import", &export, &[]);
        kill_at_work(&mut importing, || imported_so_far() > before_of_these);
        kills += usize::from((before + 1..all).contains(&record_count(&copy)));
    }
    assert!(kills >= 1, "no kill met an import at work");
    let summary = printed_summary(&replay(&copy, "import", &export, &[]));
    assert_eq!(summary["records"], all);
    let copied: usize = Topic::ALL.iter().map(|topic| assert_copied(&original, &copy, *topic)).sum();
    assert_eq!(i64::try_from(copied).unwrap(), all, "nothing is missing, nothing is there twice");
    original.close().await;
    copy.close().await;
}

/// Sends SIGKILL as soon as `is_due`, unless the process has exited before.
fn kill_when(process: &mut Child, is_due: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_due() && process.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_mins(2), "the process makes no progress");
        std::thread::sleep(Duration::from_millis(5));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Sends SIGKILL as soon as some of the work is done, unless the process has exited before. The process is paused
/// during each check, so that it cannot finish meanwhile.
fn kill_at_work(process: &mut Child, has_begun: impl Fn() -> bool) {
    let (id, started) = (Pid::from_child(process), Instant::now());
    while process.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < Duration::from_mins(2), "the process makes no progress");
        kill_process(id, Signal::STOP).unwrap();
        if has_begun() {
            break;
        }
        kill_process(id, Signal::CONT).unwrap();
        std::thread::sleep(Duration::from_millis(25));
    }
    process.kill().unwrap();
    process.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_import_is_refused_before_a_record_is_produced() {
    let original = Shop::open("source").await;
    let now = Utc::now();
    let views: Vec<Event> = (0..60).map(|id| event(EventType::ProductViewed, &format!("view-{id}"), now)).collect();
    let views: Vec<Event> = views.into_iter().enumerate().map(|(id, view)| with_member(view, id)).collect();
    original.produce(&views).await;
    let directory = tempfile::tempdir().unwrap();
    let export = directory.path().join("export");
    let summary = printed_summary(&replay(&original, "export", &export, &["--topic", "product-viewed"]));
    assert_eq!(summary["records"], 60);
    let target = Shop::open("target").await;
    let refused = |from: &Path, more: &[&str]| {
        let refusal = refusal(&replay(&target, "import", from, more));
        assert_eq!(record_count(&target), 0, "{refusal}");
        refusal
    };

    let file = |partition: u32| export.join(format!("product-viewed.{partition}.jsonl.zst"));
    let kept = fs::read(file(5)).unwrap();
    fs::copy(file(4), file(5)).unwrap();
    let tampered = refused(&export, &[]);
    let manifest: Value = serde_json::from_slice(&fs::read(export.join("manifest.json")).unwrap()).unwrap();
    let partitions = &manifest["topics"][0]["partitions"];
    for digest in [4, 5].map(|partition: usize| partitions[partition]["file"]["sha256"].as_str().unwrap()) {
        assert!(tampered.contains(digest) && tampered.contains("product-viewed.5.jsonl.zst"), "{tampered}");
    }
    fs::write(file(5), &kept[..kept.len() / 2]).unwrap();
    assert!(refused(&export, &[]).contains("product-viewed.5.jsonl.zst is damaged"));
    fs::remove_file(file(5)).unwrap();
    assert!(refused(&export, &[]).contains("product-viewed.5.jsonl.zst"));
    fs::write(file(5), &kept).unwrap();

    let fewer = directory.path().join("fewer");
    fs::create_dir(&fewer).unwrap();
    let mut manifest = manifest.clone();
    manifest["topics"][0]["partitions"].as_array_mut().unwrap().pop();
    fs::write(fewer.join("manifest.json"), manifest.to_string()).unwrap();
    assert!(refused(&fewer, &[]).contains("has 6 partitions and the export of product-viewed 5"));
    assert!(refused(directory.path(), &[]).contains("holds no export: there is no manifest.json"));
    assert!(refused(&export, &["--topic", "order-completed"]).contains("holds nothing of order-completed"));
    assert!(refused(&export, &["--topic", "orders"]).contains("there is no such topic; there are: catalog-events"));
    assert!(
        refused(&export, &["--namespace", "t_nowhere"]).contains("the topic t_nowhere.product-viewed does not exist")
    );

    let dry = printed_summary(&replay(&target, "import", &export, &["--dry-run"]));
    assert_eq!((&dry["records"], &dry["produced"], record_count(&target)), (&60.into(), &0.into(), 0));
    target.produce(&[with_member(event(EventType::ProductViewed, "other", now), 0)]).await;
    let foreign = refusal(&replay(&target, "import", &export, &[]));
    assert!(foreign.contains("the record at offset 0 is not from this export"), "{foreign}");
    assert_eq!(record_count(&target), 1);
    let appended = replay(&target, "import", &export, &["--append"]);
    assert!(String::from_utf8_lossy(&appended.stderr).contains("records stand at other offsets"));
    assert_eq!((&printed_summary(&appended)["produced"], record_count(&target)), (&60.into(), 61));
    assert_eq!(printed_summary(&replay(&target, "import", &export, &["--append"]))["produced"], 0);
    original.close().await;
    target.close().await;
}

/// Sets the view's member, so that views are spread over all partitions.
fn with_member(mut view: Event, member: usize) -> Event {
    if let jangbogo_events::Data::ProductViewed(viewed) = &mut view.data {
        viewed.member_id = Some(MemberId::try_from(format!("member-{member}").as_str()).unwrap());
    }
    view
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_log_head_is_reported_and_decisions_keep_their_records() {
    let original = Shop::open("headless").await;
    let views: Vec<Event> =
        (0..5).map(|id| event(EventType::ProductViewed, &format!("view-{id}"), Utc::now())).collect();
    original.produce(&views).await;
    let topic = original.connections.namespace.topic(Topic::ProductViewed);
    let ends: BTreeMap<i32, i64> = (0..).zip(original.end_offsets(&topic)).collect();
    let (&partition, _) = ends.iter().find(|(_, end)| **end == 5).unwrap();
    let admin: AdminClient<_> = original.connections.kafka_client("test").create().unwrap();
    let mut until = TopicPartitionList::new();
    until.add_partition_offset(&topic, partition, Offset::Offset(3)).unwrap();
    admin.delete_records(&until, &AdminOptions::new()).await.unwrap();

    let directory = tempfile::tempdir().unwrap();
    let export = directory.path().join("export");
    let decision = event(EventType::DeadLetterDiscarded, "decision", Utc::now());
    original.produce(&[decision]).await;
    let output = replay(&original, "export", &export, &["--all"]);
    let warning = format!("product-viewed/{partition}: offsets 0 to 2 are gone from Kafka; the export begins at 3");
    assert!(String::from_utf8_lossy(&output.stderr).contains(&warning), "{output:?}");
    let summary = printed_summary(&output);
    let topics = summary["topics"].as_array().unwrap();
    let views = topics.iter().find(|topic| topic["topic"] == "product-viewed").unwrap();
    let exported = &views["partitions"][usize::try_from(partition).unwrap()];
    assert_eq!((&summary["records"], &exported["first_offset"]), (&3.into(), &3.into()));
    let copy = Shop::open("shorter").await;
    let misleading = refusal(&replay(&copy, "import", &export, &[]));
    assert!(misleading.contains("dead-letter-events names records by their offsets"), "{misleading}");
    assert_eq!(record_count(&copy), 0);
    let summary = printed_summary(&replay(&copy, "import", &export, &["--topic", "product-viewed"]));
    assert_eq!((&summary["produced"], &summary["offsets_kept"]), (&2.into(), &false.into()));
    original.close().await;
    copy.close().await;
}
