//! Selects dead letters by id or by filters.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use jangbogo_consume::dead_letter::{DeadLetter, Decision, DecisionOutcome, Position};
use jangbogo_events::Topic;
use jangbogo_log::Partition;
use jangbogo_topology::Topology;

/// Id of a dead letter: `recommendation/order-completed/3/1042`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeadLetterId {
    /// Consumer group that refused the record.
    pub group: String,
    /// Partition and offset of the refused record.
    pub position: Position,
}

impl From<&DeadLetter> for DeadLetterId {
    fn from(dead_letter: &DeadLetter) -> Self {
        Self { group: dead_letter.group.clone(), position: dead_letter.position }
    }
}

impl fmt::Display for DeadLetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Partition { topic, number }, offset) = self.position;
        write!(formatter, "{}/{topic}/{number}/{offset}", self.group)
    }
}

impl FromStr for DeadLetterId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let form = || "an id is GROUP/TOPIC/PARTITION/OFFSET, as `list` shows it".to_owned();
        let parts: Vec<&str> = text.split('/').collect();
        let [group, topic, number, offset] = parts.as_slice() else { return Err(form()) };
        let number = number.parse().map_err(|_| form())?;
        let offset = offset.parse().map_err(|_| form())?;
        Ok(Self { group: parse_group(group)?, position: (Partition { topic: parse_topic(topic)?, number }, offset) })
    }
}

/// Consumer groups that may have dead letters.
pub fn groups() -> Result<Vec<String>, String> {
    let topology = Topology::embedded().map_err(|error| error.to_string())?;
    Ok(topology.processors.into_iter().map(|processor| processor.group).collect())
}

fn parse_group(name: &str) -> Result<String, String> {
    let groups = groups()?;
    if groups.iter().any(|group| group == name) {
        return Ok(name.to_owned());
    }
    Err(format!("there is no group {name:?}; there are: {}", groups.join(", ")))
}

fn parse_topic(name: &str) -> Result<Topic, String> {
    Topic::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("there is no topic {name:?}; there are: {}", names.join(", "))
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// No decision yet
    Open,
    /// Its record was produced again
    Requeued,
    /// It was given up
    Discarded,
    /// Any status
    All,
}

impl Status {
    pub fn from_decision(decision: Option<&Decision>) -> Self {
        match decision.map(|decision| decision.outcome) {
            None => Status::Open,
            Some(DecisionOutcome::Requeued) => Status::Requeued,
            Some(DecisionOutcome::Discarded) => Status::Discarded,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Status::Open => "open",
            Status::Requeued => "requeued",
            Status::Discarded => "discarded",
            Status::All => "all",
        })
    }
}

/// Conditions that all must hold.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Dead letters of one processor's group [default: every group]
    #[arg(long, value_parser = parse_group)]
    group: Option<String>,
    /// Dead letters whose record is of this topic, without namespace
    #[arg(long, value_parser = parse_topic)]
    topic: Option<Topic>,
    /// Dead letters with this status [default: open]
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Dead letters whose cause contains this text, case-insensitive
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Dead letters whose record was appended at or after this time (RFC 3339)
    #[arg(long, value_name = "TIMESTAMP")]
    since: Option<DateTime<Utc>>,
    /// Dead letters whose record was appended before this time (RFC 3339)
    #[arg(long, value_name = "TIMESTAMP")]
    until: Option<DateTime<Utc>>,
    /// Maximum number, the oldest of each group first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Filter {
    fn matches(&self, dead_letter: &DeadLetter, status: Status) -> bool {
        let expected = self.status.unwrap_or(Status::Open);
        let has_cause = |cause: &String| dead_letter.cause.to_lowercase().contains(&cause.to_lowercase());
        (expected == Status::All || expected == status)
            && self.topic.is_none_or(|topic| dead_letter.position.0.topic == topic)
            && self.cause.as_ref().is_none_or(has_cause)
            && self.since.is_none_or(|since| dead_letter.appended_at >= since)
            && self.until.is_none_or(|until| dead_letter.appended_at < until)
    }
}

/// Dead letters that a command is about.
#[derive(Clone, Debug)]
pub enum Selection {
    Matching(Filter),
    Ids(BTreeSet<DeadLetterId>),
}

impl Selection {
    /// Groups whose dead letters are to be read.
    pub fn groups(&self) -> anyhow::Result<Vec<String>> {
        Ok(match self {
            Selection::Matching(Filter { group: Some(group), .. }) => vec![group.clone()],
            Selection::Matching(_) => groups().map_err(anyhow::Error::msg)?,
            Selection::Ids(ids) => {
                let groups: BTreeSet<&String> = ids.iter().map(|id| &id.group).collect();
                groups.into_iter().cloned().collect()
            }
        })
    }

    /// Maximum number of dead letters, if there is one.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Selection::Matching(filter) => filter.limit,
            Selection::Ids(ids) => Some(ids.len()),
        }
    }

    pub fn contains(&self, dead_letter: &DeadLetter, status: Status) -> bool {
        match self {
            Selection::Matching(filter) => filter.matches(dead_letter, status),
            Selection::Ids(ids) => ids.contains(&DeadLetterId::from(dead_letter)),
        }
    }
}

/// Selects the dead letters of a decision.
#[derive(Args, Clone, Debug)]
pub struct SelectionArguments {
    /// Dead letters by id: GROUP/TOPIC/PARTITION/OFFSET
    #[arg(value_name = "ID", required_unless_present = "all_matching", conflicts_with = "all_matching")]
    ids: Vec<DeadLetterId>,
    /// All dead letters that match the filters, instead of single ones
    #[arg(long)]
    all_matching: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    filter: Filter,
}

impl SelectionArguments {
    /// The ids or the filters; fails if both are given.
    pub fn selection(&self) -> anyhow::Result<Selection> {
        if self.all_matching {
            return Ok(Selection::Matching(self.filter.clone()));
        }
        ensure!(self.filter == Filter::default(), "filters go with --all-matching; ids need none");
        Ok(Selection::Ids(self.ids.iter().cloned().collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let text = "recommendation/order-completed/3/1042";
        let id: DeadLetterId = text.parse().unwrap();
        assert_eq!(id.position, (Partition { topic: Topic::OrderCompleted, number: 3 }, 1042));
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn an_invalid_id_is_refused_with_the_valid_names() {
        let refused = |text: &str| text.parse::<DeadLetterId>().unwrap_err();
        for text in ["", "recommendation", "recommendation/order-completed/3", "recommendation/order-completed/x/1"] {
            assert!(refused(text).starts_with("an id is GROUP/TOPIC/PARTITION/OFFSET"), "{text}");
        }
        let message = refused("unknown/order-completed/3/1042");
        assert!(message.contains("there is no group \"unknown\"; there are: recommendation, analytics"), "{message}");
        let message = refused("recommendation/orders/3/1042");
        assert!(message.contains("there is no topic \"orders\"; there are: catalog-events"), "{message}");
    }
}
