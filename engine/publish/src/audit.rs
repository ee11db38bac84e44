//! Audit: compares every published value with its view over the live rows.
//!
//! The data change meanwhile, so a copy that differs is only a candidate. Candidates are re-checked until they are
//! equal, or until no publisher can be about to write them: in a snapshot of the rows without pending marks for the
//! key, during which its copy was not written, and for some seconds, in which a publisher would have noticed a store
//! that was emptied or a watermark that advanced.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jangbogo_fold::{Processor, Target, View, ViewKeys};
use jangbogo_platform::config::Connections;
use jangbogo_store::published::{PublishedValue, ranking_members};
use jangbogo_store::{Live, Rows, live};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgPool};

use super::copies::{Copied, Copies, Listing};
use super::{PublishError, elasticsearch, redis};

/// Keys compared in one batch.
const KEYS: usize = 200;
/// Pause between two checks of the candidates.
const PAUSE: Duration = Duration::from_millis(500);
/// Longer than the interval at which a publisher checks its stores and its watermark, pauses between rounds included.
const CERTAIN_AFTER: Duration = Duration::from_secs(5);
/// The remaining candidates are reported as unsettled if none was settled for this time.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// At most this many differences are reported in full.
const SAMPLES: usize = 100;

/// Result of comparing a generation's published values with its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Number of values compared, including stray ones of keys that their view does not have.
    pub checked: u64,
    /// Number of values that differ.
    pub differing: u64,
    /// Number of values that could not be decided: at each check they differed and were still to be published.
    pub unsettled: u64,
    /// At most 100 of both.
    pub samples: Vec<Difference>,
}

/// A published value that differs from its view over the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Name of the store: `redis` or `elasticsearch`.
    pub store: &'static str,
    pub view: &'static str,
    pub key: String,
    /// The view's value over the rows; none without rows.
    pub expected: Option<Value>,
    pub found: PublishedValue,
}

/// Keys of a view whose copies differed at the last check, each with the time since when no write was pending.
type Candidates = BTreeMap<String, Option<Instant>>;

/// Compares every published value of the live generation with its view over the live rows, except caches that other
/// programs fill. Calls `on_progress` with the number of values compared so far. Holds the keys of one view in memory.
///
/// # Errors
/// When a server is unavailable or refuses, or another generation goes live meanwhile.
pub async fn audit(
    connections: &Connections,
    pool: &PgPool,
    processor: &'static Processor,
    live: &Live,
    mut on_progress: impl FnMut(u64),
) -> Result<Audit, PublishError> {
    let auditor = Auditor { pool, processor, live, copies: Copies::new(connections, processor, live)? };
    let mut audit = Audit::default();
    let mut candidates_by_view = Vec::new();
    for view in processor.views() {
        if matches!(view.target, Target::Postgres | Target::RedisEviction) {
            continue;
        }
        let mut candidates = Candidates::new();
        let mut compared = HashSet::new();
        let mut after = String::new();
        while let Some(page) = auditor.compare_page(view, &after).await? {
            audit.checked += page.keys.len() as u64;
            on_progress(audit.checked);
            candidates.extend(page.candidates.into_iter().map(|key| (key, None)));
            page.keys.last().cloned().unwrap_or_default().clone_into(&mut after);
            compared.extend(page.keys);
        }
        let mut listing = Listing::new(view);
        while !matches!(listing, Listing::End) {
            for key in auditor.copies.next_keys(view, &mut listing).await? {
                if !compared.contains(&key) && candidates.insert(key, None).is_none() {
                    audit.checked += 1;
                }
            }
            on_progress(audit.checked);
        }
        candidates_by_view.push((view, candidates));
    }
    auditor.settle(candidates_by_view, &mut audit).await?;
    Ok(audit)
}

struct Auditor<'a> {
    pool: &'a PgPool,
    processor: &'static Processor,
    live: &'a Live,
    copies: Copies,
}

/// A batch of compared keys.
struct Page {
    keys: Vec<String>,
    candidates: Vec<String>,
}

