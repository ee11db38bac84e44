//! Decoding arbitrary bytes gives an event or a cause, never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use jangbogo_events::{Event, EventType, Record, Topic};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const ATTRIBUTES: &[&str] = &[
    "ce_specversion",
    "ce_id",
    "ce_source",
    "ce_type",
    "ce_time",
    "ce_dataschema",
    "ce_causationid",
    "ce_traceparent",
];

/// Topic, headers and value.
type RawRecord = (Topic, Vec<(String, Vec<u8>)>, Vec<u8>);

/// A valid record of an event type, with its example as the value.
fn valid_record(event_type: EventType, version: u32) -> RawRecord {
    let dataschema = format!("urn:jangbogo:schema:{}:v{version}", event_type.name());
    let headers = [
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "test"),
        ("ce_type", event_type.name()),
        ("ce_time", "2010-12-01T08:26:00Z"),
        ("ce_dataschema", &dataschema),
    ];
    let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    (event_type.topic(), headers, event_type.example().to_json().unwrap())
}

fn decode(topic: Topic, headers: &[(String, Vec<u8>)], value: &[u8]) {
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    if let Ok(event) = Event::decode(Record { topic, headers: &headers, value }) {
        let encoded = event.encode().unwrap();
        let headers: Vec<(&str, &[u8])> =
            encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let again = Event::decode(Record { topic, headers: &headers, value: &encoded.value }).unwrap();
        assert_eq!(again.encode().unwrap(), encoded, "a decoded event is encoded and decoded without a change");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn noise_never_panics(
        topic in select(Topic::ALL),
        headers in vec((select(ATTRIBUTES), vec(any::<u8>(), 0..40)), 0..10),
        value in vec(any::<u8>(), 0..200),
    ) {
        let headers: Vec<_> = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        decode(topic, &headers, &value);
    }

    #[test]
    fn damaged_examples_never_panic(
        event_type in select(EventType::ALL),
        damaged_header in any::<Index>(),
        header in proptest::option::of("\\PC{0,60}"),
        damages in vec((any::<Index>(), any::<u8>()), 0..4),
        old_version in any::<bool>(),
    ) {
        let version = if old_version { 1 } else { event_type.version() };
        let (topic, mut headers, mut value) = valid_record(event_type, version);
        if let Some(header) = header {
            let index = damaged_header.index(headers.len());
            headers[index].1 = header.into_bytes();
        }
        for (index, byte) in damages {
            let index = index.index(value.len());
            value[index] = byte;
        }
        decode(topic, &headers, &value);
    }
}
