//! Where a partition's inputs are all done: the offset that is committed.

use std::collections::BTreeSet;

/// The inputs of one partition that are under way.
#[derive(Debug, Default)]
pub(super) struct OffsetTracker {
    under_way: BTreeSet<i64>,
    /// One past the newest input.
    end: i64,
}

impl OffsetTracker {
    /// An input was read.
    pub(super) fn begin(&mut self, offset: i64) {
        self.under_way.insert(offset);
        self.end = self.end.max(offset + 1);
    }

    /// An input is done; gives the offset before which all are, if it moved.
    pub(super) fn done(&mut self, offset: i64) -> Option<i64> {
        let was_first = self.under_way.first() == Some(&offset);
        self.under_way.remove(&offset);
        was_first.then(|| self.under_way.first().copied().unwrap_or(self.end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_moves_only_when_the_oldest_input_is_done() {
        let mut offset_tracker = OffsetTracker::default();
        for offset in [7, 8, 10] {
            offset_tracker.begin(offset);
        }
        assert_eq!(offset_tracker.done(8), None);
        assert_eq!(offset_tracker.done(7), Some(10));
        offset_tracker.begin(11);
        assert_eq!(offset_tracker.done(10), Some(11));
        assert_eq!(offset_tracker.done(11), Some(12));
        assert_eq!(offset_tracker.done(11), None, "not twice");
    }
}
