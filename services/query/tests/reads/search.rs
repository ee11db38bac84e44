//! Search in the catalogue, with the real embedding service and model.

use std::time::{Duration, Instant};

use clap::Parser;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelsDirectory};
use jangbogo_embeddings_client::{Embedder, EmbedderArgs, EmbedderMetrics};
use jangbogo_embeddings_server::encoder::{Encoder, EncoderArgs, EncoderMetrics};
use jangbogo_embeddings_server::service::{self, ServiceArgs, ServiceMetrics};
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{ProductEmbedded, ProductId, ProductRetired, ProductUpserted, Text, Vector};
use jangbogo_query::QueryArgs;
use jangbogo_telemetry::Metrics;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::shop::{Response, Shop, get};

#[derive(Parser)]
struct EmbedderCli {
    #[command(flatten)]
    embedder: EmbedderArgs,
    #[command(flatten)]
    encoder: EncoderArgs,
    #[command(flatten)]
    service: ServiceArgs,
}

/// Starts the embedding service; returns its base URL.
async fn embedding_service() -> String {
    let models = ModelsDirectory::from_environment().unwrap();
    let fetch = move || {
        jangbogo_embeddings_server::fetch::fetch(&models, models.find(DEFAULT_MODEL).unwrap(), |message| {
            eprintln!("{message}");
        })
    };
    tokio::task::spawn_blocking(fetch).await.unwrap().unwrap();
    let cli = EmbedderCli::parse_from(["test"]);
    let metrics = Metrics::new().unwrap();
    let encoder_metrics = EncoderMetrics::register(&metrics, &[]).unwrap();
    let encoder = Encoder::load(&cli.encoder, DEFAULT_MODEL, encoder_metrics).await.unwrap();
    let router = service::router(vec![encoder], cli.service, ServiceMetrics::register(&metrics, &[]).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn with_embedder(shop: &Shop, url: &str) -> QueryArgs {
    let mut args = shop.cli.query.clone();
    url.clone_into(&mut args.meaning.embeddings_url);
    // A debug build on a busy machine.
    args.meaning.embedding_timeout_ms = 10_000.try_into().unwrap();
    args
}

async fn upsert(shop: &mut Shop, product_id: &str, title: &str, category: &str, price: (i64, &str)) {
    let (amount_minor, currency) = price;
    let price = json!({ "amount_minor": amount_minor, "currency": currency });
    let product = json!({ "product_id": product_id, "title": title, "category": category, "price": price });
    shop.fold::<ProductUpserted>(product).await;
}

/// Folds the event that the embedder's reactor would produce.
async fn embed(shop: &mut Shop, embedder: &Embedder, product_id: &str, text: &str, model: &str) {
    let vector = Vector::new(embedder.embed(Purpose::Passage, text).await.unwrap().to_vec()).unwrap();
    let data = ProductEmbedded {
        product_id: ProductId::new(product_id).unwrap(),
        model: Text::new(model).unwrap(),
        text_hash: Text::new(jangbogo_embedding::text_hash(text)).unwrap(),
        vector,
    };
    shop.fold::<ProductEmbedded>(serde_json::to_value(data).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn products_are_found_by_words_and_by_meaning() {
    let mut shop = Shop::start().await;
    let url = embedding_service().await;
    let EmbedderCli { embedder: mut args, encoder, .. } = EmbedderCli::parse_from(["test"]);
    // A debug build on a busy machine.
    args.timeout_ms = 30_000.try_into().unwrap();
    args.url.clone_from(&url);
    let metrics = EmbedderMetrics::register(&Metrics::new().unwrap(), &[]).unwrap();
    let embedder = Embedder::for_server(&args, &encoder.models, DEFAULT_MODEL, None, metrics, None).unwrap();
    let base = shop.serve_with(shop.cli.connections.clone(), with_embedder(&shop, &url)).await;
    shop.fold_by(&ES_SYNC).await;
    let products = [
        ("lunch", "LUNCH BAG RED RETROSPOT", "bags", (165, "GBP")),
        ("jumbo", "JUMBO BAG BLUE PAISLEY", "bags", (208, "GBP")),
        ("umbrella", "RED RETROSPOT UMBRELLA", "rainwear", (595, "GBP")),
        ("mug", "COFFEE MUG BLUE PAISLEY", "kitchen", (99, "GBP")),
        ("balloon", "빨간 풍선", "party", (2500, "KRW")),
        ("old", "LUNCH BAG RED SPOTTY", "bags", (165, "GBP")),
        ("other", "LUNCH TIN RED RETROSPOT", "kitchen", (165, "GBP")),
    ];
    for (product_id, title, category, price) in products {
        upsert(&mut shop, product_id, title, category, price).await;
        let model = if product_id == "other" { "another model" } else { DEFAULT_MODEL };
        embed(&mut shop, &embedder, product_id, title, model).await;
    }
    shop.fold::<ProductRetired>(json!({ "product_id": "old" })).await;
    shop.index().await;

    // Words that are in no title.
    let cup = get(&base, "/v1/search?q=tea+cup").await;
    assert_eq!((cup.products(), &cup.body["total"]), (vec!["mug"], &json!(1)));
    assert_eq!(cup.body["searched_by"], "words-and-meaning");
    assert_eq!(cup.generations, Some(format!("es-sync={}", shop.generation.id)));
    // A match by words and meaning ranks above one by either; vectors of another model are ignored.
    let lunch = get(&base, "/v1/search?q=red+lunch+bag").await;
    assert_eq!(lunch.products()[0], "lunch", "{}", lunch.body);
    assert!(!lunch.products().contains(&"old"), "it is retired");
    assert_eq!(get(&base, "/v1/search?q=tin").await.products(), ["other"], "by its words");
    assert_eq!(get(&base, "/v1/search?q=lunchbox").await.products(), ["lunch"], "not by its meaning");
    assert_eq!(get(&base, "/v1/search?q=xyzzy").await.body["total"], 0, "nothing is similar to nonsense");

    // A Korean query finds titles in either language.
    let korean = get(&base, "/v1/search?q=빨간색 도시락가방").await;
    assert_eq!((korean.products()[0], &korean.body["translation"]), ("lunch", &json!("red lunch bag")));
    assert_eq!(get(&base, "/v1/search?q=풍선을&highlight=true").await.products()[0], "balloon");

    filters_and_facets(&base).await;
    let pages = pages(&base, "red+bag").await;
    assert_eq!(pages, get(&base, "/v1/search?q=red+bag").await.products());
    assert!(pages.len() > 2);
}

async fn filters_and_facets(base: &str) {
    let facets = |response: &Response, name: &str| response.body["facets"][name].clone();
    let all = get(base, "/v1/search").await;
    assert_eq!(all.products(), ["balloon", "jumbo", "lunch", "mug", "other", "umbrella"], "by id");
    assert_eq!(all.body["searched_by"], "filters");
    let counted = |value: &str, products: u64| json!({ "value": value, "products": products });
    assert_eq!(
        facets(&all, "categories"),
        json!([counted("bags", 2), counted("kitchen", 2), counted("party", 1), counted("rainwear", 1),])
    );
    // The lexicon reads colours only in English titles.
    assert_eq!(facets(&all, "colors"), json!([counted("red", 3), counted("blue", 2)]));
    let bucket = |currency: &str, min: i64, max: i64, products: u64| json!({ "currency": currency, "min_price_minor": min, "max_price_minor": max, "products": products });
    let buckets = json!([
        bucket("GBP", 0, 99, 1),
        bucket("GBP", 100, 199, 2),
        bucket("GBP", 200, 499, 1),
        bucket("GBP", 500, 999, 1),
        bucket("KRW", 2000, 4999, 1),
    ]);
    assert_eq!(facets(&all, "prices"), buckets);

    // Every facet can be filtered by, and similar products pass the same filters.
    for (filter, found) in [
        ("category=bags", vec!["jumbo", "lunch"]),
        ("color=blue", vec!["jumbo", "mug"]),
        ("color=빨간색", vec!["lunch", "other", "umbrella"]),
        ("currency=KRW", vec!["balloon"]),
        ("currency=GBP&min_price_minor=100&max_price_minor=199", vec!["lunch", "other"]),
        ("q=red+umbrella&category=rainwear", vec!["umbrella"]),
        ("q=tea+cup&category=bags", vec![]),
        ("q=tea+cup&max_price_minor=98", vec![]),
    ] {
        let response = get(base, &format!("/v1/search?{filter}")).await;
        assert_eq!((response.products(), &response.body["total"]), (found.clone(), &json!(found.len())), "{filter}");
        let categories: u64 = facets(&response, "categories")
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["products"].as_u64().unwrap())
            .sum();
        assert_eq!(categories, found.len() as u64, "{filter}");
    }
    for (filter, rule) in [("currency=pounds", "currency"), ("currency=gbp", "capital"), ("colour=red", "no parameter")]
    {
        let response = get(base, &format!("/v1/search?{filter}")).await;
        assert!(
            response.status == 400 && response.body["detail"].as_str().unwrap().contains(rule),
            "{filter}: {}",
            response.body
        );
    }
}

/// All matches, one product a page.
async fn pages(base: &str, words: &str) -> Vec<String> {
    let mut found = Vec::new();
    loop {
        let page = get(base, &format!("/v1/search?q={words}&limit=1&offset={}", found.len())).await;
        let Some(product_id) = page.products().pop() else { return found };
        found.push(product_id.to_owned());
        assert!(page.body["total"].as_u64().unwrap() >= found.len() as u64);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_embedding_service_words_alone_are_answered_at_once() {
    let mut shop = Shop::start().await;
    shop.fold_by(&ES_SYNC).await;
    upsert(&mut shop, "tote", "RED TOTE", "bags", (500, "GBP")).await;
    shop.index().await;
    // One service is unreachable, another accepts connections and never answers.
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [free, silent.local_addr().unwrap()] {
        let mut args = shop.cli.query.clone();
        args.meaning.embeddings_url = format!("http://{address}/v1");
        args.meaning.embedding_timeout_ms = 1000.try_into().unwrap();
        let base = shop.serve_with(shop.cli.connections.clone(), args).await;
        let started = Instant::now();
        for _ in 0..20 {
            let response = get(&base, "/v1/search?q=tote").await;
            assert_eq!((response.products(), &response.body["searched_by"]), (vec!["tote"], &json!("words")));
        }
        assert!(started.elapsed() < Duration::from_secs(8), "a time-out for each search: {:?}", started.elapsed());
        let metrics = reqwest::get(format!("{base}/metrics")).await.unwrap().text().await.unwrap();
        assert!(metrics.contains("query_searches_total{searched_by=\"words\"} 20"), "{metrics}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_of_one_generation() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    shop.fold_by(&ES_SYNC).await;
    let (before, after) = (shop.generation.clone(), shop.generation(&ES_SYNC, "ready").await);
    upsert(&mut shop, "tote", "RED TOTE", "bags", (500, "GBP")).await;
    upsert(&mut shop, "purse", "RED PURSE", "bags", (500, "GBP")).await;
    shop.index().await;
    shop.fold_into(after.clone(), 2026);
    upsert(&mut shop, "tote", "BLUE TOTE", "bags", (500, "GBP")).await;
    shop.index().await;

    let summary = |response: &Response| -> (Vec<String>, Value, Option<String>) {
        let titles = response.body["items"].as_array().unwrap().iter();
        let titles = titles.map(|item| item["product"]["title"].as_str().unwrap().to_owned()).collect();
        (titles, response.body["facets"]["colors"][0]["value"].clone(), response.generations.clone())
    };
    let of = |generation: &jangbogo_store::Generation| Some(format!("es-sync={}", generation.id));
    let path = "/v1/search?category=bags";
    assert_eq!(
        summary(&get(&base, path).await),
        (vec!["RED PURSE".into(), "RED TOTE".into()], json!("red"), of(&before))
    );
    shop.switch_to(&after).await;
    assert_eq!(summary(&get(&base, path).await), (vec!["BLUE TOTE".into()], json!("blue"), of(&after)));
}
