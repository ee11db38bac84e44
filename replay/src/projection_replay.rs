//! The replay of one projection: which phases `rebuild`, `verify`, `at`, `promote` and `rollback` run.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use jangbogo_publish::{Audit, audit};
use jangbogo_read::GenerationId;
use jangbogo_store::{Generation, Live, State, Stored, drop_generation, set_state, thaw};
use sqlx::PgConnection;

use crate::await_vectors::await_vectors;
use crate::catch_up::CatchUp;
use crate::compare::Difference;
use crate::context::Context;
use crate::cut_over::{CutOver, Indexing, is_indexed};
use crate::error::ReplayError;
use crate::hydrate::Hydrate;
use crate::open::Open;
use crate::throttle::Throttle;
use crate::verify::Verify;

/// Options for the end of a rebuild.
#[derive(Clone, Copy, Debug)]
pub struct CutOverOptions {
    /// Compares the new generation with the live one first.
    pub verify: bool,
    pub promote: bool,
}

/// Result of comparing what is served with the log.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Rows of the live generation that differ from a fresh fold.
    pub rows: Vec<Difference>,
    /// Published values that differ from the live rows.
    pub published: Audit,
}

impl Verified {
    pub fn is_equal(&self) -> bool {
        self.rows.is_empty() && self.published.differing == 0 && self.published.unsettled == 0
    }
}

pub struct ProjectionReplay {
    pub context: Context,
    throttle: Throttle,
    /// Number of concurrent bulk folds.
    parallelism: usize,
    /// Names of the processors that the same command replays.
    together: Vec<String>,
}

impl ProjectionReplay {
    pub fn new(
        connections: &Connections,
        processor: &'static Processor,
        progress: Progress,
        parallelism: usize,
        max_rate: Option<f64>,
        together: Vec<String>,
    ) -> Result<Self, ReplayError> {
        let context = Context::new(connections, processor, progress, parallelism)?;
        Ok(Self { context, throttle: Throttle::new(max_rate), parallelism, together })
    }

    /// True if an interrupted command for the same processors has begun this projection's rebuild.
    pub async fn is_begun(&self) -> Result<bool, ReplayError> {
        Ok(self.context.unpromoted().await?.is_some_and(|stored| stored.together == self.together))
    }

    /// Folds the log into a generation beside the live one, compares the two, and cuts over. Resumes what an earlier
    /// call has begun.
    pub async fn rebuild(&self, options: CutOverOptions) -> Result<(), ReplayError> {
        let context = &self.context;
        let mut connection = context.connect().await?;
        let stored = self.open_and_hydrate(&mut connection, None, &context.config).await?;
        let generation = &stored.generation;
        let indexing = Indexing::start(context, generation)?;
        let catch_up = self.catch_up(generation);
        catch_up.run().await?;
        await_vectors(catch_up).await?;
        if options.verify {
            Verify { catch_up }.run().await?;
        }
        if !options.promote {
            context.progress.begin("publishing", 0);
            while !is_indexed(context, generation, Duration::from_mins(1)).await? {}
            set_state(&mut connection, generation, State::Ready).await?;
            let (name, id) = (context.processor.name, generation.short_id());
            context
                .progress
                .finish("ready", &format!("generation {id} is complete; `replay promote {name}` serves it"));
            return Ok(());
        }
        self.cut_over(catch_up, indexing).await
    }

    /// Compares the live generation with a fresh fold, which is kept if they differ, and the published values with the
    /// live generation.
    pub async fn verify(&self) -> Result<Verified, ReplayError> {
        let context = &self.context;
        let name = context.processor.name;
        let live =
            context.live().await?.ok_or_else(|| ReplayError::Refused(format!("{name} has no live generation")))?;
        let live = live.folded_by(&context.fold_version()).map_err(|error| ReplayError::Refused(error.to_string()))?;
        let mut connection = context.connect().await?;
        let config = self.config_like(Some(&live));
        let Stored { generation, .. } = self.open_and_hydrate(&mut connection, None, &config).await?;
        let rows = Verify { catch_up: self.catch_up(&generation) }.compare(&live).await?;
        if rows.is_empty() {
            drop_generation(&mut connection, &generation).await?;
        } else {
            set_state(&mut connection, &generation, State::Ready).await?;
        }
        context.progress.begin("auditing", 0);
        let on_progress = |checked| context.progress.set_position(checked);
        let published = audit(&context.connections, &context.pool, context.processor, &live, on_progress).await?;
        Ok(Verified { rows, published })
    }

