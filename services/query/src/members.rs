//! A member's list: loaded, ranked, and cached under a stamp.
//!
//! A cached list counts only under the stamp it was ranked under: the promotion of the rows and the member's version,
//! read before ranking. Whoever still writes an older list changes nothing, since its stamp is an older one.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_events::MemberId;
use jangbogo_ranking::{Ranking, RankingInput, Weights};
use jangbogo_ranking_store::{Asked, Products};
use jangbogo_read::{ReadError, Reader, Served};
use jangbogo_shared_projections::history::MEMBER_LIST_VIEW;
use moka::Expiry;
use moka::future::Cache;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The longest list; shorter ones are cut from it.
pub const MAX_ITEMS: usize = 100;
/// How long a list is kept in Redis, less up to a fifth, so that not all expire at once.
const KEEP: Duration = Duration::from_mins(5);
/// How long a list is kept that was ranked while changes were still being published.
const KEEP_UNSETTLED: Duration = Duration::from_secs(2);
/// How long a list is kept in this process.
const KEEP_IN_PROCESS: Duration = Duration::from_secs(5);
const MAX_IN_PROCESS: u64 = 10_000;

/// What a list was ranked under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Stamp {
    /// Which rows were live.
    pub promotion: Uuid,
    /// How many events of the member they held.
    pub member_events: i64,
}

/// A list as Redis has it.
#[derive(Debug, Serialize, Deserialize)]
struct Stamped {
    stamp: Stamp,
    ranking: Ranking,
}

/// A list as this process has it.
#[derive(Clone, Debug)]
struct Kept {
    ranking: Arc<Ranking>,
    keep: Duration,
}

/// Lists by member and stamp.
#[derive(Debug)]
pub struct MemberLists {
    reader: Arc<Reader>,
    products: Products,
    in_process: Cache<(MemberId, Stamp), Kept>,
}

/// A list, and whether a cache had it.
#[derive(Debug)]
pub struct MemberList {
    /// At most [`MAX_ITEMS`] items: ids, of which some may be retired by now.
    pub ranking: Arc<Ranking>,
    /// What the caches had to do with it.
    pub cache: CacheOutcome,
}

/// What the caches had to do with a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheOutcome {
    /// One had it.
    Hit,
    /// It was ranked for this request.
    Miss,
    /// It was ranked for this request, and none was asked: the request named a generation.
    Bypass,
}

impl CacheOutcome {
    /// As the header and the metric have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Bypass => "bypass",
        }
    }
}

/// What a list is ranked from.
struct Loaded {
    snapshot: RankingInput,
    member_events: i64,
    /// Redis has all that these rows say.
    settled: bool,
}

struct KeepEach;

impl<K> Expiry<K, Kept> for KeepEach {
    fn expire_after_create(&self, _: &K, kept: &Kept, _: Instant) -> Option<Duration> {
        Some(kept.keep)
    }
}

impl MemberLists {
    /// Nothing is cached yet.
    #[must_use]
    pub fn new(reader: Arc<Reader>) -> Self {
        let in_process = Cache::builder().max_capacity(MAX_IN_PROCESS).expire_after(KeepEach).build();
        Self { reader, products: Products::default(), in_process }
    }

    /// The list of a member.
    ///
    /// # Errors
    /// When Postgres is away.
    pub async fn list(&self, served: &Served, member_id: &MemberId) -> Result<MemberList, Arc<ReadError>> {
        let Some(promotion) = served.promotion else {
            let loaded = self.load(served, member_id).await.map_err(Arc::new)?;
            return Ok(MemberList { ranking: Arc::new(ranked(&loaded.snapshot)), cache: CacheOutcome::Bypass });
        };
        let version = self.version(served, member_id).await.map_err(Arc::new)?;
        let Some(member_events) = version else {
            // Not cached: anybody may ask for any number of members that do not exist.
            let loaded = self.load(served, member_id).await.map_err(Arc::new)?;
            return Ok(MemberList { ranking: Arc::new(ranked(&loaded.snapshot)), cache: CacheOutcome::Miss });
        };
        let stamp = Stamp { promotion, member_events };
        let ranked_now = AtomicBool::new(false);
        let load = async {
            if let Some(ranking) = self.in_redis(member_id, stamp).await {
                return Ok(Kept { ranking: Arc::new(ranking), keep: KEEP_IN_PROCESS });
            }
            ranked_now.store(true, Ordering::Relaxed);
            self.rank_and_cache(served, promotion, member_id).await
        };
        // Requests for one list at one time rank it once.
        let entry = self.in_process.entry((member_id.clone(), stamp)).or_try_insert_with(Box::pin(load)).await?;
        let cache = if ranked_now.into_inner() { CacheOutcome::Miss } else { CacheOutcome::Hit };
        Ok(MemberList { ranking: entry.into_value().ranking, cache })
    }

