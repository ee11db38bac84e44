//! A read-only snapshot of a generation's rows.

use chrono::{DateTime, Utc};
use jangbogo_fold::View;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Transaction};

use crate::Generation;
use crate::view::{evaluate, now};

/// A read-only transaction in which unqualified names resolve to a generation's tables.
#[derive(Debug)]
pub struct Rows {
    transaction: Transaction<'static, Postgres>,
    generation: Generation,
    /// The watermark as views see it, cached on first use.
    now: Option<DateTime<Utc>>,
}

impl Rows {
    /// Begins the transaction that reads the snapshot.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn begin(pool: &PgPool, generation: &Generation) -> Result<Self, sqlx::Error> {
        let mut begin = generation.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY");
        // Views' statements are long and run for one or a few keys: planning takes longer than execution.
        begin.push_str("; SET LOCAL plan_cache_mode = force_generic_plan");
        let transaction = pool.begin_with(begin).await?;
        Ok(Self { transaction, generation: generation.clone(), now: None })
    }

    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// The transaction's connection, for other queries.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// Values of a view's keys, in their order, as the publisher would publish them.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn view(&mut self, view: &View, keys: &[String]) -> Result<Vec<Option<Value>>, sqlx::Error> {
        let now = match self.now {
            Some(now) => now,
            None => *self.now.insert(now(&mut self.transaction, &self.generation).await?.unwrap_or_default()),
        };
        let entries = evaluate(&mut self.transaction, view, keys, Some(now)).await?;
        Ok(entries.into_iter().map(|entry| entry.value).collect())
    }
}
