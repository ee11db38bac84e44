//! Calls of a server that misbehaves. It answers over a socket, and paused time would run ahead of it: waits are real.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;

use std::sync::Arc;
use std::time::{Duration, Instant};

use calls::{model, model_and_metrics, prompt, schema, settings};
use jangbogo_language_model::{
    ApiKey, CallError, Completion, LanguageModel, LanguageModelMetrics, Settings, Temperature, Usage,
};
use jangbogo_resilience::breaker::BreakerState;
use jangbogo_telemetry::{Metrics, causes};
use jangbogo_test_support::scripted_server::{
    Reaction, ScriptedServer, Step, answer, chunk, end, event, finished, refusal, streamed,
};
use serde::Deserialize;
use serde_json::{Value, json};

const RED: &str = r#"{"colour":"red","count":1}"#;

#[derive(Debug, Deserialize, PartialEq)]
struct Wish {
    colour: String,
    count: u8,
}

async fn wish(model: &LanguageModel) -> Result<Completion<Wish>, CallError> {
    model.complete_json(&prompt(), &schema()).await
}

/// The result of streaming, and the chunks that were handed over.
async fn text(model: &LanguageModel) -> (Result<Completion<String>, CallError>, Vec<String>) {
    let mut chunks = Vec::new();
    let result = model.stream_text(&prompt(), |chunk| chunks.push(chunk.to_owned())).await;
    (result, chunks)
}

/// One call for a value of a server with this script: the result, and the number of requests.
async fn one_wish(script: impl IntoIterator<Item = Reaction>) -> (Result<Completion<Wish>, CallError>, usize) {
    let server = ScriptedServer::start(script).await;
    let result = wish(&model(&settings(&server.base_url))).await;
    (result, server.request_count())
}

/// One call for text of a server with this script: the result, the chunks, and the number of requests.
async fn one_text(
    script: impl IntoIterator<Item = Reaction>,
) -> (Result<Completion<String>, CallError>, Vec<String>, usize) {
    let server = ScriptedServer::start(script).await;
    let (result, chunks) = text(&model(&settings(&server.base_url))).await;
    (result, chunks, server.request_count())
}

#[tokio::test]
async fn a_value_comes_with_all_that_an_event_records() {
    let server = ScriptedServer::start([answer(RED)]).await;
    let model = model(&Settings { temperature: Temperature(Some(0.2)), ..settings(&server.base_url) });
    let completion = wish(&model).await.unwrap();
    assert_eq!(completion.output, Wish { colour: "red".to_owned(), count: 1 });
    assert_eq!(completion.model, "scripted-1");
    assert_eq!(completion.usage, Some(Usage { prompt_tokens: 30, completion_tokens: 12 }));
    assert_eq!(completion.attempts, 1);
    let parameters: Vec<(&str, &str)> =
        completion.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    assert_eq!(
        parameters,
        [
            ("format", "json_schema"),
            ("max_output_tokens", "1024"),
            ("model", "wanted-1"),
            ("schema", "wish"),
            ("temperature", "0.2"),
        ]
    );
    assert_eq!(completion.prompt_hash, wish(&model).await.unwrap().prompt_hash);

    let request = &server.requests()[0];
    assert!(request.head.starts_with("post /v1/chat/completions http/1.1"), "{}", request.head);
    assert!(request.head.contains("authorization: bearer sk-secret"), "{}", request.head);
    assert_eq!(
        request.body,
        json!({
            "model": "wanted-1",
            "messages": [
                { "role": "system", "content": "Say what is wanted." },
                { "role": "user", "content": "A red dress" },
            ],
            "temperature": 0.2,
            "max_tokens": 1024,
            "response_format": {
                "type": "json_schema",
                "json_schema": { "name": "wish", "strict": true, "schema": schema().value() },
            },
        })
    );
}

