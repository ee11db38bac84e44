//! Tracks the offset before which all inputs of a partition are done: the offset that is committed.

use std::collections::BTreeSet;

/// Inputs in progress of one partition.
#[derive(Debug, Default)]
pub(super) struct OffsetTracker {
    in_progress: BTreeSet<i64>,
    /// Offset behind the newest input.
    end: i64,
}

impl OffsetTracker {
    pub(super) fn begin(&mut self, offset: i64) {
        self.in_progress.insert(offset);
        self.end = self.end.max(offset + 1);
    }

    /// Marks an input as done. Returns the offset before which all are done, if it advanced.
    pub(super) fn done(&mut self, offset: i64) -> Option<i64> {
        let was_first = self.in_progress.first() == Some(&offset);
        self.in_progress.remove(&offset);
        was_first.then(|| self.in_progress.first().copied().unwrap_or(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_advances_only_when_the_oldest_input_is_done() {
        let mut tracker = OffsetTracker::default();
        for offset in [7, 8, 10] {
            tracker.begin(offset);
        }
        assert_eq!(tracker.done(8), None);
        assert_eq!(tracker.done(7), Some(10));
        tracker.begin(11);
        assert_eq!(tracker.done(10), Some(11));
        assert_eq!(tracker.done(11), Some(12));
        assert_eq!(tracker.done(11), None, "not twice");
    }
}
