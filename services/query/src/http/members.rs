//! Routes of a member's recommendations and purchase pattern.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode};
use chrono::{DateTime, Utc};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_analytics_fold::purchases::{ANNOUNCED_VIEW, PATTERN_VIEW};
use jangbogo_http::problem::Problem;
use jangbogo_ranking::{Evidence, Language, RankedItem};
use jangbogo_read::{ReadError, ViewKey};
use jangbogo_recommendation_fold::RECOMMENDATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Service;
use super::analytics::decoded;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{LIMIT, Parameters, Segment, member_id};
use crate::products::{self, ProductSummary, Products};

/// Source of a list's ranking.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Basis {
    /// The member's history.
    History,
    /// The products that are trending in the shop: the member has no history.
    ColdStart,
}

impl From<jangbogo_ranking::Basis> for Basis {
    fn from(basis: jangbogo_ranking::Basis) -> Self {
        match basis {
            jangbogo_ranking::Basis::History => Self::History,
            jangbogo_ranking::Basis::ColdStart => Self::ColdStart,
        }
    }
}

const CACHE: HeaderName = HeaderName::from_static("x-cache");

/// Recommendations of a member.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Recommendations {
    /// The requested member.
    member_id: String,
    basis: Basis,
    /// Best first.
    items: Vec<Recommendation>,
}

/// A recommended product, with the reasons.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct Recommendation {
    product: ProductSummary,
    /// Weighted sum of the sub-scores: above 0, at most 1. Items similar to a better one are ranked lower (diversity).
    score: f64,
    sub_scores: ScoreParts,
    /// Reason that is shown to shoppers.
    #[schemars(example = &"often bought with LUNCH BAG RED RETROSPOT, which you bought")]
    reason: String,
    /// All evidence, the strongest first.
    sources: Vec<Source>,
}

/// Sub-scores, each 0 to 1.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
pub(super) struct ScoreParts {
    /// Similarity of its text to those of the member's products.
    content: f64,
    /// Above 0.5 if it is bought together with them; above 0.2 if it is popular in their categories; else trending.
    collaborative: f64,
    /// Match with the member's preferences.
    intent: f64,
}

impl ScoreParts {
    fn from_item(item: &RankedItem) -> Self {
        Self { content: item.content, collaborative: item.collaborative, intent: item.intent }
    }
}

/// Evidence for a recommendation, as served: [`Evidence`] with the products' titles.
#[derive(Debug, PartialEq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(super) enum Source {
    /// It is often bought together with a product of the member's history.
    Neighbour {
        /// The product of the history.
        product_id: String,
        /// Title of the product.
        title: String,
        /// The member bought it, rather than viewed it.
        bought: bool,
        /// Its share in the contribution of all neighbours: above 0, at most 1. At most three are listed.
        contribution: f64,
    },
    /// It is popular in one of the member's favourite categories.
    Popular {
        /// The category.
        category: String,
    },
    /// It is trending in the whole shop.
    Trending,
    /// It has a requested attribute.
    Asked {
        /// The attribute, such as `color`.
        slot: String,
        /// The value.
        value: String,
    },
    /// It has an attribute that the member likes.
    Liked {
        /// The attribute, such as `color`.
        slot: String,
        /// The value.
        value: String,
    },
    /// Its text is similar to the request.
    LikeRequest,
    /// Its text is similar to those of the member's products.
    LikeHistory,
}

/// Purchase pattern of a member.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PurchasePattern {
    /// The requested member.
    member_id: String,
    #[serde(flatten)]
    pattern: Pattern,
    /// The pattern announced last, on the topic `purchase-pattern-analyzed`; null before the first.
    announced: Option<AnnouncedPattern>,
}

/// An announced pattern.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct AnnouncedPattern {
    /// Id of the announcing event.
    event_id: String,
    /// Event time: a millisecond after the order that it follows.
    announced_at: DateTime<Utc>,
    pattern: Pattern,
}

/// The value of the view of patterns.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Pattern {
    /// Number of orders.
    orders: i64,
    /// Median of the days between consecutive orders; null with fewer than two orders.
    median_days_between_orders: Option<f64>,
    /// Mean number of units in an order.
    mean_units_per_order: f64,
    /// Mean value of an order, by currency.
    mean_order_value: Vec<products::Price>,
    /// Hours with most orders, in the shop's time zone: 0 to 23, at most three.
    favourite_hours: Vec<i64>,
    /// Categories bought most: at most five.
    favourite_categories: Vec<String>,
}

