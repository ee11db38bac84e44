//! Last phase: fills the search index, publishes ahead, and promotes a caught-up generation (blue-green cut-over).

use std::time::{Duration, Instant};

use jangbogo_fold::{Processor, Target};
use jangbogo_platform::database;
use jangbogo_publish as publisher;
use jangbogo_publish::{PublisherContext, Stores};
use jangbogo_store::{Generation, Live, Promotion, PromotionError, search_backlog};
use jangbogo_telemetry::Telemetry;
use sqlx::error::DatabaseError;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use uuid::Uuid;

use crate::catch_up::CatchUp;
use crate::context::Context;
use crate::error::ReplayError;
use crate::folder::DeadLetters;
use crate::throttle::Priority;

const MAX_ATTEMPTS: usize = 20;
const RETRY_PAUSE: Duration = Duration::from_millis(500);
/// The longest that the live fold is held.
const HOLD_LIMIT: Duration = Duration::from_secs(3);
const INDEX_CHECK_INTERVAL: Duration = Duration::from_millis(50);
const DEADLOCK_DETECTED: &str = "40P01";

/// A publisher that fills the search index of a generation that is not live yet. Stops when it is dropped.
pub struct Indexing {
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    /// The value never changes, but the publisher would end if the sender were dropped.
    _live: watch::Sender<Live>,
}

impl Indexing {
    /// Starts the publisher, if the processor has a search index.
    pub fn start(context: &Context, generation: &Generation) -> Result<Option<Self>, ReplayError> {
        if !has_search_index(context.processor) {
            return Ok(None);
        }
        let refused = |error: &dyn std::error::Error| ReplayError::Refused(format!("metrics: {error}"));
        let telemetry = Telemetry::new().map_err(|error| refused(&error))?;
        // The search index is the generation's own and has no promotions.
        let (sender, live) = watch::channel(Live { generation: generation.clone(), promotion: Uuid::nil() });
        let publisher_context = PublisherContext {
            connections: context.connections.clone(),
            processor: context.processor,
            live,
            stores: Stores::Search,
            pool: context.pool.clone(),
            metrics: telemetry.metrics.processor(context.processor.name).map_err(|error| refused(&error))?,
            redis_check: telemetry.readiness.check("redis"),
            search_check: telemetry.readiness.check("elasticsearch"),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(publisher::run(publisher_context, stop.clone()));
        Ok(Some(Self { stop, task: Some(task), _live: sender }))
    }

    /// Stops the publisher and waits until others can take it over.
    async fn end(mut self) {
        self.stop.cancel();
        if let Some(task) = self.task.take() {
            let _ = task.await;
        }
    }
}

impl Drop for Indexing {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn has_search_index(processor: &Processor) -> bool {
    processor.views().any(|view| matches!(view.target, Target::Elasticsearch { .. }))
}

/// Waits until a generation's search index is complete and refreshed. Returns false on a timeout.
pub async fn is_indexed(context: &Context, generation: &Generation, timeout: Duration) -> Result<bool, ReplayError> {
    if !has_search_index(context.processor) {
        return Ok(true);
    }
    let began = Instant::now();
    loop {
        let backlog = {
            let mut connection = context.pool.acquire().await?;
            search_backlog(&mut connection, generation).await?
        };
        if backlog == 0 {
            publisher::refresh_indexes(&context.connections, context.processor, generation).await?;
            return Ok(true);
        }
        if began.elapsed() > timeout {
            return Ok(false);
        }
        tokio::time::sleep(INDEX_CHECK_INTERVAL).await;
    }
}

/// Replaces the live generation by a caught-up one. The live fold is held for at most [`HOLD_LIMIT`].
pub struct CutOver<'a> {
    pub catch_up: CatchUp<'a>,
    pub indexing: Option<Indexing>,
}

impl CutOver<'_> {
    pub async fn run(self) -> Result<Live, ReplayError> {
        let CatchUp { context, generation, .. } = self.catch_up;
        context.progress.begin("publishing", 0);
        while !is_indexed(context, generation, Duration::from_mins(1)).await? {
            context.progress.println("waiting for the search index");
        }
        let promotion = Uuid::now_v7();
        // Without a live generation there are no readers yet.
        if context.live().await?.is_some() {
            // Leaves as few stale values as possible.
            self.catch_up.run().await?;
            self.publish_ahead(promotion).await;
        }
        context.progress.begin("promoting", 0);
        let mut connection = context.connect().await?;
        for attempt in 1.. {
            self.catch_up.run().await?;
            let held = match Promotion::begin(&mut connection, context.processor, generation).await {
                Ok(held) => held,
                Err(error) if attempt < MAX_ATTEMPTS && is_lock_timeout(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            match self.promote_while_held(held, promotion).await {
                Ok(live) => {
                    if let Some(indexing) = self.indexing {
                        indexing.end().await;
                    }
                    return Ok(live);
                }
                Err(ReplayError::Promotion(error)) if attempt < MAX_ATTEMPTS && error.is_temporary() => {
                    debug!(attempt, %error, "promotion failed, retrying");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ReplayError::Refused("cut-over attempts exhausted".to_owned()))
    }

    /// Publishes to Redis what is about to go live. A failure is no error: readers fall back to Postgres.
    async fn publish_ahead(&self, promotion: Uuid) {
        let CatchUp { context, generation, .. } = self.catch_up;
        context.progress.begin("publishing ahead", 0);
        let on_progress = |written| context.progress.set_position(written);
        let published =
            publisher::publish_ahead(&context.connections, context.processor, generation, promotion, on_progress);
        if let Err(error) = published.await {
            context.progress.println(&format!(
                "publishing ahead failed, reads fall back to postgres until values are published: {}",
                jangbogo_telemetry::causes(&error)
            ));
        }
    }

    async fn promote_while_held(&self, held: Promotion<'_>, promotion: Uuid) -> Result<Live, ReplayError> {
        let CatchUp { context, generation, .. } = self.catch_up;
        let last_step = async {
            self.catch_up.fold_to(held.held(), Priority::Foreground).await?;
            self.check_dead_letters().await?;
            is_indexed(context, generation, HOLD_LIMIT).await
        };
        match tokio::time::timeout(HOLD_LIMIT, last_step).await {
            Ok(Ok(_)) => Ok(held.complete(promotion).await?),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PromotionError::Unpublished.into()),
        }
    }

    /// Fails if a record that the live generation accepted by now is a dead letter of the new one.
    async fn check_dead_letters(&self) -> Result<(), ReplayError> {
        let CatchUp { context, generation, .. } = self.catch_up;
        let decisions = context.decisions(generation).await?;
        let Some(live) = &decisions.live else { return Ok(()) };
        let mut connection = context.pool.acquire().await?;
        let dead_letters = DeadLetters::load(&mut connection, &live.generation).await?;
        Ok(dead_letters.check_dead_letters_of(&mut connection, generation, &decisions.discarded).await?)
    }
}

/// True if another transaction held the checkpoints for too long, such as a batch that waits for its own locks.
fn is_lock_timeout(error: &PromotionError) -> bool {
    let PromotionError::Postgres(error) = error else { return false };
    let code = error.as_database_error().and_then(DatabaseError::code);
    database::is_lock_timeout(error) || code.as_deref() == Some(DEADLOCK_DETECTED)
}
