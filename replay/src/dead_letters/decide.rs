//! `replay dead-letters requeue` and `discard`.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{bail, ensure};
use chrono::{SecondsFormat, Utc};
use clap::Args;
use jangbogo_consume::dead_letter::{DeadLetter, DecisionOutcome, Position};
use jangbogo_platform::config::Connections;
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};

use super::find::{DecidedDeadLetter, Finder, find_ids};
use super::produce::{DeadLetterProducer, Reason, acknowledged};
use super::select::{DeadLetterId, Selection, SelectionArguments};

/// Produces refused records to their own topics again
///
/// A record that this program can decode by now is appended to its own topic, unchanged and with a new append time, and
/// every group that reads the topic gets it. When Kafka has acknowledged it, an event on dead-letter-events records the
/// decision. A crash between the two leaves the dead letter open; requeuing it again is idempotent, because the folds
/// deduplicate events.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo replay dead-letters requeue recommendation/order-completed/3/1042
  jangbogo replay dead-letters requeue --all-matching --topic order-completed --cause 'version 2'
  jangbogo replay dead-letters requeue --all-matching --group analytics --yes

A record that would be refused again is not sent and the cause is printed; --unchecked sends it anyway.
Exits 1 if a record was not requeued.")]
pub struct RequeueArguments {
    /// Send records even if this program would refuse them again
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    decision: DecisionArguments,
}

/// Gives refused records up
///
/// An event on dead-letter-events records the decision. The group skips the record in every replay, even if its code
/// can decode it by then. Nothing is removed: the dead letter can still be shown, and requeued with --again.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo replay dead-letters discard recommendation/order-completed/3/1042 --reason 'a test of the till'
  jangbogo replay dead-letters discard --all-matching --cause 'must be a JSON object' --until 2026-01-31T00:00:00Z

Exits 1 if a dead letter was not discarded.")]
pub struct DiscardArguments {
    #[command(flatten)]
    decision: DecisionArguments,
}

#[derive(Args, Debug)]
struct DecisionArguments {
    /// Include dead letters that were requeued or discarded before
    #[arg(long)]
    again: bool,
    /// Reason of the decision, recorded in the event
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<Reason>,
    #[command(flatten)]
    selection: SelectionArguments,
}

fn parse_reason(text: &str) -> Result<Reason, String> {
    Reason::new(text).map_err(|error| error.to_string())
}

/// Records are sent and acknowledged in chunks of at most this number and size.
const CHUNK_RECORDS: usize = 500;
const CHUNK_BYTES: usize = 16 << 20;

pub async fn requeue(arguments: &RequeueArguments, connections: &Connections) -> anyhow::Result<()> {
    let Some(mut finder) = confirm_selection(&arguments.decision.selection, "requeue", connections).await? else {
        return Ok(());
    };
    let mut sender = Sender::connect(connections, DecisionOutcome::Requeued, arguments.decision.reason.clone()).await?;
    let mut requeued: HashMap<Position, DeadLetterId> = HashMap::new();
    while let Some(found) = finder.next().await? {
        let id = found.id();
        if let Some(with) = requeued.get(&found.dead_letter.position) {
            // Another group refused the same record: both get it again.
            sender.duplicates.push((id, with.clone()));
        } else if let Some(reason) = reason_to_skip(&found, arguments.decision.again) {
            sender.refuse(&id, &reason);
        } else if !arguments.unchecked
            && let Err(cause) = found.dead_letter.event(Utc::now())
        {
            sender.refuse(&id, &format!("it would be refused again: {cause} (--unchecked sends it anyway)"));
        } else {
            requeued.insert(found.dead_letter.position, id);
            sender.push(found.dead_letter).await?;
        }
    }
    sender.finish().await
}

pub async fn discard(arguments: &DiscardArguments, connections: &Connections) -> anyhow::Result<()> {
    let Some(mut finder) = confirm_selection(&arguments.decision.selection, "discard", connections).await? else {
        return Ok(());
    };
    let mut sender =
        Sender::connect(connections, DecisionOutcome::Discarded, arguments.decision.reason.clone()).await?;
    while let Some(found) = finder.next().await? {
        match reason_to_skip(&found, arguments.decision.again) {
            Some(reason) => sender.refuse(&found.id(), &reason),
            None => sender.push(found.dead_letter).await?,
        }
    }
    sender.finish().await
}

/// Resolves the selection to ids before the first decision, so that later dead letters are left out. None if the
/// operator does not confirm.
async fn confirm_selection(
    arguments: &SelectionArguments,
    verb: &str,
    connections: &Connections,
) -> anyhow::Result<Option<Finder>> {
    let selection = arguments.selection()?;
    let ids = find_ids(connections, &selection).await?;
    if matches!(selection, Selection::Matching(_)) {
        ensure!(!ids.is_empty(), "no dead letter matches the filters: there is nothing to {verb}");
        let count = if ids.len() == 1 { "1 dead letter".to_owned() } else { format!("{} dead letters", ids.len()) };
        if !arguments.yes && !io::stdin().is_terminal() {
            bail!("the filters match {count}; without a terminal there is no confirmation to {verb}: give --yes");
        }
        if !arguments.yes && !confirmed(&format!("{verb} {count}?"))? {
            eprintln!("nothing was done");
            return Ok(None);
        }
    }
    Ok(Some(Finder::open(connections, Selection::Ids(ids)).await?))
}

