//! The gateway's HTTP server.

mod conversations;
mod items;
mod openapi;
mod request;
mod routes;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use clap::Args;
use futures::future::BoxFuture;
use jangbogo_http::problem::{Problem, answer_with_problems, method_not_allowed, unknown_path};
use jangbogo_http::serve::listen;
use jangbogo_platform::config::Connections;
use jangbogo_platform::database;
use jangbogo_telemetry::{CheckHandle, SECONDS_BUCKETS, Telemetry, causes};
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store;

/// Interval of the readiness check of Postgres.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Interval at which expired idempotency keys are deleted.
const CLEANUP_INTERVAL: Duration = Duration::from_mins(10);

/// Settings of the gateway.
#[derive(Args, Clone, Debug)]
pub struct GatewayArgs {
    /// Address that the gateway listens on
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Maximum number of connections to Postgres
    #[arg(long, env = "GATEWAY_POSTGRES_CONNECTIONS", default_value_t = 16)]
    pub postgres_connections: u32,
    /// Timeout of a command in seconds, including the upload of its body
    #[arg(long, env = "GATEWAY_REQUEST_TIMEOUT", default_value_t = 8)]
    pub request_timeout: u64,
}

jangbogo_telemetry::metrics! {
    /// Metrics of the gateway.
    #[expect(clippy::struct_field_names, reason = "a field's name is its metric's")]
    pub struct GatewayMetrics {
        /// Events accepted into the outbox
        gateway_events_accepted_total: prometheus::IntCounterVec, labels ["route"];
        /// Commands answered, by route and status
        gateway_commands_total: prometheus::IntCounterVec, labels ["route", "status"];
        /// Time to answer a command, in seconds
        gateway_command_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
    }
}

/// State of the handlers.
#[derive(Clone)]
struct Gateway {
    pool: PgPool,
    metrics: GatewayMetrics,
    request_timeout: Duration,
}

/// Serves commands until `stop` is cancelled, then finishes the requests that have begun.
///
/// # Errors
/// When the address is in use, or a setting is invalid.
#[must_use = "the future does nothing until it is polled"]
pub fn run(
    args: GatewayArgs,
    connections: Connections,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    // Boxed: the future is compiled once, here, and not in every program that polls it.
    Box::pin(async move { serve(listen(args.listen).await?, &args, &connections, stop).await })
}

/// As [`run`], on a listener that is open already.
///
/// # Errors
/// When a setting is invalid.
pub async fn serve(
    listener: TcpListener,
    args: &GatewayArgs,
    connections: &Connections,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::new()?;
    let pool = database::pool(connections, "gateway", args.postgres_connections).context("invalid Postgres URL")?;
    let gateway = Gateway {
        pool: pool.clone(),
        metrics: GatewayMetrics::register(&telemetry.metrics, &[])?,
        request_timeout: Duration::from_secs(args.request_timeout),
    };
    let postgres = telemetry.readiness.check("postgres");
    let background = tokio::spawn(watch_postgres(connections.clone(), pool.clone(), postgres, stop.clone()));
    let admin = jangbogo_http::admin::routes(telemetry).method_not_allowed_fallback(method_not_allowed);
    let router = router(gateway).merge(admin);
    jangbogo_http::serve::serve("gateway", listener, router, stop).await?;
    background.await?;
    database::close(&pool).await;
    Ok(())
}

fn router(gateway: Gateway) -> Router {
    let (commands, routes) = routes::commands().split_for_parts();
    commands
        .route_layer(from_fn_with_state(gateway.clone(), observed))
        .merge(jangbogo_http::openapi::route(&openapi::describe(&routes)))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(answer_with_problems))
        .with_state(gateway)
}

/// Limits, counts and times a command.
async fn observed(State(gateway): State<Gateway>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<axum::extract::MatchedPath>().cloned();
    let route = route.as_ref().map_or("", axum::extract::MatchedPath::as_str);
    let timer = gateway.metrics.gateway_command_seconds.start_timer();
    let answer = tokio::time::timeout(gateway.request_timeout, next.run(request)).await;
    let response = answer.unwrap_or_else(|_| {
        let detail = "the command took too long; it may have been accepted: send it again, with its Idempotency-Key";
        Problem::unavailable(detail).into_response()
    });
    timer.observe_duration();
    gateway.metrics.gateway_commands_total.with_label_values(&[route, response.status().as_str()]).inc();
    response
}

/// Checks Postgres for readiness and deletes expired idempotency keys. A new, wiped or outdated database is migrated.
async fn watch_postgres(connections: Connections, pool: PgPool, check: CheckHandle, stop: CancellationToken) {
    let mut probe = tokio::time::interval(PROBE_INTERVAL);
    let mut cleanup = tokio::time::interval(CLEANUP_INTERVAL);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = probe.tick() => match database::ensure_migrated(&connections, &pool).await {
                Ok(()) => check.ok(),
                Err(error) => check.failing(causes(&error)),
            },
            _ = cleanup.tick() => match store::delete_expired_keys(&pool).await {
                Ok(0) => {}
                Ok(keys) => info!(keys, "expired idempotency keys deleted"),
                Err(error) => warn!(error = %causes(&error), "expired idempotency keys not deleted"),
            },
        }
    }
}
