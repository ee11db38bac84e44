//! A request, read.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::MAX_INPUTS;
use super::failure::{BadRequest, Failure};
use crate::text::check_text;

/// How vectors are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum EncodingFormat {
    /// As JSON numbers.
    #[default]
    Float,
    /// As base64 of little-endian 32-bit floats.
    Base64,
}

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EmbeddingsRequest {
    pub texts: Vec<String>,
    pub encoding_format: EncodingFormat,
}

#[derive(Deserialize)]
struct Body {
    input: Input,
    model: Option<String>,
    encoding_format: Option<EncodingFormat>,
    dimensions: Option<usize>,
}

struct Input(Vec<String>);

impl EmbeddingsRequest {
    /// Reads a body for the model of this name, whose vectors have so many components.
    pub(super) fn read(body: &[u8], model: &str, dimensions: usize) -> Result<Self, Failure> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let body: Body = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let field = path.split(['.', '[']).next().filter(|field| !field.is_empty()).map(str::to_owned);
            BadRequest { param: field, message: format!("the body cannot be read: {error}") }
        })?;
        json.end().map_err(|error| BadRequest { param: None, message: format!("the body cannot be read: {error}") })?;
        if let Some(asked) = body.model.filter(|asked| asked != model && !asked.starts_with("text-embedding")) {
            return Err(Failure::ModelNotFound { asked, served: model.to_owned() });
        }
        if let Some(asked) = body.dimensions.filter(|asked| *asked != dimensions) {
            let message = format!("dimensions is {asked}: vectors of {model} have {dimensions} components");
            return Err(BadRequest::of("dimensions", message).into());
        }
        let Input(texts) = body.input;
        if texts.is_empty() {
            return Err(BadRequest::of("input", "input has no text".to_owned()).into());
        }
        for (index, text) in texts.iter().enumerate() {
            check_text(text).map_err(|error| BadRequest::of("input", format!("input[{index}] {error}")))?;
        }
        Ok(Self { texts, encoding_format: body.encoding_format.unwrap_or_default() })
    }
}

impl<'de> Deserialize<'de> for Input {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;

        impl<'de> Visitor<'de> for Texts {
            type Value = Input;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a string or an array of 1 to {MAX_INPUTS} strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Input, E> {
                Ok(Input(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Input, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = elements.next_element()? {
                    // The rest is not even read.
                    if texts.len() == MAX_INPUTS {
                        return Err(de::Error::custom(format!("more than {MAX_INPUTS} strings")));
                    }
                    texts.push(text);
                }
                Ok(Input(texts))
            }
        }

        deserializer.deserialize_any(Texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::MAX_TEXT_BYTES;

    fn read(body: &str) -> Result<EmbeddingsRequest, Failure> {
        EmbeddingsRequest::read(body.as_bytes(), "all-MiniLM-L6-v2", 384)
    }

    #[test]
    fn what_openai_s_clients_send_is_understood() {
        let texts = |texts: &[&str], encoding_format| EmbeddingsRequest {
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
            encoding_format,
        };
        let one = r#"{"input": "가방", "model": "text-embedding-3-small", "encoding_format": "base64", "user": "7"}"#;
        assert_eq!(read(one).unwrap(), texts(&["가방"], EncodingFormat::Base64));
        let several = r#"{"input": ["a", "b\nc"], "model": "all-MiniLM-L6-v2", "dimensions": 384}"#;
        assert_eq!(read(several).unwrap(), texts(&["a", "b\nc"], EncodingFormat::Float));
        assert_eq!(read(r#"{"input": "a", "model": null}"#).unwrap(), texts(&["a"], EncodingFormat::Float));
    }

    #[test]
    fn what_cannot_be_answered_says_why() {
        let many = format!(r#"{{"input": [{}"a"]}}"#, r#""a","#.repeat(MAX_INPUTS));
        let long = format!(r#"{{"input": ["a", "{}"]}}"#, "a".repeat(MAX_TEXT_BYTES + 1));
        let deep = format!(r#"{{"input": {}"#, "[".repeat(100_000));
        for (body, param, message) in [
            ("", None, "EOF while parsing a value at line 1 column 0"),
            ("[]", None, "invalid length 0"),
            ("{}", None, "missing field `input`"),
            (r#"{"input": "a"} x"#, None, "trailing characters"),
            (r#"{"input": "a\u0000b"}"#, Some("input"), "input[0] has the control character U+0000 at byte 1"),
            (r#"{"input": "\ud800"}"#, Some("input"), "unexpected end of hex escape"),
            (r#"{"input": []}"#, Some("input"), "input has no text"),
            (r#"{"input": ["a", ""]}"#, Some("input"), "input[1] is empty"),
            (r#"{"input": [[1, 2]]}"#, Some("input"), "input[0]: invalid type: sequence, expected a string"),
            (r#"{"input": 5}"#, Some("input"), "expected a string or an array of 1 to 100 strings"),
            (&many, Some("input"), "more than 100 strings"),
            (&long, Some("input"), "input[1] has 1048577 bytes"),
            (&deep, Some("input"), "expected a string"),
            (r#"{"input": "a", "dimensions": 100}"#, Some("dimensions"), "have 384 components"),
            (r#"{"input": "a", "dimensions": -1}"#, Some("dimensions"), "invalid value"),
            (r#"{"input": "a", "encoding_format": "hex"}"#, Some("encoding_format"), "unknown variant `hex`"),
            (r#"{"input": "a", "model": 5}"#, Some("model"), "expected a string"),
        ] {
            let Err(Failure::BadRequest(found)) = read(body) else {
                panic!("taken: {body:.80}");
            };
            assert!(found.message.contains(message), "{} lacks {message}", found.message);
            assert_eq!(found.param.as_deref(), param, "{body:.80}: {}", found.message);
        }
        assert!(matches!(read(r#"{"input": "a", "model": "gpt"}"#), Err(Failure::ModelNotFound { .. })));
        let invalid = EmbeddingsRequest::read(b"{\"input\": \"\xff\"}", "m", 384);
        assert!(matches!(invalid, Err(Failure::BadRequest(error)) if error.message.contains("invalid unicode")));
    }
}
