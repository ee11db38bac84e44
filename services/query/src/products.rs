//! Products as readers see them: attributes and retirement are joined when a list is read.

use std::collections::HashMap;

use jangbogo_events::ProductId;
use jangbogo_read::{ReadError, Reader, Served};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

/// A product in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProductSummary {
    /// The shop's id.
    pub product_id: String,
    /// Its name.
    pub title: String,
    /// The category's slug, if it has one.
    pub category: Option<String>,
    /// What one costs now, if the shop says.
    pub price: Option<Price>,
    /// Units in stock, if the shop says.
    pub stock: Option<i64>,
}

/// An amount of money.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Price {
    /// In the currency's smallest unit.
    #[schema(example = 295)]
    pub amount_minor: i64,
    /// ISO 4217.
    #[schema(example = "GBP")]
    pub currency: String,
}

/// Everything known of a product.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct ProductDetail {
    /// What lists show too.
    #[serde(flatten)]
    pub summary: ProductSummary,
    /// What it is, in a few sentences.
    pub description: Option<String>,
    /// Who makes it.
    pub brand: Option<String>,
    /// Further attributes by name, such as colour.
    pub attributes: Map<String, Value>,
}

/// What became of looking for a product.
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup {
    /// It is on sale.
    OnSale(Box<ProductDetail>),
    /// It was taken off sale.
    Retired,
    /// Nobody ever told of it.
    Unknown,
}

const SUMMARY: &str = "product_id, title, category, price_minor, currency, stock, coalesce(retired, false) AS retired";

/// A product with a title, and whether it is still sold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Product {
    /// Its attributes.
    pub summary: ProductSummary,
    /// Whether it was taken off sale.
    pub retired: bool,
}

/// Products by id, as one generation has them.
#[derive(Clone, Debug, Default)]
pub struct Products(HashMap<String, Product>);

impl Products {
    /// A product that is sold.
    #[must_use]
    pub fn on_sale(&self, product_id: &str) -> Option<&ProductSummary> {
        self.0.get(product_id).filter(|product| !product.retired).map(|product| &product.summary)
    }

    /// A product's title, if need be of a retired one; its id if it has none.
    #[must_use]
    pub fn title<'a>(&'a self, product_id: &'a str) -> &'a str {
        self.0.get(product_id).map_or(product_id, |product| &product.summary.title)
    }
}

/// The products of these ids, in one query.
///
/// # Errors
/// When Postgres is away.
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

/// One product.
///
/// # Errors
/// When Postgres is away.
pub async fn find(reader: &Reader, served: &Served, product_id: &ProductId) -> Result<Lookup, ReadError> {
    let schema = &served.generation.schema;
    let sql = format!("SELECT {SUMMARY}, description, brand, further FROM {schema}.product WHERE product_id = $1");
    let found = sqlx::query(&sql).bind(product_id.as_str()).fetch_optional(reader.postgres()).await?;
    let Some(row) = found else { return Ok(Lookup::Unknown) };
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
