//! Admin routes of every process: `/healthz`, `/readyz` and `/metrics`.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use jangbogo_telemetry::Telemetry;
use prometheus::TEXT_FORMAT;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

/// `/healthz`: 200 while the process runs. `/readyz`: 200, or 503 if a check fails, with all checks as JSON.
/// `/metrics`: Prometheus text format.
pub fn routes(telemetry: Telemetry) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(telemetry)
}

async fn readyz(State(telemetry): State<Telemetry>) -> Response {
    let report = telemetry.readiness.report();
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(report)).into_response()
}

async fn metrics(State(telemetry): State<Telemetry>) -> Response {
    match telemetry.metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, TEXT_FORMAT)], text).into_response(),
        Err(error) => {
            error!(%error, "cannot encode metrics");
            (StatusCode::INTERNAL_SERVER_ERROR, "cannot encode metrics; see the log for the cause\n").into_response()
        }
    }
}

/// HTTP server of a process that has no other. Listens on the loopback address only.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// The admin port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on 127.0.0.1:{port}; choose another --admin-port, or 0 for any free one")]
pub struct BindError {
    pub port: u16,
    source: io::Error,
}

impl AdminServer {
    /// Binds the port on the loopback address; 0 is any free one.
    ///
    /// # Errors
    /// When the port is in use.
    pub async fn bind(port: u16) -> Result<Self, BindError> {
        let failed = |source| BindError { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled.
    ///
    /// # Errors
    /// When the listener fails.
    pub async fn serve(self, telemetry: Telemetry, stop: CancellationToken) -> io::Result<()> {
        info!(address = %self.address, "admin: /healthz /readyz /metrics");
        axum::serve(self.listener, routes(telemetry)).with_graceful_shutdown(stop.cancelled_owned()).await
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use axum::http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn request(router: &Router, path: &str) -> (StatusCode, String) {
        let response = router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        (parts.status, String::from_utf8(to_bytes(body, usize::MAX).await.unwrap().to_vec()).unwrap())
    }

    #[tokio::test]
    async fn answers_health_readiness_and_metrics() {
        let telemetry = Telemetry::new().unwrap();
        let kafka = telemetry.readiness.check("kafka");
        let router = routes(telemetry);
        assert_eq!(request(&router, "/healthz").await, (StatusCode::OK, "ok\n".to_owned()));
        kafka.failing("broker transport failure");
        let (status, body) = request(&router, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(body.contains(r#""last_error":"broker transport failure""#), "{body}");
        kafka.ok();
        assert_eq!(request(&router, "/readyz").await.0, StatusCode::OK);
        assert!(request(&router, "/metrics").await.1.contains("process_resident_memory_bytes"));
    }

    #[tokio::test]
    async fn serves_until_it_is_stopped() {
        let server = AdminServer::bind(0).await.unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(Telemetry::new().unwrap(), stop.clone()));
        stop.cancel();
        serving.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_taken_port_is_named() {
        let taken = AdminServer::bind(0).await.unwrap();
        let port = taken.address().port();
        let error = AdminServer::bind(port).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on 127.0.0.1:{port}")));
    }
}
