//! Invalid replays fail with an error that names cause and position, and the live generation stays.

use chrono::{TimeDelta, Utc};
use jangbogo_events::{Event, Topic};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_store::State;
use jangbogo_test_support::{Shop, headers_of};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset, TopicPartitionList};

use crate::load::Shoppers;
use crate::replaying::{live, output_text, refused, replay, stored, succeed};

/// A schema version that this program cannot read.
const FUTURE_VERSION: &str = "urn:jangbogo:schema:order-completed:v99";

#[tokio::test(flavor = "multi_thread")]
async fn invalid_replays_are_refused_and_the_live_generation_stays() {
    let mut shop = Shop::open("refusals").await;
    shop.start_processors();
    let mut shoppers = Shoppers::new(10);
    let events = shoppers.events(2_000);
    shop.produce(&events).await;
    let order = events.iter().find(|event| event.data.event_type().topic() == Topic::OrderCompleted).unwrap();
    produce_in_a_future_version(&shop, order).await;
    shop.settle().await;
    let before = live(&shop).await;

    an_unknown_projection_is_named(&shop).await;
    a_time_before_the_log_is_refused(&shop).await;
    an_unknown_schema_version_is_a_dead_letter_in_both_generations(&shop).await;
    a_generation_that_refused_a_folded_record_is_not_promoted(&shop).await;
    a_lost_log_head_is_reported(&shop).await;

    assert_eq!(live(&shop).await, before, "the live generations stay");
    println!("bad input: an unknown projection, a time before the log, a lost head and an unknown schema are refused");
    shop.close().await;
}

async fn an_unknown_projection_is_named(shop: &Shop) {
    for command in ["rebuild", "verify", "promote", "rollback", "list"] {
        let output = replay(shop, &[command, "recomendation"]).await;
        let message = output_text(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("recommendation, analytics, es-sync"), "{message}");
    }
}

async fn a_time_before_the_log_is_refused(shop: &Shop) {
    let message = refused(shop, &["at", "2001-01-01T00:00:00Z", RECOMMENDATION.name]).await;
    assert!(message.contains("2001-01-01") && message.contains("is before the log"), "{message}");
    assert!(message.contains("its earliest event is of 2011-06-01"), "{message}");
    assert_eq!(stored(shop, &RECOMMENDATION).await.len(), 1, "nothing is left of it");
}

/// Produces an order in a later schema version.
async fn produce_in_a_future_version(shop: &Shop, order: &Event) {
    let encoded = order.encode().unwrap();
    let id = Utc::now().timestamp_micros().to_string();
    let headers = encoded.headers.iter().map(|(name, value)| match *name {
        "ce_dataschema" => (*name, FUTURE_VERSION.as_bytes()),
        "ce_id" => (*name, id.as_bytes()),
        _ => (*name, value.as_bytes()),
    });
    let headers: Vec<(&str, &[u8])> = headers.collect();
    shop.produce_raw(encoded.topic, Some(encoded.key.clone()), headers_of(&headers), encoded.value.clone()).await;
}

async fn an_unknown_schema_version_is_a_dead_letter_in_both_generations(shop: &Shop) {
    succeed(shop, &["rebuild", RECOMMENDATION.name, "--no-promote"]).await;
    let generations = stored(shop, &RECOMMENDATION).await;
    assert_eq!(generations.iter().map(|stored| stored.state).collect::<Vec<_>>(), [State::Live, State::Ready]);
    for stored in &generations {
        let sql = format!("SELECT cause FROM {}.dead_letter", stored.generation.schema);
        let causes: Vec<String> = sqlx::query_scalar(&sql).fetch_all(&mut shop.database().await).await.unwrap();
        assert!(causes.len() == 1 && causes[0].contains("99"), "{causes:?}");
    }
    succeed(shop, &["drop", RECOMMENDATION.name, &generations[1].generation.id.to_string()]).await;
    succeed(shop, &["verify", "--all"]).await;
}

/// As when the live fold has read a record after the rebuild began, and the rebuild's older program cannot read it.
async fn a_generation_that_refused_a_folded_record_is_not_promoted(shop: &Shop) {
    succeed(shop, &["rebuild", RECOMMENDATION.name, "--no-promote"]).await;
    let refusing = stored(shop, &RECOMMENDATION).await.pop().unwrap().generation;
    let sql =
        format!("INSERT INTO {}.dead_letter VALUES ('order-completed', 1, 0, now(), 'unheard of')", refusing.schema);
    sqlx::query(&sql).execute(&mut shop.database().await).await.unwrap();
    let message = refused(shop, &["promote", RECOMMENDATION.name]).await;
    let cause =
        "order-completed/1 offset 0 was folded by the live generation and is a dead letter of this one: unheard of";
    assert!(message.contains(cause), "{message}");
    succeed(shop, &["drop", RECOMMENDATION.name, &refusing.id.to_string()]).await;
}

async fn a_lost_log_head_is_reported(shop: &Shop) {
    let topic = shop.connections.namespace.topic(Topic::OrderCompleted);
    let mut lost = TopicPartitionList::new();
    lost.add_partition_offset(&topic, 2, Offset::Offset(7)).unwrap();
    lost.add_partition_offset(&topic, 4, Offset::Offset(3)).unwrap();
    let admin: AdminClient<DefaultClientContext> = shop.connections.kafka_client("test").create().unwrap();
    admin.delete_records(&lost, &AdminOptions::new()).await.unwrap();
    let time = (Utc::now() + TimeDelta::days(1)).to_rfc3339();
    let commands: [&[&str]; 4] = [
        &["rebuild", RECOMMENDATION.name],
        &["verify", RECOMMENDATION.name],
        &["rebuild", RECOMMENDATION.name, "--dry-run"],
        &["at", &time, RECOMMENDATION.name],
    ];
    for command in commands {
        let message = refused(shop, command).await;
        let gone = "records at the start of the log are gone: order-completed/2 offsets 0 to 6, \
                    order-completed/4 offsets 0 to 2";
        assert!(message.contains(gone) && message.contains("the live generation is untouched"), "{message}");
    }
    assert_eq!(stored(shop, &RECOMMENDATION).await.len(), 1, "no fold is begun");
}
