//! Decisions about orders and cancellations, on the gateway's own tables: a projection may lag.
//!
//! Each decision locks the order's row first, so that cancellations of one order are serialised.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use jangbogo_events::{Currency, Data, MemberId, OrderCancelled, OrderCompleted, OrderId, OrderItem, derived_id};
use jangbogo_http::problem::{Problem, ProblemPart};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::{CancelOrder, CommandError, Decision, reject, sha256};

/// Units and money of one product.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    units: i64,
    minor: i64,
}

pub(super) async fn decide_order(
    transaction: &mut PgConnection,
    order: &OrderCompleted,
) -> Result<Decision, CommandError> {
    let event_id = derived_id(&["order", &order.order_id]);
    let data = Data::from(order.clone());
    let hash = sha256(&data.to_json()?);
    let inserted = sqlx::query(
        "INSERT INTO decision_order (order_id, event_id, member_id, currency, event_sha256)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT (order_id) DO NOTHING",
    )
    .bind(order.order_id.as_str())
    .bind(event_id)
    .bind(order.member_id.as_deref())
    .bind(order.currency.as_str())
    .bind(&hash)
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() == 0 {
        let stored_hash: Vec<u8> = sqlx::query_scalar("SELECT event_sha256 FROM decision_order WHERE order_id = $1")
            .bind(order.order_id.as_str())
            .fetch_one(transaction)
            .await?;
        return same_or_conflict("order", &order.order_id, event_id, stored_hash == hash);
    }
    let (products, units, minors) = columns(&sum_by_product(&order.items));
    sqlx::query(
        "INSERT INTO decision_order_item (order_id, product_id, ordered_units, ordered_minor)
         SELECT $1, item.* FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS item",
    )
    .bind(order.order_id.as_str())
    .bind(products)
    .bind(units)
    .bind(minors)
    .execute(transaction)
    .await?;
    Ok(Decision::new(event_id, data))
}

pub(super) async fn decide_cancellation(
    transaction: &mut PgConnection,
    order_id: &OrderId,
    cancel: &CancelOrder,
) -> Result<Decision, CommandError> {
    let Some(cancelled) = lock_order(transaction, order_id, cancel).await? else {
        let detail = format!(
            "no order {order_id:?} was accepted by this gateway; a cancellation of another order is a fact for \
             /v1/cancellations"
        );
        return reject(Problem::new(StatusCode::NOT_FOUND, "unknown-order", "Unknown order", detail));
    };
    let decision = insert_cancellation(transaction, &cancelled).await?;
    if decision.events.is_empty() {
        return Ok(decision);
    }
    let left = remaining(transaction, order_id).await?;
    let sums = sum_by_product(&cancel.items);
    let errors = exceeding(&cancel.items, &sums, &left);
    if !errors.is_empty() {
        let detail = format!("order {order_id:?} has less left than is to be cancelled; nothing was");
        let problem = Problem::new(StatusCode::CONFLICT, "cancels-more-than-ordered", "More than ordered", detail);
        return reject(problem.with_errors(errors));
    }
    add_cancelled(transaction, order_id, &sums).await?;
    Ok(decision)
}

/// Records a cancellation that the shop has decided: it is never rejected, but reduces what is left of its order.
pub(super) async fn record(
    transaction: &mut PgConnection,
    cancelled: &OrderCancelled,
) -> Result<Decision, CommandError> {
    if let Some(order_id) = &cancelled.order_id {
        sqlx::query("SELECT FROM decision_order WHERE order_id = $1 FOR UPDATE")
            .bind(order_id.as_str())
            .execute(&mut *transaction)
            .await?;
    }
    let decision = insert_cancellation(transaction, cancelled).await?;
    if let Some(order_id) = &cancelled.order_id
        && !decision.events.is_empty()
    {
        add_cancelled(transaction, order_id, &sum_by_product(&cancelled.items)).await?;
    }
    Ok(decision)
}

/// Locks the order's row and completes the cancellation with the order's member and currency.
async fn lock_order(
    transaction: &mut PgConnection,
    order_id: &OrderId,
    cancel: &CancelOrder,
) -> Result<Option<OrderCancelled>, CommandError> {
    let order = sqlx::query("SELECT member_id, currency FROM decision_order WHERE order_id = $1 FOR UPDATE")
        .bind(order_id.as_str())
        .fetch_optional(transaction)
        .await?;
    let Some(order) = order else { return Ok(None) };
    let undecodable = |error: jangbogo_events::InvalidValue| sqlx::Error::Decode(Box::new(error));
    let member_id: Option<&str> = order.try_get("member_id")?;
    Ok(Some(OrderCancelled {
        cancellation_id: cancel.cancellation_id.clone(),
        order_id: Some(order_id.clone()),
        member_id: member_id.map(MemberId::new).transpose().map_err(undecodable)?,
        currency: Currency::new(order.try_get("currency")?).map_err(undecodable)?,
        items: cancel.items.clone(),
    }))
}

