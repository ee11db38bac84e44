//! Fault class A: processors are killed at random times and inside a commit. Nothing is lost or counted twice.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_processors::PROCESSORS;
use jangbogo_test_support::group::Group;
use jangbogo_test_support::random::Random;
use jangbogo_test_support::{Shop, demo_lines};

use crate::judge::judge;
use crate::load::Load;
use crate::scale::scale;

/// Order lines of the demo shop besides the load, with baskets of real size; in full they are imported twice.
const LINES: usize = 40_000;
/// Static members, each with a process of its own.
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// Fail points of a commit: before its rows, between rows and checkpoint, before and after the transaction commits.
const POINTS: [&str; 4] = ["commit-before-rows", "commit-after-rows", "commit-after-checkpoint", "commit-after-commit"];
/// A process with a fail point that commits nothing within this time is replaced.
const VICTIM_LIMIT: Duration = Duration::from_secs(10);
/// This number of processes that survive means that fail points are not compiled in.
const MAX_SURVIVED: usize = 10;
const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_lose_nothing_and_count_nothing_twice() {
    let started = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let file = demo_lines(directory.path(), LINES);
    let file = file.to_str().unwrap();
    let mut shop = Shop::open("kills").await;
    for member in members() {
        member.start(&mut shop, &[]);
    }
    for processor in PROCESSORS {
        Group::for_processor(&shop, processor).wait_until_divided_by(INSTANCES.len()).await;
    }
    let load = Load::start(&shop.connections, 1, scale(1_000, 5_000));
    let mut importing = shop.start_import(file);
    let mut imports_left = scale(0, 1);
    let mut killer = Killer::new(scale(20, 200), scale(4, 20));
    let events = scale(10_000, 1_000_000);
    while !killer.is_done() || load.sent() < events || imports_left > 0 {
        killer.strike(&mut shop).await;
        if imports_left > 0
            && let Some(status) = importing.try_wait().unwrap()
        {
            assert!(status.success());
            importing = shop.start_import(file);
            imports_left -= 1;
        }
    }
    killer.replace_victim(&mut shop);
    load.stop().await;
    assert!(importing.wait().unwrap().success());
    let judgement = judge(&shop, Duration::from_mins(10)).await;
    println!(
        "A kills: {} events, {} of them repeated; {} SIGKILLs and {} more inside a commit {:?}; {} rows and {} \
         published values right; {:.0} s",
        judgement.records,
        judgement.repeats,
        killer.kills,
        killer.placed.iter().sum::<usize>(),
        killer.placed,
        judgement.rows,
        judgement.published,
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// One process of a processor.
#[derive(Clone, Copy, PartialEq)]
struct Member {
    processor: &'static str,
    instance: &'static str,
}

impl Member {
    fn name(self) -> String {
        format!("{}-{}", self.processor, self.instance)
    }

    fn start(self, shop: &mut Shop, environment: &[(&str, &str)]) {
        shop.start_member_with(&self.name(), self.processor, &["--instance", self.instance], environment);
    }
}

fn members() -> Vec<Member> {
    let processor_members =
        |processor: &&Processor| INSTANCES.map(|instance| Member { processor: processor.name, instance });
    PROCESSORS.iter().flat_map(processor_members).collect()
}

/// Kills members, and starts some of them with a fail point that kills them inside a commit.
struct Killer {
    random: Random,
    members: Vec<Member>,
    min_kills: usize,
    min_placed: usize,
    kills: usize,
    /// Number of kills at each of [`POINTS`].
    placed: [usize; POINTS.len()],
    /// The member with a fail point, the index of the point, and its start.
    victim: Option<(Member, usize, Instant)>,
    /// Victims that were replaced.
    survived: usize,
}

impl Killer {
    fn new(min_kills: usize, min_placed: usize) -> Self {
        Self {
            random: Random::new(7),
            members: members(),
            min_kills,
            min_placed,
            kills: 0,
            placed: [0; POINTS.len()],
            victim: None,
            survived: 0,
        }
    }

    fn placed(&self) -> usize {
        self.placed.iter().sum()
    }

    fn is_done(&self) -> bool {
        self.kills >= self.min_kills && self.placed() >= self.min_placed
    }

    /// Waits for a random time and kills a member. There is always work: the load does not pause.
    async fn strike(&mut self, shop: &mut Shop) {
        let wait = scale(100, 300) + self.random.below(scale(500, 700));
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.check_victim(shop);
        let member = self.members[self.random.below(self.members.len() as u64) as usize];
        if self.victim.is_some_and(|(victim, ..)| victim == member) {
            return;
        }
        shop.kill(&member.name());
        self.kills += 1;
        let is_behind = self.placed() * self.min_kills <= self.kills * self.min_placed;
        if self.victim.is_none() && is_behind && member.processor != ES_SYNC.name {
            let point = self.placed() % POINTS.len();
            let passes = self.random.below(4);
            let failpoints = format!("{}={passes}*off->return", POINTS[point]);
            member.start(shop, &[("FAILPOINTS", &failpoints)]);
            self.victim = Some((member, point, Instant::now()));
        } else {
            member.start(shop, &[]);
        }
    }

    fn check_victim(&mut self, shop: &mut Shop) {
        let Some((member, point, since)) = self.victim else { return };
        if let Some(status) = shop.take_ended(&member.name()) {
            assert_eq!(status.signal(), Some(SIGKILL), "{} ended by itself: {status}", member.name());
            self.placed[point] += 1;
            self.victim = None;
            member.start(shop, &[]);
        } else if since.elapsed() > VICTIM_LIMIT {
            self.replace_victim(shop);
            self.survived += 1;
            assert!(self.survived < MAX_SURVIVED, "{} victims did not kill themselves", self.survived);
        }
    }

    /// Restarts the victim, if there is one, without a fail point.
    fn replace_victim(&mut self, shop: &mut Shop) {
        let Some((member, ..)) = self.victim.take() else { return };
        match shop.take_ended(&member.name()) {
            Some(status) => assert_eq!(status.signal(), Some(SIGKILL), "{} ended by itself: {status}", member.name()),
            None => shop.kill(&member.name()),
        }
        member.start(shop, &[]);
    }
}
