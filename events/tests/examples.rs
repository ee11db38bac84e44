//! Every example under `schemas/` equals what this build writes, fits its schema, and can be decoded.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use boon::{Compiler, Draft, Schemas};
use jangbogo_events::{Data, Event, EventType, Record, Topic, schemas};
use serde_json::{Value, json};

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../schemas")
}

fn read_json(name: &str) -> Value {
    let path = directory().join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Each version of each event ever released.
fn released() -> impl Iterator<Item = (EventType, u32)> {
    EventType::ALL.iter().flat_map(|&event_type| (1..=event_type.version()).map(move |version| (event_type, version)))
}

fn decode_example(example: &Value) -> Event {
    let headers: Vec<(&str, &[u8])> = example["headers"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap().as_bytes()))
        .collect();
    let topic = Topic::from_name(example["topic"].as_str().unwrap()).unwrap();
    let value = serde_json::to_vec(&example["data"]).unwrap();
    Event::decode(Record { topic, headers: &headers, value: &value }).unwrap()
}

#[test]
fn the_directory_holds_the_generated_files_and_those_of_old_versions() {
    let generated = schemas::generated().unwrap();
    for (name, content) in &generated {
        let path = directory().join(name);
        let found = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(&found, content, "{name} has drifted: run `jangbogo events schemas`");
    }
    let expected: BTreeSet<String> = generated.into_keys().chain(schemas::kept()).collect();
    let found: BTreeSet<String> = fs::read_dir(directory())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn every_released_example_is_read_and_carries_its_key() {
    for (event_type, version) in released() {
        let example = read_json(&schemas::example_file(event_type, version));
        let event = decode_example(&example);
        assert_eq!(event.data.event_type(), event_type);
        assert_eq!(event.data.key(), example["key"].as_str().unwrap(), "{event_type:?} v{version}");
    }
}

#[test]
fn every_released_example_fits_its_schema_and_nothing_else_does() {
    for (event_type, version) in released() {
        let schema = read_json(&schemas::schema_file(event_type, version));
        assert_eq!(schema["$id"], format!("urn:jangbogo:schema:{}:v{version}", event_type.name()));
        assert!(schema["title"].is_string() && schema["description"].is_string(), "{event_type:?} v{version}");
        let (mut compiler, mut schemas) = (Compiler::new(), Schemas::new());
        compiler.set_default_draft(Draft::V2020_12);
        let location = schema["$id"].as_str().unwrap();
        compiler.add_resource(location, schema.clone()).unwrap();
        let root = compiler.compile(location, &mut schemas).unwrap();
        let validate = |data: &Value| schemas.validate(data, root).map_err(|error| error.to_string());
        let example = read_json(&schemas::example_file(event_type, version));
        let mut data = example["data"].clone();
        validate(&data).unwrap_or_else(|error| panic!("{event_type:?} v{version}: {error}"));
        data["no_such_field"] = json!(true);
        assert!(validate(&data).is_err(), "{event_type:?} v{version} accepts an unknown field");
        assert!(validate(&json!({})).is_err(), "{event_type:?} v{version} accepts an empty object");
    }
}

#[test]
fn every_event_is_read_as_it_was_written() {
    for &event_type in EventType::ALL {
        let example = read_json(&schemas::example_file(event_type, event_type.version()));
        let mut event = decode_example(&example);
        assert_eq!(event.data, event_type.example());
        event.envelope.causation_id = Some("cause".to_owned());
        event.envelope.correlation_id = Some("correlation".to_owned());
        event.envelope.traceparent = Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".to_owned());
        event.envelope.subject_key_id = Some("key".to_owned());
        let encoded = event.encode().unwrap();
        let headers: Vec<(&str, &[u8])> =
            encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let record = Record { topic: encoded.topic, headers: &headers, value: &encoded.value };
        assert_eq!(Event::decode(record).unwrap(), event);
    }
}

#[test]
fn a_product_of_version_1_becomes_one_of_version_2() {
    let first = decode_example(&read_json("product-upserted.v1.example.json"));
    let Data::ProductUpserted(product) = first.data else { panic!("not a product") };
    let price = product.price.unwrap();
    assert_eq!((price.amount_minor, price.currency.as_str()), (255, "GBP"));
    assert_eq!(&*product.title, "WHITE HANGING HEART T-LIGHT HOLDER");
}

#[test]
fn numbers_that_json_cannot_hold_are_refused_when_writing() {
    let Data::PurchasePatternAnalyzed(mut pattern) = EventType::PurchasePatternAnalyzed.example() else {
        panic!("not a pattern")
    };
    pattern.median_days_between_orders = Some(f64::NAN);
    assert!(Data::from(pattern.clone()).to_json().is_err());
    pattern.median_days_between_orders = None;
    pattern.mean_units_per_order = f64::INFINITY;
    assert!(Data::from(pattern).to_json().is_err());
}

#[test]
fn the_async_api_document_names_every_topic_and_file_that_exists() {
    let document = read_json(schemas::ASYNC_API);
    for topic in Topic::ALL {
        assert_eq!(document["channels"][topic.name()]["address"], topic.name());
    }
    for &event_type in EventType::ALL {
        let name = event_type.name();
        let in_channel = &document["channels"][event_type.topic().name()]["messages"][name]["$ref"];
        assert_eq!(*in_channel, format!("#/components/messages/{name}"));
        let file = document["components"]["messages"][name]["payload"]["schema"]["$ref"].as_str().unwrap();
        assert!(directory().join(file).exists(), "{file}");
    }
}
