//! `product`: the newest description of each product, and whether it is retired. The newest is the one with the latest
//! event time, then with the larger hash.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::table::{Table, row};
use super::{Kind, Record, optional_text, text};

type Stamp = (DateTime<Utc>, Uuid);

#[derive(Default)]
struct Product {
    attributes: Option<(Stamp, Value)>,
    retired: Option<(Stamp, bool)>,
}

#[derive(Default)]
pub struct Catalogue(BTreeMap<String, Product>);

impl Catalogue {
    pub fn fold(&mut self, record: &Record) {
        let retired = match record.kind {
            Kind::ProductUpserted => false,
            Kind::ProductRetired => true,
            _ => return,
        };
        let stamp = (record.time, record.hash());
        let product = self.0.entry(text(&record.data, "product_id")).or_default();
        if !retired {
            keep_newest(&mut product.attributes, stamp, record.data.clone());
        }
        keep_newest(&mut product.retired, stamp, retired);
    }

    pub fn table(&self) -> Table {
        let mut table = Table::new(
            "product",
            &[
                "product_id",
                "attributes_at",
                "attributes_by",
                "title",
                "description",
                "category",
                "brand",
                "price_minor",
                "currency",
                "stock",
                "further",
                "sale_at",
                "sale_by",
                "retired",
            ],
        );
        for (product_id, product) in &self.0 {
            let stamp = product.attributes.as_ref().map(|(stamp, _)| *stamp);
            let data = product.attributes.as_ref().map(|(_, data)| data);
            let field = |name: &str| data.and_then(|data| optional_text(data, name));
            let price = data.map(|data| &data["price"]);
            let sale = product.retired.as_ref();
            table.push(row![
                product_id,
                stamp.map(|stamp| stamp.0),
                stamp.map(|stamp| stamp.1),
                field("title").as_ref(),
                field("description").as_ref(),
                field("category").as_ref(),
                field("brand").as_ref(),
                price.and_then(|price| price["amount_minor"].as_i64()),
                price.and_then(|price| price["currency"].as_str()),
                data.and_then(|data| data["stock"].as_i64()),
                data.map(further).as_ref(),
                sale.map(|(stamp, _)| stamp.0),
                sale.map(|(stamp, _)| stamp.1),
                sale.map(|(_, retired)| *retired),
            ]);
        }
        table
    }
}

fn keep_newest<T>(kept: &mut Option<(Stamp, T)>, stamp: Stamp, value: T) {
    if kept.as_ref().is_none_or(|(newest, _)| stamp > *newest) {
        *kept = Some((stamp, value));
    }
}

/// The further attributes as JSON, by name.
fn further(data: &Value) -> String {
    let attributes: BTreeMap<&String, &Value> = data["attributes"].as_object().into_iter().flatten().collect();
    serde_json::to_string(&attributes).unwrap()
}
