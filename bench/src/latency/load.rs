//! Orders and views at a steady rate, produced directly to Kafka.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use chrono::Utc;
use jangbogo_events::{
    Currency, Data, Envelope, Event, MemberId, OrderCompleted, OrderId, OrderItem, ProductId, ProductViewed, Quantity,
    Topic,
};
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::{QuietContext, headers};
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::limits::{consume, decoded};

/// Interval of batches: many small ones, as of many shoppers.
const TICK: Duration = Duration::from_millis(5);
/// One event in this number is an order; the others are views.
const EVENTS_TO_AN_ORDER: u64 = 5;
const MEMBERS: u64 = 2_000;
/// Timeout of the last acknowledgements.
const FLUSH_LIMIT: Duration = Duration::from_secs(30);

/// Events produced besides the probes.
#[derive(Clone, Copy, Debug)]
pub struct Produced {
    pub events: u64,
    /// Time from the first to the last event.
    pub took: Duration,
}

/// A stream of events, until it is stopped.
pub struct Load {
    sender: Sender,
    products: Arc<[ProductId]>,
    stop: CancellationToken,
    task: JoinHandle<anyhow::Result<Produced>>,
}

impl Load {
    pub fn start(connections: &Connections, rate: u32) -> anyhow::Result<Self> {
        let products: Arc<[ProductId]> = products_of(connections)?.into();
        let sender = Sender::new(connections)?;
        let stop = CancellationToken::new();
        let task = tokio::spawn(produce(sender.clone(), Arc::clone(&products), rate, stop.clone()));
        Ok(Self { sender, products, stop, task })
    }

    /// Sender for the probes' events.
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    pub fn products(&self) -> Arc<[ProductId]> {
        Arc::clone(&self.products)
    }

    /// Stops, and waits until all events are acknowledged.
    pub async fn stop(self) -> anyhow::Result<Produced> {
        self.stop.cancel();
        self.task.await.context("the load stopped")?
    }
}

async fn produce(
    sender: Sender,
    products: Arc<[ProductId]>,
    rate: u32,
    stop: CancellationToken,
) -> anyhow::Result<Produced> {
    let started = Instant::now();
    let refused = Arc::new(AtomicU64::new(0));
    let mut events = 0_u64;
    let mut tick = tokio::time::interval(TICK);
    while !stop.is_cancelled() {
        tick.tick().await;
        // The number due by now: late ticks are made up for.
        let due = u64::try_from(started.elapsed().as_micros() * u128::from(rate) / 1_000_000)?;
        for number in events..due {
            let event = numbered_event(number, &products)?;
            let (delivery, refused) = (sender.send(&event)?, Arc::clone(&refused));
            tokio::spawn(async move {
                if !matches!(delivery.await, Ok(Ok(_))) {
                    refused.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        events = due;
    }
    let took = started.elapsed();
    sender.flush().await?;
    let refused = refused.load(Ordering::Relaxed);
    ensure!(refused == 0, "kafka rejected {refused} events");
    Ok(Produced { events, took })
}

fn numbered_event(number: u64, products: &[ProductId]) -> anyhow::Result<Event> {
    // Odd steps, so that members and products combine in many ways.
    let member_id = MemberId::new(format!("live-{}", number.wrapping_mul(7) % MEMBERS))?;
    let product = |step: u64| {
        let index = usize::try_from(number.wrapping_mul(31).wrapping_add(step * 97)).unwrap_or_default();
        products[index % products.len()].clone()
    };
    if number.is_multiple_of(EVENTS_TO_AN_ORDER) {
        order(Some(member_id), [product(0), product(1), product(2)])
    } else {
        Ok(view(member_id, product(0)))
    }
}

/// An order of one unit of each product, now.
pub fn order(member_id: Option<MemberId>, products: impl IntoIterator<Item = ProductId>) -> anyhow::Result<Event> {
    let item = |product_id| anyhow::Ok(OrderItem { product_id, quantity: Quantity::new(1)?, total_minor: 250 });
    let data = OrderCompleted {
        order_id: OrderId::new(Uuid::now_v7().to_string())?,
        member_id,
        currency: Currency::new("GBP")?,
        items: products.into_iter().map(item).collect::<Result<_, _>>()?,
    };
    Ok(Event::new(envelope(), data))
}

/// A view of a product, now.
pub fn view(member_id: MemberId, product_id: ProductId) -> Event {
    Event::new(envelope(), ProductViewed { member_id: Some(member_id), product_id })
}

fn envelope() -> Envelope {
    Envelope::new(Uuid::now_v7().to_string(), "bench", Utc::now())
}

/// Products on sale, from the log.
fn products_of(connections: &Connections) -> anyhow::Result<Vec<ProductId>> {
    let mut products = Vec::new();
    consume(connections, &[Topic::CatalogEvents], |message| {
        if let Data::ProductUpserted(product) = decoded(connections, message)?.data {
            products.push(product.product_id);
        }
        Ok(())
    })?;
    ensure!(!products.is_empty(), "the shop has no products");
    products.sort_unstable();
    Ok(products)
}

/// Produces events as an external shop system does.
#[derive(Clone)]
pub struct Sender {
    producer: FutureProducer<QuietContext>,
    connections: Connections,
}

impl Sender {
    fn new(connections: &Connections) -> anyhow::Result<Self> {
        let producer = connections.kafka_producer("bench").create_with_context(QuietContext)?;
        Ok(Self { producer, connections: connections.clone() })
    }

    pub fn send(&self, event: &Event) -> anyhow::Result<DeliveryFuture> {
        let encoded = event.encode()?;
        let topic = self.connections.namespace.topic(encoded.topic);
        let record = FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(headers(&encoded));
        self.producer.send_result(record).map_err(|(error, _)| error).context("the producer's queue is full")
    }

    async fn flush(&self) -> anyhow::Result<()> {
        let producer = self.producer.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_LIMIT)).await?;
        flushed.context("kafka did not acknowledge the events")
    }
}
