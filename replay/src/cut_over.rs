//! From a complete generation to a live one.

use std::time::{Duration, Instant};

use jangbogo_fold::Target;
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

use crate::catch_up::Manner;
use crate::error::ReplayError;
use crate::folder::Letters;
use crate::job::Job;

/// How often a cut-over is tried, when it did not succeed at once.
const ATTEMPTS: usize = 20;
/// The pause between two attempts.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest that the live fold is held.
const HOLD_LIMIT: Duration = Duration::from_secs(3);
/// How often the search index is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A publisher that fills the search index of a generation that is not live yet. Stops when it is dropped.
pub struct Indexing {
    stop: CancellationToken,
    task: Option<tokio::task::JoinHandle<()>>,
    // What it is told from here never changes, but it must not hear that nobody tells it any more.
    _live: watch::Sender<Live>,
}

impl Indexing {
    /// Lets the generation's publisher be taken over by others.
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

impl Job {
    fn is_searched(&self) -> bool {
        self.processor.views().any(|view| matches!(view.target, Target::Elasticsearch { .. }))
    }

    /// Begins to fill the generation's search index, if it has one.
    pub fn index(&self, generation: &Generation) -> Result<Option<Indexing>, ReplayError> {
        if !self.is_searched() {
            return Ok(None);
        }
        let refused = |error: &dyn std::error::Error| ReplayError::Refused(format!("metrics: {error}"));
        let telemetry = Telemetry::new().map_err(|error| refused(&error))?;
        // The search index knows no promotions: it is the generation's own.
        let (sender, live) = watch::channel(Live { generation: generation.clone(), promotion: Uuid::nil() });
        let context = PublisherContext {
            connections: self.connections.clone(),
            processor: self.processor,
            live,
            stores: Stores::Search,
            pool: self.pool.clone(),
            metrics: telemetry.metrics.processor(self.processor.name).map_err(|error| refused(&error))?,
            redis_check: telemetry.readiness.check("redis"),
            search_check: telemetry.readiness.check("elasticsearch"),
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(publisher::run(context, stop.clone()));
        Ok(Some(Indexing { stop, task: Some(task), _live: sender }))
    }

    /// Waits until all of the generation is in its search index, and found there.
    pub async fn indexed(&self, generation: &Generation, limit: Duration) -> Result<bool, ReplayError> {
        if !self.is_searched() {
            return Ok(true);
        }
        let began = Instant::now();
        loop {
            let backlog = {
                let mut connection = self.pool.acquire().await?;
                search_backlog(&mut connection, generation).await?
            };
            if backlog == 0 {
                publisher::refresh_indexes(&self.connections, self.processor, generation).await?;
                return Ok(true);
            }
            if began.elapsed() > limit {
                return Ok(false);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    /// Puts a caught-up generation into the live one's place. The live fold is held for the moment it takes.
    pub async fn cut_over(&self, generation: &Generation, indexing: Option<Indexing>) -> Result<Live, ReplayError> {
        self.progress.begin("publishing", 0);
        while !self.indexed(generation, Duration::from_mins(1)).await? {
            self.progress.say("waiting for the search index");
        }
        let promotion = Uuid::now_v7();
        // Nobody reads yet what nobody serves.
        if self.live().await?.is_some() {
            // As little as can be is stale by then.
            self.catch_up(generation).await?;
            self.publish_ahead(generation, promotion).await;
        }
        self.progress.begin("promoting", 0);
        let mut connection = self.connect().await?;
        for attempt in 1.. {
            self.catch_up(generation).await?;
            let promoting = match Promotion::begin(&mut connection, self.processor, generation).await {
                Ok(promoting) => promoting,
                Err(error) if attempt < ATTEMPTS && is_lock_timeout(&error) => continue,
                Err(error) => return Err(error.into()),
            };
            match self.promote_while_held(generation, promoting, promotion).await {
                Ok(live) => {
                    if let Some(indexing) = indexing {
                        indexing.end().await;
                    }
                    return Ok(live);
                }
                Err(ReplayError::Promotion(error)) if attempt < ATTEMPTS && error.is_temporary() => {
                    debug!(attempt, %error, "not promoted yet");
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
        Err(ReplayError::Refused("the cut-over never came to an end".to_owned()))
    }

    /// Lets readers find in Redis what is about to go live.
    async fn publish_ahead(&self, generation: &Generation, promotion: Uuid) {
        self.progress.begin("publishing ahead", 0);
        let mut told = 0;
        let on_progress = |written| {
            self.progress.advance(written - told);
            told = written;
        };
        let (connections, processor) = (&self.connections, self.processor);
        let published = publisher::publish_ahead(connections, processor, generation, promotion, on_progress).await;
        if let Err(error) = published {
            self.progress.say(&format!(
                "not published ahead, so that Postgres answers until it is: {}",
                jangbogo_telemetry::causes(&error)
            ));
        }
    }

    async fn promote_while_held(
        &self,
        generation: &Generation,
        promoting: Promotion<'_>,
        promotion: Uuid,
    ) -> Result<Live, ReplayError> {
        let last_step = async {
            self.fold_to(generation, promoting.held(), Manner::Hurried).await?;
            self.refuse_forgetful(generation).await?;
            self.indexed(generation, HOLD_LIMIT).await
        };
        match tokio::time::timeout(HOLD_LIMIT, last_step).await {
            Ok(Ok(_)) => Ok(promoting.complete(promotion).await?),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(PromotionError::Unpublished.into()),
        }
    }

    /// What the live generation has folded by now must not be forgotten.
    async fn refuse_forgetful(&self, generation: &Generation) -> Result<(), ReplayError> {
        let verdicts = self.verdicts(generation).await?;
        let Some(live) = &verdicts.live else { return Ok(()) };
        let mut connection = self.pool.acquire().await?;
        let letters = Letters::of(&mut connection, &live.generation).await?;
        Ok(letters.check_letters_of(&mut connection, generation, &verdicts.discarded).await?)
    }
}

/// Whether somebody held the checkpoints for long, such as a batch that waits for its own locks.
fn is_lock_timeout(error: &PromotionError) -> bool {
    let PromotionError::Postgres(error) = error else { return false };
    let code = error.as_database_error().and_then(DatabaseError::code);
    database::is_lock_timeout(error) || code.as_deref() == Some("40P01")
}
