//! What was sold and taken back: every line as a fact, and sums by product and day.

use chrono::NaiveDate;
use events::{Currency, Data, Event, OrderItem, Topic};
use runtime::fold::{Deltas, Projection, Shop, TableMarker as _, Target, View, ViewKeys};

/// The name of the view of a day's sales by category.
pub const DAILY_VIEW: &str = "daily";
/// The name of the view of all sales.
pub const TOTALS_VIEW: &str = "totals";

runtime::table! {
    /// The lines of orders and cancellations
    pub OrderLines "order_line" index [day, member_id] {
        key OrderLine { event: u128, line: i64 }
        once Line<'a> "line" {
            order_id: Option<&'a str>,
            member_id: Option<&'a str>,
            product_id: &'a str,
            day: NaiveDate,
            cancelled: bool,
            units: i64,
            total_minor: i64,
            currency: &'a str,
        }
    }
}

runtime::table! {
    /// Units and money of a product on a day
    pub ProductSales "product_sales" {
        key ProductSalesDay<'a> { product_id: &'a str, day: NaiveDate, currency: &'a str }
        add Sold "sold" { sold_units: i64, sold_minor: i64 }
        add Cancelled "cancelled" { cancelled_units: i64, cancelled_minor: i64 }
    }
}

runtime::table! {
    /// How often a product was looked at on a day
    pub ProductViews "product_views" index [day] {
        key ProductViewsDay<'a> { product_id: &'a str, day: NaiveDate }
        add Looks "looks" { views: i64 }
    }
}

/// Facts for what must be counted without repetition (orders, buyers), sums for what only adds up.
pub static PROJECTION: Projection = Projection {
    name: "sales",
    reads: &[Topic::OrderCompleted, Topic::ProductViewed, Topic::UserBehavior],
    tables: &[OrderLines::TABLE, ProductViews::TABLE, ProductSales::TABLE],
    fold,
    views: &[
        View {
            name: DAILY_VIEW,
            description: "a day's orders, buyers, units, revenue, cancellations and views by category",
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("sales.daily.sql"),
            all_keys: "SELECT DISTINCT day::text FROM order_line WHERE day::text > $1 ORDER BY 1 LIMIT $2",
            swept: false,
            target: Target::Postgres,
        },
        View {
            name: TOTALS_VIEW,
            description: "all units and revenue by currency",
            watches: &[],
            keys: ViewKeys::Only("all"),
            query: include_str!("sales.totals.sql"),
            all_keys: "SELECT 'all' WHERE 'all' > $1 LIMIT $2",
            swept: false,
            target: Target::Postgres,
        },
    ],
};

fn fold(event: &Event, shop: &Shop, deltas: &mut Deltas) {
    let day = shop.day(event.envelope.time);
    let event_hash = event.envelope.hash();
    let mut put_lines = |order_id, member_id, currency: &Currency, items: &[OrderItem], cancelled| {
        for (line, item) in (0_i64..).zip(items) {
            let OrderItem { product_id, quantity, total_minor } = item;
            let (units, total_minor, currency) = (quantity.units(), *total_minor, currency.as_str());
            let fact = Line { order_id, member_id, product_id, day, cancelled, units, total_minor, currency };
            deltas.put(OrderLine { event: event_hash, line }, fact);
            let key = ProductSalesDay { product_id, day, currency };
            if cancelled {
                deltas.put(key, Cancelled { cancelled_units: units, cancelled_minor: total_minor });
            } else {
                deltas.put(key, Sold { sold_units: units, sold_minor: total_minor });
            }
        }
    };
    match &event.data {
        Data::OrderCompleted(order) => {
            put_lines(Some(&*order.order_id), order.member_id.as_deref(), &order.currency, &order.items, false);
        }
        Data::OrderCancelled(order) => {
            put_lines(order.order_id.as_deref(), order.member_id.as_deref(), &order.currency, &order.items, true);
        }
        Data::ProductViewed(seen) => {
            deltas.put(ProductViewsDay { product_id: &seen.product_id, day }, Looks { views: 1 });
        }
        _ => {}
    }
}
