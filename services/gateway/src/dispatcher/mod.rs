//! The outbox dispatcher: relays the table `outbox` to Kafka, one process at a time.
//!
//! A row is sent, acknowledged by all replicas in sync, then deleted: a crash in between sends it again with the same
//! id, which consumers count once. Rows are deleted rather than marked, so that the table stays as small as its backlog
//! and the next select begins where the work is; what was sent can be read in Kafka.
//!
//! No cursor is kept. A row that commits late has a sequence number that was drawn under its key's lock, so within a
//! key no row that is already sent has a greater one: see `migrations/0001_outbox.sql`.

mod lease;
mod producer;
mod relay;
mod row;
mod signal;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use futures::future::BoxFuture;
use jangbogo_http::admin::AdminServer;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_telemetry::{BATCH_BUCKETS, CheckHandle, SECONDS_BUCKETS, Telemetry, causes};
use lease::Lease;
use relay::Relay;
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};
use uuid::Uuid;

/// How often a dispatcher that does not hold the lease asks for it.
const STANDBY_INTERVAL: Duration = Duration::from_millis(500);
/// How long an empty outbox is left alone if no notification comes.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// How often Kafka is asked whether it is there while nothing is sent.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a batch that was begun may take once the process should end.
const FINISH_LIMIT: Duration = Duration::from_secs(3);
/// The wait after a failure doubles from the first to the last of these.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// The dispatcher's settings.
#[derive(Args, Clone, Debug)]
pub struct DispatcherArgs {
    /// The loopback port of /healthz, /readyz and /metrics; 0 for any free one
    #[arg(long, env = "OUTBOX_DISPATCHER_ADMIN_PORT", default_value_t = 8082)]
    pub admin_port: u16,
}

jangbogo_telemetry::metrics! {
    /// What a dispatcher counts.
    pub struct DispatcherMetrics {
        /// Rows in the outbox
        outbox_backlog_rows: prometheus::IntGauge;
        /// Age of the oldest row in the outbox, in seconds; 0 when it is empty
        outbox_oldest_row_seconds: prometheus::Gauge;
        /// Rows acknowledged by Kafka
        outbox_sent_total: prometheus::IntCounterVec, labels ["topic"];
        /// Rows moved to outbox_refused
        outbox_refused_total: prometheus::IntCounter;
        /// Batches that failed and were tried again
        outbox_retries_total: prometheus::IntCounter;
        /// Time from the select of a batch to its deletion, in seconds
        outbox_batch_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
        /// Rows in a batch
        outbox_batch_rows: prometheus::Histogram, buckets BATCH_BUCKETS;
        /// 1 while this process holds the lease
        outbox_lease_held: prometheus::IntGauge;
    }
}

/// What `/readyz` of a dispatcher shows.
#[derive(Clone)]
struct Checks {
    kafka: CheckHandle,
    postgres: CheckHandle,
}

/// Relays until `stop` is cancelled. Servers that are away are waited for.
///
/// # Errors
/// When the admin port is taken, or a setting cannot be used.
pub fn run(
    args: DispatcherArgs,
    connections: Connections,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    // Boxed: the future is compiled once, here, and not in every program that polls it.
    Box::pin(async move {
        let telemetry = Telemetry::new()?;
        let metrics = DispatcherMetrics::register(&telemetry.metrics, &[])?;
        let checks =
            Checks { kafka: telemetry.readiness.check("kafka"), postgres: telemetry.readiness.check("postgres") };
        let admin = AdminServer::bind(args.admin_port).await?;
        let pool =
            database::pool(&connections, "outbox-dispatcher", 4).context("the address of postgres cannot be read")?;
        let holder = format!("outbox-dispatcher/{}/{}", std::process::id(), Uuid::now_v7());
        let redis = signal::Signal::new(&connections, holder.clone()).context("the address of redis cannot be read")?;
        let inserted = Arc::new(Notify::new());

        let admin = tokio::spawn(admin.serve(telemetry, stop.clone()));
        let listening = tokio::spawn(watch::listen(pool.clone(), Arc::clone(&inserted), stop.clone()));
        let measuring = tokio::spawn(watch::measure(pool.clone(), metrics.clone(), stop.clone()));
        let mut dispatcher = Dispatcher {
            lease: Lease::new(pool.clone(), holder.clone()),
            relay: Relay::new(pool.clone(), &connections, holder, metrics.clone(), checks.clone()),
            connections,
            redis,
            inserted,
            metrics,
            checks,
            stop,
        };
        dispatcher.run().await;
        listening.await?;
        measuring.await?;
        admin.await??;
        // A pool that waits for a server which is away must not hold up the end.
        let _ = tokio::time::timeout(Duration::from_secs(1), pool.close()).await;
        Ok(())
    })
}

