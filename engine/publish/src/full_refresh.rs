//! Full refreshes: the views that are still to be published completely. The state lives as long as one turn of a
//! publisher: a failed round ends the turn, so that it never runs ahead of what Postgres has saved.

use std::collections::BTreeMap;
use std::ops::Bound;

use chrono::{DateTime, Utc};
use jangbogo_fold::{Target, View};
use sqlx::postgres::PgConnection;

pub(super) struct FullRefreshes {
    views: BTreeMap<&'static str, (&'static View, FullRefresh)>,
    /// The view whose refresh advanced last: the others come first.
    last: &'static str,
    tick: Option<DateTime<Utc>>,
}

/// State of a view's full refresh.
#[derive(Clone, Debug, Default)]
struct FullRefresh {
    /// A change came after the running refresh began, or none has begun.
    requested: bool,
    /// The last refreshed key; none when no refresh is running.
    after: Option<String>,
    /// Every key was published since the store was empty or new, or since the promotion began.
    complete: bool,
}

impl FullRefresh {
    fn is_pending(&self) -> bool {
        self.requested || self.after.is_some()
    }
}

impl FullRefreshes {
    /// State of a new turn for the published views. Neither the progress of the last turn's refreshes nor their tick is
    /// known.
    pub(super) fn new(views: impl Iterator<Item = &'static View>, pending: &[String]) -> Self {
        let refresh = |view: &View| {
            let was_pending = pending.iter().any(|name| name == view.name);
            FullRefresh { requested: view.full_refresh || was_pending, after: None, complete: !was_pending }
        };
        let views = views.map(|view| (view.name, (view, refresh(view)))).collect();
        Self { views, last: "", tick: None }
    }

    /// Requests a refresh after a change, if the view's values depend on other keys' rows.
    pub(super) fn request(&mut self, view: &View) {
        if let Some((_, refresh)) = self.views.get_mut(view.name) {
            refresh.requested |= view.full_refresh;
        }
    }

    /// Restarts the refreshes of views that a store has lost.
    pub(super) fn restart(&mut self, is_lost: impl Fn(Target) -> bool) {
        for (_, refresh) in self.views.values_mut().filter(|(view, _)| is_lost(view.target)) {
            *refresh = FullRefresh { requested: true, ..FullRefresh::default() };
        }
    }

    /// Sets the tick of the watermark. Returns whether it has changed, so that values that depend on it are stale.
    pub(super) fn enter_tick(&mut self, tick: Option<DateTime<Utc>>) -> bool {
        if self.tick == tick {
            return false;
        }
        self.tick = tick;
        self.views.values_mut().for_each(|(view, refresh)| refresh.requested |= view.full_refresh);
        true
    }

    /// The next pending view, round-robin, and the key after which its refresh continues.
    pub(super) fn next(&mut self) -> Option<(&'static View, Option<String>)> {
        let after_last = (Bound::Excluded(self.last), Bound::Unbounded);
        let round = self.views.range::<&str, _>(after_last).chain(&self.views);
        let (view, refresh) = round.map(|(_, entry)| entry).find(|(_, refresh)| refresh.is_pending())?;
        self.last = view.name;
        Some((view, refresh.after.clone()))
    }

    /// Records a refreshed chunk: the key it began after, and its last key; none if it was the last chunk.
    pub(super) fn advance(&mut self, view: &View, from: Option<&String>, to: Option<String>) {
        let Some((_, refresh)) = self.views.get_mut(view.name) else { return };
        if from.is_none() {
            // Later changes are covered by the next refresh.
            refresh.requested = false;
        }
        refresh.complete |= to.is_none();
        refresh.after = to;
    }

    /// True if the stores hold every key of these views, possibly with an older value.
    pub(super) fn are_complete(&self, includes: impl Fn(&&View) -> bool) -> bool {
        self.views.values().filter(|(view, _)| includes(view)).all(|(_, refresh)| refresh.complete)
    }

    /// Saves the pending refreshes. In the transaction that deletes marks: no snapshot lacks both the marks and the
    /// refresh that they request.
    pub(super) async fn save(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::query("UPDATE publisher SET pending_sweeps = $1 WHERE shard = 0 AND pending_sweeps <> $1")
            .bind(self.pending())
            .execute(connection)
            .await?;
        Ok(())
    }

    /// Views whose refresh is requested or running.
    pub(super) fn pending(&self) -> Vec<&'static str> {
        self.views.values().filter(|(_, refresh)| refresh.is_pending()).map(|(view, _)| view.name).collect()
    }
}
