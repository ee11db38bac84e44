//! The HTTP server of a service: opens its address, and stops gracefully.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// The address of a service could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}; choose another --listen")]
pub struct ListenError {
    /// The address that was requested.
    pub address: SocketAddr,
    source: io::Error,
}

/// Opens the address of a service.
///
/// # Errors
/// When the address is in use or not this machine's.
pub async fn listen(address: SocketAddr) -> Result<TcpListener, ListenError> {
    TcpListener::bind(address).await.map_err(|source| ListenError { address, source })
}

/// Answers requests until `stop` is cancelled, then finishes those that have begun.
///
/// # Errors
/// When the listener fails.
pub async fn serve(service: &str, listener: TcpListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    info!(address = %listener.local_addr()?, "{service}: /v1 /openapi.json /healthz /readyz /metrics");
    axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_in_use_is_an_error_that_names_it() {
        let listener = listen(([127, 0, 0, 1], 0).into()).await.unwrap();
        let taken = listener.local_addr().unwrap();
        let error = listen(taken).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on {taken}; choose another --listen"));
    }
}