impl Auditor<'_> {
    /// Compares the next keys of a view; none after the last.
    async fn compare_page(&self, view: &'static View, after: &str) -> Result<Option<Page>, PublishError> {
        let mut rows = Rows::begin(self.pool, &self.live.generation).await?;
        let keys: Vec<String> = sqlx::query_scalar(view.all_keys)
            .bind(after)
            .bind(i64::try_from(KEYS).unwrap_or(i64::MAX))
            .fetch_all(rows.connection())
            .await?;
        if keys.is_empty() {
            return Ok(None);
        }
        let expected = rows.view(view, &keys).await?;
        drop(rows);
        let copied = self.copies.read(view, &keys).await?;
        let compared = keys.iter().zip(expected).zip(copied);
        let differing = compared.filter(|((_, expected), copied)| !is_equal(view, expected.as_ref(), &copied.value));
        let candidates = differing.map(|((key, _), _)| key.clone()).collect();
        Ok(Some(Page { keys, candidates }))
    }

    /// Re-checks candidates until all are settled, or none was settled for [`STALL_TIMEOUT`].
    async fn settle(
        &self,
        mut candidates_by_view: Vec<(&'static View, Candidates)>,
        audit: &mut Audit,
    ) -> Result<(), PublishError> {
        let mut left = usize::MAX;
        let mut settled_at = Instant::now();
        loop {
            let left_before = left;
            left = candidates_by_view.iter().map(|(_, candidates)| candidates.len()).sum();
            if left == 0 {
                return Ok(());
            }
            if left < left_before {
                settled_at = Instant::now();
            }
            tokio::time::sleep(PAUSE).await;
            self.check_live().await?;
            let is_last = settled_at.elapsed() >= STALL_TIMEOUT;
            for (view, candidates) in &mut candidates_by_view {
                let keys: Vec<String> = candidates.keys().cloned().collect();
                for keys in keys.chunks(KEYS) {
                    self.recheck(view, keys, candidates, is_last, audit).await?;
                }
            }
        }
    }

    /// Re-checks some candidates: removes those that are equal and reports those that certainly differ. The others stay
    /// candidates, unless this check is the last.
    async fn recheck(
        &self,
        view: &'static View,
        keys: &[String],
        candidates: &mut Candidates,
        is_last: bool,
        audit: &mut Audit,
    ) -> Result<(), PublishError> {
        let before = self.copies.read(view, keys).await?;
        let mut rows = Rows::begin(self.pool, &self.live.generation).await?;
        let is_published = is_published(rows.connection(), view, keys).await?;
        let expected = rows.view(view, keys).await?;
        drop(rows);
        let after = self.copies.read(view, keys).await?;
        let checks = keys.iter().zip(expected).zip(before.into_iter().zip(after));
        for ((key, expected), (before, after)) in checks {
            let Some(since) = candidates.remove(key) else { continue };
            if is_equal(view, expected.as_ref(), &after.value) {
                continue;
            }
            let since = (is_published && before == after).then(|| since.unwrap_or_else(Instant::now));
            let is_certain = since.is_some_and(|since| since.elapsed() >= CERTAIN_AFTER);
            if !is_certain && !is_last {
                candidates.insert(key.clone(), since);
                continue;
            }
            if is_certain {
                audit.differing += 1;
            } else {
                audit.unsettled += 1;
            }
            if audit.samples.len() < SAMPLES {
                audit.samples.push(difference(view, key, expected, after));
            }
        }
        Ok(())
    }

    async fn check_live(&self) -> Result<(), PublishError> {
        let mut connection = self.pool.acquire().await?;
        let live = live(&mut connection, self.processor.name).await?;
        if live.as_ref() == Some(self.live) { Ok(()) } else { Err(PublishError::OtherPromotion) }
    }
}

/// True if all changes committed in this snapshot that these keys' values depend on were published before it.
async fn is_published(connection: &mut PgConnection, view: &View, keys: &[String]) -> Result<bool, sqlx::Error> {
    // Any mark may map to any key of such a view, or advance the watermark.
    let by_any_mark = view.full_refresh || !matches!(view.keys, ViewKeys::Same);
    sqlx::query_scalar(
        "SELECT NOT EXISTS (SELECT FROM dirty WHERE $1 OR (view = $2 AND key = ANY ($3)))
            AND NOT EXISTS (SELECT FROM publisher WHERE $2 = ANY (pending_sweeps))",
    )
    .bind(by_any_mark)
    .bind(view.name)
    .bind(keys)
    .fetch_one(connection)
    .await
}

/// True if readers get the rows' value. A missing key and a tombstone are the same to them.
fn is_equal(view: &View, expected: Option<&Value>, found: &PublishedValue) -> bool {
    match found {
        PublishedValue::Missing => expected.is_none(),
        PublishedValue::OtherPromotion | PublishedValue::Unreadable => false,
        PublishedValue::Value(found) if view.target == Target::RedisRanking => {
            scores(expected) == scores(found.as_ref())
        }
        PublishedValue::Value(found) => expected == found.as_ref(),
    }
}

/// Scores by member: neither a ranking's order nor the notation of a whole number matters.
fn scores(value: Option<&Value>) -> BTreeMap<String, f64> {
    ranking_members(value).into_iter().map(|(score, member)| (member, score)).collect()
}

fn difference(view: &'static View, key: &str, expected: Option<Value>, copied: Copied) -> Difference {
    let store = match view.target {
        Target::Elasticsearch { .. } => elasticsearch::STORE,
        _ => redis::STORE,
    };
    Difference { store, view: view.name, key: key.to_owned(), expected, found: copied.value }
}
