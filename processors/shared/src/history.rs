//! Members' histories: orders, views, carts, wishes and clicks by product.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, MemberId, ProductId, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};

pub const HISTORY_VIEW: &str = "history";
/// Name of the view that evicts a member's cached list.
pub const MEMBER_LIST_VIEW: &str = "rec:user";

jangbogo_fold::table! {
    /// Number of a member's events, and the time of the newest
    pub Members "member" {
        key MemberKey<'a> { member_id: &'a str }
        add Activity "activity" { events: i64 }
        max Presence "presence" { newest: DateTime<Utc> }
    }
}

jangbogo_fold::table! {
    /// A member's acts with a product
    pub MemberProducts "member_product" index [product_id] {
        key MemberProduct<'a> { member_id: &'a str, product_id: &'a str }
        add Acts "acts" { orders: i64, units: i64, views: i64, carts: i64, wishes: i64, clicks: i64 }
        max Recency "recency" { newest: DateTime<Utc> }
        last Trace<'a> "trace" { act: &'static str, event_id: &'a str }
    }
}

/// Histories, with the eviction of members' lists, which the query service ranks when they are requested.
pub static PROJECTION: Projection = Projection {
    name: "history",
    reads: &[Topic::OrderCompleted, Topic::ProductViewed, Topic::UserBehavior],
    tables: &[Members::TABLE, MemberProducts::TABLE],
    fold,
    views: &[
        View {
            name: HISTORY_VIEW,
            // A member's fifty products of most weight; an act counts half after 90 days of theirs.
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("history.sql"),
            all_keys: "SELECT member_id FROM member WHERE member_id > $1 ORDER BY member_id LIMIT $2",
            full_refresh: false,
            target: Target::Postgres,
        },
        View {
            name: MEMBER_LIST_VIEW,
            // A member's list, cached by the query service until the member does something.
            watches: &[Watch { table: Members::TABLE, column: "member_id" }],
            keys: ViewKeys::Same,
            query: "",
            all_keys: "",
            full_refresh: false,
            target: Target::RedisEviction,
        },
    ],
};

/// The rows of [`PROJECTION`] without its views.
pub static ACTS: Projection = Projection { name: "acts", views: &[], ..PROJECTION };

const NOTHING: Acts = Acts { orders: 0, units: 0, views: 0, carts: 0, wishes: 0, clicks: 0 };

fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    let newest = event.envelope.time;
    let mut act = |act: &'static str, member_id: &MemberId, product_id: &ProductId, acts: Acts| {
        let key = MemberProduct { member_id, product_id };
        deltas.put(key, acts);
        deltas.put(key, Recency { newest });
        deltas.put(key, Trace { act, event_id: &event.envelope.id });
    };
    let member_id = match &event.data {
        Data::OrderCompleted(order) => {
            let Some(member_id) = &order.member_id else { return };
            let mut products = BTreeSet::new();
            for item in &order.items {
                // A product on two lines of one order counts as one order.
                let orders = i64::from(products.insert(&item.product_id));
                act("bought", member_id, &item.product_id, Acts { orders, units: item.quantity.units(), ..NOTHING });
            }
            member_id
        }
        Data::ProductViewed(seen) => {
            let Some(member_id) = &seen.member_id else { return };
            act("viewed", member_id, &seen.product_id, Acts { views: 1, ..NOTHING });
            member_id
        }
        Data::CartItemAdded(cart) => {
            act("put in the cart", &cart.member_id, &cart.product_id, Acts { carts: 1, ..NOTHING });
            &cart.member_id
        }
        Data::WishlistItemAdded(wish) => {
            act("wished for", &wish.member_id, &wish.product_id, Acts { wishes: 1, ..NOTHING });
            &wish.member_id
        }
        Data::RecommendationClicked(click) => {
            act("clicked", &click.member_id, &click.product_id, Acts { clicks: 1, ..NOTHING });
            &click.member_id
        }
        _ => return,
    };
    deltas.put(MemberKey { member_id }, Activity { events: 1 });
    deltas.put(MemberKey { member_id }, Presence { newest });
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{CartItemAdded, ProductViewed, Quantity, RecommendationClicked, WishlistItemAdded};

    use super::*;
    use jangbogo_fold::testing::{at, cancellation, given, member, order, product};

    #[test]
    fn each_act_of_a_member_counts_by_product() {
        let (member_id, product_id) = (member("kim"), product("lamp"));
        let quantity = Quantity::new(7).unwrap();
        let folded = given(
            &PROJECTION,
            [
                order(Some("kim"), &[("lamp", 2, 500), ("cup", 1, 300)]).into(),
                ProductViewed { member_id: Some(member_id.clone()), product_id: product_id.clone() }.into(),
                CartItemAdded { member_id: member_id.clone(), product_id: product_id.clone(), quantity }.into(),
                WishlistItemAdded { member_id: member_id.clone(), product_id: product_id.clone() }.into(),
                RecommendationClicked { member_id, product_id, recommendation_id: None }.into(),
            ],
        );
        let newest = "newest=2011-03-01T03:00:00+00:00";
        assert_eq!(folded.rows("member"), [format!("kim: events=5 {newest}")]);
        assert_eq!(
            folded.rows("member_product"),
            [
                format!(
                    "kim cup: orders=1 units=1 views=0 carts=0 wishes=0 clicks=0 {newest} act=\"bought\" event_id=\"1\""
                ),
                // Of acts at one time, the one with the greatest hash is the newest.
                format!(
                    "kim lamp: orders=1 units=2 views=1 carts=1 wishes=1 clicks=1 {newest} \
                     act=\"viewed\" event_id=\"2\""
                ),
            ]
        );
    }

    #[test]
    fn a_product_on_two_lines_counts_as_one_order() {
        let folded = given(&PROJECTION, [order(Some("kim"), &[("lamp", 2, 500), ("lamp", 3, 750)]).into()]);
        let acts = "orders=1 units=5 views=0 carts=0 wishes=0 clicks=0";
        let last = "newest=2011-03-01T03:00:00+00:00 act=\"bought\" event_id=\"1\"";
        assert_eq!(folded.rows("member_product"), [format!("kim lamp: {acts} {last}")]);
    }

    #[test]
    fn the_newest_act_is_kept_whatever_comes_last() {
        let order = order(Some("kim"), &[("lamp", 1, 250)]);
        let folded = given(&PROJECTION, [at("2011-03-09T00:00:00Z", order.clone()), order.into()]);
        assert_eq!(folded.rows("member"), ["kim: events=2 newest=2011-03-09T00:00:00+00:00"]);
    }

    #[test]
    fn anonymous_shoppers_and_cancellations_leave_no_history() {
        let lines = [("lamp", 1, 250)];
        let seen = ProductViewed { member_id: None, product_id: product("lamp") };
        let cancelled = cancellation(Some("kim"), &lines);
        let folded = given(&PROJECTION, [order(None, &lines).into(), seen.into(), cancelled.into()]);
        assert_eq!(folded.rows("member"), [""; 0]);
        assert_eq!(folded.rows("member_product"), [""; 0]);
    }
}