    /// How many events of a member the rows hold; none for a member they do not know.
    async fn version(&self, served: &Served, member_id: &MemberId) -> Result<Option<i64>, ReadError> {
        let sql = format!("SELECT events FROM {}.member WHERE member_id = $1", served.generation.schema);
        let found = sqlx::query_scalar::<_, Option<i64>>(&sql)
            .bind(member_id.as_str())
            .fetch_optional(self.reader.postgres())
            .await?;
        Ok(found.flatten())
    }

    async fn in_redis(&self, member_id: &MemberId, stamp: Stamp) -> Option<Ranking> {
        counts_under(&self.reader.cached(&redis_key(member_id)).await?, stamp)
    }

    async fn rank_and_cache(&self, served: &Served, promotion: Uuid, member_id: &MemberId) -> Result<Kept, ReadError> {
        let Loaded { snapshot, member_events, settled } = self.load(served, member_id).await?;
        // As the rows say that were ranked: they may be newer than those that were asked for.
        let stamped = Stamped { stamp: Stamp { promotion, member_events }, ranking: ranked(&snapshot) };
        let keep = if settled { with_jitter(KEEP, member_id) } else { KEEP_UNSETTLED };
        if let Ok(text) = serde_json::to_string(&stamped) {
            self.reader.cache(&redis_key(member_id), &text, keep).await;
        }
        Ok(Kept { ranking: Arc::new(stamped.ranking), keep: keep.min(KEEP_IN_PROCESS) })
    }

    /// Reads what the ranking needs.
    async fn load(&self, served: &Served, member_id: &MemberId) -> Result<Loaded, ReadError> {
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
        let snapshot =
            jangbogo_ranking_store::load_products(&self.products, &mut rows, member, Asked::default()).await?;
        Ok(Loaded { snapshot, member_events, settled })
    }
}

fn ranked(snapshot: &RankingInput) -> Ranking {
    jangbogo_ranking::rank(snapshot, None, Weights::default(), MAX_ITEMS)
}

fn redis_key(member_id: &MemberId) -> String {
    format!("{MEMBER_LIST_VIEW}:{member_id}")
}

/// The list in a cached text, if it was ranked under this stamp.
fn counts_under(text: &str, stamp: Stamp) -> Option<Ranking> {
    let found: Stamped = serde_json::from_str(text).ok()?;
    (found.stamp == stamp).then_some(found.ranking)
}

/// Up to a fifth less: the same for one member, different among members.
fn with_jitter(keep: Duration, member_id: &MemberId) -> Duration {
    let mut hasher = DefaultHasher::new();
    member_id.as_str().hash(&mut hasher);
    let thousandths = u32::try_from(800 + hasher.finish() % 201).unwrap_or(1000);
    keep * thousandths / 1000
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
            Ranking { basis: Basis::History, weights: Weights::default(), items: Vec::new(), lacking: Vec::new() };
        let text = serde_json::to_string(&Stamped { stamp, ranking: ranking.clone() }).unwrap();
        assert_eq!(counts_under(&text, stamp), Some(ranking));
        for other in [Stamp { member_events: 4, ..stamp }, Stamp { promotion: Uuid::from_u128(8), ..stamp }] {
            assert_eq!(counts_under(&text, other), None);
        }
        assert_eq!(counts_under("{}", stamp), None);
    }

    #[test]
    fn jitter_takes_up_to_a_fifth() {
        let kept: BTreeSet<Duration> =
            (0..100).map(|number| with_jitter(KEEP, &MemberId::new(number.to_string()).unwrap())).collect();
        assert!(kept.len() > 50);
        assert!(kept.iter().all(|keep| (KEEP * 4 / 5..=KEEP).contains(keep)));
    }
}
