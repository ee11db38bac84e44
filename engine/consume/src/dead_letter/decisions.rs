//! What operators decided about dead letters.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use jangbogo_events::{Data, Event, Topic};
use jangbogo_log::Partition;
use jangbogo_log::topic::{ReadError, read_to_end};
use jangbogo_platform::config::Connections;
use jangbogo_telemetry::causes;
use rdkafka::message::{Headers as _, Message as _, OwnedMessage};
use tracing::warn;

use super::Position;

/// What becomes of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeadLetterDecision {
    /// Its record was appended to its own topic again.
    Requeued,
    /// It was given up: its group skips its position in every replay.
    Discarded,
}

/// One operator's decision about one dead letter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of it.
    pub verdict: DeadLetterDecision,
    /// Whose dead letter it is.
    pub group: String,
    /// Where the record stands.
    pub position: Position,
    /// When it was decided.
    pub decided_at: DateTime<Utc>,
    /// Why, in the operator's words.
    pub reason: Option<String>,
}

impl Decision {
    fn of(event: Event) -> Option<Decision> {
        let (verdict, group, topic, number, offset, reason) = match event.data {
            Data::DeadLetterRequeued(data) => {
                (DeadLetterDecision::Requeued, data.group, data.topic, data.partition, data.offset, data.reason)
            }
            Data::DeadLetterDiscarded(data) => {
                (DeadLetterDecision::Discarded, data.group, data.topic, data.partition, data.offset, data.reason)
            }
            _ => return None,
        };
        Some(Decision {
            verdict,
            group: group.to_string(),
            position: (Partition { topic: Topic::from_name(&topic)?, number }, offset),
            decided_at: event.envelope.time,
            reason: reason.map(|reason| reason.to_string()),
        })
    }
}

/// Every decision so far, by the position it is about.
#[derive(Clone, Debug, Default)]
pub struct Decisions(HashMap<Position, Vec<Decision>>);

impl Decisions {
    /// The newest decision that settles a group's dead letter, if one does. A requeued record comes back to every group
    /// that reads its topic, so it settles their letters of that position too; what a group discards is its own affair.
    #[must_use]
    pub fn of(&self, group: &str, position: Position) -> Option<&Decision> {
        let settles =
            |decision: &&Decision| decision.verdict == DeadLetterDecision::Requeued || decision.group == group;
        self.0.get(&position)?.iter().rev().find(settles)
    }

    /// Adds a newer one.
    pub fn add(&mut self, decision: Decision) {
        self.0.entry(decision.position).or_default().push(decision);
    }
}

/// Reads every decision up to now.
///
/// # Errors
/// When Kafka does not answer.
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

/// The positions that a group discarded: every replay of it skips them, even if its code could read them by now, so that
/// it agrees with what was folded live. Nothing takes a discard back; whoever wants the record after all requeues it,
/// which gives it another position.
///
/// # Errors
/// When Kafka does not answer. It may be asked again: nothing is known then.
pub async fn discarded(connections: &Connections, group: &str) -> Result<HashSet<Position>, ReadError> {
    let Decisions(all) = decisions(connections).await?;
    let is_discard = |decision: &Decision| decision.verdict == DeadLetterDecision::Discarded && decision.group == group;
    Ok(all
        .into_iter()
        .filter(|(_, decisions)| decisions.iter().any(is_discard))
        .map(|(position, _)| position)
        .collect())
}

fn decision_of(message: &OwnedMessage) -> Option<Decision> {
    let headers: Vec<(&str, &[u8])> = message
        .headers()
        .map(|headers| headers.iter().map(|header| (header.key, header.value.unwrap_or_default())).collect())
        .unwrap_or_default();
    let value = message.payload().unwrap_or_default();
    match Event::decode(jangbogo_events::Record { topic: Topic::DeadLetterEvents, headers: &headers, value }) {
        Ok(event) => Decision::of(event),
        Err(error) => {
            warn!(topic = message.topic(), offset = message.offset(), error = %causes(&error), "skipped: no decision");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requeue_settles_every_groups_letter_and_a_discard_only_its_own() {
        let position = (Partition { topic: Topic::OrderCompleted, number: 1 }, 7);
        let decision = |verdict, group: &str| Decision {
            verdict,
            group: group.to_owned(),
            position,
            decided_at: Utc::now(),
            reason: None,
        };
        let mut decisions = Decisions::default();
        assert_eq!(decisions.of("a", position), None);
        decisions.add(decision(DeadLetterDecision::Discarded, "a"));
        assert_eq!(decisions.of("a", position).unwrap().verdict, DeadLetterDecision::Discarded);
        assert_eq!(decisions.of("b", position), None);
        decisions.add(decision(DeadLetterDecision::Requeued, "b"));
        assert_eq!(decisions.of("a", position).unwrap().group, "b");
        decisions.add(decision(DeadLetterDecision::Discarded, "a"));
        assert_eq!(decisions.of("a", position).unwrap().verdict, DeadLetterDecision::Discarded);
        assert_eq!(decisions.of("b", position).unwrap().verdict, DeadLetterDecision::Requeued);
    }
}
