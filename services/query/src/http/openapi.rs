//! `/openapi.json`, generated from the handlers by utoipa.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use jangbogo_events::{IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_http::problem::{PROBLEM_JSON, Problem};
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

const DEFINITIONS: &str = "/components/schemas";

/// Route of the `OpenAPI` description.
pub(super) fn route<S: Clone + Send + Sync + 'static>(routes: &OpenApi) -> Router<S> {
    let body = describe(routes).to_string();
    Router::new().route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], body)))
}

fn describe(routes: &OpenApi) -> Value {
    let mut description = serde_json::to_value(routes).unwrap_or_default();
    description["info"] = json!({
        "title": "Jangbogo query",
        "description": "Reads of the read models, with the products' current attributes; as of a generation of the \
                        past, with the attributes of that time.",
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    let mut schemas =
        SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = DEFINITIONS.into()).into_generator();
    let reference = schemas.subschema_for::<Problem>().to_value();
    // Entries of conversations are served as the contract's types.
    schemas.subschema_for::<MessageCreated>();
    schemas.subschema_for::<IntentAnalyzed>();
    schemas.subschema_for::<RecommendationGenerated>();
    for (name, schema) in schemas.take_definitions(true) {
        debug_assert!(description["components"]["schemas"].get(&name).is_none(), "two schemas are called {name}");
        description["components"]["schemas"][name] = schema;
    }
    description["components"]["responses"]["Problem"] = json!({
        "description": "The request was not answered: RFC 9457 problem details",
        "content": { PROBLEM_JSON: { "schema": reference } },
    });
    description["components"]["headers"]["Projection-Generations"] = json!({
        "description": "The generations this was read from: `processor=id`, separated by commas",
        "schema": { "type": "string" },
    });
    let paths = description["paths"].as_object_mut();
    for path in paths.into_iter().flat_map(|paths| paths.values_mut()) {
        let Some(responses) = path["get"]["responses"].as_object_mut() else { continue };
        for (status, response) in responses.iter_mut() {
            if status != "101" {
                response["headers"]["Projection-Generations"] =
                    json!({ "$ref": "#/components/headers/Projection-Generations" });
            }
            if status.as_str() >= "400" {
                response["content"] = json!({ PROBLEM_JSON: { "schema": reference } });
            }
        }
        responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    }
    description
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let description = describe(super::super::reads().get_openapi());
        assert_eq!(description["openapi"], "3.1.0");
        assert!(!description["paths"].as_object().unwrap().is_empty());
        let mut found = Vec::new();
        references(&description, &mut found);
        assert!(found.len() > 20);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(description.pointer(pointer).is_some(), "{reference}");
        }
    }

    #[test]
    fn every_read_from_rows_takes_as_of() {
        let description = describe(super::super::reads().get_openapi());
        for (path, item) in description["paths"].as_object().unwrap() {
            let parameters = item["get"]["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
            if path.ends_with("/stream") {
                assert!(item["get"]["responses"]["101"].is_object(), "it follows what is live");
                continue;
            }
            let takes_as_of = parameters.iter().any(|parameter| parameter["name"] == "as_of");
            let is_searched = path == "/v1/search" || path.ends_with("/messages");
            assert_eq!(takes_as_of, !path.starts_with("/v1/pipeline") && !is_searched, "{path}");
            assert!(item["get"]["responses"]["200"]["headers"]["Projection-Generations"].is_object(), "{path}");
        }
    }
}
