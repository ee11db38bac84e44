//! Shared state of one projection's replay: connections, the generations in Postgres, and the log's bounds.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbogo_consume::dead_letter::discarded;
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_log::reader::{Bounds, LogError, RangeOptions, RangeReader, bounds};
use jangbogo_log::{Offsets, Partition};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_platform::progress::Progress;
use jangbogo_read::GenerationId;
use jangbogo_store::{Generation, Live, State, Statements, Stored, fold_config, generations, live, positions};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::{Mutex, OnceCell};

use crate::error::ReplayError;
use crate::folder::{DeadLetters, Folder};

/// A killed replay holds its advisory lock until Postgres notices that the connection is gone.
const LOCK_TIMEOUT: Duration = Duration::from_secs(3);
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// State that the phases of one projection's replay share.
pub struct Context {
    pub connections: Connections,
    pub processor: &'static Processor,
    pub config: FoldConfig,
    pub pool: PgPool,
    pub progress: Progress,
    /// The watcher of end offsets, connected on first use.
    end_offsets: OnceCell<EndOffsets>,
    decisions: Mutex<Option<Arc<DecisionOutcomes>>>,
}

/// Decisions about records: dead letters of the live generation, and dead letters that an operator discarded.
pub struct DecisionOutcomes {
    /// None if there is no live generation, or it is the one that is folded.
    pub live: Option<Live>,
    dead_letters: DeadLetters,
    pub discarded: Arc<HashSet<(Partition, i64)>>,
}

impl Context {
    /// `parallelism` is the number of concurrent bulk folds, for which the pool has a connection each.
    pub fn new(
        connections: &Connections,
        processor: &'static Processor,
        progress: Progress,
        parallelism: usize,
    ) -> Result<Self, ReplayError> {
        let pool_size = u32::try_from(parallelism).unwrap_or(8) + 3;
        let options = database::options(connections, "replay")?.options([
            // A chunk is folded within its transaction, which takes a while on a busy machine. A replay that takes over
            // from a stopped one has a newer epoch.
            ("idle_in_transaction_session_timeout", "60s"),
            // If Postgres crashes, rows and checkpoints are lost together. Merging, completing and promoting a
            // generation use connections of their own, which wait for the disk.
            ("synchronous_commit", "off"),
        ]);
        Ok(Self {
            connections: connections.clone(),
            processor,
            config: fold_config(connections),
            pool: PgPoolOptions::new().max_connections(pool_size).connect_lazy_with(options),
            progress,
            end_offsets: OnceCell::new(),
            decisions: Mutex::default(),
        })
    }

    pub fn fold_version(&self) -> String {
        self.processor.fold_version(&self.config)
    }

    /// A dedicated connection, whose transactions may stay idle while another connection works.
    pub async fn connect(&self) -> Result<PgConnection, ReplayError> {
        let options = database::options(&self.connections, "replay")?;
        // A merge takes minutes: if this process is killed meanwhile, its session must end for another to go on.
        let settings = [
            ("idle_in_transaction_session_timeout", "0"),
            ("client_connection_check_interval", "500ms"),
            ("client_min_messages", "warning"),
        ];
        Ok(options.options(settings).connect().await?)
    }

    /// The live generation, if there is one.
    pub async fn live(&self) -> Result<Option<Live>, ReplayError> {
        let mut connection = self.pool.acquire().await?;
        Ok(live(&mut connection, self.processor.name).await?)
    }

    /// All generations of the projection, the oldest first.
    pub async fn generations(&self) -> Result<Vec<Stored>, ReplayError> {
        let mut connection = self.pool.acquire().await?;
        Ok(generations(&mut connection, Some(self.processor.name)).await?)
    }

    /// The next offset of each partition that a generation folds.
    pub async fn positions(&self, generation: &Generation) -> Result<Offsets, ReplayError> {
        let mut connection = self.pool.acquire().await?;
        Ok(positions(&mut connection, generation).await?)
    }

    /// The log's first and end offsets. An error if its head was deleted.
    pub async fn log_bounds(&self) -> Result<BTreeMap<Partition, Bounds>, ReplayError> {
        let bounds = bounds(&self.connections, self.processor.topics()).await?;
        LogError::check_heads(&bounds)?;
        Ok(bounds)
    }

