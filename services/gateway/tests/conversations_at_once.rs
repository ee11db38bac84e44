//! Concurrent messages in a conversation, with a concurrent close, on a real Postgres.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod shop;

use std::time::Duration;

use serde_json::Value;
use shop::conversation::{close, id, open, post_message, problem_type};
use shop::{Shop, with_shop};

#[tokio::test]
async fn messages_of_each_conversation_stay_in_the_order_in_which_they_were_accepted() {
    with_shop(true, async |shop| {
        let url = shop.gateway().await;
        let (one, other) = (open(&url).await, open(&url).await);
        // In each conversation one client that waits for each answer, and nine that do not.
        let speak = |conversation: &str, speaker: usize| {
            let (url, conversation) = (url.clone(), conversation.to_owned());
            tokio::spawn(async move {
                let mut accepted = Vec::new();
                for number in 0..10 {
                    let (status, posted) = post_message(&url, &conversation, &format!("{speaker}/{number}")).await;
                    assert_eq!(status, 202, "{posted}");
                    accepted.push(id(&posted, "message_id"));
                }
                (conversation, accepted)
            })
        };
        let speakers: Vec<_> = (0..10).flat_map(|speaker| [speak(&one, speaker), speak(&other, speaker)]).collect();
        let mut accepted = Vec::new();
        for speaker in speakers {
            accepted.push(speaker.await.unwrap());
        }
        let order = "SELECT key, data->>'message_id' FROM outbox WHERE type = 'message-created' ORDER BY sequence";
        let order: Vec<(String, String)> = sqlx::query_as(order).fetch_all(&shop.pool).await.unwrap();
        assert_eq!(order.len(), 200);

        let _dispatcher = shop.dispatcher();
        shop.drained(Duration::from_secs(20)).await;
        let log = shop.log().await;
        for conversation in [&one, &other] {
            let sent: Vec<_> =
                log.iter().filter(|sent| sent.key == **conversation && has_message(&sent.data)).collect();
            let ids: Vec<&str> = sent.iter().map(|sent| sent.data["message_id"].as_str().unwrap()).collect();
            let committed = order.iter().filter(|(key, _)| key == conversation).map(|(_, id)| id.as_str());
            assert_eq!(ids, committed.collect::<Vec<_>>(), "the log has the order of the outbox");
            assert!(sent.windows(2).all(|pair| pair[0].time() < pair[1].time()), "event times strictly increase");
            assert!(sent.iter().all(|sent| sent.headers["ce_correlationid"] == **conversation));
            assert!(sent.iter().all(|sent| sent.data["role"] == "user" && sent.data["member_id"] == "13085"));
            for (_, spoken) in accepted.iter().filter(|(of, _)| of == conversation) {
                let places = spoken.iter().map(|id| ids.iter().position(|sent| sent == id).unwrap());
                assert!(places.is_sorted(), "a client that waits for each answer keeps its order");
            }
        }
    })
    .await;
}

fn has_message(data: &Value) -> bool {
    data.get("message_id").is_some()
}

#[tokio::test]
async fn no_message_is_accepted_after_a_concurrent_close() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        for _ in 0..5 {
            let conversation = open(&url).await;
            let speakers: Vec<_> = (0..16)
                .map(|number| {
                    let (url, conversation) = (url.clone(), conversation.clone());
                    tokio::spawn(async move {
                        let mut accepted = 0;
                        loop {
                            let (status, answer) =
                                post_message(&url, &conversation, &format!("message {number}")).await;
                            if status == 409 {
                                return accepted;
                            }
                            assert_eq!(status, 202, "{answer}");
                            accepted += 1;
                        }
                    })
                })
                .collect();
            while count_messages(&shop, &conversation).await < 20 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            let closers: Vec<_> = (0..3)
                .map(|_| {
                    let (url, conversation) = (url.clone(), conversation.clone());
                    tokio::spawn(async move { close(&url, &conversation).await })
                })
                .collect();
            let mut accepted = 0;
            for speaker in speakers {
                accepted += speaker.await.unwrap();
            }
            let mut closed = Vec::new();
            for closer in closers {
                closed.push(closer.await.unwrap());
            }
            assert!(closed.iter().all(|answer| answer.0 == 202 && *answer == closed[0]), "{closed:?}");
            let last = "SELECT count(*), (array_agg(type ORDER BY sequence DESC))[1], count(*) FILTER (
                WHERE type = 'conversation-closed') FROM outbox WHERE key = $1";
            let (events, last, times_closed): (i64, String, i64) =
                sqlx::query_as(last).bind(&conversation).fetch_one(&shop.pool).await.unwrap();
            assert_eq!((events, last.as_str(), times_closed), (accepted + 2, "conversation-closed", 1));
            let in_time = "SELECT bool_and(event_time < (SELECT event_time FROM outbox WHERE key = $1
                AND type = 'conversation-closed')) FROM outbox WHERE key = $1 AND type = 'message-created'";
            let in_time: bool = sqlx::query_scalar(in_time).bind(&conversation).fetch_one(&shop.pool).await.unwrap();
            assert!(in_time);
        }
    })
    .await;
}

async fn count_messages(shop: &Shop, conversation: &str) -> i64 {
    let sql = "SELECT count(*) FROM outbox WHERE key = $1 AND type = 'message-created'";
    sqlx::query_scalar(sql).bind(conversation).fetch_one(&shop.pool).await.unwrap()
}

#[tokio::test]
async fn a_post_waits_for_a_close_that_is_under_way_and_is_refused() {
    with_shop(false, async |shop| {
        let url = shop.gateway().await;
        let conversation = open(&url).await;
        let mut closing = shop.pool.begin().await.unwrap();
        let close = "UPDATE decision_conversation SET closing_event_id = gen_random_uuid(), closed_at = now()
            WHERE conversation_id = $1::uuid";
        sqlx::query(close).bind(&conversation).execute(&mut *closing).await.unwrap();
        let posting = {
            let (url, conversation) = (url.clone(), conversation.clone());
            tokio::spawn(async move { post_message(&url, &conversation, "one more thing").await })
        };
        // Another conversation goes on meanwhile.
        let other = open(&url).await;
        assert_eq!(post_message(&url, &other, "hello").await.0, 202);
        // The message must not be accepted while the close holds the lock.
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!posting.is_finished());
        closing.commit().await.unwrap();
        let (status, problem) = posting.await.unwrap();
        assert_eq!((status, problem_type(&problem)), (409, "conversation-closed"));
    })
    .await;
}
