//! Random logs, and orders in which to read them.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::Event;
use jangbogo_log::{Partition, Record, Refused};
use jangbogo_test_support::histories::histories;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::Index;
use uuid::Uuid;

/// Partitions of each topic.
const PARTITIONS: i32 = 3;

#[derive(Clone)]
pub enum Entry {
    Event(Box<Event>),
    /// A record that cannot be decoded.
    Garbage,
}

/// The records of each partition, by offset.
pub type Log = BTreeMap<Partition, Vec<Entry>>;

/// A log, and three ways to fold it that must give the same rows.
#[derive(Clone)]
pub struct Case {
    pub log: Log,
    pub live: ReadOrder,
    pub replay: ReadOrder,
    pub again: ReadOrder,
    /// End offsets when the replay began.
    captured: Vec<Index>,
    /// Latest event time that is folded; none for all events.
    pub as_of: Option<DateTime<Utc>>,
}

/// Interleaving of partitions, sizes of batches, and the batch before which another reader takes over.
#[derive(Clone, Debug)]
pub struct ReadOrder {
    turns: Vec<Index>,
    sizes: Vec<usize>,
    pub interrupted_before: Index,
}

/// Next offset of each partition.
pub type Positions = BTreeMap<Partition, usize>;

impl Case {
    /// End of the log.
    pub fn end(&self) -> Positions {
        self.log.iter().map(|(partition, entries)| (*partition, entries.len())).collect()
    }

    /// End of the log when the replay began.
    pub fn captured(&self) -> Positions {
        let cuts = self.captured.iter().cycle();
        self.log
            .iter()
            .zip(cuts)
            .map(|((partition, entries), cut)| (*partition, cut.index(entries.len() + 1)))
            .collect()
    }

    /// The record at an offset of a partition.
    pub fn record(&self, (partition, position): (Partition, usize)) -> Record {
        let outcome = match &self.log[&partition][position] {
            Entry::Event(event) => Ok((**event).clone()),
            Entry::Garbage => Err(Box::new(Refused {
                cause: "no event: it holds \0".to_owned(),
                key: None,
                value: Some(vec![0]),
                headers: Vec::new(),
                kept: true,
            })),
        };
        let offset = i64::try_from(position).unwrap();
        let appended_at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(offset);
        Record { partition, offset, appended_at, bytes: 100, outcome }
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.log.values().flatten()
    }
}

impl ReadOrder {
    /// Batches of offsets between two positions, in order within each partition.
    pub fn batches(&self, from: &Positions, until: &Positions) -> Vec<Vec<(Partition, usize)>> {
        let mut unread: Vec<(Partition, usize, usize)> = until
            .iter()
            .map(|(partition, end)| (*partition, from.get(partition).copied().unwrap_or(0), *end))
            .filter(|(_, next, end)| next < end)
            .collect();
        let (mut turns, mut sizes) = (self.turns.iter().cycle(), self.sizes.iter().cycle());
        let mut batches = Vec::new();
        while !unread.is_empty() {
            let size = *sizes.next().unwrap();
            let mut batch = Vec::new();
            while batch.len() < size && !unread.is_empty() {
                let chosen = turns.next().unwrap().index(unread.len());
                let (partition, next, end) = &mut unread[chosen];
                batch.push((*partition, *next));
                *next += 1;
                if next == end {
                    unread.remove(chosen);
                }
            }
            batches.push(batch);
        }
        batches
    }
}

/// A repetition of an event later in the log, possibly with other data.
#[derive(Clone, Debug)]
struct Repetition {
    of: Index,
    at: Index,
    with_data_of: Option<Index>,
}

pub fn cases() -> impl Strategy<Value = Case> {
    let history = (any::<u64>(), histories(10..60), repetitions(), vec(any::<Index>(), 0..3));
    let orders = (read_orders(1..8), read_orders(1..30), read_orders(1..200));
    let as_of = option::weighted(0.2, any::<Index>());
    (history, orders, vec(any::<Index>(), 1..6), as_of).prop_map(
        |((source, events, repetitions, garbage), (live, replay, again), captured, as_of)| {
            let as_of = as_of.map(|index| index.get(&events).envelope.time);
            let log = log(source, events, &repetitions, &garbage);
            Case { log, live, replay, again, captured, as_of }
        },
    )
}

