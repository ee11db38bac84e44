//! The demo's HTTP client of the gateway and the query service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// Timeout until a process is ready.
const READY_LIMIT: Duration = Duration::from_mins(2);

pub type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A client of both services.
pub struct Web {
    client: reqwest::Client,
    gateway: String,
    query: String,
}

impl Web {
    pub fn new(gateway: SocketAddr, query: SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        Ok(Self { client, gateway: format!("http://{gateway}"), query: format!("http://{query}") })
    }

    /// Waits until every process is ready.
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
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.query);
        send(self.client.get(&url), StatusCode::OK, &format!("GET {url}")).await
    }

    /// Opens a WebSocket of the query service; retries while its subject is not folded yet (404).
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
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.gateway);
        send(self.client.post(&url).json(body), StatusCode::ACCEPTED, &format!("POST {url}")).await
    }
}

/// Sends a request, whose response must have this status and JSON.
async fn send(request: RequestBuilder, expected: StatusCode, description: &str) -> anyhow::Result<Value> {
    let answer = request.send().await.with_context(|| description.to_owned())?;
    let status = answer.status();
    let text = answer.text().await?;
    ensure!(status == expected, "{description} was answered with {status}: {text}");
    serde_json::from_str(&text).with_context(|| format!("{description} returned invalid JSON: {text}"))
}
