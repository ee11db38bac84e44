//! Redis holds one generation's values only, and shortly before a cut-over the next one's beside them: what an earlier
//! promotion left under keys that views no longer have is removed, once a turn, after every view was published as a whole,
//! and so is what was published ahead under such keys. Until then readers disregard it. So are indexes in
//! Elasticsearch of generations that Postgres does not know any more.

use jangbogo_fold::{Target, View};
use redis::Script;
use uuid::Uuid;

use super::{PublishError, Publisher, RedisSink};

/// Keys looked through at a time: Redis is not held up, and publishing goes on in between.
const SCANNED: usize = 1_000;

/// `KEYS`: by turns, a hash that says which promotion it is of, and the key that goes with it. `ARGV`: the live
/// promotion. What was published ahead for it and is not in its place by now has no rows.
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

/// How far this turn's removal is. A turn that failed is followed by one that begins anew.
pub(super) enum Cleanup {
    /// The view in Redis that is looked through, counted from the first, and where.
    Redis { view: usize, cursor: u64 },
    /// The indexes are still to be looked at.
    Search,
    /// Nothing is left over.
    Done,
}

impl Cleanup {
    pub(super) const BEGINNING: Self = Self::Redis { view: 0, cursor: 0 };
}

impl Publisher {
    /// Goes on with one chunk. Gives how many keys or indexes were removed, and at least one while there is more to look
    /// through.
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
        if !self.refreshes.are_whole(kept_in_redis) {
            return Ok(0);
        }
        let (next, removed) = redis.remove_earlier(view, self.version.promotion, cursor).await?;
        let number = if next == 0 { number + 1 } else { number };
        self.cleanup = Cleanup::Redis { view: number, cursor: next };
        Ok(removed.max(1))
    }

    /// Removes indexes of generations that are gone, such as with a database that was wiped.
    async fn clean_up_search(&mut self) -> Result<usize, PublishError> {
        let kept_in_search = |view: &&View| matches!(view.target, Target::Elasticsearch { .. });
        let mut removed = 0;
        if let Some(search) = &self.search {
            if !self.refreshes.are_whole(kept_in_search) {
                return Ok(0);
            }
            // In this order: a generation is there before its index is.
            let indexes = search.generations().await?;
            let known: Vec<Uuid> =
                sqlx::query_scalar("SELECT generation FROM public.generation").fetch_all(&mut self.connection).await?;
            for generation in indexes.into_iter().filter(|generation| !known.contains(generation)) {
                search.delete_indexes_of(generation).await?;
                removed += 1;
            }
        }
        self.cleanup = Cleanup::Done;
        Ok(removed)
    }
}

impl RedisSink {
    /// Removes some of a view's values of earlier promotions. Gives where to go on, 0 at the end, and how many those were.
    async fn remove_earlier(&self, view: &View, live: Uuid, cursor: u64) -> Result<(u64, usize), PublishError> {
        let mut connection = self.pool.get().await?;
        let name = self.namespace.redis_key(view.name);
        let (next, pairs) = if view.target == Target::RedisRanking {
            (0, vec![(format!("{name}:stamp"), name)])
        } else {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{name}:*")).arg("COUNT").arg(SCANNED).arg("TYPE").arg("hash");
            let (next, found): (u64, Vec<String>) = scan.query_async(&mut connection).await?;
            (next, found.into_iter().map(|key| (key.clone(), key)).collect())
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
