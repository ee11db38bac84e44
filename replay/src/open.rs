//! Opens the generation to fold: resumes an unfinished one of the same code, or creates a new one.

use chrono::{DateTime, Utc};
use jangbogo_fold::FoldConfig;
use jangbogo_log::Offsets;
use jangbogo_log::reader::Bounds;
use jangbogo_store::{BulkPlan, State, Stored, create_in_bulk, drop_generation, is_bulk_intact};
use sqlx::PgConnection;

use crate::context::{Context, is_unpromoted};
use crate::error::ReplayError;

pub struct Open<'a> {
    pub context: &'a Context,
    pub config: &'a FoldConfig,
    /// Folds only events up to this time, for reads of the past.
    pub as_of: Option<DateTime<Utc>>,
    /// Names of the processors that the same command replays.
    pub together: &'a [String],
}

impl Open<'_> {
    /// The generation stays locked against other replays for as long as the connection lives.
    pub async fn run(&self, connection: &mut PgConnection) -> Result<Stored, ReplayError> {
        // Of two replays that start at once the second one finds the first one's generation.
        let name = format!("replay {}", self.context.processor.name);
        let (lock, unlock) =
            ("SELECT pg_advisory_lock(hashtextextended($1, 0))", "SELECT pg_advisory_unlock(hashtextextended($1, 0))");
        sqlx::query(lock).bind(&name).execute(&mut *connection).await?;
        let opened = self.resume_or_create(connection).await;
        sqlx::query(unlock).bind(&name).execute(&mut *connection).await?;
        opened
    }

    async fn resume_or_create(&self, connection: &mut PgConnection) -> Result<Stored, ReplayError> {
        let Self { context, config, as_of, together } = *self;
        let bounds = context.log_bounds().await?;
        if let Some(unfinished) = self.unfinished().await?
            && let Some(stored) = self.resume(connection, &unfinished).await?
        {
            return Ok(stored);
        }
        let captured: Offsets = bounds.iter().map(|(partition, Bounds { end, .. })| (*partition, *end)).collect();
        let plan = BulkPlan { captured: &captured, as_of, together };
        let generation = create_in_bulk(connection, context.processor, config, plan).await?;
        context.lock(connection, &generation).await
    }

    async fn unfinished(&self) -> Result<Option<Stored>, ReplayError> {
        if self.as_of.is_none() {
            return self.context.unpromoted().await;
        }
        let is_same = |stored: &Stored| stored.as_of == self.as_of && stored.state == State::Hydrating;
        Ok(self.context.generations().await?.into_iter().rfind(is_same))
    }

    /// None if the staging tables were lost: then the generation is dropped.
    async fn resume(&self, connection: &mut PgConnection, unfinished: &Stored) -> Result<Option<Stored>, ReplayError> {
        let context = self.context;
        let stored = context.lock(connection, &unfinished.generation).await?;
        self.check_resumable(&stored)?;
        let generation = &stored.generation;
        if stored.state != State::Hydrating || is_bulk_intact(connection, generation).await? {
            context.progress.println(&format!(
                "resuming generation {}, which is {}",
                generation.short_id(),
                stored.state
            ));
            return Ok(Some(stored));
        }
        context.progress.println(&ReplayError::StagingLost.to_string());
        drop_generation(connection, generation).await?;
        Ok(None)
    }

    fn check_resumable(&self, stored: &Stored) -> Result<(), ReplayError> {
        let (generation, processor) = (&stored.generation, self.context.processor);
        let (id, name, fold_version) = (generation.short_id(), processor.name, self.context.fold_version());
        if !is_unpromoted(stored) {
            return Err(ReplayError::Refused(format!("another replay has just finished generation {id}")));
        }
        if generation.fold_version != fold_version {
            return Err(ReplayError::Refused(format!(
                "generation {id} of {name} was begun by fold version {}, this program has {fold_version}: resume with the \
                 program that began it, or remove it: `replay drop {name} {id}`",
                generation.fold_version
            )));
        }
        let (actual, requested) = (&generation.embedding_model, &self.config.embedding_model);
        if processor.has_vectors() && requested.is_some() && actual != requested {
            return Err(ReplayError::Refused(format!(
                "generation {id} of {name} was begun with vectors of {}, not of {}: resume with that model, or remove it: \
                 `replay drop {name} {id}`",
                actual.as_deref().unwrap_or("any model"),
                requested.as_deref().unwrap_or_default()
            )));
        }
        Ok(())
    }
}
