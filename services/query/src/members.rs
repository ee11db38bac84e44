//! Recommendations of a member: loaded, ranked, and cached under a stamp.
//!
//! A cached list is valid only for the stamp it was ranked under: the promotion of the rows and the member's version,
//! read before ranking. A late write of an older list is harmless, since it carries an older stamp.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_events::MemberId;
use jangbogo_ranking::{Ranking, RankingInput, Weights};
use jangbogo_ranking_store::{Products, RequestInput};
use jangbogo_read::{ReadError, Reader, Served};
use jangbogo_shared_projections::history::MEMBER_LIST_VIEW;
use moka::Expiry;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Length of a list; shorter ones are cut from it.
pub const MAX_ITEMS: usize = 100;
/// Time to live of a list in Redis, less jitter of up to a fifth, so that not all expire at once.
const TTL: Duration = Duration::from_mins(5);
/// Time to live of a list that was ranked while changes were still being published.
const UNSETTLED_TTL: Duration = Duration::from_secs(2);
/// Time to live of a list in this process.
const IN_PROCESS_TTL: Duration = Duration::from_secs(5);
const MAX_IN_PROCESS: u64 = 10_000;

/// The version of the data that a list was ranked from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    pub promotion: Uuid,
    /// Number of the member's events in its rows.
    pub member_events: i64,
}

/// A list as stored in Redis.
#[derive(Debug, Serialize, Deserialize)]
struct Stamped {
    stamp: Stamp,
    ranking: Ranking,
}

/// A list as cached in this process.
#[derive(Clone, Debug)]
struct CachedList {
    ranking: Arc<Ranking>,
    ttl: Duration,
}

/// Loads, ranks and caches lists, by member and stamp.
#[derive(Debug)]
pub struct MemberLists {
    reader: Arc<Reader>,
    products: Products,
    in_process: Cache<(MemberId, Stamp), CachedList>,
}

/// A list, and whether it was cached.
#[derive(Debug)]
pub struct MemberList {
    /// At most [`MAX_ITEMS`] items, of which some may be retired by now.
    pub ranking: Arc<Ranking>,
    pub cache: CacheOutcome,
}

/// Outcome of a cache lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// The list was found in this process or in Redis.
    Hit,
    /// The list was ranked for this request.
    Miss,
    /// The list was ranked for this request without a lookup: the request named a generation.
    Bypass,
}

impl CacheOutcome {
    /// The value of the header and of the metric's label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

struct LoadedInput {
    input: RankingInput,
    member_events: i64,
    /// Everything of these rows is published to Redis.
    settled: bool,
}

struct PerEntryTtl;

impl<K> Expiry<K, CachedList> for PerEntryTtl {
    fn expire_after_create(&self, _: &K, cached: &CachedList, _: Instant) -> Option<Duration> {
        Some(cached.ttl)
    }
}

impl MemberLists {
    pub fn new(reader: Arc<Reader>) -> Self {
        let in_process = Cache::builder().max_capacity(MAX_IN_PROCESS).expire_after(PerEntryTtl).build();
        Self { reader, products: Products::default(), in_process }
    }

    /// The list of a member, from a cache or ranked now.
    pub async fn list(&self, served: &Served, member_id: &MemberId) -> Result<MemberList, Arc<ReadError>> {
        let Some(promotion) = served.promotion else {
            let loaded = self.load(served, member_id).await.map_err(Arc::new)?;
            return Ok(MemberList { ranking: Arc::new(rank(&loaded.input)), cache: CacheOutcome::Bypass });
        };
        let version = self.version(served, member_id).await.map_err(Arc::new)?;
        let Some(member_events) = version else {
            // Not cached: requests for members that do not exist must not fill the cache.
            let loaded = self.load(served, member_id).await.map_err(Arc::new)?;
            return Ok(MemberList { ranking: Arc::new(rank(&loaded.input)), cache: CacheOutcome::Miss });
        };
        let stamp = Stamp { promotion, member_events };
        let ranked_now = AtomicBool::new(false);
        let load = async {
            if let Some(ranking) = self.in_redis(member_id, stamp).await {
                return Ok(CachedList { ranking: Arc::new(ranking), ttl: IN_PROCESS_TTL });
            }
            ranked_now.store(true, Ordering::Relaxed);
            self.rank_and_cache(served, promotion, member_id).await
        };
        // Single-flight: concurrent requests for one list rank it once.
        let entry = self.in_process.entry((member_id.clone(), stamp)).or_try_insert_with(Box::pin(load)).await?;
        let cache = if ranked_now.into_inner() { CacheOutcome::Miss } else { CacheOutcome::Hit };
        Ok(MemberList { ranking: entry.into_value().ranking, cache })
    }

