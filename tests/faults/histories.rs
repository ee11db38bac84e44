//! Fault class D: random histories come to the same bytes in every table, folded live, replayed, and in other batches
//! and interleavings.

mod case;
mod operators;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use chrono_tz::Asia::Seoul;
use jangbogo_analytics_fold::{funnel, purchases, sales};
use jangbogo_fold::{BatchPolicy, FoldConfig, Processor, Projection, Table, Target, View};
use jangbogo_log::{Offsets, Partition};
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_recommendation_fold::{co_purchase, popularity};
use jangbogo_replay::folder::{FoldError, Folder};
use jangbogo_shared_projections::{catalogue, conversation, history, preferences, vectors};
use jangbogo_store::{
    BulkPlan, Generation, Statements, create_in_bulk, drop_generation, finish_bulk, finish_table, is_bulk_intact,
    open_live,
};
use jangbogo_test_support::Shop;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::runtime::Handle;

use self::case::{Case, Positions, ReadOrder};
use crate::scale::scale;

/// Conversations with their messages' documents.
static CONVERSATIONS: Projection = Projection { views: conversation::MESSAGES.views, ..conversation::PROJECTION };

/// Every projection, in one set of tables: a history is folded into all of them at once.
const PROJECTIONS: &[&Projection] = &[
    &operators::PROJECTION,
    &catalogue::DOCUMENTS,
    &history::PROJECTION,
    &popularity::PROJECTION,
    &co_purchase::PROJECTION,
    &purchases::PROJECTION,
    &sales::PROJECTION,
    &funnel::PROJECTION,
    &CONVERSATIONS,
    &preferences::PROJECTION,
    &vectors::PROJECTION,
    &vectors::EMBEDDED,
];
const SETTINGS: FoldConfig = FoldConfig { time_zone: Seoul, embedding_model: None };
/// Number of runners; each folds histories of its own into tables of its own.
const RUNNERS: u32 = 2;
/// Seed of the first runner; the next one's is one higher.
const SEED: u8 = 11;

#[tokio::test(flavor = "multi_thread")]
async fn live_and_replayed_folds_of_a_history_give_the_same_rows() {
    let started = Instant::now();
    assert_every_projection_is_folded();
    let shop = Shop::open("histories").await;
    let mut database = shop.database().await;
    // Durability does not matter here.
    let sql = format!("ALTER DATABASE {} SET synchronous_commit = off", shop.connections.namespace.database());
    sqlx::raw_sql(&sql).execute(&mut database).await.unwrap();
    let mut runners = Vec::new();
    for number in 0..RUNNERS {
        let store = Store::open(&shop, number).await;
        runners.push(tokio::task::spawn_blocking(move || run(&store, scale(60, 1_000) / RUNNERS, number)));
    }
    let mut counts = Counts::default();
    for runner in runners {
        counts.add(&runner.await.unwrap());
    }
    println!("D histories: {counts}; {:.0} s", started.elapsed().as_secs_f64());
    shop.close().await;
}

/// Folds random histories until one comes to different rows; then proptest shrinks it.
fn run(store: &Store, cases: u32, number: u32) -> Counts {
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 1_000,
        max_shrink_time: 120_000,
        ..Config::default()
    };
    let seed = [SEED + u8::try_from(number).unwrap(); 32];
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &seed));
    let counts = RefCell::new(Counts::default());
    let outcome = runner.run(&case::cases(), |case| {
        let folded = Handle::current().block_on(store.fold(&case)).map_err(TestCaseError::fail)?;
        counts.borrow_mut().add(&folded);
        Ok(())
    });
    match outcome {
        Ok(()) => counts.into_inner(),
        Err(TestError::Fail(reason, case)) => panic!("{reason}\nThe smallest history found:\n{case:?}"),
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

/// Numbers of what was compared.
#[derive(Default)]
struct Counts {
    histories: usize,
    records: usize,
    rows: usize,
    views: usize,
    dead_letters: usize,
    spent: BTreeMap<&'static str, Duration>,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.histories += other.histories;
        self.records += other.records;
        self.rows += other.rows;
        self.views += other.views;
        self.dead_letters += other.dead_letters;
        for (what, spent) in &other.spent {
            *self.spent.entry(what).or_default() += *spent;
        }
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { histories, records, rows, views, dead_letters, spent } = self;
        write!(
            formatter,
            "{histories} histories of {records} records, folded live, replayed, and in other batches: {rows} rows and \
             {views} values of views each the same, {dead_letters} dead letters among them ("
        )?;
        for (position, (what, spent)) in spent.iter().enumerate() {
            write!(formatter, "{}{what} {:.1} s", if position > 0 { ", " } else { "" }, spent.as_secs_f64())?;
        }
        write!(formatter, ")")
    }
}

/// Contents of a generation: rows as Postgres prints them, sorted.
#[derive(PartialEq)]
struct Contents {
    rows: Vec<String>,
    views: Vec<String>,
}

