//! Which views are still to be published as a whole. Lives as long as one turn of a publisher: whenever a round fails
//! the turn ends, so that what is here never runs ahead of what Postgres remembers.

use std::collections::BTreeMap;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use jangbogo_fold::{Target, View};
use sqlx::postgres::PgConnection;

pub(super) struct FullRefreshes {
    views: BTreeMap<&'static str, (&'static View, FullRefresh)>,
    /// The view whose sweep went on last: the others come first.
    last: &'static str,
    tick: Option<DateTime<Utc>>,
}

/// How far a view's sweep is.
#[derive(Clone, Debug, Default)]
struct FullRefresh {
    /// A change came after the running sweep began, or none has begun.
    wanted: bool,
    /// The last key that was swept; none when no sweep is running.
    after: Option<String>,
    /// Every key was published since the store was empty or new, or the promotion began.
    is_whole: bool,
}

impl FullRefresh {
    fn is_pending(&self) -> bool {
        self.wanted || self.after.is_some()
    }
}

impl FullRefreshes {
    /// Of a new turn, for views that are published: how far the last turn's sweeps were is not known any more, nor at
    /// which tick.
    pub(super) fn new(views: impl Iterator<Item = &'static View>, pending: &[String]) -> Self {
        let sweep = |view: &View| {
            let was_pending = pending.iter().any(|name| name == view.name);
            FullRefresh { wanted: view.full_refresh || was_pending, after: None, is_whole: !was_pending }
        };
        let views = views.map(|view| (view.name, (view, sweep(view)))).collect();
        Self { views, last: "", tick: None }
    }

    /// A view was changed: what depends on other keys' rows is stale.
    pub(super) fn want(&mut self, view: &View) {
        if let Some((_, sweep)) = self.views.get_mut(view.name) {
            sweep.wanted |= view.full_refresh;
        }
    }

    /// A store has lost these views.
    pub(super) fn begin_anew(&mut self, is_lost: impl Fn(Target) -> bool) {
        for (_, sweep) in self.views.values_mut().filter(|(view, _)| is_lost(view.target)) {
            *sweep = FullRefresh { wanted: true, ..FullRefresh::default() };
        }
    }

    /// The watermark, as views see it, is this now. Says whether values that depend on it are stale.
    pub(super) fn enter(&mut self, tick: Option<DateTime<Utc>>) -> bool {
        if self.tick == tick {
            return false;
        }
        self.tick = tick;
        self.views.values_mut().for_each(|(view, sweep)| sweep.wanted |= view.full_refresh);
        true
    }

    /// What to sweep next, and after which key: each pending view in its turn.
    pub(super) fn next(&mut self) -> Option<(&'static View, Option<String>)> {
        let after_last = (Bound::Excluded(self.last), Bound::Unbounded);
        let others = self.views.range::<&str, _>(after_last).chain(&self.views);
        let (view, sweep) = others.map(|(_, of_view)| of_view).find(|(_, sweep)| sweep.is_pending())?;
        self.last = view.name;
        Some((view, sweep.after.clone()))
    }

    /// A chunk was swept that began after one key and ended with another; none when that was the last chunk.
    pub(super) fn went_on(&mut self, view: &View, from: Option<&String>, to: Option<String>) {
        let Some((_, sweep)) = self.views.get_mut(view.name) else { return };
        if from.is_none() {
            // What changes from here on is swept next time.
            sweep.wanted = false;
        }
        sweep.is_whole |= to.is_none();
        sweep.after = to;
    }

    /// Whether the stores hold every key of these views, be it with an older value.
    pub(super) fn are_whole(&self, is_meant: impl Fn(&&View) -> bool) -> bool {
        self.views.values().filter(|(view, _)| is_meant(view)).all(|(_, sweep)| sweep.is_whole)
    }

    /// In the transaction that takes marks away, so that nobody ever sees neither marks nor the sweep they ask for.
    pub(super) async fn remember(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE publisher SET pending_sweeps = $1 WHERE shard = 0 AND pending_sweeps <> $1")
            .bind(self.pending())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// The views whose sweeps are wanted or under way.
    pub(super) fn pending(&self) -> Vec<&'static str> {
        self.views.values().filter(|(_, sweep)| sweep.is_pending()).map(|(view, _)| view.name).collect()
    }
}
