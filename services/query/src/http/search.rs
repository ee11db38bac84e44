//! Searching the catalogue.

use axum::Json;
use axum::extract::State;
use projections::ES_SYNC;
use serde::Serialize;
use utoipa::ToSchema;

use super::Service;
use super::answered_from::Snapshot;
use super::failure::Answer;
use super::parameters::{Parameters, invalid};
use crate::products::{self, ProductSummary};
use ranking::search::{self, MAX_WINDOW, SearchRequest};

const MAX_QUERY_BYTES: usize = 512;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchResults {
    /// How many products there are in all.
    total: u64,
    /// How many were passed over.
    offset: usize,
    /// The best first.
    items: Vec<SearchItem>,
}

/// A product that was found.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SearchItem {
    product: ProductSummary,
    /// It orders this answer.
    score: f64,
    /// The title as HTML with `<em>` around what was found, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<String>,
}

/// Searches the catalogue, in Korean and English.
///
/// Without words it lists products by id.
#[utoipa::path(
    get,
    path = "/v1/search",
    tag = "products",
    params(
        ("q" = Option<String>, Query, description = "Words", max_length = 512),
        ("category" = Option<String>, Query, description = "Only this category"),
        ("min_price_minor" = Option<u64>, Query, description = "Only at this price or above, in minor units"),
        ("max_price_minor" = Option<u64>, Query, description = "Only at this price or below, in minor units"),
        ("highlight" = Option<bool>, Query, description = "Marks what was found in titles"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = "The most items: 1 to 100, or 20"),
        ("offset" = Option<u32>, Query, maximum = 9999, description = "Items to pass over: up to 10,000 with the limit"),
    ),
    responses(
        (status = 200, body = SearchResults),
        (status = 503, description = "The search index is away or being built; Retry-After says when to try again"),
    )
)]
pub(super) async fn search(State(service): State<Service>, mut parameters: Parameters) -> Answer<Json<SearchResults>> {
    let request = SearchRequest {
        words: parameters.text("q", MAX_QUERY_BYTES)?,
        category: parameters.category()?.map(|category| category.to_string()),
        min_price_minor: parameters.number("min_price_minor", 0..=i64::MAX)?,
        max_price_minor: parameters.number("max_price_minor", 0..=i64::MAX)?,
        highlight: parameters.flag("highlight")?,
        limit: parameters.limit()?,
        offset: parameters.number("offset", 0..=MAX_WINDOW)?.unwrap_or_default(),
    };
    if request.offset + request.limit > MAX_WINDOW {
        return Err(invalid(format!("offset and limit together must be at most {MAX_WINDOW}")).into());
    }
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    if snapshot.is_named() {
        return Err(invalid("search is not kept for generations of the past; ask without as_of".to_owned()).into());
    }
    let served = snapshot.of(&ES_SYNC)?;
    let found = search::search(&service.reader, served, &request).await?;
    let ids: Vec<&str> = found.hits.iter().map(|hit| hit.product_id.as_str()).collect();
    // As es-sync itself has folded them: never older than its documents.
    let products = products::by_id(&service.reader, served, &ids).await?;
    let items = found.hits.iter().filter_map(|hit| {
        let product = products.on_sale(&hit.product_id)?.clone();
        Some(SearchItem { product, score: hit.score, highlight: hit.highlight.clone() })
    });
    Ok(Json(SearchResults { total: found.total, offset: request.offset, items: items.collect() }))
}
