//! B: members restart, come and go under load. Nothing counts twice, and a partition that stays where it is goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use projections::{PROCESSORS, RECOMMENDATION};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use sqlx::{AssertSqlSafe, Row as _};
use tokio::task::JoinHandle;

use crate::judge::judge;
use crate::load::Load;
use crate::scale::{scale, turn};
use crate::support::Shop;

/// Members that restart under their own names.
const STATIC: [&str; 2] = ["a", "b"];
/// Under this load each of the busy topics' partitions has something new every few milliseconds.
const EVENTS_PER_SECOND: u64 = 1_500;
const BUSY_TOPICS: [&str; 3] = ["product-viewed", "user-behavior", "order-completed"];
const SAMPLED_EVERY: Duration = Duration::from_millis(20);
const CHANGE_LIMIT: Duration = Duration::from_secs(60);

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
    let _turn = turn().await;
    let started = Instant::now();
    let mut shop = Shop::open("restarts").await;
    for processor in PROCESSORS.iter().filter(|processor| processor.name != RECOMMENDATION.name) {
        shop.start_processor(processor.name);
    }
    let load = Load::start(&shop.connections, 2, EVENTS_PER_SECOND);
    let mut group = Group::begin(&mut shop).await;
    let cycles = scale(1, 9);
    for change in std::iter::repeat_n(CYCLE, cycles).flatten() {
        group.make(&mut shop, change).await;
    }
    load.stop().await;
    let verdict = judge(&shop, Duration::from_mins(4)).await;
    println!(
        "B restarts: {} events, {} of them repeated; {} rolling restarts, scale-ups and scale-downs; {} partitions moved, \
         {} did not and paused for {} ms at most; {} rows and {} published values right; {:.0} s",
        verdict.records,
        verdict.repeats,
        cycles * CYCLE.len(),
        group.moved,
        group.untouched,
        group.longest_pause.as_millis(),
        verdict.rows,
        verdict.published,
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// A partition of a topic.
type Partition = (String, i32);

/// The checkpoints at a moment.
#[derive(Clone)]
struct Sample {
    at: Instant,
    /// Next offset and epoch.
    checkpoints: BTreeMap<Partition, (i64, i64)>,
}

impl Sample {
    /// The partitions that were acquired since an earlier one.
    fn acquired_since(&self, earlier: &Sample) -> BTreeSet<&Partition> {
        let epoch = |sample: &Sample, partition: &Partition| sample.checkpoints.get(partition).map(|found| found.1);
        self.checkpoints.keys().filter(|partition| epoch(self, partition) != epoch(earlier, partition)).collect()
    }
}

/// The members of the processor's group, watched.
struct Group {
    members: BTreeSet<&'static str>,
    consumer: BaseConsumer,
    name: String,
    samples: Arc<Mutex<Vec<Sample>>>,
    sampling: JoinHandle<()>,
    moved: usize,
    untouched: usize,
    longest_pause: Duration,
}

impl Group {
    /// Starts the static members and waits until they have divided the partitions.
    async fn begin(shop: &mut Shop) -> Self {
        let samples = Arc::new(Mutex::new(Vec::new()));
        for member in STATIC {
            start(shop, member);
        }
        while shop.live(&RECOMMENDATION).await.is_none() {
            tokio::time::sleep(SAMPLED_EVERY).await;
        }
        let group = Self {
            members: STATIC.into(),
            consumer: shop.connections.kafka_client("test").create().unwrap(),
            name: shop.connections.namespace.group(RECOMMENDATION.name),
            sampling: sample(shop, Arc::clone(&samples)).await,
            samples,
            moved: 0,
            untouched: 0,
            longest_pause: Duration::ZERO,
        };
        let nothing = Sample { at: Instant::now(), checkpoints: BTreeMap::new() };
        group.wait_until_acquired(&nothing, group.partitions()).await;
        group
    }

    fn partitions(&self) -> usize {
        6 * RECOMMENDATION.topics().len()
    }

    fn newest(&self) -> Option<Sample> {
        self.samples.lock().unwrap().last().cloned()
    }

    async fn make(&mut self, shop: &mut Shop, change: Change) {
        match change {
            Change::Up(member) => {
                let before = self.newest().unwrap();
                self.members.insert(member);
                start(shop, member);
                self.wait_until_acquired(&before, self.partitions() / self.members.len()).await;
                self.judge(change, &before);
            }
            Change::Down(member) => {
                let before = self.newest().unwrap();
                let share = self.partitions() / self.members.len();
                self.members.remove(member);
                shop.terminate(member);
                self.wait_until_acquired(&before, share).await;
                self.judge(change, &before);
            }
            Change::RollingRestart => {
                for member in STATIC {
                    let before = self.newest().unwrap();
                    shop.terminate(member);
                    start(shop, member);
                    self.wait_until_acquired(&before, self.partitions() / self.members.len()).await;
                    self.judge(change, &before);
                }
            }
        }
    }

    /// Waits until so many partitions were acquired since then, and the group has settled.
    async fn wait_until_acquired(&self, before: &Sample, partitions: usize) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < CHANGE_LIMIT, "partitions do not change hands: {:?}", self.members);
            tokio::time::sleep(SAMPLED_EVERY).await;
            let Some(newest) = self.newest() else { continue };
            if newest.acquired_since(before).len() >= partitions && self.is_stable() {
                return;
            }
        }
    }

    fn is_stable(&self) -> bool {
        let list = self.consumer.fetch_group_list(Some(&self.name), Duration::from_secs(10)).unwrap();
        list.groups().iter().any(|group| group.state() == "Stable" && group.members().len() == self.members.len())
    }

    /// Looks at what happened since then: only a fair share of the partitions moved, and the others went on.
    fn judge(&mut self, change: Change, before: &Sample) {
        let samples: Vec<Sample> =
            self.samples.lock().unwrap().iter().filter(|sample| sample.at >= before.at).cloned().collect();
        let after = samples.last().unwrap();
        let moved = after.acquired_since(before);
        let busy = |partition: &&Partition| BUSY_TOPICS.contains(&&*partition.0) && !moved.contains(partition);
        let pause = after.checkpoints.keys().filter(busy).map(|partition| longest_pause(partition, &samples)).max();
        let pause = pause.expect("some partition was not touched");
        eprintln!("{change:?}: {} moved, {pause:?} in {:?}", moved.len(), after.at - before.at);
        self.moved += moved.len();
        self.untouched += self.partitions() - moved.len();
        self.longest_pause = self.longest_pause.max(pause);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.sampling.abort();
    }
}

