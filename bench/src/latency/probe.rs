//! A probe: one event, and the time until the query service's responses contain it.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, ensure};
use chrono::{DateTime, Utc};
use jangbogo_events::{MemberId, ProductId};
use rdkafka::Timestamp;
use serde_json::Value;

use super::load::{Sender, order, view};
use super::report::Seen;

const POLL_INTERVAL: Duration = Duration::from_millis(3);
/// Timeout after which an event counts as lost.
const SEEN_LIMIT: Duration = Duration::from_secs(15);

/// An event of a new member.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Step of the rebuild when the event was sent, if there was one.
    pub step: Option<String>,
    /// The response that is polled.
    pub seen: Seen,
    /// Time from the append to the response that contains it; none if it was lost.
    pub latency: Option<Duration>,
    pub errors: u64,
}

/// Sends events and polls for them. Clones share their connections.
#[derive(Clone)]
pub struct ProbeClient {
    client: reqwest::Client,
    base: Arc<str>,
    products: Arc<[ProductId]>,
}

impl ProbeClient {
    pub fn new(base: &str, products: Arc<[ProductId]>) -> anyhow::Result<Self> {
        Ok(Self { client: reqwest::Client::builder().timeout(SEEN_LIMIT).build()?, base: base.into(), products })
    }

    /// Sends one event: alternately an order, visible in the member's purchase pattern, and a view, visible in the
    /// member's recommendations.
    pub async fn probe(self, number: u64, step: Option<String>, sender: Sender) -> anyhow::Result<Probe> {
        let member = format!("probe-{number}");
        let member_id = MemberId::new(&*member)?;
        let index = usize::try_from(number)? % self.products.len();
        let product_id = self.products[index].clone();
        let (seen, event, url) = if number.is_multiple_of(2) {
            let url = format!("{}/v1/members/{member}/purchase-pattern", self.base);
            (Seen::Order, order(Some(member_id), [product_id])?, url)
        } else {
            let url = format!("{}/v1/members/{member}/recommendations?limit=1", self.base);
            (Seen::View, view(member_id, product_id), url)
        };
        let delivery = sender.send(&event)?.await.context("the producer stopped")?;
        let delivery = delivery.map_err(|(error, _)| error).context("kafka rejected an event")?;
        let appended = match delivery.timestamp {
            Timestamp::LogAppendTime(milliseconds) | Timestamp::CreateTime(milliseconds) => {
                DateTime::from_timestamp_millis(milliseconds).context("an append time out of range")?
            }
            Timestamp::NotAvailable => Utc::now(),
        };
        let (mut errors, mut latency) = (0, None);
        let give_up = appended + SEEN_LIMIT;
        while Utc::now() < give_up {
            match self.is_seen(seen, &url).await {
                Ok(true) => {
                    // Kafka's whole milliseconds may be up to one millisecond ahead.
                    latency = Some((DateTime::<Utc>::from(SystemTime::now()) - appended).to_std().unwrap_or_default());
                    break;
                }
                Ok(false) => {}
                Err(_) => errors += 1,
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        Ok(Probe { step, seen, latency, errors })
    }

    async fn is_seen(&self, seen: Seen, url: &str) -> anyhow::Result<bool> {
        let answer = self.client.get(url).send().await?;
        match seen {
            Seen::Order => {
                if answer.status() == reqwest::StatusCode::NOT_FOUND {
                    return Ok(false);
                }
                let pattern: Value = answer.error_for_status()?.json().await?;
                ensure!(pattern["orders"] == 1, "another order of the same member");
                Ok(true)
            }
            Seen::View => {
                let list: Value = answer.error_for_status()?.json().await?;
                Ok(list["basis"] == "history")
            }
        }
    }
}
