//! Route of the recommendations that a member was shown, with the reasons.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use jangbogo_events::{FoldedOffset, ModelRun, RecommendedProduct, Request, SubScores, Understanding};
use jangbogo_http::problem::Problem;
use jangbogo_read::Served;
use jangbogo_recommendation_fold::RECOMMENDATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

use super::Service;
use super::analytics::decoded;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{LIMIT, MAX_EVENT_ID_BYTES, Parameters, Segment, invalid, member_id};

const BEFORE: &str = "Only recommendations before the one of this event id, or before this RFC 3339 time";

/// Recommendations shown to a member.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ShownList {
    /// The requested member.
    member_id: String,
    /// Newest first.
    shown: Vec<ShownRecommendation>,
    /// Value of `before` for the next page; null when there are no more.
    next: Option<String>,
}

/// A recommendation as it was shown.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ShownRecommendation {
    /// Id of the `recommendation-generated` event.
    event_id: String,
    /// Event time.
    shown_at: DateTime<Utc>,
    /// Its conversation.
    conversation_id: Uuid,
    /// The member's message that it answers.
    message_id: Uuid,
    /// Analysis of that message; null if it is not in the rows that answer.
    intent: Option<ShownIntent>,
    #[serde(flatten)]
    given: Given,
}

/// Analysis of a message, and the request after it.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub(super) struct ShownIntent {
    /// Id of the `intent-analyzed` event.
    event_id: String,
    /// Event time.
    happened_at: DateTime<Utc>,
    #[serde(flatten)]
    understood: UnderstoodIntent,
}

/// Fields of the event `recommendation-generated` that are served.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct Given {
    /// Id of the recommendation.
    recommendation_id: Uuid,
    /// Products, best first, as they were in the catalogue: each with its score, sub-scores, the reason shown to the
    /// shopper, and the events that caused each sub-score.
    #[schemars(with = "Vec<RecommendedProduct>")]
    items: Value,
    /// Weights of the sub-scores.
    #[schemars(with = "SubScores")]
    weights: Value,
    /// Generation that it was ranked from.
    generation: Uuid,
    /// Offsets up to which that generation was folded.
    #[schemars(with = "Vec<FoldedOffset>")]
    folded_offsets: Value,
    /// Joined and served as `intent`.
    #[serde(skip_serializing)]
    intent_event_id: String,
}

/// Fields of the event `intent-analyzed` that are served.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
struct UnderstoodIntent {
    /// Analysis of the message.
    #[schemars(with = "Understanding")]
    understood: Value,
    /// The conversation's request after it.
    #[schemars(with = "Request")]
    request: Value,
    /// Model or analyser.
    #[schemars(with = "ModelRun")]
    analysed_by: Value,
}

/// Recommendations shown to a member in conversations, with the reasons, as they were at that time.
///
/// If `before` is a time, the list begins with the last one shown before it.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/shown",
    tag = "members",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("before" = Option<String>, Query, max_length = 128, description = BEFORE),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/ShownList")),
        (status = 404, description = "Nothing was recommended to the member in a conversation"),
    )
)]
pub(super) async fn shown(
    State(service): State<Service>,
    member: Segment,
    mut parameters: Parameters,
) -> Answer<Json<ShownList>> {
    let member_id = member_id(member)?;
    let limit = parameters.limit()?;
    let before = parameters.text("before", MAX_EVENT_ID_BYTES)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let (postgres, served) = (service.reader.postgres(), snapshot.get(&RECOMMENDATION)?);
    let before = match before {
        Some(before) => Some(position_of(postgres, served, &member_id, &before).await?),
        None => None,
    };
    let mut rows = recommendations(postgres, served, &member_id, before, limit + 1).await?;
    if rows.is_empty() && recommendations(postgres, served, &member_id, None, 1).await?.is_empty() {
        let detail = format!("nothing was recommended to the member {member_id} in a conversation");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-recommendations", "No recommendations", detail).into());
    }
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|row| row.get("event_id"));
    let mut recommendations = Vec::with_capacity(rows.len());
    for row in &rows {
        recommendations.push(body::<Given>(row)?);
    }
    let intents = intents(postgres, served, &member_id, &recommendations).await?;
    let shown = rows.iter().zip(recommendations).map(|(row, recommendation)| ShownRecommendation {
        event_id: row.get("event_id"),
        shown_at: row.get("happened_at"),
        conversation_id: row.get("conversation_id"),
        message_id: row.get("message_id"),
        intent: intents.get(&recommendation.intent_event_id).cloned(),
        given: recommendation,
    });
    let shown = shown.collect();
    Ok(Json(ShownList { member_id: member_id.to_string(), shown, next }))
}

/// Position before which the list begins: that of this event, or this time.
async fn position_of(
    postgres: &PgPool,
    served: &Served,
    member_id: &str,
    before: &str,
) -> Answer<(DateTime<Utc>, Uuid)> {
    if let Ok(time) = DateTime::parse_from_rfc3339(before) {
        return Ok((time.to_utc(), Uuid::nil()));
    }
    let sql = format!(
        "SELECT happened_at, event FROM {}.conversation_entry
         WHERE member_id = $1 AND kind = 'recommendation' AND event_id = $2
         ORDER BY happened_at DESC, event DESC LIMIT 1",
        served.generation.schema
    );
    let position = sqlx::query_as(&sql).bind(member_id).bind(before).fetch_optional(postgres).await?;
    let detail = || {
        format!("the parameter before: {before:?} is neither the event of a recommendation to this member nor a time")
    };
    Ok(position.ok_or_else(|| invalid(detail()))?)
}

async fn recommendations(
    postgres: &PgPool,
    served: &Served,
    member_id: &str,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: usize,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let sql = format!(
        "SELECT event_id, happened_at, conversation_id, message_id, body FROM {}.conversation_entry
         WHERE member_id = $1 AND kind = 'recommendation'
           AND ($2::timestamptz IS NULL OR (happened_at, event) < ($2, $3))
         ORDER BY happened_at DESC, event DESC LIMIT $4",
        served.generation.schema
    );
    sqlx::query(&sql)
        .bind(member_id)
        .bind(before.map(|(happened_at, _)| happened_at))
        .bind(before.map(|(_, event)| event))
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(postgres)
        .await
}

/// The intents that these recommendations answer, by event.
async fn intents(
    postgres: &PgPool,
    served: &Served,
    member_id: &str,
    recommendations: &[Given],
) -> Answer<HashMap<String, ShownIntent>> {
    let sql = format!(
        "SELECT event_id, happened_at, body FROM {}.conversation_entry
         WHERE member_id = $1 AND kind = 'intent' AND event_id = ANY ($2)",
        served.generation.schema
    );
    let event_ids: Vec<&str> =
        recommendations.iter().map(|recommendation| recommendation.intent_event_id.as_str()).collect();
    let mut intents = HashMap::new();
    for row in sqlx::query(&sql).bind(member_id).bind(event_ids).fetch_all(postgres).await? {
        let event_id: String = row.get("event_id");
        let intent = ShownIntent {
            event_id: event_id.clone(),
            happened_at: row.get("happened_at"),
            understood: body::<UnderstoodIntent>(&row)?,
        };
        intents.insert(event_id, intent);
    }
    Ok(intents)
}

fn body<T: serde::de::DeserializeOwned>(row: &PgRow) -> Result<T, Problem> {
    decoded(serde_json::from_str(row.get("body")).unwrap_or_default())
}