/// Recommendations of a member. An unknown member gets trending products.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/recommendations",
    tag = "members",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses((
        status = 200,
        body = ref("#/components/schemas/Recommendations"),
        headers(("x-cache" = String, description = "hit; miss when the list was ranked for this request; \
                                                    bypass when it was ranked as of a generation that was named"))
    ))
)]
pub(super) async fn recommendations(
    State(service): State<Service>,
    member: Segment,
    mut parameters: Parameters,
) -> Answer<([(HeaderName, &'static str); 1], Json<Recommendations>)> {
    let member_id = member_id(member)?;
    let limit = parameters.limit()?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.get(&RECOMMENDATION)?;
    let list = service.lists.list(served, &member_id).await?;
    let outcome = list.cache.name();
    service.metrics.query_list_cache_total.with_label_values(&[outcome]).inc();

    let mut ids: Vec<&str> = Vec::new();
    for item in &list.ranking.items {
        ids.push(&item.product_id);
        ids.extend(item.sources.iter().filter_map(|evidence| match evidence {
            Evidence::Neighbour { product_id, .. } => Some(product_id.as_str()),
            _ => None,
        }));
    }
    ids.sort_unstable();
    ids.dedup();
    let products = products::by_id(&service.reader, served, &ids).await?;
    let on_sale = list.ranking.items.iter().filter_map(|item| {
        let product = products.on_sale(&item.product_id)?.clone();
        let reason = jangbogo_ranking::reason(Language::English, None, item, |product_id| products.title(product_id));
        let sources = item.sources.iter().map(|evidence| source_of_evidence(evidence, &products)).collect();
        Some(Recommendation { product, score: item.score, sub_scores: ScoreParts::from_item(item), reason, sources })
    });
    let items = on_sale.take(limit).collect();
    let answer = Recommendations { member_id: member_id.to_string(), basis: list.ranking.basis.into(), items };
    Ok(([(CACHE, outcome)], Json(answer)))
}

fn source_of_evidence(evidence: &Evidence, products: &Products) -> Source {
    match evidence {
        Evidence::Neighbour { product_id, bought, contribution } => Source::Neighbour {
            product_id: product_id.clone(),
            title: products.title(product_id).to_owned(),
            bought: *bought,
            contribution: *contribution,
        },
        Evidence::Popular { category } => Source::Popular { category: category.clone() },
        Evidence::Trending => Source::Trending,
        Evidence::Asked { slot, value } => Source::Asked { slot: slot.clone(), value: value.clone() },
        Evidence::Liked { slot, value } => Source::Liked { slot: slot.clone(), value: value.clone() },
        Evidence::LikeRequest => Source::LikeRequest,
        Evidence::LikeHistory => Source::LikeHistory,
    }
}

/// Purchase pattern of a member: rhythm, basket, favourite hours and categories.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/purchase-pattern",
    tag = "members",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/PurchasePattern")),
        (status = 404, description = "The member has no order"),
    )
)]
pub(super) async fn purchase_pattern(
    State(service): State<Service>,
    member: Segment,
    parameters: Parameters,
) -> Answer<Json<PurchasePattern>> {
    let member_id = member_id(member)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let view = |name| ANALYTICS.view(name).ok_or(ReadError::NotLive(ANALYTICS.name));
    let requested = [view(PATTERN_VIEW)?, view(ANNOUNCED_VIEW)?].map(|view| ViewKey { view, key: &member_id });
    let mut values = service.reader.views(snapshot.get(&ANALYTICS)?, &requested).await?.into_iter();
    let (pattern, announced) = (values.next().flatten(), values.next().flatten());
    let Some(pattern) = pattern else {
        let detail = format!("no order of the member {member_id} is known");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-orders", "No orders", detail).into());
    };
    let (pattern, announced) = (decoded(pattern)?, announced.map(decoded).transpose()?);
    Ok(Json(PurchasePattern { member_id: member_id.to_string(), pattern, announced }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(bought: bool) -> Source {
        let (product_id, title) = ("20725".to_owned(), "LUNCH BAG RED RETROSPOT".to_owned());
        Source::Neighbour { product_id, title, bought, contribution: 1.0 }
    }

    #[test]
    fn a_source_is_tagged_with_its_type() {
        let value = serde_json::to_value(Source::Trending).unwrap();
        assert_eq!(value, serde_json::json!({ "type": "trending" }));
        assert_eq!(serde_json::to_value(neighbour(true)).unwrap()["type"], "neighbour");
    }
}
