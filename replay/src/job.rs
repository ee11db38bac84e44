//! One projection's replay: what every step of it needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jangbogo_consume::dead_letter::discarded;
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_log::reader::{Bounds, Log, LogError, LogOptions, bounds};
use jangbogo_log::{Offsets, Partition};
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_read::GenerationId;
use jangbogo_store::{Generation, Live, State, Statements, Stored, fold_config, generations, live};
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, PgConnection};
use tokio::sync::{Mutex, OnceCell, RwLock};

use crate::courtesy::LiveFold;
use crate::error::ReplayError;
use crate::folder::{Folder, Letters};
use crate::progress::Progress;

/// A replay that was killed holds its generation until Postgres has noticed.
const LOCK_LIMIT: Duration = Duration::from_secs(3);
const LOCK_INTERVAL: Duration = Duration::from_millis(200);

/// Whose tables are folded, where the servers are, and who is told.
pub struct Job {
    pub connections: Connections,
    pub processor: &'static Processor,
    pub config: FoldConfig,
    pub pool: PgPool,
    /// Begun when it is first asked.
    pub ends: OnceCell<EndOffsets>,
    pub live_fold: Mutex<LiveFold>,
    /// Shared by those who fold in bulk, for a chunk each.
    pub floor: RwLock<()>,
    pub verdicts: Mutex<Option<Arc<Verdicts>>>,
    pub progress: Progress,
    /// Bulk folds at a time.
    pub parallelism: usize,
    /// At most so many events a second.
    pub max_rate: Option<f64>,
    /// The processors that the same command is about.
    pub together: Vec<String>,
}

/// What was decided about records: by the live fold, which refused some, and by people, who discarded some of those.
pub struct Verdicts {
    /// The generation whose fold it was, unless it is the one that is folded now.
    pub live: Option<Live>,
    letters: Letters,
    pub discarded: Arc<HashSet<(Partition, i64)>>,
}

impl Job {
    pub fn new(
        connections: &Connections,
        processor: &'static Processor,
        progress: Progress,
        parallelism: usize,
        max_rate: Option<f64>,
    ) -> Result<Self, ReplayError> {
        let pool_size = u32::try_from(parallelism).unwrap_or(8) + 3;
        let options = database::options(connections, "replay")?.options([
            // A chunk is folded within its transaction, which takes a while on a busy machine. Whoever takes over what
            // a stopped replay holds has a newer epoch.
            ("idle_in_transaction_session_timeout", "60s"),
            // If Postgres crashes, rows and checkpoints go back together. What merges, completes or promotes a generation
            // has a connection of its own, which waits for the disk.
            ("synchronous_commit", "off"),
        ]);
        Ok(Self {
            connections: connections.clone(),
            processor,
            config: fold_config(&connections),
            pool: PgPoolOptions::new().max_connections(pool_size).connect_lazy_with(options),
            ends: OnceCell::new(),
            live_fold: Mutex::default(),
            floor: RwLock::new(()),
            verdicts: Mutex::default(),
            progress,
            parallelism,
            max_rate,
            together: Vec::new(),
        })
    }

    /// This program's fold version.
    pub fn fold_version(&self) -> String {
        self.processor.fold_version(&self.config)
    }

    /// A connection of its own, whose transactions may wait for work elsewhere.
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

    /// Every generation of the projection.
    pub async fn generations(&self) -> Result<Vec<Stored>, ReplayError> {
        let mut connection = self.pool.acquire().await?;
        Ok(generations(&mut connection, Some(self.processor.name)).await?)
    }

    /// Where the log begins and ends, if all of it is still there.
    pub async fn log(&self) -> Result<std::collections::BTreeMap<Partition, Bounds>, ReplayError> {
        let bounds = bounds(&self.connections, self.processor.topics()).await?;
        LogError::check_heads(&bounds)?;
        Ok(bounds)
    }

    /// The log's end now.
    pub async fn log_ends(&self) -> Result<Offsets, ReplayError> {
        let start = async || {
            let topics = self.processor.topics().into_iter().collect();
            EndOffsets::start(&self.connections, topics).map_err(LogError::Kafka)
        };
        Ok(Offsets::clone(&*self.ends.get_or_try_init(start).await?.now().await?))
    }

