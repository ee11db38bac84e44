//! Decodes a Kafka message to an event, or keeps the raw message with the cause of the failure.

use std::collections::HashSet;
use std::hash::BuildHasher;

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::{Event, Topic};
use jangbogo_platform::namespace::Namespace;
use jangbogo_telemetry::causes;
use rdkafka::message::{BorrowedMessage, Headers as _, Message};

use crate::append_time::append_time;
use crate::{Partition, Record, Refused};

/// Maximum lead of an event's time over its append time.
const MAX_TIME_AHEAD: TimeDelta = TimeDelta::hours(1);

/// Decodes a message; none if its topic is outside the namespace. A position discarded by an operator is refused,
/// even if it decodes.
#[must_use]
pub fn decode<S: BuildHasher>(
    namespace: &Namespace,
    discarded: &HashSet<(Partition, i64), S>,
    message: &BorrowedMessage<'_>,
) -> Option<Record> {
    let partition = Partition { topic: namespace.topic_of(message.topic())?, number: message.partition() };
    let is_discarded = discarded.contains(&(partition, message.offset()));
    let headers = headers(message);
    let named = headers.iter().flatten().copied();
    let appended_at = append_time(message.timestamp(), named.clone());
    let outcome = if is_discarded {
        Err("discarded by an operator".to_owned())
    } else {
        event_with_headers(partition.topic, message, headers.as_deref()).and_then(|event| on_time(event, appended_at))
    };
    let outcome = outcome.map_err(|cause| {
        Box::new(Refused {
            cause,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: named.map(|(name, value)| (name.to_owned(), value.map(<[u8]>::to_vec))).collect(),
            // The discard decision is about its dead letter, which exists.
            kept: is_discarded,
        })
    });
    Some(Record { partition, offset: message.offset(), appended_at, bytes: message.payload_len() + 200, outcome })
}

/// Decodes a message of a topic, at whatever time it was appended.
///
/// # Errors
/// The cause of the refusal.
pub fn event_of_message(topic: Topic, message: &impl Message) -> Result<Event, String> {
    event_with_headers(topic, message, headers(message).as_deref())
}

fn event_with_headers(topic: Topic, message: &impl Message, headers: Option<&[Header<'_>]>) -> Result<Event, String> {
    let headers = headers.ok_or("a header name is not UTF-8; the headers are dropped")?;
    let headers: Vec<(&str, &[u8])> = headers.iter().map(|(name, value)| (*name, value.unwrap_or_default())).collect();
    let value = message.payload().unwrap_or_default();
    Event::decode(jangbogo_events::Record { topic, headers: &headers, value })
        .map_err(|error| causes(&error).to_string())
}

/// A header's name and value.
pub type Header<'a> = (&'a str, Option<&'a [u8]>);

/// A message's headers; none if a name is not UTF-8, on which the client panics.
pub fn headers(message: &impl Message) -> Option<Vec<Header<'_>>> {
    let Some(headers) = message.headers() else { return Some(Vec::new()) };
    let read = || headers.iter().map(|header| (header.key, header.value)).collect();
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).ok()
}

/// Decodes a record of the log.
///
/// # Errors
/// The cause of the refusal.
pub fn event_of(record: jangbogo_events::Record<'_>, appended_at: DateTime<Utc>) -> Result<Event, String> {
    let event = Event::decode(record).map_err(|error| causes(&error).to_string())?;
    on_time(event, appended_at)
}

fn on_time(event: Event, appended_at: DateTime<Utc>) -> Result<Event, String> {
    let time = event.envelope.time;
    if time > appended_at + MAX_TIME_AHEAD {
        return Err(format!(
            "the event's time {time} is more than an hour ahead of {appended_at}, when it was appended"
        ));
    }
    Ok(event)
}