#[tokio::test]
async fn text_is_streamed_in_chunks() {
    let server = ScriptedServer::start([streamed(&["Here", " is", " 원피스."])]).await;
    let (result, chunks) = text(&model(&settings(&server.base_url))).await;
    let completion = result.unwrap();
    assert_eq!(chunks, ["Here", " is", " 원피스."]);
    assert_eq!(completion.output, "Here is 원피스.");
    assert_eq!(completion.model, "scripted-1");
    assert_eq!(completion.usage, Some(Usage { prompt_tokens: 30, completion_tokens: 12 }));
    assert_eq!(completion.parameters["format"], "text");
    let request = &server.requests()[0].body;
    assert_eq!(request["stream"], true);
    assert_eq!(request["stream_options"], json!({ "include_usage": true }));
    assert_eq!(request.get("response_format"), None);
}

#[tokio::test]
async fn chunks_are_handed_over_as_they_are_sent() {
    let pause = Step::Pause(Duration::from_millis(200));
    let steps = [vec![chunk("one"), pause.clone(), Step::Comment, pause, chunk("two")], end("stop")].concat();
    let server = ScriptedServer::start([Reaction::Stream(steps)]).await;
    let (began, mut times) = (Instant::now(), Vec::new());
    let model = model(&Settings { piece_limit: Duration::from_secs(3), ..settings(&server.base_url) });
    model.stream_text(&prompt(), |_| times.push(began.elapsed())).await.unwrap();
    assert!(times[0] + Duration::from_millis(300) <= times[1], "{times:?}");
}

#[tokio::test]
async fn local_servers_need_no_key_and_may_count_nothing() {
    let body = json!({ "choices": [{ "message": { "content": RED }, "finish_reason": "stop" }] });
    let server = ScriptedServer::start([Reaction::Say(200, "", body.to_string())]).await;
    let settings = Settings { api_key: None, temperature: Temperature(None), ..settings(&server.base_url) };
    let completion = wish(&model(&settings)).await.unwrap();
    assert_eq!((completion.model.as_str(), completion.usage), ("wanted-1", None));
    let request = &server.requests()[0];
    assert!(!request.head.contains("authorization"), "{}", request.head);
    assert_eq!(request.body.get("temperature"), None);
}

#[tokio::test]
async fn without_server_and_key_there_is_no_model() {
    let metrics = || LanguageModelMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    assert!(LanguageModel::new(&Settings::default(), metrics()).unwrap().is_none());
    let empty = Settings { base_url: Some(String::new()), api_key: Some(ApiKey::from(" ")), ..Settings::default() };
    assert!(LanguageModel::new(&empty, metrics()).unwrap().is_none());
}

