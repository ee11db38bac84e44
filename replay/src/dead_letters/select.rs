//! Which dead letters are meant: by id, or by what they are.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use anyhow::ensure;
use chrono::{DateTime, Utc};
use clap::{Args, ValueEnum};
use jangbogo_consume::dead_letter::{DeadLetter, DeadLetterDecision, Decision, Position};
use jangbogo_events::Topic;
use jangbogo_host::topology::Topology;
use jangbogo_log::Partition;

/// Names one dead letter: `recommendation/order-completed/3/1042`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LetterId {
    /// Who refused the record.
    pub group: String,
    /// Where it stands.
    pub position: Position,
}

impl LetterId {
    /// The id of a letter.
    pub fn of(letter: &DeadLetter) -> Self {
        Self { group: letter.group.clone(), position: letter.position }
    }
}

impl fmt::Display for LetterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Partition { topic, number }, offset) = self.position;
        write!(formatter, "{}/{topic}/{number}/{offset}", self.group)
    }
}

impl FromStr for LetterId {
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

/// Who may have dead letters.
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

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Status {
    /// Nobody has decided yet
    Open,
    /// Its record was sent again
    Requeued,
    /// It was given up
    Discarded,
    /// Any of these
    All,
}

impl Status {
    /// What a decision makes of it.
    pub fn of(decision: Option<&Decision>) -> Self {
        match decision.map(|decision| decision.verdict) {
            None => Status::Open,
            Some(DeadLetterDecision::Requeued) => Status::Requeued,
            Some(DeadLetterDecision::Discarded) => Status::Discarded,
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

/// What dead letters must be to be meant.
#[derive(Args, Clone, Debug, Default, PartialEq, Eq)]
#[command(next_help_heading = "Filters")]
pub struct Filter {
    /// Those of one processor's group; of every group if none is given
    #[arg(long, value_parser = parse_group)]
    group: Option<String>,
    /// Those that stand on this topic, without namespace
    #[arg(long, value_parser = parse_topic)]
    topic: Option<Topic>,
    /// Those with this status; open ones if none is given
    #[arg(long, value_enum)]
    status: Option<Status>,
    /// Those whose cause contains this, in large or small letters
    #[arg(long, value_name = "TEXT")]
    cause: Option<String>,
    /// Those whose record was appended at or after this time (RFC 3339)
    #[arg(long, value_name = "TIMESTAMP")]
    since: Option<DateTime<Utc>>,
    /// Those whose record was appended before this time (RFC 3339)
    #[arg(long, value_name = "TIMESTAMP")]
    until: Option<DateTime<Utc>>,
    /// At most so many, the oldest of each group first
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Filter {
    fn takes(&self, letter: &DeadLetter, status: Status) -> bool {
        let wanted = self.status.unwrap_or(Status::Open);
        let has_cause = |cause: &String| letter.cause.to_lowercase().contains(&cause.to_lowercase());
        (wanted == Status::All || wanted == status)
            && self.topic.is_none_or(|topic| letter.position.0.topic == topic)
            && self.cause.as_ref().is_none_or(has_cause)
            && self.since.is_none_or(|since| letter.appended_at >= since)
            && self.until.is_none_or(|until| letter.appended_at < until)
    }
}

/// The dead letters that a command is about.
#[derive(Clone, Debug)]
pub enum Selection {
    /// Those of which all this is true.
    Matching(Filter),
    /// Exactly these.
    Ids(BTreeSet<LetterId>),
}

impl Selection {
    /// Whose letters are to be read.
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

    /// How many there can be, if that is known.
    pub fn limit(&self) -> Option<usize> {
        match self {
            Selection::Matching(filter) => filter.limit,
            Selection::Ids(ids) => Some(ids.len()),
        }
    }

    /// Whether a letter is among them.
    pub fn takes(&self, letter: &DeadLetter, status: Status) -> bool {
        match self {
            Selection::Matching(filter) => filter.takes(letter, status),
            Selection::Ids(ids) => ids.contains(&LetterId::of(letter)),
        }
    }
}

/// Which dead letters to decide about.
#[derive(Args, Clone, Debug)]
pub struct Chosen {
    /// Dead letters: GROUP/TOPIC/PARTITION/OFFSET
    #[arg(value_name = "ID", required_unless_present = "all_matching", conflicts_with = "all_matching")]
    ids: Vec<LetterId>,
    /// All that the filters leave, instead of single ones
    #[arg(long)]
    all_matching: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    pub yes: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Chosen {
    /// Ids or filter, not both.
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
        let id: LetterId = text.parse().unwrap();
        assert_eq!(id.position, (Partition { topic: Topic::OrderCompleted, number: 3 }, 1042));
        assert_eq!(id.to_string(), text);
    }

    #[test]
    fn what_is_no_id_is_refused_with_what_there_is() {
        let refused = |text: &str| text.parse::<LetterId>().unwrap_err();
        for text in ["", "recommendation", "recommendation/order-completed/3", "recommendation/order-completed/x/1"] {
            assert!(refused(text).starts_with("an id is GROUP/TOPIC/PARTITION/OFFSET"), "{text}");
        }
        let message = refused("nobody/order-completed/3/1042");
        assert!(message.contains("there is no group \"nobody\"; there are: recommendation, analytics"), "{message}");
        let message = refused("recommendation/orders/3/1042");
        assert!(message.contains("there is no topic \"orders\"; there are: catalog-events"), "{message}");
    }
}
