//! Reads projections consistently: live generations, their rows, published values and search indexes.
//!
//! A request takes the map of generations once ([`Reader::live`], or [`Reader::named`] for those it names itself) and
//! reads no other generation. A published value counts only if it carries the map's promotion; otherwise, and always
//! for a named generation, the same view is evaluated over the rows.

mod generations;
mod published;
mod search;

use std::collections::BTreeMap;

use elasticsearch::Elasticsearch;
use elasticsearch::http::transport::Transport;
use jangbogo_fold::View;
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::database;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_store::Rows;
use jangbogo_store::published::PublishedValue;
use serde_json::Value;
use sqlx::postgres::PgPool;

use self::published::{Lookup, PublishedViews};

pub use self::generations::{AsOfError, GenerationId, Generations, InvalidGenerationId, Served};
pub use self::published::RedisUnavailable;
pub use self::search::{Hits, SearchError};

jangbogo_telemetry::metrics! {
    /// Metrics of a reader.
    pub struct ReadMetrics {
        /// Reads of published views by source: redis, or postgres with the reason why the value was not in redis
        view_reads_total: prometheus::IntCounterVec, labels ["view", "source"];
    }
}

/// Invalid settings of a reader.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    #[error("invalid postgres URL")]
    Postgres(#[source] sqlx::Error),
    #[error("invalid redis URL")]
    Redis(#[source] redis::RedisError),
    #[error("invalid elasticsearch URL")]
    Elasticsearch(#[source] elasticsearch::Error),
}

/// Failure to read projections.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Postgres is unavailable or refuses the query.
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    /// The processor has no live generation yet.
    #[error("{0} has no live generation yet: start that processor")]
    NotLive(&'static str),
    /// The named generations cannot be read.
    #[error(transparent)]
    AsOf(#[from] AsOfError),
}

impl ReadError {
    /// True if a retry may succeed: Postgres is unavailable, or there is no live generation yet.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) => database::is_unavailable(error),
            Self::NotLive(_) => true,
            Self::AsOf(_) => false,
        }
    }
}

/// A key of a view.
#[derive(Clone, Copy, Debug)]
pub struct ViewKey<'a> {
    pub view: &'static View,
    pub key: &'a str,
}

/// Reads rows and published values of processors. One per process: it holds connection pools and a circuit breaker.
#[derive(Debug)]
pub struct Reader {
    connections: Connections,
    postgres: PgPool,
    published: PublishedViews,
    search: Elasticsearch,
    metrics: ReadMetrics,
}

impl Reader {
    /// Creates a reader that connects on first use.
    ///
    /// # Errors
    /// When a URL is invalid.
    pub fn new(
        connections: &Connections,
        application: &str,
        postgres_connections: u32,
        metrics: ReadMetrics,
    ) -> Result<Self, ReaderError> {
        let redis = connections.redis_pool(RedisDatabase::Views).map_err(ReaderError::Redis)?;
        Ok(Self {
            connections: connections.clone(),
            postgres: database::pool(connections, application, postgres_connections).map_err(ReaderError::Postgres)?,
            published: PublishedViews::new(redis, connections.namespace.clone()),
            search: Transport::single_node(&connections.elasticsearch)
                .map(Elasticsearch::new)
                .map_err(ReaderError::Elasticsearch)?,
            metrics,
        })
    }

    /// Search settings of vector indexes.
    #[must_use]
    pub fn vector_index(&self) -> VectorIndex {
        self.connections.vector_index
    }

