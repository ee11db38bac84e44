//! Commands of the gateway and their bodies.

use jangbogo_events::{Data, MemberId, OrderCancelled, OrderCompleted, OrderId, OrderItem, Text};
use serde::{Deserialize, Deserializer, de};
use uuid::Uuid;

#[derive(Clone, Debug)]
pub enum Command {
    /// Facts, which are accepted without a decision.
    Record(Vec<Data>),
    /// An order, once per `order_id`.
    CompleteOrder(OrderCompleted),
    /// Cancellation of units of an order, at most what is left of it.
    CancelOrder(OrderId, CancelOrder),
    /// A cancellation as the shop states it, once per `cancellation_id`.
    RecordCancellation(OrderCancelled),
    CreateConversation(CreateConversation),
    RenameConversation(Uuid, RenameConversation),
    CloseConversation(Uuid),
    PostMessage(Uuid, PostMessage),
}

/// Units of an order to take back; member and currency are the order's.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelOrder {
    /// The shop's number of this cancellation.
    pub cancellation_id: OrderId,
    /// Cancelled items: positive quantities and totals, at most what is left of the order.
    #[schemars(length(min = 1, max = 10_000))]
    #[serde(deserialize_with = "cancelled_items")]
    pub items: Vec<OrderItem>,
}

/// A conversation to open; the gateway draws its id.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateConversation {
    /// The member who owns it.
    pub member_id: MemberId,
    /// Title; may be left out.
    #[schemars(length(min = 1))]
    #[serde(default, deserialize_with = "optional_words")]
    pub title: Option<Text<256>>,
}

/// Another title for a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameConversation {
    /// The new title.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "words")]
    pub title: Text<256>,
}

/// A member's message; the gateway adds the conversation's member and the role.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostMessage {
    /// Text of the message; must not be blank. It is kept as it was sent.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "words")]
    pub content: Text<16384>,
}

/// A preference that the member retracts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetractPreference {
    /// `category`, `color`, `material`, …: an attribute's name. Trimmed and put in lower case.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "catalogue_words")]
    pub slot: Text<64>,
    /// The value to forget, as the catalogue writes it. Trimmed and put in lower case.
    #[schemars(length(min = 1))]
    #[serde(deserialize_with = "catalogue_words")]
    pub value: Text<256>,
    /// Retracts only what this message said; if null, everything until now.
    #[serde(default)]
    pub message_id: Option<Uuid>,
}

fn cancelled_items<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<OrderItem>, D::Error> {
    /// Limit of items, as for an order.
    const MAX_ITEMS: usize = 10_000;
    let items = Vec::<OrderItem>::deserialize(deserializer)?;
    if (1..=MAX_ITEMS).contains(&items.len()) {
        return Ok(items);
    }
    Err(de::Error::custom(format!("a cancellation must have 1 to {MAX_ITEMS} items, not {}", items.len())))
}

/// A text that is not blank.
fn words<'de, D: Deserializer<'de>, const MAX: usize>(deserializer: D) -> Result<Text<MAX>, D::Error> {
    check_words(Text::deserialize(deserializer)?)
}

fn optional_words<'de, D: Deserializer<'de>, const MAX: usize>(deserializer: D) -> Result<Option<Text<MAX>>, D::Error> {
    Option::deserialize(deserializer)?.map(check_words).transpose()
}

/// A text that is not blank, trimmed and in lower case as in the catalogue.
fn catalogue_words<'de, D: Deserializer<'de>, const MAX: usize>(deserializer: D) -> Result<Text<MAX>, D::Error> {
    let text = String::deserialize(deserializer)?.trim().to_lowercase();
    check_words(Text::new(text).map_err(de::Error::custom)?)
}

fn check_words<E: de::Error, const MAX: usize>(text: Text<MAX>) -> Result<Text<MAX>, E> {
    if text.chars().all(is_invisible) {
        return Err(E::custom("a text must hold something to read: this one is empty or blank"));
    }
    Ok(text)
}

/// White space and characters that look like it: control characters, zero-width spaces and Hangul fillers.
fn is_invisible(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}')
        || matches!(character, '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(text: &str) -> Result<PostMessage, String> {
        serde_json::from_value(serde_json::json!({ "content": text })).map_err(|error| error.to_string())
    }

    #[test]
    fn a_message_must_not_be_blank_and_is_kept_as_it_was_sent() {
        for text in ["빨간 가방\n", " ?", "\u{200b}x", "👍", "👩\u{200d}🍳"] {
            assert_eq!(&*content(text).unwrap().content, text);
        }
        for text in ["", " ", "\n\t\u{a0}\u{3000}", "\u{3164}\u{3164}", "\u{feff}\u{200b}\u{7}"] {
            assert!(content(text).unwrap_err().starts_with("a text must hold something to read"), "{text:?}");
        }
    }

    #[test]
    fn a_message_is_bounded_by_characters_and_holds_no_nul() {
        assert!(content(&"가".repeat(16_384)).is_ok());
        let error = content(&"가".repeat(16_385)).unwrap_err();
        assert!(error.starts_with("a text must have at most 16384 characters, this one has 16385"), "{error}");
        assert!(content("a\0b").unwrap_err().contains("NUL"));
    }

    #[test]
    fn a_retraction_is_written_as_the_catalogue_writes() {
        let read = |value: &str| {
            serde_json::from_value::<RetractPreference>(serde_json::json!({ "slot": " Color\n", "value": value }))
        };
        let retraction = read("\u{3000}Dark RED ").unwrap();
        assert_eq!((&*retraction.slot, &*retraction.value), ("color", "dark red"));
        assert!(read("  ").is_err());
        // Some letters become two in lower case.
        assert!(read(&"x".repeat(256)).is_ok());
        assert!(read(&"İ".repeat(256)).is_err());
    }

    #[test]
    fn a_title_may_be_left_out_but_not_be_blank() {
        let read = |json| serde_json::from_str::<CreateConversation>(json).map(|create| create.title);
        assert_eq!(read(r#"{"member_id":"1"}"#).unwrap(), None);
        assert_eq!(read(r#"{"member_id":"1","title":null}"#).unwrap(), None);
        assert!(read(r#"{"member_id":"1","title":" "}"#).is_err());
    }
}
