//! Routes of sales by day and category, sales totals, and the conversation funnel.

use axum::Json;
use axum::extract::State;
use chrono::{NaiveDate, TimeDelta};
use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_analytics_fold::funnel::FUNNEL_VIEW;
use jangbogo_analytics_fold::sales::{DAILY_VIEW, TOTALS_VIEW};
use jangbogo_http::problem::Problem;
use jangbogo_read::{ReadError, ViewKey};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::error;

use super::Service;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{Parameters, Segment, invalid};

/// Limit of days in one answer.
const MAX_DAYS: i64 = 92;
const DAY_RULE: &str = "a day such as 2026-03-31";

/// Days with their sales.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Days {
    /// Every requested day, in order.
    days: Vec<Day>,
}

/// Sales of a day, in the shop's time zone.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Day {
    /// Date of the day.
    day: NaiveDate,
    /// Categories with activity. A product without a category counts as `unknown`.
    categories: Vec<CategoryDay>,
}

/// Sales of a category on a day.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct CategoryDay {
    category: String,
    /// Orders with a product of the category.
    orders: i64,
    /// Distinct members with such an order.
    buyers: i64,
    /// Units sold.
    units: i64,
    /// Cancellations with a product of the category.
    cancellations: i64,
    /// Units cancelled.
    cancelled_units: i64,
    /// Product views.
    views: i64,
    /// Revenue by currency.
    revenue: Vec<Revenue>,
}

/// Revenue in one currency.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Revenue {
    /// ISO 4217 code.
    currency: String,
    /// Value of units sold, in minor units.
    sold_minor: i64,
    /// Value of units cancelled, in minor units.
    cancelled_minor: i64,
}

/// Sales totals.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Totals {
    /// Totals by currency.
    totals: Vec<Total>,
}

/// Sales totals in one currency.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Total {
    /// ISO 4217 code.
    currency: String,
    /// Units sold.
    sold_units: i64,
    /// Value of units sold, in minor units.
    sold_minor: i64,
    /// Units cancelled.
    cancelled_units: i64,
    /// Value of units cancelled, in minor units.
    cancelled_minor: i64,
}

/// Days with their conversation funnels.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FunnelDays {
    /// Every requested day, in order.
    days: Vec<FunnelDay>,
}

/// Conversation funnels of a day.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct FunnelDay {
    /// The day of the messages, in the shop's time zone.
    day: NaiveDate,
    /// Funnels by analyser and weights.
    funnels: Vec<Funnel>,
}

/// Conversion funnel of the messages that one analyser understood and one setting of the weights ranked products for.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Funnel {
    /// Model or analyser of the messages; null while they are not analysed.
    analyser: Option<String>,
    /// Configured weights, before they are shifted for a member's history; null while nothing is ranked.
    weights: Option<Weights>,
    /// Messages of shoppers.
    messages: i64,
    /// Messages for which at least one product was recommended.
    recommended: i64,
    /// Messages of which the shopper saw a recommended product (`recommendation-shown`), or clicked one.
    shown: i64,
    /// Messages of which the shopper clicked a recommended product.
    clicked: i64,
    /// Messages of which the shopper ordered a recommended product after seeing it there, within seven days of the
    /// recommendation. An order counts for the recommendation in which its product was seen last.
    bought: i64,
}

/// The sub-scores' weights, together 1.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(super) struct Weights {
    /// Of the likeness of texts.
    content: f64,
    /// Of what is bought together.
    collaborative: f64,
    /// Of the fit with what was asked for.
    intent: f64,
}

/// Sales by category for each day of a span.
#[utoipa::path(
    get,
    path = "/v1/analytics/days",
    tag = "analytics",
    params(
        ("from" = NaiveDate, Query, description = "The first day, in the shop's time zone"),
        ("to" = NaiveDate, Query, description = "The last day: at most 92 in all"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses((status = 200, body = ref("#/components/schemas/Days")))
)]
pub(super) async fn days(State(service): State<Service>, mut parameters: Parameters) -> Answer<Json<Days>> {
    let days = span(&mut parameters)?;
    let days = read(&service, parameters, DAILY_VIEW, days).await?;
    Ok(Json(Days { days: days.into_iter().map(|(day, categories)| Day { day, categories }).collect() }))
}

