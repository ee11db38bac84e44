//! Conversations and retracted preferences over HTTP, on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use shop::conversation::{close, id, open, post_message, problem_type, rename, send};
use shop::{Shop, answer, post, with_shop};

const UNKNOWN: &str = "01939d2e-6c00-7a10-8000-000000000001";

/// Type and data of the rows in the outbox, by sequence.
async fn rows(shop: &Shop) -> Vec<(String, Value)> {
    let rows: Vec<(String, String)> =
        sqlx::query_as("SELECT type, data::text FROM outbox ORDER BY sequence").fetch_all(&shop.pool).await.unwrap();
    rows.into_iter().map(|(name, data)| (name, serde_json::from_str(&data).unwrap())).collect()
}

#[tokio::test]
async fn a_conversation_is_opened_named_spoken_in_and_closed() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let request = Client::new().post(format!("{url}/v1/conversations")).header("traceparent", traceparent);
        let response = request.json(&json!({ "member_id": "13085", "title": "도시락 가방" })).send().await.unwrap();
        let (status, opened) = answer(response).await;
        assert_eq!(status, 202);
        let conversation = id(&opened, "conversation_id");

        let (status, posted) = post_message(&url, &conversation, " 빨간색으로\n보여줘 ").await;
        assert_eq!(status, 202);
        let message = id(&posted, "message_id");

        // Setting the current title is accepted without an event; returning to an earlier title is an event.
        assert_eq!(
            rename(&url, &conversation, "도시락 가방").await,
            (202, json!({ "event_ids": opened["event_ids"] }))
        );
        let (status, renamed) = rename(&url, &conversation, "Lunch bags").await;
        assert_eq!(status, 202);
        assert_eq!(rename(&url, &conversation, "Lunch bags").await, (202, renamed.clone()));
        assert_ne!(rename(&url, &conversation, "도시락 가방").await.1, renamed);

        let (status, closed) = close(&url, &conversation).await;
        assert_eq!(status, 202);
        assert_eq!(close(&url, &conversation).await, (202, closed.clone()));
        let with_body = post(format!("{url}/v1/conversations/{conversation}/closing"), "{}").await;
        assert_eq!(answer(with_body).await, (202, closed.clone()));

        // A closed conversation takes no messages, but can be renamed.
        let (status, problem) = post_message(&url, &conversation, "and blue ones?").await;
        assert_eq!((status, problem_type(&problem)), (409, "conversation-closed"));
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(closed["event_ids"][0].as_str().unwrap()), "{detail}");
        assert!(detail.contains("POST /v1/conversations"), "{detail}");
        assert_eq!(rename(&url, &conversation, "Red lunch bags").await.0, 202);

        let data_with = |members: Value| {
            let mut data = json!({ "conversation_id": conversation });
            data.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
            data
        };
        let posted_message =
            json!({ "message_id": message, "member_id": "13085", "role": "user", "content": " 빨간색으로\n보여줘 " });
        assert_eq!(
            rows(&shop).await,
            [
                ("conversation-created".to_owned(), data_with(json!({ "member_id": "13085", "title": "도시락 가방" }))),
                ("message-created".to_owned(), data_with(posted_message)),
                ("conversation-renamed".to_owned(), data_with(json!({ "title": "Lunch bags" }))),
                ("conversation-renamed".to_owned(), data_with(json!({ "title": "도시락 가방" }))),
                ("conversation-closed".to_owned(), data_with(json!({}))),
                ("conversation-renamed".to_owned(), data_with(json!({ "title": "Red lunch bags" }))),
            ]
        );
        let sql = "SELECT bool_and(key = $1 AND correlation_id = $1 AND source = 'gateway') FROM outbox";
        let has_metadata: bool = sqlx::query_scalar(sql).bind(&conversation).fetch_one(&shop.pool).await.unwrap();
        assert!(has_metadata);
        let traced = "SELECT event_id, traceparent FROM outbox WHERE traceparent IS NOT NULL";
        let traced: (String, String) = sqlx::query_as(traced).fetch_one(&shop.pool).await.unwrap();
        assert_eq!((traced.0.as_str(), traced.1.as_str()), (opened["event_ids"][0].as_str().unwrap(), traceparent));
    })
    .await;
}

