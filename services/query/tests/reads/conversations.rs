//! Conversations and their entries.

use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_events::{
    ConversationClosed, ConversationCreated, IntentAnalyzed, MessageCreated, RecommendationGenerated,
};
use reqwest::StatusCode;
use serde_json::json;
use uuid::Uuid;

use crate::conversation_events::{
    CONVERSATION, QUESTION_ID, REPLY_ID, conversation_created, intent_analyzed, message_created, question,
    recommendation_generated, reply,
};
use crate::shop::{Shop, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_is_read_as_it_happened() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let (one, entries) =
        (format!("/v1/conversations/{CONVERSATION}"), format!("/v1/conversations/{CONVERSATION}/entries"));
    shop.fold_by(&ASSISTANT).await;
    for path in [&one, &entries, "/v1/members/mina/conversations"] {
        assert_eq!(get(&base, path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    shop.fold::<ConversationCreated>(conversation_created()).await;
    shop.fold::<MessageCreated>(question()).await;
    shop.fold::<IntentAnalyzed>(intent_analyzed()).await;
    shop.fold::<RecommendationGenerated>(recommendation_generated("event-3")).await;
    shop.fold::<MessageCreated>(reply()).await;
    let then = shop.generation(&ASSISTANT, "ready").await;

    let conversation = get(&base, &one).await;
    assert_eq!(conversation.generations, Some(format!("assistant={}", shop.generation.id)));
    let expected = json!({
        "conversation_id": CONVERSATION, "member_id": "mina", "title": "Lunch", "opened_at": "2026-03-01T12:00:01Z",
        "closed_at": null, "messages": 2, "newest_at": "2026-03-01T12:00:05Z",
    });
    assert_eq!(conversation.body, expected);

    let all = get(&base, &entries).await.body;
    let shown: Vec<_> =
        all["entries"].as_array().unwrap().iter().map(|entry| (&entry["event_id"], &entry["kind"])).collect();
    let kinds = ["message", "intent", "recommendation", "message"].map(|kind| json!(kind));
    let ids = [2, 3, 4, 5].map(|number| json!(format!("event-{number}")));
    assert_eq!(shown, ids.iter().zip(&kinds).collect::<Vec<_>>());
    assert_eq!(all["next"], json!(null));
    let answer = &all["entries"][3];
    assert_eq!((&answer["message_id"], &answer["data"]["message_id"]), (&json!(QUESTION_ID), &json!(REPLY_ID)));
    assert_eq!(answer["data"]["content"], "Here is a red tote.");
    assert_eq!(all["entries"][2]["data"]["items"][0]["reason"], "red, below 3 pounds");

    // Page by page.
    let page = get(&base, &format!("{entries}?limit=2")).await.body;
    assert_eq!((page["entries"].as_array().unwrap().len(), &page["next"]), (2, &json!("event-3")));
    let page = get(&base, &format!("{entries}?limit=2&after=event-3")).await.body;
    assert_eq!((&page["entries"][0]["event_id"], &page["next"]), (&json!("event-4"), &json!(null)));
    let unknown = get(&base, &format!("{entries}?after=event-9")).await;
    assert_eq!(
        (unknown.status, &unknown.body["type"]),
        (StatusCode::BAD_REQUEST, &json!("urn:jangbogo:problem:invalid-parameter"))
    );

    // A second one, closed.
    let second = Uuid::from_u128(CONVERSATION.as_u128() + 1);
    shop.fold::<ConversationCreated>(json!({ "conversation_id": second, "member_id": "mina" })).await;
    shop.fold::<ConversationClosed>(json!({ "conversation_id": second })).await;
    let list = get(&base, "/v1/members/mina/conversations?limit=1").await.body;
    assert_eq!(list["conversations"][0]["conversation_id"], json!(second));
    assert_eq!(list["conversations"][0]["closed_at"], "2026-03-01T12:00:07Z");
    assert_eq!(list["next"], json!(second));
    let list = get(&base, &format!("/v1/members/mina/conversations?before={second}")).await.body;
    assert_eq!((&list["conversations"][0], &list["next"]), (&expected, &json!(null)));

    // In the past generation: not opened, and one message.
    shop.fold_into(then.clone(), 2010);
    shop.fold::<MessageCreated>(message_created(QUESTION_ID, "a bag")).await;
    let past = get(&base, &format!("{one}?as_of={}", then.id)).await;
    assert_eq!(past.generations, Some(format!("assistant={}", then.id)));
    let (member, opened, messages) = (&past.body["member_id"], &past.body["opened_at"], &past.body["messages"]);
    assert_eq!((member, opened, messages), (&json!("mina"), &json!(null), &json!(1)));
    let past = get(&base, &format!("{entries}?as_of={}", then.id)).await.body;
    assert_eq!(past["entries"][0]["data"]["content"], "a bag");

    let invalid = get(&base, "/v1/conversations/lunch").await;
    assert_eq!(invalid.status, StatusCode::BAD_REQUEST);
}
