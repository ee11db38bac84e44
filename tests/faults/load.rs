//! Load: behaviour events and small orders, some of them sent twice, at a constant rate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::{
    CartItemAdded, CategoryId, Currency, Data, Encoded, Envelope, Event, IntentAnalyzed, MemberId, MessageCreated,
    Money, OrderCancelled, OrderCompleted, OrderId, OrderItem, Payload as _, PreferenceRetracted, ProductEmbedded,
    ProductId, ProductRetired, ProductSearched, ProductUpserted, ProductViewed, Quantity, RecommendationClicked,
    RecommendationGenerated, RecommendationShown, Text, WishlistItemAdded,
};
use jangbogo_platform::config::Connections;
use jangbogo_test_support::headers_of;
use jangbogo_test_support::random::Random;
use rdkafka::producer::future_producer::DeliveryFuture;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tokio::task::JoinHandle;
use uuid::Uuid;

const MEMBERS: u64 = 20_000;
const PRODUCTS: u64 = 2_000;
/// One of this number of events is sent again.
const REPEATED: u64 = 50;
/// Number of last events among which a repetition is chosen.
const REMEMBERED: usize = 2_000;
const SLICE: Duration = Duration::from_millis(20);
const MAX_IN_FLIGHT: usize = 10_000;

/// Events of shoppers, reproducible by seed.
pub struct Shoppers {
    random: Random,
    seed: u64,
    number: u64,
    recent: VecDeque<Event>,
}

impl Shoppers {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), seed, number: 0, recent: VecDeque::new() }
    }

    /// The next event: a new one, or sometimes a repetition of a recent one.
    pub fn next(&mut self) -> Event {
        let recent = self.recent.len() as u64;
        if recent > 0 && self.random.below(REPEATED) == 0 {
            let chosen = self.random.below(recent) as usize;
            return self.recent[chosen].clone();
        }
        let id = format!("{}-{}", self.seed, self.number);
        self.number += 1;
        let event = Event { envelope: Envelope::new(id, "load", self.time()), data: self.data() };
        if self.recent.len() == REMEMBERED {
            self.recent.pop_front();
        }
        self.recent.push_back(event.clone());
        event
    }

    pub fn events(&mut self, count: usize) -> Vec<Event> {
        (0..count).map(|_| self.next()).collect()
    }

    /// A random time within three days: the newest description of a product is rarely the last one sent.
    fn time(&mut self) -> DateTime<Utc> {
        let begin: DateTime<Utc> = "2011-06-01T00:00:00Z".parse().unwrap();
        begin + TimeDelta::microseconds(self.random.below(3 * 86_400 * 1_000_000).cast_signed())
    }

    fn data(&mut self) -> Data {
        let product_id = self.product();
        match self.random.below(1_000) {
            0..600 => ProductViewed { member_id: self.member_or_none(), product_id }.into(),
            600..700 => {
                let quantity = self.quantity();
                CartItemAdded { member_id: self.member(), product_id, quantity }.into()
            }
            700..770 => WishlistItemAdded { member_id: self.member(), product_id }.into(),
            770..800 => {
                let recommendation_id = self.recommendation();
                RecommendationClicked { member_id: self.member(), product_id, recommendation_id }.into()
            }
            800..830 => {
                let (recommendation_id, product_ids) = (self.recommendation(), vec![product_id, self.product()]);
                RecommendationShown { member_id: self.member(), recommendation_id, product_ids }.into()
            }
            830..850 => {
                let query = Text::new("빨간 도시락 가방").unwrap();
                ProductSearched { member_id: self.member(), query, result_count: None }.into()
            }
            850..950 => OrderCompleted {
                order_id: OrderId::new(format!("o-{}-{}", self.seed, self.number)).unwrap(),
                member_id: self.member_or_none(),
                currency: self.currency(),
                items: self.items(),
            }
            .into(),
            950..970 => OrderCancelled {
                cancellation_id: OrderId::new(format!("c-{}-{}", self.seed, self.number)).unwrap(),
                order_id: None,
                member_id: self.member_or_none(),
                currency: self.currency(),
                items: self.items(),
            }
            .into(),
            970..985 => self.description(product_id).into(),
            985..995 => self.conversation_event(product_id),
            _ => ProductRetired { product_id }.into(),
        }
    }

    /// An event of a conversation or a product's vector.
    fn conversation_event(&mut self, product_id: ProductId) -> Data {
        let (conversation_id, message_id) = (self.uuid(1_000), self.uuid(5_000));
        match self.random.below(5) {
            0 => MessageCreated { conversation_id, message_id, ..MessageCreated::example() }.into(),
            1 => {
                let member_id = self.member();
                IntentAnalyzed { conversation_id, message_id, member_id, ..IntentAnalyzed::example() }.into()
            }
            2 => {
                let member_id = self.member();
                RecommendationGenerated { conversation_id, message_id, member_id, ..RecommendationGenerated::example() }
                    .into()
            }
            3 => PreferenceRetracted { member_id: self.member(), ..PreferenceRetracted::example() }.into(),
            _ => ProductEmbedded { product_id, ..ProductEmbedded::example() }.into(),
        }
    }

    /// One of `count` ids.
    fn uuid(&mut self, count: u64) -> Uuid {
        Uuid::from_u128(u128::from(self.random.below(count)) + (0x7000 << 64))
    }

    fn description(&mut self, product_id: ProductId) -> ProductUpserted {
        let category = format!("category-{}", self.random.below(40));
        let price = Money { amount_minor: self.random.below(100_000).cast_signed(), currency: self.currency() };
        ProductUpserted {
            product_id,
            title: Text::new(format!("Title \\ \"{}\"\tof\n{category}", self.number)).unwrap(),
            description: None,
            category: (self.random.below(10) > 0).then(|| CategoryId::new(category).unwrap()),
            brand: None,
            price: (self.random.below(10) > 0).then_some(price),
            stock: (self.random.below(2) > 0).then_some(7),
            attributes: [(Text::new("색상").unwrap(), Text::new("빨강 \\ \"red\"").unwrap())].into(),
        }
    }

    fn items(&mut self) -> Vec<OrderItem> {
        (0..=self.random.below(4))
            .map(|_| OrderItem {
                product_id: self.product(),
                quantity: self.quantity(),
                total_minor: self.random.below(50_000).cast_signed(),
            })
            .collect()
    }

    fn product(&mut self) -> ProductId {
        ProductId::new(format!("load-{}", self.random.below(PRODUCTS))).unwrap()
    }

    fn member(&mut self) -> MemberId {
        MemberId::new(format!("member-{}", self.random.below(MEMBERS))).unwrap()
    }

    fn member_or_none(&mut self) -> Option<MemberId> {
        (self.random.below(10) > 0).then(|| self.member())
    }

    fn recommendation(&mut self) -> Option<Uuid> {
        (self.random.below(2) > 0).then(|| Uuid::from_u128(self.random.below(5).into()))
    }

    fn quantity(&mut self) -> Quantity {
        Quantity::new(self.random.below(9).cast_signed() + 1).unwrap()
    }

    fn currency(&mut self) -> Currency {
        Currency::new(["GBP", "KRW"][self.random.below(2) as usize]).unwrap()
    }
}

