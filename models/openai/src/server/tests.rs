use axum::Router;
use axum::http::{HeaderMap as SentHeaders, StatusCode};
use axum::routing::post;
use reqwest::header::HeaderValue;
use serde_json::json;
use tokio::net::TcpListener;

use super::*;
use crate::OPENAI;

/// A server that gives an answer at `/v1/embeddings`.
async fn server(answer: (StatusCode, [(&'static str, &'static str); 1], String)) -> Server {
    let answer = async move |headers: SentHeaders| {
        assert_eq!(headers["authorization"], "Bearer geheim");
        answer.clone()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1/", listener.local_addr().unwrap());
    let router = Router::new().route("/v1/embeddings", post(answer));
    tokio::spawn(async move { axum::serve(listener, router).await });
    Server::new(&address, Some(&ApiKey::from(" geheim\n"))).unwrap()
}

async fn response(status: u16, header: (&'static str, &'static str), body: &str) -> Result<Vec<u8>, Error> {
    let status = StatusCode::from_u16(status).unwrap();
    server((status, [header], body.to_owned())).await.embed(&json!({"input": "bag"})).await
}

#[tokio::test]
async fn responses_are_deserialised_or_classified_errors() {
    assert_eq!(response(200, ("x-a", "b"), "[1, 2]").await.unwrap(), [1, 2]);
    let error = response(401, ("x-a", "b"), "who is geheim?").await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered with status 401: who is (key)?");
    let error = response(429, ("retry-after", "7"), "slow down").await.unwrap_err();
    assert_eq!((error.retry_after(), error.blames_server()), (Some(Duration::from_secs(7)), true));
    assert!(matches!(error, Error::RateLimited { .. }));
    let error = response(503, ("retry-after-ms", "250"), "").await.unwrap_err();
    assert_eq!(error.retry_after(), Some(Duration::from_millis(250)));
    for (body, why) in [("[1, 2", "it is not JSON"), ("[1, 256]", "it is not of OpenAI's form")] {
        let error = response(200, ("x-a", "b"), body).await.unwrap_err();
        assert_eq!(error.to_string(), format!("invalid response of the server: {why}"));
        assert!(matches!(error, Error::Unintelligible { source: Some(_), .. }));
    }
    let error = response(200, ("x-a", "b"), r#"{"error": {"message": "overloaded", "code": 503}}"#).await.unwrap_err();
    assert_eq!(error.to_string(), "the server answered with status 503: overloaded");
    let too_long = format!("[{}1]", "1, ".repeat(2 << 20));
    assert!(matches!(response(200, ("x-a", "b"), &too_long).await.unwrap_err(), Error::Unreachable { .. }));
}

#[tokio::test]
async fn a_server_that_does_not_listen_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let error = Server::new(&address, None).unwrap().embed::<Value>(&json!({})).await.unwrap_err();
    let Error::Unreachable { source } = &error else { panic!("{error:?}") };
    assert!(!source.to_string().contains(&address), "{source}");
}

#[test]
fn pauses_are_parsed_in_all_formats() {
    let now = DateTime::parse_from_rfc2822("Wed, 21 Oct 2026 07:28:00 GMT").unwrap().to_utc();
    for (name, value, seconds) in [
        ("retry-after", "7", Some(7.0)),
        ("retry-after", "0.5", Some(0.5)),
        ("retry-after", "Wed, 21 Oct 2026 07:28:30 GMT", Some(30.0)),
        ("retry-after", "Wed, 21 Oct 2026 07:00:00 GMT", Some(0.0)),
        ("retry-after", "-1", None),
        ("retry-after", "soon", None),
        ("retry-after-ms", "250", Some(0.25)),
        ("date", "7", None),
    ] {
        let headers = HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_static(value))]);
        assert_eq!(retry_after(&headers, now), seconds.map(Duration::from_secs_f64), "{name}: {value}");
    }
}

#[test]
fn keys_are_hidden_and_checked() {
    let server = Server::new("http://localhost/v1/", Some(&ApiKey::from("sk-secret"))).unwrap();
    assert!(!format!("{server:?} {:?}", ApiKey::from("sk-secret")).contains("secret"));
    assert!(matches!(Server::new("http://localhost", Some(&ApiKey::from("a\nb"))).unwrap_err(), SetupError::Key));
    assert!(matches!(Server::new("somewhere", None).unwrap_err(), SetupError::Address(_)));
}

#[test]
fn https_works_where_there_are_certificate_authorities() {
    match Server::new(OPENAI, Some(&ApiKey::from("sk-secret"))) {
        Ok(server) => assert!(server.is_openai()),
        Err(error) => assert!(matches!(error, SetupError::Certificates(_)), "{error:?}"),
    }
    assert!(!Server::new("http://localhost", None).unwrap().is_openai());
}
