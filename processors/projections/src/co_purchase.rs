//! What is bought together: counts of pairs, and each product's neighbours.

use events::{Data, Event, OrderItem, ProductId, Topic};
use runtime::fold::{Deltas, Projection, Shop, TableMarker as _, Target, View, ViewKeys, Watch};

/// A basket makes pairs of at most this many products: a thousand would make half a million.
pub const MAX_BASKET: usize = 30;
/// The name of the view of neighbours.
pub const SIMILAR_VIEW: &str = "rec:similar";

runtime::table! {
    /// In how many orders each product stands
    pub ProductOrders "product_orders" {
        key ProductOrdersKey<'a> { product_id: &'a str }
        add Ordered "ordered" { orders: i64 }
    }
}

runtime::table! {
    /// In how many orders two products stand together; the smaller id first
    pub ProductPairs "product_pair" index [neighbour_id] {
        key ProductPair<'a> { product_id: &'a str, neighbour_id: &'a str }
        add Together "together" { orders: i64 }
    }
}

/// Pairs are the most contended rows of all, so they come last.
pub static PROJECTION: Projection = Projection {
    name: "co-purchase",
    reads: &[Topic::OrderCompleted],
    tables: &[ProductOrders::TABLE, ProductPairs::TABLE],
    fold,
    views: &[View {
        name: SIMILAR_VIEW,
        description: "a product's neighbours: the fifty most often bought with it, for how often each is bought at all",
        // Every order that makes a pair counts both its products too.
        watches: &[Watch { table: ProductOrders::TABLE, column: "product_id" }],
        keys: ViewKeys::Same,
        query: include_str!("co_purchase.similar.sql"),
        all_keys: "SELECT product_id FROM product_orders WHERE product_id > $1 ORDER BY product_id LIMIT $2",
        // A neighbour's score falls with every order of it, wherever that is.
        swept: true,
        target: Target::RedisHash,
    }],
};

fn fold(event: &Event, _: &Shop, deltas: &mut Deltas) {
    // A cancellation takes back units, not the fact that two products were wanted together.
    let Data::OrderCompleted(order) = &event.data else { return };
    let products = basket(&order.items);
    for (position, product_id) in products.iter().enumerate() {
        deltas.put(ProductOrdersKey { product_id }, Ordered { orders: 1 });
        for neighbour_id in &products[position + 1..] {
            deltas.put(ProductPair { product_id, neighbour_id }, Together { orders: 1 });
        }
    }
}

/// The order's distinct products by id; of a large order those that cost most.
fn basket(items: &[OrderItem]) -> Vec<&ProductId> {
    let mut by_product: Vec<(&ProductId, i64)> =
        items.iter().map(|item| (&item.product_id, item.total_minor)).collect();
    by_product.sort_unstable();
    by_product.dedup_by(|later, kept| {
        let same = later.0 == kept.0;
        if same {
            kept.1 += later.1;
        }
        same
    });
    if by_product.len() > MAX_BASKET {
        by_product.sort_unstable_by_key(|(product_id, total)| (-total, *product_id));
        by_product.truncate(MAX_BASKET);
        by_product.sort_unstable();
    }
    by_product.into_iter().map(|(product_id, _)| product_id).collect()
}
