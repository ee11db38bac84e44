//! One snapshot of one generation's rows.

use chrono::{DateTime, Utc};
use jangbogo_fold::View;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Postgres, Transaction};

use crate::Generation;
use crate::view::{evaluate, now};

/// A read-only transaction in which unqualified names mean a generation's tables.
#[derive(Debug)]
pub struct Rows {
    transaction: Transaction<'static, Postgres>,
    generation: Generation,
    /// The watermark as views see it, once it was needed.
    now: Option<DateTime<Utc>>,
}

impl Rows {
    pub async fn begin(pool: &PgPool, generation: &Generation) -> Result<Self, sqlx::Error> {
        let mut begin = generation.begin("ISOLATION LEVEL REPEATABLE READ READ ONLY");
        // Views' statements are long, and asked for one key or a few: planning one anew takes longer than doing it.
        begin.push_str("; SET LOCAL plan_cache_mode = force_generic_plan");
        let transaction = pool.begin_with(begin).await?;
        Ok(Self { transaction, generation: generation.clone(), now: None })
    }

    /// Whose rows they are.
    #[must_use]
    pub fn generation(&self) -> &Generation {
        &self.generation
    }

    /// For queries of one's own.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.transaction
    }

    /// The values of a view's keys, in their order, as the publisher would publish them.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn view(&mut self, view: &View, keys: &[String]) -> Result<Vec<Option<Value>>, sqlx::Error> {
        let now = match self.now {
            Some(now) => now,
            None => *self.now.insert(now(&mut self.transaction, &self.generation).await?.unwrap_or_default()),
        };
        let entries = evaluate(&mut self.transaction, view, keys, Some(now)).await?;
        Ok(entries.into_iter().map(|entry| entry.value).collect())
    }
}
