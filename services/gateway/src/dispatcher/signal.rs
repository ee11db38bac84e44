//! `outbox:dispatcher:lock` in Redis: who dispatches, for people and tools to see. It decides nothing.

use std::time::Duration;

use jangbogo_platform::config::Connections;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError, Script};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::lease::{LIFETIME, RENEW_INTERVAL};

const KEY: &str = "outbox:dispatcher:lock";
const TIMEOUT: Duration = Duration::from_millis(500);
const DELETE_IF_OURS: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) else return 0 end";

/// The key and what is written under it.
#[derive(Clone)]
pub(super) struct Signal {
    client: Client,
    key: String,
    holder: String,
}

impl Signal {
    pub(super) fn new(connections: &Connections, holder: String) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(connections.redis.as_str())?,
            key: connections.namespace.redis_key(KEY),
            holder,
        })
    }

    /// Keeps the key alive until `lost` is cancelled, then removes it. Redis may be away.
    pub(super) async fn keep(self, lost: CancellationToken) {
        let mut connection = None;
        let mut shown = true;
        let mut interval = tokio::time::interval(RENEW_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = lost.cancelled() => break,
                _ = interval.tick() => {}
            }
            match self.show(&mut connection).await {
                Ok(()) if shown => {}
                Ok(()) => {
                    info!("redis shows again who dispatches");
                    shown = true;
                }
                Err(error) => {
                    connection = None;
                    if shown {
                        warn!(%error, "redis does not show who dispatches; dispatching goes on");
                    }
                    shown = false;
                }
            }
        }
        if let Some(mut connection) = connection {
            let delete = Script::new(DELETE_IF_OURS);
            let outcome: Result<(), RedisError> =
                delete.key(&self.key).arg(&self.holder).invoke_async(&mut connection).await;
            if let Err(error) = outcome {
                warn!(%error, "redis shows for a while that this process dispatches");
            }
        }
    }

    async fn show(&self, connection: &mut Option<MultiplexedConnection>) -> Result<(), RedisError> {
        let connection = match connection {
            Some(connection) => connection,
            None => connection.insert(self.connect().await?),
        };
        redis::cmd("SET")
            .arg(&self.key)
            .arg(&self.holder)
            .arg("PX")
            .arg(LIFETIME.as_secs() * 1000)
            .query_async(connection)
            .await
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(TIMEOUT)).set_response_timeout(Some(TIMEOUT));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }
}
