//! A change of the embedding model while the shop serves: the old model's vectors are used until all of the new model's
//! are there, and vectors of different models are never compared.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use chrono::Utc;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{Envelope, Event, Payload, ProductId, ProductUpserted, Text, Topic};
use jangbogo_fold::Processor;
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_test_support::chat::ChatShop;
use serde_json::{Value, json};
use tokio::process::Command;

const OLD: &str = "all-MiniLM-L6-v2";
const NEW: &str = "multilingual-e5-small";
const TITLES: [&str; 8] = [
    "LUNCH BAG RED RETROSPOT",
    "JUMBO BAG BLUE PAISLEY",
    "COFFEE MUG BLUE PAISLEY",
    "GARDEN METAL SIGN",
    "WHITE HANGING HEART T-LIGHT HOLDER",
    "ALARM CLOCK BAKELIKE GREEN",
    "RED WOOLLY HOTTIE WHITE HEART",
    "SET OF 3 CAKE TINS PANTRY DESIGN",
];
const STRANGE_TITLES: [&str; 6] = [
    "🎁🎈👩‍👩‍👧",
    "가방 bag かばん мешок حقيبة 袋",
    "ㄱㄴㄷ ㅋㅋㅋ",
    "e\u{301}\u{301}\u{301}\u{200d}\u{fe0f}\u{feff}",
    "<|endoftext|> </s> [CLS] [MASK] query: passage: ",
    "\u{10ffff}",
];
const REBUILT_WITHIN: Duration = Duration::from_mins(2);
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

fn product(number: usize, title: &str) -> Event {
    let data = ProductUpserted {
        product_id: ProductId::new(format!("p{number}")).unwrap(),
        title: Text::new(title).unwrap(),
        description: None,
        ..ProductUpserted::example()
    };
    Event { envelope: Envelope::new(format!("product-{number}"), "test", Utc::now()), data: data.into() }
}

/// Number of vectors of each model in a processor's live generation.
async fn vectors(chat: &ChatShop, processor: &Processor) -> BTreeMap<String, i64> {
    let schema = chat.shop.live(processor).await.unwrap().generation.schema;
    let sql = format!("SELECT model, count(*) FROM {schema}.product_vector GROUP BY model");
    let rows: Vec<(String, i64)> = sqlx::query_as(&sql).fetch_all(&mut chat.shop.database().await).await.unwrap();
    rows.into_iter().collect()
}