/// The longest time in which a checkpoint did not advance.
fn longest_pause(partition: &Partition, samples: &[Sample]) -> Duration {
    let mut longest = Duration::ZERO;
    let mut advanced = &samples[0];
    for sample in samples {
        longest = longest.max(sample.at - advanced.at);
        if sample.checkpoints[partition].0 > advanced.checkpoints[partition].0 {
            advanced = sample;
        }
    }
    longest
}

fn start(shop: &mut Shop, member: &str) {
    let arguments = if STATIC.contains(&member) { vec!["--instance", member] } else { Vec::new() };
    shop.start_member(member, RECOMMENDATION.name, &arguments);
}

/// Notes the checkpoints every few milliseconds.
async fn sample(shop: &Shop, samples: Arc<Mutex<Vec<Sample>>>) -> JoinHandle<()> {
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    let mut database = shop.database().await;
    tokio::spawn(async move {
        let sql = format!("SELECT topic, partition, next_offset, epoch FROM {schema}.checkpoint");
        loop {
            let rows = sqlx::query(AssertSqlSafe(sql.clone())).fetch_all(&mut database).await.unwrap();
            let checkpoints = rows.iter().map(|row| ((row.get(0), row.get(1)), (row.get(2), row.get(3)))).collect();
            samples.lock().unwrap().push(Sample { at: Instant::now(), checkpoints });
            tokio::time::sleep(SAMPLED_EVERY).await;
        }
    })
}
