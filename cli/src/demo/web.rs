//! The demo's own requests to gateway and query service.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::StatusCode;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

/// How long a process may take until it is ready.
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
    /// For the services' addresses.
    ///
    /// # Errors
    /// When the client cannot be built.
    pub fn new(gateway: SocketAddr, query: SocketAddr) -> anyhow::Result<Self> {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).no_proxy().build()?;
        Ok(Self { client, gateway: format!("http://{gateway}"), query: format!("http://{query}") })
    }

    /// Waits until every process says that it is ready.
    ///
    /// # Errors
    /// When one does not in time; the message holds its own account.
    pub async fn ready(&self, addresses: &[(&'static str, String)]) -> anyhow::Result<()> {
        let started = Instant::now();
        for (name, address) in addresses {
            loop {
                let account = match self.client.get(format!("http://{address}/readyz")).send().await {
                    Ok(answer) if answer.status().is_success() => break,
                    Ok(answer) => answer.text().await.unwrap_or_default(),
                    Err(error) => error.to_string(),
                };
                if started.elapsed() > READY_LIMIT {
                    bail!("{name} is not ready after {READY_LIMIT:?}: {account}");
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    }

    /// A read of the query service.
    ///
    /// # Errors
    /// When it does not answer with 200 and JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Value> {
        let url = format!("{}{path}", self.query);
        let answer = self.client.get(&url).send().await.with_context(|| format!("GET {url}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("GET {url} was answered with {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("GET {url} gave no JSON: {text}"))
    }

    /// A WebSocket of the query service, once what it is about is known there.
    ///
    /// # Errors
    /// When it is not known in time, or the service does not answer.
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

    /// A command to the gateway.
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
        serde_json::from_str(&text).with_context(|| format!("POST {url} gave no JSON: {text}"))
    }
}
