//! Conversation funnels, and announced purchase patterns.

use chrono::{DateTime, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_events::{
    Event, IntentAnalyzed, MessageCreated, OrderCompleted, Payload, PurchasePatternAnalyzed, RecommendationClicked,
    RecommendationGenerated, RecommendationShown, Topic,
};
use jangbogo_log::Partition;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::conversation_events::{intent_analyzed, message_created, recommendation_generated};
use crate::log::event;
use crate::shop::{Shop, get};

const PARTITION: Partition = Partition { topic: Topic::CatalogEvents, number: 0 };

/// Events that were never in Kafka, each with its own time.
struct History<'a> {
    shop: &'a mut Shop,
    folded: Vec<Event>,
}

impl History<'_> {
    async fn add<P: Payload + serde::de::DeserializeOwned>(&mut self, time: &str, data: Value) {
        let time: DateTime<Utc> = time.parse().unwrap();
        let event = event::<P>(&format!("e{}", self.folded.len()), time, data);
        let offset = i64::try_from(self.folded.len()).unwrap();
        assert_eq!(self.shop.commit(&event, PARTITION, offset).await, 1);
        self.folded.push(event);
    }

    /// Adds a message of Mina's, its analysis, and the products recommended for it under the same number.
    async fn turn(&mut self, time: &str, number: u128, analyser: &str, content: f64, products: &[&str]) {
        let message_id = Uuid::from_u128(number);
        self.add::<MessageCreated>(time, message_created(message_id, "a red bag")).await;
        let mut intent = intent_analyzed();
        (intent["message_id"], intent["analysed_by"]["model"]) = (json!(message_id), json!(analyser));
        self.add::<IntentAnalyzed>(time, intent).await;
        let mut recommendation = recommendation_generated("e1");
        (recommendation["message_id"], recommendation["recommendation_id"]) = (json!(message_id), json!(message_id));
        recommendation["weight_setting"]["content"] = json!(content);
        let item = recommendation["items"][0].take();
        let item_of = |product_id: &&str| {
            let mut item = item.clone();
            item["product_id"] = json!(product_id);
            item
        };
        recommendation["items"] = products.iter().map(item_of).collect();
        self.add::<RecommendationGenerated>(time, recommendation).await;
    }

    async fn show(&mut self, time: &str, member_id: &str, number: u128, products: &[&str]) {
        let id = Uuid::from_u128(number);
        let shown = json!({ "member_id": member_id, "recommendation_id": id, "product_ids": products });
        self.add::<RecommendationShown>(time, shown).await;
    }

    async fn click(&mut self, time: &str, number: u128, product_id: &str) {
        let id = Uuid::from_u128(number);
        let click = json!({ "member_id": "mina", "recommendation_id": id, "product_id": product_id });
        self.add::<RecommendationClicked>(time, click).await;
    }

    async fn order(&mut self, time: &str, member_id: &str, product_id: &str) {
        let items = json!([{ "product_id": product_id, "quantity": 2, "total_minor": 500 }]);
        let order = json!({ "order_id": time, "member_id": member_id, "currency": "GBP", "items": items });
        self.add::<OrderCompleted>(time, order).await;
    }
}

