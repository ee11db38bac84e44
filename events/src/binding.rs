//! `CloudEvents`' Kafka protocol binding, binary mode: attributes are `ce_*` headers, the value is the data as JSON.

use chrono::{DateTime, SecondsFormat, SubsecRound as _, Utc};

use crate::envelope::{Envelope, Event};
use crate::registry::{DataError, EventType};
use crate::topic::Topic;
use crate::upcast;

/// Prefix of the attributes' header names.
pub(crate) const HEADER_PREFIX: &str = "ce_";

const SPEC_VERSION: &str = "1.0";
const CONTENT_TYPE: &str = "application/json";
const SCHEMA_PREFIX: &str = "urn:jangbogo:schema:";
pub(crate) const MAX_ATTRIBUTE_BYTES: usize = 128;

/// An event as Kafka carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// Topic to produce to.
    pub topic: Topic,
    /// Partition key: events that must stay in order share it.
    pub key: String,
    /// Header names and values, in a fixed order.
    pub headers: Vec<(&'static str, String)>,
    /// The data as JSON.
    pub value: Vec<u8>,
}

/// The parts of a Kafka record that an event is read from.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Topic the record was read from.
    pub topic: Topic,
    /// Header names and values.
    pub headers: &'a [(&'a str, &'a [u8])],
    /// The value; empty if the record has none.
    pub value: &'a [u8],
}

/// The parts of an event as text, outside Kafka: such as the columns of a row of the outbox.
#[derive(Clone, Copy, Debug)]
pub struct EventParts<'a> {
    /// Topic that the event is meant for.
    pub topic: Topic,
    /// Name of the event's type.
    pub event_type: &'a str,
    /// Version of the schema of `data`; none for the newest.
    pub schema_version: Option<u32>,
    /// `id` of the envelope.
    pub id: &'a str,
    /// `source` of the envelope.
    pub source: &'a str,
    /// `time` of the envelope, as RFC 3339.
    pub time: &'a str,
    /// `causationid` of the envelope.
    pub causation_id: Option<&'a str>,
    /// `correlationid` of the envelope.
    pub correlation_id: Option<&'a str>,
    /// `traceparent` of the envelope.
    pub traceparent: Option<&'a str>,
    /// `subjectkeyid` of the envelope.
    pub subject_key_id: Option<&'a str>,
    /// The data as JSON.
    pub data: &'a [u8],
}