/// A producer at a constant rate that runs until it is stopped.
pub struct Load {
    stop: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
    sending: JoinHandle<()>,
}

impl Load {
    /// Starts to send this number of events per second.
    pub fn start(connections: &Connections, seed: u64, per_second: u64) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let sender = Sender {
            producer: connections.kafka_producer("load").set("message.timeout.ms", "120000").create().unwrap(),
            connections: connections.clone(),
            in_flight: VecDeque::new(),
        };
        let sending = tokio::spawn(sender.send_until_stopped(seed, per_second, Arc::clone(&stop), Arc::clone(&sent)));
        Self { stop, sent, sending }
    }

    /// Number of records sent so far, repetitions included.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Stops, and waits until Kafka has acknowledged all records. Returns their number.
    pub async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.sending.await.unwrap();
        self.sent.load(Ordering::Relaxed)
    }
}

struct Sender {
    producer: FutureProducer,
    connections: Connections,
    in_flight: VecDeque<DeliveryFuture>,
}

impl Sender {
    async fn send_until_stopped(mut self, seed: u64, per_second: u64, stop: Arc<AtomicBool>, sent: Arc<AtomicU64>) {
        let mut shoppers = Shoppers::new(seed);
        let started = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            // Delays are made up for, but not in one burst.
            let due = started.elapsed().as_millis() as u64 * per_second / 1_000;
            let missing = due.saturating_sub(sent.load(Ordering::Relaxed)).min(per_second / 10);
            for _ in 0..missing {
                self.send(&shoppers.next().encode().unwrap()).await;
            }
            sent.fetch_add(missing, Ordering::Relaxed);
            tokio::time::sleep(SLICE).await;
        }
        for delivery in self.in_flight {
            delivery.await.unwrap().unwrap();
        }
    }

    async fn send(&mut self, encoded: &Encoded) {
        if self.in_flight.len() >= MAX_IN_FLIGHT
            && let Some(oldest) = self.in_flight.pop_front()
        {
            oldest.await.unwrap().unwrap();
        }
        let headers: Vec<(&str, &[u8])> =
            encoded.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let topic = self.connections.namespace.topic(encoded.topic);
        let record = FutureRecord::to(&topic).key(&encoded.key).payload(&encoded.value).headers(headers_of(&headers));
        self.in_flight.push_back(self.producer.send_result(record).map_err(|(error, _)| error).unwrap());
    }
}
