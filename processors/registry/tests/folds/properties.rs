//! Properties of folds over random histories.

use std::collections::{BTreeMap, BTreeSet};

use chrono_tz::Asia::Seoul;
use jangbogo_events::{Event, EventHash, Record};
use jangbogo_fold::{Cell, Deltas, FoldConfig, Processor, decode_key};
use jangbogo_processors::PROCESSORS;
use jangbogo_test_support::histories::histories;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

const CONFIG: FoldConfig = FoldConfig { time_zone: Seoul, embedding_model: None };

/// Cells by key, by table.
type Rows = BTreeMap<&'static str, BTreeMap<Vec<u8>, Vec<Cell>>>;

fn rows(deltas: &Deltas) -> Rows {
    let mut rows = Rows::new();
    for table in deltas.tables() {
        let cells_by_key = (0..table.len()).map(|row| (table.key(row).to_vec(), table.cells(row).to_vec())).collect();
        rows.insert(table.table().name, cells_by_key);
    }
    rows
}

fn fold<'a>(processor: &Processor, events: impl IntoIterator<Item = &'a Event>) -> Deltas {
    let mut deltas = Deltas::new(processor);
    for event in events {
        deltas.fold(processor, &CONFIG, event);
    }
    deltas
}

/// Commits batches as the engine does: folds the events of each that were not seen before, and merges the deltas.
fn commit(processor: &Processor, batches: &[&[Event]]) -> Deltas {
    let mut seen: BTreeSet<EventHash> = BTreeSet::new();
    let mut stored = Deltas::new(processor);
    for batch in batches {
        let by_hash: BTreeMap<EventHash, &Event> = batch.iter().map(|event| (event.envelope.hash(), event)).collect();
        let new = by_hash.into_iter().filter(|(hash, _)| seen.insert(*hash)).map(|(_, event)| event);
        stored.merge(&fold(processor, new));
    }
    stored
}

/// Cuts a history at these indexes.
fn split<'a>(events: &'a [Event], cuts: &[Index]) -> Vec<&'a [Event]> {
    let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len() + 1)).collect();
    cuts.sort_unstable();
    let ends = cuts.iter().copied().chain([events.len()]);
    let begins = [0].into_iter().chain(cuts.iter().copied());
    begins.zip(ends).map(|(begin, end)| &events[begin..end]).collect()
}

/// Merges two random parts at a time, in either direction, until one is left.
fn merge_in_any_order(mut parts: Vec<Deltas>, choices: &[Index]) -> Deltas {
    let mut choices = choices.iter().cycle();
    let mut choose = |parts: &mut Vec<Deltas>| {
        let choice = choices.next().map_or(0, |choice| choice.index(parts.len()));
        parts.swap_remove(choice)
    };
    while parts.len() > 1 {
        let mut merged = choose(&mut parts);
        merged.merge(&choose(&mut parts));
        parts.push(merged);
    }
    parts.pop().unwrap()
}

/// A history, and the same shuffled.
fn shuffled() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    histories(1..40).prop_flat_map(|events| (Just(events.clone()), Just(events).prop_shuffle()))
}

/// A history, and the same shuffled with some of its events repeated.
fn repeated() -> impl Strategy<Value = (Vec<Event>, Vec<Event>)> {
    (histories(1..40), vec(any::<Index>(), 1..40)).prop_flat_map(|(events, repeated)| {
        let mut deliveries = events.clone();
        deliveries.extend(repeated.iter().map(|repeated| repeated.get(&events).clone()));
        (Just(events), Just(deliveries).prop_shuffle())
    })
}

fn cuts() -> impl Strategy<Value = Vec<Index>> {
    vec(any::<Index>(), 0..12)
}

proptest! {
    #[test]
    fn rows_do_not_depend_on_the_order_of_events((events, shuffled) in shuffled()) {
        for processor in PROCESSORS {
            prop_assert_eq!(rows(&fold(processor, &shuffled)), rows(&fold(processor, &events)), "{}", processor.name);
        }
    }

    #[test]
    fn rows_do_not_depend_on_batches_or_the_order_of_merging(
        (events, shuffled) in shuffled(),
        cuts in cuts(),
        choices in vec(any::<Index>(), 1..24),
    ) {
        for processor in PROCESSORS {
            let parts = split(&shuffled, &cuts).into_iter().map(|batch| fold(processor, batch)).collect();
            let merged = merge_in_any_order(parts, &choices);
            prop_assert_eq!(rows(&merged), rows(&fold(processor, &events)), "{}", processor.name);
        }
    }

    #[test]
    fn repeated_deliveries_change_no_row((events, deliveries) in repeated(), cuts in cuts()) {
        for processor in PROCESSORS {
            let stored = commit(processor, &split(&deliveries, &cuts));
            prop_assert_eq!(rows(&stored), rows(&fold(processor, &events)), "{}", processor.name);
        }
    }

    #[test]
    fn every_row_can_be_stored(events in histories(1..20)) {
        for processor in PROCESSORS {
            for table in fold(processor, &events).tables() {
                let types = || table.table().key.iter().map(|column| column.column_type);
                for row in 0..table.len() {
                    prop_assert_eq!(decode_key(types(), table.key(row)).count(), types().count());
                    let is_storable = |cell: &Cell| !matches!(cell, Cell::Text(text) if text.contains('\0'));
                    prop_assert!(table.cells(row).iter().all(is_storable), "{}", table.table().name);
                }
            }
        }
    }

    #[test]
    fn generated_events_survive_encoding_and_decoding(events in histories(1..10)) {
        for event in events {
            let encoded = event.encode().unwrap();
            let headers: Vec<(&str, &[u8])> =
                encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let record = Record { topic: encoded.topic, headers: &headers, value: &encoded.value };
            prop_assert_eq!(Event::decode(record).unwrap(), event);
        }
    }
}