    /// The live generation of each processor, in one snapshot.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn live(&self) -> Result<Generations, ReadError> {
        Generations::live(&self.postgres).await
    }

    /// The named generations and no others: as of a time in the past, frozen by a cut-over, or live. Only their rows
    /// are read.
    ///
    /// # Errors
    /// When one is unknown or not complete, two are of one processor, or the Postgres query fails.
    pub async fn named(&self, ids: &[GenerationId]) -> Result<Generations, ReadError> {
        Generations::named(&self.postgres, ids).await
    }

    /// Opens a snapshot of a generation's rows.
    ///
    /// # Errors
    /// When the Postgres query fails.
    pub async fn rows(&self, served: &Served) -> Result<Rows, ReadError> {
        Ok(Rows::begin(&self.postgres, &served.generation).await?)
    }

    /// The value of a view's key; none for a key without rows.
    ///
    /// # Errors
    /// When a value is not in Redis and the Postgres query fails. An unavailable Redis is no error.
    pub async fn view(&self, served: &Served, view: &'static View, key: &str) -> Result<Option<Value>, ReadError> {
        Ok(self.views(served, &[ViewKey { view, key }]).await?.pop().flatten())
    }

    /// Values of keys of a processor's views, in their order: from Redis in one round trip, the missing ones from
    /// Postgres in one snapshot.
    ///
    /// # Errors
    /// When a value is not in Redis and the Postgres query fails. An unavailable Redis is no error.
    pub async fn views(&self, served: &Served, keys: &[ViewKey<'_>]) -> Result<Vec<Option<Value>>, ReadError> {
        let (mut values, missing) = self.published(served, keys).await;
        if missing.is_empty() {
            return Ok(values);
        }
        self.evaluate(&mut self.rows(served).await?, keys, missing, &mut values).await?;
        Ok(values)
    }

    /// As [`Self::views`], with the missing values evaluated in an open snapshot.
    ///
    /// # Errors
    /// When a value is not in Redis and the Postgres query fails. An unavailable Redis is no error.
    pub async fn views_or_rows(
        &self,
        served: &Served,
        rows: &mut Rows,
        keys: &[ViewKey<'_>],
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let (mut values, missing) = self.published(served, keys).await;
        self.evaluate(rows, keys, missing, &mut values).await?;
        Ok(values)
    }

    /// Published values, and the positions of those that are missing.
    async fn published(&self, served: &Served, keys: &[ViewKey<'_>]) -> (Vec<Option<Value>>, Vec<usize>) {
        let lookups = match served.promotion {
            Some(promotion) => self.published.read(promotion, keys).await,
            None => vec![Lookup::NamedGeneration; keys.len()],
        };
        let mut values = Vec::with_capacity(keys.len());
        let mut missing: Vec<usize> = Vec::new();
        for (position, (ViewKey { view, .. }, lookup)) in keys.iter().zip(lookups).enumerate() {
            if let Some(source) = lookup.source() {
                self.metrics.view_reads_total.with_label_values(&[view.name, source]).inc();
            }
            if let Lookup::Redis(PublishedValue::Value(value)) = lookup {
                values.push(value);
            } else {
                missing.push(position);
                values.push(None);
            }
        }
        (values, missing)
    }

    /// Evaluates missing values over the rows.
    async fn evaluate(
        &self,
        rows: &mut Rows,
        keys: &[ViewKey<'_>],
        missing: Vec<usize>,
        values: &mut [Option<Value>],
    ) -> Result<(), ReadError> {
        let mut by_view: BTreeMap<&str, (&'static View, Vec<usize>)> = BTreeMap::new();
        for position in missing {
            let view = keys[position].view;
            by_view.entry(view.name).or_insert_with(|| (view, Vec::new())).1.push(position);
        }
        for (view, positions) in by_view.into_values() {
            let view_keys: Vec<String> = positions.iter().map(|position| keys[*position].key.to_owned()).collect();
            for (position, value) in positions.into_iter().zip(rows.view(view, &view_keys).await?) {
                values[position] = value;
            }
        }
        Ok(())
    }

    #[must_use]
    pub fn search(&self) -> &Elasticsearch {
        &self.search
    }

    #[must_use]
    pub fn postgres(&self) -> &PgPool {
        &self.postgres
    }

    /// A cached text in Redis; none if it is absent or Redis is unavailable.
    pub async fn cached(&self, key: &str) -> Option<String> {
        self.published.get(key).await
    }

    /// Caches a text in Redis for a time to live. Without effect while Redis is unavailable.
    pub async fn cache(&self, key: &str, text: &str, ttl: std::time::Duration) {
        self.published.put(key, text, ttl).await;
    }

    /// Health check of Redis, in any state of the circuit breaker.
    ///
    /// # Errors
    /// When Redis is unavailable.
    pub async fn ping_redis(&self) -> Result<(), RedisUnavailable> {
        self.published.ping().await
    }
}
