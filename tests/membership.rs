//! A name in the group belongs to one process: to the last one that took it, and to nobody who is gone.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::time::{Duration, Instant};

use projections::{ANALYTICS, PROCESSORS};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use support::{Shop, demo_lines};

/// A session, what a broker's start adds to it, and a start of the process.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_process_ends_for_another_process_and_for_nobody_else() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open("member").await;
    shop.start_processors();
    shop.import(demo_lines(directory.path(), 500).to_str().unwrap());
    shop.settle().await;

    // Whoever takes the name and disappears, without leaving the group, is nobody. So is what a broker that restarts
    // makes of a request whose answer it cannot give any more.
    tokio::task::block_in_place(|| take_the_name_and_disappear(&shop));
    shop.import(demo_lines(directory.path(), 1_000).to_str().unwrap());
    shop.settle().await;
    for processor in PROCESSORS {
        assert!(!shop.has_ended(processor.name), "{} has ended", processor.name);
    }

    shop.start_member("another", ANALYTICS.name, &["--instance", "a"]);
    let began = Instant::now();
    while !shop.has_ended(ANALYTICS.name) {
        assert!(began.elapsed() < LIMIT, "two processes of one name");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(!shop.has_ended("another"), "the name's last owner has ended");
    shop.import(demo_lines(directory.path(), 1_500).to_str().unwrap());
    shop.settle().await;
    shop.close().await;
}

fn take_the_name_and_disappear(shop: &Shop) {
    let group = shop.connections.namespace.group(ANALYTICS.name);
    let consumer: BaseConsumer = shop
        .connections
        .kafka_client("test")
        .set("group.id", &group)
        .set("group.instance.id", format!("{group}-a-0"))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "10000")
        .create()
        .unwrap();
    let topics: Vec<String> =
        ANALYTICS.topics().into_iter().map(|topic| shop.connections.namespace.topic(topic)).collect();
    consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    let began = Instant::now();
    while consumer.assignment().unwrap().count() == 0 {
        assert!(began.elapsed() < LIMIT, "the name is not to be had");
        let _ = consumer.poll(Duration::from_millis(100));
    }
}
