//! `/openapi.json`: routes from the handlers (utoipa), payloads from the events' own JSON Schemas (schemars).
//!
//! `OpenAPI` 3.1 takes JSON Schema 2020-12 as it is, so no type is described twice.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use jangbogo_events::EventType;
use jangbogo_http::problem::Problem;
use schemars::Schema;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use super::items::{MAX_ITEMS, behavior_types};
use crate::store::{
    Accepted, CancelOrder, ConversationAccepted, CreateConversation, MessageAccepted, PostMessage, RenameConversation,
    RetractPreference,
};

const DEFINITIONS: &str = "/components/schemas";

/// Route of the `OpenAPI` description.
pub(super) fn route<S: Clone + Send + Sync + 'static>(routes: &OpenApi) -> Router<S> {
    let body = describe(routes).to_string();
    Router::new().route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], body)))
}

fn describe(routes: &OpenApi) -> Value {
    let mut description = serde_json::to_value(routes).unwrap_or_default();
    description["info"] = json!({
        "title": "Jangbogo gateway",
        "description": "Commands: each is validated as a whole, then its events are on their way to the log.",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    description["components"] = json!({
        "schemas": schemas(),
        "parameters": parameters(),
        "responses": { "Problem": {
            "description": "The command was not accepted: RFC 9457 problem details",
            "content": { jangbogo_http::problem::PROBLEM_JSON: { "schema": reference("Problem") } },
        } },
    });
    if let Some(paths) = description["paths"].as_object_mut() {
        let operations = paths.values_mut().filter_map(Value::as_object_mut).flat_map(Map::values_mut);
        operations.for_each(complete_operation);
    }
    description
}

/// Adds what all commands share: request headers, and the problem response.
fn complete_operation(operation: &mut Value) {
    if let Some(accepted) = operation.pointer_mut("/responses/202").and_then(Value::as_object_mut) {
        accepted.insert("description".to_owned(), "Accepted: the events are stored, and will be in the log".into());
        let replayed = json!({
            "description": "true when this is the answer to an earlier command of the same Idempotency-Key",
            "schema": { "type": "string", "const": "true" },
        });
        accepted.insert("headers".to_owned(), json!({ "Idempotency-Replayed": replayed }));
    }
    operation["responses"]["default"] = json!({ "$ref": "#/components/responses/Problem" });
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

fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    let commands =
        [EventType::ProductUpserted, EventType::ProductRetired, EventType::OrderCompleted, EventType::OrderCancelled];
    for event_type in commands {
        add(&mut schemas, event_type.schema(generator()));
    }
    let behaviors: Vec<Value> = behavior_types()
        .map(|event_type| {
            let data = add(&mut schemas, event_type.schema(generator()));
            json!({
                "type": "object",
                "properties": { "type": { "type": "string", "const": event_type.name() }, "data": reference(&data) },
                "required": ["type", "data"],
                "additionalProperties": false,
            })
        })
        .collect();
    schemas.insert("Behavior".to_owned(), json!({ "description": "What a shopper did", "oneOf": behaviors }));
    for schema in [
        generator().into_root_schema_for::<Accepted>(),
        generator().into_root_schema_for::<ConversationAccepted>(),
        generator().into_root_schema_for::<MessageAccepted>(),
        generator().into_root_schema_for::<CancelOrder>(),
        generator().into_root_schema_for::<CreateConversation>(),
        generator().into_root_schema_for::<RenameConversation>(),
        generator().into_root_schema_for::<PostMessage>(),
        generator().into_root_schema_for::<RetractPreference>(),
        generator().into_root_schema_for::<Problem>(),
    ] {
        add(&mut schemas, schema);
    }
    for item in ["ProductUpserted", "ProductRetired", "Behavior"] {
        let list = json!({ "type": "array", "items": reference(item), "minItems": 1, "maxItems": MAX_ITEMS });
        schemas.insert(format!("{item}List"), list);
    }
    schemas
}

/// Puts referenced schemas where `OpenAPI` has them.
fn generator() -> SchemaGenerator {
    SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = DEFINITIONS.into()).into_generator()
}

/// Adds a schema and those it refers to; returns its name.
fn add(schemas: &mut Map<String, Value>, schema: Schema) -> String {
    let mut schema = schema.to_value();
    let name = schema["title"].as_str().unwrap_or_default().to_owned();
    if let Some(definitions) = schema.pointer_mut(DEFINITIONS).and_then(Value::as_object_mut) {
        schemas.append(definitions);
    }
    if let Some(members) = schema.as_object_mut() {
        for member in ["$schema", "components", "title"] {
            members.remove(member);
        }
    }
    schemas.insert(name.clone(), schema);
    name
}

fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#{DEFINITIONS}/{name}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::routes;

    fn description() -> Value {
        describe(routes::commands().get_openapi())
    }

    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                if let Some(target) = members.get("$ref").and_then(Value::as_str) {
                    found.push(target.to_owned());
                }
                members.values().for_each(|member| references(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_reference_resolves() {
        let description = description();
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 30, "{found:?}");
        for target in found {
            let pointer = target.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{target} leads nowhere");
        }
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
