//! The conversation funnel: each message of a shopper, and the products recommended for it.

use chrono::{DateTime, NaiveDate, Utc};
use jangbogo_events::{Data, Event, RecommendationClicked, Role, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys};
use uuid::Uuid;

/// View of a day's funnel.
pub const FUNNEL_VIEW: &str = "funnel";

jangbogo_fold::table! {
    /// Each message of a shopper's: its day, who understood it, and what was recommended for it, by which weights
    pub Turns "turn" index [asked_on] {
        key Turn { message_id: Uuid }
        first Asked "asked" { asked_on: NaiveDate }
        first Understood<'a> "understood" { analyser: &'a str }
        first Answered<'a> "answered" { recommendation_id: Uuid, member_id: &'a str, weights: String }
    }
}

jangbogo_fold::table! {
    /// Each product of a recommendation: when it was recommended, first seen and first clicked
    pub RecommendedProducts "recommended_product" index [recommendation_id] {
        key RecommendedProduct<'a> { member_id: &'a str, product_id: &'a str, recommendation_id: Uuid }
        min Offer "offer" { offered_at: DateTime<Utc> }
        min Sight "sight" { seen_at: DateTime<Utc> }
        min Click "click" { clicked_at: DateTime<Utc> }
    }
}

/// Folds facts only: the view joins messages, recommendations and orders when it is read.
pub static PROJECTION: Projection = Projection {
    name: "funnel",
    reads: &[
        Topic::ConversationMessageCreated,
        Topic::PreferenceEvents,
        Topic::RecommendationEvents,
        Topic::UserBehavior,
    ],
    tables: &[Turns::TABLE, RecommendedProducts::TABLE],
    fold,
    views: &[View {
        name: FUNNEL_VIEW,
        // A day's messages, and how many of them led to products recommended, seen, clicked and bought.
        watches: &[],
        keys: ViewKeys::Same,
        query: include_str!("funnel.sql"),
        all_keys: "SELECT DISTINCT asked_on::text FROM turn WHERE asked_on::text > $1 ORDER BY 1 LIMIT $2",
        full_refresh: false,
        target: Target::Postgres,
    }],
};

fn fold(event: &Event, config: &FoldConfig, deltas: &mut Deltas) {
    let time = event.envelope.time;
    match &event.data {
        Data::MessageCreated(message) if message.role == Role::User => {
            deltas.put(Turn { message_id: message.message_id }, Asked { asked_on: config.day(time) });
        }
        Data::IntentAnalyzed(intent) => {
            let analyser = &intent.analysed_by.model;
            deltas.put(Turn { message_id: intent.message_id }, Understood { analyser });
        }
        Data::RecommendationGenerated(recommendation) => {
            // Never fails: the data was decoded from JSON.
            let Ok(weights) = serde_json::to_string(&recommendation.weight_setting) else { return };
            let (recommendation_id, member_id) = (recommendation.recommendation_id, &*recommendation.member_id);
            let turn = Turn { message_id: recommendation.message_id };
            deltas.put(turn, Answered { recommendation_id, member_id, weights });
            for item in &recommendation.items {
                let key = RecommendedProduct { member_id, product_id: &item.product_id, recommendation_id };
                deltas.put(key, Offer { offered_at: time });
            }
        }
        Data::RecommendationShown(shown) => {
            let Some(recommendation_id) = shown.recommendation_id else { return };
            for product_id in &shown.product_ids {
                let key = RecommendedProduct { member_id: &shown.member_id, product_id, recommendation_id };
                deltas.put(key, Sight { seen_at: time });
            }
        }
        Data::RecommendationClicked(click) => {
            let Some(recommendation_id) = click.recommendation_id else { return };
            let RecommendationClicked { member_id, product_id, .. } = click;
            deltas.put(RecommendedProduct { member_id, product_id, recommendation_id }, Click { clicked_at: time });
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{IntentAnalyzed, MessageCreated, Payload as _, RecommendationGenerated, RecommendationShown};

    use super::*;
    use jangbogo_fold::testing::{at, given, member, product};

    fn shown(recommendation_id: Option<Uuid>) -> RecommendationShown {
        RecommendationShown { member_id: member("13085"), recommendation_id, product_ids: vec![product("20725")] }
    }

    fn clicked(recommendation_id: Option<Uuid>) -> RecommendationClicked {
        RecommendationClicked { member_id: member("13085"), product_id: product("20725"), recommendation_id }
    }

    #[test]
    fn a_turn_is_its_message_its_analyser_and_its_recommendation() {
        let message = MessageCreated::example();
        let reply = MessageCreated { message_id: Uuid::from_u128(9), role: Role::Ai, ..message.clone() };
        let recommendation = RecommendationGenerated::example();
        let id = recommendation.recommendation_id.as_u128();
        // Topics have no common order; the day is that of the message, in the shop's time zone.
        let facts = [
            at("2011-03-01T15:00:02Z", recommendation),
            at("2011-03-01T15:00:01Z", IntentAnalyzed::example()),
            at("2011-03-01T15:00:00Z", message.clone()),
            at("2011-03-01T15:00:03Z", reply),
        ];
        let weights = r#""{\"content\":0.3,\"collaborative\":0.3,\"intent\":0.4}""#;
        let expected = format!(
            "{:032x}: asked_on=2011-03-02 analyser=\"local-analyser-1\" recommendation_id={id:032x} \
             member_id=\"13085\" weights={weights}",
            message.message_id.as_u128()
        );
        assert_eq!(given(&PROJECTION, facts).rows("turn"), [expected]);
    }

    #[test]
    fn a_product_is_recommended_and_seen_and_clicked_for_the_first_time() {
        let recommendation = RecommendationGenerated::example();
        let id = recommendation.recommendation_id;
        let facts = [
            at("2011-03-03T00:00:00Z", clicked(Some(id))),
            at("2011-03-02T00:00:00Z", clicked(Some(id))),
            at("2011-03-02T12:00:00Z", shown(Some(id))),
            at("2011-03-01T12:00:00Z", shown(Some(id))),
            at("2011-03-01T00:00:00Z", recommendation),
        ];
        let times = "offered_at=2011-03-01T00:00:00+00:00 seen_at=2011-03-01T12:00:00+00:00 \
                     clicked_at=2011-03-02T00:00:00+00:00";
        let expected = format!("13085 20725 {:032x}: {times}", id.as_u128());
        assert_eq!(given(&PROJECTION, facts).rows("recommended_product"), [expected]);
    }

    #[test]
    fn events_without_a_recommendation_of_a_conversation_are_left_out() {
        let folded = given(&PROJECTION, [shown(None).into(), clicked(None).into()]);
        assert_eq!(folded.rows("recommended_product"), [""; 0]);
    }
}
