//! Conversations, with their messages, intents and recommendations.

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, EventHash, IntentAnalyzed, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, Table, TableMarker as _, Target, View, ViewKeys, Watch};
use uuid::Uuid;

jangbogo_fold::table! {
    /// Each conversation: its member, its title, and the time it was closed
    pub Conversations "conversation" index [member_id] {
        key ConversationKey { conversation_id: Uuid }
        first Opening "opening" { member_id: String }
        last Naming "naming" { title: Option<String> }
        min Closing "closing" { closed_at: DateTime<Utc> }
    }
}

jangbogo_fold::table! {
    /// Events of conversations: kind, and data as JSON without vectors
    pub Entries "conversation_entry" index [conversation_id, member_id] {
        key EntryKey { event: EventHash }
        once Entry "entry" {
            conversation_id: Uuid,
            member_id: String,
            message_id: Uuid,
            kind: &'static str,
            happened_at: DateTime<Utc>,
            event_id: String,
            body: String,
        }
    }
}

pub const MESSAGES_VIEW: &str = "messages";

// Kinds of entries.
pub const MESSAGE: &str = "message";
pub const INTENT: &str = "intent";
pub const RECOMMENDATION: &str = "recommendation";

/// Conversations and all their entries.
pub static PROJECTION: Projection = Projection {
    name: "conversation",
    reads: &[
        Topic::ConversationEvents,
        Topic::ConversationMessageCreated,
        Topic::PreferenceEvents,
        Topic::RecommendationEvents,
    ],
    tables: &[Conversations::TABLE, Entries::TABLE],
    fold,
    views: &[],
};

/// Intents and recommendations only: enough to explain what a member was shown.
pub static RECOMMENDED: Projection = Projection {
    name: "recommended",
    reads: &[Topic::PreferenceEvents, Topic::RecommendationEvents],
    tables: &[Entries::TABLE],
    fold,
    views: &[],
};

/// The entries' table without secondary indexes.
static UNINDEXED: Table = Table { indexes: &[], ..*Entries::TABLE };

/// Messages as search documents. The projection reads no other events, so every entry is a message.
pub static MESSAGES: Projection = Projection {
    name: "messages",
    reads: &[Topic::ConversationMessageCreated],
    tables: &[&UNINDEXED],
    fold,
    views: &[View {
        name: MESSAGES_VIEW,
        // A document for each message, by its event.
        watches: &[Watch { table: Entries::TABLE, column: "event" }],
        keys: ViewKeys::Same,
        query: include_str!("conversation.messages.sql"),
        all_keys: "SELECT event::text FROM conversation_entry WHERE $1 = '' OR event > nullif($1, '')::uuid
                   ORDER BY event LIMIT $2",
        full_refresh: false,
        target: Target::Elasticsearch { index: include_str!("conversation.index.json") },
    }],
};

fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    match &event.data {
        Data::ConversationCreated(created) => {
            let key = ConversationKey { conversation_id: created.conversation_id };
            deltas.put(key, Opening { member_id: created.member_id.to_string() });
            deltas.put(key, Naming { title: created.title.as_deref().map(str::to_owned) });
        }
        Data::ConversationRenamed(renamed) => {
            let key = ConversationKey { conversation_id: renamed.conversation_id };
            deltas.put(key, Naming { title: Some(renamed.title.to_string()) });
        }
        Data::ConversationClosed(closed) => {
            let key = ConversationKey { conversation_id: closed.conversation_id };
            deltas.put(key, Closing { closed_at: event.envelope.time });
        }
        Data::MessageCreated(message) => {
            // A reply is an entry of the message that it replies to.
            let message_id = message.in_reply_to.unwrap_or(message.message_id);
            let turn = (message.conversation_id, message.member_id.to_string(), message_id);
            put(event, deltas, MESSAGE, turn, serde_json::to_string(message));
        }
        Data::IntentAnalyzed(intent) => {
            let turn = (intent.conversation_id, intent.member_id.to_string(), intent.message_id);
            // Only the ranking reactor reads the vector, from the event.
            let without_vector = IntentAnalyzed { embedded: None, ..intent.clone() };
            put(event, deltas, INTENT, turn, serde_json::to_string(&without_vector));
        }
        Data::RecommendationGenerated(list) => {
            let turn = (list.conversation_id, list.member_id.to_string(), list.message_id);
            put(event, deltas, RECOMMENDATION, turn, serde_json::to_string(list));
        }
        _ => {}
    }
}

fn put(
    event: &Event,
    deltas: &mut Deltas,
    kind: &'static str,
    (conversation_id, member_id, message_id): (Uuid, String, Uuid),
    body: serde_json::Result<String>,
) {
    // Data that was decoded from JSON can be encoded as JSON.
    let Ok(body) = body else { return };
    let (happened_at, event_id) = (event.envelope.time, event.envelope.id.clone());
    let entry = Entry { conversation_id, member_id, message_id, kind, happened_at, event_id, body };
    deltas.put(EntryKey { event: event.envelope.hash() }, entry);
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{
        ConversationClosed, ConversationCreated, ConversationRenamed, MessageCreated, Payload as _, Role, Text,
    };

    use super::*;
    use jangbogo_fold::testing::{at, given};

    const CONVERSATION: &str = "01939d2e-6c00-7a10-8000-000000000001";

    #[test]
    fn a_conversation_has_its_newest_title_and_its_first_close() {
        let opened = ConversationCreated::example();
        let (conversation_id, title) = (opened.conversation_id, Text::new("Lunch").unwrap());
        let facts = [
            at("2011-03-04T00:00:00Z", ConversationClosed { conversation_id }),
            at("2011-03-03T00:00:00Z", ConversationClosed { conversation_id }),
            at("2011-03-02T00:00:00Z", ConversationRenamed { conversation_id, title }),
            opened.into(),
        ];
        let folded = given(&PROJECTION, facts);
        let id = conversation_id.as_u128();
        let expected = format!("{id:032x}: member_id=\"13085\" title=\"Lunch\" closed_at=2011-03-03T00:00:00+00:00");
        assert_eq!(folded.rows("conversation"), [expected]);
    }

    #[test]
    fn a_reply_is_kept_with_the_message_it_replies_to() {
        let asked = MessageCreated::example();
        let reply = MessageCreated {
            message_id: Uuid::from_u128(9),
            role: Role::Ai,
            in_reply_to: Some(asked.message_id),
            ..asked.clone()
        };
        let rows = given(&PROJECTION, [asked.clone().into(), reply.into()]).rows("conversation_entry");
        assert_eq!(rows.len(), 2);
        let message_id = format!("message_id={:032x}", asked.message_id.as_u128());
        assert!(rows.iter().all(|row| row.contains(&message_id) && row.contains("kind=\"message\"")), "{rows:?}");
    }

    #[test]
    fn an_intent_is_kept_without_its_vector() {
        let rows = given(&RECOMMENDED, [IntentAnalyzed::example().into()]).rows("conversation_entry");
        let id = CONVERSATION.replace('-', "");
        assert!(rows[0].contains(&format!("conversation_id={id}")) && rows[0].contains("kind=\"intent\""), "{rows:?}");
        assert!(!rows[0].contains("embedded"), "{rows:?}");
    }
}
