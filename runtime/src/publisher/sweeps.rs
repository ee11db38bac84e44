//! Which views are still to be published as a whole. Lives as long as one turn of a publisher: whenever a round fails
//! the turn ends, so that what is here never runs ahead of what Postgres remembers.

use std::collections::BTreeMap;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgConnection;

use crate::fold::{Processor, Target, View};

pub(super) struct Sweeps {
    processor: &'static Processor,
    views: BTreeMap<&'static str, Sweep>,
    /// The view whose sweep went on last: the others come first.
    last: &'static str,
    tick: Option<DateTime<Utc>>,
}

/// How far a view's sweep is.
#[derive(Clone, Debug, Default)]
struct Sweep {
    /// A change came after the running sweep began, or none has begun.
    wanted: bool,
    /// The last key that was swept; none when no sweep is running.
    after: Option<String>,
}

impl Sweep {
    fn is_pending(&self) -> bool {
        self.wanted || self.after.is_some()
    }
}

impl Sweeps {
    /// Of a new turn. Which sweeps the last one had under way is not known any more, nor at which tick they were.
    pub(super) fn new(processor: &'static Processor, interrupted: bool) -> Self {
        let is_kept = |view: &View| !matches!(view.target, Target::Postgres | Target::RedisEviction);
        let sweep = |view: &View| Sweep { wanted: view.swept || (interrupted && is_kept(view)), after: None };
        let views = processor.views().map(|view| (view.name, sweep(view))).collect();
        Self { processor, views, last: "", tick: None }
    }

    /// A view was changed: what depends on other keys' rows is stale.
    pub(super) fn want(&mut self, view: &View) {
        self.views.entry(view.name).or_default().wanted |= view.swept;
    }

    /// A store has lost these views.
    pub(super) fn begin_anew(&mut self, is_lost: impl Fn(Target) -> bool) {
        for view in self.processor.views().filter(|view| is_lost(view.target)) {
            self.views.insert(view.name, Sweep { wanted: true, after: None });
        }
    }

    /// The watermark, as views see it, is this now. Says whether values that depend on it are stale.
    pub(super) fn enter(&mut self, tick: Option<DateTime<Utc>>) -> bool {
        if self.tick == tick {
            return false;
        }
        self.tick = tick;
        self.processor.views().for_each(|view| self.views.entry(view.name).or_default().wanted |= view.swept);
        true
    }

    /// What to sweep next, and after which key: each pending view in its turn.
    pub(super) fn next(&mut self) -> Option<(&'static View, Option<String>)> {
        let is_pending = |(_, sweep): &(&&'static str, &Sweep)| sweep.is_pending();
        let after_last = (Bound::Excluded(self.last), Bound::Unbounded);
        let others = self.views.range::<&str, _>(after_last).find(is_pending);
        let (name, sweep) = others.or_else(|| self.views.iter().find(is_pending))?;
        self.last = name;
        Some((self.processor.view(name)?, sweep.after.clone()))
    }

    /// A chunk was swept that began after one key and ended with another; none when that was the last chunk.
    pub(super) fn went_on(&mut self, view: &View, from: Option<&String>, to: Option<String>) {
        let sweep = self.views.entry(view.name).or_default();
        if from.is_none() {
            // What changes from here on is swept next time.
            sweep.wanted = false;
        }
        sweep.after = to;
    }

    /// In the transaction that takes marks away, so that nobody ever sees neither marks nor the sweep they ask for.
    pub(super) async fn remember(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE publisher SET pending_sweeps = $1 WHERE shard = 0 AND pending_sweeps <> $1")
            .bind(self.pending())
            .execute(connection)
            .await?;
        Ok(())
    }

    pub(super) fn pending(&self) -> i32 {
        i32::try_from(self.views.values().filter(|sweep| sweep.is_pending()).count()).unwrap_or(i32::MAX)
    }
}
