//! The tables of `analytics` about conversations, and the purchase patterns announced.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::table::{Table, row};
use super::{Kind, Record, number, optional_text, text};

type Stamp = (DateTime<Utc>, Uuid);
/// The value of the earliest event; of equal times, of the one with the smaller hash.
type First<T> = Option<(Stamp, T)>;

#[derive(Default)]
struct Turn {
    asked_on: First<NaiveDate>,
    analyser: First<String>,
    /// Recommendation id, member and weights.
    answer: First<(Uuid, String, String)>,
}

/// Times at which a product was recommended, first seen and first clicked.
type Times = [Option<DateTime<Utc>>; 3];

#[derive(Default)]
pub struct Funnel {
    turns: BTreeMap<Uuid, Turn>,
    /// Times by member, product and recommendation.
    products: BTreeMap<(String, String, Uuid), Times>,
    /// Event id and data, by member and number of orders.
    announced: BTreeMap<(String, i64), First<(String, String)>>,
}

impl Funnel {
    pub fn fold(&mut self, record: &Record, day: NaiveDate) {
        let data = &record.data;
        let stamp = (record.time, record.hash());
        match record.kind {
            Kind::MessageCreated if data["role"] == "user" => keep_first(&mut self.turn(data).asked_on, stamp, day),
            Kind::IntentAnalyzed => {
                keep_first(&mut self.turn(data).analyser, stamp, text(&data["analysed_by"], "model"));
            }
            Kind::RecommendationGenerated => {
                let weights = object(&data["weight_setting"], &["content", "collaborative", "intent"]);
                let answer = (uuid(data, "recommendation_id"), text(data, "member_id"), weights);
                keep_first(&mut self.turn(data).answer, stamp, answer);
                for item in data["items"].as_array().unwrap() {
                    self.note_time(0, record, text(item, "product_id"));
                }
            }
            Kind::RecommendationShown => {
                for product_id in data["product_ids"].as_array().unwrap() {
                    self.note_time(1, record, product_id.as_str().unwrap().to_owned());
                }
            }
            Kind::RecommendationClicked => self.note_time(2, record, text(data, "product_id")),
            Kind::PurchasePatternAnalyzed => {
                let fields = [
                    "member_id",
                    "orders",
                    "median_days_between_orders",
                    "mean_units_per_order",
                    "mean_order_value",
                    "favourite_hours",
                    "favourite_categories",
                ];
                let key = (text(data, "member_id"), number(data, "orders"));
                let value = (record.id.clone(), object(data, &fields));
                keep_first(self.announced.entry(key).or_default(), stamp, value);
            }
            _ => {}
        }
    }

    fn turn(&mut self, data: &Value) -> &mut Turn {
        self.turns.entry(uuid(data, "message_id")).or_default()
    }

    /// Events without a recommendation id do not count.
    fn note_time(&mut self, what: usize, record: &Record, product_id: String) {
        if optional_text(&record.data, "recommendation_id").is_none() {
            return;
        }
        let key = (text(&record.data, "member_id"), product_id, uuid(&record.data, "recommendation_id"));
        let time = &mut self.products.entry(key).or_default()[what];
        *time = Some(time.map_or(record.time, |first| first.min(record.time)));
    }

    pub fn tables(&self) -> [Table; 3] {
        let columns = &[
            "message_id",
            "asked_at",
            "asked_by",
            "asked_on",
            "understood_at",
            "understood_by",
            "analyser",
            "answered_at",
            "answered_by",
            "recommendation_id",
            "member_id",
            "weights",
        ];
        let mut turns = Table::new("turn", columns);
        for (message_id, Turn { asked_on, analyser, answer }) in &self.turns {
            turns.push(row![
                *message_id,
                asked_on.as_ref().map(|(stamp, _)| stamp.0),
                asked_on.as_ref().map(|(stamp, _)| stamp.1),
                asked_on.as_ref().map(|(_, day)| *day),
                analyser.as_ref().map(|(stamp, _)| stamp.0),
                analyser.as_ref().map(|(stamp, _)| stamp.1),
                analyser.as_ref().map(|(_, analyser)| analyser),
                answer.as_ref().map(|(stamp, _)| stamp.0),
                answer.as_ref().map(|(stamp, _)| stamp.1),
                answer.as_ref().map(|(_, answer)| answer.0),
                answer.as_ref().map(|(_, answer)| &answer.1),
                answer.as_ref().map(|(_, answer)| &answer.2),
            ]);
        }
        let columns = &["member_id", "product_id", "recommendation_id", "offered_at", "seen_at", "clicked_at"];
        let mut products = Table::new("recommended_product", columns);
        for ((member_id, product_id, recommendation_id), [offered_at, seen_at, clicked_at]) in &self.products {
            products.push(row![member_id, product_id, *recommendation_id, *offered_at, *seen_at, *clicked_at]);
        }
        let columns = &["member_id", "orders", "announcement_at", "announcement_by", "event_id", "pattern"];
        let mut announced = Table::new("announced_pattern", columns);
        for ((member_id, orders), first) in &self.announced {
            let ((at, by), (event_id, pattern)) = first.as_ref().unwrap();
            announced.push(row![member_id, *orders, *at, *by, event_id, pattern]);
        }
        [turns, products, announced]
    }
}

fn keep_first<T>(first: &mut First<T>, stamp: Stamp, value: T) {
    if first.as_ref().is_none_or(|(earliest, _)| stamp < *earliest) {
        *first = Some((stamp, value));
    }
}

fn uuid(data: &Value, field: &str) -> Uuid {
    text(data, field).parse().unwrap()
}

/// These fields of an object, as far as it has them, as JSON in this order.
fn object(data: &Value, fields: &[&str]) -> String {
    let present = fields.iter().filter(|field| !data[**field].is_null());
    let fields: Vec<String> = present.map(|field| format!("\"{field}\":{}", data[*field])).collect();
    format!("{{{}}}", fields.join(","))
}
