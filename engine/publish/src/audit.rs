//! Whether what was published is what the rows say: every copy is compared with its view over the live rows.
//!
//! A live shop moves meanwhile. A copy that differs is only suspected, and is looked at again until it is equal, or
//! until it is certain that no publisher is about to write it: in a snapshot of the rows that holds nothing to be
//! published for it, while nobody wrote it from before to after that snapshot, and again for some seconds, in which a
//! publisher would have noticed a store that was emptied or a watermark that went on.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use jangbogo_fold::{Processor, Target, View, ViewKeys};
use jangbogo_platform::config::Connections;
use jangbogo_store::view::Entry;
use jangbogo_store::{Live, Rows, live};
use serde::Serialize;
use serde_json::Value;
use sqlx::postgres::{PgConnection, PgPool};

use super::copies::{Copied, Copies, Found, Listing};
use super::redis::ranked;
use super::{PublishError, elasticsearch, redis};

/// Keys compared at a time.
const KEYS: usize = 200;
/// Between two looks at what is suspected.
const PAUSE: Duration = Duration::from_millis(500);
/// A publisher looks at its stores and its watermark more often than this, rests between rounds included.
const CERTAIN_AFTER: Duration = Duration::from_secs(5);
/// After so long without any suspicion resolved, either way, the rest is given up.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(30);
/// Differences that are told in full.
const SAMPLES: usize = 100;

/// What came of comparing a generation's published values with its rows.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Audit {
    /// Values compared, those included that no key of a view stands for.
    pub checked: u64,
    /// Those that certainly differ.
    pub differing: u64,
    /// Those of which nothing can be said: whenever they were looked at, they differed and were still to be published.
    pub unsettled: u64,
    /// At most a hundred of both.
    pub samples: Vec<Difference>,
}

/// A published value that is not what the rows say.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// `redis` or `elasticsearch`.
    pub store: &'static str,
    /// The view.
    pub view: &'static str,
    /// Its key.
    pub key: String,
    /// What the rows say; none where they say nothing.
    pub expected: Option<Value>,
    /// What the store holds.
    pub found: Found,
}

/// Keys of a view whose copies differed when they were last looked at, and since when that was beyond generation_changed.
type Suspects = BTreeMap<String, Option<Instant>>;

/// Compares every value that is published of the live generation with its view over the live rows; caches apart, which
/// others fill. Tells how many values were compared so far. Holds the keys of one view in memory.
///
/// # Errors
/// When a server is away or refuses, or another generation goes live meanwhile.
pub async fn audit(
    connections: &Connections,
    pool: &PgPool,
    processor: &'static Processor,
    live: &Live,
    mut on_progress: impl FnMut(u64),
) -> Result<Audit, PublishError> {
    let auditor = Auditor { pool, processor, live, copies: Copies::new(connections, processor, live)? };
    let mut audit = Audit::default();
    let mut suspected = Vec::new();
    for view in processor.views() {
        if matches!(view.target, Target::Postgres | Target::RedisEviction) {
            continue;
        }
        let mut suspects = Suspects::new();
        let mut known = HashSet::new();
        let mut after = String::new();
        while let Some(page) = auditor.compare_page(view, &after).await? {
            audit.checked += page.keys.len() as u64;
            on_progress(audit.checked);
            suspects.extend(page.suspects.into_iter().map(|key| (key, None)));
            page.keys.last().cloned().unwrap_or_default().clone_into(&mut after);
            known.extend(page.keys);
        }
        let mut listing = Listing::of(view);
        while !matches!(listing, Listing::End) {
            for key in auditor.copies.next(view, &mut listing).await? {
                if !known.contains(&key) && suspects.insert(key, None).is_none() {
                    audit.checked += 1;
                }
            }
            on_progress(audit.checked);
        }
        suspected.push((view, suspects));
    }
    auditor.settle(suspected, &mut audit).await?;
    Ok(audit)
}

struct Auditor<'a> {
    pool: &'a PgPool,
    processor: &'static Processor,
    live: &'a Live,
    copies: Copies,
}

