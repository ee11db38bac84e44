//! One round: what is stale, its values in one snapshot, and the write that the stores acknowledge before it counts.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use jangbogo_fold::{Target, View, ViewKeys};
use jangbogo_store::view::{Entry, evaluate, now};
use jangbogo_store::{Generation, watermark};
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{PublishError, Publisher};

/// At most this many marks are taken in a round. Under load most repeat a key that is evaluated once.
const MARKS: i64 = 200_000;
/// Keys evaluated and written together.
const KEYS: usize = 200;

impl Publisher {
    /// Works off dirty marks. Gives how many.
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
        self.refreshes.enter(now);
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
            self.refreshes.want(view);
        }
        self.refreshes.remember(&mut transaction).await?;
        let left: i64 = sqlx::query_scalar("SELECT count(*) FROM dirty").fetch_one(&mut *transaction).await?;
        self.context.metrics.publish_backlog.set(left);
        transaction.commit().await?;
        Ok(marks.len())
    }

    /// Goes on with one chunk of one sweep that is wanted or running. Gives how many keys were published.
    pub(super) async fn sweep(&mut self) -> Result<usize, PublishError> {
        let Some((view, after)) = self.refreshes.next() else { return Ok(0) };
        let generation = self.live.generation.clone();
        let mut transaction = self.connection.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ").await?;
        let entries = next_entries(&mut transaction, &generation, view, after.as_deref().unwrap_or_default()).await?;
        self.version.number += 1;
        write(self.redis.as_ref(), self.search.as_ref(), view, self.version, &entries).await?;
        let to = last_of_full(&entries).map(str::to_owned);
        self.refreshes.went_on(view, after.as_ref(), to);
        self.refreshes.remember(&mut transaction).await?;
        transaction.commit().await?;
        self.context.metrics.published_entries_total.with_label_values(&[view.name]).inc_by(entries.len() as u64);
        Ok(entries.len().max(1))
    }
}

/// The next of all a view's keys, with their values.
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

/// The key after which there may be more.
pub(super) fn last_of_full(entries: &[Entry]) -> Option<&str> {
    entries.get(KEYS - 1).map(|entry| entry.key.as_str())
}

/// The view's keys that the marked values of watched columns stand for.
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
