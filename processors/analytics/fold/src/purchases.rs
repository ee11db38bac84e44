//! Members' orders, their purchase patterns, and the announced patterns.

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, OrderCompleted, PurchasePatternAnalyzed, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys};

/// View of members' purchase patterns.
pub const PATTERN_VIEW: &str = "pattern";
/// View of the patterns announced last.
pub const ANNOUNCED_VIEW: &str = "announced";

jangbogo_fold::table! {
    /// The orders of members
    pub MemberOrders "member_order" index [member_id] {
        key MemberOrder { event: u128 }
        once Order<'a> "order" {
            member_id: &'a str,
            ordered_at: DateTime<Utc>,
            hour: i64,
            units: i64,
            value_minor: i64,
            currency: &'a str,
        }
    }
}

jangbogo_fold::table! {
    /// The purchase patterns announced of members, as JSON. A member's orders only become more: the announcement of
    /// most orders is the newest
    pub AnnouncedPatterns "announced_pattern" {
        key AnnouncedPattern<'a> { member_id: &'a str, orders: i64 }
        first Announcement<'a> "announcement" { event_id: &'a str, pattern: String }
    }
}

/// Folds one row an order; the view computes the pattern when it is read.
pub static PROJECTION: Projection = Projection {
    name: "purchases",
    reads: &[Topic::OrderCompleted, Topic::PurchasePatternAnalyzed],
    tables: &[MemberOrders::TABLE, AnnouncedPatterns::TABLE],
    fold,
    views: &[
        View {
            name: PATTERN_VIEW,
            // A member's rhythm, basket, favourite hours and categories.
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("purchases.pattern.sql"),
            all_keys: "SELECT DISTINCT member_id FROM member_order WHERE member_id > $1 ORDER BY member_id LIMIT $2",
            full_refresh: false,
            target: Target::Postgres,
        },
        View {
            name: ANNOUNCED_VIEW,
            // A member's pattern as it was announced last.
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("purchases.announced.sql"),
            all_keys: "SELECT DISTINCT member_id FROM announced_pattern WHERE member_id > $1 ORDER BY member_id LIMIT $2",
            full_refresh: false,
            target: Target::Postgres,
        },
    ],
};

fn fold(event: &Event, config: &FoldConfig, deltas: &mut Deltas) {
    match &event.data {
        Data::OrderCompleted(order) => put_order(event, order, config, deltas),
        Data::PurchasePatternAnalyzed(pattern) => put_announcement(event, pattern, deltas),
        _ => {}
    }
}

fn put_order(event: &Event, order: &OrderCompleted, config: &FoldConfig, deltas: &mut Deltas) {
    let Some(member_id) = order.member_id.as_deref() else { return };
    let fact = Order {
        member_id,
        ordered_at: event.envelope.time,
        hour: config.hour(event.envelope.time),
        units: order.items.iter().map(|item| item.quantity.units()).sum(),
        value_minor: order.items.iter().map(|item| item.total_minor).sum(),
        currency: order.currency.as_str(),
    };
    deltas.put(MemberOrder { event: event.envelope.hash() }, fact);
}

fn put_announcement(event: &Event, announced: &PurchasePatternAnalyzed, deltas: &mut Deltas) {
    // Never fails: the data was decoded from JSON.
    let Ok(pattern) = serde_json::to_string(announced) else { return };
    let key = AnnouncedPattern { member_id: &announced.member_id, orders: announced.orders.into() };
    deltas.put(key, Announcement { event_id: &event.envelope.id, pattern });
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Payload as _, PurchasePatternAnalyzed};

    use super::PROJECTION;
    use jangbogo_fold::testing::{at, cancellation, given, order};

    #[test]
    fn an_order_of_a_member_is_one_fact() {
        let lines = [("lamp", 2, 500), ("cup", 1, 300), ("lamp", 1, 250)];
        let anonymous = order(None, &lines);
        let cancelled = cancellation(Some("kim"), &lines);
        let folded = given(&PROJECTION, [order(Some("kim"), &lines).into(), anonymous.into(), cancelled.into()]);
        let fact = "ordered_at=2011-03-01T03:00:00+00:00 hour=12 units=4 value_minor=1050";
        assert_eq!(folded.rows("member_order"), [format!(r#"#1: member_id="kim" {fact} currency="KRW""#)]);
    }

    #[test]
    fn hours_are_in_the_time_zone_of_the_shop() {
        let order = order(Some("kim"), &[("lamp", 1, 250)]);
        let before = at("2011-03-01T14:59:59.999999Z", order.clone());
        let folded = given(&PROJECTION, [before, at("2011-03-01T15:00:00Z", order)]);
        let rows = folded.rows("member_order").join("\n");
        assert!(rows.contains("ordered_at=2011-03-01T14:59:59.999999+00:00 hour=23 "), "{rows}");
        assert!(rows.contains("ordered_at=2011-03-01T15:00:00+00:00 hour=0 "), "{rows}");
    }

    #[test]
    fn the_first_of_two_announcements_with_as_many_orders_counts() {
        let announced = PurchasePatternAnalyzed::example();
        let other = PurchasePatternAnalyzed { mean_units_per_order: 1.0, ..announced.clone() };
        let next = PurchasePatternAnalyzed { orders: 13, ..announced.clone() };
        let (early, late) = ("2011-03-01T00:00:00Z", "2011-03-02T00:00:00Z");
        let folded = given(&PROJECTION, [at(late, other), at(early, announced), at(early, next)]);
        let rows = folded.rows("announced_pattern");
        assert!(rows[0].starts_with("13085 12: event_id=\"2\" pattern=") && rows[0].contains("96.0"), "{rows:?}");
        assert!(rows[1].starts_with("13085 13: event_id=\"3\" pattern="), "{rows:?}");
        assert_eq!(rows.len(), 2);
    }
}
