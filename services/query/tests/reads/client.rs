//! A WebSocket client.

use std::time::Duration;

use futures::StreamExt as _;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    /// Opens a socket.
    ///
    /// # Errors
    /// The status of a rejection.
    pub async fn open(base: &str, path: &str) -> Result<Self, StatusCode> {
        match connect_async(format!("{}{path}", base.replace("http:", "ws:"))).await {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(Error::Http(response)) => Err(StatusCode::from_u16(response.status().as_u16()).unwrap()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Waits for the next message.
    pub async fn next(&mut self) -> Value {
        match self.within(Duration::from_secs(20)).await {
            Some(Message::Text(text)) => serde_json::from_str(&text).unwrap(),
            other => panic!("{other:?}"),
        }
    }

    /// Reads until the socket is live; returns the event ids of the entries before.
    pub async fn until_live(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let message = self.next().await;
            if message == json!({ "kind": "live" }) {
                return ids;
            }
            ids.push(message["event_id"].as_str().unwrap().to_owned());
        }
    }

    /// Asserts that nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let message = self.within(Duration::from_millis(400)).await;
        assert_eq!(message, None);
    }

    /// Reads until the socket is closed; returns the close code.
    pub async fn closed(&mut self) -> u16 {
        loop {
            match self.within(Duration::from_secs(20)).await {
                Some(Message::Close(Some(frame))) => return frame.code.into(),
                Some(Message::Text(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    async fn within(&mut self, timeout: Duration) -> Option<Message> {
        let deadline = tokio::time::Instant::now() + timeout;
        loop {
            match tokio::time::timeout_at(deadline, self.0.next()).await.ok()? {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(message)) => return Some(message),
                other => panic!("{other:?}"),
            }
        }
    }
}