async fn insert_cancellation(
    transaction: &mut PgConnection,
    cancelled: &OrderCancelled,
) -> Result<Decision, CommandError> {
    let event_id = derived_id(&["cancellation", &cancelled.cancellation_id]);
    let data = Data::from(cancelled.clone());
    let hash = sha256(&data.to_json()?);
    let inserted = sqlx::query(
        "INSERT INTO decision_cancellation (cancellation_id, event_id, event_sha256) VALUES ($1, $2, $3)
         ON CONFLICT (cancellation_id) DO NOTHING",
    )
    .bind(cancelled.cancellation_id.as_str())
    .bind(event_id)
    .bind(&hash)
    .execute(&mut *transaction)
    .await?;
    if inserted.rows_affected() == 1 {
        return Ok(Decision::new(event_id, data));
    }
    let stored_hash: Vec<u8> =
        sqlx::query_scalar("SELECT event_sha256 FROM decision_cancellation WHERE cancellation_id = $1")
            .bind(cancelled.cancellation_id.as_str())
            .fetch_one(transaction)
            .await?;
    same_or_conflict("cancellation", &cancelled.cancellation_id, event_id, stored_hash == hash)
}

async fn remaining(transaction: &mut PgConnection, order_id: &OrderId) -> Result<BTreeMap<String, Sum>, CommandError> {
    let rows = sqlx::query(
        "SELECT product_id, ordered_units - cancelled_units AS units, ordered_minor - cancelled_minor AS minor
         FROM decision_order_item WHERE order_id = $1",
    )
    .bind(order_id.as_str())
    .fetch_all(transaction)
    .await?;
    let mut left = BTreeMap::new();
    for row in rows {
        left.insert(row.try_get("product_id")?, Sum { units: row.try_get("units")?, minor: row.try_get("minor")? });
    }
    Ok(left)
}

async fn add_cancelled(
    transaction: &mut PgConnection,
    order_id: &OrderId,
    sums: &BTreeMap<&str, Sum>,
) -> Result<(), CommandError> {
    let (products, units, minors) = columns(sums);
    sqlx::query(
        "UPDATE decision_order_item AS known
         SET cancelled_units = cancelled_units + item.units, cancelled_minor = cancelled_minor + item.minor
         FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS item (product_id, units, minor)
         WHERE known.order_id = $1 AND known.product_id = item.product_id",
    )
    .bind(order_id.as_str())
    .bind(products)
    .bind(units)
    .bind(minors)
    .execute(transaction)
    .await?;
    Ok(())
}

fn sum_by_product(items: &[OrderItem]) -> BTreeMap<&str, Sum> {
    let mut sums: BTreeMap<&str, Sum> = BTreeMap::new();
    for item in items {
        let sum = sums.entry(item.product_id.as_str()).or_default();
        sum.units += item.quantity.units();
        sum.minor += item.total_minor;
    }
    sums
}

fn columns<'a>(sums: &BTreeMap<&'a str, Sum>) -> (Vec<&'a str>, Vec<i64>, Vec<i64>) {
    let products = sums.keys().copied().collect();
    let units = sums.values().map(|sum| sum.units).collect();
    let minors = sums.values().map(|sum| sum.minor).collect();
    (products, units, minors)
}

/// One part for each product of which more would be cancelled than is left, at its first item.
fn exceeding(items: &[OrderItem], sums: &BTreeMap<&str, Sum>, left: &BTreeMap<String, Sum>) -> Vec<ProblemPart> {
    let mut errors = Vec::new();
    for (product_id, sum) in sums {
        let left = left.get(*product_id).copied().unwrap_or_default();
        if sum.units <= left.units && sum.minor <= left.minor {
            continue;
        }
        let index = items.iter().position(|item| item.product_id.as_str() == *product_id).unwrap_or_default();
        let detail = format!(
            "product {product_id:?}: {} units for {} are to be cancelled, {} units for {} are left (minor units)",
            sum.units, sum.minor, left.units, left.minor
        );
        errors.push(ProblemPart { line: None, pointer: format!("/items/{index}"), detail });
    }
    errors
}

fn same_or_conflict(kind: &str, id: &str, event_id: Uuid, same: bool) -> Result<Decision, CommandError> {
    if same {
        return Ok(Decision::before(event_id));
    }
    let detail = format!("{kind} {id:?} was accepted before with another body, as event {event_id}");
    reject(Problem::new(StatusCode::CONFLICT, &format!("{kind}-conflict"), "Already accepted", detail))
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{ProductId, Quantity};

    use super::*;

    fn item(product: &str, units: i64, total_minor: i64) -> OrderItem {
        OrderItem { product_id: ProductId::new(product).unwrap(), quantity: Quantity::new(units).unwrap(), total_minor }
    }

    #[test]
    fn lines_of_one_product_are_cancelled_together() {
        let items = [item("a", 2, 20), item("b", 1, 5), item("a", 3, 30)];
        let sums = sum_by_product(&items);
        assert_eq!(sums["a"], Sum { units: 5, minor: 50 });
        let left = [("a".to_owned(), Sum { units: 5, minor: 50 }), ("b".to_owned(), Sum { units: 1, minor: 5 })];
        assert!(exceeding(&items, &sums, &left.into()).is_empty());

        let left = [("a".to_owned(), Sum { units: 4, minor: 50 })];
        let errors = exceeding(&items, &sums, &left.into());
        assert_eq!(errors.len(), 2);
        assert_eq!(errors[0].pointer, "/items/0");
        assert!(errors[0].detail.contains("5 units for 50 are to be cancelled, 4 units for 50 are left"));
        assert_eq!(errors[1].pointer, "/items/1");
    }

    #[test]
    fn money_is_bounded_as_units_are() {
        let items = [item("a", 1, 11)];
        let left = [("a".to_owned(), Sum { units: 1, minor: 10 })];
        assert_eq!(exceeding(&items, &sum_by_product(&items), &left.into()).len(), 1);
    }
}
