//! Invalid records on every topic become dead letters with cause and position, and do not stop the fold.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use jangbogo_events::{Envelope, Event, EventType, Topic};
use jangbogo_fold::Processor;
use jangbogo_processors::PROCESSORS;
use jangbogo_store::watermark;
use jangbogo_test_support::{Shop, headers_of};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

fn valid_event(event_type: EventType, id: &str) -> Event {
    let envelope = Envelope::new(id, "test", Utc::now() - TimeDelta::minutes(5));
    Event { envelope, data: event_type.example() }
}

fn types_of(topic: Topic) -> impl Iterator<Item = &'static EventType> {
    EventType::ALL.iter().filter(move |event_type| event_type.topic() == topic)
}

/// Header names and values.
type RawHeaders = Vec<(String, Vec<u8>)>;

/// Headers of a valid event, with some values replaced.
fn headers(event: &Event, replaced: &[(&str, &str)]) -> RawHeaders {
    let encoded = event.encode().unwrap();
    let replace = |name: &str, value: String| {
        let replacement = replaced.iter().find(|(replaced, _)| *replaced == name);
        replacement.map_or(value, |(_, replacement)| (*replacement).to_owned()).into_bytes()
    };
    encoded.headers.into_iter().map(|(name, original)| (name.to_owned(), replace(name, original))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_records_become_dead_letters_and_valid_events_are_folded() {
    let mut shop = Shop::open("garbage").await;
    let read: BTreeSet<Topic> = PROCESSORS.iter().flat_map(|processor| processor.topics()).collect();
    let mut invalid_per_topic = 0;
    for topic in &read {
        let event_type = *types_of(*topic).next().unwrap();
        let valid = valid_event(event_type, &format!("{topic}-valid"));
        let future = Envelope::new("future", "test", Utc::now() + TimeDelta::hours(2));
        let late = Event { envelope: future, data: event_type.example() };
        let two_megabytes = vec![b'x'; 2 << 20];
        let invalid: [(RawHeaders, Vec<u8>); 6] = [
            (Vec::new(), b"\xff\xfe no headers, no text".to_vec()),
            (headers(&valid, &[]), b"{".to_vec()),
            (headers(&valid, &[]), b"{\"surprise\": true}".to_vec()),
            (headers(&valid, &[("ce_type", "unheard-of")]), valid.encode().unwrap().value),
            (headers(&valid, &[]), two_megabytes),
            (headers(&late, &[]), late.encode().unwrap().value),
        ];
        invalid_per_topic = invalid.len();
        for (number, (headers, value)) in invalid.into_iter().enumerate() {
            let headers: Vec<(&str, &[u8])> =
                headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
            shop.produce_raw(*topic, Some(format!("key {number}")), headers_of(&headers), value).await;
            shop.produce(&[valid_event(event_type, &format!("{topic}-{number}"))]).await;
        }
    }
    shop.start_processors();
    shop.settle().await;

    for processor in PROCESSORS {
        let expected = invalid_per_topic * processor.topics().len();
        let dead_letters = dead_letters(&shop, processor, expected);
        assert_eq!(dead_letters.len(), expected, "{}: {dead_letters:#?}", processor.name);
        for cause in ["missing", "EOF", "surprise", "unheard-of", "must be a JSON object", "ahead"] {
            let topics = dead_letters.iter().filter(|dead_letter| dead_letter.cause.contains(cause)).count();
            assert!(topics >= processor.topics().len(), "{}: no cause {cause:?} in {dead_letters:#?}", processor.name);
        }
        let live = shop.live(processor).await.unwrap();
        let mut database = shop.database().await;
        let sql = format!("SELECT count(*) FROM {}.seen", live.generation.schema);
        let seen: i64 = sqlx::query_scalar(&sql).fetch_one(&mut database).await.unwrap();
        assert_eq!(usize::try_from(seen).unwrap(), expected, "as many valid events as invalid records");
        assert!(watermark(&mut database, &live.generation).await.unwrap().unwrap() <= Utc::now());
    }
    shop.close().await;
}

#[derive(Debug)]
struct DeadLetter {
    cause: String,
    bytes: usize,
}

fn dead_letters(shop: &Shop, processor: &Processor, expected: usize) -> Vec<DeadLetter> {
    let topic = shop.connections.namespace.dead_letter_topic(processor.name);
    let consumer: BaseConsumer = shop
        .connections
        .kafka_client("test")
        .set("group.id", "test")
        .set("enable.auto.commit", "false")
        .create()
        .unwrap();
    let mut assignment = TopicPartitionList::new();
    for (partition, _) in (0..).zip(shop.end_offsets(&topic)) {
        assignment.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut dead_letters = Vec::new();
    while let Some(message) = consumer.poll(Duration::from_secs(if dead_letters.len() < expected { 10 } else { 1 })) {
        let message = message.unwrap();
        let headers = message.headers().unwrap();
        let text = |name: &str| {
            let header = headers.iter().find(|header| header.key == name).unwrap_or_else(|| panic!("no {name}"));
            String::from_utf8(header.value.unwrap().to_vec()).unwrap()
        };
        assert_eq!(text("deadletter-group"), processor.name);
        assert!(Topic::from_name(&text("deadletter-topic")).is_some());
        text("deadletter-partition").parse::<i32>().unwrap();
        text("deadletter-offset").parse::<i64>().unwrap();
        dead_letters.push(DeadLetter { cause: text("deadletter-cause"), bytes: message.payload_len() });
    }
    assert!(dead_letters.iter().any(|dead_letter| dead_letter.bytes == 2 << 20), "large values are kept whole");
    dead_letters
}
