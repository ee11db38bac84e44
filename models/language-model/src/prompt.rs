//! Prompts and their hashes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A prompt. Untrusted text belongs into a [`data_block`](crate::data_block).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// Instructions, without untrusted text.
    pub system: String,
    /// The conversation, the oldest message first.
    pub messages: Vec<(Role, String)>,
}

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    User,
    Assistant,
}

impl Prompt {
    /// SHA-256, in hexadecimal, of the UTF-8 text of one canonical JSON object:
    ///
    /// ```json
    /// {"messages":[{"content":"…","role":"system"},{"content":"…","role":"user"}],"parameters":{…},"schema":…}
    /// ```
    ///
    /// Canonical means: no white space, members in the order of their names' bytes at every depth, strings and numbers
    /// as `serde_json` writes them. `role` is `system`, `user` or `assistant`, parameters are those of the
    /// [`Completion`](crate::Completion), and `schema` is null for text. Events keep these hashes: it never changes.
    pub(crate) fn hash(&self, schema: Option<&Value>, parameters: &BTreeMap<String, String>) -> String {
        let message = |role: &str, content: &str| json!({ "role": role, "content": content });
        let mut messages = vec![message("system", &self.system)];
        messages.extend(self.messages.iter().map(|(role, content)| message(role.name(), content)));
        let mut text = String::new();
        write_canonical(&json!({ "messages": messages, "parameters": parameters, "schema": schema }), &mut text);
        hex(&Sha256::digest(text))
    }

    /// Estimated number of tokens, at three bytes each: too many for English, about right for Korean.
    pub(crate) fn estimated_tokens(&self) -> u32 {
        let bytes: usize = self.messages.iter().map(|(_, content)| content.len()).sum::<usize>() + self.system.len();
        u32::try_from(bytes / 3).unwrap_or(u32::MAX)
    }
}

impl Role {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
        }
    }
}

/// Sorts objects itself: any crate may turn on `serde_json`'s feature that keeps their order.
fn write_canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            text.push('{');
            for (position, (name, value)) in sorted.into_iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                text.push_str(&Value::from(name.as_str()).to_string());
                text.push(':');
                write_canonical(value, text);
            }
            text.push('}');
        }
        Value::Array(items) => {
            text.push('[');
            for (position, item) in items.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                write_canonical(item, text);
            }
            text.push(']');
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => text.push_str(&value.to_string()),
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prompt() -> Prompt {
        Prompt {
            system: "Be brief.".to_owned(),
            messages: vec![
                (Role::User, "린넨 \"원피스\"\n".to_owned()),
                (Role::Assistant, "Which size?".to_owned()),
                (Role::User, "M".to_owned()),
            ],
        }
    }

    #[test]
    fn the_hash_is_of_the_documented_text() {
        let schema: Value =
            serde_json::from_str(r#"{"type":"object","maximum":1.5,"items":[{"b":1,"a":null}]}"#).unwrap();
        let parameters = BTreeMap::from([("temperature".to_owned(), "0".to_owned())]);
        let text = concat!(
            r#"{"messages":[{"content":"Be brief.","role":"system"},{"content":"린넨 \"원피스\"\n","role":"user"},"#,
            r#"{"content":"Which size?","role":"assistant"},{"content":"M","role":"user"}],"#,
            r#""parameters":{"temperature":"0"},"#,
            r#""schema":{"items":[{"a":null,"b":1}],"maximum":1.5,"type":"object"}}"#,
        );
        let hash = prompt().hash(Some(&schema), &parameters);
        assert_eq!(hash, hex(&Sha256::digest(text)));
        assert_eq!(hash.len(), 64);
    }

    #[test]
    fn hashes_of_released_versions_stay() {
        assert_eq!(
            prompt().hash(None, &BTreeMap::new()),
            "893ab013ceda3207b8012f4e0f88e6ee1aeeaec0493699b2b7c2d93d17254e61",
        );
    }

    #[test]
    fn every_part_changes_the_hash() {
        let base = prompt().hash(None, &BTreeMap::new());
        let mut other = prompt();
        other.messages[1].0 = Role::User;
        assert_ne!(other.hash(None, &BTreeMap::new()), base);
        assert_ne!(prompt().hash(Some(&json!({})), &BTreeMap::new()), base);
        let parameters = BTreeMap::from([("model".to_owned(), "a".to_owned())]);
        assert_ne!(prompt().hash(None, &parameters), base);
    }
}
