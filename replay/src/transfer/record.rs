//! A record of the log as a JSON line of an export.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Utc};
use jangbogo_log::append_time::{APPEND_TIME_HEADER, append_time_value, carried_append_time};
use rdkafka::message::{BorrowedMessage, Header, Headers as _, Message as _, OwnedHeaders};
use serde::de::{Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A record without its topic and partition, which are in the file's name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogRecord {
    /// Offset in the exported partition.
    pub offset: i64,
    /// The broker's append time, in milliseconds; none if the log has no timestamps.
    pub appended_at: Option<DateTime<Utc>>,
    /// Key; null is distinct from empty.
    pub key: Option<Bytes>,
    /// The value; null is a tombstone.
    pub value: Option<Bytes>,
    /// All headers in order; a name may occur more than once, a value may be null.
    pub headers: Vec<(String, Option<Bytes>)>,
}

/// Bytes, as a JSON string where they are UTF-8 and `{"base64": "…"}` where they are not.
#[derive(Clone, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl From<&BorrowedMessage<'_>> for LogRecord {
    fn from(message: &BorrowedMessage<'_>) -> Self {
        let bytes = |value: &[u8]| Bytes(value.to_vec());
        let mut headers = Vec::new();
        if let Some(found) = message.headers() {
            headers.reserve(found.count());
            headers.extend(found.iter().map(|header| (header.key.to_owned(), header.value.map(bytes))));
        }
        Self {
            offset: message.offset(),
            appended_at: message.timestamp().to_millis().and_then(DateTime::from_timestamp_millis),
            key: message.key().map(bytes),
            value: message.payload().map(bytes),
            headers,
        }
    }
}

impl LogRecord {
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        let record: Self = serde_json::from_slice(line)?;
        if record.headers.iter().any(|(name, _)| name.contains('\0')) {
            return Err(serde_json::Error::custom("a header's name holds a NUL"));
        }
        Ok(record)
    }

    /// The record as an import sends it: with a header for its append time, unless it has one with an earlier time.
    pub fn imported(mut self) -> Self {
        let Some(appended_at) = self.appended_at else { return self };
        let headers = self.headers.iter();
        let carried = carried_append_time(
            headers.map(|(name, value)| (name.as_str(), value.as_ref().map(|value| value.0.as_slice()))),
        );
        if carried.is_none_or(|carried| carried > appended_at) {
            let value = append_time_value(appended_at).into_bytes();
            self.headers.push((APPEND_TIME_HEADER.to_owned(), Some(Bytes(value))));
        }
        self
    }

    /// True if key, value and headers are equal.
    pub fn has_content_of(&self, other: &Self) -> bool {
        self.key == other.key && self.value == other.value && self.headers == other.headers
    }

    pub fn kafka_headers(&self) -> OwnedHeaders {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (name, value) in &self.headers {
            headers = headers.insert(Header { key: name, value: value.as_ref().map(|value| &value.0) });
        }
        headers
    }
}

impl fmt::Debug for Bytes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Ok(text) = std::str::from_utf8(&self.0) {
            return serializer.serialize_str(text);
        }
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("base64", &BASE64_STANDARD.encode(&self.0))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BytesVisitor)
    }
}

struct BytesVisitor;

impl<'de> Visitor<'de> for BytesVisitor {
    type Value = Bytes;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string or {\"base64\": \"…\"}")
    }

    fn visit_str<E>(self, text: &str) -> Result<Bytes, E> {
        Ok(Bytes(text.as_bytes().to_vec()))
    }

    fn visit_string<E>(self, text: String) -> Result<Bytes, E> {
        Ok(Bytes(text.into_bytes()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Bytes, A::Error> {
        let Some(("base64", encoded)) = map.next_entry::<&str, &str>()? else {
            return Err(A::Error::custom("bytes that are not UTF-8 are {\"base64\": \"…\"}"));
        };
        if map.next_key::<&str>()?.is_some() {
            return Err(A::Error::custom("unexpected key beside \"base64\""));
        }
        BASE64_STANDARD.decode(encoded).map(Bytes).map_err(A::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> LogRecord {
        let bytes = |value: &[u8]| Some(Bytes(value.to_vec()));
        LogRecord {
            offset: 7,
            appended_at: Some("2026-03-01T12:00:00.250Z".parse().unwrap()),
            key: bytes(b"\xff\x00"),
            value: bytes("{\"name\": \"린넨\"}\n".as_bytes()),
            headers: vec![
                ("ce_id".to_owned(), bytes(b"1")),
                ("twice".to_owned(), bytes(b"")),
                ("twice".to_owned(), None),
                ("binary".to_owned(), bytes(b"\xfe")),
            ],
        }
    }

    #[test]
    fn a_line_is_readable_and_keeps_everything() {
        let line = serde_json::to_string(&record()).unwrap();
        assert_eq!(
            line,
            "{\"offset\":7,\"appended_at\":\"2026-03-01T12:00:00.250Z\",\"key\":{\"base64\":\"/wA=\"},\
             \"value\":\"{\\\"name\\\": \\\"린넨\\\"}\\n\",\"headers\":[[\"ce_id\",\"1\"],[\"twice\",\"\"],\
             [\"twice\",null],[\"binary\",{\"base64\":\"/g==\"}]]}"
        );
        assert_eq!(LogRecord::parse(line.as_bytes()).unwrap(), record());
        let bare = LogRecord { appended_at: None, key: None, value: None, headers: Vec::new(), ..record() };
        let line = serde_json::to_vec(&bare).unwrap();
        assert_eq!(LogRecord::parse(&line).unwrap(), bare);
    }

    #[test]
    fn an_import_adds_the_append_time_once() {
        let imported = record().imported();
        let (name, value) = imported.headers.last().unwrap();
        assert_eq!((name.as_str(), value), ("appendtime", &Some(Bytes(b"2026-03-01T12:00:00.250Z".to_vec()))));
        // An imported record is exported later and imported again.
        let later = Some("2026-04-01T00:00:00Z".parse().unwrap());
        let again = LogRecord { appended_at: later, ..imported.clone() }.imported();
        assert!(again.has_content_of(&imported));
    }

    #[test]
    fn a_header_without_a_time_or_with_a_later_one_is_no_append_time() {
        for value in ["yesterday", "2026-03-01T12:00:00.251Z"] {
            let mut record = record();
            record.headers.push(("appendtime".to_owned(), Some(Bytes(value.as_bytes().to_vec()))));
            assert_eq!(record.clone().imported().headers.len(), record.headers.len() + 1);
        }
    }

    #[test]
    fn other_lines_are_refused() {
        for (line, cause) in [
            ("{}", "missing field `offset`"),
            (r#"{"offset":0,"appended_at":null,"key":5,"value":null,"headers":[]}"#, "expected a string or"),
            (r#"{"offset":0,"appended_at":null,"key":{"hex":"00"},"value":null,"headers":[]}"#, "are {\"base64\""),
            (r#"{"offset":0,"appended_at":null,"key":{"base64":"?"},"value":null,"headers":[]}"#, "Invalid"),
            (r#"{"offset":0,"appended_at":null,"key":null,"value":null,"headers":[["a\u0000",""]]}"#, "NUL"),
            (r#"{"offset":0,"appended_at":null,"key":null,"value":null,"headers":[],"more":1}"#, "unknown field"),
        ] {
            let error = LogRecord::parse(line.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(cause), "{line}: {error}");
        }
    }
}
