//! Products as they were read before: to read hundreds anew for each list, and take them apart, takes longer than all else.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use jangbogo_ranking::{Candidate, Product};
use jangbogo_store::Rows;
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// So many are remembered, at about 2 kB each.
const REMEMBERED: usize = 20_000;

/// Products in their newest versions that anybody needed.
#[derive(Debug, Default)]
pub struct Products(Mutex<HashMap<String, Remembered>>);

#[derive(Debug)]
struct Remembered {
    generation: Uuid,
    version: i64,
    candidate: Candidate,
}

impl Products {
    /// The products of these ids and versions, which a snapshot has, as candidates of which nothing more is known.
    ///
    /// A version is the transaction that wrote the row last.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn in_versions(
        &self,
        rows: &mut Rows,
        wanted: &BTreeMap<String, i64>,
    ) -> Result<HashMap<String, Candidate>, sqlx::Error> {
        let generation = rows.generation().id;
        let (mut found, changed) = self.known(generation, wanted);
        if changed.is_empty() {
            return Ok(found);
        }
        let read = sqlx::query(
            "SELECT product_id, title, description, category, brand, price_minor, currency, stock, further, facets
             FROM product WHERE product_id = ANY ($1) AND title IS NOT NULL",
        )
        .bind(changed)
        .fetch_all(rows.connection())
        .await?;
        let read = read.iter().map(|row| (row.get::<String, _>("product_id"), Candidate::new(product(row))));
        let read: Vec<(String, Candidate)> = read.collect();
        let mut remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() + read.len() > REMEMBERED {
            remembered.clear();
        }
        for (product_id, candidate) in read {
            if let Some(version) = wanted.get(&product_id) {
                let candidate = candidate.clone();
                remembered.insert(product_id.clone(), Remembered { generation, version: *version, candidate });
            }
            found.insert(product_id, candidate);
        }
        Ok(found)
    }

    /// Those that are remembered, and the others' ids.
    fn known<'a>(
        &self,
        generation: Uuid,
        wanted: &'a BTreeMap<String, i64>,
    ) -> (HashMap<String, Candidate>, Vec<&'a String>) {
        let remembered = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = HashMap::with_capacity(wanted.len());
        let mut changed = Vec::new();
        for (product_id, version) in wanted {
            match remembered.get(product_id) {
                Some(known) if (known.generation, known.version) == (generation, *version) => {
                    found.insert(product_id.clone(), known.candidate.clone());
                }
                _ => changed.push(product_id),
            }
        }
        (found, changed)
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
