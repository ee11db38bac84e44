//! Proptest strategies for histories of events, with few ids and few times, so that rows and stamps collide.

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::{
    CartItemAdded, CategoryId, Currency, Data, Envelope, Event, EventType, IntentAnalyzed, MemberId, MessageCreated,
    Money, OrderCancelled, OrderCompleted, OrderId, OrderItem, Payload as _, ProductId, ProductRetired,
    ProductUpserted, ProductViewed, PurchasePatternAnalyzed, Quantity, RecommendationClicked, RecommendationGenerated,
    RecommendationShown, RecommendedProduct, Role, Text, WishlistItemAdded, WishlistItemRemoved,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

/// Distinct events, in the order of their ids; their times are in no order.
pub fn histories(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Event>> {
    vec((times(), data()), count).prop_map(|facts| {
        let envelope = |number: usize, time| Envelope::new(number.to_string(), "test", time);
        (0..).zip(facts).map(|(number, (time, data))| Event { envelope: envelope(number, time), data }).collect()
    })
}

/// Times at, just before and just after midnight in Seoul and in UTC, on a few days.
fn times() -> impl Strategy<Value = DateTime<Utc>> {
    (0_i64..3, select(&[-1_i64, 0, 1, 54_000_000_000 - 1, 54_000_000_000][..])).prop_map(|(day, micros)| {
        DateTime::UNIX_EPOCH + TimeDelta::days(15_000 + day) + TimeDelta::microseconds(micros)
    })
}

fn data() -> impl Strategy<Value = Data> {
    prop_oneof![
        4 => order_completed(1..8, 6),
        1 => order_completed(25..60, 50),
        2 => order_cancelled(),
        3 => product_upserted(),
        1 => products().prop_map(|product_id| ProductRetired { product_id }.into()),
        4 => behaviors(),
        4 => conversation_events(),
        1 => select(EventType::ALL).prop_map(EventType::example),
    ]
}

fn members() -> impl Strategy<Value = MemberId> {
    select(&["kim", "lee", "박"][..]).prop_map(|id| MemberId::new(id).unwrap())
}

fn products() -> impl Strategy<Value = ProductId> {
    products_among(6)
}

fn products_among(count: usize) -> impl Strategy<Value = ProductId> {
    (0..count).prop_map(|number| ProductId::new(format!("p{number}")).unwrap())
}

fn orders() -> impl Strategy<Value = OrderId> {
    select(&["o1", "o2"][..]).prop_map(|id| OrderId::new(id).unwrap())
}

fn currencies() -> impl Strategy<Value = Currency> {
    select(&["GBP", "KRW"][..]).prop_map(|code| Currency::new(code).unwrap())
}

fn quantities() -> impl Strategy<Value = Quantity> {
    prop_oneof![9 => 1_i64..5, 1 => Just(Quantity::MAX.into())].prop_map(|units| Quantity::new(units).unwrap())
}

/// Few totals, so that products of a basket tie.
fn items(lines: std::ops::Range<usize>, products: usize) -> impl Strategy<Value = Vec<OrderItem>> {
    let total = prop_oneof![9 => 0_i64..4, 1 => Just(OrderItem::MAX_TOTAL_MINOR)];
    let item = (products_among(products), quantities(), total)
        .prop_map(|(product_id, quantity, total_minor)| OrderItem { product_id, quantity, total_minor });
    vec(item, lines)
}

fn order_completed(lines: std::ops::Range<usize>, products: usize) -> impl Strategy<Value = Data> {
    (orders(), option::of(members()), currencies(), items(lines, products)).prop_map(
        |(order_id, member_id, currency, items)| OrderCompleted { order_id, member_id, currency, items }.into(),
    )
}

fn order_cancelled() -> impl Strategy<Value = Data> {
    (orders(), option::of(orders()), option::of(members()), currencies(), items(1..4, 6)).prop_map(
        |(cancellation_id, order_id, member_id, currency, items)| {
            OrderCancelled { cancellation_id, order_id, member_id, currency, items }.into()
        },
    )
}

fn text<const MAX: usize>(word: String) -> Text<MAX> {
    Text::new(word).unwrap()
}

fn product_upserted() -> impl Strategy<Value = Data> {
    let price = (-1_i64..3, currencies()).prop_map(|(amount_minor, currency)| Money { amount_minor, currency });
    let category = select(&["bags", "등"][..]).prop_map(|slug| CategoryId::new(slug).unwrap());
    let named = (products(), "[a-c가]{0,2}", option::of("[a-c'\"]{0,3}"), option::of("[A-C]"));
    let attributes = btree_map("[a-c]{1,2}", "[a-c\n\"]{0,2}", 0..3);
    (named, option::of(category), option::of(price), option::of(0_u32..3), attributes).prop_map(
        |((product_id, title, description, brand), category, price, stock, attributes)| {
            let attributes = attributes.into_iter().map(|(name, value)| (text(name), text(value))).collect();
            let (title, description, brand) = (text(title), description.map(text), brand.map(text));
            ProductUpserted { product_id, title, description, category, brand, price, stock, attributes }.into()
        },
    )
}

fn behaviors() -> impl Strategy<Value = Data> {
    let both = || (members(), products());
    prop_oneof![
        (option::of(members()), products())
            .prop_map(|(member_id, product_id)| ProductViewed { member_id, product_id }.into()),
        (both(), quantities()).prop_map(|((member_id, product_id), quantity)| {
            CartItemAdded { member_id, product_id, quantity }.into()
        }),
        both().prop_map(|(member_id, product_id)| WishlistItemAdded { member_id, product_id }.into()),
        both().prop_map(|(member_id, product_id)| WishlistItemRemoved { member_id, product_id }.into()),
        (members(), vec(products(), 1..4), option::of(uuids())).prop_map(
            |(member_id, product_ids, recommendation_id)| {
                RecommendationShown { member_id, recommendation_id, product_ids }.into()
            }
        ),
        (both(), option::of(uuids())).prop_map(|((member_id, product_id), recommendation_id)| {
            RecommendationClicked { member_id, product_id, recommendation_id }.into()
        }),
    ]
}

fn uuids() -> impl Strategy<Value = Uuid> {
    (0_u128..3).prop_map(Uuid::from_u128)
}

/// Events of conversations, and announced purchase patterns.
fn conversation_events() -> impl Strategy<Value = Data> {
    let message = (uuids(), members(), select(&[Role::User, Role::Ai][..]));
    let intent = (uuids(), select(&["a", "b"][..]));
    let recommendation = (uuids(), uuids(), members(), vec(products(), 0..4), select(&[0.0, 0.5][..]));
    prop_oneof![
        message.prop_map(|(message_id, member_id, role)| {
            MessageCreated { message_id, member_id, role, ..MessageCreated::example() }.into()
        }),
        intent.prop_map(|(message_id, model)| {
            let mut intent = IntentAnalyzed { message_id, ..IntentAnalyzed::example() };
            intent.analysed_by.model = Text::new(model).unwrap();
            intent.into()
        }),
        recommendation.prop_map(|(recommendation_id, message_id, member_id, products, content)| {
            let mut recommendation = RecommendationGenerated {
                recommendation_id,
                message_id,
                member_id,
                ..RecommendationGenerated::example()
            };
            let item = recommendation.items.remove(0);
            recommendation.items =
                products.into_iter().map(|product_id| RecommendedProduct { product_id, ..item.clone() }).collect();
            recommendation.weight_setting.content = content;
            recommendation.into()
        }),
        (members(), 1_u32..4, 1_u8..3).prop_map(|(member_id, orders, hour)| {
            let favourite_hours = vec![hour];
            PurchasePatternAnalyzed { member_id, orders, favourite_hours, ..PurchasePatternAnalyzed::example() }.into()
        }),
    ]
}
