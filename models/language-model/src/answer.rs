//! Parsing and validation of answers.

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::CallError;
use crate::schema::Schema;

/// Parses an answer, and validates it against the schema.
///
/// Some servers wrap JSON in a code fence or a sentence. That is accepted if it is unambiguous: the text from the first
/// opening to the last closing brace is one JSON value.
pub(crate) fn parse<T: DeserializeOwned>(text: &str, schema: &Schema) -> Result<T, CallError> {
    let value = json(text)?;
    if let Some(rule) = schema.violated_rule(&value) {
        return Err(CallError::invalid(format!("it violates the schema's rule {rule}")));
    }
    serde_json::from_value(value).map_err(|error| CallError::InvalidOutput {
        why: "it is valid against the schema, but not of the expected type".to_owned(),
        source: Some(Box::new(error)),
    })
}

fn json(text: &str) -> Result<Value, CallError> {
    let error = match serde_json::from_str(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if let (Some(begin), Some(end)) = (text.find('{'), text.rfind('}'))
        && begin < end
        && let Ok(value) = serde_json::from_str(&text[begin..=end])
    {
        return Ok(value);
    }
    Err(CallError::InvalidOutput { why: "it is not one JSON value".to_owned(), source: Some(Box::new(error)) })
}

/// Checks by its `finish_reason` that an answer is complete.
pub(crate) fn check_finished(reason: Option<&str>) -> Result<(), CallError> {
    match reason {
        Some("stop") => Ok(()),
        Some(reason @ ("length" | "content_filter")) => Err(CallError::CutOff { reason: reason.to_owned() }),
        _ => Err(CallError::invalid("its finish_reason is not stop")),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Wish {
        colour: String,
        count: u8,
    }

    fn schema() -> Schema {
        let schema = json!({
            "type": "object",
            "properties": {
                "colour": { "type": "string", "enum": ["red", "{}", "`"] },
                "count": { "type": "integer", "maximum": 300 },
            },
            "required": ["colour", "count"],
            "additionalProperties": false,
        });
        Schema::new("wish", schema).unwrap()
    }

    #[test]
    fn wrapped_json_is_read_where_it_is_unambiguous() {
        let schema = schema();
        let red = Wish { colour: "red".to_owned(), count: 2 };
        for text in [
            r#"{"colour":"red","count":2}"#,
            " \n{\"colour\": \"red\", \"count\": 2}\n",
            "```json\n{\"colour\":\"red\",\"count\":2}\n```",
            "```\n{\"colour\":\"red\",\"count\":2}\n```\n",
            "Here is what you asked for:\n\n```json\n{\"colour\":\"red\",\"count\":2}\n```\nAnything else?",
            "The answer is {\"colour\":\"red\",\"count\":2}.",
        ] {
            assert_eq!(parse::<Wish>(text, &schema).unwrap(), red, "{text}");
        }
        assert_eq!(parse::<Wish>("```{\"colour\":\"{}\",\"count\":0}```", &schema).unwrap().colour, "{}");
    }

    #[test]
    fn ambiguous_and_invalid_answers_are_refused() {
        let schema = schema();
        for text in [
            "",
            "red",
            "null",
            "}{",
            r#"{"colour":"red","count":2}{"colour":"red","count":3}"#,
            "```json\n{\"colour\":\"red\",\"count\":2}\n```\nor\n```json\n{\"colour\":\"red\",\"count\":3}\n```",
            "With {braces}: {\"colour\":\"red\",\"count\":2}",
            r#"{"colour":"red","count":2"#,
            r#"{"answer":{"colour":"red","count":2}}"#,
            r#"{"answer":{"colour":"red","count":2}"#,
            r#"{"colour":"blue","count":2}"#,
            r#"{"colour":"red","count":301}"#,
            r#"{"colour":"red","count":"2"}"#,
            r#"{"colour":"red","count":2,"more":null}"#,
            r#"{"colour":"red","count":299}"#,
        ] {
            let error = parse::<Wish>(text, &schema).unwrap_err();
            assert!(matches!(error, CallError::InvalidOutput { .. }), "{text}: {error}");
            assert!(!error.to_string().contains("blue"), "errors quote nothing of the answer");
        }
    }
}
