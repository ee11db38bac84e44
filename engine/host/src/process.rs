//! A processor as a process: its workers, its publisher and its admin server.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::FutureExt as _;
use jangbogo_consume::dead_letter::{DeadLetterProducer, discarded};
use jangbogo_consume::source::{OffsetReset, SourceOptions};
use jangbogo_consume::worker::{self, Worker};
use jangbogo_consume::{membership, orphaned_partitions};
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_http::admin::{AdminServer, BindError};
use jangbogo_log::Partition;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_platform::shutdown::{Shutdown, ShutdownError};
use jangbogo_publish as publisher;
use jangbogo_publish::{PublisherContext, Stores};
use jangbogo_react as reactor;
use jangbogo_react::{Outputs, Reactor, ReactorContext, ReactorMetrics, SnapshotSource};
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::{Folded, GenerationError, Live, Statements, fold_config, live, open_live};
use jangbogo_telemetry::{CheckHandle, MetricsError, Telemetry, causes};
use sqlx::postgres::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How a processor runs.
#[derive(Args, Clone, Debug)]
pub struct ProcessorArgs {
    /// Workers in this process: consumers of the processor's group, each folding partitions of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub instances: u16,
    /// A name for static group membership: a restart under the same name takes its partitions up again without a
    /// rebalance. Unique among the group's processes; without it a member leaves when it stops
    #[arg(long)]
    pub instance: Option<String>,
    /// Fold and publish, and react to nothing: no model is loaded and no event is produced
    #[arg(long, env = "JANGBOGO_FOLD_ONLY", action = clap::ArgAction::SetTrue)]
    pub fold_only: bool,
    /// Where /healthz, /readyz and /metrics answer, on the loopback address; 0 is any free port
    #[arg(long, default_value_t = 0)]
    pub admin_port: u16,
}

