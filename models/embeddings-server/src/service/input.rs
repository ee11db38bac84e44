//! Parsing of requests.

use std::fmt;

use jangbogo_embedding::text::check_text;
use serde::de::{self, DeserializeOwned, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::MAX_INPUTS;
use super::failure::{BadRequest, Failure};

/// Parses a body. Errors name the field.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, BadRequest> {
    let invalid = |param, error: &dyn fmt::Display| BadRequest { param, message: format!("invalid body: {error}") };
    let mut json = serde_json::Deserializer::from_slice(body);
    let request = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let field = path.split(['.', '[']).next().filter(|field| !field.is_empty() && *field != "?");
        invalid(field.map(str::to_owned), &error)
    })?;
    json.end().map_err(|error| invalid(None, &error))?;
    Ok(request)
}

/// Validates the text of a field.
pub(super) fn checked(field: &str, text: String) -> Result<String, Failure> {
    match check_text(&text) {
        Ok(()) => Ok(text),
        Err(error) => Err(BadRequest::in_field(field, format!("{field} {error}")).into()),
    }
}

/// A text, or 1 to [`MAX_INPUTS`] of them.
pub(super) struct Texts(Vec<String>);

impl Texts {
    /// Validates the texts of a field.
    pub(super) fn checked(self, field: &str) -> Result<Vec<String>, Failure> {
        let Self(texts) = self;
        if texts.is_empty() {
            return Err(BadRequest::in_field(field, format!("{field} has no text")).into());
        }
        for (index, text) in texts.iter().enumerate() {
            check_text(text).map_err(|error| BadRequest::in_field(field, format!("{field}[{index}] {error}")))?;
        }
        Ok(texts)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrMany;

        impl<'de> Visitor<'de> for OneOrMany {
            type Value = Texts;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, "a string or an array of 1 to {MAX_INPUTS} strings")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Texts, E> {
                Ok(Texts(vec![text.to_owned()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Texts, A::Error> {
                let mut texts: Vec<String> = Vec::new();
                while let Some(text) = elements.next_element()? {
                    // The rest is not parsed.
                    if texts.len() == MAX_INPUTS {
                        return Err(de::Error::custom(format!("more than {MAX_INPUTS} strings")));
                    }
                    texts.push(text);
                }
                Ok(Texts(texts))
            }
        }

        deserializer.deserialize_any(OneOrMany)
    }
}
