//! The gateway's commands over HTTP, on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use shop::{answer, post, with_shop};

const ORDER: &str = r#"{"order_id":"489434","member_id":"13085","currency":"GBP","items":[
    {"product_id":"20725","quantity":10,"total_minor":1650},{"product_id":"22386","quantity":2,"total_minor":390}]}"#;

#[tokio::test]
async fn every_refusal_is_a_precise_problem() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let many = vec![r#"{"product_id":"1"}"#; 5_001].join(",");
        let large = " ".repeat(5 * 1024 * 1024);
        let order_with_extra = ORDER.replace("\"currency\"", "\"colour\":\"red\",\"currency\"");
        let text_quantity = ORDER.replace(":10,", ":\"ten\",");
        let cases: [(&str, &str, String, u16, &str, &str); 16] = [
            ("POST", "/v1/orders", "{".into(), 400, "malformed-json", "at line 1, column 1"),
            ("POST", "/v1/orders", order_with_extra, 422, "invalid-body", "unknown field `colour`"),
            ("POST", "/v1/orders", text_quantity, 422, "invalid-body", "expected i64"),
            ("POST", "/v1/orders", "[]".into(), 422, "invalid-body", "must be a JSON object"),
            ("POST", "/v1/orders", large.clone(), 413, "body-too-large", "at most 4194304 bytes"),
            ("POST", "/v1/products", large, 413, "body-too-large", "at most 4194304 bytes"),
            ("POST", "/v1/products", "{}".into(), 422, "invalid-body", "expected an array of items"),
            ("POST", "/v1/products", "[]".into(), 422, "item-count", "1 to 5000 items, not 0"),
            ("POST", "/v1/products/retirements", format!("[{many}]"), 422, "item-count", "not 5001"),
            ("POST", "/v1/behaviors", r#"[{"type":"x","data":{}}]"#.into(), 422, "invalid-body", "is no behavior"),
            ("POST", "/v1/orders/1/cancellations", "{}".into(), 422, "invalid-body", "missing field"),
            ("POST", "/v1/orders/%00/cancellations", "{}".into(), 404, "unknown-order", "control characters"),
            ("POST", "/v1/cancellations", "7".into(), 422, "invalid-body", "must be a JSON object"),
            ("POST", "/v1/nothing", "{}".into(), 404, "unknown-path", "/v1/nothing"),
            ("GET", "/v1/orders", String::new(), 405, "method-not-allowed", "does not allow GET"),
            ("DELETE", "/openapi.json", String::new(), 405, "method-not-allowed", "does not allow DELETE"),
        ];
        for (method, path, body, status, slug, detail) in cases {
            let method = method.parse().unwrap();
            let request =
                Client::new().request(method, format!("{url}{path}")).header("content-type", "application/json");
            let (found, problem) = answer(request.body(body).send().await.unwrap()).await;
            assert_eq!(found, status, "{path}: {problem}");
            assert_eq!(problem["type"], format!("urn:jangbogo:problem:{slug}"), "{path}");
            assert!(problem["detail"].as_str().unwrap().contains(detail), "{path}: {problem}");
        }
        for media_type in ["text/plain", "application/x-ndjson"] {
            let request = Client::new().post(format!("{url}/v1/orders")).header("content-type", media_type).body(ORDER);
            let (status, problem) = answer(request.send().await.unwrap()).await;
            assert_eq!((status, &problem["title"]), (415, &json!("Unsupported media type")));
        }
        let response = Client::new().get(format!("{url}/v1/orders")).send().await.unwrap();
        assert_eq!(response.headers()["allow"], "POST");
        let response = post(format!("{url}/healthz"), "").await;
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (405, &"application/problem+json".parse().unwrap())
        );
        assert_eq!(shop.count("outbox").await, 0);
    })
    .await;
}