/// Why a processor could not begin, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// The admin port.
    #[error("the admin server did not start")]
    Admin(#[from] BindError),
    /// The generation.
    #[error("the projections cannot be opened")]
    Generation(#[from] GenerationError),
    /// A setting of Postgres' client.
    #[error("the Postgres URL is refused")]
    Postgres(#[from] sqlx::Error),
    /// A setting of Kafka's client.
    #[error("the Kafka settings are refused")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A metric's name, which is a mistake in the code.
    #[error("metrics cannot be registered")]
    Metrics(#[from] MetricsError),
    /// A task failed, or did not end in time.
    #[error("the processor did not end well")]
    Shutdown(#[from] ShutdownError),
}

/// A processor and what it hosts.
pub struct ProcessorRuntime {
    /// What is folded.
    pub processor: &'static Processor,
    /// What reacts to it.
    pub reactors: Vec<Arc<dyn Reactor>>,
}

/// Runs a processor until it is asked to stop.
///
/// # Errors
/// When it cannot begin, or a task of it fails. Servers that are away are waited for.
pub async fn run(
    ProcessorRuntime { processor, reactors }: ProcessorRuntime,
    connections: Connections,
    args: ProcessorArgs,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> Result<(), ProcessError> {
    let admin = AdminServer::bind(args.admin_port).await?;
    info!(processor = processor.name, admin = %admin.address(), "starting");
    let stopping = shutdown.token();
    shutdown.spawn("admin", admin.serve(telemetry.clone(), stopping.clone()));

    let config = fold_config(&connections);
    let check = |server: &str| telemetry.readiness.check(server);
    let kafka_check = check("kafka");
    let pool = database::pool(&connections, processor.name, connections_of(&args, &reactors))?;
    let metrics = telemetry.metrics.processor(processor.name)?;
    let postgres_check = check("postgres");
    let opening = Opening { connections: connections.clone(), pool: pool.clone(), processor, config: config.clone() };
    let live = tokio::select! {
        () = stopping.cancelled() => return Ok(shutdown.drain().await?),
        live = opening.open(&postgres_check) => live?,
    };
    info!(processor = processor.name, generation = live.generation.schema, "folding into");
    let discarded = tokio::select! {
        () = stopping.cancelled() => return Ok(shutdown.drain().await?),
        discarded = discarded_positions(&connections, processor, &kafka_check) => Arc::new(discarded),
    };
    let (announce, live) = watch::channel(live);
    let generation_changed = Arc::new(Notify::new());
    let watching = opening.watch(announce, Arc::clone(&generation_changed), postgres_check.clone(), stopping.clone());
    shutdown.spawn("generation", watching);

    let folded = Arc::new(Folded::default());
    let context = worker::Context {
        processor,
        config,
        live: live.clone(),
        generation_changed,
        pool: pool.clone(),
        statements: Arc::new(Statements::new(processor.tables())),
        dead_letters: DeadLetterProducer::new(&connections, processor.name, check("dead-letters")),
        folded: Arc::clone(&folded),
        metrics: metrics.clone(),
        check: postgres_check,
    };
    for number in 0..args.instances {
        let options = SourceOptions {
            group: processor.name.to_owned(),
            topics: processor.topics(),
            offset_reset: OffsetReset::Fail,
            batch_policy: processor.batch_policy,
            instance: args.instance.as_ref().map(|name| format!("{name}-{number}")),
            discarded: Arc::clone(&discarded),
            lag: metrics.lag_events.clone(),
            rebalances: metrics.rebalances_total.clone(),
            check: kafka_check.clone(),
        };
        let (context, until) = (context.clone(), stopping.clone());
        let fold = move |source| Worker::new(context.clone(), source, until.clone()).run();
        let working = membership::run(connections.clone(), options, stopping.clone(), fold);
        shutdown.spawn(format!("worker {number}"), working);
    }
    let snapshots = SnapshotSource { pool: pool.clone(), live: live.clone(), folded };
    for reactor in reactors {
        let spec = reactor.spec();
        let name = reactor.group();
        let metrics = ReactorMetrics::register(&telemetry.metrics, &[("reactor", &name)])?;
        let options = SourceOptions {
            group: name.clone(),
            topics: spec.reads.to_vec(),
            offset_reset: OffsetReset::Earliest,
            batch_policy: spec.batch_policy,
            instance: args.instance.clone(),
            discarded: Arc::clone(&discarded),
            lag: metrics.reactor_lag_events.clone(),
            rebalances: metrics.reactor_rebalances_total.clone(),
            check: kafka_check.clone(),
        };
        let outputs = Outputs::new(&connections, &name, metrics.clone(), check(&name))?;
        let reacting = check(&name);
        reacting.ok();
        let context = ReactorContext { reactor, snapshots: snapshots.clone(), outputs, metrics, check: reacting };
        let until = stopping.clone();
        let react = move |source| reactor::work(context.clone(), source, until.clone());
        shutdown.spawn(name, membership::run(connections.clone(), options, stopping.clone(), react));
    }
    shutdown.spawn(
        "orphaned partitions",
        orphaned_partitions::watch(connections.clone(), processor, stopping.clone()).map(Ok::<(), Infallible>),
    );
    let publishing = PublisherContext {
        connections,
        processor,
        live,
        stores: Stores::All,
        pool: pool.clone(),
        metrics,
        redis_check: check("redis"),
        search_check: check("elasticsearch"),
    };
    shutdown.spawn("publisher", publisher::run(publishing, stopping).map(Ok::<(), Infallible>));
    shutdown.drain().await?;
    // A pool that waits for a server which is away must not hold up the end.
    let _ = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
    Ok(())
}

/// A connection for each worker, some for what watches and publishes, and some for each reactor to read with.
fn connections_of(args: &ProcessorArgs, reactors: &[Arc<dyn Reactor>]) -> u32 {
    let reading = reactors.iter().map(|reactor| reactor.spec().parallel.min(8));
    u32::from(args.instances) + 3 + u32::try_from(reading.sum::<usize>()).unwrap_or(8)
}

/// What somebody has discarded of the processor's dead letters. Waits for Kafka as long as it takes.
async fn discarded_positions(
    connections: &Connections,
    processor: &Processor,
    check: &CheckHandle,
) -> HashSet<(Partition, i64)> {
    let mut backoff = Backoff::default();
    loop {
        match discarded(connections, processor.name).await {
            Ok(positions) => return positions,
            Err(error) => check.failing(causes(&error)),
        }
        backoff.wait().await;
    }
}

/// How often a process looks which generation is live, when nothing makes it generation_changed that.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// What it takes to find the live generation.
struct Opening {
    connections: Connections,
    pool: PgPool,
    processor: &'static Processor,
    config: FoldConfig,
}

impl Opening {
    /// The live generation in a database of the newest migration. Waits for Postgres as long as it takes.
    async fn open(&self, check: &CheckHandle) -> Result<Live, GenerationError> {
        let mut backoff = Backoff::default();
        loop {
            let opened = match database::migrate(&self.connections).await {
                Ok(()) => open_live(&self.pool, self.processor, &self.config, self.connections.vector_index).await,
                Err(source) => Err(GenerationError::Database { processor: self.processor.name.to_owned(), source }),
            };
            match opened {
                Err(error @ GenerationError::Database { .. }) => check.failing(causes(&error)),
                opened => return opened,
            }
            backoff.wait().await;
        }
    }

    /// Announces another generation when it goes live, and an empty one when the database was wiped.
    async fn watch(
        self,
        announce: watch::Sender<Live>,
        generation_changed: Arc<Notify>,
        check: CheckHandle,
        stop: CancellationToken,
    ) -> Result<(), GenerationError> {
        let mine = self.processor.fold_version(&self.config);
        let due = || stop.run_until_cancelled(tokio::time::timeout(WATCH_INTERVAL, generation_changed.notified()));
        while due().await.is_some() {
            let found = match self.pool.acquire().await {
                Ok(mut connection) => live(&mut connection, self.processor.name).await,
                Err(error) => Err(error),
            };
            let found = match found {
                Ok(Some(live)) => live.folded_by(&mine)?,
                Err(error) if !database::is_missing(&error) => continue,
                Ok(None) | Err(_) => {
                    warn!(processor = self.processor.name, "the database was emptied: folding the log anew");
                    let Some(opened) = stop.run_until_cancelled(self.open(&check)).await else { break };
                    opened?
                }
            };
            announce.send_if_modified(|live| {
                let is_another = *live != found;
                *live = found;
                is_another
            });
        }
        Ok(())
    }
}
