//! Queries during outages: the service answers 200, or 503 while a store is unavailable, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::Client;
use tokio::task::JoinHandle;

const PATHS: [&str; 5] =
    ["/v1/trending", "/v1/categories", "/v1/search?q=lunch+bag", "/v1/members/13085/recommendations", "/v1/pipeline"];
const PAUSE: Duration = Duration::from_millis(100);

/// Number of answers by HTTP status.
pub type Statuses = BTreeMap<u16, usize>;

/// A client that queries in a loop.
pub struct Queries {
    stop: Arc<AtomicBool>,
    querying: JoinHandle<Statuses>,
}

impl Queries {
    pub fn start(url: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        Self { querying: tokio::spawn(query(url.to_owned(), Arc::clone(&stop))), stop }
    }

    /// Stops the client, which has panicked if a status was neither 200 nor 503.
    pub async fn stop(self) -> Statuses {
        self.stop.store(true, Ordering::Relaxed);
        self.querying.await.unwrap()
    }
}

async fn query(url: String, stop: Arc<AtomicBool>) -> Statuses {
    let client = Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
    let mut statuses = Statuses::new();
    // Until the service listens.
    while client.get(format!("{url}/healthz")).send().await.is_err() {
        tokio::time::sleep(PAUSE).await;
    }
    for path in PATHS.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let response = client.get(format!("{url}{path}")).send().await.unwrap();
        let status = response.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        assert!([200, 503].contains(&status), "{path}: {status}: {}", response.text().await.unwrap());
        tokio::time::sleep(PAUSE).await;
    }
    statuses
}