struct Dispatcher {
    connections: Connections,
    lease: Lease,
    relay: Relay,
    redis: signal::Signal,
    inserted: Arc<Notify>,
    metrics: DispatcherMetrics,
    checks: Checks,
    stop: CancellationToken,
}

impl Dispatcher {
    async fn run(&mut self) {
        let mut next_probe = Instant::now();
        while !self.stop.is_cancelled() {
            match self.lease.acquire().await {
                Ok(true) => self.lead().await,
                Ok(false) => self.checks.postgres.ok(),
                Err(error) => {
                    // The lease is lost when the database is: it is from here that a wiped one is migrated.
                    if let Err(error) = database::ensure_migrated(&self.connections, Err(error)).await {
                        self.checks.postgres.failing(causes(&error));
                    }
                }
            }
            if Instant::now() >= next_probe {
                self.relay.probe().await;
                next_probe = Instant::now() + PROBE_INTERVAL;
            }
            self.pause(STANDBY_INTERVAL).await;
        }
    }

    /// Relays while the lease is held.
    async fn lead(&mut self) {
        info!("this dispatcher holds the lease");
        self.metrics.outbox_lease_held.set(1);
        let lost = CancellationToken::new();
        let keeper = tokio::spawn(self.lease.clone().keep(lost.clone()));
        let signal = tokio::spawn(self.redis.clone().keep(lost.clone()));
        tokio::select! {
            () = self.relay_all() => {}
            () = lost.cancelled() => error!("the lease was lost: another dispatcher may be sending"),
        }
        // What was handed to the producer and not acknowledged must not be sent later: its rows are the next holder's.
        self.relay.discard_producer().await;
        lost.cancel();
        for task in [keeper, signal] {
            if let Err(panic) = task.await {
                error!(error = %causes(&panic), "a task of the lease panicked");
            }
        }
        self.lease.release().await;
        self.metrics.outbox_lease_held.set(0);
    }

    /// Batch after batch, until the process should end.
    async fn relay_all(&mut self) {
        let mut backoff = BACKOFF.0;
        let mut next_probe = Instant::now();
        while !self.stop.is_cancelled() {
            let stop = self.stop.clone();
            let outcome = tokio::select! {
                outcome = self.relay.batch() => outcome,
                () = async { stop.cancelled().await; tokio::time::sleep(FINISH_LIMIT).await } => return,
            };
            match outcome {
                Ok(0) => {
                    backoff = BACKOFF.0;
                    if Instant::now() >= next_probe {
                        self.relay.probe().await;
                        next_probe = Instant::now() + PROBE_INTERVAL;
                    }
                    let inserted = Arc::clone(&self.inserted);
                    tokio::select! {
                        () = inserted.notified() => {}
                        () = self.pause(POLL_INTERVAL) => {}
                    }
                }
                Ok(_) => backoff = BACKOFF.0,
                Err(error) => {
                    self.metrics.outbox_retries_total.inc();
                    self.relay.report(&error);
                    self.relay.discard_producer().await;
                    self.pause(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                }
            }
        }
    }

    async fn pause(&self, duration: Duration) {
        tokio::select! {
            () = tokio::time::sleep(duration) => {}
            () = self.stop.cancelled() => {}
        }
    }
}
