//! A: processors are killed at any moment, and inside a commit. Nothing is lost, nothing counts twice.

use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_processors::PROCESSORS;

use crate::group::Group;
use crate::judge::judge;
use crate::load::Load;
use crate::random::Random;
use crate::scale::{scale, turn};
use crate::support::{Shop, demo_lines};

/// Real orders besides the load, in full twice: their baskets are as large as people's are.
const LINES: usize = 40_000;
/// Each has a process of its own and its place in the group.
const INSTANCES: [&str; 3] = ["a", "b", "c"];
/// Where a commit is killed: before its rows, between rows and checkpoint, before and after Postgres makes it count.
const POINTS: [&str; 4] = ["commit-before-rows", "commit-after-rows", "commit-after-checkpoint", "commit-after-commit"];
/// A victim that owns nothing to commit is given up after this.
const VICTIM_LIMIT: Duration = Duration::from_secs(10);
/// So many victims that live on mean that fail points are not compiled in.
const MAX_SPARED: usize = 10;
const SIGKILL: i32 = 9;

#[tokio::test(flavor = "multi_thread")]
async fn killed_processors_lose_nothing_and_count_nothing_twice() {
    let _turn = turn().await;
    let started = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let file = demo_lines(directory.path(), LINES);
    let file = file.to_str().unwrap();
    let mut shop = Shop::open("kills").await;
    for member in members() {
        member.start(&mut shop, &[]);
    }
    for processor in PROCESSORS {
        Group::of(&shop, processor).wait_until_divided_by(INSTANCES.len()).await;
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
    killer.spare(&mut shop);
    load.stop().await;
    assert!(importing.wait().unwrap().success());
    let verdict = judge(&shop, Duration::from_mins(10)).await;
    println!(
        "A kills: {} events, {} of them repeated; {} SIGKILLs and {} more inside a commit {:?}; {} rows and {} published \
         values right; {:.0} s",
        verdict.records,
        verdict.repeats,
        killer.kills,
        killer.placed.iter().sum::<usize>(),
        killer.placed,
        verdict.rows,
        verdict.published,
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
    let of = |processor: &&Processor| INSTANCES.map(|instance| Member { processor: processor.name, instance });
    PROCESSORS.iter().flat_map(of).collect()
}

/// Kills members, and makes some of them kill themselves inside a commit.
struct Killer {
    random: Random,
    members: Vec<Member>,
    wanted_kills: usize,
    wanted_placed: usize,
    kills: usize,
    /// How often at each of [`POINTS`].
    placed: [usize; POINTS.len()],
    /// Who will kill itself, at which point, and since when it may.
    victim: Option<(Member, usize, Instant)>,
    /// Victims that lived on.
    spared: usize,
}

impl Killer {
    fn new(wanted_kills: usize, wanted_placed: usize) -> Self {
        Self {
            random: Random::new(7),
            members: members(),
            wanted_kills,
            wanted_placed,
            kills: 0,
            placed: [0; POINTS.len()],
            victim: None,
            spared: 0,
        }
    }

    fn placed(&self) -> usize {
        self.placed.iter().sum()
    }

    fn is_done(&self) -> bool {
        self.kills >= self.wanted_kills && self.placed() >= self.wanted_placed
    }

    /// Waits a moment, never the same one, and kills. There is always work: events come all the time.
    async fn strike(&mut self, shop: &mut Shop) {
        let wait = scale(100, 300) + self.random.below(scale(500, 700));
        tokio::time::sleep(Duration::from_millis(wait)).await;
        self.look_after_victim(shop);
        let member = self.members[self.random.below(self.members.len() as u64) as usize];
        if self.victim.is_some_and(|(victim, ..)| victim == member) {
            return;
        }
        shop.kill(&member.name());
        self.kills += 1;
        let is_behind = self.placed() * self.wanted_kills <= self.kills * self.wanted_placed;
        if self.victim.is_none() && is_behind && member.processor != ES_SYNC.name {
            let point = self.placed() % POINTS.len();
            let spared = self.random.below(4);
            let failpoints = format!("{}={spared}*off->return", POINTS[point]);
            member.start(shop, &[("FAILPOINTS", &failpoints)]);
            self.victim = Some((member, point, Instant::now()));
        } else {
            member.start(shop, &[]);
        }
    }

    fn look_after_victim(&mut self, shop: &mut Shop) {
        let Some((member, point, since)) = self.victim else { return };
        if let Some(status) = shop.take_ended(&member.name()) {
            assert_eq!(status.signal(), Some(SIGKILL), "{} ended by itself: {status}", member.name());
            self.placed[point] += 1;
            self.victim = None;
            member.start(shop, &[]);
        } else if since.elapsed() > VICTIM_LIMIT {
            self.spare(shop);
            self.spared += 1;
            assert!(self.spared < MAX_SPARED, "{} victims did not kill themselves", self.spared);
        }
    }

    /// The victim, if there is one, starts again as one that lives.
    fn spare(&mut self, shop: &mut Shop) {
        let Some((member, ..)) = self.victim.take() else { return };
        match shop.take_ended(&member.name()) {
            Some(status) => assert_eq!(status.signal(), Some(SIGKILL), "{} ended by itself: {status}", member.name()),
            None => shop.kill(&member.name()),
        }
        member.start(shop, &[]);
    }
}
