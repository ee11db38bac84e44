//! The shop's vocabulary, learnt from the catalogue's rows, and learnt again when they change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use jangbogo_events::Currency;
use jangbogo_nlu::{ProductText, Vocabulary};
use jangbogo_react::Failure;
use sqlx::{PgConnection, Row as _};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Interval between checks whether the catalogue has changed.
const CHECK_INTERVAL: Duration = Duration::from_secs(5);
/// Currency of a shop that has no prices yet.
const DEFAULT_CURRENCY: &str = "GBP";

/// Vocabulary learnt from the catalogue.
#[derive(Clone)]
pub(super) struct Learnt {
    pub(super) vocabulary: Arc<Vocabulary>,
    /// The currency of most prices.
    pub(super) currency: Currency,
    stamp: Stamp,
}

/// State of the catalogue that a vocabulary was learnt from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    generation: Uuid,
    products: i64,
    changed_at: Option<DateTime<Utc>>,
}

/// The newest vocabulary, with the time of the last check.
#[derive(Default)]
pub(super) struct VocabularyCache(Mutex<Option<(Learnt, Instant)>>);

impl VocabularyCache {
    /// The vocabulary of the generation's catalogue, at most [`CHECK_INTERVAL`] old.
    pub(super) async fn current(&self, generation: Uuid, connection: &mut PgConnection) -> Result<Learnt, Failure> {
        // Concurrent callers wait while it is learnt: no message can be analysed without it.
        let mut newest = self.0.lock().await;
        if let Some((learnt, checked_at)) = newest.as_ref()
            && learnt.stamp.generation == generation
            && checked_at.elapsed() < CHECK_INTERVAL
        {
            return Ok(learnt.clone());
        }
        let stamp = stamp(generation, connection).await?;
        let learnt = match newest.take() {
            Some((learnt, _)) if learnt.stamp == stamp => learnt,
            _ => learn(stamp, connection).await?,
        };
        *newest = Some((learnt.clone(), Instant::now()));
        Ok(learnt)
    }
}

async fn stamp(generation: Uuid, connection: &mut PgConnection) -> Result<Stamp, sqlx::Error> {
    let row = sqlx::query(
        "SELECT count(*) AS products, greatest(max(attributes_at), max(sale_at)) AS changed_at FROM product",
    )
    .fetch_one(connection)
    .await?;
    Ok(Stamp { generation, products: row.get("products"), changed_at: row.get("changed_at") })
}

async fn learn(stamp: Stamp, connection: &mut PgConnection) -> Result<Learnt, Failure> {
    let rows = sqlx::query(
        "SELECT product_id, title, description, category, brand, further, currency FROM product
         WHERE title IS NOT NULL AND NOT coalesce(retired, false) ORDER BY product_id",
    )
    .fetch_all(connection)
    .await?;
    let learnt = tokio::task::spawn_blocking(move || {
        let mut currencies: BTreeMap<&str, usize> = BTreeMap::new();
        for currency in rows.iter().filter_map(|row| row.get::<Option<&str>, _>("currency")) {
            *currencies.entry(currency).or_default() += 1;
        }
        let most_frequent =
            currencies.into_iter().max_by_key(|(_, count)| *count).map_or(DEFAULT_CURRENCY, |(currency, _)| currency);
        let currency = Currency::new(most_frequent)?;
        let attributes: Vec<BTreeMap<String, String>> = rows
            .iter()
            .map(|row| row.get::<Option<&str>, _>("further").and_then(|text| serde_json::from_str(text).ok()))
            .map(Option::unwrap_or_default)
            .collect();
        let products = rows.iter().zip(&attributes).map(|(row, attributes)| ProductText {
            product_id: row.get("product_id"),
            title: row.get("title"),
            description: row.get("description"),
            category: row.get("category"),
            brand: row.get("brand"),
            attributes: attributes.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect(),
        });
        let vocabulary = Arc::new(Vocabulary::learn(products));
        Ok::<_, jangbogo_events::InvalidValue>(Learnt { vocabulary, currency, stamp })
    });
    Ok(learnt.await??)
}
