//! Products' attributes, which are joined to a list when it is read.

use std::collections::HashMap;

use jangbogo_events::ProductId;
use jangbogo_read::{ReadError, Reader, Served};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A product in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProductSummary {
    /// The shop's id of the product.
    pub product_id: String,
    /// Name of the product.
    pub title: String,
    /// Slug of its category, if it has one.
    pub category: Option<String>,
    /// Current price of one unit, if known.
    pub price: Option<Price>,
    /// Units in stock, if known.
    pub stock: Option<i64>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Price {
    /// Amount in the currency's minor unit.
    #[schemars(example = 295)]
    pub amount_minor: i64,
    /// ISO 4217 code.
    #[schemars(example = &"GBP")]
    pub currency: String,
}

/// All attributes of a product.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct ProductDetail {
    /// Attributes that lists show as well.
    #[serde(flatten)]
    pub summary: ProductSummary,
    /// Description in a few sentences.
    pub description: Option<String>,
    /// Brand or manufacturer.
    pub brand: Option<String>,
    /// Further attributes by name, such as colour.
    pub attributes: Map<String, Value>,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    OnSale(Box<ProductDetail>),
    Retired,
    /// No event of the product is folded.
    Unknown,
}

const SUMMARY: &str = "product_id, title, category, price_minor, currency, stock, coalesce(retired, false) AS retired";

/// A product that has a title.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    pub summary: ProductSummary,
    pub retired: bool,
}

/// Products of one generation, by id.
#[derive(Clone, Debug, Default)]
pub struct Products(HashMap<String, Product>);

impl Products {
    pub fn on_sale(&self, product_id: &str) -> Option<&ProductSummary> {
        self.0.get(product_id).filter(|product| !product.retired).map(|product| &product.summary)
    }

    /// A product's title, also of a retired one; its id if it has no title.
    pub fn title<'a>(&'a self, product_id: &'a str) -> &'a str {
        self.0.get(product_id).map_or(product_id, |product| &product.summary.title)
    }
}

/// Loads the products of these ids with one query.
pub async fn by_id(reader: &Reader, served: &Served, ids: &[&str]) -> Result<Products, ReadError> {
    if ids.is_empty() {
        return Ok(Products::default());
    }
    let schema = &served.generation.schema;
    let sql = format!("SELECT {SUMMARY} FROM {schema}.product WHERE product_id = ANY ($1) AND title IS NOT NULL");
    let rows = sqlx::query(&sql).bind(ids).fetch_all(reader.postgres()).await?;
    let product = |row| Product { summary: summary(row), retired: row.get("retired") };
    Ok(Products(rows.iter().map(product).map(|product| (product.summary.product_id.clone(), product)).collect()))
}

pub async fn find(reader: &Reader, served: &Served, product_id: &ProductId) -> Result<Lookup, ReadError> {
    let schema = &served.generation.schema;
    let sql = format!("SELECT {SUMMARY}, description, brand, further FROM {schema}.product WHERE product_id = $1");
    let row = sqlx::query(&sql).bind(product_id.as_str()).fetch_optional(reader.postgres()).await?;
    let Some(row) = row else { return Ok(Lookup::Unknown) };
    if row.get("retired") {
        return Ok(Lookup::Retired);
    }
    if row.get::<Option<String>, _>("title").is_none() {
        return Ok(Lookup::Unknown);
    }
    let further: Option<String> = row.get("further");
    Ok(Lookup::OnSale(Box::new(ProductDetail {
        summary: summary(&row),
        description: row.get("description"),
        brand: row.get("brand"),
        attributes: further.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
    })))
}

fn summary(row: &PgRow) -> ProductSummary {
    let amount: Option<i64> = row.get("price_minor");
    let currency: Option<String> = row.get("currency");
    ProductSummary {
        product_id: row.get("product_id"),
        title: row.get("title"),
        category: row.get("category"),
        price: amount.zip(currency).map(|(amount_minor, currency)| Price { amount_minor, currency }),
        stock: row.get("stock"),
    }
}
