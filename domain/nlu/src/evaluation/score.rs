//! Precision, recall and F1.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

/// Counts of right, wrong and missed answers; its JSON adds precision, recall and F1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Score {
    /// True positives: answers with a label.
    pub right: usize,
    /// False positives: answers without a label.
    pub wrong: usize,
    /// False negatives: labels without an answer.
    pub missed: usize,
}

impl Score {
    pub(super) const RIGHT: Self = Self { right: 1, wrong: 0, missed: 0 };
    pub(super) const WRONG: Self = Self { right: 0, wrong: 1, missed: 0 };
    pub(super) const MISSED: Self = Self { right: 0, wrong: 0, missed: 1 };

    /// Share of right answers among all answers; none without an answer.
    #[must_use]
    pub fn precision(self) -> Option<f64> {
        ratio(self.right, self.right + self.wrong)
    }

    /// Share of labels that were answered; none without a label.
    #[must_use]
    pub fn recall(self) -> Option<f64> {
        ratio(self.right, self.labelled())
    }

    /// Harmonic mean of precision and recall; none without answers and labels.
    #[must_use]
    pub fn f1(self) -> Option<f64> {
        ratio(2 * self.right, 2 * self.right + self.wrong + self.missed)
    }

    #[must_use]
    pub fn labelled(self) -> usize {
        self.right + self.missed
    }

    pub(super) fn add(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.missed += other.missed;
    }
}

impl Serialize for Score {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut score = serializer.serialize_struct("Score", 6)?;
        score.serialize_field("right", &self.right)?;
        score.serialize_field("wrong", &self.wrong)?;
        score.serialize_field("missed", &self.missed)?;
        score.serialize_field("precision", &self.precision())?;
        score.serialize_field("recall", &self.recall())?;
        score.serialize_field("f1", &self.f1())?;
        score.end()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of a file's lines")]
fn ratio(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
