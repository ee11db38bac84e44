//! `jangbogo evaluate`: quality of the analysis of messages.

use std::fs;
use std::process::{Command, Output};

use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// Runs the command without a language model, whatever the environment says.
fn evaluate(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangbogo"));
    for variable in ["OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL"] {
        command.env_remove(variable);
    }
    command.arg("evaluate").args(arguments).output().unwrap()
}

fn report(arguments: &[&str]) -> Value {
    let output = evaluate(arguments);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

fn refusal(arguments: &[&str]) -> String {
    let output = evaluate(arguments);
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}

/// A guard against regressions, over each whole file. The harder part of the held-out file by itself is below this
/// limit in English (see the README beside the utterances).
#[test]
fn the_local_analyser_reaches_its_minimum_scores() {
    let report = report(&["utterances", "--json"]);
    assert_eq!(report["analyser"]["name"], jangbogo_preference_analysis::intent::LOCAL_ANALYSER);
    assert_eq!(report["analyser"]["prompt_hash"], Value::Null);
    for split in ["development", "held-out"] {
        for language in ["ko", "en"] {
            let scores = &report["reports"][split]["languages"][language];
            let f1 = scores["all_slots"]["f1"].as_f64().unwrap();
            assert!(f1 >= 0.80, "{split}, {language}: {f1}");
            let labelled = |what: &str| {
                let score = &scores[what];
                score["right"].as_u64().unwrap() + score["missed"].as_u64().unwrap()
            };
            for what in ["unwanted", "retractions", "no_preference"] {
                assert!(labelled(what) > 5, "{split}, {language}: {} {what}", labelled(what));
            }
        }
        assert_eq!(report["reports"][split]["differences"], json!([]), "the held-out half stays unseen");
    }
}

#[test]
fn invalid_inputs_are_errors() {
    let unseen = refusal(&["utterances", "--differences"]);
    assert!(unseen.contains("--split development"), "{unseen}");
    let missing = refusal(&["dialogues", "no-such-folder"]);
    assert!(missing.contains("no-such-folder/dialogues.json"), "{missing}");
    // The discard port: nothing listens.
    let unavailable = ["utterances", "--limit", "5", "--llm-base-url", "http://127.0.0.1:9/v1", "--llm-attempts", "1"];
    let unavailable = refusal(&unavailable);
    assert!(unavailable.contains("answered none") && unavailable.contains("OPENAI_BASE_URL"), "{unavailable}");
}

#[test]
fn recorded_dialogues_are_compared_with_their_annotations() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("items")).unwrap();
    fs::write(
        folder.path().join("dialogues.json"),
        r#"[{"id": "SportsandOutdoors:46:1:2", "metadata": {"id": "46"}, "utterances": [
            {"participant": "Client", "utterance": "Hi! I want red running shoes under $60", "goal": "recommendation",
             "intents": [["disclose", 5.0], ["greeting", 3.0]]},
            {"participant": "Wizard", "utterance": "We have the Speedy Running Shoes", "goal": "recommendation",
             "intents": [["recommend", 4.0]]},
            {"participant": "Client", "utterance": "how much are they?", "goal": "qa",
             "intents": [["o_question", 4.0]]},
            {"participant": "Client", "utterance": "thank you", "goal": "meta", "intents": [["greeting", 4.0]]}]}]"#,
    )
    .unwrap();
    fs::write(folder.path().join("items/shoes.json"), r#"[{"name": "Speedy Running Shoes"}]"#).unwrap();
    let report = report(&["dialogues", "--json", folder.path().to_str().unwrap()]);
    assert_eq!(report["analyser"]["vocabulary_products"], 1);
    let report = &report["report"];
    assert_eq!((report["dialogues"].as_u64(), report["messages"].as_u64()), (Some(1), Some(3)));
    for goal in ["recommendation", "qa", "meta"] {
        assert_eq!(report["goals"][goal]["f1"].as_f64(), Some(1.0), "{goal}: {report}");
    }
    assert_eq!(report["tasks"]["color"]["found"], 1);
    assert_eq!(report["needs"]["found"], 1);
}

/// The model under test finds a mug in every message, and fails for plates.
#[tokio::test]
async fn a_language_model_is_evaluated_by_the_same_command() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/chat/completions", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("three.jsonl");
    let line = |text: &str, product: &str| {
        json!({
            "id": text, "language": "en", "text": text, "intent": "find-product", "retractions": [],
            "no_preference": [],
            "slots": [{"attribute": "product", "operator": "=", "value": product, "polarity": "+"}],
        })
    };
    let lines = [line("a mug", "mug"), line("a lamp", "lamp"), line("a plate", "plate")];
    fs::write(&file, lines.map(|line| line.to_string()).join("\n")).unwrap();

    let file = file.to_str().unwrap().to_owned();
    let arguments = ["utterances", &file, "--json", "--differences", "--llm-base-url", &base_url].map(str::to_owned);
    let report = tokio::task::spawn_blocking(move || report(&arguments.each_ref().map(String::as_str))).await.unwrap();
    let analyser = &report["analyser"];
    assert_eq!(analyser["name"], "mug-finder");
    assert_eq!(analyser["parameters"]["schema"], "understanding");
    assert_eq!(analyser["prompt_hash"].as_str().unwrap().len(), 64);
    let unanswered = analyser["unanswered"].as_object().unwrap();
    assert!(unanswered.keys().next().unwrap().contains("no plates"), "{analyser}");
    let english = &report["reports"][&file]["languages"]["en"];
    assert_eq!((&english["utterances"], &english["right_intents"]), (&json!(3), &json!(2)));
    let slots = &english["all_slots"];
    assert_eq!((&slots["right"], &slots["wrong"], &slots["missed"]), (&json!(1), &json!(1), &json!(2)));
    assert_eq!(report["reports"][&file]["differences"].as_array().unwrap().len(), 2);
}

async fn answer(Json(request): Json<Value>) -> (StatusCode, Json<Value>) {
    let prompt = request["messages"].to_string();
    assert!(prompt.contains("You analyse one message of a shopper"), "the prompt is not the reactor's: {prompt}");
    if prompt.contains("a plate") {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "no plates"}})));
    }
    let understanding = json!({
        "intent": "find-product", "wishes": [{"slot": "product", "value": "Mug", "wanted": true}], "price": null,
        "price_direction": null, "quantity": null, "retracted": [], "indifferent": [], "references": ["never-shown"],
        "sentiment_permille": 0, "language": "en",
    });
    let message = json!({"role": "assistant", "content": understanding.to_string()});
    let choice = json!({"index": 0, "message": message, "finish_reason": "stop"});
    let answer =
        json!({"id": "1", "object": "chat.completion", "created": 0, "model": "mug-finder", "choices": [choice]});
    (StatusCode::OK, Json(answer))
}
