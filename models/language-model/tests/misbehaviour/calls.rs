//! Settings, prompt and schema of the calls under test.

use std::time::Duration;

use jangbogo_language_model::{ApiKey, LanguageModel, LanguageModelMetrics, Prompt, Role, Schema, Settings};
use jangbogo_telemetry::Metrics;
use serde_json::json;

/// Settings with short timeouts and pauses.
pub fn settings(base_url: &str) -> Settings {
    Settings {
        base_url: Some(base_url.to_owned()),
        api_key: Some(ApiKey::from("sk-secret")),
        model: "wanted-1".to_owned(),
        time_limit: Duration::from_secs(3),
        piece_limit: Duration::from_millis(400),
        min_pause: Duration::from_millis(10),
        max_pause: Duration::from_millis(50),
        breaker_calls: 100,
        ..Settings::default()
    }
}

pub fn model(settings: &Settings) -> LanguageModel {
    model_and_metrics(settings).0
}

pub fn model_and_metrics(settings: &Settings) -> (LanguageModel, Metrics) {
    let metrics = Metrics::new().unwrap();
    let registered = LanguageModelMetrics::register(&metrics, &[]).unwrap();
    (LanguageModel::new(settings, registered).unwrap().unwrap(), metrics)
}

pub fn prompt() -> Prompt {
    Prompt { system: "Say what is wanted.".to_owned(), messages: vec![(Role::User, "A red dress".to_owned())] }
}

/// A colour and a count of at most five.
pub fn schema() -> Schema {
    let schema = json!({
        "type": "object",
        "properties": {
            "colour": { "type": "string", "maxLength": 12 },
            "count": { "type": "integer", "minimum": 0, "maximum": 5 },
        },
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    Schema::new("wish", schema).unwrap()
}
