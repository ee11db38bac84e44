//! Data of a conversation's events.

use serde_json::{Value, json};
use uuid::Uuid;

pub const CONVERSATION: Uuid = Uuid::from_u128(0x0193_9d2e_6c00_7a10_8000_0000_0000_0001);
pub const QUESTION_ID: Uuid = Uuid::from_u128(0x0193_9d2e_7000_7a10_8000_0000_0000_0002);
pub const REPLY_ID: Uuid = Uuid::from_u128(0x0193_9d2e_7800_7a10_8000_0000_0000_0005);

pub fn conversation_created() -> Value {
    json!({ "conversation_id": CONVERSATION, "member_id": "mina", "title": "Lunch" })
}

pub fn question() -> Value {
    message_created(QUESTION_ID, "a red bag, no plastic, below 3 pounds")
}

pub fn message_created(message_id: Uuid, content: &str) -> Value {
    json!({
        "message_id": message_id, "conversation_id": CONVERSATION, "member_id": "mina", "role": "user", "content": content,
    })
}

pub fn reply() -> Value {
    json!({
        "message_id": REPLY_ID, "conversation_id": CONVERSATION, "member_id": "mina", "role": "ai",
        "content": "Here is a red tote.", "in_reply_to": QUESTION_ID, "product_ids": ["tote"],
    })
}

pub fn intent_analyzed() -> Value {
    let wishes = json!([
        { "slot": "color", "value": "red", "wanted": true },
        { "slot": "material", "value": "plastic", "wanted": false },
    ]);
    let price = json!({ "max_minor": 300, "currency": "GBP" });
    json!({
        "message_id": QUESTION_ID, "conversation_id": CONVERSATION, "member_id": "mina",
        "understood": {
            "intent": "find-product", "wishes": wishes, "price": price, "sentiment_permille": 200, "language": "en",
        },
        "request": { "words": "red bag", "wishes": wishes, "price": price },
        "analysed_by": { "model": "local-analyser-1" },
    })
}

/// A recommendation for the intent of this event.
pub fn recommendation_generated(intent_event_id: &str) -> Value {
    let intent = intent_analyzed();
    json!({
        "recommendation_id": Uuid::from_u128(3), "message_id": QUESTION_ID, "conversation_id": CONVERSATION,
        "member_id": "mina", "intent_event_id": intent_event_id,
        "understood": intent["understood"], "request": intent["request"],
        "items": [{
            "product_id": "tote", "title": "RED TOTE", "score": 0.86,
            "sub_scores": { "content": 0.8, "collaborative": 0.7, "intent": 1.0 },
            "reason": "red, below 3 pounds",
            "caused_by": [{ "sub_score": "collaborative", "event_id": "order-1", "product_id": "purse" }],
        }],
        "weights": { "content": 0.4, "collaborative": 0.1, "intent": 0.5 },
        "weight_setting": { "content": 0.3, "collaborative": 0.3, "intent": 0.4 },
        "generation": Uuid::from_u128(4),
        "folded_offsets": [{ "topic": "order-completed", "partition": 0, "next_offset": 8141 }],
    })
}
