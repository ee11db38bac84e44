//! Co-purchase: counts of product pairs in orders, and each product's neighbours.

use jangbogo_events::{Data, Event, OrderItem, ProductId, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};

/// Most products of an order that make pairs: a thousand products would make half a million pairs.
const MAX_BASKET: usize = 30;
/// View of each product's neighbours.
pub const SIMILAR_VIEW: &str = "rec:similar";

jangbogo_fold::table! {
    /// In how many orders each product stands
    pub ProductOrders "product_orders" {
        key ProductOrdersKey<'a> { product_id: &'a str }
        add Ordered "ordered" { orders: i64 }
    }
}

jangbogo_fold::table! {
    /// In how many orders two products stand together; the smaller id first
    pub ProductPairs "product_pair" index [neighbour_id] {
        key ProductPair<'a> { product_id: &'a str, neighbour_id: &'a str }
        add Together "together" { orders: i64 }
    }
}

/// Pairs are the most contended rows, so their table comes last.
pub static PROJECTION: Projection = Projection {
    name: "co-purchase",
    reads: &[Topic::OrderCompleted],
    tables: &[ProductOrders::TABLE, ProductPairs::TABLE],
    fold,
    views: &[View {
        name: SIMILAR_VIEW,
        // A product's neighbours: the fifty most often bought with it, for how often each is bought at all. Every order
        // that makes a pair also counts both products.
        watches: &[Watch { table: ProductOrders::TABLE, column: "product_id" }],
        keys: ViewKeys::Same,
        query: include_str!("co_purchase.similar.sql"),
        all_keys: "SELECT product_id FROM product_orders WHERE product_id > $1 ORDER BY product_id LIMIT $2",
        // A neighbour's score falls with each of its orders, also those without this product.
        full_refresh: true,
        target: Target::RedisHash,
    }],
};

fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    // A cancellation reduces units; the two products were still ordered together.
    let Data::OrderCompleted(order) = &event.data else { return };
    let products = basket(&order.items);
    for (position, product_id) in products.iter().enumerate() {
        deltas.put(ProductOrdersKey { product_id }, Ordered { orders: 1 });
        for neighbour_id in &products[position + 1..] {
            deltas.put(ProductPair { product_id, neighbour_id }, Together { orders: 1 });
        }
    }
}

/// The order's distinct products by id; of a large order those with the largest totals.
fn basket(items: &[OrderItem]) -> Vec<&ProductId> {
    let mut by_product: Vec<(&ProductId, i64)> =
        items.iter().map(|item| (&item.product_id, item.total_minor)).collect();
    by_product.sort_unstable();
    by_product.dedup_by(|later, kept| {
        let is_same = later.0 == kept.0;
        if is_same {
            kept.1 += later.1;
        }
        is_same
    });
    if by_product.len() > MAX_BASKET {
        by_product.sort_unstable_by_key(|(product_id, total)| (-total, *product_id));
        by_product.truncate(MAX_BASKET);
        by_product.sort_unstable();
    }
    by_product.into_iter().map(|(product_id, _)| product_id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangbogo_fold::testing::{cancellation, given, order};

    #[test]
    fn every_two_products_of_an_order_are_a_pair_once() {
        let lines = [("lamp", 1, 500), ("cup", 2, 300), ("bag", 1, 900), ("cup", 5, 750)];
        let folded = given(&PROJECTION, [order(Some("kim"), &lines).into(), order(None, &lines[..2]).into()]);
        assert_eq!(folded.rows("product_pair"), ["bag cup: orders=1", "bag lamp: orders=1", "cup lamp: orders=2"]);
        assert_eq!(folded.rows("product_orders"), ["bag: orders=1", "cup: orders=2", "lamp: orders=2"]);
    }

    #[test]
    fn a_cancellation_leaves_pairs_alone() {
        let lines = [("lamp", 1, 500), ("cup", 2, 300)];
        let folded = given(&PROJECTION, [order(None, &lines).into(), cancellation(None, &lines).into()]);
        assert_eq!(folded.rows("product_pair"), ["cup lamp: orders=1"]);
        assert_eq!(folded.rows("product_orders"), ["cup: orders=1", "lamp: orders=1"]);
    }

    /// Lines of products `p00`, `p01` … with the totals that the function gives.
    fn large_basket(count: usize, total: fn(usize) -> i64) -> Vec<(String, i64)> {
        (0..count).map(|number| (format!("p{number:02}"), total(number))).collect()
    }

    fn products_kept(basket: &[(String, i64)]) -> Vec<String> {
        let lines: Vec<_> = basket.iter().map(|(product_id, total)| (&**product_id, 1, *total)).collect();
        let folded = given(&PROJECTION, [order(None, &lines).into()]);
        assert_eq!(folded.rows("product_pair").len(), MAX_BASKET * (MAX_BASKET - 1) / 2);
        folded.rows("product_orders").iter().map(|row| row.replace(": orders=1", "")).collect()
    }

    #[test]
    fn the_most_expensive_products_of_a_large_basket_make_pairs() {
        let mut basket = large_basket(35, |number| i64::try_from(number).unwrap() * 10);
        let most_expensive: Vec<String> = (5..35).map(|number| format!("p{number:02}")).collect();
        assert_eq!(products_kept(&basket), most_expensive);
        basket.reverse();
        assert_eq!(products_kept(&basket), most_expensive, "whatever the order of the lines");
    }

    #[test]
    fn lines_of_one_product_count_together_and_ties_go_to_the_smaller_id() {
        let mut basket = large_basket(32, |_| 100);
        basket.extend([("p31".to_owned(), 1), ("p30".to_owned(), 1)]);
        let kept: Vec<String> = (0..28).chain([30, 31]).map(|number| format!("p{number:02}")).collect();
        assert_eq!(products_kept(&basket), kept);
    }

    #[test]
    fn a_basket_at_the_limit_is_whole_however_many_lines_it_has() {
        let mut basket = large_basket(MAX_BASKET, |_| 100);
        basket.extend(basket.clone());
        assert_eq!(products_kept(&basket).len(), MAX_BASKET);
    }
}
