//! Latency of a member's recommendations after a view or an order: from the gateway's 202 to the changed list.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use jangbogo_recommendation_fold::RECOMMENDATION;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use uuid::Uuid;

use super::services::{Services, live_schema, post};
use crate::shop::Shop;

/// Rate of acts a second: alternately a view and an order, each of a new member.
const ACTS_A_SECOND: u32 = 5;
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// Timeout after which an act counts as lost.
const SEEN_LIMIT: Duration = Duration::from_secs(15);

/// Latencies of views and orders in milliseconds.
#[derive(Debug, Default)]
pub struct Lists {
    pub views: Vec<f64>,
    pub orders: Vec<f64>,
}

/// Acts at their rate for a duration.
pub async fn measure(shop: &Shop, services: &Services, time: Duration) -> anyhow::Result<Lists> {
    let products: Arc<[String]> = products(shop, services).await?.into();
    let mut tick = tokio::time::interval(Duration::from_secs(1) / ACTS_A_SECOND);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let started = Instant::now();
    let mut under_way = JoinSet::new();
    let mut number = 0;
    while started.elapsed() < time {
        tick.tick().await;
        let (client, gateway, query) =
            (services.client().clone(), services.gateway().to_owned(), services.query().to_owned());
        let product = products[number % products.len()].clone();
        under_way.spawn(async move { act(&client, &gateway, &query, number, &product).await });
        number += 1;
    }
    let mut lists = Lists::default();
    while let Some(done) = under_way.join_next().await {
        let (is_view, took) = done??;
        if is_view { &mut lists.views } else { &mut lists.orders }.push(took);
    }
    Ok(lists)
}

/// Returns true for a view, and the latency in milliseconds.
async fn act(client: &Client, gateway: &str, query: &str, number: usize, product: &str) -> anyhow::Result<(bool, f64)> {
    let member = format!("newcomer-{number}");
    let is_view = number.is_multiple_of(2);
    if is_view {
        let viewed = json!([{ "type": "product-viewed", "data": { "member_id": member, "product_id": product } }]);
        post(client, gateway, "/v1/behaviors", &viewed).await?;
    } else {
        let order = json!({
            "order_id": Uuid::now_v7(), "member_id": member, "currency": "GBP",
            "items": [{ "product_id": product, "quantity": 1, "total_minor": 250 }],
        });
        post(client, gateway, "/v1/orders", &order).await?;
    }
    let accepted = Instant::now();
    let url = format!("{query}/v1/members/{member}/recommendations?limit=10");
    loop {
        let list: Value = client.get(&url).send().await?.error_for_status()?.json().await?;
        // The list of a new member is what is trending.
        if list["basis"] == "history" {
            return Ok((is_view, accepted.elapsed().as_secs_f64() * 1_000.0));
        }
        ensure!(accepted.elapsed() < SEEN_LIMIT, "the act of {member} is in no list after {SEEN_LIMIT:?}");
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Products that were ordered, for which there are recommendations.
async fn products(shop: &Shop, services: &Services) -> anyhow::Result<Vec<String>> {
    let mut database = shop.database().await?;
    let schema = live_schema(&mut database, RECOMMENDATION.name).await?;
    let sql = format!(
        "SELECT product_id FROM {schema}.member_product GROUP BY product_id ORDER BY sum(orders) DESC, product_id LIMIT 500"
    );
    let products: Vec<String> = sqlx::query_scalar(&sql).fetch_all(&mut database).await?;
    ensure!(!products.is_empty(), "there is no order in the shop at {}", services.query());
    Ok(products)
}