    pub async fn end_offsets(&self) -> Result<Offsets, ReplayError> {
        let start = async || {
            let topics = self.processor.topics().into_iter().collect();
            EndOffsets::start(&self.connections, topics).map_err(LogError::Kafka)
        };
        Ok(Offsets::clone(&*self.end_offsets.get_or_try_init(start).await?.now().await?))
    }

    /// The decisions that a fold of a generation must respect. Cached until another generation goes live; what the live
    /// generation dead-letters or folds in the meantime is checked at the cut-over.
    pub async fn decisions(&self, generation: &Generation) -> Result<Arc<DecisionOutcomes>, ReplayError> {
        let live = self.live().await?.filter(|live| live.generation.id != generation.id);
        let mut cached = self.decisions.lock().await;
        if let Some(decisions) = cached.as_ref().filter(|decisions| decisions.live == live) {
            return Ok(Arc::clone(decisions));
        }
        let dead_letters = match &live {
            Some(live) => {
                let mut connection = self.pool.acquire().await?;
                DeadLetters::load(&mut connection, &live.generation).await?
            }
            None => DeadLetters::default(),
        };
        let discarded = discarded(&self.connections, self.processor.name).await;
        let discarded = discarded
            .map_err(|error| ReplayError::Refused(format!("cannot read decisions on dead letters: {error}")))?;
        let decisions = Arc::new(DecisionOutcomes { live, dead_letters, discarded: Arc::new(discarded) });
        *cached = Some(Arc::clone(&decisions));
        Ok(decisions)
    }

    /// Takes over partitions of a generation, and opens their log from the generation's checkpoints to `until`.
    pub async fn open_fold(
        &self,
        generation: &Generation,
        statements: Statements,
        until: Offsets,
        max_rate: Option<f64>,
        decisions: &DecisionOutcomes,
    ) -> Result<(Folder, RangeReader), ReplayError> {
        let partitions: Vec<_> = until.keys().copied().collect();
        let folder =
            Folder::acquire(&self.pool, self.processor, &self.config, generation, statements, &partitions).await?;
        let client = format!("{}-replay-{}", self.processor.name, generation.short_id());
        let options = RangeOptions {
            client: self.connections.namespace.group(&client),
            from: folder.positions(),
            until,
            max_rate,
            discarded: Arc::clone(&decisions.discarded),
        };
        let log = RangeReader::open(&self.connections, options)?;
        Ok((folder.with_dead_letters(decisions.dead_letters.clone()), log))
    }

    /// Locks a generation against other replays for as long as the connection lives. Returns its state after locking.
    pub async fn lock(&self, connection: &mut PgConnection, generation: &Generation) -> Result<Stored, ReplayError> {
        let began = Instant::now();
        loop {
            let is_locked: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
                .bind(format!("replay {}", generation.schema))
                .fetch_one(&mut *connection)
                .await?;
            if is_locked {
                break;
            }
            if began.elapsed() > LOCK_TIMEOUT {
                return Err(ReplayError::Busy(generation.short_id()));
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
        let found = self.generations().await?.into_iter().find(|stored| stored.generation.id == generation.id);
        found.ok_or_else(|| ReplayError::Refused(format!("generation {} was dropped meanwhile", generation.short_id())))
    }

    /// The generation with an id, given in full or by its last characters.
    pub async fn find(&self, id: &GenerationId) -> Result<Stored, ReplayError> {
        let mut found = self.generations().await?;
        found.retain(|stored| id.names(stored.generation.id));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(ReplayError::Refused(format!(
                "{} has no generation {id}; `replay list {0}` lists them",
                self.processor.name
            ))),
            several => Err(ReplayError::Refused(format!("{several} generation ids end with {id}: give more of it"))),
        }
    }

    /// The newest unfinished rebuild, or complete one that has not gone live.
    pub async fn unpromoted(&self) -> Result<Option<Stored>, ReplayError> {
        let found = self.generations().await?;
        Ok(found.into_iter().rfind(|stored| stored.as_of.is_none() && is_unpromoted(stored)))
    }
}

/// True if a generation was never served.
pub fn is_unpromoted(stored: &Stored) -> bool {
    matches!(stored.state, State::Hydrating | State::CatchingUp | State::Ready)
}
