//! Search indexes are folds of the log: products with their vectors, and messages. They recover after a rebuild, which
//! computes no embedding, and after the loss of an index.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::{TimeDelta, Utc};
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{
    Data, Envelope, Event, MessageCreated, Payload, ProductEmbedded, ProductId, ProductRetired, ProductUpserted, Topic,
};
use jangbogo_fold::Processor;
use jangbogo_publish::index_name;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use jangbogo_shared_projections::conversation::MESSAGES_VIEW;
use jangbogo_test_support::Shop;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
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
    let message =
        |number: usize| MessageCreated { message_id: Uuid::from_u128(number as u128), ..MessageCreated::example() };
    let mut facts: Vec<Data> = Vec::new();
    for number in 0..PRODUCTS {
        facts.extend([product(number).into(), vector(number).into(), message(number).into()]);
    }
    facts.push(ProductRetired { product_id: product(0).product_id }.into());
    // A vector without its product.
    facts.push(vector(PRODUCTS).into());
    let began = Utc::now() - TimeDelta::hours(1);
    let event = |(number, data): (i32, Data)| {
        let time = began + TimeDelta::milliseconds(number.into());
        Event { envelope: Envelope::new(format!("event-{number}"), "test", time), data }
    };
    (0..).zip(facts).map(event).collect()
}

async fn settle(shop: &Shop, processor: &Processor) {
    let started = Instant::now();
    while let Some(why) = shop.why_unsettled(processor).await {
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

/// Options of the vector indexes of the live generations: in Elasticsearch, and in Postgres.
async fn index_options(shop: &Shop) -> (Value, String) {
    let index = index(shop, PRODUCTS_VIEW).await;
    let mapping = reqwest::get(format!("{}/{index}/_mapping", shop.connections.elasticsearch)).await.unwrap();
    let mut mapping: Value = mapping.json().await.unwrap();
    let options = mapping[&index]["mappings"]["properties"]["vector"]["index_options"].take();
    let definition = "SELECT indexdef FROM pg_indexes WHERE schemaname = $1 AND indexname = 'product_vector_vector'";
    let schema = shop.live(&RECOMMENDATION).await.unwrap().generation.schema;
    (options, sqlx::query_scalar(definition).bind(schema).fetch_one(&mut shop.database().await).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn indexes_are_rebuilt_from_the_log_without_a_model() {
    let mut shop = Shop::open("search").await;
    shop.produce(&history()).await;
    shop.start_processor(ES_SYNC.name);
    settle(&shop, &ES_SYNC).await;
    let before = documents(&shop).await;
    let [products, messages] = &before;
    assert_eq!((products.len(), messages.len()), (PRODUCTS - 1, PRODUCTS));
    let one = &products["p1"];
    assert_eq!((&one["colors"], &one["vector_model"]), (&json!(["red"]), &json!("all-MiniLM-L6-v2")));
    assert_eq!((one["vector"].as_array().unwrap().len(), &one["vector"][0]), (384, &json!(1)));
    assert!(messages.values().all(|message| message["member_id"] == "13085"));

    // The loss of one of two indexes.
    let lost = format!("{}/{}", shop.connections.elasticsearch, index(&shop, MESSAGES_VIEW).await);
    assert!(reqwest::Client::new().delete(lost).send().await.unwrap().status().is_success());
    let lost_at = Instant::now();
    while documents(&shop).await != before {
        assert!(lost_at.elapsed() < Duration::from_mins(1), "the lost index does not recover");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    settle(&shop, &ES_SYNC).await;

    // No embedder runs, and no vector is appended to the log.
    let embedding_events = shop.connections.namespace.topic(Topic::EmbeddingEvents);
    let ends = shop.end_offsets(&embedding_events);
    let was_live = shop.live(&ES_SYNC).await.unwrap().generation;
    shop.run(&["replay", "rebuild", "es-sync"]);
    assert_ne!(shop.live(&ES_SYNC).await.unwrap().generation.id, was_live.id);
    assert!(documents(&shop).await == before, "after a rebuild");
    assert_eq!(shop.end_offsets(&embedding_events), ends);
    shop.run(&["replay", "verify", "es-sync"]);
    shop.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn vector_indexes_have_the_settings_of_the_program_that_builds_them() {
    let mut shop = Shop::open("indexed").await;
    shop.produce(&history()).await;
    for processor in [&ES_SYNC, &RECOMMENDATION] {
        shop.start_member_with(processor.name, processor.name, &["--instance", "a"], &[("HNSW_M", "8")]);
        settle(&shop, processor).await;
    }
    let (options, definition) = index_options(&shop).await;
    assert_eq!(options, json!({ "type": "hnsw", "m": 8, "ef_construction": 100 }));
    assert!(definition.contains("WITH (m='8', ef_construction='100')"), "{definition}");
    shop.run(&["replay", "rebuild", "es-sync", "recommendation", "--hnsw-m", "12", "--hnsw-ef-construction", "24"]);
    let (options, definition) = index_options(&shop).await;
    assert_eq!(options, json!({ "type": "hnsw", "m": 12, "ef_construction": 24 }));
    assert!(definition.contains("WITH (m='12', ef_construction='24')"), "{definition}");

    let refused = shop.command(&["replay", "rebuild", "es-sync", "--hnsw-m", "51"]).output().unwrap();
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && error.contains("HNSW_EF_CONSTRUCTION 100: raise"), "{error}");

    let mut connections = shop.connections.clone();
    connections.vector_index.ef_search = 321;
    let options = jangbogo_platform::database::options(&connections, "test").unwrap();
    let mut database = PgConnection::connect_with(&options).await.unwrap();
    // pgvector reads the setting when it is loaded, by the session's first vector.
    let ef_search = "SELECT current_setting('hnsw.ef_search') WHERE '[1]'::vector IS NOT NULL";
    let ef_search: String = sqlx::query_scalar(ef_search).fetch_one(&mut database).await.unwrap();
    assert_eq!(ef_search, "321");
    shop.close().await;
}
