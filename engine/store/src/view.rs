//! Evaluates views over a generation's committed rows.

use std::collections::BTreeMap;

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};
use jangbogo_fold::{Target, View};
use sqlx::{PgConnection, Row as _};

use crate::{Generation, watermark};

/// Step in which the "now" of global views advances.
const TICK: TimeDelta = TimeDelta::hours(1);

/// A key of a view, and its value; none for a key without rows, which is published as a tombstone.
#[derive(Clone, Debug)]
pub struct Entry {
    pub key: String,
    pub value: Option<serde_json::Value>,
}

/// The generation's watermark, floored to an hour, as global views see it; none before the first event.
///
/// # Errors
/// When the Postgres query fails.
pub async fn now(connection: &mut PgConnection, generation: &Generation) -> Result<Option<DateTime<Utc>>, sqlx::Error> {
    let watermark = watermark(connection, generation).await?;
    Ok(watermark.map(|watermark| watermark.duration_trunc(TICK).unwrap_or(watermark)))
}

/// The values of a view's keys at a watermark, in the order of the keys.
///
/// # Errors
/// When the Postgres query fails.
pub async fn evaluate(
    connection: &mut PgConnection,
    view: &View,
    keys: &[String],
    now: Option<DateTime<Utc>>,
) -> Result<Vec<Entry>, sqlx::Error> {
    if view.target == Target::RedisEviction {
        return Ok(keys.iter().map(|key| Entry { key: key.clone(), value: None }).collect());
    }
    let rows = sqlx::query(view.query).bind(keys).bind(now.unwrap_or_default()).fetch_all(connection).await?;
    let mut values: BTreeMap<String, serde_json::Value> =
        rows.iter().map(|row| (row.get("key"), row.get("value"))).collect();
    Ok(keys.iter().map(|key| Entry { key: key.clone(), value: values.remove(key) }).collect())
}