/// A funnel with these numbers of messages: all, recommended, shown, clicked, bought.
fn funnel(analyser: &str, content: f64, [messages, recommended, shown, clicked, bought]: [i64; 5]) -> Value {
    json!({
        "analyser": analyser, "weights": { "content": content, "collaborative": 0.3, "intent": 0.4 },
        "messages": messages, "recommended": recommended, "shown": shown, "clicked": clicked, "bought": bought,
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_count_at_each_stage_that_they_reached() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    shop.fold_by(&ANALYTICS).await;
    let generation = shop.generation.id;
    let mut history = History { shop: &mut shop, folded: Vec::new() };
    let (day, next) = ("/v1/analytics/funnel?from=2026-03-01&to=2026-03-01", "2026-03-02");
    let funnels = async || get(&base, day).await.body["days"][0]["funnels"].clone();
    assert_eq!(funnels().await, json!([]));

    // Seen in both, the purse counts for the second; the tote was clicked and never bought.
    history.turn("2026-03-01T10:00:00Z", 1, "local", 0.3, &["tote", "purse"]).await;
    history.show("2026-03-01T10:01:00Z", "mina", 1, &["tote", "purse"]).await;
    history.click("2026-03-01T10:02:00Z", 1, "tote").await;
    history.turn("2026-03-01T11:00:00Z", 2, "local", 0.3, &["purse", "belt"]).await;
    history.show("2026-03-01T11:01:00Z", "mina", 2, &["purse"]).await;
    assert_eq!(funnels().await, json!([funnel("local", 0.3, [2, 2, 2, 1, 0])]));
    history.order("2026-03-01T12:00:00Z", "mina", "purse").await;
    assert_eq!(funnels().await, json!([funnel("local", 0.3, [2, 2, 2, 1, 1])]));
    // An order before the purse was seen in the second counts for the first: it is bought in both now.
    history.order("2026-03-01T10:30:00Z", "mina", "purse").await;
    assert_eq!(funnels().await, json!([funnel("local", 0.3, [2, 2, 2, 1, 2])]));

    // A reply without products.
    history.turn("2026-03-01T13:00:00Z", 3, "local", 0.3, &[]).await;
    // Shown to another member, or another product shown; ordered by another member, or too late.
    history.turn("2026-03-01T14:00:00Z", 4, "model", 0.3, &["hat"]).await;
    history.show("2026-03-01T14:01:00Z", "bob", 4, &["hat"]).await;
    history.show("2026-03-01T14:01:00Z", "mina", 4, &["belt"]).await;
    history.turn("2026-03-01T15:00:00Z", 5, "model", 0.5, &["cap"]).await;
    history.order("2026-03-01T15:00:01Z", "mina", "cap").await;
    history.show("2026-03-01T15:01:00Z", "mina", 5, &["cap"]).await;
    history.order("2026-03-02T15:00:00Z", "bob", "cap").await;
    history.order("2026-03-08T15:00:00Z", "mina", "cap").await;
    // A click counts as seen.
    history.turn("2026-03-01T16:00:00Z", 6, "model", 0.5, &["scarf"]).await;
    history.click("2026-03-01T16:01:00Z", 6, "scarf").await;
    history.order("2026-03-08T15:59:59Z", "mina", "scarf").await;
    let expected = [
        funnel("local", 0.3, [3, 2, 2, 1, 2]),
        funnel("model", 0.3, [1, 1, 0, 0, 0]),
        funnel("model", 0.5, [2, 2, 2, 1, 1]),
    ];
    assert_eq!(funnels().await, json!(expected));

    // The next day's message is not analysed yet.
    history.add::<MessageCreated>("2026-03-02T00:00:00Z", message_created(Uuid::from_u128(7), "hello")).await;
    let both = get(&base, &format!("/v1/analytics/funnel?from=2026-03-01&to={next}")).await;
    assert_eq!(both.generations, Some(format!("analytics={generation}")));
    let waiting = json!([{
        "analyser": null, "weights": null, "messages": 1, "recommended": 0, "shown": 0, "clicked": 0, "bought": 0,
    }]);
    let days = json!([{ "day": "2026-03-01", "funnels": expected }, { "day": next, "funnels": waiting }]);
    assert_eq!(both.body, json!({ "days": days }));

    // Neither a second analysis of a message nor redelivered events change anything.
    let mut again = intent_analyzed();
    (again["message_id"], again["analysed_by"]["model"]) = (json!(Uuid::from_u128(1)), json!("another"));
    history.add::<IntentAnalyzed>("2026-03-03T00:00:00Z", again).await;
    let end = history.folded.len();
    for (event, offset) in history.folded.iter().zip(end..) {
        assert_eq!(history.shop.commit(event, PARTITION, i64::try_from(offset).unwrap()).await, 0);
    }
    assert_eq!(funnels().await, json!(expected));

    for span in ["from=2026-03-01", "from=2026-03-02&to=2026-03-01", "from=2026-01-01&to=2026-12-31"] {
        let refused = get(&base, &format!("/v1/analytics/funnel?{span}")).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{span}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_last_announced_pattern_is_served_beside_the_pattern() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    shop.fold_by(&ANALYTICS).await;
    let mut history = History { shop: &mut shop, folded: Vec::new() };
    let path = "/v1/members/mina/purchase-pattern";
    history.order("2026-03-01T10:00:00Z", "mina", "tote").await;
    let pattern = get(&base, path).await.body;
    assert_eq!((&pattern["orders"], &pattern["announced"]), (&json!(1), &json!(null)), "{pattern}");

    // The pattern of most orders is the latest, whatever the event's time.
    let announce = |orders: u32| {
        json!({
            "member_id": "mina", "orders": orders, "median_days_between_orders": 7.5, "mean_units_per_order": 2.5,
            "mean_order_value": [{ "amount_minor": 500, "currency": "GBP" }], "favourite_hours": [10],
            "favourite_categories": ["bags"],
        })
    };
    history.add::<PurchasePatternAnalyzed>("2026-03-02T10:00:00.001Z", announce(2)).await;
    history.add::<PurchasePatternAnalyzed>("2026-03-01T10:00:00.001Z", announce(3)).await;
    let mut pattern = announce(3);
    pattern.as_object_mut().unwrap().remove("member_id");
    let announced = json!({ "event_id": "e2", "announced_at": "2026-03-01T10:00:00.001Z", "pattern": pattern });
    assert_eq!(get(&base, path).await.body["announced"], announced);
}