fn confirmed(question: &str) -> io::Result<bool> {
    eprint!("{question} [y/N] ");
    io::stderr().flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn reason_to_skip(found: &DecidedDeadLetter, again: bool) -> Option<String> {
    let decision = found.decision.as_ref().filter(|_| !again)?;
    let decided_at = decision.decided_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let by = if decision.group == found.dead_letter.group { String::new() } else { format!(" for {}", decision.group) };
    Some(format!("it was {} at {decided_at}{by} (--again decides anew)", found.status()))
}

/// Carries decisions out, and prints the result for each dead letter.
struct Sender {
    producer: DeadLetterProducer,
    decision: DecisionOutcome,
    reason: Option<Reason>,
    chunk: Vec<DeadLetter>,
    chunk_bytes: usize,
    /// Dead letters of a record that another dead letter's requeue sends.
    duplicates: Vec<(DeadLetterId, DeadLetterId)>,
    done: HashSet<DeadLetterId>,
    refused: usize,
}

impl Sender {
    async fn connect(
        connections: &Connections,
        decision: DecisionOutcome,
        reason: Option<Reason>,
    ) -> anyhow::Result<Self> {
        let producer = DeadLetterProducer::connect(connections).await?;
        let (chunk, duplicates) = (Vec::new(), Vec::new());
        Ok(Self { producer, decision, reason, chunk, chunk_bytes: 0, duplicates, done: HashSet::new(), refused: 0 })
    }

    fn refuse(&mut self, id: &DeadLetterId, reason: &str) {
        eprintln!("not {} {id}: {reason}", self.participle());
        self.refused += 1;
    }

    fn participle(&self) -> &'static str {
        match self.decision {
            DecisionOutcome::Requeued => "requeued",
            DecisionOutcome::Discarded => "discarded",
        }
    }

    async fn push(&mut self, dead_letter: DeadLetter) -> anyhow::Result<()> {
        self.chunk_bytes += dead_letter.value.as_ref().map_or(0, Vec::len);
        self.chunk.push(dead_letter);
        if self.chunk.len() >= CHUNK_RECORDS || self.chunk_bytes >= CHUNK_BYTES {
            self.send_chunk().await
        } else {
            Ok(())
        }
    }

    /// Sends the requeued records, and once they are acknowledged, the decisions. A dead letter whose record or
    /// decision Kafka rejects stays open.
    async fn send_chunk(&mut self) -> anyhow::Result<()> {
        let dead_letters = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let mut produced: Vec<(DeadLetter, Option<Delivery>)> = Vec::new();
        match self.decision {
            DecisionOutcome::Discarded => {
                produced.extend(dead_letters.into_iter().map(|dead_letter| (dead_letter, None)));
            }
            DecisionOutcome::Requeued => {
                let deliveries: Vec<anyhow::Result<DeliveryFuture>> =
                    dead_letters.iter().map(|dead_letter| self.producer.send_record(dead_letter)).collect();
                for (dead_letter, delivery) in dead_letters.into_iter().zip(deliveries) {
                    match delivered(delivery).await {
                        Ok(delivery) => produced.push((dead_letter, Some(delivery))),
                        Err(error) => self.refuse(&DeadLetterId::from(&dead_letter), &format!("{error:#}")),
                    }
                }
            }
        }
        let decide = |(dead_letter, _): &(DeadLetter, _)| {
            self.producer.send_decision(self.decision, dead_letter, self.reason.clone())
        };
        let decisions: Vec<anyhow::Result<DeliveryFuture>> = produced.iter().map(decide).collect();
        for ((dead_letter, record), decision) in produced.into_iter().zip(decisions) {
            let id = DeadLetterId::from(&dead_letter);
            match delivered(decision).await {
                Ok(_) => {
                    let topic = dead_letter.position.0.topic;
                    let position = record.map(|record| format!(" -> {topic}/{}/{}", record.partition, record.offset));
                    print_line(&format!("{} {id}{}", self.participle(), position.unwrap_or_default()));
                    self.done.insert(id);
                }
                Err(error) if record.is_some() => {
                    self.refuse(&id, &format!("its record was sent, but not the decision: {error:#}"));
                }
                Err(error) => self.refuse(&id, &format!("{error:#}")),
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.send_chunk().await?;
        for (id, with) in std::mem::take(&mut self.duplicates) {
            if self.done.contains(&with) {
                print_line(&format!("{} {id}: it has the same record as {with}", self.participle()));
                self.done.insert(id);
            } else {
                self.refuse(&id, &format!("it has the same record as {with}"));
            }
        }
        let Self { done, refused, .. } = &self;
        ensure!(*refused == 0, "{refused} of {} dead letters were not {}", done.len() + refused, self.participle());
        Ok(())
    }
}

/// Prints a result. A closed pipe does not stop the command.
fn print_line(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

async fn delivered(delivery: anyhow::Result<DeliveryFuture>) -> anyhow::Result<Delivery> {
    acknowledged(delivery?).await
}
