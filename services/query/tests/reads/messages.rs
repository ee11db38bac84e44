//! Search in a member's messages.

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::MessageCreated;
use reqwest::StatusCode;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::shop::{Response, Shop, get};

const LUNCH: Uuid = Uuid::from_u128(0x0193_9d2e_6c00_7a10_8000_0000_0000_0001);
const PARTY: Uuid = Uuid::from_u128(0x0193_9d2e_6c00_7a10_8000_0000_0000_0002);

/// Folds a message; its number is its id.
async fn say(shop: &mut Shop, number: u128, member_id: &str, conversation_id: Uuid, role: &str, content: &str) {
    let message = json!({
        "message_id": Uuid::from_u128(number), "conversation_id": conversation_id, "member_id": member_id,
        "role": role, "content": content,
    });
    shop.fold::<MessageCreated>(message).await;
}

/// The numbers of the messages found.
fn numbers(response: &Response) -> Vec<u128> {
    let messages = response.body["messages"].as_array().unwrap_or_else(|| panic!("{}", response.body));
    let number = |message: &Value| message["message_id"].as_str().unwrap().parse::<Uuid>().unwrap().as_u128();
    messages.iter().map(number).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_search_finds_only_the_members_own_messages() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let path = |member: &str, rest: &str| format!("/v1/members/{member}/messages?q={rest}");
    assert_eq!(get(&base, &path("mina", "bag")).await.status, StatusCode::SERVICE_UNAVAILABLE, "there is no index yet");
    shop.fold_by(&ES_SYNC).await;
    say(&mut shop, 1, "mina", LUNCH, "user", "I am looking for a red lunch bag").await;
    say(&mut shop, 2, "mina", LUNCH, "ai", "Here is a lunch bag, RED RETROSPOT, for £1.65 <b>only</b>").await;
    say(&mut shop, 3, "mina", PARTY, "user", "생일 파티에 쓸 빨간 풍선을 찾고 있어요").await;
    say(&mut shop, 4, "mina", PARTY, "user", "and candles for the cake").await;
    // Other members with similar ids, even in the same conversation.
    for (number, member) in [(11, "MINA"), (12, "mina2"), (13, "*"), (14, "mina jun")] {
        say(&mut shop, number, member, LUNCH, "user", "a red lunch bag, 빨간 풍선").await;
    }
    shop.index().await;

    let bags = get(&base, &path("mina", "lunch%20bags")).await;
    assert_eq!(bags.generations, Some(format!("es-sync={}", shop.generation.id)));
    assert_eq!((numbers(&bags).len(), &bags.body["total"]), (2, &json!(2)), "in either number: {}", bags.body);
    let first = bags.body["messages"].as_array().unwrap().iter().find(|one| one["role"] == "user").unwrap();
    let expected = json!({
        "conversation_id": LUNCH, "message_id": Uuid::from_u128(1), "event_id": "event-1", "role": "user",
        "said_at": "2026-03-01T12:00:01Z", "text": "I am looking for a red lunch bag", "score": first["score"],
    });
    assert_eq!(first, &expected);

    // Korean words are found with any particle.
    for (words, found) in [("풍선", vec![3]), ("풍선이", vec![3]), ("candle", vec![4]), ("retrospot", vec![2])] {
        assert_eq!(numbers(&get(&base, &path("mina", words)).await), found, "{words}");
    }
    // No query reaches other members' messages.
    for (member, found) in
        [("mina", vec![1, 2]), ("MINA", vec![11]), ("mina2", vec![12]), ("%2A", vec![13]), ("mi", vec![])]
    {
        let response = get(&base, &path(member, "bag")).await;
        let mut all = numbers(&response);
        all.sort_unstable();
        assert_eq!((all, &response.body["total"]), (found.clone(), &json!(found.len())), "{member}");
    }
    for query in ["*", "mina2", "member_id:mina2", "bag%20OR%20member_id:*"] {
        let found = numbers(&get(&base, &path("mina", query)).await);
        assert!(found.iter().all(|number| *number < 10), "{query}: {found:?}");
    }

    // Within one conversation, page by page, and highlighted.
    assert_eq!(numbers(&get(&base, &path("mina", &format!("bag&conversation_id={PARTY}"))).await), Vec::<u128>::new());
    let mut pages = Vec::new();
    for offset in 0..3 {
        let page = get(&base, &path("mina", &format!("bag&limit=1&offset={offset}"))).await;
        assert_eq!((&page.body["total"], &page.body["offset"]), (&json!(2), &json!(offset)));
        pages.extend(numbers(&page));
    }
    assert_eq!(pages, numbers(&get(&base, &path("mina", "bag")).await));
    let marked = get(&base, &path("mina", "only&highlight=true")).await;
    let highlight = marked.body["messages"][0]["highlight"].as_str().unwrap();
    assert!(highlight.contains("&lt;b&gt;<em>only</em>&lt;&#x2F;b&gt;"), "the text is escaped: {highlight}");
    let marked = get(&base, &path("mina", "풍선&highlight=true")).await;
    assert!(marked.body["messages"][0]["highlight"].as_str().unwrap().contains("<em>풍선</em>"), "{}", marked.body);

    for refused in [path("mina", ""), format!("{}&as_of={}", path("mina", "bag"), shop.generation.id)] {
        let response = get(&base, &refused).await;
        let slug = json!("urn:jangbogo:problem:invalid-parameter");
        assert_eq!((response.status, &response.body["type"]), (StatusCode::BAD_REQUEST, &slug), "{refused}");
    }
}
