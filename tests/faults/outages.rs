//! Fault class C: the servers restart, are killed, are paused and lose their data under load. The shop recovers by
//! itself, and all stores equal the log in the end.

mod orders;
mod queries;
pub mod servers;
mod wipes;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_processors::PROCESSORS;
use jangbogo_stack::Server;
use jangbogo_test_support::log::read;
use jangbogo_test_support::random::Random;
use jangbogo_test_support::{Shop, demo_lines};
use tokio::task::JoinHandle;

use self::orders::{Orders, Outcome};
use self::queries::Queries;
use self::servers::{Outage, Servers};
use crate::judge::judge;
use crate::load::Load;
use crate::scale::scale;

/// Load besides the import and the orders.
const EVENTS_PER_SECOND: u64 = 100;
/// Pause between two parts of the import.
const IMPORT_PAUSE: Duration = Duration::from_secs(1);
const SETTLED_WITHIN: Duration = Duration::from_mins(10);
const SERVICES: [&str; 3] = ["gateway", "outbox-dispatcher", "query"];
/// A paused server keeps its connections.
const PAUSED_FOR: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn restarts_pauses_and_data_loss_of_servers_change_nothing() {
    let began = Instant::now();
    let servers = Servers::start().await;
    eprintln!("servers of its own after {:.1} s", began.elapsed().as_secs_f64());
    let mut shop = Shop::open_on(servers.addresses(), "outages").await;
    let urls = start_programs(&mut shop);
    let import = Import::start(&shop, scale(10_000, 40_000), 1_000);
    let load = Load::start(&shop.connections, 3, EVENTS_PER_SECOND);
    let queries = Queries::start(&urls.query);
    let mut outcome = Outcome::default();
    let orders = Orders::start(&urls.gateway, "storm");

    let restarts = restart_all(&servers).await;
    if scale(false, true) {
        servers.strike(Server::Postgres, Outage::Pause, PAUSED_FOR).await;
        servers.strike(Server::Redis, Outage::Pause, PAUSED_FOR).await;
        servers.strike(Server::Elasticsearch, Outage::Lose, Duration::ZERO).await;
    }
    wipes::flush_redis(&shop).await;
    wipes::delete_index(&shop).await;
    outcome.add(orders.stop().await);
    wipes::wait_until_drained(&shop).await;
    eprintln!("postgres is wiped under load after {:.1} s", began.elapsed().as_secs_f64());
    wipes::drop_database(&shop).await;
    let orders = Orders::start(&urls.gateway, "after");
    wipes::wait_until_recovered(&shop).await;

    let imported = import.stop().await;
    load.stop().await;
    outcome.add(orders.stop().await);
    let statuses = queries.stop().await;
    wipes::wait_until_drained(&shop).await;
    eprintln!("the load ends after {:.1} s", began.elapsed().as_secs_f64());
    for program in PROCESSORS.iter().map(|processor| processor.name).chain(SERVICES) {
        assert!(!shop.has_ended(program), "{program} has exited");
    }
    let judgement = judge(&shop, SETTLED_WITHIN).await;
    assert_all_in_log(&shop, &outcome.accepted);
    urls.wait_until_ready().await;

    let rewiped = if scale(false, true) { Some(wipe_once_more(&shop).await) } else { None };
    wipes::wait_until_no_orphans(&shop).await;
    urls.wait_until_ready().await;
    println!(
        "C outages: {restarts} restarts, half of them SIGKILL; wiped: Redis 1, Elasticsearch {}, Postgres {}; {} \
         events, {} of them repeated, {imported} imports; {} orders accepted, all in the log, after {:.1} s at most, \
         refused {:?}; queries {statuses:?}; {} rows and {} published values right; all restored in {:?}; {:.0} s",
        scale(1, 2),
        scale(1, 2),
        judgement.records,
        judgement.repeats,
        outcome.accepted.len(),
        outcome.longest.as_secs_f64(),
        outcome.refused,
        judgement.rows,
        judgement.published,
        rewiped,
        began.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// Wipes Postgres without load: the same rows and values come back, byte for byte. Returns the time of recovery.
async fn wipe_once_more(shop: &Shop) -> Duration {
    let before = shop.digest().await;
    let wiped = Instant::now();
    wipes::drop_database(shop).await;
    wipes::wait_until_recovered(shop).await;
    wipes::wait_until_restored(shop, &before, SETTLED_WITHIN).await;
    wiped.elapsed()
}

/// Restarts every server several times, half of the times by SIGKILL, at random times, so that outages overlap. Returns
/// the number of restarts.
async fn restart_all(servers: &Servers) -> usize {
    let mut random = Random::new(11);
    let rounds = scale(1, 20);
    for round in 0..rounds {
        let strikes = Server::ALL.into_iter().enumerate().map(|(number, server)| {
            let outage = if (round + number) % 2 == 0 { Outage::Kill } else { Outage::Stop };
            let wait = Duration::from_millis(random.below(scale(2_000, 10_000)));
            let duration = Duration::from_millis(random.below(2_000));
            async move {
                tokio::time::sleep(wait).await;
                servers.strike(server, outage, duration).await;
            }
        });
        futures::future::join_all(strikes).await;
        tokio::time::sleep(Duration::from_millis(random.below(2_000))).await;
        eprintln!("round {} of {rounds} has ended", round + 1);
    }
    rounds * Server::ALL.len()
}

/// Base URLs of the programs' HTTP servers.
struct Urls {
    gateway: String,
    dispatcher: String,
    query: String,
}

fn start_programs(shop: &mut Shop) -> Urls {
    shop.start_processors();
    let [gateway, dispatcher, query] = free_ports();
    shop.start("gateway", &["--listen", &format!("127.0.0.1:{gateway}")]);
    shop.start("outbox-dispatcher", &["--admin-port", &dispatcher.to_string()]);
    shop.start("query", &["--listen", &format!("127.0.0.1:{query}")]);
    let url = |port| format!("http://127.0.0.1:{port}");
    Urls { gateway: url(gateway), dispatcher: url(dispatcher), query: url(query) }
}

fn free_ports() -> [u16; 3] {
    let listeners = [0; 3].map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

impl Urls {
    /// Waits until every program is ready (`/readyz`).
    async fn wait_until_ready(&self) {
        for url in [&self.gateway, &self.dispatcher, &self.query] {
            let began = Instant::now();
            loop {
                let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
                let (status, body) = (answer.status(), answer.text().await.unwrap());
                if status.is_success() {
                    break;
                }
                assert!(began.elapsed() < Duration::from_secs(30), "{url} is not ready: {body}");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }
}

fn assert_all_in_log(shop: &Shop, accepted: &[String]) {
    let mut ids = HashSet::new();
    let (kafka, namespace) = (&shop.connections.kafka, shop.connections.namespace.to_string());
    tokio::task::block_in_place(|| {
        read(kafka, &namespace, |record| {
            ids.insert(record.id.clone());
        });
    });
    let lost: Vec<&String> = accepted.iter().filter(|id| !ids.contains(*id)).collect();
    assert!(lost.is_empty(), "{} accepted orders are not in the log, such as {}", lost.len(), lost[0]);
}

/// Imports parts of the demo shop in a loop.
struct Import {
    stop: Arc<AtomicBool>,
    importing: JoinHandle<usize>,
    _directory: tempfile::TempDir,
}

impl Import {
    fn start(shop: &Shop, lines: usize, lines_per_part: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let files = parts(&demo_lines(directory.path(), lines), lines_per_part);
        let mut commands: Vec<_> =
            files.iter().map(|part| shop.command(&["events", "import", part.to_str().unwrap()])).collect();
        let stopping = Arc::new(AtomicBool::new(false));
        let is_stopped = Arc::clone(&stopping);
        let importing = tokio::task::spawn_blocking(move || {
            let mut imports = 0;
            while !is_stopped.load(Ordering::Relaxed) {
                let number = imports % commands.len();
                // An import fails while Kafka is unavailable: it is repeated.
                if commands[number].output().unwrap().status.success() {
                    imports += 1;
                }
                std::thread::sleep(IMPORT_PAUSE);
            }
            imports
        });
        Self { stop: stopping, importing, _directory: directory }
    }

    /// Waits for the running import. Returns the number of imports.
    async fn stop(mut self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        (&mut self.importing).await.unwrap()
    }
}

impl Drop for Import {
    fn drop(&mut self) {
        // Ends the background thread when a test fails.
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn parts(file: &Path, lines_per_part: usize) -> Vec<PathBuf> {
    let mut lines = BufReader::new(std::fs::File::open(file).unwrap()).lines().map(Result::unwrap);
    let header = lines.next().unwrap();
    let lines: Vec<String> = lines.collect();
    let mut parts = Vec::new();
    for (number, lines) in lines.chunks(lines_per_part).enumerate() {
        let part = file.with_file_name(format!("part-{number}.csv"));
        let mut output = std::fs::File::create(&part).unwrap();
        writeln!(output, "{header}\n{}", lines.join("\n")).unwrap();
        parts.push(part);
    }
    parts
}
