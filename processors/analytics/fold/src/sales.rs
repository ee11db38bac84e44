//! Sales and cancellations: every line as a fact, and sums by product and day.

use chrono::NaiveDate;
use jangbogo_events::{Currency, Data, Event, OrderItem, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys};

/// View of a day's sales by category.
pub const DAILY_VIEW: &str = "daily";
/// View of all sales.
pub const TOTALS_VIEW: &str = "totals";

jangbogo_fold::table! {
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

jangbogo_fold::table! {
    /// Units and money of a product on a day
    pub ProductSales "product_sales" {
        key ProductSalesDay<'a> { product_id: &'a str, day: NaiveDate, currency: &'a str }
        add Sold "sold" { sold_units: i64, sold_minor: i64 }
        add Cancelled "cancelled" { cancelled_units: i64, cancelled_minor: i64 }
    }
}

jangbogo_fold::table! {
    /// How often a product was looked at on a day
    pub ProductViews "product_views" index [day] {
        key ProductViewsDay<'a> { product_id: &'a str, day: NaiveDate }
        add Looks "looks" { views: i64 }
    }
}

/// Facts for distinct counts (orders, buyers), sums for units, money and views.
pub static PROJECTION: Projection = Projection {
    name: "sales",
    reads: &[Topic::OrderCompleted, Topic::ProductViewed, Topic::UserBehavior],
    tables: &[OrderLines::TABLE, ProductViews::TABLE, ProductSales::TABLE],
    fold,
    views: &[
        View {
            name: DAILY_VIEW,
            // A day's orders, buyers, units, revenue, cancellations and views by category.
            watches: &[],
            keys: ViewKeys::Same,
            query: include_str!("sales.daily.sql"),
            all_keys: "SELECT DISTINCT day::text FROM order_line WHERE day::text > $1 ORDER BY 1 LIMIT $2",
            full_refresh: false,
            target: Target::Postgres,
        },
        View {
            name: TOTALS_VIEW,
            // All units and revenue by currency.
            watches: &[],
            keys: ViewKeys::Only("all"),
            query: include_str!("sales.totals.sql"),
            all_keys: "SELECT 'all' WHERE 'all' > $1 LIMIT $2",
            full_refresh: false,
            target: Target::Postgres,
        },
    ],
};

fn fold(event: &Event, config: &FoldConfig, deltas: &mut Deltas) {
    let day = config.day(event.envelope.time);
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

#[cfg(test)]
mod tests {
    use jangbogo_events::ProductViewed;

    use super::PROJECTION;
    use jangbogo_fold::testing::{at, cancellation, given, order, product};

    #[test]
    fn every_line_is_a_fact_of_its_own() {
        let ordered = order(Some("kim"), &[("lamp", 2, 500), ("lamp", 1, 250)]);
        let folded = given(&PROJECTION, [ordered.into(), cancellation(None, &[("lamp", 1, 250)]).into()]);
        let mut rows = folded.rows("order_line");
        rows.sort();
        let kim = r#"order_id="order" member_id="kim" product_id="lamp" day=2011-03-01 cancelled=false"#;
        let anonymous = r#"order_id="order" product_id="lamp" day=2011-03-01 cancelled=true"#;
        assert_eq!(
            rows,
            [
                format!(r#"#1 0: {kim} units=2 total_minor=500 currency="KRW""#),
                format!(r#"#1 1: {kim} units=1 total_minor=250 currency="KRW""#),
                format!(r#"#2 0: {anonymous} units=1 total_minor=250 currency="KRW""#),
            ]
        );
    }

    #[test]
    fn cancellations_count_apart_on_their_own_day() {
        let cancelled = cancellation(None, &[("lamp", 1, 250)]);
        let folded = given(
            &PROJECTION,
            [
                order(None, &[("lamp", 2, 500), ("lamp", 1, 250)]).into(),
                cancelled.clone().into(),
                at("2011-03-01T15:00:00Z", cancelled),
            ],
        );
        assert_eq!(
            folded.rows("product_sales"),
            [
                "lamp 2011-03-01 KRW: sold_units=3 sold_minor=750 cancelled_units=1 cancelled_minor=250",
                "lamp 2011-03-02 KRW: cancelled_units=1 cancelled_minor=250",
            ]
        );
    }

    #[test]
    fn views_count_by_product_and_day_of_the_shop() {
        let seen = ProductViewed { member_id: None, product_id: product("lamp") };
        let late = at("2011-03-01T14:59:59Z", seen.clone());
        let folded = given(&PROJECTION, [seen.clone().into(), late, at("2011-03-02T00:00:00+09:00", seen)]);
        assert_eq!(folded.rows("product_views"), ["lamp 2011-03-01: views=2", "lamp 2011-03-02: views=1"]);
    }
}