    /// Number of a member's events in the rows; none for an unknown member.
    async fn version(&self, served: &Served, member_id: &MemberId) -> Result<Option<i64>, ReadError> {
        let sql = format!("SELECT events FROM {}.member WHERE member_id = $1", served.generation.schema);
        let found = sqlx::query_scalar::<_, Option<i64>>(&sql)
            .bind(member_id.as_str())
            .fetch_optional(self.reader.postgres())
            .await?;
        Ok(found.flatten())
    }

    async fn in_redis(&self, member_id: &MemberId, stamp: Stamp) -> Option<Ranking> {
        valid_under(&self.reader.cached(&redis_key(member_id)).await?, stamp)
    }

    async fn rank_and_cache(
        &self,
        served: &Served,
        promotion: Uuid,
        member_id: &MemberId,
    ) -> Result<CachedList, ReadError> {
        let LoadedInput { input, member_events, settled } = self.load(served, member_id).await?;
        // As the rows say that were ranked: they may be newer than those that were asked for.
        let stamped = Stamped { stamp: Stamp { promotion, member_events }, ranking: rank(&input) };
        let ttl = if settled { with_jitter(TTL, member_id) } else { UNSETTLED_TTL };
        if let Ok(text) = serde_json::to_string(&stamped) {
            self.reader.cache(&redis_key(member_id), &text, ttl).await;
        }
        Ok(CachedList { ranking: Arc::new(stamped.ranking), ttl: ttl.min(IN_PROCESS_TTL) })
    }

    async fn load(&self, served: &Served, member_id: &MemberId) -> Result<LoadedInput, ReadError> {
        let mut rows = self.reader.rows(served).await?;
        // Marks go only with what they mark published: without them, Redis has all that these rows say.
        let settled: bool = sqlx::query_scalar(
            "SELECT NOT EXISTS (SELECT FROM dirty)
                AND NOT EXISTS (SELECT FROM publisher WHERE pending_sweeps <> '{}')",
        )
        .fetch_one(rows.connection())
        .await?;
        let member = jangbogo_ranking_store::load_member(&self.reader, served, &mut rows, member_id).await?;
        let member_events = member.events;
        let input =
            jangbogo_ranking_store::load_products(&self.products, &mut rows, member, RequestInput::default()).await?;
        Ok(LoadedInput { input, member_events, settled })
    }
}

fn rank(input: &RankingInput) -> Ranking {
    jangbogo_ranking::rank(input, None, Weights::default(), MAX_ITEMS)
}

fn redis_key(member_id: &MemberId) -> String {
    format!("{MEMBER_LIST_VIEW}:{member_id}")
}

/// Decodes a cached list, if it was ranked under this stamp.
fn valid_under(text: &str, stamp: Stamp) -> Option<Ranking> {
    let found: Stamped = serde_json::from_str(text).ok()?;
    (found.stamp == stamp).then_some(found.ranking)
}

/// Jitter: up to a fifth less, the same for one member.
fn with_jitter(ttl: Duration, member_id: &MemberId) -> Duration {
    let mut hasher = DefaultHasher::new();
    member_id.as_str().hash(&mut hasher);
    let thousandths = u32::try_from(800 + hasher.finish() % 201).unwrap_or(1000);
    ttl * thousandths / 1000
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jangbogo_ranking::Basis;

    use super::*;

    #[test]
    fn a_cached_list_counts_only_under_its_own_stamp() {
        let stamp = Stamp { promotion: Uuid::from_u128(7), member_events: 3 };
        let ranking =
            Ranking { basis: Basis::History, weights: Weights::default(), items: Vec::new(), unmet: Vec::new() };
        let text = serde_json::to_string(&Stamped { stamp, ranking: ranking.clone() }).unwrap();
        assert_eq!(valid_under(&text, stamp), Some(ranking));
        for other in [Stamp { member_events: 4, ..stamp }, Stamp { promotion: Uuid::from_u128(8), ..stamp }] {
            assert_eq!(valid_under(&text, other), None);
        }
        assert_eq!(valid_under("{}", stamp), None);
    }

    #[test]
    fn jitter_takes_up_to_a_fifth() {
        let cached: BTreeSet<Duration> =
            (0..100).map(|number| with_jitter(TTL, &MemberId::new(number.to_string()).unwrap())).collect();
        assert!(cached.len() > 50);
        assert!(cached.iter().all(|ttl| (TTL * 4 / 5..=TTL).contains(ttl)));
    }
}
