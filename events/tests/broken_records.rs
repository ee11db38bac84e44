//! A table of invalid records, and the causes that decoding gives.

use std::error::Error;

use jangbogo_events::{Event, Record, Topic};

const ORDER: &str =
    r#"{"order_id":"1","currency":"GBP","items":[{"product_id":"20725","quantity":1,"total_minor":165}]}"#;

/// A valid order, of which each case breaks one property.
struct Broken {
    topic: Topic,
    headers: Vec<(String, Vec<u8>)>,
    value: Vec<u8>,
}

impl Broken {
    fn new() -> Self {
        let headers = [
            ("ce_specversion", "1.0"),
            ("ce_id", "1"),
            ("ce_source", "test"),
            ("ce_type", "order-completed"),
            ("ce_time", "2010-12-01T08:26:00Z"),
            ("ce_dataschema", "urn:jangbogo:schema:order-completed:v1"),
        ];
        Self {
            topic: Topic::OrderCompleted,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect(),
            value: ORDER.into(),
        }
    }

    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(header, _)| header != name);
        self
    }

    fn with(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let mut broken = self.without(name);
        broken.headers.push((name.to_owned(), value.as_ref().to_vec()));
        broken
    }

    fn value(mut self, value: impl Into<Vec<u8>>) -> Self {
        self.value = value.into();
        self
    }

    fn product(version: u32, value: &str) -> Self {
        let mut broken = Self::new()
            .with("ce_type", "product-upserted")
            .with("ce_dataschema", format!("urn:jangbogo:schema:product-upserted:v{version}"))
            .value(value);
        broken.topic = Topic::CatalogEvents;
        broken
    }

    fn cause(&self) -> String {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let error = match Event::decode(Record { topic: self.topic, headers: &headers, value: &self.value }) {
            Ok(event) => return format!("read: {:?}", event.data),
            Err(error) => error,
        };
        let mut cause = error.to_string();
        let mut source = error.source();
        while let Some(error) = source {
            cause = format!("{cause}: {error}");
            source = error.source();
        }
        cause
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "it is one table")]
fn causes_are_precise() {
    let line = |item: &str| Broken::new().value(format!(r#"{{"order_id":"1","currency":"GBP","items":[{item}]}}"#));
    let long_id = "x".repeat(65);
    let cases = [
        (Broken::new().without("ce_specversion"), "the header ce_specversion is missing"),
        (Broken::new().without("ce_id"), "the header ce_id is missing"),
        (Broken::new().without("ce_source"), "the header ce_source is missing"),
        (Broken::new().without("ce_type"), "the header ce_type is missing"),
        (Broken::new().without("ce_time"), "the header ce_time is missing"),
        (Broken::new().without("ce_dataschema"), "the header ce_dataschema is missing"),
        (
            Broken::new().with("ce_specversion", "0.3"),
            r#"the header ce_specversion is invalid: expected 1.0, found "0.3""#,
        ),
        (Broken::new().with("ce_id", ""), "the header ce_id is invalid: it must be 1 to 128 bytes long, not 0"),
        (
            Broken::new().with("ce_source", "x".repeat(129)),
            "the header ce_source is invalid: it must be 1 to 128 bytes long, not 129",
        ),
        (Broken::new().with("ce_id", "a\0b"), "the header ce_id is invalid: it contains a NUL character"),
        (
            Broken::new().with("ce_traceparent", b"\xff"),
            "the header ce_traceparent is invalid: invalid utf-8 sequence of 1 bytes from index 0",
        ),
        (Broken::new().with("ce_type", "order-shipped"), r#"the event type "order-shipped" is unknown"#),
        (
            Broken::new().with("ce_type", "product-viewed"),
            "the event type product-viewed belongs on product-viewed, not on order-completed",
        ),
        (
            Broken::new().with("ce_dataschema", "urn:jangbogo:schema:order-completed:v2"),
            "version 2 of order-completed is unknown: this program reads 1 to 1",
        ),
        (
            Broken::new().with("ce_dataschema", "urn:jangbogo:schema:order-completed:v0"),
            "version 0 of order-completed is unknown: this program reads 1 to 1",
        ),
        (
            Broken::new().with("ce_dataschema", "order-completed"),
            "the header ce_dataschema is invalid: expected urn:jangbogo:schema:order-completed:v1, found \
             \"order-completed\"",
        ),
        (
            Broken::new().with("ce_time", "yesterday"),
            "the header ce_time is invalid: \"yesterday\" is not an RFC 3339 time: premature end of input",
        ),
        (
            Broken::new().with("ce_time", "2010-12-01T08:26:00"),
            "the header ce_time is invalid: \"2010-12-01T08:26:00\" is not an RFC 3339 time: premature end of input",
        ),
        (
            Broken::new().with("ce_time", "0001-01-01T00:00:00Z"),
            "the header ce_time is invalid: the year must be 1900 to 2999, not 1",
        ),
        (
            Broken::new().value(""),
            "the value breaks schema order-completed v1: the value does not fit: it must be a JSON object",
        ),
        (
            Broken::new().value(b"\xff\xfe\x00".as_slice()),
            "the value breaks schema order-completed v1: the value does not fit: it must be a JSON object",
        ),
        (
            Broken::new().value("[]"),
            "the value breaks schema order-completed v1: the value does not fit: it must be a JSON object",
        ),
        (
            Broken::new().value(format!("{ORDER} {{}}")),
            "the value breaks schema order-completed v1: the value does not fit: trailing characters at line 1 column \
             99",
        ),
        (
            Broken::new().value(r#"{"order_id":"1","currency":"GBP"}"#),
            "the value breaks schema order-completed v1: the value does not fit: missing field `items` at line 1 \
             column 33",
        ),
        (
            Broken::new().value(r#"{"order_id":"1","currency":"GBP","items":[]}"#),
            "the value breaks schema order-completed v1: items does not fit: expected 1 to 10000 entries, found 0 at \
             line 1 column 44",
        ),
        (
            Broken::new().value(r#"{"order_id":1}"#),
            "the value breaks schema order-completed v1: order_id does not fit: invalid type: integer `1`, expected a \
             string at line 1 column 13",
        ),
        (
            Broken::new().value(format!(r#"{{"order_id":"{long_id}"}}"#)),
            "the value breaks schema order-completed v1: order_id does not fit: an id must be 1 to 64 bytes long, \
             this one has 65 at line 1 column 80",
        ),
        (
            Broken::new().value(r#"{"order_id":"1","currency":"gbp"}"#),
            "the value breaks schema order-completed v1: currency does not fit: a currency must be three capital \
             letters such as GBP, not \"gbp\" at line 1 column 33",
        ),
        (
            line(r#"{"product_id":"1","quantity":0,"total_minor":1}"#),
            "the value breaks schema order-completed v1: items[0].quantity does not fit: a quantity must be 1 to \
             1000000, not 0 at line 1 column 72",
        ),
        (
            line(r#"{"product_id":"1","quantity":1.5,"total_minor":1}"#),
            "the value breaks schema order-completed v1: items[0].quantity does not fit: invalid type: floating point \
             `1.5`, expected i64 at line 1 column 74",
        ),
        (
            line(r#"{"product_id":"1","quantity":1,"total_minor":-1}"#),
            "the value breaks schema order-completed v1: items[0].total_minor does not fit: a line total must be 0 to \
             1000000000000 minor units, not -1 at line 1 column 90",
        ),
        (
            line(r#"{"product_id":"1","quantity":1,"total_minor":1,"colour":"red"}"#),
            "the value breaks schema order-completed v1: items[0].colour does not fit: unknown field `colour`, \
             expected one of `product_id`, `quantity`, `total_minor` at line 1 column 97",
        ),
        (
            Broken::product(2, r#"{"product_id":"1","title":"bag","price":"2.55"}"#),
            "the value breaks schema product-upserted v2: price does not fit: invalid type: string \"2.55\", expected \
             struct Money at line 1 column 46",
        ),
        (
            Broken::product(2, &format!(r#"{{"product_id":"1","title":"{}"}}"#, "x".repeat(513))),
            "the value breaks schema product-upserted v2: title does not fit: a text must have at most 512 \
             characters, this one has 513 at line 1 column 542",
        ),
        (
            Broken::product(1, r#"{"product_id":"1","title":"bag","price":"2,55","currency":"GBP"}"#),
            "the value breaks schema product-upserted v1: the value does not fit: price must be a decimal text, not \
             \"2,55\"",
        ),
        (
            Broken::product(1, r#"{"product_id":"1","title":"bag","price":"2.55"}"#),
            "the value breaks schema product-upserted v1: the value does not fit: a price needs its currency",
        ),
        (
            Broken::product(1, "[1]"),
            "the value breaks schema product-upserted v1: the value does not fit: a product must be a JSON object",
        ),
    ];
    let found: Vec<String> = cases.iter().map(|(broken, _)| broken.cause()).collect();
    let expected: Vec<&str> = cases.iter().map(|(_, expected)| *expected).collect();
    assert_eq!(found, expected);
}

#[test]
fn unknown_attributes_are_ignored() {
    let event = Broken::new().with("ce_partitionkey", b"\xff").with("other", b"\xff");
    assert!(event.cause().starts_with("read: OrderCompleted"), "{}", event.cause());
}
