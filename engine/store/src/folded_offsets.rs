//! Progress of this process's fold, for which reactors wait.

use std::time::Duration;

use jangbogo_log::{Offsets, Partition};
use tokio::sync::watch;

/// Next offset to fold of each partition, as committed by this process's workers. Only a hint: callers must read the
/// checkpoints in the snapshot that they work in.
#[derive(Debug, Default)]
pub struct FoldedOffsets(watch::Sender<Offsets>);

impl FoldedOffsets {
    /// Records that everything before these offsets is folded.
    pub fn advance(&self, folded: impl Iterator<Item = (Partition, i64)>) {
        self.0.send_modify(|offsets| offsets.extend(folded));
    }

    /// Waits until the record at this offset is folded by this process, at most this long: another process may have
    /// folded it. Returns whether this one has.
    pub async fn past(&self, partition: Partition, offset: i64, at_most: Duration) -> bool {
        let mut offsets = self.0.subscribe();
        let is_past = |offsets: &Offsets| offsets.get(&partition).is_some_and(|next| *next > offset);
        tokio::time::timeout(at_most, offsets.wait_for(is_past)).await.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Topic;

    use super::*;

    #[tokio::test]
    async fn a_record_is_past_once_the_next_offset_is_larger() {
        let (folded, at_once) = (FoldedOffsets::default(), Duration::ZERO);
        let partition = Partition { topic: Topic::CatalogEvents, number: 0 };
        assert!(!folded.past(partition, 7, at_once).await);
        folded.advance([(partition, 8)].into_iter());
        assert!(folded.past(partition, 7, at_once).await);
        assert!(!folded.past(partition, 8, at_once).await);
    }
}
