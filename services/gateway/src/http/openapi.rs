//! What the `OpenAPI` document of the gateway has beside its routes.

use jangbogo_events::EventType;
use jangbogo_http::openapi::{document, for_each_operation, reference, schema_settings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::items::{MAX_ITEMS, behavior_types};
use crate::store::{
    Accepted, CancelOrder, ConversationAccepted, CreateConversation, MessageAccepted, PostMessage, RenameConversation,
    RetractPreference,
};

/// The document of the gateway.
pub(super) fn describe(routes: &impl Serialize) -> Value {
    let mut schemas = schema_settings().into_generator();
    let commands =
        [EventType::ProductUpserted, EventType::ProductRetired, EventType::OrderCompleted, EventType::OrderCancelled];
    for event_type in commands {
        event_type.subschema(&mut schemas);
    }
    let behaviors: Vec<Value> = behavior_types()
        .map(|event_type| {
            let data = event_type.subschema(&mut schemas);
            json!({
                "type": "object",
                "properties": { "type": { "type": "string", "const": event_type.name() }, "data": data },
                "required": ["type", "data"],
                "additionalProperties": false,
            })
        })
        .collect();
    schemas.subschema_for::<Accepted>();
    schemas.subschema_for::<ConversationAccepted>();
    schemas.subschema_for::<MessageAccepted>();
    schemas.subschema_for::<CancelOrder>();
    schemas.subschema_for::<CreateConversation>();
    schemas.subschema_for::<RenameConversation>();
    schemas.subschema_for::<PostMessage>();
    schemas.subschema_for::<RetractPreference>();
    let mut document = document(
        "Jangbogo gateway",
        "Commands: each is validated as a whole, then its events are on their way to the log.",
        routes,
        schemas,
    );
    let components = &mut document["components"];
    components["parameters"] = parameters().into();
    components["schemas"]["Behavior"] = json!({ "description": "What a shopper did", "oneOf": behaviors });
    for item in ["ProductUpserted", "ProductRetired", "Behavior"] {
        components["schemas"][format!("{item}List")] =
            json!({ "type": "array", "items": reference(item), "minItems": 1, "maxItems": MAX_ITEMS });
    }
    for_each_operation(&mut document, complete_operation);
    document
}

/// Adds what all commands share: request headers, and the header of a repeated answer.
fn complete_operation(operation: &mut Value) {
    if let Some(accepted) = operation.pointer_mut("/responses/202").and_then(Value::as_object_mut) {
        accepted.insert("description".to_owned(), "Accepted: the events are stored, and will be in the log".into());
        let replayed = json!({
            "description": "true when this is the answer to an earlier command of the same Idempotency-Key",
            "schema": { "type": "string", "const": "true" },
        });
        accepted.insert("headers".to_owned(), json!({ "Idempotency-Replayed": replayed }));
    }
    let shared = parameters().keys().map(|name| json!({ "$ref": format!("#/components/parameters/{name}") })).collect();
    let mut all: Vec<Value> = operation["parameters"].as_array().cloned().unwrap_or_default();
    all.extend::<Vec<Value>>(shared);
    operation["parameters"] = all.into();
}

fn parameters() -> Map<String, Value> {
    let header = |name: &str, description: &str, schema: Value| {
        let parameter = json!({ "name": name, "in": "header", "description": description, "schema": schema });
        (name.to_owned(), parameter)
    };
    [
        header(
            "Idempotency-Key",
            "A command of the same key and body is accepted once in 24 hours; again, it gets the same answer",
            json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ),
        header(
            "X-Request-Id",
            "The correlation id of the command's events, drawn if none is given; those of a conversation have its id",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" }),
        ),
        header("traceparent", "W3C trace context, passed on with the events", json!({ "type": "string" })),
    ]
    .into_iter()
    .collect()
}

#[cfg(test)]
mod tests {
    use jangbogo_http::openapi::{dangling_references, references};

    use super::*;
    use crate::http::routes;

    fn description() -> Value {
        describe(routes::commands().get_openapi())
    }

    #[test]
    fn every_reference_resolves() {
        let description = description();
        assert!(references(&description).len() > 30);
        assert_eq!(dangling_references(&description), Vec::<&str>::new());
    }

    #[test]
    fn every_command_has_a_body_an_answer_and_problems() {
        let description = description();
        assert_eq!(description["openapi"], "3.1.0");
        let mut operations = Vec::new();
        for (path, item) in description["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let body = operation.pointer("/requestBody/content/application~1json/schema/$ref");
                let answer = operation.pointer("/responses/202/content/application~1json/schema/$ref").unwrap();
                let answer = answer.as_str().unwrap().rsplit('/').next().unwrap();
                operations.push(format!("{method} {path} -> {answer}"));
                assert_eq!(body.is_none(), path.ends_with("/closing"), "{path}: {operation:#}");
                assert!(operation.pointer("/responses/default").is_some(), "{path}");
                assert!(operation.pointer("/responses/202/headers/Idempotency-Replayed").is_some(), "{path}");
                assert!(operation["parameters"].as_array().unwrap().len() >= 3, "{path}");
            }
        }
        assert_eq!(
            operations,
            [
                "post /v1/behaviors -> Accepted",
                "post /v1/cancellations -> Accepted",
                "post /v1/conversations -> ConversationAccepted",
                "patch /v1/conversations/{conversation_id} -> Accepted",
                "post /v1/conversations/{conversation_id}/closing -> Accepted",
                "post /v1/conversations/{conversation_id}/messages -> MessageAccepted",
                "post /v1/members/{member_id}/preferences/retractions -> Accepted",
                "post /v1/orders -> Accepted",
                "post /v1/orders/{order_id}/cancellations -> Accepted",
                "post /v1/products -> Accepted",
                "post /v1/products/retirements -> Accepted",
            ]
        );
        assert!(description.pointer("/paths/~1v1~1products/post/requestBody/content/application~1x-ndjson").is_some());
        assert_eq!(description["components"]["schemas"]["OrderCompleted"]["additionalProperties"], false);
    }

    #[test]
    fn every_example_of_a_body_is_a_command() {
        fn parses<T: serde::de::DeserializeOwned>(example: &Value) {
            serde_json::from_value::<T>(example.clone()).unwrap();
        }
        let description = description();
        let examples = [
            ("/v1/conversations/post", parses::<CreateConversation> as fn(&Value)),
            ("/v1/conversations/{conversation_id}/patch", parses::<RenameConversation>),
            ("/v1/conversations/{conversation_id}/messages/post", parses::<PostMessage>),
            ("/v1/members/{member_id}/preferences/retractions/post", parses::<RetractPreference>),
        ];
        for (operation, parses) in examples {
            let (path, method) = operation.rsplit_once('/').unwrap();
            parses(&description["paths"][path][method]["requestBody"]["content"]["application/json"]["example"]);
        }
    }
}