#[tokio::test]
async fn a_bulk_command_is_accepted_whole_or_not_at_all() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let product = |number: usize| format!(r#"{{"product_id":"p{number}","title":"Product {number}"}}"#);
        let lines: Vec<String> = (0..5_000).map(product).collect();
        let send = |body: String| {
            Client::new()
                .post(format!("{url}/v1/products"))
                .header("content-type", "application/x-ndjson")
                .header("x-request-id", "request-7")
                .header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                .body(body)
                .send()
        };
        let mut broken = lines.clone();
        broken[4_999] = r#"{"product_id":"p","title":7}"#.to_owned();
        let (status, problem) = answer(send(broken.join("\n")).await.unwrap()).await;
        assert_eq!(status, 422);
        assert_eq!(
            problem["errors"],
            json!([{
                "line": 5000, "pointer": "/title", "detail": "invalid type: integer `7`, expected a string"
            }])
        );
        assert_eq!(problem["instance"], "urn:jangbogo:request:request-7");
        assert_eq!(shop.count("outbox").await, 0);

        let (status, body) = answer(send(lines.join("\n")).await.unwrap()).await;
        assert_eq!(status, 202);
        let ids: Vec<&str> = body["event_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
        assert_eq!(ids.len(), 5_000);
        let query = "SELECT key, source, correlation_id, traceparent FROM outbox WHERE event_id = $1";
        let row: (String, String, String, String) =
            sqlx::query_as(query).bind(ids[4_321]).fetch_one(&shop.pool).await.unwrap();
        assert_eq!((row.0.as_str(), row.1.as_str(), row.2.as_str()), ("p4321", "gateway", "request-7"));
        assert!(row.3.starts_with("00-4bf92f35"));
        let sorted = "SELECT bool_and(bucket >= before) FROM (
            SELECT bucket, lag(bucket, 1, 0) OVER (ORDER BY sequence) AS before
            FROM (SELECT sequence, outbox_bucket(topic, key) AS bucket FROM outbox) AS row) AS step";
        assert!(sqlx::query_scalar::<_, bool>(sorted).fetch_one(&shop.pool).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn an_order_is_accepted_once_and_cancelled_at_most_as_far_as_it_was_ordered() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let (status, first) = answer(post(format!("{url}/v1/orders"), ORDER).await).await;
        assert_eq!(status, 202);
        let (status, again) = answer(post(format!("{url}/v1/orders"), ORDER).await).await;
        assert_eq!((status, &again), (202, &first));
        let other = ORDER.replace("13085", "13086");
        let (status, problem) = answer(post(format!("{url}/v1/orders"), other).await).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:jangbogo:problem:order-conflict")));
        assert!(problem["detail"].as_str().unwrap().contains(first["event_ids"][0].as_str().unwrap()));
        assert_eq!(shop.count("outbox").await, 1);

        let cancel = |id: &str, units: i64, minor: i64| {
            json!({ "cancellation_id": id, "items": [{ "product_id": "20725", "quantity": units, "total_minor": minor }] })
                .to_string()
        };
        let path = format!("{url}/v1/orders/489434/cancellations");
        let unknown = format!("{url}/v1/orders/1/cancellations");
        let (status, problem) = answer(post(unknown, cancel("C1", 1, 165)).await).await;
        assert_eq!((status, &problem["type"]), (404, &json!("urn:jangbogo:problem:unknown-order")));

        let (status, accepted) = answer(post(path.clone(), cancel("C1", 9, 1485)).await).await;
        assert_eq!(status, 202);
        let (status, repeated) = answer(post(path.clone(), cancel("C1", 9, 1485)).await).await;
        assert_eq!((status, &repeated), (202, &accepted));
        let (status, problem) = answer(post(path.clone(), cancel("C1", 8, 1485)).await).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:jangbogo:problem:cancellation-conflict")));
        let (status, problem) = answer(post(path.clone(), cancel("C2", 2, 165)).await).await;
        assert_eq!((status, &problem["type"]), (409, &json!("urn:jangbogo:problem:cancels-more-than-ordered")));
        assert_eq!(problem["errors"][0]["pointer"], "/items/0");
        assert_eq!(answer(post(path.clone(), cancel("C2", 1, 165)).await).await.0, 202, "a refused one keeps no id");
        assert_eq!(answer(post(path, cancel("C3", 1, 0)).await).await.0, 409);

        let data = "SELECT data::text FROM outbox WHERE type = 'order-cancelled' ORDER BY sequence LIMIT 1";
        let data: String = sqlx::query_scalar(data).fetch_one(&shop.pool).await.unwrap();
        let data: Value = serde_json::from_str(&data).unwrap();
        assert_eq!((&data["order_id"], &data["member_id"]), (&json!("489434"), &json!("13085")));

        // As a fact: its own items, any order, still once.
        let fact = json!({ "cancellation_id": "C489449", "order_id": "1", "currency": "GBP",
            "items": [{ "product_id": "9", "quantity": 1, "total_minor": 5 }] });
        for _ in 0..2 {
            assert_eq!(answer(post(format!("{url}/v1/cancellations"), fact.to_string()).await).await.0, 202);
        }
        assert_eq!(shop.count("outbox").await, 4);
    })
    .await;
}

#[tokio::test]
async fn twenty_cancellations_at_once_take_no_more_than_the_order_has() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        assert_eq!(post(format!("{url}/v1/orders"), ORDER).await.status(), 202);
        let requests: Vec<_> = (0..20)
            .map(|number| {
                let body = json!({ "cancellation_id": format!("C{number}"),
                    "items": [{ "product_id": "20725", "quantity": 1, "total_minor": 165 }] });
                tokio::spawn(post(format!("{url}/v1/orders/489434/cancellations"), body.to_string()))
            })
            .collect();
        let mut accepted = 0;
        for request in requests {
            let status = request.await.unwrap().status();
            assert!(status == 202 || status == 409, "{status}");
            accepted += i32::from(status == 202);
        }
        assert_eq!(accepted, 10);
        assert_eq!(shop.count("outbox").await, 11);
    })
    .await;
}