fn repetitions() -> impl Strategy<Value = Vec<Repetition>> {
    let repetition = (any::<Index>(), any::<Index>(), option::of(any::<Index>()));
    vec(repetition.prop_map(|(of, at, with_data_of)| Repetition { of, at, with_data_of }), 0..12)
}

fn read_orders(sizes: std::ops::Range<usize>) -> impl Strategy<Value = ReadOrder> {
    (vec(any::<Index>(), 1..40), vec(sizes, 1..6), any::<Index>())
        .prop_map(|(turns, sizes, interrupted_before)| ReadOrder { turns, sizes, interrupted_before })
}

fn log(source: u64, mut events: Vec<Event>, repetitions: &[Repetition], garbage: &[Index]) -> Log {
    for event in &mut events {
        event.envelope.source = format!("history-{source}");
    }
    for Repetition { of, at, with_data_of } in repetitions {
        let of = of.index(events.len());
        let mut repeated = events[of].clone();
        let topic_and_key = |event: &Event| (event.data.event_type().topic(), event.encode().unwrap().key);
        if let Some(other) = with_data_of.map(|index| index.get(&events))
            && topic_and_key(other) == topic_and_key(&repeated)
        {
            repeated.data = other.data.clone();
        }
        events.insert(of + 1 + at.index(events.len() - of), repeated);
    }
    let mut log = Log::new();
    for event in events {
        let encoded = event.encode().unwrap();
        let hash = Uuid::new_v5(&Uuid::NAMESPACE_OID, encoded.key.as_bytes()).as_u128();
        let number = i32::try_from(hash % u128::from(PARTITIONS.unsigned_abs())).unwrap();
        let entries = log.entry(Partition { topic: encoded.topic, number }).or_default();
        entries.push(Entry::Event(Box::new(event)));
    }
    let partitions: Vec<Partition> = log.keys().copied().collect();
    for index in garbage {
        let entries = log.get_mut(index.get(&partitions)).unwrap();
        entries.insert(index.index(entries.len() + 1), Entry::Garbage);
    }
    log
}

impl fmt::Debug for Case {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (partition, entries) in &self.log {
            for (offset, entry) in entries.iter().enumerate() {
                match entry {
                    Entry::Event(event) => {
                        let data = event.encode().map(|encoded| String::from_utf8_lossy(&encoded.value).into_owned());
                        let (id, time) = (&event.envelope.id, event.envelope.time);
                        writeln!(formatter, "{partition} {offset}: {id} at {time}: {}", data.unwrap_or_default())?;
                    }
                    Entry::Garbage => writeln!(formatter, "{partition} {offset}: garbage")?,
                }
            }
        }
        let sources = self.entries().find_map(|entry| match entry {
            Entry::Event(event) => Some(&event.envelope.source),
            Entry::Garbage => None,
        });
        writeln!(formatter, "all of {sources:?}; captured {:?}; as of {:?}", self.captured(), self.as_of)?;
        let nothing = Positions::new();
        let text = |batches: Vec<Vec<(Partition, usize)>>| {
            let batch = |batch: Vec<(Partition, usize)>| {
                batch
                    .iter()
                    .map(|(partition, position)| format!("{partition}@{position}"))
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            batches.into_iter().map(batch).collect::<Vec<_>>().join(" | ")
        };
        writeln!(formatter, "live: {}", text(self.live.batches(&nothing, &self.end())))?;
        writeln!(formatter, "replay: {}", text(self.replay.batches(&nothing, &self.captured())))?;
        writeln!(formatter, "then: {}", text(self.replay.batches(&self.captured(), &self.end())))?;
        writeln!(formatter, "again: {}", text(self.again.batches(&nothing, &self.end())))
    }
}
