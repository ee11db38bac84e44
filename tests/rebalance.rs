//! Members that come, go and stand still: partitions change hands, and every event counts once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::net::TcpListener;
use std::time::{Duration, Instant};

use projections::{PROCESSORS, RECOMMENDATION};
use sqlx::{AssertSqlSafe, PgConnection};
use support::{Shop, demo_lines};

const LINES: usize = 10_000;

#[tokio::test(flavor = "multi_thread")]
async fn members_that_come_go_and_stand_still_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let file = demo_lines(directory.path(), LINES);
    let file = file.to_str().unwrap();
    let undisturbed = {
        let mut shop = Shop::open("steady").await;
        shop.import(file);
        shop.start_processors();
        shop.settle().await;
        let digest = shop.digest().await;
        shop.close().await;
        digest
    };
    assert!(undisturbed.tables["analytics.order_line"].rows > 8_000, "{:?}", undisturbed.tables);

    let mut shop = Shop::open("changing").await;
    for processor in PROCESSORS.iter().filter(|processor| processor.name != RECOMMENDATION.name) {
        shop.start_processor(processor.name);
    }
    // One member, then three, of which one has two workers, then one, then two, while events come.
    let (sleepy, sleepy_metrics) = ("sleepy", free_port());
    let mut importing = shop.start_import(file);
    shop.start_member("first", RECOMMENDATION.name, &[]);
    wait_for_owners(&shop, 1).await;
    shop.start_member("second", RECOMMENDATION.name, &["--instances", "2"]);
    shop.start_member("third", RECOMMENDATION.name, &[]);
    wait_for_owners(&shop, 2).await;
    shop.terminate("first");
    shop.terminate("second");
    shop.start_member(sleepy, RECOMMENDATION.name, &["--admin-port", &sleepy_metrics.to_string()]);
    assert!(importing.wait().unwrap().success());
    shop.settle().await;
    shop.digest().await.assert_equal(&undisturbed);

    // Both members are held in the middle of a batch of the same events again. One of them stands still for so long that
    // the group gives its partitions to the other.
    let mut holding = shop.database().await;
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    let sql = format!("BEGIN; LOCK TABLE {schema}.seen IN EXCLUSIVE MODE");
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut holding).await.unwrap();
    shop.import(file);
    let mut database = shop.database().await;
    wait_until("two members wait for the lock", async || waiting(&mut database).await >= 2).await;
    shop.signal(sleepy, "STOP");
    sqlx::raw_sql("ROLLBACK").execute(&mut holding).await.unwrap();
    shop.settle().await;
    shop.signal(sleepy, "CONT");
    wait_until("the member that stood still is fenced", async || fenced(sleepy_metrics).await > 0).await;
    // It takes part again.
    shop.terminate("third");
    shop.import(file);
    shop.settle().await;
    shop.digest().await.assert_equal(&undisturbed);
    shop.terminate(sleepy);
    shop.close().await;
}

/// Waits until partitions have been acquired so often.
async fn wait_for_owners(shop: &Shop, epochs: i64) {
    let mut database = shop.database().await;
    wait_until("partitions change hands", async || {
        let Some(live) = shop.live(&RECOMMENDATION).await else { return false };
        let sql = format!("SELECT max(epoch) FROM {}.checkpoint", live.generation.schema);
        let newest: Option<i64> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut database).await.unwrap();
        newest.is_some_and(|epoch| epoch >= epochs)
    })
    .await;
}

/// How many sessions wait for a lock of the shop's.
async fn waiting(database: &mut PgConnection) -> i64 {
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    sqlx::query_scalar(sql).fetch_one(database).await.unwrap()
}

/// How often that process was fenced.
async fn fenced(admin_port: u16) -> u64 {
    let answer = reqwest::get(format!("http://127.0.0.1:{admin_port}/metrics")).await.unwrap().text().await.unwrap();
    let line = answer.lines().find(|line| line.starts_with("jangbogo_fenced_total")).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

async fn wait_until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < Duration::from_secs(40), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}
