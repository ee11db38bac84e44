//! `replay at`: answers as of a past time equal those of a shop whose log ends at that time.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_events::{Data, Event};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_test_support::Shop;
use serde_json::Value;

use crate::answers::Service;
use crate::load::Shoppers;
use crate::replaying::{output_text, replay, stored, succeed};
use crate::scale::scale;

const AS_OF: &str = "2011-06-02T12:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn an_as_of_generation_answers_as_a_shop_whose_log_ends_then() {
    let time: DateTime<Utc> = AS_OF.parse().unwrap();
    let mut shoppers = Shoppers::new(12);
    let events = shoppers.events(scale(4_000, 40_000));
    let earlier: Vec<Event> = events.iter().filter(|event| event.envelope.time <= time).cloned().collect();
    let (now, now_service) = open_folded("now", &events).await;
    let (then, then_service) = open_folded("then", &earlier).await;

    let mut as_of = Vec::new();
    for processor in [&RECOMMENDATION, &ANALYTICS] {
        let message = succeed(&now, &["at", AS_OF, processor.name]).await;
        let id = stored(&now, processor).await.last().unwrap().generation.id.to_string();
        assert!(message.contains(&format!("?as_of={id}")), "{message}");
        let promoted = replay(&now, &["promote", processor.name, "--generation", &id]).await;
        assert!(
            !promoted.status.success() && output_text(&promoted).contains("never goes live"),
            "{}",
            output_text(&promoted)
        );
        as_of.push(id);
    }
    let as_of = as_of.join(",");
    let mut changed = BTreeSet::new();
    let queries = queries(&earlier);
    for (route, path) in &queries {
        let separator = if path.contains('?') { '&' } else { '?' };
        let past = answer(&now_service, &format!("{path}{separator}as_of={as_of}")).await;
        assert_eq!(past, answer(&then_service, path).await, "{path}");
        if past != answer(&now_service, path).await {
            changed.insert(*route);
        }
    }
    let routes: BTreeSet<_> = queries.iter().map(|(route, _)| *route).collect();
    assert_eq!(changed, routes, "of each route an answer has changed since");
    println!(
        "at: {} of {} events happened by {AS_OF}; {} answers with ?as_of= equal those of a shop whose log ends there",
        earlier.len(),
        events.len(),
        queries.len()
    );
    now.close().await;
    then.close().await;
}

/// A shop that has folded these events, and its query service.
async fn open_folded(name: &str, events: &[Event]) -> (Shop, Service) {
    let mut shop = Shop::open(name).await;
    shop.start_processors();
    shop.produce(events).await;
    shop.settle().await;
    let service = Service::start(&mut shop, BTreeMap::new()).await;
    (shop, service)
}

/// Status and body of an answer, without the request id.
async fn answer(service: &Service, path: &str) -> (u16, Value) {
    let (status, mut answer) = service.ask(path).await;
    answer.as_object_mut().unwrap().remove("instance");
    (status, answer)
}

/// Paths to query, with the names of their routes.
fn queries(events: &[Event]) -> Vec<(&'static str, String)> {
    let mut queries = vec![
        ("trending", "trending?limit=50".to_owned()),
        ("totals", "analytics/totals".to_owned()),
        ("days", "analytics/days?from=2011-06-01&to=2011-06-04".to_owned()),
    ];
    let orders = events.iter().filter_map(|event| match &event.data {
        Data::OrderCompleted(order) => Some(order),
        _ => None,
    });
    for order in orders.take(50) {
        if let Some(member) = &order.member_id {
            queries.push(("recommendations", format!("members/{member}/recommendations")));
            queries.push(("pattern", format!("members/{member}/purchase-pattern")));
        }
        queries.push(("similar", format!("products/{}/similar", order.items[0].product_id)));
    }
    queries
}
