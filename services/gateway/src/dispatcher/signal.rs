//! The key `outbox:dispatcher:lock` in Redis: name of the process that holds the lease, for operators and tools.
//!
//! The key decides nothing: the leader is elected in Postgres (see [`super::lease`]). An outside contract requires it.

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

    /// Refreshes the key until `lost` is cancelled, then deletes it. Failures of Redis are only logged.
    pub(super) async fn keep(self, lost: CancellationToken) {
        let mut connection = None;
        let mut healthy = true;
        let mut interval = tokio::time::interval(RENEW_INTERVAL);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = lost.cancelled() => break,
                _ = interval.tick() => {}
            }
            match self.write(&mut connection).await {
                Ok(()) if healthy => {}
                Ok(()) => {
                    info!("redis recovered: outbox:dispatcher:lock is written again");
                    healthy = true;
                }
                Err(error) => {
                    connection = None;
                    if healthy {
                        warn!(%error, "redis unavailable: outbox:dispatcher:lock is not written; relaying continues");
                    }
                    healthy = false;
                }
            }
        }
        if let Some(mut connection) = connection {
            let delete = Script::new(DELETE_IF_OURS);
            let outcome: Result<(), RedisError> =
                delete.key(&self.key).arg(&self.holder).invoke_async(&mut connection).await;
            if let Err(error) = outcome {
                warn!(%error, "outbox:dispatcher:lock not deleted: it expires by itself");
            }
        }
    }

    async fn write(&self, connection: &mut Option<MultiplexedConnection>) -> Result<(), RedisError> {
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
