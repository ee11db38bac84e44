//! A row of the outbox, and the Kafka record it becomes.

use jangbogo_events::{Encoded, Event, EventParts, Topic};
use jangbogo_telemetry::causes;

/// The largest value of a topic, in bytes.
const MAX_VALUE_BYTES: usize = 4 * 1024 * 1024;

/// A row as the relay selects it. Everything is text, so that whatever a shop inserted can be read and then validated.
#[derive(Clone, Debug, sqlx::FromRow)]
pub(super) struct OutboxRow {
    pub(super) sequence: i64,
    topic: String,
    key: String,
    #[sqlx(rename = "type")]
    event_type: String,
    schema_version: Option<i32>,
    data: String,
    event_id: String,
    source: String,
    /// RFC 3339; none if it is infinite.
    event_time: Option<String>,
    /// The event time is more than an hour ahead of Postgres' clock.
    ahead: bool,
    causation_id: Option<String>,
    correlation_id: Option<String>,
    traceparent: Option<String>,
    subject_key_id: Option<String>,
}

impl OutboxRow {
    /// Encodes the record with the code that writes every event.
    pub(super) fn encode(&self) -> Result<Encoded, String> {
        let Some(topic) = Topic::from_name(&self.topic) else {
            return Err(format!("the topic {:?} is unknown", self.topic));
        };
        let Some(event_time) = &self.event_time else {
            return Err("the event time is infinite".to_owned());
        };
        if self.ahead {
            return Err(format!("the event time {event_time} is more than an hour ahead"));
        }
        let schema_version = self.schema_version.map(u32::try_from).transpose();
        let parts = EventParts {
            topic,
            event_type: &self.event_type,
            schema_version: schema_version.map_err(|_| "the schema version is negative".to_owned())?,
            id: &self.event_id,
            source: &self.source,
            time: event_time,
            causation_id: self.causation_id.as_deref(),
            correlation_id: self.correlation_id.as_deref(),
            traceparent: self.traceparent.as_deref(),
            subject_key_id: self.subject_key_id.as_deref(),
            data: self.data.as_bytes(),
        };
        let event = Event::from_parts(&parts).map_err(|error| causes(&error).to_string())?;
        if event.data.key() != self.key {
            return Err(format!("the key is {:?}, but this event's is {:?}", self.key, event.data.key()));
        }
        let encoded = event.encode().map_err(|error| causes(&error).to_string())?;
        if encoded.value.len() > MAX_VALUE_BYTES {
            return Err(format!("the data has {} bytes, more than {MAX_VALUE_BYTES}", encoded.value.len()));
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> OutboxRow {
        OutboxRow {
            sequence: 1,
            topic: "catalog-events".to_owned(),
            key: "20725".to_owned(),
            event_type: "product-upserted".to_owned(),
            schema_version: None,
            data: r#"{"title": "LUNCH BAG", "product_id": "20725"}"#.to_owned(),
            event_id: "1".to_owned(),
            source: "shop".to_owned(),
            event_time: Some("2026-01-02T03:04:05.000006Z".to_owned()),
            ahead: false,
            causation_id: None,
            correlation_id: Some("request-1".to_owned()),
            traceparent: None,
            subject_key_id: None,
        }
    }

    #[test]
    fn a_row_becomes_the_record_of_its_event() {
        let encoded = row().encode().unwrap();
        assert_eq!((encoded.topic, encoded.key.as_str()), (Topic::CatalogEvents, "20725"));
        assert_eq!(encoded.value, br#"{"product_id":"20725","title":"LUNCH BAG"}"#);
        let header = |name: &str| encoded.headers.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
        assert_eq!(header("ce_id"), Some("1"));
        assert_eq!(header("ce_time"), Some("2026-01-02T03:04:05.000006Z"));
        assert_eq!(header("ce_correlationid"), Some("request-1"));
        assert_eq!(header("ce_causationid"), None);
        assert_eq!(header("ce_dataschema"), Some("urn:jangbogo:schema:product-upserted:v2"));
    }

    #[test]
    fn an_older_version_is_upcast() {
        let mut old = row();
        old.schema_version = Some(1);
        old.data = r#"{"product_id": "20725", "title": "LUNCH BAG", "price": "2.55", "currency": "GBP"}"#.to_owned();
        let encoded = old.encode().unwrap();
        assert!(String::from_utf8(encoded.value).unwrap().contains(r#""amount_minor":255"#));
    }

    #[test]
    fn an_invalid_row_is_refused_with_its_reason() {
        type Change = fn(&mut OutboxRow);
        let cases: [(Change, &str); 10] = [
            (|row| row.topic = "orders".to_owned(), r#"the topic "orders" is unknown"#),
            (|row| row.topic = "order-completed".to_owned(), "belongs on catalog-events, not on order-completed"),
            (|row| row.key = "1".to_owned(), r#"the key is "1", but this event's is "20725""#),
            (|row| row.event_type = "product-sold".to_owned(), r#"the event type "product-sold" is unknown"#),
            (|row| row.schema_version = Some(9), "version 9 of product-upserted is unknown"),
            (|row| row.schema_version = Some(-1), "the schema version is negative"),
            (|row| row.data = r#"{"product_id": "20725"}"#.to_owned(), "missing field `title`"),
            (|row| row.event_time = None, "the event time is infinite"),
            (|row| row.ahead = true, "more than an hour ahead"),
            (|row| row.source = String::new(), "ce_source is invalid"),
        ];
        for (change, expected) in cases {
            let mut row = row();
            change(&mut row);
            let reason = row.encode().unwrap_err();
            assert!(reason.contains(expected), "{reason:?} does not hold {expected:?}");
        }
    }
}