#[tokio::test]
async fn a_pause_the_server_asks_for_is_kept() {
    let limited = || Reaction::Say(429, "retry-after: 0.3\r\n", "slow down".to_owned());
    let began = Instant::now();
    let (result, requests) = one_wish([limited(), answer(RED)]).await;
    assert_eq!((result.unwrap().attempts, requests), (2, 2));
    assert!(began.elapsed() >= Duration::from_millis(300));

    let (result, requests) = one_wish([limited()]).await;
    assert_eq!(requests, 3);
    let error = result.unwrap_err();
    assert!(matches!(&error, CallError::RateLimited { body, .. } if body == "slow down"), "{error:?}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn a_pause_beyond_the_deadline_fails_at_once() {
    let began = Instant::now();
    let (result, requests) = one_wish([Reaction::Say(429, "retry-after: 20\r\n", String::new())]).await;
    assert_eq!(requests, 1);
    let error = result.unwrap_err();
    assert!(
        matches!(error, CallError::RateLimited { retry_after: Some(pause), .. } if pause.as_secs() == 20),
        "{error:?}"
    );
    assert!(began.elapsed() < Duration::from_secs(2));
}

#[tokio::test]
async fn failures_of_the_server_are_retried() {
    let (result, requests) = one_wish([refusal(500, "oops"), Reaction::HangUp, answer(RED)]).await;
    assert_eq!((result.unwrap().attempts, requests), (3, 3));

    let (result, requests) = one_wish([Reaction::Say(503, "", "<html>overloaded</html>".to_owned())]).await;
    assert_eq!(requests, 3);
    let error = result.unwrap_err();
    assert!(matches!(&error, CallError::Refused { status: 503, body } if body.contains("overloaded")), "{error:?}");
    assert!(error.is_temporary());
}

#[tokio::test]
async fn invalid_arguments_are_not_retried() {
    for status in [400, 401, 403, 404, 422] {
        let (result, requests) = one_wish([refusal(status, "no such thing"), answer(RED)]).await;
        assert_eq!(requests, 1);
        let error = result.unwrap_err();
        assert!(error.to_string().contains("no such thing"), "{error}");
        assert!(matches!(error, CallError::Refused { status: refused, .. } if refused == status), "{error:?}");
        assert!(!error.is_temporary());
    }
    // A redirect is not followed, and the body of a refusal need not be JSON.
    let (result, requests) = one_wish([Reaction::Say(302, "location: /v1/elsewhere\r\n", String::new())]).await;
    assert!(matches!(result.unwrap_err(), CallError::Refused { status: 302, .. }));
    assert_eq!(requests, 1);
    // A spent quota does not recover within seconds.
    let (result, requests) = one_wish([refusal(429, "insufficient_quota")]).await;
    assert!(matches!(result.unwrap_err(), CallError::Refused { status: 429, .. }));
    assert_eq!(requests, 1);
}

#[tokio::test]
async fn the_key_is_in_no_error() {
    let (result, _) = one_wish([refusal(401, "incorrect key: sk-secret")]).await;
    let error = result.unwrap_err();
    assert!(!format!("{error:?} {}", causes(&error)).contains("secret"), "{error:?}");
    let server = ScriptedServer::start([answer(RED)]).await;
    assert!(!format!("{:?}", model(&settings(&server.base_url))).contains("secret"));
}

#[tokio::test]
async fn slow_answers_are_too_late() {
    let server = ScriptedServer::start([Reaction::Hang]).await;
    let settings = Settings { time_limit: Duration::from_millis(300), ..settings(&server.base_url) };
    let began = Instant::now();
    let error = wish(&model(&settings)).await.unwrap_err();
    assert!(matches!(error, CallError::TimedOut { setting: "LLM_TIMEOUT", .. }), "{error:?}");
    assert!(error.is_temporary());
    assert!(began.elapsed() < Duration::from_secs(2));
    assert_eq!(server.request_count(), 1);
    assert_eq!(text(&model(&settings)).await.0.unwrap_err().to_string(), error.to_string());
}

#[tokio::test]
async fn a_slow_first_chunk_is_retried() {
    let slow = Reaction::After(Duration::from_secs(2), Box::new(streamed(&["slow"])));
    // Comments do not count as a first chunk.
    let comments = vec![vec![Step::Comment, Step::Pause(Duration::from_millis(150))]; 4].concat();
    let talkative = Reaction::Stream([comments, vec![Step::Stall]].concat());
    let (result, chunks, requests) = one_text([slow, talkative, streamed(&["fast"])]).await;
    assert_eq!(chunks, ["fast"]);
    assert_eq!((result.unwrap().attempts, requests), (3, 3));
}

#[tokio::test]
async fn a_stall_is_an_error_and_is_not_retried() {
    let (result, chunks, requests) = one_text([Reaction::Stream(vec![chunk("Half an"), Step::Stall])]).await;
    assert!(matches!(result.unwrap_err(), CallError::TimedOut { setting: "LLM_PIECE_TIMEOUT", .. }));
    assert_eq!((chunks, requests), (vec!["Half an".to_owned()], 1));
}

#[tokio::test]
async fn a_server_killed_in_the_middle_is_an_error() {
    for reaction in [Reaction::Stream, Reaction::PlainStream] {
        let (result, chunks, requests) = one_text([reaction(vec![chunk("Half an"), Step::Kill])]).await;
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
        assert!(error.is_temporary());
        assert_eq!(
            (chunks, requests),
            (vec!["Half an".to_owned()], 1),
            "streamed once: a chunk that was handed over cannot be taken back"
        );

        let (result, chunks, requests) = one_text([reaction(vec![Step::Kill]), streamed(&["Whole"])]).await;
        assert_eq!((result.unwrap().output.as_str(), requests), ("Whole", 2), "no chunk was handed over yet");
        assert_eq!(chunks, ["Whole"]);

        // Only the token count is lost.
        let (result, _, requests) =
            one_text([reaction(vec![chunk("Whole"), end("stop")[0].clone(), Step::Kill])]).await;
        assert_eq!((result.unwrap().usage, requests), (None, 1));
    }
    // A stream that ends with [DONE], but without a finish_reason.
    let done = Step::Event("[DONE]".to_owned());
    let (result, ..) = one_text([Reaction::Stream(vec![chunk("Half an"), done])]).await;
    assert!(matches!(result.unwrap_err(), CallError::Unreachable { .. }));
    // Half a body of a value.
    let half = Reaction::Say(200, "content-length: 900\r\nx-", "{".to_owned());
    let (result, requests) = one_wish([half]).await;
    assert!(matches!(result.unwrap_err(), CallError::Unreachable { .. }));
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn cut_off_answers_are_errors() {
    for reason in ["length", "content_filter"] {
        let steps = [vec![chunk("Half an")], end(reason)].concat();
        let (result, _, requests) = one_text([Reaction::Stream(steps)]).await;
        let error = result.unwrap_err();
        assert!(matches!(&error, CallError::CutOff { reason: cause } if cause == reason), "{error:?}");
        assert_eq!(requests, 1);
        let (result, requests) = one_wish([finished(RED, reason)]).await;
        assert!(matches!(result.unwrap_err(), CallError::CutOff { .. }));
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn one_invalid_answer_is_retried() {
    for bad in ["No idea.", "{\"colour\":\"red\"", r#"{"colour":"red","count":6}"#, r#"{"colour":"red"}"#, ""] {
        let (result, requests) = one_wish([answer(bad), answer(RED)]).await;
        assert_eq!((result.unwrap().attempts, requests), (2, 2), "{bad}");
        let (result, requests) = one_wish([answer(bad)]).await;
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::InvalidOutput { .. }), "{error:?}");
        assert!(!error.is_temporary());
        assert_eq!(requests, 2, "{bad}");
    }
    let (result, requests) = one_wish([Reaction::Say(200, "", "<html>".to_owned()), answer(RED)]).await;
    assert_eq!((result.unwrap().attempts, requests), (2, 2));
}

#[tokio::test]
async fn wrapped_values_are_read() {
    let (result, requests) = one_wish([answer(&format!("Sure:\n```json\n{RED}\n```"))]).await;
    assert_eq!((result.unwrap().output.count, requests), (1, 1));
    let (result, _) = one_wish([answer(&format!("{RED} or {RED}"))]).await;
    assert!(matches!(result.unwrap_err(), CallError::InvalidOutput { .. }));
}

#[tokio::test]
async fn odd_answers_are_invalid() {
    let bodies = [
        json!({ "choices": [] }),
        json!({ "choices": "none" }),
        json!({ "choices": [{ "message": { "content": RED }, "finish_reason": "tool_calls" }] }),
        json!({ "choices": [{ "message": { "content": RED } }] }),
        json!({ "choices": [{ "message": { "refusal": "I do not like it." }, "finish_reason": "stop" }] }),
        json!(null),
    ];
    for body in bodies {
        let (result, _) = one_wish([Reaction::Say(200, "", body.to_string())]).await;
        let error = result.unwrap_err();
        assert!(matches!(error, CallError::InvalidOutput { .. }), "{body}: {error:?}");
    }
    for steps in [end("stop"), [vec![chunk(" \n")], end("stop")].concat()] {
        let (result, ..) = one_text([Reaction::Stream(steps)]).await;
        assert!(matches!(result.unwrap_err(), CallError::InvalidOutput { .. }));
    }
}

#[tokio::test]
async fn errors_in_a_stream_are_errors() {
    let error = event(&json!({ "error": { "code": 503, "message": "overloaded" } }));
    let (result, _, requests) = one_text([Reaction::Stream(vec![error.clone()]), streamed(&["Whole"])]).await;
    assert_eq!((result.unwrap().attempts, requests), (2, 2));
    let (result, ..) = one_text([Reaction::Stream(vec![chunk("Half an"), error])]).await;
    assert!(matches!(result.unwrap_err(), CallError::Refused { status: 503, .. }));
    let garbage = Step::Event("{".to_owned());
    let (result, ..) = one_text([Reaction::Stream(vec![chunk("Half an"), garbage])]).await;
    assert!(matches!(result.unwrap_err(), CallError::InvalidOutput { .. }));
}

#[tokio::test]
async fn endless_answers_end() {
    let (result, requests) = one_wish([answer(&"x".repeat(5 << 20))]).await;
    let error = result.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(causes(&error).to_string().contains("too long"), "{}", causes(&error));
    assert_eq!(requests, 3);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = wish(&model(&settings(&base_url))).await.unwrap_err();
    assert!(matches!(error, CallError::Unreachable { .. }), "{error:?}");
    assert!(causes(&error).to_string().contains("refused"), "{}", causes(&error));
}

#[tokio::test]
async fn the_breaker_opens_half_opens_and_closes() {
    let server = ScriptedServer::start([refusal(500, "oops")]).await;
    let pause = Duration::from_millis(300);
    let settings = Settings { attempts: 1, breaker_calls: 4, breaker_pause: pause, ..settings(&server.base_url) };
    let (model, metrics) = model_and_metrics(&settings);
    let state = || {
        let text = metrics.text().unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("jangbogo_language_model_breaker_state "));
        line.unwrap().to_owned()
    };
    // Invalid arguments and invalid answers come from a healthy server.
    server.follow([refusal(400, "what?"), answer("No idea."), refusal(500, "oops")]);
    for _ in 0..3 {
        wish(&model).await.unwrap_err();
    }
    assert_eq!((model.state(), state().as_str()), (BreakerState::Closed, "0"));
    wish(&model).await.unwrap_err();
    assert_eq!((model.state(), state().as_str()), (BreakerState::Open, "2"), "two of four");
    let requests = server.request_count();
    let error = wish(&model).await.unwrap_err();
    assert!(matches!(error, CallError::BreakerOpen { until } if until <= Instant::now() + pause), "{error:?}");
    assert!(error.is_temporary());
    assert_eq!(server.request_count(), requests, "nothing was sent");

    // A probe that fails opens the breaker again.
    tokio::time::sleep(pause).await;
    assert_eq!(model.state(), BreakerState::HalfOpen);
    assert!(matches!(wish(&model).await.unwrap_err(), CallError::Refused { status: 500, .. }));
    assert_eq!((model.state(), server.request_count()), (BreakerState::Open, requests + 1));

    // A probe that succeeds; no other call is sent meanwhile.
    server.follow([Reaction::After(Duration::from_millis(300), Box::new(answer(RED)))]);
    tokio::time::sleep(pause * 2).await;
    let (probe, second) = tokio::join!(wish(&model), async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(state(), "1");
        wish(&model).await
    });
    assert_eq!(probe.unwrap().attempts, 1);
    assert!(matches!(second.unwrap_err(), CallError::BreakerOpen { .. }));
    assert_eq!((model.state(), state().as_str()), (BreakerState::Closed, "0"));
    wish(&model).await.unwrap();
}