#[tokio::test]
async fn every_rejection_names_the_invalid_field() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let conversation = open(&url).await;
        let (opening, this) = ("/v1/conversations".to_owned(), format!("/v1/conversations/{conversation}"));
        let (messages, closing) = (format!("{this}/messages"), format!("{this}/closing"));
        let retractions = "/v1/members/13085/preferences/retractions".to_owned();
        let too_long = json!({ "content": "가".repeat(16_385) }).to_string();
        let long_title = json!({ "title": "x".repeat(257) }).to_string();
        let long_member = json!({ "member_id": "x".repeat(65) }).to_string();
        let cases: [(&str, &str, &str, &str, &str); 31] = [
            ("POST", &opening, "{}", "", "missing field `member_id`"),
            ("POST", &opening, r#"{"member_id":""}"#, "/member_id", "1 to 64 bytes long"),
            ("POST", &opening, &long_member, "/member_id", "this one has 65"),
            ("POST", &opening, r#"{"member_id":"a\nb"}"#, "/member_id", "control characters"),
            ("POST", &opening, r#"{"member_id":7}"#, "/member_id", "expected a string"),
            ("POST", &opening, r#"{"member_id":"1","title":" "}"#, "/title", "something to read"),
            ("POST", &opening, r#"{"member_id":"1","conversation_id":"1"}"#, "/conversation_id", "unknown field"),
            ("POST", &opening, "[]", "", "must be a JSON object"),
            ("PATCH", &this, "{}", "", "missing field `title`"),
            ("PATCH", &this, r#"{"title":null}"#, "/title", "expected a string"),
            ("PATCH", &this, r#"{"title":""}"#, "/title", "something to read"),
            ("PATCH", &this, &long_title, "/title", "at most 256 characters, this one has 257"),
            ("PATCH", &this, r#"{"title":"a\u0000"}"#, "/title", "NUL"),
            ("PATCH", &this, r#"{"title":"x","member_id":"2"}"#, "/member_id", "unknown field"),
            ("POST", &messages, "{}", "", "missing field `content`"),
            ("POST", &messages, r#"{"content":""}"#, "/content", "something to read"),
            ("POST", &messages, r#"{"content":" \n\t　"}"#, "/content", "something to read"),
            ("POST", &messages, r#"{"content":"\u3164\u200b"}"#, "/content", "something to read"),
            ("POST", &messages, &too_long, "/content", "at most 16384 characters, this one has 16385"),
            ("POST", &messages, r#"{"content":"a\u0000b"}"#, "/content", "NUL"),
            ("POST", &messages, r#"{"content":"\ud800"}"#, "/content", "hex escape"),
            ("POST", &messages, r#"{"content":["hello"]}"#, "/content", "expected a string"),
            ("POST", &messages, r#"{"content":"hello","role":"ai"}"#, "/role", "unknown field"),
            ("POST", &messages, r#"{"content":"hello","member_id":"2"}"#, "/member_id", "unknown field"),
            ("POST", &messages, r#"{"content":"hello","message_id":"2"}"#, "/message_id", "unknown field"),
            ("POST", &messages, r#"["hello"]"#, "", "must be a JSON object"),
            ("POST", &closing, r#"{"reason":"done"}"#, "/reason", "unknown field"),
            ("POST", &retractions, r#"{"slot":"color"}"#, "", "missing field `value`"),
            ("POST", &retractions, r#"{"slot":" ","value":"red"}"#, "/slot", "something to read"),
            ("POST", &retractions, r#"{"slot":"color","value":"red","message_id":"1"}"#, "/message_id", "UUID"),
            ("POST", &retractions, r#"{"slot":"color","value":"red","wanted":false}"#, "/wanted", "unknown field"),
        ];
        for (method, path, body, pointer, detail) in cases {
            let (status, problem) = answer(send(method, &format!("{url}{path}"), body).await).await;
            let shown = format!("{method} {path} {body:.80}: {problem}");
            assert_eq!((status, problem_type(&problem)), (422, "invalid-body"), "{shown}");
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{shown}");
            assert!(problem["errors"][0]["detail"].as_str().unwrap().contains(detail), "{shown}");
        }

        for (method, path) in [("POST", &opening), ("PATCH", &this), ("POST", &messages), ("POST", &closing)] {
            let (status, problem) = answer(send(method, &format!("{url}{path}"), "{").await).await;
            assert_eq!((status, problem_type(&problem)), (400, "malformed-json"), "{method} {path}");
            let lines = Client::new().request(method.parse().unwrap(), format!("{url}{path}"));
            let lines = lines.header("content-type", "application/x-ndjson").body("{}").send().await.unwrap();
            assert_eq!(answer(lines).await.0, 415, "{method} {path}");
        }
        // An empty body needs no media type, but only a close may have one.
        let (status, problem) = answer(Client::new().post(format!("{url}{messages}")).send().await.unwrap()).await;
        assert_eq!((status, problem_type(&problem)), (400, "malformed-json"));

        for conversation in [UNKNOWN, "1", "%00", "x%2Fy"] {
            let mut refused =
                vec![post_message(&url, conversation, "hello").await, rename(&url, conversation, "x").await];
            refused.push(close(&url, conversation).await);
            for (status, problem) in refused {
                assert_eq!((status, problem_type(&problem)), (404, "unknown-conversation"), "{problem}");
                assert!(problem["detail"].as_str().unwrap().contains("POST /v1/conversations"), "{problem}");
            }
        }
        let invalid_member = format!("{url}/v1/members/{}/preferences/retractions", "x".repeat(65));
        let (status, problem) = answer(post(invalid_member, r#"{"slot":"color","value":"red"}"#).await).await;
        assert_eq!((status, problem_type(&problem)), (404, "unknown-member"));
        let response = Client::new().get(format!("{url}{this}")).send().await.unwrap();
        assert_eq!((response.status().as_u16(), response.headers()["allow"].to_str().unwrap()), (405, "PATCH"));

        assert_eq!(shop.count("outbox").await, 1, "a refused command is no event");
        assert_eq!(post_message(&url, &conversation, &"가".repeat(16_384)).await.0, 202);
    })
    .await;
}

#[tokio::test]
async fn a_repeated_key_gives_the_same_ids() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let command = |key: &'static str, method: &'static str, path: String, body: String| {
            let request = Client::new().request(method.parse().unwrap(), format!("{url}{path}"));
            request.header("content-type", "application/json").header("idempotency-key", key).body(body).send()
        };
        let send_twelve = |key: &'static str, method: &'static str, path: String, body: String| {
            let sent: Vec<_> =
                (0..12).map(|_| tokio::spawn(command(key, method, path.clone(), body.clone()))).collect();
            async move {
                let (mut bodies, mut replayed) = (Vec::new(), 0);
                for response in sent {
                    let response = response.await.unwrap().unwrap();
                    replayed += i32::from(response.headers().contains_key("idempotency-replayed"));
                    let (status, body) = answer(response).await;
                    assert_eq!(status, 202, "{body}");
                    bodies.push(body);
                }
                assert_eq!(replayed, 11);
                assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
                bodies.swap_remove(0)
            }
        };
        let opened = send_twelve("k1", "POST", "/v1/conversations".into(), r#"{"member_id":"13085"}"#.into()).await;
        let this = format!("/v1/conversations/{}", id(&opened, "conversation_id"));
        let messages = format!("{this}/messages");
        let hello = r#"{"content":"hello"}"#;
        let posted = send_twelve("k2", "POST", messages.clone(), hello.into()).await;
        send_twelve("k3", "PATCH", this.clone(), r#"{"title":"Lunch bags"}"#.into()).await;
        let retractions = "/v1/members/13085/preferences/retractions".to_owned();
        send_twelve("k4", "POST", retractions, r#"{"slot":"color","value":"red"}"#.into()).await;
        send_twelve("k5", "POST", format!("{this}/closing"), String::new()).await;
        assert_eq!(shop.count("outbox").await, 5);
        assert_eq!(shop.count("decision_conversation").await, 1);

        // The same answer, though it would be rejected by now; another message of that key is rejected.
        assert_eq!(answer(command("k2", "POST", messages.clone(), hello.into()).await.unwrap()).await, (202, posted));
        let (status, problem) =
            answer(command("k2", "POST", messages, r#"{"content":"x"}"#.into()).await.unwrap()).await;
        assert_eq!((status, problem_type(&problem)), (422, "idempotency-key-reused"));

        // Without a key, each command posts another message.
        let again = [open(&url).await, open(&url).await];
        assert_ne!(again[0], again[1]);
        assert_ne!(post_message(&url, &again[0], "hello").await.1, post_message(&url, &again[0], "hello").await.1);
    })
    .await;
}

#[tokio::test]
async fn a_retraction_is_a_fact_in_the_catalogue_s_words() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let retractions = format!("{url}/v1/members/%EB%AF%BC%EC%95%84/preferences/retractions");
        let bodies = [
            json!({ "slot": " Material ", "value": " Plastic\n" }),
            json!({ "slot": "material", "value": "plastic", "message_id": UNKNOWN }),
        ];
        for body in &bodies {
            let request = Client::new().post(&retractions).header("x-request-id", "request-7").json(body);
            assert_eq!(answer(request.send().await.unwrap()).await.0, 202);
        }
        let all = json!({ "member_id": "민아", "slot": "material", "value": "plastic" });
        let mut one = all.clone();
        one["message_id"] = json!(UNKNOWN);
        let name = "preference-retracted".to_owned();
        assert_eq!(rows(&shop).await, [(name.clone(), all), (name, one)]);
        let keyed = "SELECT bool_and(topic = 'preference-events' AND key = '민아' AND correlation_id = 'request-7')
            FROM outbox";
        assert!(sqlx::query_scalar::<_, bool>(keyed).fetch_one(&shop.pool).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_database_of_an_older_gateway_is_migrated() {
    with_shop(false, async |shop| {
        for statement in ["DROP TABLE decision_conversation", "DELETE FROM _sqlx_migrations WHERE version = 5"] {
            sqlx::query(statement).execute(&shop.pool).await.unwrap();
        }
        let url = shop.gateway().await;
        let began = std::time::Instant::now();
        while !is_ready(&url).await {
            assert!(began.elapsed() < Duration::from_secs(20), "the gateway is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        open(&url).await;
    })
    .await;
}

async fn is_ready(url: &str) -> bool {
    Client::new().get(format!("{url}/readyz")).send().await.unwrap().status().is_success()
}
