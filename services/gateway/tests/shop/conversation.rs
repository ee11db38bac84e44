//! Commands of a conversation.

use reqwest::{Client, Response};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{answer, post};

/// Opens a conversation of member 13085; returns its id.
pub async fn open(url: &str) -> String {
    let (status, opened) = answer(post(format!("{url}/v1/conversations"), r#"{"member_id":"13085"}"#).await).await;
    assert_eq!(status, 202, "{opened}");
    assert_eq!(opened["event_ids"].as_array().unwrap().len(), 1);
    id(&opened, "conversation_id")
}

/// An id that the gateway drew.
pub fn id(answer: &Value, name: &str) -> String {
    let id = answer[name].as_str().unwrap();
    assert_eq!(Uuid::parse_str(id).unwrap().get_version_num(), 7);
    id.to_owned()
}

pub async fn post_message(url: &str, conversation: &str, content: &str) -> (u16, Value) {
    let body = json!({ "content": content }).to_string();
    answer(post(format!("{url}/v1/conversations/{conversation}/messages"), body).await).await
}

pub async fn rename(url: &str, conversation: &str, title: &str) -> (u16, Value) {
    let request = Client::new().patch(format!("{url}/v1/conversations/{conversation}"));
    answer(request.json(&json!({ "title": title })).send().await.unwrap()).await
}

pub async fn close(url: &str, conversation: &str) -> (u16, Value) {
    let request = Client::new().post(format!("{url}/v1/conversations/{conversation}/closing"));
    answer(request.send().await.unwrap()).await
}

/// The slug of a problem's type.
pub fn problem_type(problem: &Value) -> &str {
    problem["type"].as_str().unwrap().strip_prefix("urn:jangbogo:problem:").unwrap()
}

pub async fn send(method: &str, url: &str, body: &str) -> Response {
    let request = Client::new().request(method.parse().unwrap(), url).header("content-type", "application/json");
    request.body(body.to_owned()).send().await.unwrap()
}
