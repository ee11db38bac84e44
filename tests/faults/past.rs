//! `replay at`: what is served of a past moment is what the shop would have served if nothing had happened since.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_events::{Data, Event};
use jangbogo_recommendation_fold::RECOMMENDATION;
use serde_json::Value;

use crate::answers::Service;
use crate::load::Shoppers;
use crate::replaying::{replay, said, stored, succeed};
use crate::scale::{scale, turn};
use crate::support::Shop;

const MOMENT: &str = "2011-06-02T12:00:00Z";

#[tokio::test(flavor = "multi_thread")]
async fn a_past_moment_answers_as_if_nothing_had_happened_since() {
    let _turn = turn().await;
    let moment: DateTime<Utc> = MOMENT.parse().unwrap();
    let mut shoppers = Shoppers::new(12);
    let events: Vec<Event> = (0..scale(4_000, 40_000)).map(|_| shoppers.next()).collect();
    let earlier: Vec<Event> = events.iter().filter(|event| event.envelope.time <= moment).cloned().collect();
    let (now, now_service) = open("now", &events).await;
    let (then, then_service) = open("then", &earlier).await;

    let mut as_of = Vec::new();
    for processor in [&RECOMMENDATION, &ANALYTICS] {
        let message = succeed(&now, &["at", MOMENT, processor.name]).await;
        let id = stored(&now, processor).await.last().unwrap().generation.id.to_string();
        assert!(message.contains(&format!("?as_of={id}")), "{message}");
        let promoted = replay(&now, &["promote", processor.name, "--generation", &id]).await;
        assert!(!promoted.status.success() && said(&promoted).contains("never goes live"), "{}", said(&promoted));
        as_of.push(id);
    }
    let as_of = as_of.join(",");
    let mut changed = BTreeSet::new();
    let questions = questions(&earlier);
    for (route, path) in &questions {
        let separator = if path.contains('?') { '&' } else { '?' };
        let past = answer(&now_service, &format!("{path}{separator}as_of={as_of}")).await;
        assert_eq!(past, answer(&then_service, path).await, "{path}");
        if past != answer(&now_service, path).await {
            changed.insert(*route);
        }
    }
    let routes: BTreeSet<_> = questions.iter().map(|(route, _)| *route).collect();
    assert_eq!(changed, routes, "of each route an answer has changed since");
    println!(
        "at: {} of {} events happened by {MOMENT}; {} answers with ?as_of= are those of a shop that knows no more",
        earlier.len(),
        events.len(),
        questions.len()
    );
    now.close().await;
    then.close().await;
}

/// A shop that has folded these events, and what it answers.
async fn open(name: &str, events: &[Event]) -> (Shop, Service) {
    let mut shop = Shop::open(name).await;
    shop.start_processors();
    shop.produce(events).await;
    shop.settle().await;
    let service = Service::start(&mut shop, BTreeMap::new()).await;
    (shop, service)
}

/// What is answered, but for the name of the request.
async fn answer(service: &Service, path: &str) -> (u16, Value) {
    let (status, mut answer) = service.ask(path).await;
    answer.as_object_mut().unwrap().remove("instance");
    (status, answer)
}

/// Paths to ask for, with the names of their routes.
fn questions(events: &[Event]) -> Vec<(&'static str, String)> {
    let mut questions = vec![
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
            questions.push(("recommendations", format!("members/{member}/recommendations")));
            questions.push(("pattern", format!("members/{member}/purchase-pattern")));
        }
        questions.push(("similar", format!("products/{}/similar", order.items[0].product_id)));
    }
    questions
}
