//! Starts and supervises the tasks of a processor: workers, reactors, publisher and admin server.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::FutureExt as _;
use futures::future::BoxFuture;
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
use jangbogo_store::{FoldedOffsets, GenerationError, Live, Statements, fold_config, live, open_live};
use jangbogo_telemetry::{CheckHandle, MetricsError, Telemetry, causes};
use sqlx::postgres::PgPool;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Settings of every processor.
#[derive(Args, Clone, Debug)]
pub struct ProcessorArgs {
    /// Workers in this process: consumers of the processor's group, each folding partitions of its own
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub instances: u16,
    /// Name for static group membership: a restart under the same name resumes its partitions without a rebalance.
    /// Unique among the group's processes; without it a member leaves the group when it stops
    #[arg(long)]
    pub instance: Option<String>,
    /// Fold and publish without reactors: no model is loaded and no event is produced
    #[arg(long, env = "JANGBOGO_FOLD_ONLY", action = clap::ArgAction::SetTrue)]
    pub fold_only: bool,
    /// Port of /healthz, /readyz and /metrics on the loopback address; 0 is any free port
    #[arg(long, default_value_t = 0)]
    pub admin_port: u16,
}

/// A processor failed to start or ended with an error.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start the admin server")]
    Admin(#[from] BindError),
    #[error("cannot open the live generation")]
    Generation(#[from] GenerationError),
    #[error("invalid postgres URL")]
    Postgres(#[from] sqlx::Error),
    #[error("invalid kafka settings")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// A metric name is invalid, which is a bug.
    #[error("cannot register metrics")]
    Metrics(#[from] MetricsError),
    #[error("the processor did not shut down cleanly")]
    Shutdown(#[from] ShutdownError),
}

/// A processor and the reactors that it hosts.
pub struct ProcessorRuntime {
    pub processor: &'static Processor,
    pub reactors: Vec<Arc<dyn Reactor>>,
}

/// Runs a processor until it is stopped.
///
/// # Errors
/// When it cannot start, or one of its tasks fails. Unavailable servers are retried.
#[must_use = "the future does nothing until it is polled"]
pub fn run(
    runtime: ProcessorRuntime,
    connections: Connections,
    args: ProcessorArgs,
    telemetry: Telemetry,
    shutdown: Shutdown,
) -> BoxFuture<'static, Result<(), ProcessError>> {
    // Boxed: the future is compiled once, here, and not in every program that polls it.
    Box::pin(run_until_stopped(runtime, connections, args, telemetry, shutdown))
}

async fn run_until_stopped(
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
    let pool = database::pool(&connections, processor.name, pool_size(&args, &reactors))?;
    let metrics = telemetry.metrics.processor(processor.name)?;
    let postgres_check = check("postgres");
    let generations =
        GenerationWatch { connections: connections.clone(), pool: pool.clone(), processor, config: config.clone() };
    let live = tokio::select! {
        () = stopping.cancelled() => return Ok(shutdown.drain().await?),
        live = generations.open(&postgres_check) => live?,
    };
    info!(processor = processor.name, generation = live.generation.schema, "folding into");
    let discarded = tokio::select! {
        () = stopping.cancelled() => return Ok(shutdown.drain().await?),
        discarded = discarded_positions(&connections, processor, &kafka_check) => Arc::new(discarded),
    };
    let (announce, live) = watch::channel(live);
    let generation_changed = Arc::new(Notify::new());
    let watching = generations.run(announce, Arc::clone(&generation_changed), postgres_check.clone(), stopping.clone());
    shutdown.spawn("generation", watching);

    let folded = Arc::new(FoldedOffsets::default());
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
    database::close(&pool).await;
    Ok(())
}

/// Size of the Postgres pool: one connection for each worker, three for the publisher and the generation watch, and up
/// to eight for the snapshots of each reactor.
fn pool_size(args: &ProcessorArgs, reactors: &[Arc<dyn Reactor>]) -> u32 {
    let reading = reactors.iter().map(|reactor| reactor.spec().parallel.min(8));
    u32::from(args.instances) + 3 + u32::try_from(reading.sum::<usize>()).unwrap_or(8)
}

/// Positions of the processor's discarded dead letters. Retries while Kafka is unavailable.
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

/// Interval of the check for the live generation, unless a fenced worker triggers one.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);

/// Finds the live generation.
struct GenerationWatch {
    connections: Connections,
    pool: PgPool,
    processor: &'static Processor,
    config: FoldConfig,
}

impl GenerationWatch {
    /// Migrates the database and opens the live generation. Retries while Postgres is unavailable.
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

    /// Announces the new generation after a cut-over, and an empty one after the database was wiped.
    async fn run(
        self,
        announce: watch::Sender<Live>,
        generation_changed: Arc<Notify>,
        check: CheckHandle,
        stop: CancellationToken,
    ) -> Result<(), GenerationError> {
        let fold_version = self.processor.fold_version(&self.config);
        let next_check =
            || stop.run_until_cancelled(tokio::time::timeout(WATCH_INTERVAL, generation_changed.notified()));
        while next_check().await.is_some() {
            let current = match self.pool.acquire().await {
                Ok(mut connection) => live(&mut connection, self.processor.name).await,
                Err(error) => Err(error),
            };
            let current = match current {
                Ok(Some(live)) => live.folded_by(&fold_version)?,
                Err(error) if !database::is_missing(&error) => continue,
                Ok(None) | Err(_) => {
                    warn!(processor = self.processor.name, "database was wiped; folding the log from its start");
                    let Some(opened) = stop.run_until_cancelled(self.open(&check)).await else { break };
                    opened?
                }
            };
            announce.send_if_modified(|live| {
                let has_changed = *live != current;
                *live = current;
                has_changed
            });
        }
        Ok(())
    }
}
