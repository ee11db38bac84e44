//! The tables of `recommendation` besides the catalogue: what members did, events of products by day, and products
//! that are bought together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

use super::table::{Table, row};
use super::{Item, Kind, Record, items, optional_text, text};

/// Maximum number of products of an order that make pairs.
const MAX_BASKET: usize = 30;

#[derive(Default)]
struct MemberProduct {
    orders: i64,
    units: i64,
    views: i64,
    carts: i64,
    wishes: i64,
    clicks: i64,
    newest: DateTime<Utc>,
}

/// Sums are null until the first event that adds to any of their group.
#[derive(Default)]
struct ProductDay {
    /// Numbers of orders and of units.
    bought: Option<(i64, i64)>,
    interest: Option<Interest>,
}

#[derive(Default)]
struct Interest {
    views: i64,
    carts: i64,
    wishes: i64,
    clicks: i64,
}

/// All tables but the catalogue.
#[derive(Default)]
pub struct Recommendation {
    /// Number of events and time of the newest.
    members: BTreeMap<String, (i64, DateTime<Utc>)>,
    member_products: BTreeMap<(String, String), MemberProduct>,
    product_days: BTreeMap<(String, NaiveDate), ProductDay>,
    product_orders: BTreeMap<String, i64>,
    product_pairs: BTreeMap<(String, String), i64>,
}

impl Recommendation {
    pub fn fold(&mut self, record: &Record, local: DateTime<Tz>) {
        let day = local.date_naive();
        match record.kind {
            Kind::OrderCompleted => self.order(record, day),
            Kind::ProductViewed | Kind::CartItemAdded | Kind::WishlistItemAdded | Kind::RecommendationClicked => {
                self.interest(record, day);
            }
            _ => {}
        }
    }

    fn order(&mut self, record: &Record, day: NaiveDate) {
        let member_id = optional_text(&record.data, "member_id");
        let items = items(&record.data);
        let mut ordered = BTreeSet::new();
        for item in &items {
            // A product on two lines counts as one order.
            let orders = i64::from(ordered.insert(&item.product_id));
            let day = self.product_days.entry((item.product_id.clone(), day)).or_default();
            let bought = day.bought.get_or_insert_default();
            *bought = (bought.0 + orders, bought.1 + item.quantity);
            if let Some(member_id) = &member_id {
                let product = self.member_product(member_id, &item.product_id, record.time);
                product.orders += orders;
                product.units += item.quantity;
            }
        }
        if let Some(member_id) = &member_id {
            self.member(member_id, record.time);
        }
        let basket = basket(&items);
        for (position, product_id) in basket.iter().enumerate() {
            *self.product_orders.entry(product_id.clone()).or_default() += 1;
            for neighbour_id in &basket[position + 1..] {
                *self.product_pairs.entry((product_id.clone(), neighbour_id.clone())).or_default() += 1;
            }
        }
    }

    fn interest(&mut self, record: &Record, day: NaiveDate) {
        let product_id = text(&record.data, "product_id");
        let day = self.product_days.entry((product_id.clone(), day)).or_default();
        let interest = day.interest.get_or_insert_default();
        match record.kind {
            Kind::ProductViewed => interest.views += 1,
            Kind::CartItemAdded => interest.carts += 1,
            Kind::WishlistItemAdded => interest.wishes += 1,
            _ => interest.clicks += 1,
        }
        let Some(member_id) = optional_text(&record.data, "member_id") else { return };
        let product = self.member_product(&member_id, &product_id, record.time);
        match record.kind {
            Kind::ProductViewed => product.views += 1,
            Kind::CartItemAdded => product.carts += 1,
            Kind::WishlistItemAdded => product.wishes += 1,
            _ => product.clicks += 1,
        }
        self.member(&member_id, record.time);
    }

    fn member(&mut self, member_id: &str, time: DateTime<Utc>) {
        let member = self.members.entry(member_id.to_owned()).or_default();
        *member = (member.0 + 1, member.1.max(time));
    }

    fn member_product(&mut self, member_id: &str, product_id: &str, time: DateTime<Utc>) -> &mut MemberProduct {
        let product = self.member_products.entry((member_id.to_owned(), product_id.to_owned())).or_default();
        product.newest = product.newest.max(time);
        product
    }

    pub fn tables(&self) -> [Table; 5] {
        let mut members = Table::new("member", &["member_id", "events", "newest"]);
        for (member_id, (events, newest)) in &self.members {
            members.push(row![member_id, *events, *newest]);
        }
        let columns = &["member_id", "product_id", "orders", "units", "views", "carts", "wishes", "clicks", "newest"];
        let mut member_products = Table::new("member_product", columns);
        for ((member_id, product_id), acts) in &self.member_products {
            let MemberProduct { orders, units, views, carts, wishes, clicks, newest } = *acts;
            member_products.push(row![member_id, product_id, orders, units, views, carts, wishes, clicks, newest]);
        }
        let columns = &["product_id", "day", "orders", "units", "views", "carts", "wishes", "clicks"];
        let mut product_days = Table::new("product_day", columns);
        for ((product_id, day), ProductDay { bought, interest }) in &self.product_days {
            product_days.push(row![
                product_id,
                *day,
                bought.map(|bought| bought.0),
                bought.map(|bought| bought.1),
                interest.as_ref().map(|interest| interest.views),
                interest.as_ref().map(|interest| interest.carts),
                interest.as_ref().map(|interest| interest.wishes),
                interest.as_ref().map(|interest| interest.clicks),
            ]);
        }
        let mut product_orders = Table::new("product_orders", &["product_id", "orders"]);
        for (product_id, orders) in &self.product_orders {
            product_orders.push(row![product_id, *orders]);
        }
        let mut product_pairs = Table::new("product_pair", &["product_id", "neighbour_id", "orders"]);
        for ((product_id, neighbour_id), orders) in &self.product_pairs {
            product_pairs.push(row![product_id, neighbour_id, *orders]);
        }
        [members, member_products, product_days, product_orders, product_pairs]
    }
}

/// The order's products by id: at most [`MAX_BASKET`], those that cost most, then those with the smaller id.
fn basket(items: &[Item]) -> Vec<String> {
    let mut totals: BTreeMap<&String, i64> = BTreeMap::new();
    for item in items {
        *totals.entry(&item.product_id).or_default() += item.total_minor;
    }
    let mut dearest: Vec<(Reverse<i64>, &String)> =
        totals.into_iter().map(|(product_id, total)| (Reverse(total), product_id)).collect();
    dearest.sort_unstable();
    let mut kept: Vec<String> =
        dearest.into_iter().take(MAX_BASKET).map(|(_, product_id)| product_id.clone()).collect();
    kept.sort_unstable();
    kept
}
