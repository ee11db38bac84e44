//! The contents of `schemas/`: the contract for programs that are not written in Rust.
//!
//! For each event type the newest version's JSON Schema (`<event>.v<N>.json`) and one complete record
//! (`<event>.v<N>.example.json`), and one `AsyncAPI` document of all topics (`asyncapi.json`). Files of older versions
//! were generated when these were the newest; they are kept unchanged, and their examples must still be read.

use std::collections::BTreeMap;

use chrono::DateTime;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::binding::{HEADER_PREFIX, MAX_ATTRIBUTE_BYTES, schema_urn};
use crate::envelope::{Envelope, Event, derived_id};
use crate::registry::EventType;
use crate::topic::Topic;

/// File name of the `AsyncAPI` document.
pub const ASYNC_API: &str = "asyncapi.json";

/// 2009-12-01 07:45 UTC, when the demo shop's first order was placed.
const EXAMPLE_TIME_SECONDS: i64 = 1_259_653_500;

/// File name of a version's JSON Schema.
#[must_use]
pub fn schema_file(event_type: EventType, version: u32) -> String {
    format!("{}.v{version}.json", event_type.name())
}

/// File name of a version's example.
#[must_use]
pub fn example_file(event_type: EventType, version: u32) -> String {
    format!("{}.v{version}.example.json", event_type.name())
}

/// All generated files: content by name.
///
/// # Errors
/// When an example cannot be written as JSON.
pub fn generated() -> Result<BTreeMap<String, String>, serde_json::Error> {
    let mut files = BTreeMap::new();
    for &event_type in EventType::ALL {
        files.insert(schema_file(event_type, event_type.version()), pretty(&schema(event_type))?);
        files.insert(example_file(event_type, event_type.version()), pretty(&example(event_type)?)?);
    }
    files.insert(ASYNC_API.to_owned(), pretty(&async_api())?);
    Ok(files)
}

/// Names of older versions' files, which are kept and never generated again.
pub fn kept() -> impl Iterator<Item = String> {
    EventType::ALL.iter().flat_map(|&event_type| {
        (1..event_type.version())
            .flat_map(move |version| [schema_file(event_type, version), example_file(event_type, version)])
    })
}

fn schema(event_type: EventType) -> Value {
    let generator = SchemaGenerator::new(SchemaSettings::draft2020_12());
    let mut schema = event_type.schema(generator);
    schema.insert("$id".to_owned(), schema_urn(event_type, event_type.version()).into());
    schema.to_value()
}

fn example(event_type: EventType) -> Result<Value, serde_json::Error> {
    let time = DateTime::from_timestamp(EXAMPLE_TIME_SECONDS, 0).unwrap_or_default();
    let id = derived_id(&["example", event_type.name()]).to_string();
    let encoded = Event { envelope: Envelope::new(id, "example", time), data: event_type.example() }.encode()?;
    let headers: Map<String, Value> =
        encoded.headers.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    Ok(json!({
        "topic": encoded.topic,
        "key": encoded.key,
        "headers": headers,
        "data": serde_json::from_slice::<Value>(&encoded.value)?,
    }))
}

fn async_api() -> Value {
    let channels: Map<String, Value> =
        Topic::ALL.iter().map(|&topic| (topic.name().to_owned(), channel(topic))).collect();
    let messages: Map<String, Value> =
        EventType::ALL.iter().map(|&event_type| (event_type.name().to_owned(), message(event_type))).collect();
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Jangbogo",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "All topics of the log and their events. CloudEvents 1.0, Kafka binary binding: \
                attributes are ce_* headers, the value is the data as JSON. A topic's address is prefixed with the \
                shop's namespace and a dot, where there is one.",
            "license": { "name": env!("CARGO_PKG_LICENSE") },
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "components": { "messages": messages, "schemas": { "cloudEventHeaders": headers_schema() } },
    })
}

fn channel(topic: Topic) -> Value {
    let messages: Map<String, Value> = EventType::ALL
        .iter()
        .filter(|event_type| event_type.topic() == topic)
        .map(|event_type| {
            let reference = format!("#/components/messages/{}", event_type.name());
            (event_type.name().to_owned(), json!({ "$ref": reference }))
        })
        .collect();
    json!({
        "address": topic.name(),
        "description": format!("{}. Key: {}.", topic.description(), topic.key()),
        "messages": messages,
        "bindings": { "kafka": { "partitions": topic.partitions(), "bindingVersion": "0.5.0" } },
    })
}

fn message(event_type: EventType) -> Value {
    let schema = schema(event_type);
    let description = schema.get("description").and_then(Value::as_str).unwrap_or_default();
    json!({
        "name": event_type.name(),
        "title": schema.get("title"),
        "description": description,
        "contentType": "application/json",
        "headers": { "$ref": "#/components/schemas/cloudEventHeaders" },
        "payload": {
            "schemaFormat": "application/schema+json;version=draft-2020-12",
            "schema": { "$ref": format!("./{}", schema_file(event_type, event_type.version())) },
        },
        "bindings": {
            "kafka": {
                "key": { "type": "string", "description": event_type.topic().key() },
                "bindingVersion": "0.5.0",
            },
        },
    })
}

fn headers_schema() -> Value {
    let attribute = |description: &str| {
        let max_length = MAX_ATTRIBUTE_BYTES;
        json!({ "type": "string", "minLength": 1, "maxLength": max_length, "description": description })
    };
    let attributes = [
        ("specversion", json!({ "type": "string", "const": "1.0" })),
        ("id", attribute("unique within the source; the first occurrence counts")),
        ("source", attribute("the producer of the event")),
        ("type", json!({ "type": "string", "enum": EventType::ALL.iter().map(|t| t.name()).collect::<Vec<_>>() })),
        ("time", json!({ "type": "string", "format": "date-time", "description": "time of the occurrence, UTC" })),
        ("dataschema", json!({ "type": "string", "pattern": "^urn:jangbogo:schema:[a-z-]+:v[1-9][0-9]*$" })),
        ("causationid", attribute("the event that caused this one")),
        ("correlationid", attribute("the conversation, request or import this belongs to")),
        ("traceparent", attribute("W3C trace context")),
        ("subjectkeyid", attribute("reserved: the key that personal text is encrypted with")),
    ];
    let required: Vec<String> = ["specversion", "id", "source", "type", "time", "dataschema"]
        .map(|name| format!("{HEADER_PREFIX}{name}"))
        .into();
    let properties: Map<String, Value> =
        attributes.into_iter().map(|(name, schema)| (format!("{HEADER_PREFIX}{name}"), schema)).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

/// Indented, with sorted names: the same text whatever the order of serde's maps in this build.
fn pretty(value: &Value) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(&sorted(value))?;
    text.push('\n');
    Ok(text)
}

fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(object) => {
            let by_name: BTreeMap<&String, &Value> = object.iter().collect();
            Value::Object(by_name.into_iter().map(|(name, value)| (name.clone(), sorted(value))).collect())
        }
        Value::Array(values) => Value::Array(values.iter().map(sorted).collect()),
        other => other.clone(),
    }
}
