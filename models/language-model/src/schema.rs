//! JSON schemas of answers.

use std::fmt;

use boon::{Compiler, Draft, SchemaIndex, Schemas, ValidationError};
use serde_json::{Map, Value};

/// URL of the schema, which the compiler requires; references within it are relative to that.
const LOCATION: &str = "urn:jangbogo:answer";

/// A JSON schema (2020-12) in the strict form that servers guarantee: the root is an object; every object names all its
/// properties in `required` and allows no others. An optional property has a type with null.
pub struct Schema {
    name: String,
    value: Value,
    schemas: Schemas,
    root: SchemaIndex,
}

/// A schema is invalid: a mistake in the code.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    #[error("invalid schema name {0:?}: 1 to 64 of the characters a-z, A-Z, 0-9, _ and -")]
    Name(String),
    /// The schema is not in the strict form.
    #[error("the schema is not strict at {at:?}: {why}")]
    NotStrict {
        /// A JSON pointer into the schema.
        at: String,
        why: &'static str,
    },
    /// Not a JSON schema, or one with references to others.
    #[error("invalid JSON schema: {0}")]
    Unreadable(String),
}

impl Schema {
    /// Compiles a schema, which is slow: do it once.
    ///
    /// # Errors
    /// When it is invalid, or not in the strict form.
    pub fn new(name: &str, schema: Value) -> Result<Self, SchemaError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
        if !(1..=64).contains(&name.len()) || !name.bytes().all(is_plain) {
            return Err(SchemaError::Name(name.to_owned()));
        }
        if schema.get("type") != Some(&Value::from("object")) {
            let why = "the root must have the type object";
            return Err(SchemaError::NotStrict { at: String::new(), why });
        }
        check_strict(&schema, "")?;
        let mut compiler = Compiler::new();
        compiler.set_default_draft(Draft::V2020_12);
        let mut schemas = Schemas::new();
        let added = compiler.add_resource(LOCATION, schema.clone());
        added.map_err(|error| SchemaError::Unreadable(error.to_string()))?;
        let root = compiler.compile(LOCATION, &mut schemas);
        let root = root.map_err(|error| SchemaError::Unreadable(error.to_string()))?;
        Ok(Self { name: name.to_owned(), value: schema, schemas, root })
    }

    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The schema as JSON.
    #[must_use]
    pub fn value(&self) -> &Value {
        &self.value
    }

    /// A rule that a value violates, as a JSON pointer into the schema; none if it is valid.
    pub(crate) fn violated_rule(&self, value: &Value) -> Option<String> {
        self.schemas.validate(value, self.root).err().map(|error| rule(&error))
    }
}

/// The JSON pointer of the first rule that a validation found broken.
fn rule(error: &ValidationError<'_, '_>) -> String {
    if let Some(cause) = error.causes.first() {
        return rule(cause);
    }
    let (_, pointer) = error.schema_url.split_once('#').unwrap_or_default();
    error.kind.keyword_path().map_or_else(|| pointer.to_owned(), |keyword| format!("{pointer}/{keyword}"))
}

impl fmt::Debug for Schema {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Schema").field("name", &self.name).finish_non_exhaustive()
    }
}

fn check_strict(schema: &Value, at: &str) -> Result<(), SchemaError> {
    let Value::Object(members) = schema else { return Ok(()) };
    let not_strict = |why| Err(SchemaError::NotStrict { at: at.to_owned(), why });
    if ["allOf", "oneOf", "not", "if", "dependentRequired", "patternProperties"]
        .iter()
        .any(|name| members.contains_key(*name))
    {
        return not_strict("servers allow no other combination of schemas than anyOf");
    }
    if is_object(members) {
        if members.get("additionalProperties") != Some(&Value::Bool(false)) {
            return not_strict("additionalProperties must be false");
        }
        let is_required = |name: &String| match members.get("required") {
            Some(Value::Array(required)) => required.iter().any(|required| required == name.as_str()),
            _ => false,
        };
        let Some(Value::Object(properties)) = members.get("properties") else {
            return not_strict("an object must name its properties");
        };
        if !properties.keys().all(is_required) {
            return not_strict("all properties must be required: an optional one can be null instead");
        }
    }
    for (name, value) in members {
        match (name.as_str(), value) {
            ("items", item) => check_strict(item, &format!("{at}/items"))?,
            ("properties" | "$defs", Value::Object(schemas)) => {
                for (key, schema) in schemas {
                    check_strict(schema, &format!("{at}/{name}/{key}"))?;
                }
            }
            ("anyOf" | "prefixItems", Value::Array(schemas)) => {
                for (position, schema) in schemas.iter().enumerate() {
                    check_strict(schema, &format!("{at}/{name}/{position}"))?;
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn is_object(members: &Map<String, Value>) -> bool {
    members.contains_key("properties")
        || match members.get("type") {
            Some(Value::String(name)) => name == "object",
            Some(Value::Array(names)) => names.iter().any(|name| name == "object"),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strict() -> Value {
        json!({
            "type": "object",
            "properties": {
                "colour": { "type": ["string", "null"], "maxLength": 20 },
                "prices": { "type": "array", "maxItems": 2, "items": { "$ref": "#/$defs/price" } },
            },
            "required": ["colour", "prices"],
            "additionalProperties": false,
            "$defs": {
                "price": {
                    "type": "object",
                    "properties": { "minor": { "type": "integer", "minimum": 0 } },
                    "required": ["minor"],
                    "additionalProperties": false,
                },
            },
        })
    }

    #[test]
    fn rules_that_serde_does_not_check_are_validated() {
        let schema = Schema::new("wish", strict()).unwrap();
        assert_eq!(schema.violated_rule(&json!({ "colour": null, "prices": [{ "minor": 1 }] })), None);
        let broken = schema.violated_rule(&json!({ "colour": null, "prices": [{ "minor": -1 }] })).unwrap();
        assert!(broken.ends_with("/minor/minimum"), "{broken}");
        for value in [
            json!({ "colour": "a colour of more than twenty characters", "prices": [] }),
            json!({ "colour": "red" }),
            json!({ "colour": "red", "prices": [], "more": 1 }),
            json!([]),
        ] {
            assert!(schema.violated_rule(&value).is_some(), "{value}");
        }
    }

    #[test]
    fn schemas_that_servers_refuse_are_refused() {
        type Break = fn(&mut Value);
        let breaks: [(Break, &str); 6] = [
            (|schema| schema["additionalProperties"] = json!(true), ""),
            (|schema| schema["required"] = json!(["prices"]), ""),
            (|schema| schema["type"] = json!("array"), ""),
            (|schema| schema["$defs"]["price"]["required"] = json!([]), "/$defs/price"),
            (
                |schema| schema["properties"]["prices"]["items"] = json!({ "type": "object" }),
                "/properties/prices/items",
            ),
            (|schema| schema["properties"]["colour"] = json!({ "oneOf": [{ "const": "red" }] }), "/properties/colour"),
        ];
        for (breaking, expected) in breaks {
            let mut schema = strict();
            breaking(&mut schema);
            match Schema::new("wish", schema) {
                Err(SchemaError::NotStrict { at, .. }) => assert_eq!(at, expected),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(Schema::new("a wish", strict()), Err(SchemaError::Name(_))));
        let mut schema = strict();
        schema["$defs"]["price"]["properties"]["minor"]["type"] = json!("whole");
        assert!(matches!(Schema::new("wish", schema), Err(SchemaError::Unreadable(_))));
    }
}
