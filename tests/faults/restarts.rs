//! Fault class B: members restart, join and leave under load. Nothing is counted twice, and partitions that are not
//! reassigned keep advancing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jangbogo_processors::PROCESSORS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_test_support::Shop;
use jangbogo_test_support::group::{Group, Partition};
use sqlx::Row as _;
use tokio::task::JoinHandle;

use crate::judge::judge;
use crate::load::Load;
use crate::scale::scale;

/// Static members: they restart under the same `group.instance.id`.
const STATIC: [&str; 2] = ["a", "b"];
/// High enough that each partition of the busy topics gets a record every few milliseconds in the full suite, and every
/// few tens of milliseconds in the short one: a debug build on two cores has to fold them with time to spare.
fn events_per_second() -> u64 {
    scale(300, 1_500)
}

const BUSY_TOPICS: [&str; 3] = ["product-viewed", "user-behavior", "order-completed"];
const SAMPLED_EVERY: Duration = Duration::from_millis(20);
const CHANGE_LIMIT: Duration = Duration::from_mins(1);

/// One change of the group's members.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// A member joins.
    Up(&'static str),
    /// A member leaves for good.
    Down(&'static str),
    /// The static members restart one after the other.
    RollingRestart,
}

const CYCLE: [Change; 6] = [
    Change::Up("c"),
    Change::RollingRestart,
    Change::Up("d"),
    Change::Down("c"),
    Change::RollingRestart,
    Change::Down("d"),
];

#[tokio::test(flavor = "multi_thread")]
async fn members_that_restart_come_and_go_repeat_nothing_and_stop_no_untouched_partition() {
    let started = Instant::now();
    let mut shop = Shop::open("restarts").await;
    // The others start first: creating their tables and indexes slows all commits down.
    let others = || PROCESSORS.iter().filter(|processor| processor.name != RECOMMENDATION.name);
    for processor in others() {
        shop.start_processor(processor.name);
    }
    for processor in others() {
        Group::for_processor(&shop, processor).wait_until_divided_by(1).await;
    }
    let load = Load::start(&shop.connections, 2, events_per_second());
    let mut members = Members::begin(&mut shop).await;
    let cycles = scale(1, 9);
    for change in std::iter::repeat_n(CYCLE, cycles).flatten() {
        members.make(&mut shop, change).await;
    }
    load.stop().await;
    // Not in all of them: a handover can be shorter than the time between two events of a partition.
    let Members { handovers, advanced, .. } = members;
    assert!(advanced * 2 > handovers, "untouched partitions advanced during {advanced} handovers of {handovers}");
    let judgement = judge(&shop, Duration::from_mins(4)).await;
    println!(
        "B restarts: {} events, {} of them repeated; {} rolling restarts, scale-ups and scale-downs; {} partitions moved, \
         {} did not, advanced during {advanced} handovers of {handovers} and paused for {} ms at most; {} rows and {} \
         published values right; {:.0} s",
        judgement.records,
        judgement.repeats,
        cycles * CYCLE.len(),
        members.moved,
        members.untouched,
        members.longest_pause.as_millis(),
        judgement.rows,
        judgement.published,
        started.elapsed().as_secs_f64(),
    );
    drop(members);
    shop.close().await;
}

/// All checkpoints at one time.
#[derive(Clone)]
struct Sample {
    at: Instant,
    /// Next offset and epoch.
    checkpoints: BTreeMap<Partition, (i64, i64)>,
}

impl Sample {
    /// Partitions that were acquired since an earlier sample: their epoch has changed.
    fn acquired_since(&self, earlier: &Sample) -> BTreeSet<&Partition> {
        let epoch = |sample: &Sample, partition: &Partition| sample.checkpoints.get(partition).map(|found| found.1);
        self.checkpoints.keys().filter(|partition| epoch(self, partition) != epoch(earlier, partition)).collect()
    }
}

/// The members of the processor's group, with samples of its checkpoints.
struct Members {
    names: BTreeSet<&'static str>,
    group: Group,
    samples: Arc<Mutex<Vec<Sample>>>,
    sampling: JoinHandle<()>,
    moved: usize,
    untouched: usize,
    /// Stops and starts of one member.
    handovers: usize,
    /// Handovers during which partitions that were not reassigned advanced.
    advanced: usize,
    /// Of the partitions that were not reassigned.
    longest_pause: Duration,
}

impl Members {
    /// Starts the static members and waits until all partitions are assigned.
    async fn begin(shop: &mut Shop) -> Self {
        for member in STATIC {
            start(shop, member);
        }
        let group = Group::for_processor(shop, &RECOMMENDATION);
        group.wait_until_divided_by(STATIC.len()).await;
        let samples = Arc::new(Mutex::new(Vec::new()));
        let sampling = sample(shop, Arc::clone(&samples)).await;
        let names = STATIC.into();
        let members = Self {
            names,
            group,
            samples,
            sampling,
            moved: 0,
            untouched: 0,
            handovers: 0,
            advanced: 0,
            longest_pause: Duration::ZERO,
        };
        members.wait_until_all_advance().await;
        members
    }

    async fn make(&mut self, shop: &mut Shop, change: Change) {
        match change {
            Change::Up(member) => {
                let before = self.newest();
                self.names.insert(member);
                start(shop, member);
                self.wait_until_acquired(&before, self.share().0).await;
                self.check_change(change, &before, self.share().1);
            }
            Change::Down(member) => {
                let before = self.newest();
                let share = self.share();
                self.names.remove(member);
                shop.terminate(member);
                self.wait_until_acquired(&before, share.0).await;
                self.check_change(change, &before, share.1);
            }
            Change::RollingRestart => {
                for member in STATIC {
                    let before = self.newest();
                    shop.terminate(member);
                    start(shop, member);
                    self.wait_until_acquired(&before, self.share().0).await;
                    self.check_change(change, &before, self.share().1);
                }
            }
        }
    }

    /// Minimum and maximum number of partitions of a member.
    fn share(&self) -> (usize, usize) {
        (self.group.partitions / self.names.len(), self.group.partitions.div_ceil(self.names.len()))
    }

    /// Waits until this number of partitions was acquired since `before`, the group is stable, and all partitions
    /// advance.
    async fn wait_until_acquired(&self, before: &Sample, partitions: usize) {
        let began = Instant::now();
        while self.newest().acquired_since(before).len() < partitions {
            assert!(began.elapsed() < CHANGE_LIMIT, "partitions do not change hands: {:?}", self.names);
            tokio::time::sleep(SAMPLED_EVERY).await;
        }
        self.group.wait_until_divided_by(self.names.len()).await;
        self.wait_until_all_advance().await;
    }

    async fn wait_until_all_advance(&self) {
        let (began, before) = (Instant::now(), self.newest());
        let offset = |sample: &Sample, partition: &Partition| sample.checkpoints.get(partition).map(|found| found.0);
        loop {
            let newest = self.newest();
            let mut busy = newest.checkpoints.keys().filter(|partition| is_busy(partition));
            if newest.checkpoints.len() == self.group.partitions
                && busy.all(|partition| offset(&newest, partition) > offset(&before, partition))
            {
                return;
            }
            assert!(began.elapsed() < CHANGE_LIMIT, "some partition does not advance: {:?}", newest.checkpoints);
            tokio::time::sleep(SAMPLED_EVERY).await;
        }
    }

    fn newest(&self) -> Sample {
        self.samples.lock().unwrap().last().cloned().expect("there is a first sample")
    }

    /// Asserts that no more than `share` partitions moved since `before`, and looks at the progress of the others.
    fn check_change(&mut self, change: Change, before: &Sample, share: usize) {
        let samples: Vec<Sample> =
            self.samples.lock().unwrap().iter().filter(|sample| sample.at >= before.at).cloned().collect();
        let after = samples.last().unwrap();
        let moved = after.acquired_since(before);
        assert!(moved.len() <= share, "{change:?}: {} partitions moved, {share} had to", moved.len());
        let untouched: Vec<&Partition> =
            after.checkpoints.keys().filter(|partition| is_busy(partition) && !moved.contains(partition)).collect();
        let (stopped, resumed) = handover(&moved, &samples);
        let progress = |partition: &Partition| {
            let offset = |sample: &Sample| sample.checkpoints.get(partition).map(|found| found.0);
            stopped < resumed && offset(&samples[resumed]) > offset(&samples[stopped])
        };
        self.handovers += 1;
        self.advanced += usize::from(untouched.iter().any(|partition| progress(partition)));
        self.moved += moved.len();
        self.untouched += self.group.partitions - moved.len();
        let pause = untouched.iter().map(|partition| longest_pause(partition, &samples)).max();
        self.longest_pause = self.longest_pause.max(pause.expect("some partition was not reassigned"));
    }
}

fn is_busy(partition: &Partition) -> bool {
    BUSY_TOPICS.contains(&&*partition.0)
}

impl Drop for Members {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// The samples between which none of these partitions advanced: the last commit under their old epochs, and the first
/// new epoch. They overlap if a partition was acquired before another was given up.
fn handover(moved: &BTreeSet<&Partition>, samples: &[Sample]) -> (usize, usize) {
    let of = |partition: &&Partition| {
        let checkpoints: Vec<_> = samples.iter().map(|sample| sample.checkpoints.get(*partition)).collect();
        let epoch = |checkpoint: Option<&(i64, i64)>| checkpoint.map(|found| found.1);
        let resumed = checkpoints.iter().take_while(|found| epoch(**found) == epoch(checkpoints[0])).count();
        let stopped = (1..resumed).rev().find(|&number| checkpoints[number] > checkpoints[number - 1]).unwrap_or(0);
        (stopped, resumed)
    };
    let handovers: Vec<(usize, usize)> = moved.iter().map(of).collect();
    let stopped = handovers.iter().map(|found| found.0).max();
    let resumed = handovers.iter().map(|found| found.1).min();
    (stopped.expect("some partition was reassigned"), resumed.expect("some partition was reassigned"))
}

/// The longest time in which a checkpoint did not advance.
fn longest_pause(partition: &Partition, samples: &[Sample]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut advanced = &samples[0];
    for sample in samples {
        longest = longest.max(sample.at - advanced.at);
        if sample.checkpoints.get(partition) > advanced.checkpoints.get(partition) {
            advanced = sample;
        }
    }
    longest
}

fn start(shop: &mut Shop, member: &str) {
    let arguments = if STATIC.contains(&member) { vec!["--instance", member] } else { Vec::new() };
    shop.start_member(member, RECOMMENDATION.name, &arguments);
}

/// Samples the checkpoints in the background, and once before it returns.
async fn sample(shop: &Shop, samples: Arc<Mutex<Vec<Sample>>>) -> JoinHandle<()> {
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    let mut database = shop.database().await;
    let sql = format!("SELECT topic, partition, next_offset, epoch FROM {schema}.checkpoint");
    let mut take_sample = async move || {
        let rows = sqlx::query(&sql).fetch_all(&mut database).await.unwrap();
        let checkpoints = rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
        samples.lock().unwrap().push(Sample { at: Instant::now(), checkpoints });
        tokio::time::sleep(SAMPLED_EVERY).await;
    };
    take_sample().await;
    tokio::spawn(async move {
        loop {
            take_sample().await;
        }
    })
}
