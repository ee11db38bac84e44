//! Fault class F: a replay has no side effects. It connects to Kafka and the three stores only, which the kernel
//! enforces, and produces nothing, which the log shows.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::Instant;

use jangbogo_events::Topic;
use jangbogo_processors::PROCESSORS;
use jangbogo_replay::compare::digest;
use jangbogo_store::State;
use jangbogo_test_support::{Shop, demo_lines, headers_of};
use jangbogo_topology::Topology;
use landlock::{AccessNet, CompatLevel, Compatible as _, NetPort, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _};

use crate::load::Shoppers;
use crate::replaying::{output_text, stored};
use crate::scale::scale;

/// The signal of the system-call filter.
const SIGSYS: i32 = 31;
/// A seccomp filter: it kills processes that create sockets other than TCP (datagrams, raw, MPTCP, packets), which
/// Landlock does not restrict.
const OTHER_SOCKETS: &str = r#"{ "network": {
    "mismatch_action": "allow", "match_action": "kill_process", "filter": [
        { "syscall": "socket", "args": [
            { "index": 0, "type": "dword", "op": "eq", "val": 2 },
            { "index": 1, "type": "dword", "op": { "masked_eq": 14 }, "val": 2 } ] },
        { "syscall": "socket", "args": [
            { "index": 0, "type": "dword", "op": "eq", "val": 10 },
            { "index": 1, "type": "dword", "op": { "masked_eq": 14 }, "val": 2 } ] },
        { "syscall": "socket", "args": [ { "index": 1, "type": "dword", "op": { "masked_eq": 12 }, "val": 4 } ] },
        { "syscall": "socket", "args": [ { "index": 2, "type": "dword", "op": "eq", "val": 262 } ] },
        { "syscall": "socket", "args": [ { "index": 0, "type": "dword", "op": "eq", "val": 17 } ] }
    ] } }"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_connects_to_kafka_and_the_stores_only_and_produces_nothing() {
    let started = Instant::now();
    let directory = tempfile::tempdir().unwrap();
    let file = demo_lines(directory.path(), scale(2_000, 100_000));
    let mut shop = Shop::open("offline").await;
    shop.start_processors();
    shop.import(file.to_str().unwrap());
    let mut shoppers = Shoppers::new(6);
    let events: Vec<_> = (0..scale(3_000, 100_000)).map(|_| shoppers.next()).collect();
    shop.produce(&events).await;
    let garbage = scale(50, 1_000);
    for number in 0..garbage {
        let topic = [Topic::OrderCompleted, Topic::CatalogEvents, Topic::UserBehavior][number % 3];
        let value = format!("{{\"number\": {number}").into_bytes();
        shop.produce_raw(topic, Some(number.to_string()), headers_of(&[("ce_id", b"?")]), value).await;
    }
    shop.settle().await;

    let sandbox = Sandbox::around(&shop);
    sandbox.assert_it_holds();
    let before = log_ends(&shop);
    let dead_letters: i64 = before.iter().filter(|(topic, _)| topic.contains("dead")).flat_map(|(_, ends)| ends).sum();
    assert!(dead_letters >= garbage as i64, "garbage is a dead letter");
    sandbox.replay(&shop, &["verify", "--all"]);
    sandbox.replay(&shop, &["rebuild", "--all", "--no-promote"]);
    let mut digests = 0;
    for processor in PROCESSORS {
        let live = shop.live(processor).await.unwrap().generation;
        let folded = stored(&shop, processor).await.into_iter().find(|stored| stored.state == State::Ready).unwrap();
        assert_ne!(folded.generation.id, live.id);
        let mut database = shop.database().await;
        let expected = digest(&mut database, processor, &live, false).await.unwrap();
        assert_eq!(digest(&mut database, processor, &folded.generation, false).await.unwrap(), expected);
        digests += expected.len();
    }
    sandbox.replay(&shop, &["promote", "--all"]);
    assert_eq!(log_ends(&shop), before, "a replay produces nothing");
    println!(
        "F offline: {} records, {dead_letters} dead letters among them; verified, rebuilt and promoted with every \
         connection but those to {:?} denied: 0 calls out, 0 records produced, {digests} tables' \
         digests equal; {:.0} s",
        before.values().flatten().sum::<i64>(),
        sandbox.ports,
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// End offsets of every topic of the shop, including dead letters.
fn log_ends(shop: &Shop) -> BTreeMap<String, Vec<i64>> {
    let topics = Topology::embedded().unwrap().kafka_topics(&shop.connections.namespace);
    topics.into_iter().map(|topic| (topic.name.clone(), shop.end_offsets(&topic.name))).collect()
}

/// Restricts threads and their child processes to TCP connections to these ports.
struct Sandbox {
    ports: Vec<u16>,
}

impl Sandbox {
    fn around(shop: &Shop) -> Self {
        let addresses = [
            &shop.connections.kafka,
            &shop.connections.postgres,
            &shop.connections.redis,
            &shop.connections.elasticsearch,
        ];
        let port = |address: &String| address.trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap();
        Self { ports: addresses.map(port).to_vec() }
    }

    /// Restricts this thread and its children, permanently.
    fn enter(&self) {
        // Fails without Landlock for TCP, which needs Linux 6.7.
        let mut rules = Ruleset::default()
            .set_compatibility(CompatLevel::HardRequirement)
            .handle_access(AccessNet::ConnectTcp)
            .unwrap()
            .create()
            .unwrap();
        for port in &self.ports {
            rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp)).unwrap();
        }
        rules.restrict_self().unwrap();
        let architecture = std::env::consts::ARCH.try_into().unwrap();
        let filters = seccompiler::compile_from_json(OTHER_SOCKETS.as_bytes(), architecture).unwrap();
        seccompiler::apply_filter(&filters["network"]).unwrap();
    }

    /// Runs a closure in a restricted thread.
    fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let confined = || {
            self.enter();
            work()
        };
        std::thread::scope(|scope| scope.spawn(confined).join().unwrap())
    }

    fn replay(&self, shop: &Shop, arguments: &[&str]) {
        let mut command = shop.command(&["replay"]);
        let output = self.inside(|| command.args(arguments).output().unwrap());
        assert!(output.status.success(), "replay {arguments:?}: {}: {}", output.status, output_text(&output));
    }

    /// Asserts that restricted threads and processes cannot reach a listener that others can, by TCP or by datagrams.
    fn assert_it_holds(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let reach = |protocol: &str| {
            let script = format!("exec 3<>/dev/{protocol}/127.0.0.1/{}", address.port());
            Command::new("bash").args(["-c", &script]).output().unwrap().status
        };
        assert!(reach("tcp").success() && reach("udp").success());
        listener.accept().unwrap();
        let (thread, process, datagram) = self.inside(|| (TcpStream::connect(address), reach("tcp"), reach("udp")));
        assert_eq!(thread.unwrap_err().kind(), ErrorKind::PermissionDenied);
        assert!(!process.success());
        assert_eq!(datagram.signal(), Some(SIGSYS));
        listener.set_nonblocking(true).unwrap();
        assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock, "a connection came through");
    }
}
