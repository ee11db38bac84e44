//! Query: HTTP reads of the read models, and conversations over sockets.
//!
//! It reads projections and fills stamped caches; it produces no events and changes no projection. While Redis is
//! unavailable, the same views are evaluated in Postgres, which is slower.

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
use futures::future::BoxFuture;
use jangbogo_embeddings_client::EmbedderMetrics;
use jangbogo_http::serve::listen;
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_read::{ReadMetrics, Reader};
use jangbogo_telemetry::{CheckHandle, Telemetry, causes};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::http::{QueryMetrics, Service, router};
use crate::meaning::{MeaningArgs, QueryEmbedder};
use crate::members::MemberLists;
use crate::stream::{StreamMetrics, Streams};

/// Interval of the readiness checks.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// Settings of the query service.
#[derive(Args, Clone, Debug)]
pub struct QueryArgs {
    /// Address that the query service listens on
    #[arg(long, env = "QUERY_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Maximum number of connections to Postgres
    #[arg(long, env = "QUERY_POSTGRES_CONNECTIONS", default_value_t = 16)]
    pub postgres_connections: u32,
    /// Timeout of a request in seconds
    #[arg(long, env = "QUERY_REQUEST_TIMEOUT", default_value_t = 15)]
    pub request_timeout: u64,
    /// Maximum number of open sockets on conversations
    #[arg(long, env = "QUERY_MAX_SOCKETS", default_value_t = 5000)]
    pub max_sockets: usize,
    #[command(flatten)]
    pub meaning: MeaningArgs,
}

/// Answers reads until `stop` is cancelled, then finishes the requests that have begun.
///
/// # Errors
/// When the address is in use, or a setting is invalid.
#[must_use = "the future does nothing until it is polled"]
pub fn run(
    args: QueryArgs,
    connections: Connections,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    // Boxed: the future is compiled once, here, and not in every program that polls it.
    Box::pin(async move { serve(listen(args.listen).await?, &args, &connections, stop).await })
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
    let query_embedder = QueryEmbedder::new(&args.meaning, connections, embedder_metrics)?;
    let service = Service {
        lists: Arc::new(MemberLists::new(Arc::clone(&reader))),
        offsets: EndOffsets::start(connections, topics).context("invalid Kafka settings")?,
        metrics: QueryMetrics::register(&telemetry.metrics, &[])?,
        streams: Arc::clone(&streams),
        query_embedder,
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
    jangbogo_http::serve::serve("query", listener, router, stop).await?;
    streams.closed().await;
    background.await?;
    database::close(reader.postgres()).await;
    Ok(())
}

struct Checks {
    postgres: CheckHandle,
    redis: CheckHandle,
    elasticsearch: CheckHandle,
    kafka: CheckHandle,
}

/// Updates the readiness checks until `stop` is cancelled.
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
        let probes = async {
            let schema = database::is_migrated(reader.postgres());
            tokio::join!(schema, reader.ping_redis(), health(), offsets.now())
        };
        let (postgres, redis, elasticsearch, kafka) = tokio::select! {
            () = stop.cancelled() => return,
            answers = probes => answers,
        };
        match postgres {
            Ok(false) => checks.postgres.failing("migrations pending: the schema is older than this program"),
            answer => report(&checks.postgres, answer.map(drop)),
        }
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