/// A day's sales by category.
#[utoipa::path(
    get,
    path = "/v1/analytics/days/{day}",
    tag = "analytics",
    params(
        ("day" = NaiveDate, Path, description = "The day, in the shop's time zone"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses((status = 200, body = ref("#/components/schemas/Day")))
)]
pub(super) async fn day(State(service): State<Service>, day: Segment, parameters: Parameters) -> Answer<Json<Day>> {
    let text = day.map(|path| path.0).unwrap_or_default();
    let day: NaiveDate = text.parse().map_err(|_| invalid(format!("{text:?} is not {DAY_RULE}")))?;
    let (day, categories) =
        read(&service, parameters, DAILY_VIEW, vec![day]).await?.pop().ok_or_else(Problem::internal)?;
    Ok(Json(Day { day, categories }))
}

/// All sales by currency.
#[utoipa::path(
    get,
    path = "/v1/analytics/totals",
    tag = "analytics",
    params(("as_of" = Option<String>, Query, description = AS_OF)),
    responses((status = 200, body = ref("#/components/schemas/Totals")))
)]
pub(super) async fn totals(State(service): State<Service>, parameters: Parameters) -> Answer<Json<Totals>> {
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let view = ANALYTICS.view(TOTALS_VIEW).ok_or(ReadError::NotLive(ANALYTICS.name))?;
    let value = service.reader.view(snapshot.get(&ANALYTICS)?, view, "all").await?;
    Ok(Json(Totals { totals: value.map(decoded).transpose()?.unwrap_or_default() }))
}

/// Conversation funnel for each day of a span.
///
/// A message counts on the day on which it was written, once at each stage that it has reached by now.
#[utoipa::path(
    get,
    path = "/v1/analytics/funnel",
    tag = "analytics",
    params(
        ("from" = NaiveDate, Query, description = "The first day, in the shop's time zone"),
        ("to" = NaiveDate, Query, description = "The last day: at most 92 in all"),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses((status = 200, body = ref("#/components/schemas/FunnelDays")))
)]
pub(super) async fn funnel(State(service): State<Service>, mut parameters: Parameters) -> Answer<Json<FunnelDays>> {
    let days = span(&mut parameters)?;
    let days = read(&service, parameters, FUNNEL_VIEW, days).await?;
    Ok(Json(FunnelDays { days: days.into_iter().map(|(day, funnels)| FunnelDay { day, funnels }).collect() }))
}

/// The days from `from` to `to`.
fn span(parameters: &mut Parameters) -> Result<Vec<NaiveDate>, Problem> {
    let from: NaiveDate = parameters.required("from", DAY_RULE)?;
    let to: NaiveDate = parameters.required("to", DAY_RULE)?;
    let count = (to - from).num_days() + 1;
    if !(1..=MAX_DAYS).contains(&count) {
        return Err(invalid(format!("from {from} to {to} are {count} days; there must be 1 to {MAX_DAYS}")));
    }
    Ok((0..count).map(|number| from + TimeDelta::days(number)).collect())
}

/// The value of each day in a view keyed by day.
async fn read<T: DeserializeOwned>(
    service: &Service,
    parameters: Parameters,
    view: &'static str,
    days: Vec<NaiveDate>,
) -> Answer<Vec<(NaiveDate, Vec<T>)>> {
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let view = ANALYTICS.view(view).ok_or(ReadError::NotLive(ANALYTICS.name))?;
    let keys: Vec<String> = days.iter().map(ToString::to_string).collect();
    let requested: Vec<ViewKey<'_>> = keys.iter().map(|key| ViewKey { view, key }).collect();
    let values = service.reader.views(snapshot.get(&ANALYTICS)?, &requested).await?;
    let mut answer = Vec::with_capacity(days.len());
    for (day, value) in days.into_iter().zip(values) {
        answer.push((day, value.map(decoded).transpose()?.unwrap_or_default()));
    }
    Ok(answer)
}

/// Decodes a view's value.
pub(super) fn decoded<T: DeserializeOwned>(value: Value) -> Result<T, Problem> {
    serde_json::from_value(value).map_err(|error| {
        error!(%error, "unexpected value of a view");
        Problem::internal()
    })
}