/// Two processors, with one generation each that is truncated before every history.
struct Store {
    pool: PgPool,
    processors: [&'static Processor; 2],
    live: Generation,
    again: Generation,
    truncate: String,
}

impl Store {
    async fn open(shop: &Shop, number: u32) -> Self {
        let pool = jangbogo_platform::database::pool(&shop.connections, "test", 1).unwrap();
        let processors = ["live", "again"].map(|name| {
            let name = Box::leak(format!("{name}_{number}").into_boxed_str());
            let processor =
                Processor { name, fold_version: 1, batch_policy: BatchPolicy::Immediate, projections: PROJECTIONS };
            &*Box::leak(Box::new(processor))
        });
        let live = open_live(&pool, processors[0], &SETTINGS, VectorIndex::default()).await.unwrap().generation;
        let again = open_live(&pool, processors[1], &SETTINGS, VectorIndex::default()).await.unwrap().generation;
        let tables = || tables().map(|table| table.name).chain(["seen", "dirty", "checkpoint", "dead_letter"]);
        let truncated = [&live, &again]
            .into_iter()
            .flat_map(|generation| tables().map(|table| format!("{}.{table}", generation.schema)).collect::<Vec<_>>());
        let truncate = format!("TRUNCATE {}", truncated.collect::<Vec<_>>().join(", "));
        Self { pool, processors, live, again, truncate }
    }

    /// Folds a history in three ways. The error lists the rows that differ.
    async fn fold(&self, case: &Case) -> Result<Counts, String> {
        let mut counts = Counts { histories: 1, records: case.entries().count(), ..Counts::default() };
        let mut clock = Clock { since: Instant::now(), spent: &mut counts.spent };
        sqlx::raw_sql(&self.truncate).execute(&self.pool).await.unwrap();
        clock.lap("truncate");
        self.follow(self.processors[0], &self.live, case, &case.live, &Positions::new()).await?;
        clock.lap("live");
        self.follow(self.processors[1], &self.again, case, &case.again, &Positions::new()).await?;
        clock.lap("again");
        let replayed = self.replay(case).await?;
        clock.lap("replay");
        let live = self.contents(&self.live).await;
        let again = self.contents(&self.again).await;
        let replay = self.contents(&replayed).await;
        clock.lap("compare");
        drop_generation(&mut self.pool.acquire().await.unwrap(), &replayed).await.unwrap();
        clock.lap("drop");
        differences("in other batches", &live, &again)?;
        differences("replayed", &live, &replay)?;
        let dead_letters = live.rows.iter().filter(|row| row.starts_with("dead_letter "));
        counts.dead_letters = dead_letters.count();
        (counts.rows, counts.views) = (live.rows.len(), live.views.len());
        Ok(counts)
    }

    /// Folds the captured part in bulk, then the rest by upserts.
    async fn replay(&self, case: &Case) -> Result<Generation, String> {
        let (processor, captured) = (self.processors[0], case.captured());
        let offsets: Offsets =
            captured.iter().map(|(partition, end)| (*partition, i64::try_from(*end).unwrap())).collect();
        let mut connection = self.pool.acquire().await.unwrap();
        let plan = BulkPlan { captured: &offsets, as_of: case.as_of, together: &[] };
        let generation = create_in_bulk(&mut connection, processor, &SETTINGS, plan).await.unwrap();
        drop(connection);
        let batches = case.replay.batches(&Positions::new(), &captured);
        self.read(processor, &generation, case, &case.replay, batches, Statements::in_bulk).await?;
        let mut connection = self.pool.acquire().await.unwrap();
        assert!(is_bulk_intact(&mut connection, &generation).await.unwrap());
        let failed = |error| format!("finish: {error}");
        for table in processor.tables() {
            finish_table(&mut connection, &generation, table, VectorIndex::default(), false).await.map_err(failed)?;
        }
        finish_bulk(&mut connection, &generation).await.map_err(failed)?;
        drop(connection);
        self.follow(processor, &generation, case, &case.replay, &captured).await?;
        Ok(generation)
    }

    /// Folds by upserts up to the end of the log.
    async fn follow(
        &self,
        processor: &'static Processor,
        generation: &Generation,
        case: &Case,
        order: &ReadOrder,
        from: &Positions,
    ) -> Result<(), String> {
        let batches = order.batches(from, &case.end());
        self.read(processor, generation, case, order, batches, Statements::new).await
    }