#[tokio::test]
async fn a_call_whose_retries_open_the_breaker_gives_the_server_s_error() {
    let server = ScriptedServer::start([refusal(500, "oops")]).await;
    let settings = Settings { breaker_calls: 2, ..settings(&server.base_url) };
    let model = model(&settings);
    assert!(matches!(wish(&model).await.unwrap_err(), CallError::Refused { status: 500, .. }));
    assert_eq!((model.state(), server.request_count()), (BreakerState::Open, 2));
}

#[tokio::test]
async fn a_full_bulkhead_refuses_at_once() {
    let server = ScriptedServer::start([Reaction::Hang]).await;
    let settings = Settings { max_in_flight: 2, ..settings(&server.base_url) };
    let (model, metrics) = model_and_metrics(&settings);
    let model = Arc::new(model);
    let calls: Vec<_> = [(); 2]
        .map(|()| {
            let model = model.clone();
            tokio::spawn(async move { wish(&model).await })
        })
        .into();
    while server.request_count() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let began = Instant::now();
    let error = wish(&model).await.unwrap_err();
    assert!(matches!(error, CallError::Busy { in_flight: 2 }), "{error:?}");
    assert!(began.elapsed() < Duration::from_millis(100));
    assert_eq!(server.request_count(), 2);
    assert!(metrics.text().unwrap().contains("jangbogo_language_model_in_flight 2"));
    assert_eq!(model.state(), BreakerState::Closed);

    // Cancelled calls free the bulkhead.
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    server.follow([streamed(&["Whole"])]);
    let task = tokio::spawn(async move { model.stream_text(&prompt(), |_| {}).await });
    assert_eq!(task.await.unwrap().unwrap().output, "Whole");
    let text = metrics.text().unwrap();
    for line in [
        "jangbogo_language_model_in_flight 0",
        r#"jangbogo_language_model_calls_total{form="json",outcome="abandoned"} 2"#,
        r#"jangbogo_language_model_calls_total{form="json",outcome="busy"} 1"#,
        r#"jangbogo_language_model_calls_total{form="text",outcome="answered"} 1"#,
        r#"jangbogo_language_model_tokens_total{side="answer"} 12"#,
        r#"jangbogo_language_model_tokens_total{side="prompt"} 30"#,
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn a_spent_budget_refuses_until_it_refills() {
    let server = ScriptedServer::start([refusal(400, "what?"), answer(RED)]).await;
    // A call may use 100 tokens for its answer and 10 for its prompt, and uses 42.
    let settings = Settings { max_output_tokens: 100, tokens_per_minute: 150, ..settings(&server.base_url) };
    let model = model(&settings);
    assert!(matches!(wish(&model).await.unwrap_err(), CallError::Refused { .. }), "a refused call costs nothing");
    assert_eq!(wish(&model).await.unwrap().usage.map(Usage::total), Some(42));
    let now = Instant::now();
    let error = wish(&model).await.unwrap_err();
    let CallError::BudgetSpent { until } = error else { panic!("{error:?}") };
    // Two tokens are missing, and a few are refilled while the test runs.
    assert!(until > now && until < now + Duration::from_secs(2), "{:?}", until - now);
    assert!(error.is_temporary());
    assert_eq!(server.request_count(), 2, "nothing was sent");
    tokio::time::sleep(until - Instant::now()).await;
    wish(&model).await.unwrap();
}

#[tokio::test]
async fn tokens_of_an_aborted_answer_stay_spent() {
    let server = ScriptedServer::start([Reaction::Stream(vec![chunk("Half an"), Step::Kill])]).await;
    let settings = Settings { max_output_tokens: 100, tokens_per_minute: 150, ..settings(&server.base_url) };
    let model = model(&settings);
    assert!(matches!(text(&model).await.0.unwrap_err(), CallError::Unreachable { .. }));
    assert!(matches!(text(&model).await.0.unwrap_err(), CallError::BudgetSpent { .. }));
}

#[tokio::test]
async fn retries_are_counted() {
    let server = ScriptedServer::start([refusal(500, "oops"), answer("No idea."), answer(RED)]).await;
    let (model, metrics) = model_and_metrics(&settings(&server.base_url));
    assert_eq!(wish(&model).await.unwrap().attempts, 3);
    let text = metrics.text().unwrap();
    for line in [
        r#"jangbogo_language_model_retries_total{after="refused"} 1"#,
        r#"jangbogo_language_model_retries_total{after="invalid_output"} 1"#,
        "jangbogo_language_model_call_seconds_count 1",
    ] {
        assert!(text.contains(line), "no {line} in\n{text}");
    }
}

#[tokio::test]
async fn untyped_values_work_too() {
    let server = ScriptedServer::start([answer(RED)]).await;
    let completion = model(&settings(&server.base_url)).complete_json::<Value>(&prompt(), &schema()).await.unwrap();
    assert_eq!(completion.output["colour"], "red");
}
