//! Writers to the outbox: clients of the gateway, and the shop's own transactions. They share keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use jangbogo_test_support::random::Random;
use reqwest::Client;
use serde_json::{Value, json};
use sqlx::PgPool;
use tokio::task::JoinHandle;

const MEMBERS: u64 = 40;
const PRODUCTS: u64 = 50;
/// Numbers of writers of each kind.
const CLIENTS: u64 = 4;
const TRANSACTORS: u64 = 4;
const DEADLOCK: &str = "40P01";

/// Events that were accepted (answered with 202, or committed), and the sums that they must come to in the sales
/// tables.
#[derive(Debug, Default)]
pub struct Accepted {
    pub event_ids: Vec<String>,
    /// Event ids of transactions that were rolled back.
    pub abandoned_ids: Vec<String>,
    pub orders: i64,
    pub sold_units: i64,
    pub sold_minor: i64,
    pub cancelled_units: i64,
    pub views: i64,
    /// Longest time until a 202.
    pub slowest: Duration,
}

impl Accepted {
    fn add(&mut self, other: Accepted) {
        self.event_ids.extend(other.event_ids);
        self.abandoned_ids.extend(other.abandoned_ids);
        self.orders += other.orders;
        self.sold_units += other.sold_units;
        self.sold_minor += other.sold_minor;
        self.cancelled_units += other.cancelled_units;
        self.views += other.views;
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Writers that run until they are stopped.
pub struct Writers {
    stop: Arc<AtomicBool>,
    writing: Vec<JoinHandle<Accepted>>,
}

impl Writers {
    /// Starts writers to the gateway at this URL and to the outbox table.
    pub fn start(gateway: &str, pool: &PgPool) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut writing = Vec::new();
        for number in 0..CLIENTS {
            let client = GatewayClient {
                gateway: gateway.to_owned(),
                http: Client::new(),
                generator: OrderGenerator {
                    random: Random::new(100 + number),
                    name: format!("client-{number}"),
                    orders: 0,
                },
                accepted: Accepted::default(),
            };
            writing.push(tokio::spawn(client.write_until(Arc::clone(&stop))));
        }
        for number in 0..TRANSACTORS {
            let transactor = Transactor {
                pool: pool.clone(),
                generator: OrderGenerator {
                    random: Random::new(200 + number),
                    name: format!("shop-{number}"),
                    orders: 0,
                },
                accepted: Accepted::default(),
            };
            writing.push(tokio::spawn(transactor.write_until(Arc::clone(&stop))));
        }
        Self { stop, writing }
    }

    /// Stops after the requests in flight. Returns what was accepted.
    pub async fn stop(self) -> Accepted {
        self.stop.store(true, Ordering::Relaxed);
        let mut accepted = Accepted::default();
        for writer in self.writing {
            accepted.add(writer.await.unwrap());
        }
        accepted
    }
}

/// Random orders; the name makes their ids unique.
struct OrderGenerator {
    random: Random,
    name: String,
    orders: u64,
}

/// An order: its event's data and sums.
struct Order {
    id: String,
    member_id: String,
    data: Value,
    units: i64,
    minor: i64,
}

impl OrderGenerator {
    fn member(&mut self) -> String {
        format!("member-{}", self.random.below(MEMBERS))
    }

    fn product(&mut self) -> String {
        format!("outbox-{}", self.random.below(PRODUCTS))
    }

    fn order(&mut self) -> Order {
        self.orders += 1;
        let id = format!("{}-{}", self.name, self.orders);
        let (mut units, mut minor, mut items) = (0, 0, Vec::new());
        for _ in 0..=self.random.below(3) {
            let (quantity, total_minor) = (self.random.below(5) + 1, self.random.below(5_000));
            units += quantity.cast_signed();
            minor += total_minor.cast_signed();
            items.push(json!({"product_id": self.product(), "quantity": quantity, "total_minor": total_minor}));
        }
        let member_id = self.member();
        let data = json!({"order_id": id, "member_id": member_id, "currency": "GBP", "items": items});
        Order { id, member_id, data, units, minor }
    }