#[tokio::test]
async fn a_command_of_one_key_is_accepted_once() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let send = |key: &'static str, path: &str, body: String| {
            Client::new()
                .post(format!("{url}{path}"))
                .header("content-type", "application/json")
                .header("idempotency-key", key)
                .body(body)
                .send()
        };
        let behaviors = r#"[{"type":"product-viewed","data":{"product_id":"1"}},
            {"type":"cart-item-added","data":{"member_id":"2","product_id":"1","quantity":3}}]"#;
        let requests: Vec<_> =
            (0..12).map(|_| tokio::spawn(send("k1", "/v1/behaviors", behaviors.to_owned()))).collect();
        let mut bodies = Vec::new();
        let mut replayed = 0;
        for request in requests {
            let response = request.await.unwrap().unwrap();
            replayed += i32::from(response.headers().get("idempotency-replayed").is_some_and(|value| value == "true"));
            let (status, body) = answer(response).await;
            assert_eq!(status, 202);
            bodies.push(body);
        }
        assert_eq!(replayed, 11);
        assert!(bodies.iter().all(|body| *body == bodies[0]));
        assert_eq!(shop.count("outbox").await, 2);

        for (path, body) in [("/v1/behaviors", behaviors.replace(":3", ":4")), ("/v1/products", behaviors.to_owned())] {
            let (status, problem) = answer(send("k1", path, body).await.unwrap()).await;
            let expected = if path == "/v1/behaviors" { "idempotency-key-reused" } else { "invalid-body" };
            assert_eq!((status, &problem["type"]), (422, &json!(format!("urn:jangbogo:problem:{expected}"))));
        }

        // A refused command changed nothing and leaves its key free.
        assert_eq!(answer(post(format!("{url}/v1/orders"), ORDER).await).await.0, 202);
        let conflict = ORDER.replace("13085", "13086");
        assert_eq!(send("k2", "/v1/orders", conflict).await.unwrap().status(), 409);
        assert_eq!(send("k2", "/v1/orders", ORDER.to_owned()).await.unwrap().status(), 202);

        // After a day it is forgotten, whether or not it was deleted yet.
        let age = "UPDATE idempotency_key SET created_at = created_at - interval '25 hours'";
        sqlx::query(age).execute(&shop.pool).await.unwrap();
        let response = send("k1", "/v1/behaviors", behaviors.to_owned()).await.unwrap();
        assert_eq!(response.headers().get("idempotency-replayed"), None);
        assert_ne!(answer(response).await.1, bodies[0]);
    })
    .await;
}

#[tokio::test]
async fn without_postgres_commands_are_refused_for_now() {
    with_shop(false, async |shop| {
        let mut nowhere = shop.connections.clone();
        nowhere.postgres = "postgres://jangbogo:secret-of-the-shop@127.0.0.1:1".to_owned();
        let url = shop.gateway_of(&nowhere, &["gateway", "--request-timeout", "8"]).await;
        let response = post(format!("{url}/v1/orders"), ORDER).await;
        assert_eq!(response.headers()["retry-after"], "1");
        let (status, problem) = answer(response).await;
        assert_eq!((status, &problem["type"]), (503, &json!("urn:jangbogo:problem:unavailable")));
        let ready = Client::new().get(format!("{url}/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 503);
        let body = ready.text().await.unwrap();
        assert!(body.contains("postgres") && !body.contains("secret"), "{body}");
        assert_eq!(Client::new().get(format!("{url}/healthz")).send().await.unwrap().status(), 200);
    })
    .await;
}

#[tokio::test]
async fn a_command_that_waits_too_long_is_answered() {
    with_shop(false, async |shop| {
        let url = shop.gateway_of(&shop.connections, &["gateway", "--request-timeout", "1"]).await;
        while Client::new().get(format!("{url}/readyz")).send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut holder = shop.pool.begin().await.unwrap();
        sqlx::query("LOCK TABLE decision_order IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
        let (status, problem) = answer(post(format!("{url}/v1/orders"), ORDER).await).await;
        assert_eq!(status, 503);
        assert!(problem["detail"].as_str().unwrap().starts_with("the command took too long"), "{problem}");
        holder.rollback().await.unwrap();
        // The command that timed out must not be accepted after all.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(post(format!("{url}/v1/orders"), ORDER).await.status(), 202);
        assert_eq!(shop.count("outbox").await, 1);
        let metrics = Client::new().get(format!("{url}/metrics")).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains(r#"jangbogo_gateway_commands_total{route="/v1/orders",status="503"} 1"#), "{metrics}");
        assert!(metrics.contains(r#"jangbogo_gateway_events_accepted_total{route="/v1/orders"} 1"#), "{metrics}");
        let openapi = Client::new().get(format!("{url}/openapi.json")).send().await.unwrap();
        assert_eq!(answer(openapi).await.1["openapi"], "3.1.0");
    })
    .await;
}
