//! Records and catch-ups that wait until the fold has passed them.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use jangbogo_events::EventHash;
use jangbogo_log::tail::Appended;
use jangbogo_log::{Offsets, Partition};
use uuid::Uuid;

/// Limit of records, or conversations, that are read with one query: rows may be large.
pub(super) const BATCH: usize = 500;

/// Appended records, and positions up to which entries may have been missed.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    records: Vec<Appended<EventHash>>,
    catch_ups: Vec<CatchUp>,
}

/// Entries may have been missed: they are read once the fold has passed these positions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CatchUp {
    /// The conversation; none for every one that is watched by then.
    pub conversation_id: Option<Uuid>,
    /// Positions that the fold has to reach.
    pub until: Offsets,
}

/// The waiting records and catch-ups that the fold has passed.
#[derive(Debug, Default)]
pub(super) struct Reached {
    pub records: Vec<Appended<EventHash>>,
    catch_ups: Vec<CatchUp>,
}

impl Waiting {
    pub fn record(&mut self, record: Appended<EventHash>) {
        self.records.push(record);
    }

    pub fn catch_up(&mut self, catch_up: CatchUp) {
        self.catch_ups.push(catch_up);
    }

    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.catch_ups.is_empty()
    }

    pub fn len(&self) -> usize {
        self.records.len() + self.catch_ups.len()
    }

    /// The records before these offsets, at most [`BATCH`] in order of arrival. `early` takes every catch-up.
    pub fn reached(&self, folded: &Offsets, early: bool) -> Reached {
        let records = self.records.iter().filter(|record| is_folded(record, folded)).take(BATCH).copied().collect();
        let catch_ups = self.catch_ups.iter().filter(|catch_up| early || catch_up.is_due(folded)).cloned().collect();
        Reached { records, catch_ups }
    }

    /// Removes the records and catch-ups that were reached under these offsets, after they were pushed.
    pub fn forget(&mut self, folded: &Offsets) {
        let mut left = BATCH;
        self.records.retain(|record| {
            let is_pushed = left > 0 && is_folded(record, folded);
            left -= usize::from(is_pushed);
            !is_pushed
        });
        self.catch_ups.retain(|catch_up| !catch_up.is_due(folded));
    }
}

impl CatchUp {
    /// The fold has passed its positions.
    pub fn is_due(&self, folded: &Offsets) -> bool {
        self.until.iter().all(|(partition, until)| *until <= next(*partition, folded))
    }
}

fn is_folded(record: &Appended<EventHash>, folded: &Offsets) -> bool {
    record.offset < next(record.partition, folded)
}

fn next(partition: Partition, folded: &Offsets) -> i64 {
    folded.get(&partition).copied().unwrap_or_default()
}

impl Reached {
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.catch_ups.is_empty()
    }

    /// The conversations to read; none for every one that is watched.
    pub fn conversations(&self) -> Option<Vec<Uuid>> {
        let named: Option<BTreeSet<Uuid>> = self.catch_ups.iter().map(|catch_up| catch_up.conversation_id).collect();
        Some(named?.into_iter().collect())
    }

    /// Time at which each event was appended: that of its first record.
    pub fn appended_at(&self) -> HashMap<EventHash, DateTime<Utc>> {
        let mut appended_at = HashMap::new();
        for record in &self.records {
            let first = appended_at.entry(record.value).or_insert(record.at);
            *first = record.at.min(*first);
        }
        appended_at
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Topic;

    use super::*;

    const MESSAGES: Partition = Partition { topic: Topic::ConversationMessageCreated, number: 0 };
    const INTENTS: Partition = Partition { topic: Topic::PreferenceEvents, number: 0 };

    fn record(partition: Partition, offset: i64) -> Appended<EventHash> {
        Appended { partition, offset, at: DateTime::UNIX_EPOCH, value: u128::try_from(offset).unwrap() }
    }

    #[test]
    fn records_that_the_fold_has_passed_are_taken() {
        let mut waiting = Waiting::default();
        for (partition, offset) in [(MESSAGES, 7), (INTENTS, 2), (MESSAGES, 8)] {
            waiting.record(record(partition, offset));
        }
        assert!(waiting.reached(&Offsets::new(), false).is_empty(), "nothing is folded yet");
        let folded = [(MESSAGES, 8), (INTENTS, 2)].into();
        let reached = waiting.reached(&folded, false);
        assert_eq!(reached.records, [record(MESSAGES, 7)]);
        assert_eq!(reached.conversations(), Some(vec![]));
        assert_eq!(waiting.len(), 3, "until it is pushed");
        waiting.forget(&folded);
        let folded = [(MESSAGES, 9), (INTENTS, 3)].into();
        let reached = waiting.reached(&folded, false);
        assert_eq!(reached.records.iter().map(|record| record.offset).collect::<Vec<_>>(), [2, 8]);
        waiting.forget(&folded);
        assert!(waiting.is_empty());
    }

    #[test]
    fn a_backlog_is_pushed_in_parts() {
        let mut waiting = Waiting::default();
        let end = i64::try_from(BATCH).unwrap() + 1;
        (0..end).for_each(|offset| waiting.record(record(MESSAGES, offset)));
        let folded = [(MESSAGES, end)].into();
        assert_eq!(waiting.reached(&folded, false).records.len(), BATCH);
        waiting.forget(&folded);
        assert_eq!(waiting.reached(&folded, false).records, [record(MESSAGES, end - 1)]);
    }

    #[test]
    fn a_catch_up_waits_for_every_partition_of_it() {
        let mut waiting = Waiting::default();
        let conversation_id = Some(Uuid::from_u128(5));
        waiting.catch_up(CatchUp { conversation_id, until: [(MESSAGES, 8), (INTENTS, 3)].into() });
        assert!(waiting.reached(&[(MESSAGES, 8)].into(), false).is_empty());
        let reached = waiting.reached(&[(MESSAGES, 8), (INTENTS, 4)].into(), false);
        assert_eq!(reached.conversations(), Some(vec![Uuid::from_u128(5)]));
        assert_eq!(waiting.reached(&Offsets::new(), true).conversations(), reached.conversations());
        waiting.forget(&Offsets::new());
        assert!(!waiting.is_empty(), "an early look is not the last one");

        waiting.forget(&[(MESSAGES, 8), (INTENTS, 4)].into());
        waiting.catch_up(CatchUp { conversation_id, until: Offsets::new() });
        waiting.catch_up(CatchUp { conversation_id: None, until: [(MESSAGES, 0)].into() });
        let reached = waiting.reached(&Offsets::new(), false);
        assert_eq!(reached.conversations(), None, "every one that is watched");
    }
}
