//! Fault class G: a worker is paused until its partitions are reassigned, and then resumes (a zombie). All of its
//! writes are fenced.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use jangbogo_processors::PROCESSORS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_test_support::Shop;
use jangbogo_test_support::group::Group;
use sqlx::PgConnection;

use crate::judge::judge;
use crate::load::Shoppers;
use crate::scale::scale;

/// Events sent while the members cannot commit, so that each has a batch in progress and more in its queue.
const EVENTS: usize = 3_000;
const WAIT_LIMIT: Duration = Duration::from_secs(40);

#[tokio::test(flavor = "multi_thread")]
async fn all_writes_of_a_paused_worker_are_fenced() {
    let started = Instant::now();
    let mut shop = Shop::open("zombies").await;
    for processor in PROCESSORS.iter().filter(|processor| processor.name != RECOMMENDATION.name) {
        shop.start_processor(processor.name);
    }
    let (paused, metrics) = ("paused", free_port());
    shop.start_member("running", RECOMMENDATION.name, &[]);
    shop.start_member(paused, RECOMMENDATION.name, &["--admin-port", &metrics.to_string()]);
    let group = Group::for_processor(&shop, &RECOMMENDATION);
    group.wait_until_divided_by(2).await;
    let mut shoppers = Shoppers::new(3);
    let rounds = scale(1, 10);
    for round in 1..=rounds {
        let fenced_before = fenced(metrics).await;
        pause_during_batches(&shop, paused, &mut shoppers).await;
        // The other member has taken over and folded all events.
        shop.settle().await;
        let before = folded(&shop).await;
        shop.signal(paused, "CONT");
        wait_until("the paused member is fenced", async || fenced(metrics).await > fenced_before).await;
        // It rejoins the group.
        group.wait_until_divided_by(2).await;
        assert_eq!(folded(&shop).await, before, "the paused member wrote something in round {round}");
    }
    shop.terminate("running");
    shop.produce(&shoppers.events(EVENTS)).await;
    let judgement = judge(&shop, Duration::from_mins(4)).await;
    println!(
        "G zombies: {} events, {} of them repeated; {rounds} workers were paused, fenced {} times; {} rows and {} \
         published values right; {:.0} s",
        judgement.records,
        judgement.repeats,
        fenced(metrics).await,
        judgement.rows,
        judgement.published,
        started.elapsed().as_secs_f64(),
    );
    shop.close().await;
}

/// Pauses a member while every member of the group has a batch in progress.
async fn pause_during_batches(shop: &Shop, member: &str, shoppers: &mut Shoppers) {
    let mut lock_holder = shop.database().await;
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    let sql = format!("BEGIN; LOCK TABLE {schema}.seen IN EXCLUSIVE MODE");
    sqlx::raw_sql(&sql).execute(&mut lock_holder).await.unwrap();
    shop.produce(&shoppers.events(EVENTS)).await;
    let mut database = shop.database().await;
    wait_until("two members wait for the lock", async || sessions_waiting_for_locks(&mut database).await >= 2).await;
    shop.signal(member, "STOP");
    sqlx::raw_sql("ROLLBACK").execute(&mut lock_holder).await.unwrap();
}

/// Number of database sessions that wait for a lock.
async fn sessions_waiting_for_locks(database: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
}

/// Number of folded events, and the checkpoints without their epochs.
async fn folded(shop: &Shop) -> (i64, Vec<(String, i32, i64)>) {
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    let mut database = shop.database().await;
    let sql = format!("SELECT count(*) FROM {schema}.seen");
    let seen = sqlx::query_scalar(&sql).fetch_one(&mut database).await.unwrap();
    let sql = format!("SELECT topic, partition, next_offset FROM {schema}.checkpoint ORDER BY topic, partition");
    (seen, sqlx::query_as(&sql).fetch_all(&mut database).await.unwrap())
}

/// Value of `fenced_total` of the process.
async fn fenced(admin_port: u16) -> u64 {
    let answer = reqwest::get(format!("http://127.0.0.1:{admin_port}/metrics")).await.unwrap().text().await.unwrap();
    let line = answer.lines().find(|line| line.starts_with("jangbogo_fenced_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < WAIT_LIMIT, "not within {WAIT_LIMIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
