//! Reads the dead letters of a group.

use std::collections::HashSet;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use jangbogo_events::{Event, Topic};
use jangbogo_log::Partition;
use jangbogo_log::decode::{event_of, headers};
use jangbogo_log::topic::{ReadError, Records, read_to_end};
use jangbogo_platform::config::Connections;
use rdkafka::message::{Message as _, OwnedMessage};
use tracing::warn;

use super::{APPENDED_AT, CAUSE, GROUP, HEADER_PREFIX, OFFSET, PARTITION, Position, TOPIC};

/// A record that a group refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub group: String,
    /// Position of the record in the log.
    pub position: Position,
    pub cause: String,
    /// Time of the record's append to its own topic.
    pub appended_at: DateTime<Utc>,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Headers of the record, without those of the dead letter.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl DeadLetter {
    /// Decodes the record as if it were appended at this time.
    ///
    /// # Errors
    /// The cause of the refusal.
    pub fn event(&self, appended_at: DateTime<Utc>) -> Result<Event, String> {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref().unwrap_or_default())).collect();
        let value = self.value.as_deref().unwrap_or_default();
        event_of(jangbogo_events::Record { topic: self.position.0.topic, headers: &headers, value }, appended_at)
    }

    /// None if a header of dead letters is missing or does not parse.
    fn from_message(message: &OwnedMessage) -> Option<DeadLetter> {
        let all = headers(message)?;
        let text = |name: &str| {
            // The record may have had such headers of its own: those of the dead letter come last.
            let (_, value) = all.iter().rev().find(|(key, _)| *key == name)?;
            std::str::from_utf8((*value)?).ok()
        };
        let topic = Topic::from_name(text(TOPIC)?)?;
        let own = all.iter().filter(|(name, _)| !name.starts_with(HEADER_PREFIX));
        Some(DeadLetter {
            group: text(GROUP)?.to_owned(),
            position: (Partition { topic, number: number(text(PARTITION)?)? }, number(text(OFFSET)?)?),
            cause: text(CAUSE)?.to_owned(),
            appended_at: DateTime::parse_from_rfc3339(text(APPENDED_AT)?).ok()?.to_utc(),
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: own.map(|(name, value)| ((*name).to_owned(), value.map(<[u8]>::to_vec))).collect(),
        })
    }
}

fn number<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

/// Stream of a group's dead letters: see [`dead_letters`].
#[derive(Debug)]
pub struct DeadLetters {
    topic: String,
    group: String,
    records: Records,
    seen: HashSet<Position>,
}

/// Starts to read a group's dead letters from the oldest to the current end. A group without a topic has none.
#[must_use]
pub fn dead_letters(connections: &Connections, group: &str) -> DeadLetters {
    let topic = connections.namespace.dead_letter_topic(group);
    let records = read_to_end(connections, topic.clone());
    DeadLetters { topic, group: group.to_owned(), records, seen: HashSet::new() }
}

impl DeadLetters {
    /// The next dead letter. A record that was kept twice, before and after a crash, comes once.
    ///
    /// # Errors
    /// When Kafka is unavailable.
    pub async fn next(&mut self) -> Result<Option<DeadLetter>, ReadError> {
        while let Some(message) = self.records.recv().await.transpose()? {
            let offset = message.offset();
            match DeadLetter::from_message(&message) {
                Some(letter) if letter.group != self.group => {
                    let group = letter.group;
                    warn!(topic = self.topic, offset, group, "record skipped: dead letter of another group");
                }
                Some(letter) if self.seen.insert(letter.position) => return Ok(Some(letter)),
                Some(_) => {}
                None => {
                    warn!(topic = self.topic, offset, "record skipped: missing or invalid dead-letter headers");
                }
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::{Header, OwnedHeaders};

    use super::*;

    fn message(headers: &[(&str, Option<&str>)]) -> OwnedMessage {
        let headers =
            headers.iter().fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: *value }));
        let value = Some(b"value".to_vec());
        OwnedMessage::new(value, None, "dead-letter.g".to_owned(), Timestamp::NotAvailable, 0, 9, Some(headers))
    }

    const POSITION: [(&str, Option<&str>); 6] = [
        (CAUSE, Some("it is no event")),
        (GROUP, Some("g")),
        (TOPIC, Some("order-completed")),
        (PARTITION, Some("2")),
        (OFFSET, Some("1042")),
        (APPENDED_AT, Some("2026-03-01T12:00:00.250+00:00")),
    ];

    #[test]
    fn a_dead_letter_is_the_record_and_its_position() {
        let mut headers = vec![("ce_id", Some("1")), ("empty", None), (OFFSET, Some("the record's own"))];
        headers.extend(POSITION);
        let letter = DeadLetter::from_message(&message(&headers)).unwrap();
        assert_eq!(letter.position, (Partition { topic: Topic::OrderCompleted, number: 2 }, 1042));
        assert_eq!((letter.group.as_str(), letter.cause.as_str()), ("g", "it is no event"));
        assert_eq!(letter.appended_at.timestamp_subsec_millis(), 250);
        assert_eq!((letter.key, letter.value), (None, Some(b"value".to_vec())));
        assert_eq!(letter.headers, [("ce_id".to_owned(), Some(b"1".to_vec())), ("empty".to_owned(), None)]);
    }

    #[test]
    fn a_record_that_lacks_a_header_is_no_dead_letter() {
        for missing in 0..POSITION.len() {
            let mut headers = POSITION.to_vec();
            headers.remove(missing);
            assert_eq!(DeadLetter::from_message(&message(&headers)), None);
        }
    }
}
