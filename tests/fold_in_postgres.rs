//! The merge operators in SQL are those in memory: rows folded in many batches equal those folded in one.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

#[path = "../processors/projections/tests/folds/histories.rs"]
mod histories;

use std::ops::Range;

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use events::{Event, Topic};
use histories::histories;
use projections::PROCESSORS;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use runtime::fold::{Deltas, Processor, Projection, Shop as Settings, TableMarker as _};
use runtime::store::{Batch, Committed, Statements, commit, open_live};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPool;
use support::Shop;

runtime::table! {
    /// Every operator in one row: groups that few events touch, columns that may be absent
    pub Merged "merged" index [number] {
        key MergedKey<'a> { name: &'a str, number: i64, day: NaiveDate }
        add Sum "sum" { units: i64, further_units: Option<i64> }
        max Largest<'a> "largest" {
            most: Option<i64>,
            last_word: Option<&'a str>,
            any_flag: Option<bool>,
            last_day: Option<NaiveDate>,
            newest: Option<DateTime<Utc>>,
            last_id: Option<u128>,
        }
        min Smallest<'a> "smallest" {
            least: Option<i64>,
            first_word: Option<&'a str>,
            all_flag: Option<bool>,
            first_day: Option<NaiveDate>,
            oldest: Option<DateTime<Utc>>,
            first_id: Option<u128>,
        }
        first Earliest<'a> "earliest" { early_word: Option<&'a str>, early_number: Option<i64> }
        last Latest<'a> "latest" { late_word: Option<&'a str>, late_number: Option<i64> }
    }
}

runtime::table! {
    /// Facts whose values may be absent
    pub Facts "fact" {
        key Fact { event: u128, line: i64 }
        once Values<'a> "values" { word: Option<&'a str>, number: Option<i64> }
    }
}

runtime::table! {
    /// A set
    pub Moments "moment" {
        key Moment { at: DateTime<Utc> }
    }
}

static OPERATORS: Projection = Projection {
    name: "operators",
    reads: Topic::ALL,
    tables: &[Facts::TABLE, Moments::TABLE, Merged::TABLE],
    fold: fold_operators,
    views: &[],
};

const OPERATORS_ALONE: &[&Projection] = &[&OPERATORS];

/// Values are drawn from the event's hash, a few bits each.
fn fold_operators(event: &Event, settings: &Settings, deltas: &mut Deltas) {
    let (at, hash) = (event.envelope.time, event.envelope.hash());
    let mut bits = hash;
    let mut draw = |count: i64| {
        let drawn = i64::try_from(bits & 0xf).unwrap() % count;
        bits >>= 4;
        drawn
    };
    let words = ["", "B", "a", "가", "a'b"];
    let word = |number: i64| words[usize::try_from(number).unwrap()];
    let key = MergedKey { name: word(draw(5)), number: draw(3) - 1, day: settings.day(at) };

    let mut optional = |count: i64| (draw(4) > 0).then(|| draw(count));
    let (number, line) = (optional(3), optional(5));
    let (text, flag) = (optional(5).map(word), optional(2).map(|flag| flag == 1));
    let day = optional(3).map(|days| settings.day(at) + Days::new(days.unsigned_abs()));
    let time = optional(3).map(|seconds| at + TimeDelta::seconds(seconds));
    let (id, groups) = (optional(3).map(i64::unsigned_abs).map(u128::from), hash >> 96);

    if groups & 1 == 0 {
        deltas.put(key, Sum { units: line.unwrap_or(-3), further_units: number });
    }
    if groups & 2 == 0 {
        let (most, last_word, any_flag) = (number, text, flag);
        deltas.put(key, Largest { most, last_word, any_flag, last_day: day, newest: time, last_id: id });
    }
    if groups & 4 == 0 {
        let (least, first_word, all_flag) = (number, text, flag);
        deltas.put(key, Smallest { least, first_word, all_flag, first_day: day, oldest: time, first_id: id });
    }
    if groups & 8 == 0 {
        deltas.put(key, Earliest { early_word: text, early_number: number });
    }
    if groups & 16 == 0 {
        deltas.put(key, Latest { late_word: text, late_number: number });
    }
    deltas.put(Fact { event: hash, line: line.unwrap_or(0) }, Values { word: text, number });
    deltas.insert(Moment { at });
}

/// A processor with tables of its own, folding what another folds.
fn named(name: &str, projections: &'static [&'static Projection]) -> Processor {
    Processor { name: Box::leak(name.into()), description: "", fold_version: 1, projections }
}

struct Store<'a> {
    pool: &'a PgPool,
    settings: Settings,
}

impl Store<'_> {
    /// The text of every table's rows, after the batches were committed one by one.
    async fn rows_after(&self, processor: &Processor, batches: &[Vec<&Event>]) -> Vec<String> {
        let generation = open_live(self.pool, processor, &self.settings).await.unwrap().generation;
        let statements = Statements::new(processor.tables());
        for events in batches {
            let batch = Batch { events: events.clone(), ..Batch::default() };
            let done = commit(self.pool, processor, &self.settings, &generation, &statements, &batch).await.unwrap();
            assert!(matches!(done, Committed::Folded { .. }));
        }
        let mut rows = Vec::new();
        for table in processor.tables() {
            let key: Vec<&str> = table.key.iter().map(|column| column.name).collect();
            let (schema, name) = (&generation.schema, table.name);
            let sql = format!("SELECT format('{name} %s', t) FROM {schema}.{name} AS t ORDER BY {}", key.join(", "));
            rows.extend(sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_all(self.pool).await.unwrap());
        }
        rows
    }
}

/// The same history as small batches, some of whose events are delivered again later.
fn batches(events: &[Event], sizes: Range<usize>, runner: &mut TestRunner) -> Vec<Vec<Event>> {
    let mut deliveries = events.to_vec();
    deliveries.extend(events.iter().step_by(3).cloned());
    let shuffled = proptest::strategy::Just(deliveries).prop_shuffle().new_tree(runner).unwrap().current();
    let mut rest = shuffled.as_slice();
    let mut batches = Vec::new();
    while !rest.is_empty() {
        let size = sizes.new_tree(runner).unwrap().current().min(rest.len());
        let (batch, later) = rest.split_at(size);
        batches.push(batch.to_vec());
        rest = later;
    }
    batches
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_merged_by_upserts_equal_rows_merged_in_memory() {
    let shop = Shop::open("merge").await;
    let pool = runtime::database::pool(&shop.connections, "test", 1).unwrap();
    let store = Store { pool: &pool, settings: Settings { time_zone: chrono_tz::Asia::Seoul } };
    let mut runner = TestRunner::deterministic();
    let operators = ("operators", OPERATORS_ALONE);
    let processors = PROCESSORS.iter().map(|processor| (processor.name, processor.projections)).chain([operators]);
    for (name, projections) in processors {
        let events = histories(600..601).new_tree(&mut runner).unwrap().current();
        let many = batches(&events, 1..40, &mut runner);
        let many: Vec<Vec<&Event>> = many.iter().map(|batch| batch.iter().collect()).collect();
        let by_upserts = store.rows_after(&named(&format!("{name}_upserts"), projections), &many).await;
        let in_memory =
            store.rows_after(&named(&format!("{name}_memory"), projections), &[events.iter().collect()]).await;
        assert!(!in_memory.is_empty(), "{name}");
        for (by_upserts, in_memory) in by_upserts.iter().zip(&in_memory) {
            assert_eq!(by_upserts, in_memory, "{name}");
        }
        assert_eq!(by_upserts.len(), in_memory.len(), "{name}");
    }
    pool.close().await;
    shop.close().await;
}
