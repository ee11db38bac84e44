//! The three routes every process answers: `/healthz`, `/readyz` and `/metrics`.

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

/// `/healthz`: 200 while the process lives. `/readyz`: 200, or 503 if a check fails, with each check as JSON.
/// `/metrics`: Prometheus' text format.
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
            error!(%error, "metrics cannot be written");
            (StatusCode::INTERNAL_SERVER_ERROR, "metrics cannot be written; the log says why\n").into_response()
        }
    }
}

/// The HTTP server of a process that has no other: loopback only.
#[derive(Debug)]
pub struct AdminServer {
    listener: TcpListener,
    address: SocketAddr,
}

/// The admin port could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on 127.0.0.1:{port}; choose another --admin-port, or 0 for any free one")]
pub struct BindError {
    /// The port that was asked for.
    pub port: u16,
    source: io::Error,
}

impl AdminServer {
    /// Opens the port on the loopback address; 0 is any free one.
    ///
    /// # Errors
    /// When the port is taken.
    pub async fn bind(port: u16) -> Result<Self, BindError> {
        let failed = |source| BindError { port, source };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `stop` is cancelled.
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
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    async fn request(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_health_readiness_and_metrics() {
        let telemetry = Telemetry::new().unwrap();
        let kafka = telemetry.readiness.check("kafka");
        let server = AdminServer::bind(0).await.unwrap();
        let address = server.address();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(server.serve(telemetry, stop.clone()));

        assert!(request(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        kafka.failing("broker transport failure");
        let answer = request(address, "/readyz").await;
        assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        assert!(answer.contains(r#""last_error":"broker transport failure""#), "{answer}");
        kafka.ok();
        assert!(request(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(request(address, "/metrics").await.contains("process_resident_memory_bytes"));

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