/// The first product that is found by words and vector. On a busy machine the query's vector may come too late: then
/// the search is repeated.
async fn search(chat: &ChatShop, words: &str) -> String {
    let began = Instant::now();
    loop {
        let page = chat.get(&format!("/v1/search?q={words}")).await.unwrap();
        if page["searched_by"] == "words-and-meaning" {
            return page["items"][0]["product"]["product_id"].as_str().unwrap_or_default().to_owned();
        }
        assert!(began.elapsed() < ANSWERED_WITHIN, "{page}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The model of the vector in a message's intent, read from the log: no projection keeps it.
async fn model_of_intent(chat: &ChatShop) -> Value {
    let conversation = chat.open_conversation("mina").await;
    let message = chat.say(conversation, "빨간색 도시락 가방 추천해줘").await;
    chat.wait_for_reply(conversation, message, ANSWERED_WITHIN).await;
    let topic = chat.shop.connections.namespace.topic(Topic::PreferenceEvents);
    let records: i64 = chat.shop.end_offsets(&topic).into_iter().sum();
    let tail = ["events", "tail", "preference-events", "--json", "--from-beginning", "--max", &records.to_string()];
    let output = chat.shop.command(&tail).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    let events = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let is_of_message = |event: &Value| event["data"]["message_id"] == message.to_string();
    events.filter(is_of_message).map(|event| event["data"]["embedded"]["model"].clone()).next().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_model_serves_until_the_new_one_has_all_vectors() {
    let mut chat = ChatShop::open("models", &[]).await;
    let products: Vec<Event> = (0..).zip(TITLES).map(|(number, title)| product(number, title)).collect();
    chat.shop.produce(&products).await;
    chat.settle().await;
    let all = |model: &str, count: usize| BTreeMap::from([(model.to_owned(), i64::try_from(count).unwrap())]);
    for processor in [&RECOMMENDATION, &ES_SYNC] {
        assert_eq!(vectors(&chat, processor).await, all(OLD, TITLES.len()), "{}", processor.name);
    }
    assert_eq!(model_of_intent(&chat).await, OLD);

    chat.shop.run(&["models", "fetch", NEW]);
    // The rebuild waits for the new model's vectors; meanwhile the old generation serves. The time itself is tested: a
    // rebuild that did not wait would have ended by then.
    let mut rebuild = Command::from(chat.shop.command(&["replay", "rebuild", "recommendation", "es-sync"]));
    let mut rebuild = rebuild.env("EMBEDDING_MODEL", NEW).kill_on_drop(true).spawn().unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(rebuild.try_wait().unwrap().is_none(), "it does not wait for vectors that no embedder computes");
    assert_eq!(vectors(&chat, &RECOMMENDATION).await, all(OLD, TITLES.len()));
    assert_eq!(search(&chat, "red+lunch+bag").await, "p0");

    chat.shop.terminate("embedder");
    chat.start_processor_with("embedder", &[("EMBEDDING_MODEL", NEW)]);
    let status = tokio::time::timeout(REBUILT_WITHIN, rebuild.wait()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    for processor in [&RECOMMENDATION, &ES_SYNC] {
        assert_eq!(vectors(&chat, processor).await, all(NEW, TITLES.len()), "{}", processor.name);
    }
    // Nothing else was restarted or notified.
    assert_eq!(search(&chat, "red+lunch+bag").await, "p0");
    assert_eq!(model_of_intent(&chat).await, NEW);
    chat.shop.produce(&[product(TITLES.len(), "PARTY BUNTING")]).await;
    chat.settle().await;
    assert_eq!(vectors(&chat, &RECOMMENDATION).await, all(NEW, TITLES.len() + 1));

    invalid_and_unusual_texts_do_not_stop_the_embedder(&chat).await;

    // A rebuild without EMBEDDING_MODEL keeps the model.
    chat.shop.run(&["replay", "rebuild", "recommendation"]);
    assert_eq!(vectors(&chat, &RECOMMENDATION).await, all(NEW, TITLES.len() + 1 + STRANGE_TITLES.len()));
    chat.close().await;
}

/// Asks the embedder for vectors of invalid texts, and adds products with unusual titles.
async fn invalid_and_unusual_texts_do_not_stop_the_embedder(chat: &ChatShop) {
    let embed = async |body: Vec<u8>| {
        let answer = chat.client.post(format!("{}/embed", chat.embedder)).body(body).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let embed_text =
        async |model: &str, text: &str| embed(json!({ "text": text, "model": model }).to_string().into()).await;
    for model in [OLD, NEW] {
        for (text, what) in [("", "empty"), (" \u{3000}\n", "white space"), ("a\0b", "a control character")] {
            let (status, answer) = embed_text(model, text).await;
            assert_eq!((status, &answer["error"]["param"]), (400, &json!("text")), "{what}");
        }
        let long = "가방 bag 🎁 ".repeat(70_000);
        let megabyte = &long[..long.floor_char_boundary(1 << 20)];
        let (status, answer) = embed_text(model, megabyte).await;
        assert_eq!((status, &answer["truncated"]), (200, &json!(true)));
        assert_eq!(embed_text(model, &long).await.0, 400, "more than a megabyte");
        for text in STRANGE_TITLES {
            let (status, answer) = embed_text(model, text).await;
            let length: f64 = answer["embedding"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap().powi(2)).sum();
            assert!(status == 200 && (length - 1.0).abs() < 1e-5, "{text}: {status}, {length}");
        }
    }
    assert_eq!(embed(b"{\"text\": \"\xff\xfe\"}".to_vec()).await.0, 400);
    let products: Vec<Event> = (100..).zip(STRANGE_TITLES).map(|(number, title)| product(number, title)).collect();
    chat.shop.produce(&products).await;
    chat.settle().await;
}