    /// Folds the events up to a time into a generation of its own and returns it.
    pub async fn at(&self, time: DateTime<Utc>) -> Result<Generation, ReplayError> {
        let mut connection = self.context.connect().await?;
        let live = self.context.live().await?;
        let stored = self.open_and_hydrate(&mut connection, Some(time), &self.config_like(live.as_ref())).await?;
        set_state(&mut connection, &stored.generation, State::Ready).await?;
        Ok(stored.generation)
    }

    /// Serves a complete generation; without an id, the newest unpromoted one.
    pub async fn promote(&self, id: Option<&GenerationId>) -> Result<(), ReplayError> {
        let context = &self.context;
        let name = context.processor.name;
        let stored = match id {
            Some(id) => context.find(id).await?,
            None => context.unpromoted().await?.ok_or_else(|| {
                ReplayError::Refused(format!("{name} has no generation to promote: `replay rebuild {name}` makes one"))
            })?,
        };
        self.serve(&stored.generation, true).await
    }

    /// Serves an earlier generation after it has caught up; without an id, the one that was live before.
    pub async fn rollback(&self, id: Option<&GenerationId>) -> Result<(), ReplayError> {
        let context = &self.context;
        let stored = if let Some(id) = id {
            context.find(id).await?
        } else {
            let frozen = context.generations().await?.into_iter().filter(|stored| stored.state == State::Frozen);
            frozen.max_by_key(|stored| stored.frozen_at).ok_or_else(|| {
                ReplayError::Refused(format!("{} has no earlier generation to roll back to", context.processor.name))
            })?
        };
        self.serve(&stored.generation, false).await
    }

    async fn serve(&self, generation: &Generation, with_vectors: bool) -> Result<(), ReplayError> {
        let context = &self.context;
        let mut connection = context.connect().await?;
        let stored = context.lock(&mut connection, generation).await?;
        self.check_promotable(&stored)?;
        context.log_bounds().await?;
        if stored.state == State::Frozen {
            thaw(&mut connection, generation).await?;
        }
        let indexing = Indexing::start(context, generation)?;
        let catch_up = self.catch_up(generation);
        if with_vectors {
            catch_up.run().await?;
            await_vectors(catch_up).await?;
        }
        self.cut_over(catch_up, indexing).await
    }

    fn check_promotable(&self, stored: &Stored) -> Result<(), ReplayError> {
        let Stored { generation, state, as_of, .. } = stored;
        let (name, id, fold_version) =
            (self.context.processor.name, generation.short_id(), self.context.fold_version());
        if let Some(time) = as_of {
            return Err(ReplayError::Refused(format!(
                "generation {id} is of {time} and never goes live; `?as_of={}` reads it",
                generation.id
            )));
        }
        match state {
            State::Live => Err(ReplayError::Refused(format!("generation {id} of {name} is live already"))),
            State::Hydrating => Err(ReplayError::Refused(format!(
                "generation {id} is not complete: `replay rebuild {name}` resumes it"
            ))),
            _ if generation.fold_version != fold_version => Err(ReplayError::Refused(format!(
                "generation {id} was folded by version {}, this program has {fold_version}: run the program that folded it, \
                 which catches it up",
                generation.fold_version
            ))),
            State::CatchingUp | State::Ready | State::Frozen => Ok(()),
        }
    }

    async fn open_and_hydrate(
        &self,
        connection: &mut PgConnection,
        as_of: Option<DateTime<Utc>>,
        config: &FoldConfig,
    ) -> Result<Stored, ReplayError> {
        let Self { context, throttle, parallelism, together } = self;
        let stored = Open { context, config, as_of, together }.run(connection).await?;
        if stored.state == State::Hydrating {
            Hydrate { context, throttle, stored: &stored, parallelism: *parallelism }.run(connection).await?;
        }
        Ok(stored)
    }

    fn catch_up<'a>(&'a self, generation: &'a Generation) -> CatchUp<'a> {
        CatchUp { context: &self.context, throttle: &self.throttle, generation }
    }

    async fn cut_over(&self, catch_up: CatchUp<'_>, indexing: Option<Indexing>) -> Result<(), ReplayError> {
        let live = CutOver { catch_up, indexing }.run().await?;
        self.context.progress.finish("live", &format!("generation {} is live", live.generation.short_id()));
        Ok(())
    }

    /// The fold configuration with the live generation's embedding model, for comparisons with it.
    fn config_like(&self, live: Option<&Live>) -> FoldConfig {
        let embedding_model = live.and_then(|live| live.generation.embedding_model.clone());
        FoldConfig { embedding_model, ..self.context.config.clone() }
    }
}
