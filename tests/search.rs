//! What is searched is a fold of the log: products with their vectors, and what was said. It is all there again after a
//! rebuild, which asks no model, and after an index was lost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use events::{
    Data, Envelope, Event, MessageCreated, Payload, ProductEmbedded, ProductId, ProductRetired, ProductUpserted, Topic,
};
use projections::ES_SYNC;
use projections::catalogue::PRODUCTS_VIEW;
use projections::conversation::MESSAGES_VIEW;
use runtime::publisher::index_name;
use serde_json::{Value, json};
use support::Shop;
use uuid::Uuid;

const PRODUCTS: usize = 300;

type Documents = BTreeMap<String, Value>;

fn history() -> Vec<Event> {
    let product = |number: usize| ProductUpserted {
        product_id: ProductId::new(format!("p{number}")).unwrap(),
        ..ProductUpserted::example()
    };
    let vector =
        |number: usize| ProductEmbedded { product_id: product(number).product_id, ..ProductEmbedded::example() };
    let said =
        |number: usize| MessageCreated { message_id: Uuid::from_u128(number as u128), ..MessageCreated::example() };
    let mut facts: Vec<Data> = Vec::new();
    for number in 0..PRODUCTS {
        facts.extend([product(number).into(), vector(number).into(), said(number).into()]);
    }
    facts.push(ProductRetired { product_id: product(0).product_id }.into());
    // A vector of what nobody sells.
    facts.push(vector(PRODUCTS).into());
    let began = Utc::now() - TimeDelta::hours(1);
    let event = |(number, data): (i32, Data)| {
        let time = began + TimeDelta::milliseconds(number.into());
        Event { envelope: Envelope::new(format!("event-{number}"), "test", time), data }
    };
    (0..).zip(facts).map(event).collect()
}

async fn settle(shop: &Shop) {
    let started = Instant::now();
    while let Some(why) = shop.why_unsettled(&ES_SYNC).await {
        assert!(started.elapsed() < Duration::from_mins(2), "{why}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn index(shop: &Shop, view: &str) -> String {
    index_name(&shop.connections, view, &shop.live(&ES_SYNC).await.unwrap().generation)
}

async fn documents(shop: &Shop) -> [Documents; 2] {
    let views = [PRODUCTS_VIEW, MESSAGES_VIEW];
    [shop.documents(&index(shop, views[0]).await).await, shop.documents(&index(shop, views[1]).await).await]
}

fn replay(shop: &Shop, arguments: &[&str]) -> String {
    let output = shop.command(&[&["replay"], arguments].concat()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_come_back_from_the_log_without_a_model() {
    let mut shop = Shop::open("search").await;
    shop.produce(&history()).await;
    shop.start_processor(ES_SYNC.name);
    settle(&shop).await;
    let before = documents(&shop).await;
    let [products, messages] = &before;
    assert_eq!((products.len(), messages.len()), (PRODUCTS - 1, PRODUCTS));
    let one = &products["p1"];
    assert_eq!((&one["colors"], &one["vector_model"]), (&json!(["red"]), &json!("all-MiniLM-L6-v2")));
    assert_eq!((one["vector"].as_array().unwrap().len(), &one["vector"][0]), (384, &json!(1)));
    assert!(messages.values().all(|message| message["member_id"] == "13085"));

    // One of two indexes is lost.
    let lost = format!("{}/{}", shop.connections.elasticsearch, index(&shop, MESSAGES_VIEW).await);
    assert!(reqwest::Client::new().delete(lost).send().await.unwrap().status().is_success());
    tokio::time::sleep(Duration::from_secs(3)).await;
    settle(&shop).await;
    assert!(documents(&shop).await == before, "after an index was lost");

    // No embedder runs, and no vector is written.
    let embedding_events = shop.connections.namespace.topic(Topic::EmbeddingEvents);
    let ends = shop.end_offsets(&embedding_events);
    let was_live = shop.live(&ES_SYNC).await.unwrap().generation;
    replay(&shop, &["rebuild", "es-sync"]);
    assert_ne!(shop.live(&ES_SYNC).await.unwrap().generation.id, was_live.id);
    assert!(documents(&shop).await == before, "after a rebuild");
    assert_eq!(shop.end_offsets(&embedding_events), ends);
    replay(&shop, &["verify", "es-sync"]);
    shop.close().await;
}
