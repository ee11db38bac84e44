//! Writes views to Redis.

use deadpool_redis::Pool;
use jangbogo_fold::{Target, View};
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::namespace::Namespace;
use jangbogo_store::published::{encode, hash_key, ranking_key, ranking_members, stamp_key};
use jangbogo_store::view::Entry;
use redis::Script;
use uuid::Uuid;

use super::{PublishError, Version};

/// The store's name in the columns of the publisher's table.
pub(super) const STORE: &str = "redis";
/// The key of the store's instance id. A store without it, or with another, has lost what was published.
const INSTANCE_ID: &str = "jangbogo:incarnation";
/// Sets the instance id of a store that is empty or was restarted (the server may have loaded an older dump), and
/// returns it. `KEYS`: the instance id. `ARGV`: the server's run id, and a new instance id, which begins with the run
/// id.
const IDENTIFY: &str = "
local found = redis.call('GET', KEYS[1])
if found and string.find(found, ARGV[1], 1, true) then return found end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]";

/// Writes hashes unless they hold a newer value. Returns -1 if the instance id differs. `KEYS`: the instance id, then
/// the hashes. `ARGV`: instance id, promotion, epoch, number, then one value for each hash.
const WRITE_HASHES: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local written = 0
for i = 2, #KEYS do
    local old = redis.call('HMGET', KEYS[i], 'promotion', 'epoch', 'number', 'next_promotion')
    local newer = not old[1] or old[1] < ARGV[2] or (old[1] == ARGV[2] and
        (tonumber(old[2]) < tonumber(ARGV[3]) or
        (tonumber(old[2]) == tonumber(ARGV[3]) and tonumber(old[3]) < tonumber(ARGV[4]))))
    if newer then
        redis.call('HSET', KEYS[i], 'promotion', ARGV[2], 'epoch', ARGV[3], 'number', ARGV[4], 'value', ARGV[i + 3])
        if old[4] and old[4] <= ARGV[2] then redis.call('HDEL', KEYS[i], 'next_promotion', 'next_value') end
        written = written + 1
    end
end
return written";

/// Replaces a ranking unless it is newer. `KEYS`: the instance id, the sorted set, its stamp. `ARGV`: as above, then
/// score and member in turn.
const WRITE_RANKING: &str = "
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end
local old = redis.call('HMGET', KEYS[3], 'promotion', 'epoch', 'number', 'next_promotion')
local newer = not old[1] or old[1] < ARGV[2] or (old[1] == ARGV[2] and
    (tonumber(old[2]) < tonumber(ARGV[3]) or
    (tonumber(old[2]) == tonumber(ARGV[3]) and tonumber(old[3]) < tonumber(ARGV[4]))))
if not newer then return 0 end
redis.call('DEL', KEYS[2])
for i = 5, #ARGV, 2 do redis.call('ZADD', KEYS[2], ARGV[i], ARGV[i + 1]) end
redis.call('HSET', KEYS[3], 'promotion', ARGV[2], 'epoch', ARGV[3], 'number', ARGV[4])
if old[4] and old[4] <= ARGV[2] then redis.call('HDEL', KEYS[3], 'next_promotion', 'next_value') end
return 1";

/// Writes values ahead of a cut-over. `KEYS`: hashes, or stamps of sorted sets. `ARGV`: the next promotion, then one
/// value for each key. A value for a later promotion is kept; one for a promotion that never went live stays until the
/// next value is published.
const WRITE_AHEAD: &str = "
for i = 1, #KEYS do
    local old = redis.call('HGET', KEYS[i], 'next_promotion')
    if not old or old <= ARGV[1] then
        redis.call('HSET', KEYS[i], 'next_promotion', ARGV[1], 'next_value', ARGV[i + 1])
    end
end";

/// Writes views to Redis.
pub(super) struct RedisSink {
    pub(super) pool: Pool,
    pub(super) namespace: Namespace,
    instance_id: Option<String>,
    identify: Script,
    write_hashes: Script,
    write_ranking: Script,
    write_ahead: Script,
}

impl RedisSink {
    pub(super) fn new(connections: &Connections, instance_id: Option<String>) -> Result<Self, PublishError> {
        Ok(Self {
            pool: connections.redis_pool(RedisDatabase::Views)?,
            namespace: connections.namespace.clone(),
            instance_id,
            identify: Script::new(IDENTIFY),
            write_hashes: Script::new(WRITE_HASHES),
            write_ranking: Script::new(WRITE_RANKING),
            write_ahead: Script::new(WRITE_AHEAD),
        })
    }

    /// The store's instance id, if it has changed.
    pub(super) async fn changed_instance(&mut self) -> Result<Option<String>, PublishError> {
        let mut connection = self.pool.get().await?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim();
        let mut call = self.identify.key(self.namespace.redis_key(INSTANCE_ID));
        let current: String =
            call.arg(run_id).arg(format!("{run_id} {}", Uuid::now_v7())).invoke_async(&mut connection).await?;
        if self.instance_id.as_ref() == Some(&current) {
            return Ok(None);
        }
        self.instance_id = Some(current.clone());
        Ok(Some(current))
    }

    pub(super) async fn write(&self, view: &View, version: Version, entries: &[Entry]) -> Result<(), PublishError> {
        let mut connection = self.pool.get().await?;
        let key = |entry: &Entry| hash_key(&self.namespace, view, &entry.key);
        let written: i64 = match view.target {
            Target::RedisEviction => {
                let mut unlink = redis::cmd("UNLINK");
                for entry in entries {
                    unlink.arg(key(entry));
                }
                unlink.query_async(&mut connection).await?
            }
            Target::RedisRanking => {
                let mut call = self.write_ranking.key(self.namespace.redis_key(INSTANCE_ID));
                call.key(ranking_key(&self.namespace, view)).key(stamp_key(&self.namespace, view));
                stamp(&mut call, self.instance_id.as_deref(), version);
                for (score, product) in entries.iter().flat_map(|entry| ranking_members(entry.value.as_ref())) {
                    call.arg(score).arg(product);
                }
                call.invoke_async(&mut connection).await?
            }
            _ => {
                let mut call = self.write_hashes.key(self.namespace.redis_key(INSTANCE_ID));
                for entry in entries {
                    call.key(key(entry));
                }
                stamp(&mut call, self.instance_id.as_deref(), version);
                for entry in entries {
                    call.arg(encode(entry.value.as_ref()));
                }
                call.invoke_async(&mut connection).await?
            }
        };
        if written < 0 {
            return Err(PublishError::OtherInstance(STORE));
        }
        Ok(())
    }

    /// Writes values of the next promotion beside the live ones.
    pub(super) async fn write_ahead(
        &self,
        view: &View,
        promotion: Uuid,
        entries: &[Entry],
    ) -> Result<(), PublishError> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut call = self.write_ahead.arg(promotion.to_string());
        for entry in entries {
            call.key(match view.target {
                Target::RedisRanking => stamp_key(&self.namespace, view),
                _ => hash_key(&self.namespace, view, &entry.key),
            });
            call.arg(encode(entry.value.as_ref()));
        }
        let mut connection = self.pool.get().await?;
        Ok(call.invoke_async(&mut connection).await?)
    }
}

fn stamp(call: &mut redis::ScriptInvocation<'_>, instance_id: Option<&str>, version: Version) {
    call.arg(instance_id.unwrap_or_default());
    call.arg(version.promotion.to_string()).arg(version.epoch).arg(version.number);
}
