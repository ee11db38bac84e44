//! `/openapi.json`: routes from the handlers (utoipa), schemas from the types (schemars).
//!
//! `OpenAPI` 3.1 takes JSON Schema 2020-12 as it is, so the types of the events and those of the services are described
//! by one mechanism. A handler names a schema by `ref("#/components/schemas/…")`.

use axum::Router;
use axum::http::header;
use axum::routing::get;
use schemars::generate::{SchemaGenerator, SchemaSettings};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::problem::{PROBLEM_JSON, Problem};

const SCHEMAS: &str = "/components/schemas";

/// Settings of schemas that refer to each other where `OpenAPI` keeps them.
#[must_use]
pub fn schema_settings() -> SchemaSettings {
    SchemaSettings::draft2020_12().with(|settings| settings.definitions_path = SCHEMAS.into())
}

/// Reference to a schema of the document.
#[must_use]
pub fn reference(name: &str) -> Value {
    json!({ "$ref": format!("#{SCHEMAS}/{name}") })
}

/// The document of a service: its routes, the schemas that the generator was asked for, and the problem response.
#[must_use]
pub fn document(title: &str, description: &str, routes: &impl Serialize, mut schemas: SchemaGenerator) -> Value {
    let problem = schemas.subschema_for::<Problem>();
    let mut document = serde_json::to_value(routes).unwrap_or_default();
    document["info"] = json!({
        "title": title,
        "description": description,
        "version": env!("CARGO_PKG_VERSION"),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["components"] = json!({
        "schemas": schemas.take_definitions(true),
        "responses": { "Problem": {
            "description": "The request was refused or not answered: RFC 9457 problem details",
            "content": { PROBLEM_JSON: { "schema": problem } },
        } },
    });
    for_each_operation(&mut document, |operation| {
        let Some(responses) = operation["responses"].as_object_mut() else { return };
        for (_, response) in responses.iter_mut().filter(|(status, _)| status.as_str() >= "400") {
            response["content"] = json!({ PROBLEM_JSON: { "schema": problem } });
        }
        responses.insert("default".to_owned(), json!({ "$ref": "#/components/responses/Problem" }));
    });
    document
}

/// Changes every operation of a document.
pub fn for_each_operation(document: &mut Value, change: impl FnMut(&mut Value)) {
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut).for_each(change);
}

/// Route of a service's document.
pub fn route<S: Clone + Send + Sync + 'static>(document: &Value) -> Router<S> {
    let body = document.to_string();
    Router::new().route("/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], body)))
}

/// Every reference of a document, for the tests of services.
#[must_use]
pub fn references(document: &Value) -> Vec<&str> {
    fn collect<'a>(value: &'a Value, references: &mut Vec<&'a str>) {
        match value {
            Value::Object(members) => {
                references.extend(members.get("$ref").and_then(Value::as_str));
                members.values().for_each(|member| collect(member, references));
            }
            Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
            _ => {}
        }
    }
    let mut references = Vec::new();
    collect(document, &mut references);
    references
}

/// The references of a document that lead nowhere, for the tests of services.
#[must_use]
pub fn dangling_references(document: &Value) -> Vec<&str> {
    let leads_nowhere =
        |reference: &&str| reference.strip_prefix('#').is_none_or(|pointer| document.pointer(pointer).is_none());
    references(document).into_iter().filter(leads_nowhere).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_a_schema_is_dangling() {
        let routes = json!({ "paths": { "/a": { "get": { "responses": {
            "200": { "content": { "application/json": { "schema": reference("Missing") } } },
            "404": { "description": "unknown" },
        } } } } });
        let document = document("test", "", &routes, schema_settings().into_generator());
        assert_eq!(dangling_references(&document), ["#/components/schemas/Missing"]);
        let responses = &document["paths"]["/a"]["get"]["responses"];
        assert_eq!(responses["404"]["content"][PROBLEM_JSON]["schema"], reference("Problem"));
        assert_eq!(responses["default"], json!({ "$ref": "#/components/responses/Problem" }));
    }
}
