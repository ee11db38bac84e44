//! Caches whose rows have changed are dropped beside everything else that is published: a shopper waits for them, and
//! values that take long to evaluate must not come first.

use std::collections::BTreeMap;
use std::convert::Infallible;

use sqlx::postgres::{PgConnection, PgListener};
use sqlx::{Connection as _, Row as _};

use super::redis::RedisSink;
use super::{POLL_INTERVAL, PublishError, PublisherContext, connect};
use crate::fold::{Target, View};
use crate::store::Live;

/// At most this many marks are taken at a time.
const MARKS: i64 = 10_000;

/// The views that are evicted.
pub(super) fn views(context: &PublisherContext) -> impl Iterator<Item = &'static View> {
    let stores = context.stores;
    context.processor.views().filter(move |view| view.target == Target::RedisEviction && stores.has(view.target))
}

/// Evicts as marks come, for as long as no server is away.
pub(super) async fn run(context: &PublisherContext, live: &Live) -> Result<Infallible, PublishError> {
    let views: BTreeMap<&str, &View> = views(context).map(|view| (view.name, view)).collect();
    if views.is_empty() {
        return std::future::pending().await;
    }
    let redis = RedisSink::new(context, None)?;
    let mut connection = connect(context, &live.generation).await?;
    let mut listener = PgListener::connect_with(&context.pool).await?;
    listener.listen(&live.generation.schema).await?;
    loop {
        while evict(context, &mut connection, &redis, &views).await? > 0 {}
        if let Ok(notified) = tokio::time::timeout(POLL_INTERVAL, listener.recv()).await {
            notified?;
            while listener.next_buffered().is_some() {}
        }
    }
}

/// Gives how many marks there were.
async fn evict(
    context: &PublisherContext,
    connection: &mut PgConnection,
    redis: &RedisSink,
    views: &BTreeMap<&str, &View>,
) -> Result<usize, PublishError> {
    let mut transaction = connection.begin().await?;
    let marks = sqlx::query(
        "DELETE FROM dirty WHERE ctid = ANY (ARRAY(SELECT ctid FROM dirty WHERE view = ANY ($1) LIMIT $2))
         RETURNING view, key",
    )
    .bind(views.keys().copied().collect::<Vec<_>>())
    .bind(MARKS)
    .fetch_all(&mut *transaction)
    .await?;
    for (name, view) in views {
        let marked = marks.iter().filter(|mark| mark.get::<&str, _>("view") == *name);
        let keys: Vec<String> = marked.map(|mark| mark.get("key")).collect();
        redis.evict(view, &keys).await?;
        context.metrics.published_entries_total.with_label_values(&[name]).inc_by(keys.len() as u64);
    }
    transaction.commit().await?;
    Ok(marks.len())
}
