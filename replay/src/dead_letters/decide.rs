//! `replay dead-letters requeue` and `discard`.

use std::collections::{HashMap, HashSet};
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use anyhow::{bail, ensure};
use chrono::{SecondsFormat, Utc};
use clap::Args;
use jangbogo_consume::dead_letter::{DeadLetter, DeadLetterDecision, Position};
use jangbogo_platform::config::Connections;
use rdkafka::producer::future_producer::{Delivery, DeliveryFuture};

use super::find::{Finder, Found, find_ids};
use super::produce::{LetterProducer, Reason, acknowledged};
use super::select::{Chosen, LetterId, Selection};

/// Sends refused records through the front door again
///
/// A record that this program can read by now is appended to its own topic again, unchanged and with a new append time,
/// and every group that reads the topic meets it there. Once Kafka has it, an event on dead-letter-events says so.
/// A crash between the two leaves the dead letter open; requeuing it once more is harmless, because an event counts
/// once however often it stands in the log.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo replay dead-letters requeue recommendation/order-completed/3/1042
  jangbogo replay dead-letters requeue --all-matching --topic order-completed --cause 'version 2'
  jangbogo replay dead-letters requeue --all-matching --group analytics --yes

A record that would only be refused again is left alone and the cause is told; --unchecked sends it all the same.
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
/// An event on dead-letter-events says so. The group skips the record in every replay, even if its code could read it by
/// then. Nothing is removed: the dead letter can still be shown, and requeued with --again.
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

/// On which dead letters to decide, and why.
#[derive(Args, Debug)]
struct DecisionArguments {
    /// Decide even on what was requeued or discarded before
    #[arg(long)]
    again: bool,
    /// Why: it stands in the event
    #[arg(long, value_name = "TEXT", value_parser = parse_reason)]
    reason: Option<Reason>,
    #[command(flatten)]
    chosen: Chosen,
}

fn parse_reason(text: &str) -> Result<Reason, String> {
    Reason::new(text).map_err(|error| error.to_string())
}

/// Letters are sent and acknowledged together up to these limits.
const CHUNK_LETTERS: usize = 500;
const CHUNK_BYTES: usize = 16 << 20;

/// Requeues.
///
/// # Errors
/// When Kafka does not answer, or a letter does not exist or was not requeued.
pub async fn requeue(arguments: &RequeueArguments, connections: &Connections) -> anyhow::Result<()> {
    let Some(mut finder) = choose(&arguments.decision.chosen, "requeue", connections).await? else { return Ok(()) };
    let mut sender =
        Sender::connect(connections, DeadLetterDecision::Requeued, arguments.decision.reason.clone()).await?;
    let mut requeued: HashMap<Position, LetterId> = HashMap::new();
    while let Some(found) = finder.next().await? {
        let id = found.id();
        if let Some(with) = requeued.get(&found.letter.position) {
            // Another group refused the same record, which now comes back to both.
            sender.together.push((id, with.clone()));
        } else if let Some(settled) = why_settled(&found, arguments.decision.again) {
            sender.refuse(&id, &settled);
        } else if !arguments.unchecked
            && let Err(cause) = found.letter.event(Utc::now())
        {
            sender.refuse(&id, &format!("it would be refused again: {cause} (--unchecked sends it all the same)"));
        } else {
            requeued.insert(found.letter.position, id);
            sender.push(found.letter).await?;
        }
    }
    sender.finish().await
}

/// Discards.
///
/// # Errors
/// When Kafka does not answer, or a letter does not exist or was not discarded.
pub async fn discard(arguments: &DiscardArguments, connections: &Connections) -> anyhow::Result<()> {
    let Some(mut finder) = choose(&arguments.decision.chosen, "discard", connections).await? else { return Ok(()) };
    let mut sender =
        Sender::connect(connections, DeadLetterDecision::Discarded, arguments.decision.reason.clone()).await?;
    while let Some(found) = finder.next().await? {
        match why_settled(&found, arguments.decision.again) {
            Some(settled) => sender.refuse(&found.id(), &settled),
            None => sender.push(found.letter).await?,
        }
    }
    sender.finish().await
}