    /// Folds batches. Before one of them another reader takes over and repeats the batch before it; the first reader
    /// goes on and is fenced.
    async fn read(
        &self,
        processor: &'static Processor,
        generation: &Generation,
        case: &Case,
        order: &ReadOrder,
        batches: Vec<Vec<(Partition, usize)>>,
        statements: impl Fn(TablesOf) -> Statements,
    ) -> Result<(), String> {
        let partitions: Vec<Partition> = case.log.keys().copied().collect();
        let acquire = async || {
            let statements = statements(Box::new(processor.tables()));
            let folder =
                Folder::acquire(&self.pool, processor, &SETTINGS, generation, statements, &partitions).await.unwrap();
            folder.as_of(case.as_of)
        };
        let records = |batch: &[(Partition, usize)]| batch.iter().map(|position| case.record(*position)).collect();
        let mut folder = acquire().await;
        let interrupted = order.interrupted_before.index(batches.len().max(1));
        for (number, batch) in batches.iter().enumerate() {
            if number == interrupted {
                let mut zombie = std::mem::replace(&mut folder, acquire().await);
                let outcome = zombie.fold(records(batch)).await;
                if !matches!(outcome, Err(FoldError::Fenced(_))) {
                    return Err(format!("{}: a batch of a reader that was replaced: {outcome:?}", generation.schema));
                }
                let before = number.checked_sub(1).map(|before| batches[before].as_slice()).unwrap_or_default();
                folder.fold(records(before)).await.map_err(|error| format!("{error:?}"))?;
            }
            folder.fold(records(batch)).await.map_err(|error| format!("{}: {error:?}", generation.schema))?;
        }
        Ok(())
    }

    async fn contents(&self, generation: &Generation) -> Contents {
        let mut connection = self.pool.acquire().await.unwrap();
        let schema = &generation.schema;
        let mut selects: Vec<String> = tables()
            .map(|table| table.name)
            .chain(["seen", "dead_letter"])
            .map(|name| format!("SELECT format('{name} %s', t) FROM {schema}.{name} AS t"))
            .collect();
        selects.push(format!(
            "SELECT format('checkpoint %s/%s %s %s', topic, partition, next_offset, max_event_time)
             FROM {schema}.checkpoint"
        ));
        let sql = format!("{} ORDER BY 1", selects.join(" UNION ALL "));
        let rows = sqlx::query_scalar(&sql).persistent(false).fetch_all(&mut *connection).await.unwrap();
        Contents { rows, views: values(&mut connection, schema).await }
    }
}

type TablesOf = Box<dyn Iterator<Item = &'static Table>>;

fn tables() -> impl Iterator<Item = &'static Table> {
    PROJECTIONS.iter().flat_map(|projection| projection.tables.iter().copied())
}

fn views() -> impl Iterator<Item = &'static View> {
    PROJECTIONS.iter().flat_map(|projection| projection.views)
}

/// Values of every view for every key, sorted.
async fn values(connection: &mut PgConnection, schema: &str) -> Vec<String> {
    let sql = format!("SET search_path = {schema}, public");
    sqlx::raw_sql(&sql).execute(&mut *connection).await.unwrap();
    let now: Option<DateTime<Utc>> =
        sqlx::query_scalar("SELECT max(max_event_time) FROM checkpoint").fetch_one(&mut *connection).await.unwrap();
    let mut values = Vec::new();
    // Views that only evict have no values.
    for view in views().filter(|view| view.target != Target::RedisEviction) {
        let keys: Vec<String> =
            sqlx::query_scalar(view.all_keys).bind("").bind(i64::MAX).fetch_all(&mut *connection).await.unwrap();
        let query = sqlx::query(view.query).bind(keys).bind(now.unwrap_or_default());
        let rows = query.fetch_all(&mut *connection).await.unwrap();
        let value = |row: &sqlx::postgres::PgRow| {
            let (key, value): (String, Value) = (row.get("key"), row.get("value"));
            format!("{} {key} {value}", view.name)
        };
        values.extend(rows.iter().map(value));
    }
    values.sort();
    sqlx::raw_sql("RESET search_path").execute(connection).await.unwrap();
    values
}

/// Fails with the rows and values that only one of them has.
fn differences(how: &str, live: &Contents, other: &Contents) -> Result<(), String> {
    for (left, right) in [(&live.rows, &other.rows), (&live.views, &other.views)] {
        if left != right {
            let only = |left: &[String], right: &[String]| {
                let only = left.iter().filter(|row| !right.contains(row)).cloned().collect::<Vec<_>>();
                format!("{} of {}:\n  {}", only.len(), left.len(), only.join("\n  "))
            };
            return Err(format!("only live, {}\nonly {how}, {}", only(left, right), only(right, left)));
        }
    }
    Ok(())
}

struct Clock<'a> {
    since: Instant,
    spent: &'a mut BTreeMap<&'static str, Duration>,
}

impl Clock<'_> {
    fn lap(&mut self, what: &'static str) {
        *self.spent.entry(what).or_default() += self.since.elapsed();
        self.since = Instant::now();
    }
}

fn assert_every_projection_is_folded() {
    for processor in jangbogo_processors::PROCESSORS {
        for projection in processor.projections {
            let is_folded = |table: &&Table| tables().any(|folded| folded.name == table.name);
            assert!(projection.tables.iter().all(is_folded), "{} is not among PROJECTIONS", projection.name);
            let is_viewed = |view: &View| views().any(|folded| folded.name == view.name);
            assert!(projection.views.iter().all(is_viewed), "{} is not among PROJECTIONS", projection.name);
        }
    }
}
