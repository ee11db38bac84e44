//! A query service under load. The content of each answer shows which generation it comes from.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use jangbogo_test_support::Shop;
use serde_json::Value;
use tokio::task::JoinHandle;

use crate::scale::scale;

/// Prefix of every title of the marked generation, and of no other.
pub const MARK: &str = "Former ";
/// Minimum of every count and amount of the marked generation, and of no other.
pub const MARKED_COUNT: i64 = 1_000_000_000;
/// A product without orders: only the marked generation recommends it, always first.
pub const DECOY: &str = "decoy";
/// Maximum number of concurrent requests: in the short form, what a debug build answers in time beside another test.
fn max_clients() -> u64 {
    scale(6, 48)
}

/// Number of faults in a failure's message.
const SAMPLES: usize = 5;

/// The generation that an answer comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The generation whose rows were marked.
    Marked,
    /// A generation that was rebuilt from the log.
    Fresh,
}

impl Origin {
    fn from_marked(is_marked: bool) -> Self {
        if is_marked { Self::Marked } else { Self::Fresh }
    }
}

/// A route, the processor whose rows it reads, and how to tell the origin of its answers.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    pub name: &'static str,
    /// Number of queries among [`ROUND`].
    share: u64,
    processor: &'static str,
    path: fn(u64) -> String,
    /// Origins of the parts of an answer.
    traces: fn(&Value) -> Vec<Origin>,
}

/// Numbers of products, members and categories.
pub const PRODUCTS: u64 = 200;
pub const MEMBERS: u64 = 100;
pub const CATEGORIES: u64 = 8;

/// Sum of all routes' shares. Product pages are queried most; reports and searches are rare.
const ROUND: u64 = 32;

pub const ROUTES: [Route; 8] = [
    Route {
        name: "product",
        share: 8,
        processor: "recommendation",
        path: |number| format!("products/lamp-{}", number % PRODUCTS),
        traces: |answer| vec![title_origin(answer)],
    },
    Route {
        name: "similar",
        share: 8,
        processor: "recommendation",
        path: |number| format!("products/lamp-{}/similar?limit=10", number % PRODUCTS),
        traces: |answer| {
            let origins = |item: &Value| [title_origin(&item["product"]), count_origin(&item["orders"])];
            let mut traces: Vec<Origin> = items(answer).flat_map(origins).collect();
            traces.push(decoy_origin(answer));
            traces
        },
    },
    Route {
        name: "trending",
        share: 3,
        processor: "recommendation",
        path: |_| "trending?limit=10".to_owned(),
        traces: |answer| {
            items(answer).flat_map(|item| [title_origin(&item["product"]), count_origin(&item["score"])]).collect()
        },
    },
    Route {
        name: "popular",
        share: 4,
        processor: "recommendation",
        path: |number| format!("categories/lights-{}/popular?limit=10", number % CATEGORIES),
        traces: |answer| {
            items(answer).flat_map(|item| [title_origin(&item["product"]), count_origin(&item["orders"])]).collect()
        },
    },
    Route {
        name: "recommendations",
        share: 6,
        processor: "recommendation",
        // Long enough for the decoy, which ranks behind products that the member prefers.
        path: |number| format!("members/member-{}/recommendations?limit=60", number % MEMBERS),
        traces: |answer| {
            let mut traces: Vec<Origin> = items(answer).map(|item| title_origin(&item["product"])).collect();
            let sources = items(answer).flat_map(|item| item["sources"].as_array().unwrap());
            traces.extend(sources.filter(|source| source["title"].is_string()).map(title_origin));
            traces.push(decoy_origin(answer));
            traces
        },
    },
    Route {
        name: "search",
        share: 1,
        processor: "es-sync",
        path: |number| format!("search?q=lamp&highlight=true&limit=10&offset={}", number % 5 * 20),
        traces: |answer| {
            let highlight =
                |item: &Value| item["highlight"].as_str().map(|text| Origin::from_marked(text.starts_with(MARK)));
            items(answer).flat_map(|item| highlight(item).into_iter().chain([title_origin(&item["product"])])).collect()
        },
    },
    Route {
        name: "totals",
        share: 1,
        processor: "analytics",
        path: |_| "analytics/totals".to_owned(),
        traces: |answer| {
            answer["totals"].as_array().unwrap().iter().map(|total| count_origin(&total["sold_minor"])).collect()
        },
    },
    Route {
        name: "days",
        share: 1,
        processor: "analytics",
        path: |_| "analytics/days?from=2011-06-01&to=2011-06-03".to_owned(),
        traces: |answer| {
            let categories = |day: &Value| day["categories"].as_array().unwrap().clone();
            let days = answer["days"].as_array().unwrap().iter().flat_map(categories);
            let revenue = days.flat_map(|category| category["revenue"].as_array().unwrap().clone());
            revenue.map(|revenue| count_origin(&revenue["sold_minor"])).collect()
        },
    },
];

