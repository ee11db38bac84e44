//! Members' stated preferences and their retractions.
//!
//! A retraction is a tombstone of one message's statement, or a horizon that cancels all earlier statements about a
//! value: so the order of folding does not matter. The view applies decay, and adds what members' acts imply.

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, EventHash, Intent, IntentAnalyzed, MemberId, PreferenceRetracted, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};
use uuid::Uuid;

use crate::catalogue::Products;
use crate::history::Members;

pub const PREFERENCE_VIEW: &str = "user:preference";

jangbogo_fold::table! {
    /// Values that a member stated as wanted or unwanted
    pub Statements "user_preferences" {
        key StatementKey<'a> { member_id: &'a str, event: EventHash, slot: &'a str, value: &'a str }
        once Statement "statement" {
            wanted: bool, strength: i64, message_id: Uuid, event_id: String, said_at: DateTime<Utc>,
        }
    }
}

jangbogo_fold::table! {
    /// Price, mood and language of each of a member's messages
    pub Messages "user_message" {
        key MessageKey<'a> { member_id: &'a str, event: EventHash }
        once Mood "mood" {
            message_id: Uuid, event_id: String, said_at: DateTime<Utc>, sentiment_permille: i64, language: String,
            min_minor: Option<i64>, max_minor: Option<i64>, currency: Option<String>,
        }
    }
}

jangbogo_fold::table! {
    /// Retracted statements, each by its message
    pub Tombstones "user_preference_retracted" {
        key TombstoneKey<'a> { member_id: &'a str, message_id: Uuid, slot: &'a str, value: &'a str }
    }
}

jangbogo_fold::table! {
    /// Times until which statements about a value are cancelled
    pub Horizons "user_preference_horizon" {
        key HorizonKey<'a> { member_id: &'a str, slot: &'a str, value: &'a str }
        max Forgotten "forgotten" { forgotten_until: DateTime<Utc> }
    }
}

jangbogo_fold::table! {
    /// Members with messages or retractions, and the time of the newest
    pub Speakers "speaker" {
        key SpeakerKey<'a> { member_id: &'a str }
        add Said "said" { messages: i64 }
        max Heard "heard" { heard_at: DateTime<Utc> }
    }
}

/// Published preferences, for a processor that hosts the catalogue and members' histories too: the view joins them.
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

/// Preferences for a processor that reads them from its own rows, in one snapshot with the rest.
pub static KNOWN: Projection = Projection { name: "known-preferences", views: &[VIEW], ..PROJECTION };

const VIEW: View = View {
    name: PREFERENCE_VIEW,
    // What a member likes and dislikes, by what they said and did; half after 90 days of theirs.
    watches: &[],
    // The keys are ids of members or products: one that is both refreshes one value too many.
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
        Data::IntentAnalyzed(intent) => fold_intent(event, intent, deltas),
        Data::PreferenceRetracted(PreferenceRetracted { member_id, slot, value, message_id }) => {
            match message_id {
                Some(message_id) => deltas.insert(TombstoneKey { member_id, message_id: *message_id, slot, value }),
                None => put_horizon(event, member_id, slot, value, deltas),
            }
            count_message(event, member_id, deltas);
        }
        _ => {}
    }
}

fn fold_intent(event: &Event, intent: &IntentAnalyzed, deltas: &mut Deltas) {
    let IntentAnalyzed { member_id, message_id, understood, .. } = intent;
    let (said_at, event_id, hash) = (event.envelope.time, &event.envelope.id, event.envelope.hash());
    // A stated preference holds for more than one purchase.
    let strength = if understood.intent == Intent::StatePreference { 3 } else { 1 };
    for wish in &understood.wishes {
        let key = StatementKey { member_id, event: hash, slot: &wish.slot, value: &wish.value };
        let (wanted, message_id, event_id) = (wish.wanted, *message_id, event_id.clone());
        deltas.put(key, Statement { wanted, strength, message_id, event_id, said_at });
    }
    for retraction in &understood.retracted {
        put_horizon(event, member_id, &retraction.slot, &retraction.value, deltas);
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
    count_message(event, member_id, deltas);
}

fn put_horizon(event: &Event, member_id: &MemberId, slot: &str, value: &str, deltas: &mut Deltas) {
    deltas.put(HorizonKey { member_id, slot, value }, Forgotten { forgotten_until: event.envelope.time });
}

fn count_message(event: &Event, member_id: &MemberId, deltas: &mut Deltas) {
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
        let stated = IntentAnalyzed { understood: Box::new(understood), ..asked.clone() };
        let rows = given(&PROJECTION, [asked.into(), stated.into()]).rows("user_preferences");
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
    fn a_retraction_in_a_message_puts_a_horizon() {
        let asked = IntentAnalyzed::example();
        let retraction = Retraction { slot: Text::new("color").unwrap(), value: Text::new("red").unwrap() };
        let understood =
            Understanding { wishes: Vec::new(), retracted: vec![retraction], ..(*asked.understood).clone() };
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
