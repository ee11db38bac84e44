//! What members said they like and dislike, and what they took back.
//!
//! Statements are facts; a retraction is a tombstone of one message's statement, or a horizon: whatever was said of a
//! value until then no longer counts. So the order in which they are folded does not matter, and a rebuild resurrects
//! nothing. Decay, and what members' acts imply, belong to the view.

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, EventHash, Intent, IntentAnalyzed, MemberId, PreferenceRetracted, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};
use uuid::Uuid;

use crate::catalogue::Products;
use crate::history::Members;

/// The name of the view of members' preferences.
pub const PREFERENCE_VIEW: &str = "user:preference";

jangbogo_fold::table! {
    /// Values that a member said are wanted or not
    pub Statements "user_preferences" {
        key StatementKey<'a> { member_id: &'a str, event: EventHash, slot: &'a str, value: &'a str }
        once Statement "statement" {
            wanted: bool, strength: i64, message_id: Uuid, event_id: String, said_at: DateTime<Utc>,
        }
    }
}

jangbogo_fold::table! {
    /// What each of a member's messages said besides: price, mood, language
    pub Messages "user_message" {
        key MessageKey<'a> { member_id: &'a str, event: EventHash }
        once Mood "mood" {
            message_id: Uuid, event_id: String, said_at: DateTime<Utc>, sentiment_permille: i64, language: String,
            min_minor: Option<i64>, max_minor: Option<i64>, currency: Option<String>,
        }
    }
}

jangbogo_fold::table! {
    /// Statements that were taken back, each by its message
    pub Tombstones "user_preference_retracted" {
        key TombstoneKey<'a> { member_id: &'a str, message_id: Uuid, slot: &'a str, value: &'a str }
    }
}

jangbogo_fold::table! {
    /// Until when nothing counts that was said of a value
    pub Horizons "user_preference_horizon" {
        key HorizonKey<'a> { member_id: &'a str, slot: &'a str, value: &'a str }
        max Forgotten "forgotten" { forgotten_until: DateTime<Utc> }
    }
}

jangbogo_fold::table! {
    /// Members who said something, and when last
    pub Speakers "speaker" {
        key SpeakerKey<'a> { member_id: &'a str }
        add Said "said" { messages: i64 }
        max Heard "heard" { heard_at: DateTime<Utc> }
    }
}

/// What members like. Hosted beside the catalogue and members' histories, which its view joins.
pub static PROJECTION: Projection = Projection {
    name: "preferences",
    reads: &[Topic::PreferenceEvents],
    tables: &[Statements::TABLE, Messages::TABLE, Tombstones::TABLE, Horizons::TABLE, Speakers::TABLE],
    fold,
    views: &[View {
        watches: &[
            Watch { table: Speakers::TABLE, column: "member_id" },
            Watch { table: Members::TABLE, column: "member_id" },
            Watch { table: Products::TABLE, column: "product_id" },
        ],
        target: Target::RedisHash,
        ..VIEW
    }],
};

/// The same for a processor that ranks by it: read from its own rows, in one snapshot with the rest.
pub static KNOWN: Projection = Projection { name: "known-preferences", views: &[VIEW], ..PROJECTION };

const VIEW: View = View {
    name: PREFERENCE_VIEW,
    description: "what a member likes and dislikes, by what they said and did; half after 90 days of theirs",
    watches: &[],
    // Ids of members and of products come mixed: one that is both makes one value more fresh than need be.
    keys: ViewKeys::Mapped(
        "SELECT member_id FROM speaker WHERE member_id = ANY ($1)
         UNION SELECT member_id FROM member WHERE member_id = ANY ($1)
         UNION SELECT member_id FROM member_product WHERE product_id = ANY ($1)",
    ),
    query: include_str!("preferences.sql"),
    all_keys: "SELECT member_id FROM (SELECT member_id FROM speaker UNION SELECT member_id FROM member) AS known
               WHERE member_id > $1 ORDER BY member_id LIMIT $2",
    full_refresh: false,
    target: Target::Postgres,
};

fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    match &event.data {
        Data::IntentAnalyzed(intent) => state(event, intent, deltas),
        Data::PreferenceRetracted(PreferenceRetracted { member_id, slot, value, message_id }) => {
            match message_id {
                Some(message_id) => deltas.insert(TombstoneKey { member_id, message_id: *message_id, slot, value }),
                None => forget(event, member_id, slot, value, deltas),
            }
            hear(event, member_id, deltas);
        }
        _ => {}
    }
}

