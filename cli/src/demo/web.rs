//! The demo's HTTP client of the gateway and the query service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Timeout until a process is ready.
const READY_LIMIT: Duration = Duration::from_mins(2);

/// An open WebSocket.
pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client of both services.
pub struct Web {
    client: reqwest::Client,
    gateway: String,
    query: String,
}

impl Web {
    /// # Errors
    /// When the client cannot be built.
    pub fn new(gateway: SocketAddr, query: SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        Ok(Self { client, gateway: format!("http://{gateway}"), query: format!("http://{query}") })
    }

    /// Waits until every process is ready.
    ///
    /// # Errors
    /// On a timeout; the message has the response of `/readyz`.
    pub async fn ready(&self, addresses: &[(&'static str, String)]) -> anyhow::Result<()> {
        let started = Instant::now();
        for (name, address) in addresses {
            loop {
                let reason = match self.client.get(format!("http://{address}/readyz")).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                if started.elapsed() > READY_LIMIT {
                    bail!("{name} is not ready after {READY_LIMIT:?}: {reason}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// Sends a GET request to the query service.
    ///
    /// # Errors
    /// When the response is not 200 with JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.query);
        let answer = self.client.get(&url).send().await.with_context(|| format!("GET {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {url} was answered with {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("GET {url} returned invalid JSON: {text}"))
    }

    /// Opens a WebSocket of the query service; retries while its subject is not folded yet (404).
    ///
    /// # Errors
    /// On a timeout, or when the service is unavailable.
    pub async fn stream(&self, path: &str, limit: Duration) -> anyhow::Result<Socket> {
        let url = format!("{}{path}", self.query.replacen("http", "ws", 1));
        let started = Instant::now();
        loop {
            match connect_async(&url).await {
                Ok((socket, _)) => return Ok(socket),
                Err(WebSocketError::Http(answer))
                    if answer.status() == StatusCode::NOT_FOUND && started.elapsed() < limit => {}
                Err(error) => return Err(error).with_context(|| format!("GET {url}")),
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Sends a command to the gateway.
    ///
    /// # Errors
    /// When it is not accepted.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.gateway);
        let answer = self.client.post(&url).json(body).send().await.with_context(|| format!("POST {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if status.as_u16() != 202 {
            bail!("POST {url} was answered with {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("POST {url} returned invalid JSON: {text}"))
    }
}