    async fn pause(&mut self) {
        tokio::time::sleep(Duration::from_millis(5 + self.random.below(30))).await;
    }
}

/// A client of the gateway.
struct GatewayClient {
    gateway: String,
    http: Client,
    generator: OrderGenerator,
    accepted: Accepted,
}

impl GatewayClient {
    async fn write_until(mut self, stop: Arc<AtomicBool>) -> Accepted {
        while !stop.load(Ordering::Relaxed) {
            match self.generator.random.below(10) {
                0..5 => drop(self.order().await),
                5 => self.cancelled_order().await,
                _ => self.views().await,
            }
            self.generator.pause().await;
        }
        self.accepted
    }

    async fn order(&mut self) -> Order {
        let order = self.generator.order();
        self.post("/v1/orders", &order.data).await;
        self.accepted.orders += 1;
        self.accepted.sold_units += order.units;
        self.accepted.sold_minor += order.minor;
        order
    }

    async fn cancelled_order(&mut self) {
        let order = self.order().await;
        let body = json!({"cancellation_id": format!("c-{}", order.id), "items": order.data["items"]});
        self.post(&format!("/v1/orders/{}/cancellations", order.id), &body).await;
        self.accepted.cancelled_units += order.units;
    }

    async fn views(&mut self) {
        let count = self.generator.random.below(20) + 1;
        let views: Vec<Value> = (0..count)
            .map(|_| {
                let (member_id, product_id) = (self.generator.member(), self.generator.product());
                json!({"type": "product-viewed", "data": {"member_id": member_id, "product_id": product_id}})
            })
            .collect();
        self.post("/v1/behaviors", &views.into()).await;
        self.accepted.views += count.cast_signed();
    }

    async fn post(&mut self, path: &str, body: &Value) {
        let sent_at = Instant::now();
        let answer = self.http.post(format!("{}{path}", self.gateway)).json(body).send().await.unwrap();
        self.accepted.slowest = self.accepted.slowest.max(sent_at.elapsed());
        let (status, answer): (_, Value) = (answer.status(), answer.json().await.unwrap());
        assert_eq!(status, 202, "{path} {body}: {answer}");
        let ids = answer["event_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned());
        self.accepted.event_ids.extend(ids);
    }
}

/// Inserts orders in transactions of several rows: some commit late, some roll back.
struct Transactor {
    pool: PgPool,
    generator: OrderGenerator,
    accepted: Accepted,
}

impl Transactor {
    async fn write_until(mut self, stop: Arc<AtomicBool>) -> Accepted {
        while !stop.load(Ordering::Relaxed) {
            let orders: Vec<Order> = (0..=self.generator.random.below(3)).map(|_| self.generator.order()).collect();
            let is_abandoned = self.generator.random.below(10) == 0;
            let late = Duration::from_millis(if self.generator.random.below(10) == 0 { 100 } else { 0 });
            let ids = loop {
                match self.transact(&orders, late, is_abandoned).await {
                    Ok(ids) => break ids,
                    Err(error) => {
                        let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                        assert_eq!(code.as_deref(), Some(DEADLOCK), "{error}");
                    }
                }
            };
            if is_abandoned {
                self.accepted.abandoned_ids.extend(ids);
            } else {
                self.accepted.event_ids.extend(ids);
                self.accepted.orders += orders.len().cast_signed() as i64;
                self.accepted.sold_units += orders.iter().map(|order| order.units).sum::<i64>();
                self.accepted.sold_minor += orders.iter().map(|order| order.minor).sum::<i64>();
            }
            self.generator.pause().await;
        }
        self.accepted
    }

    /// Inserts in an order that makes deadlocks possible: they are a part of the test.
    async fn transact(&self, orders: &[Order], late: Duration, is_abandoned: bool) -> Result<Vec<String>, sqlx::Error> {
        let mut transaction = self.pool.begin().await?;
        let mut ids = Vec::new();
        for order in orders {
            let id: String = sqlx::query_scalar(
                "INSERT INTO outbox (topic, key, type, data, source)
                 VALUES ('order-completed', $1, 'order-completed', $2::json, 'shop') RETURNING event_id",
            )
            .bind(&order.member_id)
            .bind(order.data.to_string())
            .fetch_one(&mut *transaction)
            .await?;
            ids.push(id);
        }
        tokio::time::sleep(late).await;
        if is_abandoned {
            transaction.rollback().await?;
        } else {
            transaction.commit().await?;
        }
        Ok(ids)
    }
}
