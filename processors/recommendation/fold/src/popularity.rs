//! Popular products by category, and trending products of the whole shop.

use std::collections::BTreeSet;

use chrono::NaiveDate;
use jangbogo_events::{Data, Event, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};
use jangbogo_shared_projections::catalogue::Products;

/// View of popular products by category.
pub const POPULAR_VIEW: &str = "rec:popular:category";
/// View of trending products.
pub const TRENDING_VIEW: &str = "rec:trending";
/// Only key of the view of trending products.
pub const TRENDING_KEY: &str = "all";

jangbogo_fold::table! {
    /// What happened to a product on a day
    pub ProductDays "product_day" index [day] {
        key ProductDay<'a> { product_id: &'a str, day: NaiveDate }
        add Bought "bought" { orders: i64, units: i64 }
        add Interest "interest" { views: i64, carts: i64, wishes: i64, clicks: i64 }
    }
}

jangbogo_fold::table! {
    /// Every category that a description of a product has named
    pub Categories "category" {
        key Category<'a> { category: &'a str }
    }
}

/// Folds buckets by day of the event; the views apply the decay, which depends on the time of the query.
pub static PROJECTION: Projection = Projection {
    name: "popularity",
    reads: &[Topic::CatalogEvents, Topic::OrderCompleted, Topic::ProductViewed, Topic::UserBehavior],
    tables: &[Categories::TABLE, ProductDays::TABLE],
    fold,
    views: &[
        View {
            name: POPULAR_VIEW,
            // The fifty most bought products of a category; an order counts half after 30 days.
            watches: &[
                Watch { table: ProductDays::TABLE, column: "product_id" },
                Watch { table: Products::TABLE, column: "product_id" },
            ],
            keys: ViewKeys::Mapped(
                "SELECT DISTINCT category FROM product WHERE product_id = ANY ($1) AND category IS NOT NULL",
            ),
            query: include_str!("popularity.popular.sql"),
            // A category whose last product moved to another one is still a key: its published value must go.
            all_keys: "SELECT category FROM category WHERE category > $1 ORDER BY category LIMIT $2",
            full_refresh: true,
            target: Target::RedisHash,
        },
        View {
            name: TRENDING_VIEW,
            // The hundred products with most attention; it counts half after 3 days.
            watches: &[Watch { table: ProductDays::TABLE, column: "product_id" }],
            keys: ViewKeys::Only(TRENDING_KEY),
            query: include_str!("popularity.trending.sql"),
            all_keys: "SELECT 'all' WHERE 'all' > $1 LIMIT $2",
            full_refresh: true,
            target: Target::RedisRanking,
        },
    ],
};

fn fold(event: &Event, config: &FoldConfig, deltas: &mut Deltas) {
    let day = config.day(event.envelope.time);
    let none = Interest { views: 0, carts: 0, wishes: 0, clicks: 0 };
    let (product_id, interest) = match &event.data {
        Data::ProductUpserted(product) => {
            if let Some(category) = &product.category {
                deltas.insert(Category { category });
            }
            return;
        }
        Data::OrderCompleted(order) => {
            let mut products = BTreeSet::new();
            for item in &order.items {
                // A product on two lines of an order was ordered once.
                let orders = i64::from(products.insert(&item.product_id));
                let bought = Bought { orders, units: item.quantity.units() };
                deltas.put(ProductDay { product_id: &item.product_id, day }, bought);
            }
            return;
        }
        Data::ProductViewed(seen) => (&seen.product_id, Interest { views: 1, ..none }),
        Data::CartItemAdded(cart) => (&cart.product_id, Interest { carts: 1, ..none }),
        Data::WishlistItemAdded(wish) => (&wish.product_id, Interest { wishes: 1, ..none }),
        Data::RecommendationClicked(click) => (&click.product_id, Interest { clicks: 1, ..none }),
        _ => return,
    };
    deltas.put(ProductDay { product_id, day }, interest);
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{
        CartItemAdded, CategoryId, Payload, ProductUpserted, ProductViewed, Quantity, RecommendationClicked,
        WishlistItemAdded,
    };

    use super::PROJECTION;
    use jangbogo_fold::testing::{at, cancellation, given, member, order, product};

    #[test]
    fn attention_of_members_and_anonymous_shoppers_counts_by_product() {
        let (member_id, product_id) = (member("kim"), product("lamp"));
        let quantity = Quantity::new(7).unwrap();
        let folded = given(
            &PROJECTION,
            [
                order(None, &[("lamp", 2, 500), ("cup", 1, 300), ("lamp", 1, 250)]).into(),
                ProductViewed { member_id: None, product_id: product_id.clone() }.into(),
                CartItemAdded { member_id: member_id.clone(), product_id: product_id.clone(), quantity }.into(),
                WishlistItemAdded { member_id: member_id.clone(), product_id: product_id.clone() }.into(),
                RecommendationClicked { member_id, product_id, recommendation_id: None }.into(),
                cancellation(None, &[("lamp", 1, 250)]).into(),
            ],
        );
        assert_eq!(
            folded.rows("product_day"),
            ["cup 2011-03-01: orders=1 units=1", "lamp 2011-03-01: orders=1 units=3 views=1 carts=1 wishes=1 clicks=1",]
        );
    }

    #[test]
    fn a_category_stays_known_after_its_last_product_has_moved() {
        let in_category = |category: &str| ProductUpserted {
            product_id: product("lamp"),
            category: Some(CategoryId::new(category).unwrap()),
            ..ProductUpserted::example()
        };
        let moved = at("2011-03-02T12:00:00Z", in_category("garden"));
        let folded = given(&PROJECTION, [in_category("light").into(), moved]);
        assert_eq!(folded.rows("category"), ["garden:", "light:"]);
    }

    #[test]
    fn days_begin_at_midnight_in_the_shop() {
        let order = order(None, &[("lamp", 1, 250)]);
        let before = at("2011-03-01T14:59:59.999999Z", order.clone());
        let folded = given(&PROJECTION, [before, at("2011-03-01T15:00:00Z", order)]);
        assert_eq!(
            folded.rows("product_day"),
            ["lamp 2011-03-01: orders=1 units=1", "lamp 2011-03-02: orders=1 units=1"]
        );
    }
}
