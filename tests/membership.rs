//! Static group membership: the last process that joined under a `group.instance.id` owns it, and partitions without a
//! live owner are reassigned.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_processors::PROCESSORS;
use jangbogo_test_support::group::Group;
use jangbogo_test_support::{Shop, demo_lines};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext, DefaultConsumerContext};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};

/// Longer than a session timeout, a broker's initial rebalance delay and a process start together.
const LIMIT: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_fenced_process_exits_only_for_a_live_successor() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open("member").await;
    shop.start_processors();
    shop.import(demo_lines(directory.path(), 500).to_str().unwrap());
    shop.settle().await;

    // A consumer that takes the instance id and disappears without leaving the group fences no live process for good. A
    // broker that restarts does the same with a join request whose answer is lost.
    tokio::task::block_in_place(|| take_instance_id_and_disappear(&shop));
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

/// A static member that is killed between the two rounds of a cooperative rebalance is replaced without another
/// rebalance: the group is stable then, and the partitions that were to be reassigned are orphaned.
#[tokio::test(flavor = "multi_thread")]
async fn orphaned_partitions_are_reassigned() {
    let mut shop = Shop::open("cover").await;
    let group = Group::for_processor(&shop, &ANALYTICS);
    let owned = || group.assignments().map(|members| members.iter().map(BTreeSet::len).sum::<usize>());
    let killed = member(&shop, "z", UnresponsiveMember::default());
    tokio::task::block_in_place(|| poll_until(&killed, |member| member.assignment().unwrap().count() > 0));
    shop.start_processor(ANALYTICS.name);
    tokio::task::block_in_place(|| poll_until(&killed, |member| member.context().0.load(Ordering::Relaxed)));
    // Closing it would end the rebalance.
    std::mem::forget(killed);

    let successor = member(&shop, "z", DefaultConsumerContext);
    tokio::task::block_in_place(|| poll_until(&successor, |member| member.assignment().unwrap().count() > 0));
    assert!(owned().is_some_and(|owned| owned < group.partitions), "{:?} of {}", owned(), group.partitions);
    tokio::task::block_in_place(|| poll_until(&successor, |_| owned() == Some(group.partitions)));
    drop(successor);
    shop.close().await;
}

/// A member that ignores the revocation of partitions.
#[derive(Default)]
struct UnresponsiveMember(AtomicBool);

impl ClientContext for UnresponsiveMember {}

impl ConsumerContext for UnresponsiveMember {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, event: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        if event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS {
            self.0.store(true, Ordering::Relaxed);
        } else {
            consumer.incremental_assign(partitions).unwrap();
        }
    }
}

fn take_instance_id_and_disappear(shop: &Shop) {
    let consumer = member(shop, "a", DefaultConsumerContext);
    poll_until(&consumer, |consumer| consumer.assignment().unwrap().count() > 0);
}

fn member<C: ConsumerContext>(shop: &Shop, name: &str, context: C) -> BaseConsumer<C> {
    let group = shop.connections.namespace.group(ANALYTICS.name);
    let consumer: BaseConsumer<C> = shop
        .connections
        .kafka_client("test")
        .set("group.id", &group)
        .set("group.instance.id", format!("{group}-{name}-0"))
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("enable.auto.commit", "false")
        .set("session.timeout.ms", "10000")
        .create_with_context(context)
        .unwrap();
    let topics: Vec<String> =
        ANALYTICS.topics().into_iter().map(|topic| shop.connections.namespace.topic(topic)).collect();
    consumer.subscribe(&topics.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    consumer
}

fn poll_until<C: ConsumerContext>(consumer: &BaseConsumer<C>, is_done: impl Fn(&BaseConsumer<C>) -> bool) {
    let began = Instant::now();
    while !is_done(consumer) {
        assert!(began.elapsed() < LIMIT, "not within {LIMIT:?}");
        let _ = consumer.poll(Duration::from_millis(100));
    }
}
