//! Reading projections correctly: which generation is live, its rows, and the values published from it.
//!
//! A request takes the map of generations once ([`Reader::live`], or [`Reader::named`] for those it asks for itself) and
//! reads nothing of any other generation. A published value counts only if it carries the map's promotion; otherwise,
//! and always for a generation that was named, the same view is evaluated over the rows.

mod generations;
mod published;
mod search;

use std::collections::BTreeMap;

use elasticsearch::Elasticsearch;
use jangbogo_fold::View;
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::database;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_publish as publisher;
use jangbogo_store::Rows;
use serde_json::Value;
use sqlx::postgres::PgPool;

use self::published::{Found, PublishedViews};

pub use self::generations::{AsOfError, GenerationId, Generations, InvalidGenerationId, Served};
pub use self::search::{Hits, SearchError};

jangbogo_telemetry::metrics! {
    /// What a reader counts.
    pub struct ReadMetrics {
        /// Values of published views by where they were read: redis, or postgres because redis was away, had none, had one of another promotion, or rows were asked for
        view_reads_total: prometheus::IntCounterVec, labels ["view", "source"];
    }
}

/// The settings of a reader cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ReaderError {
    /// Postgres' address.
    #[error("the address of postgres cannot be read")]
    Postgres(#[source] sqlx::Error),
    /// Redis' address.
    #[error("the address of redis cannot be read")]
    Redis(#[source] redis::RedisError),
    /// Elasticsearch's address.
    #[error("the address of elasticsearch cannot be read")]
    Elasticsearch(#[source] elasticsearch::Error),
}

/// Why something could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Postgres is away or refuses.
    #[error("postgres does not answer as it should")]
    Postgres(#[from] sqlx::Error),
    /// Nothing was ever folded by this processor.
    #[error("there are no projections of {0} yet: start that processor")]
    NotLive(&'static str),
    /// The generations that were named cannot answer.
    #[error(transparent)]
    AsOf(#[from] AsOfError),
}

impl ReadError {
    /// Whether trying again later may help: a server is away, or nothing is folded yet.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Postgres(error) => database::is_unavailable(error),
            Self::NotLive(_) => true,
            Self::AsOf(_) => false,
        }
    }
}

/// A value that is asked for: which view, and which of its keys.
#[derive(Clone, Copy, Debug)]
pub struct ViewKey<'a> {
    /// One of the processor's views.
    pub view: &'static View,
    /// The key.
    pub key: &'a str,
}

/// Reads what processors folded and published. Made once a process.
#[derive(Debug)]
pub struct Reader {
    connections: Connections,
    postgres: PgPool,
    published: PublishedViews,
    search: Elasticsearch,
    metrics: ReadMetrics,
}

impl Reader {
    /// A reader that connects when it is first used.
    ///
    /// # Errors
    /// When an address cannot be read.
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
            search: publisher::search_client(connections).map_err(ReaderError::Elasticsearch)?,
            metrics,
        })
    }

    /// How widely indexes of vectors are searched.
    #[must_use]
    pub fn vector_index(&self) -> VectorIndex {
        self.connections.vector_index
    }

    /// Which generations are live, in one snapshot.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn live(&self) -> Result<Generations, ReadError> {
        Generations::live(&self.postgres).await
    }

    /// These generations and no others: of a moment in the past, kept after a cut-over, or live. Nothing but their rows
    /// is read.
    ///
    /// # Errors
    /// When one is unknown, is not complete, or two are of one processor; or Postgres is away.
    pub async fn named(&self, ids: &[GenerationId]) -> Result<Generations, ReadError> {
        Generations::named(&self.postgres, ids).await
    }

    /// One snapshot of a generation's rows.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn rows(&self, served: &Served) -> Result<Rows, ReadError> {
        Ok(Rows::begin(&self.postgres, &served.generation).await?)
    }

    /// The value of one key of a view; none for a key without rows.
    ///
    /// # Errors
    /// When Postgres is needed and away. Redis being away is no error.
    pub async fn view(&self, served: &Served, view: &'static View, key: &str) -> Result<Option<Value>, ReadError> {
        Ok(self.views(served, &[ViewKey { view, key }]).await?.pop().flatten())
    }

    /// The values of keys of a processor's views, in their order: from Redis in one round trip, what it lacks from
    /// Postgres in one snapshot.
    ///
    /// # Errors
    /// When Postgres is needed and away. Redis being away is no error.
    pub async fn views(&self, served: &Served, wanted: &[ViewKey<'_>]) -> Result<Vec<Option<Value>>, ReadError> {
        let (mut values, missing) = self.published(served, wanted).await;
        if missing.is_empty() {
            return Ok(values);
        }
        self.evaluate(&mut self.rows(served).await?, wanted, missing, &mut values).await?;
        Ok(values)
    }

    /// As [`Self::views`], with what Redis lacks evaluated in a snapshot that is open already.
    ///
    /// # Errors
    /// When Postgres is needed and away. Redis being away is no error.
    pub async fn views_or_rows(
        &self,
        served: &Served,
        rows: &mut Rows,
        wanted: &[ViewKey<'_>],
    ) -> Result<Vec<Option<Value>>, ReadError> {
        let (mut values, missing) = self.published(served, wanted).await;
        self.evaluate(rows, wanted, missing, &mut values).await?;
        Ok(values)
    }

    /// The published values, and the places of those that are missing.
    async fn published(&self, served: &Served, wanted: &[ViewKey<'_>]) -> (Vec<Option<Value>>, Vec<usize>) {
        let found = match served.promotion {
            Some(promotion) => self.published.read(promotion, wanted).await,
            None => vec![Found::RowsAsked; wanted.len()],
        };
        let mut values = Vec::with_capacity(wanted.len());
        let mut missing: Vec<usize> = Vec::new();
        for (position, (ViewKey { view, .. }, found)) in wanted.iter().zip(found).enumerate() {
            if let Some(source) = found.source() {
                self.metrics.view_reads_total.with_label_values(&[view.name, source]).inc();
            }
            match found {
                Found::Value(value) => values.push(value),
                Found::NotPublished
                | Found::RowsAsked
                | Found::Unavailable
                | Found::Missing
                | Found::OtherPromotion => {
                    missing.push(position);
                    values.push(None);
                }
            }
        }
        (values, missing)
    }

    /// Evaluates what is missing over the rows.
    async fn evaluate(
        &self,
        rows: &mut Rows,
        wanted: &[ViewKey<'_>],
        missing: Vec<usize>,
        values: &mut [Option<Value>],
    ) -> Result<(), ReadError> {
        let mut by_view: BTreeMap<&str, (&'static View, Vec<usize>)> = BTreeMap::new();
        for position in missing {
            let view = wanted[position].view;
            by_view.entry(view.name).or_insert_with(|| (view, Vec::new())).1.push(position);
        }
        for (view, positions) in by_view.into_values() {
            let keys: Vec<String> = positions.iter().map(|position| wanted[*position].key.to_owned()).collect();
            for (position, value) in positions.into_iter().zip(rows.view(view, &keys).await?) {
                values[position] = value;
            }
        }
        Ok(())
    }

    /// The search client.
    #[must_use]
    pub fn search(&self) -> &Elasticsearch {
        &self.search
    }

    /// The pool, for the permanent tables.
    #[must_use]
    pub fn postgres(&self) -> &PgPool {
        &self.postgres
    }

    /// A cached text in Redis; none as well when Redis is away.
    pub async fn cached(&self, key: &str) -> Option<String> {
        self.published.get(key).await
    }

    /// Caches a text in Redis for so long; not at all when Redis is away.
    pub async fn cache(&self, key: &str, text: &str, keep: std::time::Duration) {
        self.published.put(key, text, keep).await;
    }

    /// Asks Redis whether it is there, whatever became of earlier requests.
    ///
    /// # Errors
    /// What it, or the attempt to reach it, says.
    pub async fn ping_redis(&self) -> Result<(), jangbogo_publish::PublishError> {
        self.published.ping().await
    }
}
