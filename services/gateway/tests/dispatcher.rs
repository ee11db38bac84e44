//! The outbox dispatcher as a process, on real servers.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use jangbogo_events::Topic;
use shop::{Dispatcher, Sent, Shop, post, with_shop};
use sqlx::PgPool;

const SOON: Duration = Duration::from_secs(20);

/// Inserts a retirement of a product for each key, all in one statement, as a shop's own transaction would.
async fn insert(pool: &PgPool, keys: &[&str]) {
    sqlx::query(
        "INSERT INTO outbox (topic, key, type, data, source)
         SELECT 'catalog-events', key, 'product-retired', json_build_object('product_id', key), 'shop'
         FROM unnest($1::text[]) WITH ORDINALITY AS row (key, position)
         ORDER BY outbox_bucket('catalog-events', key), position",
    )
    .bind(keys)
    .execute(pool)
    .await
    .unwrap();
}

/// The first occurrence of each event in the log, which is what consumers count.
fn first_occurrences(log: &[Sent]) -> Vec<&Sent> {
    let mut seen = std::collections::BTreeSet::new();
    log.iter().filter(|sent| seen.insert(sent.id())).collect()
}

/// Twelve writers number their events within each key, in the transaction that inserts them; some commit late, some
/// roll back, some retry a deadlock.
async fn write_concurrently(pool: &PgPool, writers: u32, transactions: u32) {
    sqlx::query("CREATE TABLE counter AS SELECT 'k' || i AS key, 0 AS value FROM generate_series(0, 39) AS i")
        .execute(pool)
        .await
        .unwrap();
    let tasks: Vec<_> = (0..writers).map(|writer| tokio::spawn(write(pool.clone(), writer, transactions))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(pool: PgPool, writer: u32, transactions: u32) {
    let mut random = u64::from(writer) * 7_919 + 1;
    let mut draw = |bound: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % bound
    };
    for _ in 0..transactions {
        let keys: Vec<String> = (0..=draw(4)).map(|_| format!("k{}", draw(40))).collect();
        let (pause, abandon) = (draw(8), draw(10) == 0);
        loop {
            match transact(&pool, &keys, pause, abandon).await {
                Ok(()) => break,
                Err(error) => {
                    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                    assert_eq!(code.as_deref(), Some("40P01"), "{error}");
                }
            }
        }
    }
}

async fn transact(pool: &PgPool, keys: &[String], pause: u64, abandon: bool) -> Result<(), sqlx::Error> {
    let mut transaction = pool.begin().await?;
    for key in keys {
        // Not in bucket order: deadlocks are part of this test.
        let counted: i32 = sqlx::query_scalar(
            "INSERT INTO outbox (topic, key, type, data, source, correlation_id)
             VALUES ('catalog-events', $1, 'product-retired', json_build_object('product_id', $1), 'shop', 'pending')
             RETURNING 0",
        )
        .bind(key)
        .fetch_one(&mut *transaction)
        .await?;
        assert_eq!(counted, 0);
        // Under the key's lock, so the number is the order of commits.
        sqlx::query("UPDATE counter SET value = value + 1 WHERE key = $1").bind(key).execute(&mut *transaction).await?;
        sqlx::query(
            "UPDATE outbox SET correlation_id = (SELECT value FROM counter WHERE counter.key = $1)
             WHERE outbox.key = $1 AND correlation_id = 'pending'",
        )
        .bind(key)
        .execute(&mut *transaction)
        .await?;
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    if abandon { transaction.rollback().await } else { transaction.commit().await }
}

/// Asserts that each key has all of its events once, in commit order, at strictly increasing times.
async fn assert_complete_and_in_order(shop: &Shop) -> usize {
    let log = shop.log().await;
    let mut by_key: BTreeMap<&str, Vec<&Sent>> = BTreeMap::new();
    for sent in first_occurrences(&log) {
        by_key.entry(&sent.key).or_default().push(sent);
    }
    let counters: Vec<(String, i32)> =
        sqlx::query_as("SELECT key, value FROM counter").fetch_all(&shop.pool).await.unwrap();
    for (key, value) in counters {
        let sent = by_key.get(key.as_str()).map(Vec::as_slice).unwrap_or_default();
        let numbers: Vec<i32> = sent.iter().map(|sent| sent.headers["ce_correlationid"].parse().unwrap()).collect();
        assert_eq!(numbers, (1..=value).collect::<Vec<i32>>(), "{key}");
        assert!(sent.windows(2).all(|pair| pair[0].time() < pair[1].time()), "{key}");
    }
    log.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_commit_is_relayed_in_its_order_however_late() {
    with_shop(true, async |shop| {
        let dispatcher = shop.dispatcher();
        dispatcher.ready_status(200, SOON).await;

        // A number that was drawn first and commits last is not skipped.
        let mut late = shop.pool.begin().await.unwrap();
        let statement = "INSERT INTO outbox (topic, key, type, data, source, event_id)
            VALUES ('catalog-events', 'late', 'product-retired', '{\"product_id\": \"late\"}', 'shop', 'late')";
        sqlx::query(statement).execute(&mut *late).await.unwrap();
        insert(&shop.pool, &["x1", "x2", "x3"]).await;
        shop.drained(SOON).await;
        late.commit().await.unwrap();
        let latency = shop.drained(SOON).await;
        let log = shop.log().await;
        assert_eq!(log.len(), 4);
        assert_eq!(log.iter().filter(|sent| sent.id() == "late").count(), 1);
        println!("a committed row was sent and deleted {latency:?} later");

        write_concurrently(&shop.pool, 12, 60).await;
        shop.drained(SOON).await;
        let records = assert_complete_and_in_order(&shop).await;
        println!("{records} records, each once");
        let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
        let deadlocks: i64 = sqlx::query_scalar(deadlocks).fetch_one(&shop.pool).await.unwrap();
        println!("{deadlocks} deadlocks were tried again");
        assert_eq!(dispatcher.metric("jangbogo_outbox_refused_total").await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_takes_over_within_five_seconds_of_a_kill() {
    with_shop(true, async |shop| {
        let mut running = vec![shop.dispatcher()];
        running[0].ready_status(200, SOON).await;
        let writing = {
            let pool = shop.pool.clone();
            tokio::spawn(async move { write_concurrently(&pool, 6, 250).await })
        };
        let mut slowest = Duration::ZERO;
        for round in 0..4 {
            running.push(shop.dispatcher());
            running[1].ready_status(200, SOON).await;
            let (_, holder) = shop.holder().await;
            let holder = holder.unwrap();
            assert!(holder.starts_with(&format!("outbox-dispatcher/{}/", running[0].pid())), "{holder}");
            running[0].kill();
            let killed = Instant::now();
            running.remove(0);
            insert(&shop.pool, &[&format!("after-kill-{round}")]).await;
            let sent = "SELECT NOT EXISTS (SELECT FROM outbox WHERE key = $1)";
            let key = format!("after-kill-{round}");
            while !sqlx::query_scalar::<_, bool>(sent).bind(&key).fetch_one(&shop.pool).await.unwrap() {
                assert!(killed.elapsed() < Duration::from_secs(5), "no dispatcher took over in {:?}", killed.elapsed());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            slowest = slowest.max(killed.elapsed());
        }
        println!("slowest takeover after SIGKILL: {slowest:?}");
        writing.await.unwrap();
        shop.drained(SOON).await;
        let records = assert_complete_and_in_order(&shop).await;
        println!("{records} records in the log, first occurrences complete and in order");

        // A graceful shutdown releases the lease, and Redis shows the next holder.
        let mut next = shop.dispatcher();
        next.ready_status(200, SOON).await;
        let (status, took) = running[0].terminate();
        assert!(status.success(), "{status}");
        println!("SIGTERM to exit: {took:?}");
        assert!(took < Duration::from_secs(5), "{took:?}");
        let began = Instant::now();
        loop {
            let (shown, known) = shop.holder().await;
            let is_next = |holder: &String| holder.starts_with(&format!("outbox-dispatcher/{}/", next.pid()));
            if shown == known && known.as_ref().is_some_and(is_next) {
                break;
            }
            assert!(began.elapsed() < SOON, "redis shows {shown:?}, postgres knows {known:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(next.metric("jangbogo_outbox_lease_held").await, 1);
        next.terminate();
        assert_eq!(shop.holder().await, (None, None));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_leader_loses_and_reorders_nothing_when_it_resumes() {
    with_shop(true, async |shop| {
        let first = shop.dispatcher();
        first.ready_status(200, SOON).await;
        let writing = {
            let pool = shop.pool.clone();
            tokio::spawn(async move { write_concurrently(&pool, 6, 150).await })
        };
        tokio::time::sleep(Duration::from_millis(500)).await;
        let second = shop.dispatcher();
        second.ready_status(200, SOON).await;
        first.signal("-STOP");
        // The lease expires by Postgres' clock.
        second.metric_becomes("jangbogo_outbox_lease_held", 1, SOON).await;
        first.signal("-CONT");
        first.metric_becomes("jangbogo_outbox_lease_held", 0, SOON).await;
        let (_, holder) = shop.holder().await;
        assert!(holder.unwrap().starts_with(&format!("outbox-dispatcher/{}/", second.pid())));
        writing.await.unwrap();
        shop.drained(SOON).await;
        assert_complete_and_in_order(&shop).await;
        assert_eq!(first.metric("jangbogo_outbox_lease_held").await, 0);
        assert_eq!(second.metric("jangbogo_outbox_lease_held").await, 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn invalid_rows_are_refused_and_delay_no_other() {
    with_shop(true, async |shop| {
        // A topic with a limit below that of our values.
        let topic = shop.connections.namespace.topic(Topic::CatalogEvents);
        shop.limit_topic(&topic, 60_000).await;
        let large = format!(r#"{{"product_id":"a","title":"x","description":"{}"}}"#, random_text(32_000));
        let huge = format!(r#"{{"product_id":"a","title":"x","attributes":{{{}}}}}"#, random_attributes(250));
        let good = r#"{"product_id":"a","title":"good"}"#;
        let rows: [(&str, &str, &str, &str, &str, &str); 11] = [
            ("catalog-events", "a", "product-upserted", good, "1", ""),
            ("catalog-events", "a", "product-upserted", r#"{"product_id":"a"}"#, "2", "missing field `title`"),
            ("catalog-events", "a", "product-upserted", &huge, "3", "Message size too large"),
            ("catalog-events", "b", "product-upserted", good, "4", "the key is \"b\", but this event's is \"a\""),
            ("catalog-events", "a", "product-sold", good, "5", "the event type \"product-sold\" is unknown"),
            ("orders", "a", "product-upserted", good, "6", "the topic \"orders\" is unknown"),
            ("catalog-events", "a", "product-upserted", &large, "7", ""),
            ("catalog-events", "a", "product-upserted", "[1, 2]", "8", "JSON object"),
            ("catalog-events", "a", "product-upserted", good, "", "ce_id is invalid"),
            ("order-completed", "a", "product-upserted", good, "10", "belongs on catalog-events"),
            ("catalog-events", "a", "product-upserted", good, "11", ""),
        ];
        for (topic, key, event_type, data, id, _) in rows {
            sqlx::query(
                "INSERT INTO outbox (topic, key, type, data, event_id, source) VALUES ($1, $2, $3, $4::json, $5, 'shop')",
            )
            .bind(topic).bind(key).bind(event_type).bind(data).bind(id)
            .execute(&shop.pool)
            .await
            .unwrap();
        }
        for time in ["'infinity'", "'-infinity'", "clock_timestamp() + interval '2 hours'", "'0044-03-15 BC'"] {
            let statement = format!(
                "INSERT INTO outbox (topic, key, type, data, event_time, source)
                 VALUES ('catalog-events', 'a', 'product-retired', '{{\"product_id\": \"a\"}}', {time}, 'shop')"
            );
            sqlx::query(&statement).execute(&shop.pool).await.unwrap();
        }
        insert(&shop.pool, &["a", "last"]).await;
        let dispatcher = shop.dispatcher();
        shop.drained(SOON).await;

        let reasons: BTreeMap<String, String> =
            sqlx::query_as::<_, (String, String)>("SELECT event_id, reason FROM outbox_refused")
                .fetch_all(&shop.pool).await.unwrap().into_iter().collect();
        for (_, _, _, _, id, reason) in rows {
            match reason {
                "" => assert!(!reasons.contains_key(id), "{id}: {reasons:?}"),
                reason => assert!(reasons[id].contains(reason), "{id}: {reasons:?}"),
            }
        }
        assert_eq!(reasons.len(), 12, "{reasons:?}");
        assert_eq!(dispatcher.metric("jangbogo_outbox_refused_total").await, 12);
        let log = shop.log().await;
        let of_a: Vec<&Sent> = first_occurrences(&log).into_iter().filter(|sent| sent.key == "a").collect();
        let ids: Vec<&str> = of_a.iter().take(3).map(|sent| sent.id()).collect();
        assert_eq!((ids.as_slice(), of_a.len()), (["1", "7", "11"].as_slice(), 4));
        assert!(log.iter().any(|sent| sent.key == "last"));
        assert_eq!(dispatcher.get("/readyz").await.0, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_kafka_is_unavailable_commands_are_accepted_and_wait() {
    with_shop(true, async |shop| {
        let mut nowhere = shop.connections.clone();
        nowhere.kafka = "127.0.0.1:1".to_owned();
        // Nor does it need Redis.
        nowhere.redis = "redis://127.0.0.1:1".to_owned();
        let mut cut_off = Dispatcher::start(&nowhere);
        let url = shop.gateway().await;
        let products: Vec<String> = (0..2_000).map(|number| format!(r#"{{"product_id":"p{number}"}}"#)).collect();
        let body = format!("[{}]", products.join(","));
        assert_eq!(post(format!("{url}/v1/products/retirements"), body).await.status(), 202);
        cut_off.ready_status(503, SOON).await;
        cut_off.metric_becomes("jangbogo_outbox_backlog_rows", 2_000, SOON).await;
        let began = Instant::now();
        loop {
            let (status, body) = cut_off.get("/readyz").await;
            if status == 503 && body.contains("kafka unavailable: no acknowledgement") {
                break;
            }
            assert!(began.elapsed() < SOON, "{body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(shop.count("outbox").await, 2_000);
        assert!(cut_off.metric("jangbogo_outbox_lease_held").await > 0);
        let (status, took) = cut_off.terminate();
        assert!(status.success() && took < Duration::from_secs(10), "{status} {took:?}");
        println!("SIGTERM to exit with a batch that Kafka does not take: {took:?}");

        let mut back = shop.connections.clone();
        back.redis = "redis://127.0.0.1:1".to_owned();
        let _dispatcher = Dispatcher::start(&back);
        let took = shop.drained(SOON).await;
        println!("2,000 rows sent {took:?} after the next dispatcher's start");
        let log = shop.log().await;
        assert_eq!(first_occurrences(&log).len(), 2_000);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_rows_are_relayed() {
    with_shop(true, async |shop| {
        let keys: Vec<String> = (0..20_000).map(|number| format!("p{}", number % 3_000)).collect();
        for chunk in keys.chunks(5_000) {
            insert(&shop.pool, &chunk.iter().map(String::as_str).collect::<Vec<_>>()).await;
        }
        let dispatcher = shop.dispatcher();
        dispatcher.ready_status(200, SOON).await;
        let began = Instant::now();
        shop.drained(Duration::from_mins(1)).await;
        println!("20,000 rows in {:?}", began.elapsed());
        assert_eq!(shop.log().await.len(), 20_000);
        assert!(dispatcher.get("/metrics").await.1.contains(r#"outbox_sent_total{topic="catalog-events"} 20000"#));
    })
    .await;
}

/// Text that does not compress well.
fn random_text(length: usize) -> String {
    let mut random = 88_172_645_463_325_252_u64;
    let mut text = String::with_capacity(length);
    while text.len() < length {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let _ = write!(text, "{random:016x}");
    }
    text
}

fn random_attributes(count: usize) -> String {
    let text = random_text(count * 512);
    let attributes: Vec<String> =
        (0..count).map(|number| format!(r#""a{number}":"{}""#, &text[number * 512..(number + 1) * 512])).collect();
    attributes.join(",")
}
