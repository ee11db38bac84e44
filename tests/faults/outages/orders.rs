//! Orders over HTTP: each is repeated until the gateway has accepted it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

const CLIENTS: u64 = 4;
/// Pause between two orders of a client, and between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any outage.
const ACCEPTED_WITHIN: Duration = Duration::from_mins(2);

/// Counts of accepted and refused orders.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Event ids of accepted orders.
    pub accepted: Vec<String>,
    /// Attempts without a 202, by status or error.
    pub refused: BTreeMap<String, usize>,
    /// Longest time from the first attempt at an order to its acceptance.
    pub longest: Duration,
}

impl Outcome {
    pub fn add(&mut self, other: Outcome) {
        self.accepted.extend(other.accepted);
        for (answer, times) in other.refused {
            *self.refused.entry(answer).or_default() += times;
        }
        self.longest = self.longest.max(other.longest);
    }
}

/// Clients that order without a pause.
pub struct Orders {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Outcome>>,
}

impl Orders {
    /// Starts the clients; order ids begin with the prefix.
    pub fn start(gateway: &str, prefix: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |number| {
            tokio::spawn(order(format!("{gateway}/v1/orders"), format!("{prefix}-{number}"), Arc::clone(&stop)))
        };
        let clients = (0..CLIENTS).map(client).collect();
        Self { stop, clients }
    }

    /// Stops, and waits until every order that was sent is accepted.
    pub async fn stop(self) -> Outcome {
        self.stop.store(true, Ordering::Relaxed);
        let mut outcome = Outcome::default();
        for client in self.clients {
            outcome.add(client.await.unwrap());
        }
        outcome
    }
}

async fn order(url: String, prefix: String, stop: Arc<AtomicBool>) -> Outcome {
    let client = Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
    let mut outcome = Outcome::default();
    for number in 0_u64.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let id = format!("{prefix}-{number}");
        let body = json!({
            "order_id": id,
            "member_id": format!("member-{}", number % 97),
            "currency": "GBP",
            "items": [
                { "product_id": format!("load-{}", number % 31), "quantity": 1, "total_minor": 100 },
                { "product_id": format!("load-{}", number % 53), "quantity": 2, "total_minor": 250 },
            ],
        });
        let began = Instant::now();
        loop {
            match attempt(&client, &url, &id, &body).await {
                Ok(event_id) => {
                    outcome.accepted.push(event_id);
                    break;
                }
                Err(answer) => *outcome.refused.entry(answer).or_default() += 1,
            }
            assert!(began.elapsed() < ACCEPTED_WITHIN, "order {id} is not accepted: {:?}", outcome.refused);
            tokio::time::sleep(PAUSE).await;
        }
        outcome.longest = outcome.longest.max(began.elapsed());
        tokio::time::sleep(PAUSE).await;
    }
    outcome
}

/// Returns the id of the order's event, or the status or error.
async fn attempt(client: &Client, url: &str, id: &str, body: &Value) -> Result<String, String> {
    let request = client.post(url).header("Idempotency-Key", id).json(body);
    let response = request.send().await.map_err(|_| "none".to_owned())?;
    if response.status() != StatusCode::ACCEPTED {
        return Err(response.status().as_str().to_owned());
    }
    let answer: Value = response.json().await.map_err(|_| "incomplete".to_owned())?;
    Ok(answer["event_ids"][0].as_str().unwrap().to_owned())
}
