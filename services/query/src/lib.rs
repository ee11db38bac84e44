//! The query service: reads of processors' read models over HTTP, and conversations over sockets.
//!
//! Read-only: it produces no events, and changes no projection; it only fills stamped caches. A Redis outage costs
//! speed: the same views are evaluated in Postgres.

mod conversations;
mod http;
mod meaning;
mod members;
mod messages;
mod pipeline;
mod products;
mod stream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use elasticsearch::cluster::ClusterHealthParts;
use jangbogo_embeddings_client::EmbedderMetrics;
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_platform::config::Connections;
use jangbogo_read::{ReadMetrics, Reader};
use jangbogo_telemetry::{CheckHandle, Telemetry, causes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::http::{QueryMetrics, Service, router};
use crate::meaning::{MeaningArgs, Meanings};
use crate::members::MemberLists;
use crate::stream::{StreamMetrics, Streams};

/// Interval of readiness probes of the servers.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Settings of the query service.
#[derive(Args, Clone, Debug)]
pub struct QueryArgs {
    /// Address that the query service listens on
    #[arg(long, env = "QUERY_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Maximum connections to Postgres
    #[arg(long, env = "QUERY_POSTGRES_CONNECTIONS", default_value_t = 16)]
    pub postgres_connections: u32,
    /// Time limit of a request, in seconds
    #[arg(long, env = "QUERY_REQUEST_TIMEOUT", default_value_t = 15)]
    pub request_timeout: u64,
    /// Maximum open sockets of conversations
    #[arg(long, env = "QUERY_MAX_SOCKETS", default_value_t = 5000)]
    pub max_sockets: usize,
    #[command(flatten)]
    pub meaning: MeaningArgs,
}

/// Serves until `stop` is cancelled, then completes the requests in flight.
///
/// # Errors
/// When the address is in use, or a setting is invalid.
pub async fn run(args: QueryArgs, connections: Connections, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(args.listen)
        .await
        .with_context(|| format!("cannot listen on {}; choose another --listen", args.listen))?;
    serve(listener, &args, &connections, stop).await
}

/// As [`run`], on an open listener.
///
/// # Errors
/// When a setting is invalid.
pub async fn serve(
    listener: TcpListener,
    args: &QueryArgs,
    connections: &Connections,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::new()?;
    let read_metrics = ReadMetrics::register(&telemetry.metrics, &[])?;
    let reader = Arc::new(Reader::new(connections, "query", args.postgres_connections, read_metrics)?);
    let topics = jangbogo_processors::PROCESSORS.iter().flat_map(|processor| processor.topics()).collect();
    let stream_metrics = StreamMetrics::register(&telemetry.metrics, &[])?;
    let streams = Streams::start(connections, Arc::clone(&reader), args.max_sockets, stream_metrics, stop.clone())?;
    let embedder_metrics = EmbedderMetrics::register(&telemetry.metrics, &[])?;
    let meanings = Meanings::new(&args.meaning, connections, embedder_metrics)?;
    let service = Service {
        lists: Arc::new(MemberLists::new(Arc::clone(&reader))),
        offsets: EndOffsets::start(connections, topics).context("invalid kafka settings")?,
        metrics: QueryMetrics::register(&telemetry.metrics, &[])?,
        streams: Arc::clone(&streams),
        meanings,
        request_timeout: Duration::from_secs(args.request_timeout),
        reader: Arc::clone(&reader),
    };
    let checks = Checks {
        postgres: telemetry.readiness.check("postgres"),
        redis: telemetry.readiness.check("redis"),
        elasticsearch: telemetry.readiness.check("elasticsearch"),
        kafka: telemetry.readiness.check("kafka"),
    };
    let background = tokio::spawn(watch(Arc::clone(&reader), service.offsets.clone(), checks, stop.clone()));
    let router = router(service).merge(jangbogo_http::admin::routes(telemetry));
    info!(address = %listener.local_addr()?, "query: /v1 /openapi.json /healthz /readyz /metrics");
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await?;
    streams.closed().await;
    background.await?;
    // A pool that waits for an unavailable server must not delay the shutdown.
    let _ = tokio::time::timeout(Duration::from_secs(1), reader.postgres().close()).await;
    Ok(())
}

struct Checks {
    postgres: CheckHandle,
    redis: CheckHandle,
    elasticsearch: CheckHandle,
    kafka: CheckHandle,
}

/// Probes the servers for readiness.
async fn watch(reader: Arc<Reader>, offsets: EndOffsets, checks: Checks, stop: CancellationToken) {
    let mut probe = tokio::time::interval(PROBE_INTERVAL);
    let health = || async {
        let parts = ClusterHealthParts::None;
        let answer = reader.search().cluster().health(parts).request_timeout(PROBE_INTERVAL).send().await?;
        answer.error_for_status_code().map(drop)
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = probe.tick() => {}
        }
        let probes = async { tokio::join!(reader.ping_postgres(), reader.ping_redis(), health(), offsets.now()) };
        let (postgres, redis, elasticsearch, kafka) = tokio::select! {
            () = stop.cancelled() => return,
            answers = probes => answers,
        };
        report(&checks.postgres, postgres);
        report(&checks.redis, redis);
        report(&checks.elasticsearch, elasticsearch);
        report(&checks.kafka, kafka.map(drop));
    }
}

fn report<E: std::error::Error + 'static>(check: &CheckHandle, answer: Result<(), E>) {
    match answer {
        Ok(()) => check.ok(),
        Err(error) => check.failing(causes(&error)),
    }
}
