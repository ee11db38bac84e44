//! One round: takes marks, evaluates the stale keys in one snapshot, and commits once the stores have acknowledged.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_fold::{Target, View, ViewKeys};
use jangbogo_store::Generation;
use jangbogo_store::view::{Entry, evaluate, now};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{PublishError, Publisher};

/// At most this many marks are taken in a round. Under load most are duplicates of a key that is evaluated once.
const MARKS: i64 = 200_000;
/// Keys evaluated and written in one batch.
const KEYS: usize = 200;

impl Publisher {
    /// Publishes the keys of dirty marks. Returns the number of marks.
    pub(super) async fn round(&mut self) -> Result<usize, PublishError> {
        let generation = self.live.generation.clone();
        let processor = self.context.processor;
        let mut transaction = self.connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let marks = sqlx::query(
            "WITH taken AS (
                 DELETE FROM dirty WHERE ctid = ANY (ARRAY(SELECT ctid FROM dirty LIMIT $1)) RETURNING view, key
             )
             SELECT DISTINCT view, key FROM taken",
        )
        .bind(MARKS)
        .fetch_all(&mut *transaction)
        .await?;
        if marks.is_empty() {
            return Ok(0);
        }
        let mut stale: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for mark in &marks {
            stale.entry(mark.get("view")).or_default().insert(mark.get("key"));
        }
        let now = now(&mut transaction, &generation).await?;
        self.refreshes.enter_tick(now);
        for (name, marked) in stale {
            let Some(view) = processor.view(&name).filter(|view| self.context.stores.has(view.target)) else {
                continue;
            };
            let keys = view_keys(&mut transaction, view, marked.into_iter().collect()).await?;
            for keys in keys.chunks(KEYS) {
                let entries = evaluate(&mut transaction, view, keys, now).await?;
                self.version.number += 1;
                write(self.redis.as_ref(), self.search.as_ref(), view, self.version, &entries).await?;
            }
            self.context.metrics.published_entries_total.with_label_values(&[view.name]).inc_by(keys.len() as u64);
            self.refreshes.request(view);
        }
        self.refreshes.save(&mut transaction).await?;
        let backlog: i64 = sqlx::query_scalar("SELECT count(*) FROM dirty").fetch_one(&mut *transaction).await?;
        self.context.metrics.publish_backlog.set(backlog);
        transaction.commit().await?;
        Ok(marks.len())
    }

    /// Publishes the next chunk of a pending full refresh. Returns the number of keys, at least 1 if one is pending.
    pub(super) async fn full_refresh(&mut self) -> Result<usize, PublishError> {
        let Some((view, after)) = self.refreshes.next() else { return Ok(0) };
        let generation = self.live.generation.clone();
        let mut transaction = self.connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let entries = next_entries(&mut transaction, &generation, view, after.as_deref().unwrap_or_default()).await?;
        self.version.number += 1;
        write(self.redis.as_ref(), self.search.as_ref(), view, self.version, &entries).await?;
        let to = last_of_full_chunk(&entries).map(str::to_owned);
        self.refreshes.advance(view, after.as_ref(), to);
        self.refreshes.save(&mut transaction).await?;
        transaction.commit().await?;
        self.context.metrics.published_entries_total.with_label_values(&[view.name]).inc_by(entries.len() as u64);
        Ok(entries.len().max(1))
    }
}

/// The next chunk of all keys of a view, with their values.
pub(super) async fn next_entries(
    connection: &mut PgConnection,
    generation: &Generation,
    view: &View,
    after: &str,
) -> Result<Vec<Entry>, sqlx::Error> {
    let keys: Vec<String> = sqlx::query_scalar(view.all_keys)
        .bind(after)
        .bind(i64::try_from(KEYS).unwrap_or(i64::MAX))
        .fetch_all(&mut *connection)
        .await?;
    let now = now(connection, generation).await?;
    evaluate(connection, view, &keys, now).await
}

/// The last key of a full chunk, after which there may be more.
pub(super) fn last_of_full_chunk(entries: &[Entry]) -> Option<&str> {
    entries.get(KEYS - 1).map(|entry| entry.key.as_str())
}

/// Maps the marked values of watched columns to the view's keys.
async fn view_keys(
    connection: &mut PgConnection,
    view: &View,
    marked: Vec<String>,
) -> Result<Vec<String>, sqlx::Error> {
    match view.keys {
        ViewKeys::Same | ViewKeys::Only(_) => Ok(marked),
        ViewKeys::Mapped(sql) => sqlx::query_scalar(sql).bind(marked).fetch_all(connection).await,
    }
}

async fn write(
    redis: Option<&super::RedisSink>,
    search: Option<&super::SearchSink>,
    view: &View,
    version: super::Version,
    entries: &[Entry],
) -> Result<(), PublishError> {
    if entries.is_empty() {
        return Ok(());
    }
    match (view.target, redis, search) {
        (Target::RedisHash | Target::RedisRanking | Target::RedisEviction, Some(redis), _) => {
            redis.write(view, version, entries).await
        }
        (Target::Elasticsearch { .. }, _, Some(search)) => search.write(view, version, entries).await,
        _ => Ok(()),
    }
}
