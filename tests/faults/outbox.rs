//! Fault class I: accepted events reach the log in the order of commits and have their effects once, although
//! dispatchers are killed and Kafka is unavailable.

mod writers;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_stack::Server;
use jangbogo_test_support::Shop;
use jangbogo_test_support::log::read;
use jangbogo_test_support::random::Random;
use sqlx::{PgPool, Row as _};

use self::writers::{Accepted, Writers};
use crate::outages::servers::{Outage, Servers};
use crate::scale::scale;

/// Both compete for the lease.
const DISPATCHERS: [&str; 2] = ["dispatcher-a", "dispatcher-b"];
/// The most rows that a dispatcher sends before it deletes them.
const BATCH: usize = 500;
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(20);
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread")]
async fn killed_dispatchers_lose_nothing_and_keep_the_order() {
    let started = Instant::now();
    let mut ingress = Ingress::open(Shop::open("outbox").await).await;
    let writers = Writers::start(&ingress.gateway, &ingress.pool);
    for _ in 0..scale(4, 20) {
        ingress.kill_dispatcher().await;
    }
    let accepted = writers.stop().await;
    let judgement = ingress.judge(&accepted, ingress.kills).await;
    println!("I dispatchers killed: {} SIGKILLs; {judgement}; {:.0} s", ingress.kills, started.elapsed().as_secs_f64());
    ingress.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_are_accepted_while_kafka_is_unavailable() {
    let started = Instant::now();
    let servers = Servers::kafka_alone().await;
    let mut ingress = Ingress::open(Shop::open_on(servers.addresses(), "kafka_away").await).await;
    let writers = Writers::start(&ingress.gateway, &ingress.pool);
    ingress.wait_for_commits(200).await;
    let outage = servers.strike(Server::Kafka, Outage::Kill, Duration::from_secs(scale(5, 60)));
    let kill = async {
        // The dispatcher that takes over the lease finds no Kafka.
        for _ in 0..scale(1, 3) {
            // Kafka is killed beside this, and a holder spends some time without it: the time itself is tested.
            tokio::time::sleep(Duration::from_secs(1)).await;
            ingress.kill_dispatcher().await;
        }
    };
    let (unavailable, ()) = tokio::join!(outage, kill);
    let waiting = ingress.count("outbox").await;
    let sent = ingress.wait_until_sent().await;
    ingress.wait_for_commits(100).await;
    let accepted = writers.stop().await;
    // Records that Kafka had stored and not acknowledged before it was killed may be sent again, too.
    let judgement = ingress.judge(&accepted, ingress.kills + 1).await;
    println!(
        "I Kafka unavailable: {:.1} s; {waiting} events waited and were sent {:.1} s after its return; {} SIGKILLs \
         meanwhile; {judgement}; {:.0} s",
        unavailable.as_secs_f64(),
        sent.as_secs_f64(),
        ingress.kills,
        started.elapsed().as_secs_f64(),
    );
    ingress.close().await;
}

/// A shop with a gateway, two dispatchers, and a record of what was committed to the outbox.
struct Ingress {
    shop: Shop,
    pool: PgPool,
    gateway: String,
    random: Random,
    kills: usize,
}

impl Ingress {
    async fn open(mut shop: Shop) -> Self {
        let pool = jangbogo_platform::database::pool(&shop.connections, "test", 8).unwrap();
        record_commits(&pool).await;
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        shop.start("gateway", &["--listen", &format!("127.0.0.1:{port}")]);
        for dispatcher in DISPATCHERS {
            start(&mut shop, dispatcher);
        }
        shop.start_processor(ANALYTICS.name);
        let gateway = format!("http://127.0.0.1:{port}");
        let began = Instant::now();
        while !reqwest::get(format!("{gateway}/readyz")).await.is_ok_and(|answer| answer.status() == 200) {
            assert!(began.elapsed() < TAKEN_OVER_WITHIN, "the gateway is not ready");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Self { shop, pool, gateway, random: Random::new(5), kills: 0 }
    }

    /// Kills the dispatcher that holds the lease after a random time, and restarts it.
    async fn kill_dispatcher(&mut self) {
        let began = Instant::now();
        let holder = loop {
            if let Some(holder) = self.holder().await {
                break holder;
            }
            assert!(began.elapsed() < TAKEN_OVER_WITHIN, "no dispatcher takes over");
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        // The backlog is sent in a few batches of some milliseconds: most kills have to come soon.
        let limit = if self.random.below(3) == 0 { 1_000 } else { 100 };
        tokio::time::sleep(Duration::from_millis(self.random.below(limit))).await;
        self.shop.kill(holder);
        self.kills += 1;
        start(&mut self.shop, holder);
    }

    /// The dispatcher that holds the lease.
    async fn holder(&self) -> Option<&'static str> {
        let holder: Option<String> =
            sqlx::query_scalar("SELECT holder FROM lease WHERE expires_at > clock_timestamp()")
                .fetch_optional(&self.pool)
                .await
                .unwrap();
        let process: u32 = holder?.split('/').nth(1)?.parse().ok()?;
        DISPATCHERS.into_iter().find(|dispatcher| self.shop.process_id(dispatcher) == process)
    }

    async fn count(&self, table: &str) -> i64 {
        sqlx::query_scalar(&format!("SELECT count(*) FROM {table}")).fetch_one(&self.pool).await.unwrap()
    }

    /// Waits until the writers have committed this number of further events.
    async fn wait_for_commits(&self, further: i64) {
        let (began, before) = (Instant::now(), self.count("committed").await);
        while self.count("committed").await < before + further {
            assert!(began.elapsed() < DRAINED_WITHIN, "the writers commit nothing");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all rows that are in the outbox now are sent. Returns the duration.
    async fn wait_until_sent(&self) -> Duration {
        let began = Instant::now();
        let sql =
            "SELECT EXISTS (SELECT FROM outbox WHERE inserted_at < clock_timestamp() - make_interval(secs => $1))";
        loop {
            let waited = began.elapsed();
            let waits: bool = sqlx::query_scalar(sql).bind(waited.as_secs_f64()).fetch_one(&self.pool).await.unwrap();
            if !waits {
                return waited;
            }
            assert!(waited < DRAINED_WITHIN, "rows that waited for Kafka are still in the outbox");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until all events are sent and folded, and compares what was accepted with the log and the sales tables.
    async fn judge(&self, accepted: &Accepted, crashes: usize) -> String {
        let began = Instant::now();
        while self.count("outbox").await > 0 {
            assert!(began.elapsed() < DRAINED_WITHIN, "{} rows are still in the outbox", self.count("outbox").await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        while let Some(reason) = self.shop.why_unsettled(&ANALYTICS).await {
            assert!(began.elapsed() < DRAINED_WITHIN, "{reason}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(self.count("outbox_refused").await, 0);
        let (records, keys) = self.assert_log_has_all_commits(accepted).await;
        let duplicates = records - accepted.event_ids.len();
        assert!(duplicates <= crashes * BATCH, "{duplicates} duplicates after {crashes} crashes");
        self.assert_effects(accepted).await;
        format!(
            "{} events accepted (the slowest 202 after {} ms), all in the log, those of each of {keys} keys in the \
             order of their commits; {} rolled back, none in the log; {duplicates} duplicates; {} orders of {} units, \
             {} views, {} cancelled units counted once",
            accepted.event_ids.len(),
            accepted.slowest.as_millis(),
            accepted.abandoned_ids.len(),
            accepted.orders,
            accepted.sold_units,
            accepted.views,
            accepted.cancelled_units,
        )
    }

    /// Returns the number of records and of keys.
    async fn assert_log_has_all_commits(&self, accepted: &Accepted) -> (usize, usize) {
        let committed: HashMap<String, (String, i64, i64)> =
            sqlx::query("SELECT event_id, topic || '/' || key, number, sequence FROM committed")
                .fetch_all(&self.pool)
                .await
                .unwrap()
                .iter()
                .map(|row| (row.get(0), (row.get(1), row.get(2), row.get(3))))
                .collect();
        let ids: HashSet<&String> = accepted.event_ids.iter().collect();
        assert_eq!(ids.len(), accepted.event_ids.len(), "two events have one id");
        assert_eq!(ids, committed.keys().collect(), "what was accepted is what was committed");
        assert!(accepted.abandoned_ids.iter().all(|id| !committed.contains_key(id)));

        let (kafka, namespace) = (&self.shop.connections.kafka, self.shop.connections.namespace.to_string());
        let mut log: Vec<(String, DateTime<Utc>)> = Vec::new();
        tokio::task::block_in_place(|| read(kafka, &namespace, |record| log.push((record.id.clone(), record.time))));
        let mut seen = HashSet::new();
        let mut by_key: BTreeMap<&str, Vec<_>> = BTreeMap::new();
        for (id, time) in &log {
            let (key, number, sequence) =
                committed.get(id).unwrap_or_else(|| panic!("{id} is in the log and was never committed"));
            if seen.insert(id) {
                by_key.entry(key).or_default().push((*number, *sequence, *time));
            }
        }
        let lost: Vec<&&String> = ids.iter().filter(|id| !seen.contains(**id)).collect();
        assert!(lost.is_empty(), "{} accepted events are not in the log, such as {}", lost.len(), lost[0]);
        for (key, events) in &by_key {
            assert!(events.iter().map(|event| event.0).eq(1..=events.len().cast_signed() as i64), "{key}: {events:?}");
            assert!(events.is_sorted_by(|a, b| a.1 < b.1 && a.2 < b.2), "{key}: {events:?}");
        }
        (log.len(), by_key.len())
    }

    async fn assert_effects(&self, accepted: &Accepted) {
        let schema = self.shop.live(&ANALYTICS).await.unwrap().generation.schema;
        let sql = format!(
            "SELECT (SELECT count(*) FROM {schema}.member_order), sum(sold_units)::bigint, sum(sold_minor)::bigint,
                    sum(cancelled_units)::bigint, (SELECT sum(views)::bigint FROM {schema}.product_views)
             FROM {schema}.product_sales"
        );
        let row = sqlx::query(&sql).fetch_one(&self.pool).await.unwrap();
        let totals: Vec<i64> = (0..5).map(|column| row.get::<Option<i64>, _>(column).unwrap_or(0)).collect();
        let Accepted { orders, sold_units, sold_minor, cancelled_units, views, .. } = accepted;
        assert_eq!(totals, [*orders, *sold_units, *sold_minor, *cancelled_units, *views]);
    }

    async fn close(self) {
        self.pool.close().await;
        self.shop.close().await;
    }
}

fn start(shop: &mut Shop, dispatcher: &str) {
    shop.start_member(dispatcher, "outbox-dispatcher", &["--admin-port", "0"]);
}

/// Records the inserts into the outbox, numbered within each key under a row lock that is held until the commit: the
/// numbers are the order of commits.
async fn record_commits(pool: &PgPool) {
    let sql = "
        CREATE TABLE commits_of_key (topic text, key text, number bigint NOT NULL, PRIMARY KEY (topic, key));
        CREATE TABLE committed (event_id text PRIMARY KEY, topic text, key text, number bigint, sequence bigint);
        CREATE FUNCTION record_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            counted bigint;
        BEGIN
            INSERT INTO commits_of_key AS known VALUES (NEW.topic, NEW.key, 1)
            ON CONFLICT (topic, key) DO UPDATE SET number = known.number + 1 RETURNING number INTO counted;
            INSERT INTO committed VALUES (NEW.event_id, NEW.topic, NEW.key, counted, NEW.sequence);
            RETURN NULL;
        END
        $$;
        CREATE TRIGGER record_commit AFTER INSERT ON outbox FOR EACH ROW EXECUTE FUNCTION record_commit();";
    sqlx::raw_sql(sql).execute(pool).await.unwrap();
}
