//! Removes leftovers of earlier promotions, once a turn, after a full refresh of every view: values in Redis, live or
//! published ahead, of keys that a view no longer has, and indexes in Elasticsearch of generations that Postgres does
//! not have. Until then readers ignore them.

use jangbogo_fold::{Target, View};
use jangbogo_store::published::{ranking_key, stamp_key};
use redis::Script;
use uuid::Uuid;

use super::{PublishError, Publisher, RedisSink};

/// Keys scanned at a time: Redis is not blocked, and publishing continues in between.
const SCAN_PAGE: usize = 1_000;

/// Deletes values of earlier promotions. `KEYS`: in turn, the hash with the promotion, and the key of the value.
/// `ARGV`: the live promotion. A value published ahead for it that has not become the live one by now belongs to a key
/// without rows.
const REMOVE_EARLIER: &str = "
local removed = 0
for i = 1, #KEYS, 2 do
    local found = redis.call('HMGET', KEYS[i], 'promotion', 'next_promotion')
    local is_earlier = found[1] and found[1] < ARGV[1]
    if is_earlier or (not found[1] and found[2] and found[2] <= ARGV[1]) then
        redis.call('UNLINK', KEYS[i], KEYS[i + 1])
        removed = removed + 1
    end
end
return removed";

/// Progress of this turn's cleanup. A new turn starts over.
pub(super) enum Cleanup {
    /// Scanning a view in Redis: its number, and the cursor.
    Redis {
        view: usize,
        cursor: u64,
    },
    /// Before the check of the indexes.
    Search,
    Done,
}

impl Cleanup {
    pub(super) const START: Self = Self::Redis { view: 0, cursor: 0 };
}

impl Publisher {
    /// Cleans up one chunk. Returns the number of keys or indexes removed, at least 1 while there is more to check.
    pub(super) async fn clean_up(&mut self) -> Result<usize, PublishError> {
        match self.cleanup {
            Cleanup::Redis { view, cursor } => self.clean_up_redis(view, cursor).await,
            Cleanup::Search => self.clean_up_search().await,
            Cleanup::Done => Ok(0),
        }
    }

    async fn clean_up_redis(&mut self, number: usize, cursor: u64) -> Result<usize, PublishError> {
        let kept_in_redis = |view: &&View| view.target.is_kept_in_redis();
        let view = self.context.processor.views().filter(kept_in_redis).nth(number);
        let (Some(redis), Some(view)) = (&self.redis, view) else {
            self.cleanup = Cleanup::Search;
            return Ok(1);
        };
        if !self.refreshes.are_complete(kept_in_redis) {
            return Ok(0);
        }
        let (next, removed) = redis.remove_earlier(view, self.version.promotion, cursor).await?;
        let number = if next == 0 { number + 1 } else { number };
        self.cleanup = Cleanup::Redis { view: number, cursor: next };
        Ok(removed.max(1))
    }

    /// Removes indexes of generations that Postgres does not have, as after a wiped database.
    async fn clean_up_search(&mut self) -> Result<usize, PublishError> {
        let kept_in_search = |view: &&View| matches!(view.target, Target::Elasticsearch { .. });
        let mut removed = 0;
        if let Some(search) = &self.search {
            if !self.refreshes.are_complete(kept_in_search) {
                return Ok(0);
            }
            // In this order: a generation exists before its index does.
            let indexes = search.generations().await?;
            let known: Vec<Uuid> =
                sqlx::query_scalar("SELECT generation FROM public.generation").fetch_all(&mut self.connection).await?;
            for generation in indexes.into_iter().filter(|generation| !known.contains(generation)) {
                search.delete_indexes(generation).await?;
                removed += 1;
            }
        }
        self.cleanup = Cleanup::Done;
        Ok(removed)
    }
}

impl RedisSink {
    /// Removes a page of a view's values of earlier promotions. Returns the next cursor, 0 at the end, and their
    /// number.
    async fn remove_earlier(&self, view: &View, live: Uuid, cursor: u64) -> Result<(u64, usize), PublishError> {
        let mut connection = self.pool.get().await?;
        let name = ranking_key(&self.namespace, view);
        let (next, pairs) = if view.target == Target::RedisRanking {
            (0, vec![(stamp_key(&self.namespace, view), name)])
        } else {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{name}:*")).arg("COUNT").arg(SCAN_PAGE).arg("TYPE").arg("hash");
            let (next, keys): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            (next, keys.into_iter().map(|key| (key.clone(), key)).collect())
        };
        if pairs.is_empty() {
            return Ok((next, 0));
        }
        let script = Script::new(REMOVE_EARLIER);
        let mut call = script.prepare_invoke();
        for (stamp, value) in pairs {
            call.key(stamp).key(value);
        }
        let removed: usize = call.arg(live.to_string()).invoke_async(&mut connection).await?;
        Ok((next, removed))
    }
}
