//! How members buy: their orders, and the pattern in them.

use chrono::{DateTime, Utc};
use events::{Data, Event, Topic};
use runtime::fold::{Deltas, Projection, Shop, TableMarker as _, Target, View, ViewKeys};

/// The name of the view of members' purchase patterns.
pub const PATTERN_VIEW: &str = "pattern";

runtime::table! {
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

/// One row an order; the pattern is found when it is looked at.
pub static PROJECTION: Projection = Projection {
    name: "purchases",
    reads: &[Topic::OrderCompleted],
    tables: &[MemberOrders::TABLE],
    fold,
    views: &[View {
        name: PATTERN_VIEW,
        description: "a member's rhythm, basket, favourite hours and categories",
        watches: &[],
        keys: ViewKeys::Same,
        query: include_str!("purchases.pattern.sql"),
        all_keys: "SELECT DISTINCT member_id FROM member_order WHERE member_id > $1 ORDER BY member_id LIMIT $2",
        swept: false,
        target: Target::Postgres,
    }],
};

fn fold(event: &Event, shop: &Shop, deltas: &mut Deltas) {
    let Data::OrderCompleted(order) = &event.data else { return };
    let Some(member_id) = order.member_id.as_deref() else { return };
    let fact = Order {
        member_id,
        ordered_at: event.envelope.time,
        hour: shop.hour(event.envelope.time),
        units: order.items.iter().map(|item| item.quantity.units()).sum(),
        value_minor: order.items.iter().map(|item| item.total_minor).sum(),
        currency: order.currency.as_str(),
    };
    deltas.put(MemberOrder { event: event.envelope.hash() }, fact);
}

#[cfg(test)]
mod tests {
    use super::PROJECTION;
    use crate::testing::{at, cancellation, given, order};

    #[test]
    fn an_order_of_a_member_is_one_fact() {
        let lines = [("lamp", 2, 500), ("cup", 1, 300), ("lamp", 1, 250)];
        let strangers = order(None, &lines);
        let taken_back = cancellation(Some("kim"), &lines);
        let folded = given(&PROJECTION, [order(Some("kim"), &lines).into(), strangers.into(), taken_back.into()]);
        let fact = "ordered_at=2011-03-01T03:00:00+00:00 hour=12 units=4 value_minor=1050";
        assert_eq!(folded.rows("member_order"), [format!(r#"#1: member_id="kim" {fact} currency="KRW""#)]);
    }

    #[test]
    fn hours_are_those_of_the_shop() {
        let order = order(Some("kim"), &[("lamp", 1, 250)]);
        let before = at("2011-03-01T14:59:59.999999Z", order.clone());
        let folded = given(&PROJECTION, [before, at("2011-03-01T15:00:00Z", order)]);
        let rows = folded.rows("member_order").join("\n");
        assert!(rows.contains("ordered_at=2011-03-01T14:59:59.999999+00:00 hour=23 "), "{rows}");
        assert!(rows.contains("ordered_at=2011-03-01T15:00:00+00:00 hour=0 "), "{rows}");
    }
}
