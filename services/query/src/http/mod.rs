//! HTTP routes, with a timeout and metrics, and every error as an RFC 9457 problem.

mod analytics;
mod answered_from;
mod conversations;
mod failure;
mod members;
mod messages;
mod openapi;
mod parameters;
mod pipeline;
mod preferences;
mod products;
mod search;
mod shown;
mod stream;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use jangbogo_http::problem::{Problem, answer_with_problems, method_not_allowed, unknown_path};
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_read::Reader;
use jangbogo_telemetry::SECONDS_BUCKETS;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::meaning::QueryEmbedder;
use crate::members::MemberLists;
use crate::stream::Streams;

jangbogo_telemetry::metrics! {
    /// Metrics of the query service.
    #[expect(clippy::struct_field_names, reason = "a field's name is its metric's")]
    pub struct QueryMetrics {
        /// Requests answered, by route and status
        query_requests_total: prometheus::IntCounterVec, labels ["route", "status"];
        /// Time to answer a request, in seconds
        query_request_seconds: prometheus::HistogramVec, labels ["route"], buckets SECONDS_BUCKETS;
        /// Members' lists by outcome of the cache lookup: hit, miss or bypass
        query_list_cache_total: prometheus::IntCounterVec, labels ["outcome"];
        /// Searches, by how products were found: words-and-meaning, words (there was no embedding in time) or filters
        query_searches_total: prometheus::IntCounterVec, labels ["searched_by"];
    }
}

#[derive(Clone)]
pub(crate) struct Service {
    pub reader: Arc<Reader>,
    pub lists: Arc<MemberLists>,
    pub offsets: EndOffsets,
    pub streams: Arc<Streams>,
    pub query_embedder: QueryEmbedder,
    pub metrics: QueryMetrics,
    pub request_timeout: Duration,
}

/// Every route except those of health, readiness and metrics.
pub(crate) fn router(service: Service) -> Router {
    let (reads, routes) = reads().split_for_parts();
    reads
        .route_layer(from_fn_with_state(service.clone(), observed))
        .route_layer(from_fn(answered_from::add_header))
        .merge(jangbogo_http::openapi::route(&openapi::describe(&routes)))
        .fallback(unknown_path)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(from_fn(answer_with_problems))
        .with_state(service)
}

fn reads() -> OpenApiRouter<Service> {
    OpenApiRouter::new()
        .routes(routes!(members::recommendations))
        .routes(routes!(members::purchase_pattern))
        .routes(routes!(preferences::preferences))
        .routes(routes!(shown::shown))
        .routes(routes!(conversations::of_member))
        .routes(routes!(messages::messages))
        .routes(routes!(conversations::conversation))
        .routes(routes!(conversations::entries))
        .routes(routes!(stream::stream))
        .routes(routes!(products::product))
        .routes(routes!(products::similar))
        .routes(routes!(products::trending))
        .routes(routes!(products::categories))
        .routes(routes!(products::popular))
        .routes(routes!(search::search))
        .routes(routes!(analytics::days))
        .routes(routes!(analytics::day))
        .routes(routes!(analytics::totals))
        .routes(routes!(analytics::funnel))
        .routes(routes!(pipeline::pipeline))
        .routes(routes!(pipeline::processor))
}

/// Limits, counts and times a request.
async fn observed(State(service): State<Service>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("", MatchedPath::as_str);
    let timer = service.metrics.query_request_seconds.with_label_values(&[route]).start_timer();
    let answer = tokio::time::timeout(service.request_timeout, next.run(request)).await;
    let response =
        answer.unwrap_or_else(|_| Problem::unavailable("the answer took too long; try again").into_response());
    timer.observe_duration();
    service.metrics.query_requests_total.with_label_values(&[route, response.status().as_str()]).inc();
    response
}