/// Failure to read a record as an event.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// A required attribute is missing.
    #[error("the header {HEADER_PREFIX}{0} is missing")]
    MissingAttribute(&'static str),
    /// An attribute is invalid.
    #[error("the header {HEADER_PREFIX}{attribute} is invalid: {reason}")]
    InvalidAttribute {
        /// Name of the attribute, without prefix.
        attribute: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
    /// No event type has this name.
    #[error("the event type {0:?} is unknown")]
    UnknownType(String),
    /// The event belongs on another topic.
    #[error("the event type {event_type} belongs on {expected}, not on {found}")]
    WrongTopic {
        /// Name of the event type.
        event_type: &'static str,
        /// The event type's topic.
        expected: Topic,
        /// Topic of the record.
        found: Topic,
    },
    /// The version is newer than this program's, or never existed.
    #[error("version {version} of {event_type} is unknown: this program reads 1 to {newest}")]
    UnknownVersion {
        /// Name of the event type.
        event_type: &'static str,
        /// The version that the record names.
        version: u32,
        /// The newest version known.
        newest: u32,
    },
    /// The value does not fit the schema.
    #[error("the value breaks schema {event_type} v{version}")]
    Data {
        /// Name of the event type.
        event_type: &'static str,
        /// The version that `ce_dataschema` names.
        version: u32,
        /// The error and its path.
        #[source]
        source: DataError,
    },
}

impl Event {
    /// Writes the event as a Kafka record.
    ///
    /// # Errors
    /// When the data cannot be written as JSON (a non-finite number).
    pub fn encode(&self) -> Result<Encoded, serde_json::Error> {
        let event_type = self.data.event_type();
        let Envelope { id, source, causation_id, correlation_id, traceparent, subject_key_id, .. } = &self.envelope;
        let time = self.envelope.time.to_rfc3339_opts(SecondsFormat::Micros, true);
        let schema = schema_urn(event_type, event_type.version());
        let optional = [causation_id, correlation_id, traceparent, subject_key_id].map(Option::as_deref);
        let headers = headers([id, source, event_type.name(), &time, &schema], optional);
        let headers = headers.map(|(name, value)| (name, value.to_owned())).collect();
        Ok(Encoded {
            topic: event_type.topic(),
            key: self.data.key().into_owned(),
            headers,
            value: self.data.to_json()?,
        })
    }

    /// Reads an event from its parts as [`Event::decode`] reads it from a Kafka record.
    ///
    /// # Errors
    /// When the parts are not an event of this topic that this program knows: see [`DecodeError`].
    pub fn from_parts(parts: &EventParts<'_>) -> Result<Event, DecodeError> {
        let unknown = || DecodeError::UnknownType(shortened(parts.event_type));
        let event_type = EventType::from_name(parts.event_type).ok_or_else(unknown)?;
        let schema = schema_urn(event_type, parts.schema_version.unwrap_or_else(|| event_type.version()));
        let optional = [parts.causation_id, parts.correlation_id, parts.traceparent, parts.subject_key_id];
        let headers = headers([parts.id, parts.source, parts.event_type, parts.time, &schema], optional);
        let headers: Vec<_> = headers.map(|(name, value)| (name, value.as_bytes())).collect();
        Event::decode(Record { topic: parts.topic, headers: &headers, value: parts.data })
    }

    /// Reads a Kafka record, upcasting older versions to the newest.
    ///
    /// # Errors
    /// When the record is not an event of this topic that this program knows: see [`DecodeError`].
    pub fn decode(record: Record<'_>) -> Result<Event, DecodeError> {
        let specversion = required(&record, "specversion")?;
        if specversion != SPEC_VERSION {
            return Err(invalid("specversion", format!("expected {SPEC_VERSION}, found {specversion:?}")));
        }
        let type_name = required(&record, "type")?;
        let event_type =
            EventType::from_name(type_name).ok_or_else(|| DecodeError::UnknownType(shortened(type_name)))?;
        if event_type.topic() != record.topic {
            return Err(DecodeError::WrongTopic {
                event_type: event_type.name(),
                expected: event_type.topic(),
                found: record.topic,
            });
        }
        let version = schema_version(event_type, required(&record, "dataschema")?)?;
        let mut envelope = Envelope::new(bounded(&record, "id")?, bounded(&record, "source")?, event_time(&record)?);
        envelope.causation_id = optional(&record, "causationid")?;
        envelope.correlation_id = optional(&record, "correlationid")?;
        envelope.traceparent = optional(&record, "traceparent")?;
        envelope.subject_key_id = optional(&record, "subjectkeyid")?;
        let data = upcast::read(event_type, version, record.value).map_err(|source| DecodeError::Data {
            event_type: event_type.name(),
            version,
            source,
        })?;
        Ok(Event { envelope, data })
    }
}

/// The headers of an event, in their fixed order.
fn headers<'a>(
    [id, source, event_type, time, schema]: [&'a str; 5],
    [causation_id, correlation_id, traceparent, subject_key_id]: [Option<&'a str>; 4],
) -> impl Iterator<Item = (&'static str, &'a str)> {
    let all = [
        ("ce_specversion", Some(SPEC_VERSION)),
        ("ce_id", Some(id)),
        ("ce_source", Some(source)),
        ("ce_type", Some(event_type)),
        ("ce_time", Some(time)),
        ("ce_dataschema", Some(schema)),
        ("content-type", Some(CONTENT_TYPE)),
        ("ce_causationid", causation_id),
        ("ce_correlationid", correlation_id),
        ("ce_traceparent", traceparent),
        ("ce_subjectkeyid", subject_key_id),
    ];
    all.into_iter().filter_map(|(name, value)| Some((name, value?)))
}

/// The `dataschema` of a version of an event.
pub(crate) fn schema_urn(event_type: EventType, version: u32) -> String {
    format!("{SCHEMA_PREFIX}{}:v{version}", event_type.name())
}

fn schema_version(event_type: EventType, urn: &str) -> Result<u32, DecodeError> {
    let version = urn
        .strip_prefix(SCHEMA_PREFIX)
        .and_then(|rest| rest.strip_prefix(event_type.name()))
        .and_then(|rest| rest.strip_prefix(":v"))
        .and_then(|version| version.parse::<u32>().ok());
    match version {
        Some(version) if (1..=event_type.version()).contains(&version) => Ok(version),
        Some(version) => {
            Err(DecodeError::UnknownVersion { event_type: event_type.name(), version, newest: event_type.version() })
        }
        None => Err(invalid(
            "dataschema",
            format!("expected {}, found {:?}", schema_urn(event_type, event_type.version()), shortened(urn)),
        )),
    }
}

fn event_time(record: &Record<'_>) -> Result<DateTime<Utc>, DecodeError> {
    let text = required(record, "time")?;
    let time = DateTime::parse_from_rfc3339(text)
        .map_err(|error| invalid("time", format!("{:?} is not an RFC 3339 time: {error}", shortened(text))))?
        .with_timezone(&Utc)
        .trunc_subsecs(6);
    // A time outside these years is a mistake, and Postgres' and Elasticsearch's ranges differ.
    let year = chrono::Datelike::year(&time);
    if !(1900..=2999).contains(&year) {
        return Err(invalid("time", format!("the year must be 1900 to 2999, not {year}")));
    }
    Ok(time)
}

fn header<'a>(record: &Record<'a>, attribute: &'static str) -> Result<Option<&'a str>, DecodeError> {
    let header =
        record.headers.iter().find(|(name, _)| name.strip_prefix(HEADER_PREFIX).is_some_and(|name| name == attribute));
    let Some((_, value)) = header else { return Ok(None) };
    let text = std::str::from_utf8(value).map_err(|error| invalid(attribute, error.to_string()))?;
    if text.contains('\0') {
        return Err(invalid(attribute, "it contains a NUL character".to_owned()));
    }
    Ok(Some(text))
}

fn required<'a>(record: &Record<'a>, attribute: &'static str) -> Result<&'a str, DecodeError> {
    header(record, attribute)?.ok_or(DecodeError::MissingAttribute(attribute))
}

fn bounded<'a>(record: &Record<'a>, attribute: &'static str) -> Result<&'a str, DecodeError> {
    let text = required(record, attribute)?;
    check_length(attribute, text)?;
    Ok(text)
}

fn optional(record: &Record<'_>, attribute: &'static str) -> Result<Option<String>, DecodeError> {
    let Some(text) = header(record, attribute)? else { return Ok(None) };
    check_length(attribute, text)?;
    Ok(Some(text.to_owned()))
}

fn check_length(attribute: &'static str, text: &str) -> Result<(), DecodeError> {
    if (1..=MAX_ATTRIBUTE_BYTES).contains(&text.len()) {
        return Ok(());
    }
    Err(invalid(attribute, format!("it must be 1 to {MAX_ATTRIBUTE_BYTES} bytes long, not {}", text.len())))
}

fn invalid(attribute: &'static str, reason: String) -> DecodeError {
    DecodeError::InvalidAttribute { attribute, reason }
}

fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