fn items(answer: &Value) -> impl Iterator<Item = &Value> {
    answer["items"].as_array().unwrap().iter()
}

fn title_origin(product: &Value) -> Origin {
    Origin::from_marked(product["title"].as_str().unwrap().starts_with(MARK))
}

#[expect(clippy::cast_precision_loss, reason = "the counts of two generations are far apart")]
fn count_origin(count: &Value) -> Origin {
    Origin::from_marked(count.as_f64().unwrap() >= MARKED_COUNT as f64 / 1_000.0)
}

fn decoy_origin(answer: &Value) -> Origin {
    Origin::from_marked(items(answer).any(|item| item["product"]["product_id"] == DECOY))
}

/// The query service of a shop.
#[derive(Clone)]
pub struct Service {
    client: reqwest::Client,
    base: String,
    /// Id of the marked generation of each processor.
    marked: Arc<BTreeMap<String, String>>,
}

impl Service {
    /// Starts the service and waits until it listens.
    pub async fn start(shop: &mut Shop, marked: BTreeMap<String, String>) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        shop.start("query", &["--listen", &address]);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let service = Self { client, base: format!("http://{address}/v1/"), marked: Arc::new(marked) };
        let started = Instant::now();
        while service.client.get(format!("http://{address}/healthz")).send().await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(20), "the query service does not listen");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        service
    }

    /// The body of a successful answer.
    pub async fn get(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.ask(path).await;
        (status < 300).then_some(answer)
    }

    /// Status and body of an answer.
    pub async fn ask(&self, path: &str) -> (u16, Value) {
        let response = self.client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status().as_u16(), response.json().await.unwrap())
    }

    /// Queries a route and returns the origin of the answer.
    ///
    /// # Errors
    /// When the request fails, or content and header name different generations.
    pub async fn origin(&self, route: Route, number: u64) -> Result<Origin, Fault> {
        let path = (route.path)(number);
        let failed = |error: reqwest::Error| Fault::Error(format!("{path}: {error:?}"));
        let response = self.client.get(format!("{}{path}", self.base)).send().await.map_err(failed)?;
        let status = response.status();
        let header = response.headers().get("projection-generations").cloned();
        let text = response.text().await.map_err(failed)?;
        if !status.is_success() {
            return Err(Fault::Error(format!("{path}: {status}: {text}")));
        }
        let answer: Value = serde_json::from_str(&text).map_err(|error| Fault::Error(format!("{path}: {error}")))?;
        let named = header.as_ref().and_then(|header| header.to_str().ok()).unwrap_or_default().to_owned();
        let Some((processor, generation)) = named.split_once('=') else {
            return Err(Fault::Mixed(format!("{path}: the header is {named:?}")));
        };
        let by_header = Origin::from_marked(self.marked[route.processor] == generation);
        let traces = (route.traces)(&answer);
        if traces.is_empty() || processor != route.processor || traces.iter().any(|trace| *trace != by_header) {
            return Err(Fault::Mixed(format!("{path}: {named}, {by_header:?}, but {traces:?}: {text}")));
        }
        Ok(by_header)
    }

    /// Waits until the answers of all routes have this origin.
    pub async fn wait_for(&self, origin: Origin, limit: Duration) {
        let began = Instant::now();
        for route in ROUTES {
            for number in 0..PRODUCTS {
                loop {
                    match self.origin(route, number).await {
                        Ok(actual) if actual == origin => break,
                        result => assert!(began.elapsed() < limit, "{}: {result:?}", route.name),
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// A failed request or a wrong answer.
#[derive(Clone, Debug)]
#[expect(dead_code, reason = "shown by Debug when the test fails")]
pub enum Fault {
    Error(String),
    /// The answer comes from two generations.
    Mixed(String),
}

/// Counts of answers and faults.
#[derive(Debug, Default)]
pub struct Tally {
    /// Number of answers by route and origin.
    pub answers: BTreeMap<(&'static str, Origin), u64>,
    pub errors: u64,
    pub mixed: u64,
    samples: Vec<Fault>,
    milliseconds: Vec<u32>,
}

impl Tally {
    fn add(&mut self, route: Route, outcome: Result<Origin, Fault>, latency: Duration) {
        self.milliseconds.push(u32::try_from(latency.as_millis()).unwrap_or(u32::MAX));
        let fault = match outcome {
            Ok(origin) => {
                *self.answers.entry((route.name, origin)).or_default() += 1;
                return;
            }
            Err(fault) => fault,
        };
        match fault {
            Fault::Error(_) => self.errors += 1,
            Fault::Mixed(_) => self.mixed += 1,
        }
        if self.samples.len() < SAMPLES {
            self.samples.push(fault);
        }
    }

    pub fn total(&self) -> u64 {
        self.answers.values().sum()
    }

    /// Quantile of latency in milliseconds.
    pub fn quantile(&mut self, quantile: f64) -> u32 {
        self.milliseconds.sort_unstable();
        self.milliseconds[((self.milliseconds.len() - 1) as f64 * quantile) as usize]
    }

    /// Asserts that every query was answered from one generation, and every route from both in turn.
    pub fn assert_clean(&self) {
        let (errors, mixed) = (self.errors, self.mixed);
        assert!(errors + mixed == 0, "{errors} errors, {mixed} mixed answers, such as {:#?}", self.samples);
        for route in ROUTES {
            for origin in [Origin::Marked, Origin::Fresh] {
                assert!(self.answers.contains_key(&(route.name, origin)), "{} never answered {origin:?}", route.name);
            }
        }
    }
}

/// The route of the nth query, and the number of earlier queries of that route.
fn nth_route(query: u64) -> (Route, u64) {
    let mut position = query % ROUND;
    for route in ROUTES {
        if position < route.share {
            return (route, query / ROUND * route.share + position);
        }
        position -= route.share;
    }
    unreachable!("the shares are {ROUND} in all")
}

/// Clients that query all routes at a constant rate until they are stopped.
pub struct QueryLoad {
    stop: Arc<AtomicBool>,
    tally: Arc<Mutex<Tally>>,
    clients: Vec<JoinHandle<()>>,
    started: Instant,
}

impl QueryLoad {
    pub fn start(service: &Service, per_second: u64) -> Self {
        let (stop, number) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let tally = Arc::new(Mutex::new(Tally::default()));
        let started = Instant::now();
        let start_client = |_| {
            let (service, stop, number, tally) = (service.clone(), stop.clone(), number.clone(), tally.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let number = number.fetch_add(1, Ordering::Relaxed);
                    let due = started + Duration::from_micros(number * 1_000_000 / per_second);
                    tokio::time::sleep_until(due.into()).await;
                    let ((route, before), sent_at) = (nth_route(number), Instant::now());
                    let outcome = service.origin(route, before).await;
                    tally.lock().unwrap().add(route, outcome, sent_at.elapsed());
                }
            })
        };
        let clients = (0..max_clients()).map(start_client).collect();
        Self { stop, tally, clients, started }
    }

    /// Stops the clients. Returns the counts and the number of answers per second.
    pub async fn stop(self) -> (Tally, f64) {
        self.stop.store(true, Ordering::Relaxed);
        let elapsed = self.started.elapsed();
        for client in self.clients {
            client.await.unwrap();
        }
        let tally = std::mem::take(&mut *self.tally.lock().unwrap());
        let rate = tally.total() as f64 / elapsed.as_secs_f64();
        (tally, rate)
    }
}
