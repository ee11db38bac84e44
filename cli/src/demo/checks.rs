//! Checks of `demo --once` on the running system; all counts come from the servers.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::Topic;
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use jangbogo_publish::index_name;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_store::{Live, live};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::log_counts::{LogCounts, Totals};
use super::web::Web;
use super::{SETTLE_LIMIT, conversation_check, shop, totals};
use crate::events::import::{DEMO_SHOP, Report};
use crate::output::table;

/// Timeout of a change's visibility.
const VISIBLE_LIMIT: Duration = Duration::from_secs(30);
/// Timeout of the first embedding of the whole demo shop on a slow machine.
const VECTORS_LIMIT: Duration = Duration::from_mins(15);

#[derive(Default)]
pub struct Checks(Vec<(&'static str, anyhow::Result<String>)>);

impl Checks {
    fn add(&mut self, check: &'static str, outcome: anyhow::Result<String>) {
        self.0.push((check, outcome));
    }

    /// A table of all checks and results.
    pub fn to_text(&self) -> String {
        let mut rows = table(["", "check", "found"]);
        for (check, outcome) in &self.0 {
            match outcome {
                Ok(found) => rows.add_row(["ok", check, found]),
                Err(error) => rows.add_row(["FAILED", check, &format!("{error:#}")]),
            };
        }
        format!("\n{rows}\n")
    }

    /// Fails if a check failed; the message names the failed checks.
    pub fn outcome(&self) -> anyhow::Result<()> {
        let failed: Vec<&str> =
            self.0.iter().filter(|(_, outcome)| outcome.is_err()).map(|(check, _)| *check).collect();
        ensure!(failed.is_empty(), "{} of {} checks failed: {}", failed.len(), self.0.len(), failed.join(", "));
        Ok(())
    }
}

/// Runs all checks on a system that has folded its log. A failed check is an entry of the result.
pub async fn run(connections: &Connections, web: &Web, expected: &Report) -> anyhow::Result<Checks> {
    let mut checks = Checks::default();
    let counts = LogCounts::read(connections).await?;
    checks.add("Kafka holds what was produced", produced(&counts, expected));
    checks.add("units and revenue equal the file's", revenue(web, &counts).await);
    checks.add("Elasticsearch holds the catalogue", documents(connections, &counts).await);
    checks.add("every product has a vector", vectors(connections, &counts).await);
    checks.add("three members are recommended products", recommendations(web, &counts).await);
    checks.add("three products have similar ones", similar(web, &counts).await);
    let trending_before = trending(web).await?;
    checks.add("a product upserted over HTTP is found, a retired one is not", upsert(web).await);
    checks.add("an order placed over HTTP changes trending and its member's list", order(web, &trending_before).await);
    checks.add("trending is still the shop's", still_trending(web, &trending_before).await);
    checks.add("a conversation in English is answered correctly", conversation_check::in_english(web, &counts).await);
    checks.add("a conversation in Korean is answered correctly", conversation_check::in_korean(web, &counts).await);
    checks.add("no consumer lag and no dead letters", settled(web).await);
    Ok(checks)
}

fn produced(counts: &LogCounts, expected: &Report) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for (topic, count) in [
        (Topic::CatalogEvents, expected.products),
        (Topic::OrderCompleted, expected.orders),
        (Topic::UserBehavior, expected.cancellations),
    ] {
        let imported = counts.count_events(topic, true);
        let others = counts.count_events(topic, false);
        let records = counts.records.get(&topic).copied().unwrap_or_default();
        ensure!(imported == count, "{topic} holds {imported} imported events, the file has {count}");
        ensure!(
            records == imported + others,
            "{topic} ends at {records} records, but {imported} were imported and {others} came over HTTP"
        );
        found.push(format!("{topic} {imported} + {others}"));
    }
    Ok(found.join(", "))
}

async fn revenue(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let from_file = tokio::task::spawn_blocking(|| totals::from_file(DEMO_SHOP.as_ref())).await??;
    let Totals { sold_units, sold_minor, cancelled_units, cancelled_minor } = counts.other_totals;
    let expected = json!({
        "currency": "GBP",
        "sold_units": from_file.sold_units + sold_units,
        "sold_minor": from_file.sold_minor + sold_minor,
        "cancelled_units": from_file.cancelled_units + cancelled_units,
        "cancelled_minor": from_file.cancelled_minor + cancelled_minor,
    });
    let totals = web.get("/v1/analytics/totals").await?;
    let found = totals["totals"].as_array().and_then(|totals| totals.first()).context("there are no totals")?;
    for field in ["sold_units", "sold_minor", "cancelled_units", "cancelled_minor"] {
        ensure!(
            found[field] == expected[field],
            "{field} is {}, the file and the gateway say {}",
            found[field],
            expected[field]
        );
    }
    Ok(format!(
        "{} units, {} pence sold; {} units, {} pence cancelled",
        found["sold_units"], found["sold_minor"], found["cancelled_units"], found["cancelled_minor"]
    ))
}

async fn documents(connections: &Connections, counts: &LogCounts) -> anyhow::Result<String> {
    let (_, live) = connect(connections, ES_SYNC.name).await?;
    let index = index_name(connections, PRODUCTS_VIEW, &live.generation);
    let url = format!("{}/{index}/_count", connections.elasticsearch);
    let on_sale = json!({ "query": { "bool": { "must_not": { "term": { "tombstone": true } } } } });
    let answer: Value = reqwest::Client::new().post(url).json(&on_sale).send().await?.json().await?;
    let expected = counts.products.len();
    ensure!(answer["count"] == json!(expected), "{} documents for {expected} products", answer["count"]);
    Ok(format!("{expected} documents, {expected} products"))
}

/// A connection to Postgres, and the live generation of a processor.
async fn connect(connections: &Connections, processor: &str) -> anyhow::Result<(PgConnection, Live)> {
    let mut database = PgConnection::connect_with(&jangbogo_platform::database::options(connections, "demo")?).await?;
    let live = live(&mut database, processor).await?;
    Ok((database, live.with_context(|| format!("{processor} has no live generation"))?))
}

async fn vectors(connections: &Connections, counts: &LogCounts) -> anyhow::Result<String> {
    let (mut database, live) = connect(connections, RECOMMENDATION.name).await?;
    let sql = format!("SELECT count(*) FROM {}.product_vector WHERE product_id = ANY($1)", live.generation.schema);
    let products: Vec<&str> = counts.products.keys().map(String::as_str).collect();
    let expected = i64::try_from(products.len())?;
    let progress = Progress::of_one_phase("embedding", "products", expected.unsigned_abs());
    let started = Instant::now();
    loop {
        let found: i64 = sqlx::query_scalar(&sql).bind(&products).fetch_one(&mut database).await?;
        progress.set_position(found.unsigned_abs());
        if found == expected {
            return Ok(format!("{found} vectors, {expected} products"));
        }
        ensure!(
            started.elapsed() < VECTORS_LIMIT,
            "only {found} of {expected} products have one after {VECTORS_LIMIT:?}"
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn recommendations(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let mut found = Vec::new();
    // Three members with many orders.
    for member in ["14911", "17841", "13089"] {
        let list = web.get(&format!("/v1/members/{member}/recommendations?limit=20")).await?;
        ensure!(list["basis"] == json!("history"), "member {member} bought often, but the list is a {}", list["basis"]);
        let items = all_in_catalogue(&list, counts)?;
        ensure!(items == 20, "member {member} is recommended {items} products instead of 20");
        let reason = list["items"][0]["reason"].as_str().context("an item has no reason")?;
        found.push(format!("{member}: {reason}"));
    }
    Ok(found.join("; "))
}

async fn similar(web: &Web, counts: &LogCounts) -> anyhow::Result<String> {
    let mut found = Vec::new();
    for product in ["85123A", "20725", "22423"] {
        let list = web.get(&format!("/v1/products/{product}/similar?limit=20")).await?;
        let items = all_in_catalogue(&list, counts)?;
        ensure!(items == 20, "product {product} has {items} neighbours instead of 20");
        found.push(format!("{product}: {}", list["items"][0]["product"]["title"].as_str().unwrap_or_default()));
    }
    Ok(found.join("; "))
}

/// The products of a list, each of which must be in the catalogue.
fn all_in_catalogue(list: &Value, counts: &LogCounts) -> anyhow::Result<usize> {
    let products = product_ids(list);
    for product in &products {
        ensure!(counts.products.contains_key(product), "{product} is not in the catalogue");
    }
    Ok(products.len())
}

pub(super) fn product_ids(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().into_iter().flatten();
    items.filter_map(|item| item["product"]["product_id"].as_str().map(str::to_owned)).collect()
}

async fn trending(web: &Web) -> anyhow::Result<Value> {
    web.get("/v1/trending?limit=100").await
}

async fn upsert(web: &Web) -> anyhow::Result<String> {
    let name = format!("demo{}", &Uuid::new_v4().simple().to_string()[..12]);
    let product = json!([{
        "product_id": name,
        "title": format!("{name} RED LUNCH BOX"),
        "category": "bags",
        "price": { "amount_minor": 295, "currency": "GBP" },
    }]);
    let started = Instant::now();
    web.post("/v1/products", &product).await?;
    let path = format!("/v1/search?q={name}");
    let seen = |results: &Value| product_ids(results).contains(&name);
    eventually(web, &path, seen).await.with_context(|| format!("{name} is not found"))?;
    let found = started.elapsed();
    // Leaves the demo shop's catalogue as it was.
    let started = Instant::now();
    web.post("/v1/products/retirements", &json!([{ "product_id": name }])).await?;
    let gone = |results: &Value| !product_ids(results).contains(&name);
    eventually(web, &path, gone).await.with_context(|| format!("{name} was retired, but is still found"))?;
    let (found, gone) = (found.as_millis(), started.elapsed().as_millis());
    Ok(format!("in search after {found} ms; retired, out of it after {gone} ms"))
}

async fn order(web: &Web, trending_before: &Value) -> anyhow::Result<String> {
    // A product in the middle of the list: an order moves it, but not to the top.
    let ordered = trending_before["items"][50]["product"].clone();
    let product_id = ordered["product_id"].as_str().context("fewer than 50 products are trending")?;
    let number = Uuid::new_v4().simple().to_string();
    let member = format!("demo-{}", &number[..12]);
    let list = format!("/v1/members/{member}/recommendations?limit=20");
    let before = web.get(&list).await?;
    ensure!(before["basis"] == json!("cold-start"), "a new member has a list by {}", before["basis"]);
    let share_before = share_of_top(trending_before, product_id).context("the product is not trending")?;

    let started = Instant::now();
    let order = json!({
        "order_id": format!("demo-{}", &number[..16]),
        "member_id": member,
        "currency": "GBP",
        "items": [{ "product_id": product_id, "quantity": 2, "total_minor": 590 }],
    });
    web.post("/v1/orders", &order).await?;
    let for_this = |list: &Value| list["basis"] == json!("history") && product_ids(list) != product_ids(&before);
    eventually(web, &list, for_this).await.context("the member's list has not changed")?;
    let in_list = started.elapsed();
    // All scores decay alike when a newer event arrives; an order changes the product's share of the top score.
    let has_risen = |now: &Value| share_of_top(now, product_id).is_some_and(|share| share > share_before);
    eventually(web, "/v1/trending?limit=100", has_risen).await.context("trending has not changed")?;
    let in_trending = started.elapsed();
    Ok(format!("in the list after {} ms, in trending after {} ms", in_list.as_millis(), in_trending.as_millis()))
}

/// A product's trending score as a share of the highest.
fn share_of_top(trending: &Value, product_id: &str) -> Option<f64> {
    let top = trending["items"][0]["score"].as_f64()?;
    let items = trending["items"].as_array()?;
    let item = items.iter().find(|item| item["product"]["product_id"].as_str() == Some(product_id))?;
    Some(item["score"].as_f64()? / top)
}

async fn still_trending(web: &Web, before: &Value) -> anyhow::Result<String> {
    let top = |list: &Value| product_ids(list).into_iter().take(10).collect::<BTreeSet<_>>();
    let kept = top(before).intersection(&top(&trending(web).await?)).count();
    ensure!(kept >= 9, "only {kept} of the former top 10 are still there");
    Ok(format!("{kept} of the former top 10 are still there"))
}

async fn settled(web: &Web) -> anyhow::Result<String> {
    let state = shop::wait_until_folded(web, SETTLE_LIMIT).await?;
    let mut found = Vec::new();
    for processor in state["processors"].as_array().context("the pipeline has no processors")? {
        let (name, lag) = (&processor["processor"], &processor["lag"]);
        let dead = &processor["dead_letters"]["count"];
        ensure!(*lag == json!(0), "{name} lags by {lag}");
        ensure!(*dead == json!(0), "{name} has {dead} dead letters, the last: {}", processor["dead_letters"]["last"]);
        found.push(format!("{} 0/0", name.as_str().unwrap_or_default()));
    }
    Ok(found.join(", "))
}

/// Polls until the response fulfils a condition.
pub(super) async fn eventually(web: &Web, path: &str, condition: impl Fn(&Value) -> bool) -> anyhow::Result<()> {
    let started = Instant::now();
    while started.elapsed() < VISIBLE_LIMIT {
        if condition(&web.get(path).await?) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bail!("not within {VISIBLE_LIMIT:?}")
}
