//! What each member bought and looked at.

use chrono::{DateTime, Utc};
use events::{Data, Event, MemberId, ProductId, Topic};
use runtime::fold::{Deltas, Projection, Shop, TableMarker as _, Target, View, ViewKeys, Watch};

/// The name of the view of members' histories.
pub const HISTORY_VIEW: &str = "history";
/// The name of the cache of members' lists.
pub const MEMBER_LIST_VIEW: &str = "rec:user";

runtime::table! {
    /// How much is known of a member, and when they were last heard of
    pub Members "member" {
        key MemberKey<'a> { member_id: &'a str }
        add Activity "activity" { events: i64 }
        max Presence "presence" { newest: DateTime<Utc> }
    }
}

runtime::table! {
    /// What a member did with a product
    pub MemberProducts "member_product" {
        key MemberProduct<'a> { member_id: &'a str, product_id: &'a str }
        add Acts "acts" { orders: i64, units: i64, views: i64, carts: i64, wishes: i64, clicks: i64 }
        max Recency "recency" { newest: DateTime<Utc> }
    }
}

/// A member's list itself is ranked when it is asked for: see the query service.
pub static PROJECTION: Projection = Projection {
    name: "history",
    reads: &[Topic::OrderCompleted, Topic::ProductViewed, Topic::UserBehavior],
    tables: &[Members::TABLE, MemberProducts::TABLE],
    fold,
    views: &[
        View {
            name: HISTORY_VIEW,
            description: "a member's fifty products of most weight; an act counts half after 90 days of theirs",
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("history.sql"),
            all_keys: "SELECT member_id FROM member WHERE member_id > $1 ORDER BY member_id LIMIT $2",
            swept: false,
            target: Target::Postgres,
        },
        View {
            name: MEMBER_LIST_VIEW,
            description: "a member's list, cached by the query service until the member does something",
            watches: &[Watch { table: Members::TABLE, column: "member_id" }],
            keys: ViewKeys::Same,
            query: "",
            all_keys: "",
            swept: false,
            target: Target::RedisEviction,
        },
    ],
};

const NOTHING: Acts = Acts { orders: 0, units: 0, views: 0, carts: 0, wishes: 0, clicks: 0 };

fn fold(event: &Event, _: &Shop, deltas: &mut Deltas) {
    let newest = event.envelope.time;
    let mut act = |member_id: &MemberId, product_id: &ProductId, acts: Acts| {
        let key = MemberProduct { member_id, product_id };
        deltas.put(key, acts);
        deltas.put(key, Recency { newest });
    };
    let member_id = match &event.data {
        Data::OrderCompleted(order) => {
            let Some(member_id) = &order.member_id else { return };
            for item in &order.items {
                act(member_id, &item.product_id, Acts { orders: 1, units: item.quantity.units(), ..NOTHING });
            }
            member_id
        }
        Data::ProductViewed(seen) => {
            let Some(member_id) = &seen.member_id else { return };
            act(member_id, &seen.product_id, Acts { views: 1, ..NOTHING });
            member_id
        }
        Data::CartItemAdded(cart) => {
            act(&cart.member_id, &cart.product_id, Acts { carts: 1, ..NOTHING });
            &cart.member_id
        }
        Data::WishlistItemAdded(wish) => {
            act(&wish.member_id, &wish.product_id, Acts { wishes: 1, ..NOTHING });
            &wish.member_id
        }
        Data::RecommendationClicked(click) => {
            act(&click.member_id, &click.product_id, Acts { clicks: 1, ..NOTHING });
            &click.member_id
        }
        _ => return,
    };
    deltas.put(MemberKey { member_id }, Activity { events: 1 });
    deltas.put(MemberKey { member_id }, Presence { newest });
}
