//! Operators' decisions about dead letters, read from their topic.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, Topic};
use jangbogo_log::Partition;
use jangbogo_log::decode::event_of_message;
use jangbogo_log::topic::{ReadError, read_to_end};
use jangbogo_platform::config::Connections;
use rdkafka::message::{Message as _, OwnedMessage};
use tracing::warn;

use super::Position;

/// Outcome of a decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionOutcome {
    /// Its record was appended to its own topic again.
    Requeued,
    /// Its group skips its position in every replay.
    Discarded,
}

/// One operator's decision about one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    pub outcome: DecisionOutcome,
    /// Group of the dead letter.
    pub group: String,
    /// Position of the record in the log.
    pub position: Position,
    pub decided_at: DateTime<Utc>,
    /// Free text of the operator.
    pub reason: Option<String>,
}

impl Decision {
    fn from_event(event: Event) -> Option<Decision> {
        let (outcome, group, topic, number, offset, reason) = match event.data {
            Data::DeadLetterRequeued(data) => {
                (DecisionOutcome::Requeued, data.group, data.topic, data.partition, data.offset, data.reason)
            }
            Data::DeadLetterDiscarded(data) => {
                (DecisionOutcome::Discarded, data.group, data.topic, data.partition, data.offset, data.reason)
            }
            _ => return None,
        };
        Some(Decision {
            outcome,
            group: group.to_string(),
            position: (Partition { topic: Topic::from_name(&topic)?, number }, offset),
            decided_at: event.envelope.time,
            reason: reason.map(|reason| reason.to_string()),
        })
    }
}

/// Decisions by the position of the record.
#[derive(Clone, Debug, Default)]
pub struct Decisions(HashMap<Position, Vec<Decision>>);

impl Decisions {
    /// The newest decision that settles a group's dead letter, if any. A requeued record is read again by every group
    /// of its topic, so a requeue settles the position for all of them; a discard settles it for its own group only.
    #[must_use]
    pub fn get(&self, group: &str, position: Position) -> Option<&Decision> {
        let settles = |decision: &&Decision| decision.outcome == DecisionOutcome::Requeued || decision.group == group;
        self.0.get(&position)?.iter().rev().find(settles)
    }

    /// Adds a decision that is newer than all others.
    pub fn add(&mut self, decision: Decision) {
        self.0.entry(decision.position).or_default().push(decision);
    }
}

/// Reads every decision up to now.
///
/// # Errors
/// When Kafka is unavailable.
pub async fn decisions(connections: &Connections) -> Result<Decisions, ReadError> {
    let topic = connections.namespace.topic(Topic::DeadLetterEvents);
    let mut records = read_to_end(connections, topic);
    let mut decisions = Decisions::default();
    while let Some(message) = records.recv().await.transpose()? {
        if let Some(decision) = decision_of(&message) {
            decisions.add(decision);
        }
    }
    Ok(decisions)
}

/// The positions that a group discarded. Every replay skips them, even if its code could decode them by now, so that it
/// agrees with the live fold. A discard is final: a requeue gives the record another position.
///
/// # Errors
/// When Kafka is unavailable; retry.
pub async fn discarded(connections: &Connections, group: &str) -> Result<HashSet<Position>, ReadError> {
    let Decisions(by_position) = decisions(connections).await?;
    let is_discard = |decision: &Decision| decision.outcome == DecisionOutcome::Discarded && decision.group == group;
    let discarded = by_position.into_iter().filter(|(_, decisions)| decisions.iter().any(is_discard));
    Ok(discarded.map(|(position, _)| position).collect())
}

fn decision_of(message: &OwnedMessage) -> Option<Decision> {
    match event_of_message(Topic::DeadLetterEvents, message) {
        Ok(event) => Decision::from_event(event),
        Err(error) => {
            let (topic, offset) = (message.topic(), message.offset());
            warn!(topic, offset, %error, "record skipped: not a dead-letter decision");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requeue_settles_every_groups_dead_letter_and_a_discard_only_its_own() {
        let position = (Partition { topic: Topic::OrderCompleted, number: 1 }, 7);
        let decision = |outcome, group: &str| Decision {
            outcome,
            group: group.to_owned(),
            position,
            decided_at: Utc::now(),
            reason: None,
        };
        let mut decisions = Decisions::default();
        assert_eq!(decisions.get("a", position), None);
        decisions.add(decision(DecisionOutcome::Discarded, "a"));
        assert_eq!(decisions.get("a", position).unwrap().outcome, DecisionOutcome::Discarded);
        assert_eq!(decisions.get("b", position), None);
        decisions.add(decision(DecisionOutcome::Requeued, "b"));
        assert_eq!(decisions.get("a", position).unwrap().group, "b");
        decisions.add(decision(DecisionOutcome::Discarded, "a"));
        assert_eq!(decisions.get("a", position).unwrap().outcome, DecisionOutcome::Discarded);
        assert_eq!(decisions.get("b", position).unwrap().outcome, DecisionOutcome::Requeued);
    }
}