/// Finds out which letters are meant before anything is done to one of them; those that come meanwhile are not. None if
/// the operator thinks better of it.
async fn choose(chosen: &Chosen, verb: &str, connections: &Connections) -> anyhow::Result<Option<Finder>> {
    let selection = chosen.selection()?;
    let ids = find_ids(connections, &selection).await?;
    if matches!(selection, Selection::Matching(_)) {
        ensure!(!ids.is_empty(), "no dead letter matches the filters: there is nothing to {verb}");
        let count = if ids.len() == 1 { "1 dead letter".to_owned() } else { format!("{} dead letters", ids.len()) };
        if !chosen.yes && !io::stdin().is_terminal() {
            bail!("the filters leave {count}; nobody can be asked here whether to {verb}: give --yes");
        }
        if !chosen.yes && !confirmed(&format!("{verb} {count}?"))? {
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

/// Why nothing more is to be decided about a letter.
fn why_settled(found: &Found, again: bool) -> Option<String> {
    let decision = found.decision.as_ref().filter(|_| !again)?;
    let decided_at = decision.decided_at.to_rfc3339_opts(SecondsFormat::Secs, true);
    let by = if decision.group == found.letter.group { String::new() } else { format!(" for {}", decision.group) };
    Some(format!("it was {} at {decided_at}{by} (--again insists)", found.status()))
}

/// Carries decisions out, and says what became of each letter.
struct Sender {
    producer: LetterProducer,
    verdict: DeadLetterDecision,
    reason: Option<Reason>,
    chunk: Vec<DeadLetter>,
    chunk_bytes: usize,
    /// Letters that another one's requeue settles.
    together: Vec<(LetterId, LetterId)>,
    done: HashSet<LetterId>,
    refused: usize,
}

impl Sender {
    async fn connect(
        connections: &Connections,
        verdict: DeadLetterDecision,
        reason: Option<Reason>,
    ) -> anyhow::Result<Self> {
        let producer = LetterProducer::connect(connections).await?;
        let (chunk, together) = (Vec::new(), Vec::new());
        Ok(Self { producer, verdict, reason, chunk, chunk_bytes: 0, together, done: HashSet::new(), refused: 0 })
    }

    fn refuse(&mut self, id: &LetterId, why: &str) {
        eprintln!("not {} {id}: {why}", self.participle());
        self.refused += 1;
    }

    fn participle(&self) -> &'static str {
        match self.verdict {
            DeadLetterDecision::Requeued => "requeued",
            DeadLetterDecision::Discarded => "discarded",
        }
    }

    async fn push(&mut self, letter: DeadLetter) -> anyhow::Result<()> {
        self.chunk_bytes += letter.value.as_ref().map_or(0, Vec::len);
        self.chunk.push(letter);
        if self.chunk.len() >= CHUNK_LETTERS || self.chunk_bytes >= CHUNK_BYTES {
            self.send_chunk().await
        } else {
            Ok(())
        }
    }

    /// Sends the records that are requeued; once those are in the log, the events that say so. What Kafka did not accept
    /// stays open.
    async fn send_chunk(&mut self) -> anyhow::Result<()> {
        let letters = std::mem::take(&mut self.chunk);
        self.chunk_bytes = 0;
        let mut settled: Vec<(DeadLetter, Option<Delivery>)> = Vec::new();
        match self.verdict {
            DeadLetterDecision::Discarded => settled.extend(letters.into_iter().map(|letter| (letter, None))),
            DeadLetterDecision::Requeued => {
                let deliveries: Vec<anyhow::Result<DeliveryFuture>> =
                    letters.iter().map(|letter| self.producer.send_record(letter)).collect();
                for (letter, delivery) in letters.into_iter().zip(deliveries) {
                    match delivered(delivery).await {
                        Ok(delivery) => settled.push((letter, Some(delivery))),
                        Err(error) => self.refuse(&LetterId::of(&letter), &format!("{error:#}")),
                    }
                }
            }
        }
        let decide =
            |(letter, _): &(DeadLetter, _)| self.producer.send_decision(self.verdict, letter, self.reason.clone());
        let decisions: Vec<anyhow::Result<DeliveryFuture>> = settled.iter().map(decide).collect();
        for ((letter, record), decision) in settled.into_iter().zip(decisions) {
            let id = LetterId::of(&letter);
            match delivered(decision).await {
                Ok(_) => {
                    let topic = letter.position.0.topic;
                    let place = record.map(|record| format!(" -> {topic}/{}/{}", record.partition, record.offset));
                    say(&format!("{} {id}{}", self.participle(), place.unwrap_or_default()));
                    self.done.insert(id);
                }
                Err(error) if record.is_some() => {
                    self.refuse(&id, &format!("its record was sent, but not the event that says so: {error:#}"));
                }
                Err(error) => self.refuse(&id, &format!("{error:#}")),
            }
        }
        Ok(())
    }

    async fn finish(mut self) -> anyhow::Result<()> {
        self.send_chunk().await?;
        for (id, with) in std::mem::take(&mut self.together) {
            if self.done.contains(&with) {
                say(&format!("{} {id}: its record is that of {with}", self.participle()));
                self.done.insert(id);
            } else {
                self.refuse(&id, &format!("its record is that of {with}"));
            }
        }
        let Self { done, refused, .. } = &self;
        ensure!(*refused == 0, "{refused} of {} dead letters were not {}", done.len() + refused, self.participle());
        Ok(())
    }
}

/// Tells of a deed. It is done whether or not anybody listens any more.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

async fn delivered(delivery: anyhow::Result<DeliveryFuture>) -> anyhow::Result<Delivery> {
    acknowledged(delivery?).await
}
