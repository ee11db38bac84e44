//! Cache of products between rankings: reading and decoding hundreds of products is the slowest part of a list.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use jangbogo_ranking::{Candidate, Product};
use jangbogo_store::Rows;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// Capacity of the cache, in products of about 2 kB each.
const CAPACITY: usize = 20_000;

/// Cached products, each in one version.
#[derive(Debug, Default)]
pub struct Products(Mutex<HashMap<String, CachedProduct>>);

#[derive(Debug)]
struct CachedProduct {
    generation: Uuid,
    version: i64,
    candidate: Candidate,
}

impl Products {
    /// Products of these ids and versions in a snapshot, as candidates without similarities.
    ///
    /// A version is the id of the transaction that wrote the row last (`xmin`).
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn in_versions(
        &self,
        rows: &mut Rows,
        versions: &BTreeMap<String, i64>,
    ) -> Result<HashMap<String, Candidate>, sqlx::Error> {
        let generation = rows.generation().id;
        let (mut candidates, missing) = self.cached(generation, versions);
        if missing.is_empty() {
            return Ok(candidates);
        }
        let read = sqlx::query(
            "SELECT product_id, title, description, category, brand, price_minor, currency, stock, further, facets
             FROM product WHERE product_id = ANY ($1) AND title IS NOT NULL",
        )
        .bind(missing)
        .fetch_all(rows.connection())
        .await?;
        let read = read.iter().map(|row| (row.get::<String, _>("product_id"), Candidate::new(product(row))));
        let read: Vec<(String, Candidate)> = read.collect();
        let mut cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() + read.len() > CAPACITY {
            cache.clear();
        }
        for (product_id, candidate) in read {
            if let Some(version) = versions.get(&product_id) {
                let candidate = candidate.clone();
                cache.insert(product_id.clone(), CachedProduct { generation, version: *version, candidate });
            }
            candidates.insert(product_id, candidate);
        }
        Ok(candidates)
    }

    /// Cached candidates of these versions, and the ids of the others.
    fn cached<'a>(
        &self,
        generation: Uuid,
        versions: &'a BTreeMap<String, i64>,
    ) -> (HashMap<String, Candidate>, Vec<&'a String>) {
        let cache = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut candidates = HashMap::with_capacity(versions.len());
        let mut missing = Vec::new();
        for (product_id, version) in versions {
            match cache.get(product_id) {
                Some(product) if (product.generation, product.version) == (generation, *version) => {
                    candidates.insert(product_id.clone(), product.candidate.clone());
                }
                _ => missing.push(product_id),
            }
        }
        (candidates, missing)
    }
}

fn product(row: &PgRow) -> Product {
    let further: BTreeMap<String, String> =
        row.get::<Option<&str>, _>("further").and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let facets = row.get::<Option<&str>, _>("facets").and_then(|text| serde_json::from_str(text).ok());
    let mut text = row.get::<Option<String>, _>("description").unwrap_or_default();
    for value in further.values() {
        text.push(' ');
        text.push_str(value);
    }
    let amount: Option<i64> = row.get("price_minor");
    Product {
        title: row.get("title"),
        text,
        category: row.get("category"),
        brand: row.get("brand"),
        price: amount.zip(row.get::<Option<String>, _>("currency")),
        stock: row.get("stock"),
        facets: facets.unwrap_or_default(),
    }
}
