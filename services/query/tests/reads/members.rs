//! A member's preferences and shown recommendations.

use jangbogo_events::{IntentAnalyzed, MessageCreated, RecommendationGenerated};
use jangbogo_preference_analysis_fold::PREFERENCE_ANALYSIS;
use jangbogo_recommendation_fold::RECOMMENDATION;
use reqwest::StatusCode;
use serde_json::json;

use crate::conversation_events::{
    CONVERSATION, QUESTION_ID, intent_analyzed, question, recommendation_generated, reply,
};
use crate::shop::{Shop, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn preferences_come_with_their_evidence() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let path = "/v1/members/mina/preferences";
    shop.fold_by(&PREFERENCE_ANALYSIS).await;
    let unknown = get(&base, path).await;
    assert_eq!(
        (unknown.status, &unknown.body["type"]),
        (StatusCode::NOT_FOUND, &json!("urn:jangbogo:problem:no-preferences"))
    );
    shop.product("tote", "RED TOTE").await;
    shop.fold::<MessageCreated>(question()).await;
    shop.fold::<IntentAnalyzed>(intent_analyzed()).await;
    shop.fold::<MessageCreated>(reply()).await;
    shop.order("o1", "mina", &["tote"]).await;

    let response = get(&base, path).await;
    assert_eq!(response.generations, Some(format!("preference-analysis={}", shop.generation.id)));
    let body = response.body;
    let (counts, language) = ((&body["acts"], &body["messages"]), (&body["sentiment_permille"], &body["language"]));
    assert_eq!((counts, language), ((&json!(1), &json!(1)), (&json!(200), &json!("en"))), "{body}");
    let evidence = json!({
        "message_id": QUESTION_ID, "event_id": "event-3", "at": "2026-03-01T12:00:03Z",
        "text": "a red bag, no plastic, below 3 pounds",
    });
    for (list, slot, value) in [("likes", "color", "red"), ("dislikes", "material", "plastic")] {
        let stated = &body[list][0];
        assert_eq!((&stated["slot"], &stated["value"]), (&json!(slot), &json!(value)), "{list}");
        assert!(stated["weight"].as_f64().unwrap() > 0.9, "{stated}");
        assert_eq!(stated["evidence"], json!([evidence]), "{list}");
    }
    let price = json!({ "currency": "GBP", "min_minor": null, "max_minor": 300, "evidence": evidence });
    assert_eq!(body["prices"], json!([price]));
    let implied = json!({
        "slot": "category", "value": "bags", "share": 1.0,
        "evidence": [{
            "product_id": "tote", "title": "RED TOTE", "act": "bought", "event_id": "event-5", "at": "2026-03-01T12:00:05Z",
        }],
    });
    assert!(body["implied"].as_array().unwrap().contains(&implied), "{body}");

    // Another generation, without the member's events.
    let then = shop.generation(&PREFERENCE_ANALYSIS, "ready").await;
    assert_eq!(get(&base, &format!("{path}?as_of={}", then.id)).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shown_recommendations_come_with_their_reasons() {
    let mut shop = Shop::start().await;
    let base = shop.serve(shop.cli.connections.clone()).await;
    let path = "/v1/members/mina/shown";
    let nothing = get(&base, path).await;
    let slug = json!("urn:jangbogo:problem:no-recommendations");
    assert_eq!((nothing.status, &nothing.body["type"]), (StatusCode::NOT_FOUND, &slug));
    shop.fold::<IntentAnalyzed>(intent_analyzed()).await;
    shop.fold::<RecommendationGenerated>(recommendation_generated("event-1")).await;
    shop.fold::<RecommendationGenerated>(recommendation_generated("event-0")).await;

    let list = get(&base, path).await;
    assert_eq!(list.generations, Some(format!("recommendation={}", shop.generation.id)));
    let all = &list.body["shown"];
    assert_eq!([&all[0], &all[1]].map(|one| &one["event_id"]), ["event-3", "event-2"]);
    assert_eq!(all[0]["intent"], json!(null), "its intent is not folded");
    let recommendation = recommendation_generated("event-1");
    for field in ["recommendation_id", "items", "weights", "generation", "folded_offsets"] {
        assert_eq!(all[1][field], recommendation[field], "{field}");
    }
    let ids = (&all[1]["conversation_id"], &all[1]["message_id"], &all[1]["shown_at"]);
    assert_eq!(ids, (&json!(CONVERSATION), &json!(QUESTION_ID), &json!("2026-03-01T12:00:02Z")));
    let intent = &all[1]["intent"];
    assert_eq!((&intent["event_id"], &intent["happened_at"]), (&json!("event-1"), &json!("2026-03-01T12:00:01Z")));
    assert_eq!(
        (&intent["request"]["words"], &intent["understood"]["intent"]),
        (&json!("red bag"), &json!("find-product"))
    );

    // Before an event, and before a time.
    let page = get(&base, &format!("{path}?limit=1")).await.body;
    assert_eq!((&page["shown"][0]["event_id"], &page["next"]), (&json!("event-3"), &json!("event-3")));
    for before in ["event-3", "2026-03-01T12:00:03Z", "2026-03-01T21:00:03%2B09:00"] {
        let page = get(&base, &format!("{path}?before={before}")).await.body;
        assert_eq!(page["shown"].as_array().map(Vec::len), Some(1), "{before}: {page}");
        assert_eq!((&page["shown"][0]["event_id"], &page["next"]), (&json!("event-2"), &json!(null)), "{before}");
    }
    let page = get(&base, &format!("{path}?before=2010-01-01T00:00:00Z")).await;
    assert_eq!((page.status, &page.body["shown"]), (StatusCode::OK, &json!([])), "nothing until then");
    assert_eq!(get(&base, &format!("{path}?before=lately")).await.status, StatusCode::BAD_REQUEST);

    // What another generation has.
    let then = shop.generation(&RECOMMENDATION, "ready").await;
    assert_eq!(get(&base, &format!("{path}?as_of={}", then.id)).await.status, StatusCode::NOT_FOUND);
    shop.fold_into(then.clone(), 2010);
    shop.fold::<RecommendationGenerated>(recommendation_generated("event-0")).await;
    let past = get(&base, &format!("{path}?as_of={}", then.id)).await;
    assert_eq!(past.generations, Some(format!("recommendation={}", then.id)));
    assert_eq!(past.body["shown"][0]["shown_at"], "2010-03-01T12:00:01Z");
}
