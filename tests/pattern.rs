//! Purchase patterns are announced once for each change, also when orders are repeated, reactors killed or histories
//! imported.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_events::{
    Currency, Data, Envelope, Event, MemberId, OrderCompleted, OrderId, OrderItem, ProductId, PurchasePatternAnalyzed,
    Quantity, Record, Topic, derived_id,
};
use jangbogo_test_support::{Shop, demo_lines};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::{Offset, TopicPartitionList};

const REACTOR: &str = "analytics.pattern";
const LIMIT: Duration = Duration::from_mins(2);
const TIMEOUT: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn a_pattern_is_announced_only_when_it_changes() {
    let mut shop = Shop::open("pattern").await;
    start(&mut shop);
    let announced = async |orders: &[Event]| {
        shop.produce(orders).await;
        wait_until_caught_up(&shop).await;
        announcements(&shop).iter().map(|(_, pattern)| pattern.orders).collect::<Vec<_>>()
    };
    let history: Vec<Event> = [(0, 10), (7, 10), (14, 10), (21, 40)]
        .into_iter()
        .zip(0..)
        .map(|((day, units), number)| order("mina", number, day, units))
        .collect();
    assert_eq!(announced(&history[..1]).await, [1]);
    assert_eq!(announced(&history[1..2]).await, [1, 2], "there is a rhythm now");
    assert_eq!(announced(&history[2..3]).await, [1, 2], "another order like these");
    assert_eq!(announced(&history[..3]).await, [1, 2], "nothing new");
    let anonymous = Data::from(OrderCompleted { member_id: None, ..order_completed("anonymous", 0, 7) });
    let anonymous = Event { envelope: Envelope::new("anonymous", "shop", Utc::now()), data: anonymous };
    assert_eq!(announced(&[anonymous]).await, [1, 2], "an order without a member");
    assert_eq!(announced(&history[3..]).await, [1, 2, 4], "a larger basket");

    let (envelope, pattern) = &announcements(&shop)[2];
    let cause = &history[3].envelope;
    assert_eq!(envelope.id, derived_id(&[REACTOR, "pattern", &cause.source, &cause.id, "0"]).to_string());
    assert_eq!((envelope.source.as_str(), envelope.causation_id.as_deref()), (REACTOR, Some(cause.id.as_str())));
    assert_eq!(envelope.time, cause.time + TimeDelta::milliseconds(1));
    assert_eq!(pattern.median_days_between_orders, Some(7.0));
    assert!((pattern.mean_units_per_order - 17.5).abs() < f64::EPSILON, "{pattern:?}");
    assert_eq!(pattern.mean_order_value[0].amount_minor, 1_750);
    shop.close().await;
}

/// A reactor that is killed between its announcements resumes at its committed offset.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_reactor_announces_every_change() {
    const MEMBERS: usize = 1_000;
    const ORDERS: u32 = 4;
    let mut shop = Shop::open("killed").await;
    let topic = shop.connections.namespace.topic(Topic::PurchasePatternAnalyzed);
    let mut announced = 0;
    for number in 0..ORDERS {
        start(&mut shop);
        // Each order has three times the units of the one before: each changes the pattern.
        let units = 3_i64.pow(number);
        let orders: Vec<Event> =
            (0..MEMBERS).map(|member| order(&format!("m{member}"), number, number.into(), units)).collect();
        shop.produce(&orders).await;
        shop.produce(&orders[..MEMBERS / 4]).await;
        let began = Instant::now();
        let before = announced;
        while announced == before {
            assert!(began.elapsed() < LIMIT, "nothing is announced");
            announced = shop.end_offsets(&topic).iter().sum();
        }
        assert!(announced - before < i64::try_from(MEMBERS).unwrap(), "it is killed too late");
        shop.kill(ANALYTICS.name);
    }
    start(&mut shop);
    wait_until_caught_up(&shop).await;
    let mut last: BTreeMap<String, u32> = BTreeMap::new();
    for (_, pattern) in announcements(&shop) {
        let orders = last.entry(pattern.member_id.to_string()).or_default();
        *orders = pattern.orders.max(*orders);
    }
    assert_eq!(last.len(), MEMBERS);
    assert!(last.values().all(|orders| *orders == ORDERS), "{last:?}");
    shop.close().await;
}

