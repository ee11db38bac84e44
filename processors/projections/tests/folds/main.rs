//! Rows depend only on the set of events: every registered fold over shuffled, split and repeated histories.

mod histories;
mod properties;
mod tables;
