//! Fault class H: a replay is killed at every stage. The same command resumes where it was and never starts over.

use std::process::Stdio;
use std::time::{Duration, Instant};

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_log::Offsets;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_replay::compare::digest;
use jangbogo_store::{State, positions};
use jangbogo_test_support::Shop;
use jangbogo_test_support::random::Random;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use uuid::Uuid;

use crate::load::Shoppers;
use crate::replaying::{output_text, refused, replay, stored, succeed};
use crate::scale::scale;

/// The state in which a replay is killed, and the longest time that it stays in that state before, in milliseconds.
type Point = (&'static str, u64);

const LIMIT: Duration = Duration::from_mins(3);
/// Approximate duration of a rebuild's bulk phase, in seconds.
const BULK_SECONDS: usize = 9;

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replay_resumes_where_it_was() {
    let started = Instant::now();
    let mut shop = Shop::open("resume").await;
    shop.start_processors();
    let mut shoppers = Shoppers::new(8);
    let count = scale(9_000, 90_000);
    let events = shoppers.events(count);
    shop.produce(&events).await;
    shop.settle().await;
    let later = shoppers.events(count / 6);

    let bulk: &[Point] = scale(
        &[("hydrating", 3_000), ("merging", 30), ("verifying", 30)],
        &[
            ("hydrating", 3_000),
            ("hydrating", 2_000),
            ("hydrating", 1_000),
            ("hydrating", 2_000),
            ("merging", 100),
            ("merging", 500),
            ("catching up", 500),
            ("verifying", 200),
            ("promoting", 0),
        ],
    );
    let rate = (count / BULK_SECONDS).to_string();
    let mut rebuilding = Rebuild::new(&shop, &RECOMMENDATION, &["--max-rate", &rate]);
    for (number, point) in bulk.iter().enumerate() {
        rebuilding.kill_at(*point).await;
        if number == 0 {
            // The log grows, so that records are left for the catch-up after the bulk.
            shop.produce(&later).await;
        }
    }
    rebuilding.finish().await;

    let mut publishing = Rebuild::new(&shop, &ES_SYNC, &[]);
    publishing.kill_at(("publishing", 50)).await;
    publishing.finish().await;
    println!(
        "H resume: {} records; killed {} times, {:?}; {} records stayed folded over the kills, none was folded twice; \
         {} tables' digests equal; {:.0} s",
        events.len() + later.len(),
        rebuilding.kills.len() + publishing.kills.len(),
        [rebuilding.kills, publishing.kills].concat(),
        rebuilding.kept,
        rebuilding.digests + publishing.digests,
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// The rebuild of one generation, over several starts of the command.
struct Rebuild<'s> {
    shop: &'s Shop,
    processor: &'static Processor,
    arguments: Vec<String>,
    random: Random,
    /// Its id, and its positions at the last kill.
    generation: Option<(Uuid, Offsets)>,
    /// State and number of folded records at each kill.
    kills: Vec<String>,
    /// Number of folded records at the last kill.
    kept: i64,
    digests: usize,
}

impl<'s> Rebuild<'s> {
    fn new(shop: &'s Shop, processor: &'static Processor, options: &[&str]) -> Self {
        let arguments = ["rebuild", processor.name, "--json"].iter().chain(options).map(ToString::to_string).collect();
        let (random, kills) = (Random::new(8), Vec::new());
        Self { shop, processor, arguments, random, generation: None, kills, kept: 0, digests: 0 }
    }

    fn command(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.shop.command(&["replay"]));
        command.args(&self.arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command
    }

    /// Starts the command, and kills it in the state of the point.
    async fn kill_at(&mut self, (state, longest): Point) {
        let mut process = self.command().spawn().unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let began = Instant::now();
        loop {
            let Some(line) = lines.next_line().await.unwrap() else {
                let mut message = String::new();
                process.stderr.take().unwrap().read_to_string(&mut message).await.unwrap();
                panic!("{:?} ended before it was {state}: {message}", self.arguments);
            };
            let line: Value = serde_json::from_str(&line).unwrap();
            // Some of the bulk is done.
            let is_begun = state != "hydrating" || line["events"].as_u64().unwrap() > 0;
            if line["state"].as_str().unwrap().starts_with(state) && is_begun {
                break;
            }
            assert!(began.elapsed() < LIMIT, "it is never {state}");
        }
        tokio::time::sleep(Duration::from_millis(self.random.below(longest + 1))).await;
        process.kill().await.unwrap();
        self.check_progress(state).await;
    }

    /// Asserts that it is the same generation as before, and that no position went back.
    async fn check_progress(&mut self, state: &str) {
        let generations = stored(self.shop, self.processor).await;
        let is_new = |state| !matches!(state, State::Frozen);
        let new: Vec<_> =
            generations.iter().filter(|stored| stored.captured.is_some() && is_new(stored.state)).collect();
        assert_eq!(new.len(), 1, "killed while {state}: {generations:?}");
        let generation = &new[0].generation;
        let reached = positions(&mut self.shop.database().await, generation).await.unwrap();
        if let Some((id, before)) = &self.generation {
            assert_eq!(generation.id, *id, "killed while {state}: it started over");
            for (partition, offset) in before {
                assert!(
                    reached[partition] >= *offset,
                    "killed while {state}: {partition} was at {offset}: {reached:?}"
                );
            }
        }
        let folded: i64 = reached.values().sum();
        eprintln!("killed while {state}: {} with {folded} records", new[0].state);
        self.kills.push(format!("{state} at {folded}"));
        self.kept = folded;
        self.generation = Some((generation.id, reached));
    }

    /// Runs the command to its end.
    async fn finish(&mut self) {
        let (id, _) = self.generation.clone().expect("it was killed");
        if self.shop.live(self.processor).await.unwrap().generation.id != id {
            let output = self.command().output().await.unwrap();
            assert!(output.status.success(), "{}", output_text(&output));
        }
        let live = self.shop.live(self.processor).await.unwrap().generation;
        assert_eq!(live.id, id, "the generation that was begun is live");
        let generations = stored(self.shop, self.processor).await;
        let frozen =
            generations.iter().find(|stored| stored.state == State::Frozen).expect("the former generation is kept");
        let mut database = self.shop.database().await;
        let expected = digest(&mut database, self.processor, &frozen.generation, false).await.unwrap();
        assert_eq!(digest(&mut database, self.processor, &live, false).await.unwrap(), expected);
        self.digests = expected.len();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_replays_do_not_work_on_one_generation() {
    let mut shop = Shop::open("two_replays").await;
    shop.start_processor(RECOMMENDATION.name);
    let mut shoppers = Shoppers::new(9);
    shop.produce(&shoppers.events(1_000)).await;
    let mut rebuilding = Rebuild::new(&shop, &RECOMMENDATION, &["--max-rate", "50"]);
    let mut first = rebuilding.command().spawn().unwrap();
    let mut lines = BufReader::new(first.stdout.take().unwrap()).lines();
    // At this rate it takes twenty seconds.
    while !lines.next_line().await.unwrap().expect("it goes on").contains("hydrating") {}
    for command in [["rebuild", "recommendation"], ["verify", "recommendation"]] {
        let message = refused(&shop, &command).await;
        assert!(message.contains("another replay is working on generation"), "{message}");
    }
    assert!(first.try_wait().unwrap().is_none(), "the first one goes on");
    first.kill().await.unwrap();
    rebuilding.check_progress("hydrating").await;
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_one_of_two_concurrent_rebuilds_runs() {
    let shop = open_folded("at_once", 1_000).await;
    let rebuild = || replay(&shop, &["rebuild", "recommendation", "--max-rate", "100"]);
    let (first, second) = tokio::join!(rebuild(), rebuild());
    let (done, refused) = if first.status.success() { (first, second) } else { (second, first) };
    assert!(done.status.success(), "{}", output_text(&done));
    assert_eq!(refused.status.code(), Some(1), "{}", output_text(&refused));
    assert!(output_text(&refused).contains("another replay"), "{}", output_text(&refused));
    let states: Vec<_> = stored(&shop, &RECOMMENDATION).await.iter().map(|stored| stored.state).collect();
    assert_eq!(states, [State::Frozen, State::Live]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rebuild_of_several_processors_resumes_with_the_interrupted_one() {
    let shop = open_folded("several", 1_000).await;
    let rebuild = ["rebuild", "recommendation", "es-sync", "--max-rate", "400", "--json"];
    let mut command = tokio::process::Command::from(shop.command(&["replay"]));
    let mut process = command.args(rebuild).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    while !lines.next_line().await.unwrap().expect("it goes on").contains("es-sync") {}
    process.kill().await.unwrap();
    let finished = shop.live(&RECOMMENDATION).await.unwrap();

    succeed(&shop, &rebuild).await;
    assert_eq!(shop.live(&RECOMMENDATION).await.unwrap(), finished, "a finished rebuild is not repeated");
    for processor in [&RECOMMENDATION, &ES_SYNC] {
        let states: Vec<_> = stored(&shop, processor).await.iter().map(|stored| stored.state).collect();
        assert_eq!(states, [State::Frozen, State::Live], "{}", processor.name);
    }
    // All rebuilds are finished: the same command starts new ones.
    succeed(&shop, &rebuild[..3]).await;
    assert_ne!(shop.live(&RECOMMENDATION).await.unwrap().generation, finished.generation);
    shop.close().await;
}

/// A shop whose processors have folded some events.
async fn open_folded(name: &str, events: usize) -> Shop {
    let mut shop = Shop::open(name).await;
    shop.start_processors();
    let mut shoppers = Shoppers::new(9);
    shop.produce(&shoppers.events(events)).await;
    shop.settle().await;
    shop
}
