//! Views in Redis.

use deadpool_redis::Pool;
use jangbogo_fold::{Target, View};
use jangbogo_platform::config::{Connections, RedisDatabase};
use jangbogo_platform::namespace::Namespace;
use jangbogo_store::view::Entry;
use redis::Script;
use uuid::Uuid;

use super::{PublishError, Version};

/// Its name in the publisher's table.
pub(super) const STORE: &str = "redis";
/// The key whose loss means that everything is lost.
const INCARNATION: &str = "jangbogo:incarnation";
/// The field of a published hash that holds the promotion it belongs to.
pub const FIELD_PROMOTION: &str = "promotion";
/// The field of a published hash that holds the value, as JSON; `null` for a key without rows.
pub const FIELD_VALUE: &str = "value";
/// The promotion to come, in a hash that holds a value for it beside the live one.
pub const FIELD_NEXT_PROMOTION: &str = "next_promotion";
/// The value for the promotion to come.
pub const FIELD_NEXT_VALUE: &str = "next_value";

/// `KEYS`: the incarnation. `ARGV`: this run of the server, and a new name. Whoever comes first to an empty store names
/// it, and so does whoever comes first after a restart: the server may have loaded an older dump.
const NAME: &str = "
local found = redis.call('GET', KEYS[1])
if found and string.find(found, ARGV[1], 1, true) then return found end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]";

/// `KEYS`: the incarnation, then the hashes. `ARGV`: incarnation, promotion, epoch, number, then one value a hash.
/// Gives -1 when Redis is another one than expected. A value that is older than what is there is not written.
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

/// `KEYS`: the incarnation, the sorted set, its stamp. `ARGV`: as above, then score and member by turns.
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

/// `KEYS`: hashes, or stamps of sorted sets. `ARGV`: the promotion to come, then one value a key. A value for a later
/// promotion stays; one for a promotion that never came stays until the next one is published.
const WRITE_AHEAD: &str = "
for i = 1, #KEYS do
    local old = redis.call('HGET', KEYS[i], 'next_promotion')
    if not old or old <= ARGV[1] then
        redis.call('HSET', KEYS[i], 'next_promotion', ARGV[1], 'next_value', ARGV[i + 1])
    end
end";

/// Writes views to Redis.
pub struct RedisSink {
    pub(super) pool: Pool,
    pub(super) namespace: Namespace,
    incarnation: Option<String>,
    name: Script,
    write_hashes: Script,
    write_ranking: Script,
    write_ahead: Script,
}

impl RedisSink {
    pub(super) fn new(connections: &Connections, incarnation: Option<String>) -> Result<Self, PublishError> {
        Ok(Self {
            pool: connections.redis_pool(RedisDatabase::Views)?,
            namespace: connections.namespace.clone(),
            incarnation,
            name: Script::new(NAME),
            write_hashes: Script::new(WRITE_HASHES),
            write_ranking: Script::new(WRITE_RANKING),
            write_ahead: Script::new(WRITE_AHEAD),
        })
    }

    /// Gives the store's incarnation when it is another one than before.
    pub(super) async fn look(&mut self) -> Result<Option<String>, PublishError> {
        let mut connection = self.pool.get().await?;
        let about: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run = about.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or_default().trim();
        let mut call = self.name.key(self.namespace.redis_key(INCARNATION));
        let found: String =
            call.arg(run).arg(format!("{run} {}", Uuid::now_v7())).invoke_async(&mut connection).await?;
        if self.incarnation.as_ref() == Some(&found) {
            return Ok(None);
        }
        self.incarnation = Some(found.clone());
        Ok(Some(found))
    }

    pub(super) async fn write(&self, view: &View, version: Version, entries: &[Entry]) -> Result<(), PublishError> {
        let mut connection = self.pool.get().await?;
        let key = |entry: &Entry| self.namespace.redis_key(&format!("{}:{}", view.name, entry.key));
        let written: i64 = match view.target {
            Target::RedisEviction => {
                let mut unlink = redis::cmd("UNLINK");
                for entry in entries {
                    unlink.arg(key(entry));
                }
                unlink.query_async(&mut connection).await?
            }
            Target::RedisRanking => {
                let set = self.namespace.redis_key(view.name);
                let mut call = self.write_ranking.key(self.namespace.redis_key(INCARNATION));
                call.key(&set).key(format!("{set}:stamp"));
                stamp(&mut call, self.incarnation.as_deref(), version);
                for (score, product) in entries.iter().flat_map(ranked) {
                    call.arg(score).arg(product);
                }
                call.invoke_async(&mut connection).await?
            }
            _ => {
                let mut call = self.write_hashes.key(self.namespace.redis_key(INCARNATION));
                for entry in entries {
                    call.key(key(entry));
                }
                stamp(&mut call, self.incarnation.as_deref(), version);
                for entry in entries {
                    call.arg(text(entry));
                }
                call.invoke_async(&mut connection).await?
            }
        };
        if written < 0 {
            return Err(PublishError::OtherIncarnation(STORE));
        }
        Ok(())
    }

    /// Writes values for a promotion that is to come beside the live ones.
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
                Target::RedisRanking => self.namespace.redis_key(&format!("{}:stamp", view.name)),
                _ => self.namespace.redis_key(&format!("{}:{}", view.name, entry.key)),
            });
            call.arg(text(entry));
        }
        let mut connection = self.pool.get().await?;
        Ok(call.invoke_async(&mut connection).await?)
    }
}

/// A value as Redis holds it.
fn text(entry: &Entry) -> String {
    entry.value.as_ref().map_or_else(|| "null".to_owned(), ToString::to_string)
}

fn stamp(call: &mut redis::ScriptInvocation<'_>, incarnation: Option<&str>, version: Version) {
    call.arg(incarnation.unwrap_or_default());
    call.arg(version.promotion.to_string()).arg(version.epoch).arg(version.number);
}

/// Scores and products of a ranking's value.
pub(super) fn ranked(entry: &Entry) -> Vec<(f64, String)> {
    let items = entry.value.as_ref().and_then(serde_json::Value::as_array).cloned().unwrap_or_default();
    items
        .iter()
        .filter_map(|item| Some((item.get("score")?.as_f64()?, item.get("product_id")?.as_str()?.to_owned())))
        .collect()
}