/// A member's pattern is announced once for a whole history, and not again by a rebuild.
#[tokio::test(flavor = "multi_thread")]
async fn an_imported_history_announces_each_member_once() {
    let directory = tempfile::tempdir().unwrap();
    let mut shop = Shop::open("history").await;
    shop.import(demo_lines(directory.path(), 80_000).to_str().unwrap());
    shop.start_processor(ANALYTICS.name);
    while shop.why_unsettled(&ANALYTICS).await.is_some() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    shop.terminate(ANALYTICS.name);
    let schema = shop.live(&ANALYTICS).await.unwrap().generation.schema;
    let sql = format!("SELECT count(*), count(DISTINCT member_id) FROM {schema}.member_order");
    let (orders, members): (i64, i64) = sqlx::query_as(&sql).fetch_one(&mut shop.database().await).await.unwrap();
    assert!(2 * orders > 3 * members && members > 500, "{orders} orders of {members} members");

    let began = Instant::now();
    start(&mut shop);
    wait_until_caught_up(&shop).await;
    println!("{orders} orders of {members} members were handled within {:.1} s", began.elapsed().as_secs_f64());
    let announced = announcements(&shop);
    let members_announced: BTreeSet<&str> = announced.iter().map(|(_, pattern)| &*pattern.member_id).collect();
    assert_eq!((announced.len(), members_announced.len()), (members.try_into().unwrap(), members.try_into().unwrap()));

    shop.run(&["replay", "rebuild", ANALYTICS.name]);
    assert_ne!(shop.live(&ANALYTICS).await.unwrap().generation.schema, schema);
    wait_until_caught_up(&shop).await;
    assert_eq!(announcements(&shop).len(), announced.len());
    shop.close().await;
}

/// Starts analytics with its reactors.
fn start(shop: &mut Shop) {
    let name = ANALYTICS.name;
    shop.start_member_with(name, name, &["--instance", "a"], &[("JANGBOGO_FOLD_ONLY", "false")]);
}

fn order(member: &str, number: u32, day: i64, units: i64) -> Event {
    let begin: DateTime<Utc> = "2026-03-01T10:00:00Z".parse().unwrap();
    let id = format!("{member}-{number}");
    Event {
        envelope: Envelope::new(id, "shop", begin + TimeDelta::days(day)),
        data: order_completed(member, number, units).into(),
    }
}

fn order_completed(member: &str, number: u32, units: i64) -> OrderCompleted {
    OrderCompleted {
        order_id: OrderId::new(format!("{member}-{number}")).unwrap(),
        member_id: Some(MemberId::new(member).unwrap()),
        currency: Currency::new("GBP").unwrap(),
        items: vec![OrderItem {
            product_id: ProductId::new("20725").unwrap(),
            quantity: Quantity::new(units).unwrap(),
            total_minor: units * 100,
        }],
    }
}

/// Waits until the reactor has handled every order and its outputs are folded.
async fn wait_until_caught_up(shop: &Shop) {
    let topic = shop.connections.namespace.topic(Topic::OrderCompleted);
    let mut config = shop.connections.kafka_client("test");
    config.set("group.id", shop.connections.namespace.group(REACTOR));
    let consumer: BaseConsumer = config.create().unwrap();
    let began = Instant::now();
    loop {
        let ends = shop.end_offsets(&topic);
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_range(&topic, 0, i32::try_from(ends.len()).unwrap() - 1);
        let committed = consumer.committed_offsets(partitions, TIMEOUT).unwrap();
        let is_past = |(partition, end): (i32, i64)| {
            let offset = committed.find_partition(&topic, partition).unwrap().offset();
            end == 0 || matches!(offset, Offset::Offset(offset) if offset >= end)
        };
        let folding = shop.why_unsettled(&ANALYTICS).await;
        if folding.is_none() && (0..).zip(ends).all(is_past) {
            return;
        }
        assert!(began.elapsed() < LIMIT, "not caught up: {committed:?}, {folding:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// All announcements on the topic, by event time.
fn announcements(shop: &Shop) -> Vec<(Envelope, PurchasePatternAnalyzed)> {
    let topic = shop.connections.namespace.topic(Topic::PurchasePatternAnalyzed);
    let consumer: BaseConsumer = shop.connections.kafka_client("test").set("group.id", "test").create().unwrap();
    let ends = shop.end_offsets(&topic);
    let mut assignment = TopicPartitionList::new();
    for partition in 0..i32::try_from(ends.len()).unwrap() {
        assignment.add_partition_offset(&topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&assignment).unwrap();
    let mut announcements = Vec::new();
    for _ in 0..ends.iter().sum() {
        let message = consumer.poll(TIMEOUT).unwrap().unwrap();
        let headers: Vec<(&str, &[u8])> =
            message.headers().unwrap().iter().map(|header| (header.key, header.value.unwrap_or_default())).collect();
        let value = message.payload().unwrap_or_default();
        let event = Event::decode(Record { topic: Topic::PurchasePatternAnalyzed, headers: &headers, value }).unwrap();
        let Data::PurchasePatternAnalyzed(pattern) = event.data else { panic!("{:?}", event.data) };
        announcements.push((event.envelope, pattern));
    }
    announcements.sort_by_key(|(envelope, _)| envelope.time);
    announcements
}