    /// What was decided before this fold of a generation. Asked for once, unless another generation goes live; what the
    /// live fold refuses or folds meanwhile is looked at when the generation is to go live itself.
    pub async fn verdicts(&self, generation: &Generation) -> Result<Arc<Verdicts>, ReplayError> {
        let live = self.live().await?.filter(|live| live.generation.id != generation.id);
        let mut known = self.verdicts.lock().await;
        if let Some(verdicts) = known.as_ref().filter(|verdicts| verdicts.live == live) {
            return Ok(Arc::clone(verdicts));
        }
        let letters = match &live {
            Some(live) => {
                let mut connection = self.pool.acquire().await?;
                Letters::of(&mut connection, &live.generation).await?
            }
            None => Letters::default(),
        };
        let discarded = discarded(&self.connections, self.processor.name).await;
        let discarded =
            discarded.map_err(|error| ReplayError::Refused(format!("decisions on dead letters: {error}")))?;
        let verdicts = Arc::new(Verdicts { live, letters, discarded: Arc::new(discarded) });
        *known = Some(Arc::clone(&verdicts));
        Ok(verdicts)
    }

    /// The right to fold partitions of a generation, and their log from where the generation is to where it should be.
    pub async fn open_fold(
        &self,
        generation: &Generation,
        statements: Statements,
        until: Offsets,
        max_rate: Option<f64>,
        verdicts: &Verdicts,
    ) -> Result<(Folder, Log), ReplayError> {
        let partitions: Vec<_> = until.keys().copied().collect();
        let folder =
            Folder::acquire(&self.pool, self.processor, &self.config, generation, statements, &partitions).await?;
        let client = format!("{}-replay-{}", self.processor.name, generation.short_id());
        let options = LogOptions {
            client: self.connections.namespace.group(&client),
            from: folder.positions(),
            until,
            max_rate,
            discarded: Arc::clone(&verdicts.discarded),
        };
        let log = Log::open(&self.connections, options)?;
        Ok((folder.agreeing_with(verdicts.letters.clone()), log))
    }

    /// Keeps other replays off a generation for as long as the connection lives. Gives what has become of it by then.
    pub async fn lock(&self, connection: &mut PgConnection, generation: &Generation) -> Result<Stored, ReplayError> {
        let began = Instant::now();
        loop {
            let is_mine: bool = sqlx::query_scalar("SELECT pg_try_advisory_lock(hashtextextended($1, 0))")
                .bind(format!("replay {}", generation.schema))
                .fetch_one(&mut *connection)
                .await?;
            if is_mine {
                break;
            }
            if began.elapsed() > LOCK_LIMIT {
                return Err(ReplayError::Busy(generation.short_id()));
            }
            tokio::time::sleep(LOCK_INTERVAL).await;
        }
        let found = self.generations().await?.into_iter().find(|stored| stored.generation.id == generation.id);
        found.ok_or_else(|| ReplayError::Refused(format!("generation {} was dropped meanwhile", generation.short_id())))
    }

    /// The generation of an id, given in full or by its end.
    pub async fn find(&self, id: &GenerationId) -> Result<Stored, ReplayError> {
        let mut found = self.generations().await?;
        found.retain(|stored| id.names(stored.generation.id));
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(ReplayError::Refused(format!(
                "{} has no generation {id}; `replay list {0}` shows those there are",
                self.processor.name
            ))),
            several => Err(ReplayError::Refused(format!("{several} generations end with {id}: give more of it"))),
        }
    }

    /// A complete rebuild that has not gone live, or an unfinished one, the newest first.
    pub async fn unpromoted(&self) -> Result<Option<Stored>, ReplayError> {
        let found = self.generations().await?;
        Ok(found.into_iter().rfind(|stored| stored.as_of.is_none() && is_unpromoted(stored)))
    }
}

/// Whether a generation has never been served.
pub fn is_unpromoted(stored: &Stored) -> bool {
    matches!(stored.state, State::Hydrating | State::CatchingUp | State::Ready)
}
