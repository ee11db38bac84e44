//! Routes of the commands about products, orders and behaviours, and the answer of every command.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jangbogo_events::{EventType, OrderId};
use jangbogo_http::problem::Problem;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::request::CommandRequest;
use super::{Gateway, conversations, items};
use crate::store::{self, Command};

const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(super) fn commands() -> OpenApiRouter<Gateway> {
    OpenApiRouter::new()
        .routes(routes!(upsert_products))
        .routes(routes!(retire_products))
        .routes(routes!(complete_order))
        .routes(routes!(cancel_order))
        .routes(routes!(record_cancellation))
        .routes(routes!(record_behaviors))
        .merge(conversations::commands())
}

/// Puts products on sale, or replaces their attributes.
///
/// At most 5,000, as a JSON array or one on each line; all are accepted, or none.
#[utoipa::path(
    post,
    path = "/v1/products",
    tag = "catalogue",
    request_body(content(
        (ref("#/components/schemas/ProductUpsertedList") = "application/json"),
        (ref("#/components/schemas/ProductUpserted") = "application/x-ndjson"),
    )),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn upsert_products(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    let data = items::many(EventType::ProductUpserted, request.format, &request.body)?;
    execute(&gateway, "/v1/products", &request, Command::Record(data)).await
}

/// Takes products off sale.
///
/// At most 5,000, as a JSON array or one on each line; all are accepted, or none.
#[utoipa::path(
    post,
    path = "/v1/products/retirements",
    tag = "catalogue",
    request_body(content(
        (ref("#/components/schemas/ProductRetiredList") = "application/json"),
        (ref("#/components/schemas/ProductRetired") = "application/x-ndjson"),
    )),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn retire_products(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    let data = items::many(EventType::ProductRetired, request.format, &request.body)?;
    execute(&gateway, "/v1/products/retirements", &request, Command::Record(data)).await
}

/// States that an order was completed.
///
/// An order is accepted once: the same body again gives the same event id, another body is refused with 409.
#[utoipa::path(
    post,
    path = "/v1/orders",
    tag = "orders",
    request_body(content = ref("#/components/schemas/OrderCompleted"), content_type = "application/json"),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn complete_order(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    request.only_json()?;
    let command = Command::CompleteOrder(items::one(&request.body)?);
    execute(&gateway, "/v1/orders", &request, command).await
}

/// Takes back units of an order that this gateway accepted.
///
/// 404 for another order, 409 for more than is left of it.
#[utoipa::path(
    post,
    path = "/v1/orders/{order_id}/cancellations",
    tag = "orders",
    params(("order_id" = String, Path, description = "The order", min_length = 1, max_length = 64)),
    request_body(content = ref("#/components/schemas/CancelOrder"), content_type = "application/json"),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn cancel_order(
    State(gateway): State<Gateway>,
    order_id: Result<Path<String>, PathRejection>,
    request: CommandRequest,
) -> Result<Response, Problem> {
    let invalid = |detail: String| Problem::new(StatusCode::NOT_FOUND, "unknown-order", "Unknown order", detail);
    let Path(order_id) = order_id.map_err(|rejection| invalid(rejection.body_text()))?;
    let order_id = OrderId::new(order_id).map_err(|error| invalid(error.to_string()))?;
    request.only_json()?;
    let cancel = items::one(&request.body)?;
    let command = Command::CancelOrder(order_id, cancel);
    execute(&gateway, "/v1/orders/{order_id}/cancellations", &request, command).await
}

/// States a cancellation as the shop knows it, with or without its order.
///
/// A cancellation is accepted once: the same body again gives the same event id, another body is refused with 409.
#[utoipa::path(
    post,
    path = "/v1/cancellations",
    tag = "orders",
    request_body(content = ref("#/components/schemas/OrderCancelled"), content_type = "application/json"),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn record_cancellation(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    request.only_json()?;
    let command = Command::RecordCancellation(items::one(&request.body)?);
    execute(&gateway, "/v1/cancellations", &request, command).await
}

/// States what shoppers did: views, searches, carts, wish lists, recommendations shown and clicked.
///
/// At most 5,000, as a JSON array or one on each line; all are accepted, or none.
#[utoipa::path(
    post,
    path = "/v1/behaviors",
    tag = "behaviors",
    request_body(content(
        (ref("#/components/schemas/BehaviorList") = "application/json"),
        (ref("#/components/schemas/Behavior") = "application/x-ndjson"),
    )),
    responses((status = 202, body = ref("#/components/schemas/Accepted")))
)]
async fn record_behaviors(State(gateway): State<Gateway>, request: CommandRequest) -> Result<Response, Problem> {
    let data = items::behaviors(request.format, &request.body)?;
    execute(&gateway, "/v1/behaviors", &request, Command::Record(data)).await
}

/// Executes a command and answers with its events' ids.
pub(super) async fn execute(
    gateway: &Gateway,
    route: &str,
    request: &CommandRequest,
    command: Command,
) -> Result<Response, Problem> {
    let answer = store::accept(&gateway.pool, &request.context, &request.body, &command).await?;
    gateway.metrics.gateway_events_accepted_total.with_label_values(&[route]).inc_by(answer.new_events);
    let headers = [(header::CONTENT_TYPE, "application/json")];
    let mut response = (answer.status, headers, answer.body).into_response();
    if answer.replayed {
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}