/// Some keys of a view that were compared.
struct Page {
    keys: Vec<String>,
    suspects: Vec<String>,
}

impl Auditor<'_> {
    /// The next keys of a view; none after the last.
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
        let differing = compared.filter(|((_, expected), copied)| !is_equal(view, expected.as_ref(), &copied.found));
        let suspects = differing.map(|((key, _), _)| key.clone()).collect();
        Ok(Some(Page { keys, suspects }))
    }

    /// Looks at suspects again until nothing is left in generation_changed, or no generation_changed is resolved any more.
    async fn settle(
        &self,
        mut suspected: Vec<(&'static View, Suspects)>,
        audit: &mut Audit,
    ) -> Result<(), PublishError> {
        let mut left = usize::MAX;
        let mut resolved_at = Instant::now();
        loop {
            let was_left = left;
            left = suspected.iter().map(|(_, suspects)| suspects.len()).sum();
            if left == 0 {
                return Ok(());
            }
            if left < was_left {
                resolved_at = Instant::now();
            }
            tokio::time::sleep(PAUSE).await;
            self.check_live().await?;
            let is_last = resolved_at.elapsed() >= GIVEN_UP_AFTER;
            for (view, suspects) in &mut suspected {
                let keys: Vec<String> = suspects.keys().cloned().collect();
                for keys in keys.chunks(KEYS) {
                    self.look_again(view, keys, suspects, is_last, audit).await?;
                }
            }
        }
    }

    /// Acquits or convicts some of the suspects, or leaves them for later.
    async fn look_again(
        &self,
        view: &'static View,
        keys: &[String],
        suspects: &mut Suspects,
        is_last: bool,
        audit: &mut Audit,
    ) -> Result<(), PublishError> {
        let before = self.copies.read(view, keys).await?;
        let mut rows = Rows::begin(self.pool, &self.live.generation).await?;
        let is_published = is_published(rows.connection(), view, keys).await?;
        let expected = rows.view(view, keys).await?;
        drop(rows);
        let after = self.copies.read(view, keys).await?;
        let looks = keys.iter().zip(expected).zip(before.into_iter().zip(after));
        for ((key, expected), (before, after)) in looks {
            let Some(since) = suspects.remove(key) else { continue };
            if is_equal(view, expected.as_ref(), &after.found) {
                continue;
            }
            let since = (is_published && before == after).then(|| since.unwrap_or_else(Instant::now));
            let is_certain = since.is_some_and(|since| since.elapsed() >= CERTAIN_AFTER);
            if !is_certain && !is_last {
                suspects.insert(key.clone(), since);
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
        let found = live(&mut connection, self.processor.name).await?;
        if found.as_ref() == Some(self.live) { Ok(()) } else { Err(PublishError::OtherPromotion) }
    }
}

/// Whether everything these keys' values depend on, as committed in this snapshot, was published before it.
async fn is_published(connection: &mut PgConnection, view: &View, keys: &[String]) -> Result<bool, sqlx::Error> {
    // Whatever is marked may become any key of such a view, or move the watermark on.
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

/// Whether readers would be given what the rows say. To them nothing and a tombstone are the same.
fn is_equal(view: &View, expected: Option<&Value>, found: &Found) -> bool {
    match found {
        Found::Missing => expected.is_none(),
        Found::OtherPromotion | Found::Unreadable => false,
        Found::Value(found) if view.target == Target::RedisRanking => {
            scores(expected.cloned()) == scores(found.clone())
        }
        Found::Value(found) => expected == found.as_ref(),
    }
}

/// A ranking by member: neither its order nor how a whole number is written matters.
fn scores(value: Option<Value>) -> BTreeMap<String, f64> {
    let entry = Entry { key: String::new(), value };
    ranked(&entry).into_iter().map(|(score, member)| (member, score)).collect()
}

fn difference(view: &'static View, key: &str, expected: Option<Value>, copied: Copied) -> Difference {
    let store = match view.target {
        Target::Elasticsearch { .. } => elasticsearch::STORE,
        _ => redis::STORE,
    };
    Difference { store, view: view.name, key: key.to_owned(), expected, found: copied.found }
}