fn state(event: &Event, intent: &IntentAnalyzed, deltas: &mut Deltas) {
    let IntentAnalyzed { member_id, message_id, understood, .. } = intent;
    let (said_at, event_id, hash) = (event.envelope.time, &event.envelope.id, event.envelope.hash());
    // Who says what they like means more than this purchase.
    let strength = if understood.intent == Intent::StatePreference { 3 } else { 1 };
    for wish in &understood.wishes {
        let key = StatementKey { member_id, event: hash, slot: &wish.slot, value: &wish.value };
        let (wanted, message_id, event_id) = (wish.wanted, *message_id, event_id.clone());
        deltas.put(key, Statement { wanted, strength, message_id, event_id, said_at });
    }
    for taken_back in &understood.retracted {
        forget(event, member_id, &taken_back.slot, &taken_back.value, deltas);
    }
    let price = understood.price.as_ref();
    let mood = Mood {
        message_id: *message_id,
        event_id: event_id.clone(),
        said_at,
        sentiment_permille: understood.sentiment_permille.into(),
        language: understood.language.to_string(),
        min_minor: price.and_then(|price| price.min_minor),
        max_minor: price.and_then(|price| price.max_minor),
        currency: price.map(|price| price.currency.to_string()),
    };
    deltas.put(MessageKey { member_id, event: hash }, mood);
    hear(event, member_id, deltas);
}

fn forget(event: &Event, member_id: &MemberId, slot: &str, value: &str, deltas: &mut Deltas) {
    deltas.put(HorizonKey { member_id, slot, value }, Forgotten { forgotten_until: event.envelope.time });
}

fn hear(event: &Event, member_id: &MemberId, deltas: &mut Deltas) {
    deltas.put(SpeakerKey { member_id }, Said { messages: 1 });
    deltas.put(SpeakerKey { member_id }, Heard { heard_at: event.envelope.time });
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Payload as _, Retraction, Text, Understanding};

    use super::*;
    use jangbogo_fold::testing::{at, given};

    fn retracted(message_id: Option<Uuid>) -> PreferenceRetracted {
        PreferenceRetracted { message_id, ..PreferenceRetracted::example() }
    }

    #[test]
    fn each_wish_is_a_statement_and_a_stated_preference_weighs_more() {
        let asked = IntentAnalyzed::example();
        let understood = Understanding { intent: Intent::StatePreference, ..(*asked.understood).clone() };
        let told = IntentAnalyzed { understood: Box::new(understood), ..asked.clone() };
        let rows = given(&PROJECTION, [asked.into(), told.into()]).rows("user_preferences");
        assert_eq!(rows.len(), 6);
        assert_eq!(rows.iter().filter(|row| row.contains("strength=3")).count(), 3);
        assert!(rows[1].contains("material plastic: wanted=false strength=1"), "{rows:?}");
    }

    #[test]
    fn a_retraction_is_a_tombstone_or_a_horizon() {
        let one = given(&PROJECTION, [retracted(Some(Uuid::from_u128(7))).into()]);
        assert_eq!(one.rows("user_preference_retracted"), [format!("13085 {:032x} material plastic:", 7)]);
        assert_eq!(one.rows("user_preference_horizon"), [""; 0]);

        let facts = [at("2011-03-05T00:00:00Z", retracted(None)), at("2011-03-02T00:00:00Z", retracted(None))];
        let all = given(&PROJECTION, facts);
        let horizon = "13085 material plastic: forgotten_until=2011-03-05T00:00:00+00:00";
        assert_eq!(all.rows("user_preference_horizon"), [horizon]);
    }

    #[test]
    fn what_a_message_takes_back_is_forgotten_until_then() {
        let asked = IntentAnalyzed::example();
        let taken_back = Retraction { slot: Text::new("color").unwrap(), value: Text::new("red").unwrap() };
        let understood =
            Understanding { wishes: Vec::new(), retracted: vec![taken_back], ..(*asked.understood).clone() };
        let folded = given(&PROJECTION, [IntentAnalyzed { understood: Box::new(understood), ..asked }.into()]);
        let horizon = "13085 color red: forgotten_until=2011-03-01T03:00:00+00:00";
        assert_eq!(folded.rows("user_preference_horizon"), [horizon]);
    }

    #[test]
    fn price_mood_and_language_are_kept_by_message() {
        let rows = given(&PROJECTION, [IntentAnalyzed::example().into()]).rows("user_message");
        let values = "sentiment_permille=0 language=\"ko\" max_minor=300 currency=\"GBP\"";
        assert!(rows[0].ends_with(values), "{rows:?}");
    }
}
