//! Announces a member's purchase pattern when it changed.
//!
//! The announced pattern is the current one, not that after the order. During the import of a history the fold is far
//! ahead of the announcements: a member's first order announces the pattern of all their orders, and the later ones
//! find it announced. So there are about as many announcements as members: 5,132 in the import of the demo shop's year,
//! with 18,966 orders of 4,285 members.

use std::borrow::Cow;
use std::collections::BTreeSet;

use futures::future::BoxFuture;
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_analytics_fold::purchases::{ANNOUNCED_VIEW, PATTERN_VIEW};
use jangbogo_events::{Data, Event, MemberId, Money, PurchasePatternAnalyzed, Topic};
use jangbogo_fold::BatchPolicy;
use jangbogo_react::{Failure, Reactor, ReactorSpec, Snapshot, SnapshotPosition};
use serde_json::{Value, json};

pub(crate) static SPEC: ReactorSpec = ReactorSpec {
    processor: "analytics",
    name: "pattern",
    reads: &[Topic::OrderCompleted],
    emits: &[Topic::PurchasePatternAnalyzed],
    parallel: 8,
    batch_policy: BatchPolicy::Linger,
    newest_only: true,
};

pub(crate) struct PatternReactor;

impl Reactor for PatternReactor {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        member_of(event).map(|_| "pattern".into())
    }

    fn react<'a>(&'a self, event: &'a Event, mut snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            let Some(member_id) = member_of(event) else { return Ok(Vec::new()) };
            let announced = value(&mut snapshot, ANNOUNCED_VIEW, member_id).await?;
            let pattern = value(&mut snapshot, PATTERN_VIEW, member_id).await?;
            let _ = snapshot.close();
            // None if the orders were wiped since.
            let Some(mut pattern) = pattern else { return Ok(Vec::new()) };
            pattern["member_id"] = json!(member_id);
            let pattern: PurchasePatternAnalyzed = serde_json::from_value(pattern)?;
            let announced = announced.map(|mut announced| serde_json::from_value(announced["pattern"].take()));
            let has_changed = announced.transpose()?.is_none_or(|announced| has_changed(&announced, &pattern));
            Ok(has_changed.then(|| pattern.into()).into_iter().collect())
        })
    }

    /// No announcement: the member's next order announces the pattern.
    fn fallback(&self, _: &Event, _: &SnapshotPosition) -> Vec<Data> {
        Vec::new()
    }
}

fn member_of(event: &Event) -> Option<&MemberId> {
    match &event.data {
        Data::OrderCompleted(order) => order.member_id.as_ref(),
        _ => None,
    }
}

async fn value(snapshot: &mut Snapshot, view: &'static str, member_id: &MemberId) -> Result<Option<Value>, Failure> {
    let view = ANALYTICS.view(view).ok_or_else(|| format!("analytics has no view {view}"))?;
    Ok(snapshot.rows().view(view, &[member_id.to_string()]).await?.pop().flatten())
}

/// True if the pattern has more orders and differs: see `PurchasePatternAnalyzed`.
fn has_changed(announced: &PurchasePatternAnalyzed, pattern: &PurchasePatternAnalyzed) -> bool {
    let rhythms = (announced.median_days_between_orders, pattern.median_days_between_orders);
    let rhythm_differs = match rhythms {
        (Some(before), Some(now)) => differs(before, now),
        (before, now) => before.is_some() != now.is_some(),
    };
    pattern.orders > announced.orders
        && (rhythm_differs
            || differs(announced.mean_units_per_order, pattern.mean_units_per_order)
            || amounts_differ(&announced.mean_order_value, &pattern.mean_order_value)
            || set(&announced.favourite_hours) != set(&pattern.favourite_hours)
            || set(&announced.favourite_categories) != set(&pattern.favourite_categories))
}

/// True for a change by more than a tenth of the former value.
fn differs(before: f64, now: f64) -> bool {
    (now - before).abs() > before.abs() / 10.0
}

/// True if the currencies differ, or an amount by more than a tenth. Both lists are ordered by currency.
fn amounts_differ(before: &[Money], now: &[Money]) -> bool {
    before.len() != now.len()
        || before.iter().zip(now).any(|(before, now)| {
            let difference = i128::from(now.amount_minor) - i128::from(before.amount_minor);
            before.currency != now.currency || difference.abs() * 10 > i128::from(before.amount_minor).abs()
        })
}

fn set<T: Ord>(values: &[T]) -> BTreeSet<&T> {
    values.iter().collect()
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{CategoryId, Currency, Payload as _};

    use super::*;

    fn money(amount_minor: i64, currency: &str) -> Money {
        Money { amount_minor, currency: Currency::new(currency).unwrap() }
    }

    fn later() -> PurchasePatternAnalyzed {
        PurchasePatternAnalyzed { orders: 13, ..PurchasePatternAnalyzed::example() }
    }

    #[test]
    fn another_order_of_the_same_kind_changes_nothing() {
        let announced = PurchasePatternAnalyzed { favourite_hours: vec![10, 12], ..PurchasePatternAnalyzed::example() };
        let same = PurchasePatternAnalyzed {
            median_days_between_orders: Some(21.5 * 1.09),
            mean_units_per_order: 96.0 * 0.91,
            mean_order_value: vec![money(23_474, "GBP")],
            favourite_hours: vec![12, 10],
            ..later()
        };
        assert!(!has_changed(&announced, &same));
        // A pattern without more orders was announced before.
        let other = PurchasePatternAnalyzed { orders: 12, mean_units_per_order: 1.0, ..same };
        assert!(!has_changed(&announced, &other));
    }

    #[test]
    fn each_part_of_a_pattern_can_change() {
        let cups = CategoryId::new("cups").unwrap();
        let changes = [
            PurchasePatternAnalyzed { median_days_between_orders: Some(21.5 * 1.11), ..later() },
            PurchasePatternAnalyzed { median_days_between_orders: None, ..later() },
            PurchasePatternAnalyzed { mean_units_per_order: 96.0 * 0.89, ..later() },
            PurchasePatternAnalyzed { mean_order_value: vec![money(23_475, "GBP")], ..later() },
            PurchasePatternAnalyzed { mean_order_value: vec![money(21_340, "KRW")], ..later() },
            PurchasePatternAnalyzed { mean_order_value: vec![money(21_340, "GBP"), money(1, "KRW")], ..later() },
            PurchasePatternAnalyzed { favourite_hours: vec![10, 13], ..later() },
            PurchasePatternAnalyzed { favourite_categories: vec![cups], ..later() },
        ];
        for changed in changes {
            assert!(has_changed(&PurchasePatternAnalyzed::example(), &changed), "{changed:?}");
        }
    }
}
