//! Route of a member's preferences, with evidence.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use jangbogo_http::problem::Problem;
use jangbogo_preference_analysis_fold::PREFERENCE_ANALYSIS;
use jangbogo_read::{ReadError, Reader, Served};
use jangbogo_shared_projections::preferences::PREFERENCE_VIEW;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Service;
use super::analytics::decoded;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{Parameters, Segment, member_id};
use crate::products::{self, Products};

/// Preferences of a member.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct MemberPreferences {
    /// The requested member.
    member_id: String,
    /// Event time of the member's newest message or act, as of which weights decay.
    newest: DateTime<Utc>,
    /// Number of the member's acts.
    acts: i64,
    /// Number of the member's analysed messages.
    messages: i64,
    /// Stated likes that were not retracted, the highest weight first.
    likes: Vec<Preference>,
    /// Stated dislikes that were not retracted, the highest weight first.
    dislikes: Vec<Preference>,
    /// Values that the member's products have in common, the most common first: at most 30.
    implied: Vec<Implied>,
    /// The newest price range in each currency.
    prices: Vec<PriceWish>,
    /// Mean sentiment of the last ten messages: -1000 (angry) to 1000 (delighted); null before the first.
    sentiment_permille: Option<i64>,
    /// Language of the last message, BCP 47; null before the first.
    language: Option<String>,
}

/// A stated like or dislike.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Preference {
    /// The attribute, such as `color`.
    #[schemars(example = &"color")]
    slot: String,
    /// The value, as in the catalogue.
    #[schemars(example = &"red")]
    value: String,
    /// Strength and number of the statements, with a half-life of 90 days of the member's time.
    weight: f64,
    /// The newest five messages that state it, the newest first.
    evidence: Vec<Utterance>,
}

/// A message that states a preference.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Utterance {
    /// Id of the message.
    message_id: Uuid,
    /// Id of the `intent-analyzed` event.
    event_id: String,
    /// Event time of the analysis.
    at: DateTime<Utc>,
    /// Text of the message; null while the message is not folded.
    text: Option<String>,
}

/// A value that products of the member have in common.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Implied {
    /// The attribute, such as `category` or `style`.
    #[schemars(example = &"category")]
    slot: String,
    /// The value.
    #[schemars(example = &"bags")]
    value: String,
    /// Its share in the weight of all the member's acts: above 0, at most 1.
    share: f64,
    /// The three products that contribute most, the highest weight first.
    evidence: Vec<ProductAct>,
}

/// A member's act on a product.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ProductAct {
    /// Id of the product.
    product_id: String,
    /// Title of the product; its id if it has none.
    title: String,
    /// The member's last act: bought, viewed, put in the cart, wished for or clicked.
    act: Option<String>,
    /// Id of the act's event.
    event_id: Option<String>,
    /// Event time of the act.
    at: DateTime<Utc>,
}

/// A requested price range of one unit, in minor units, inclusive.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct PriceWish {
    /// ISO 4217 code.
    currency: String,
    /// Lower bound.
    min_minor: Option<i64>,
    /// Upper bound.
    max_minor: Option<i64>,
    /// The message that states it.
    evidence: Utterance,
}

/// Value of the view of preferences.
#[derive(Debug, Deserialize)]
struct StoredPreferences {
    newest: DateTime<Utc>,
    acts: i64,
    messages: i64,
    stated: Vec<StoredStatement>,
    implied: Vec<StoredImplied>,
    prices: Vec<StoredPrice>,
    sentiment_permille: Option<i64>,
    language: Option<String>,
}

#[derive(Debug, Deserialize)]
struct StoredStatement {
    slot: String,
    value: String,
    wanted: bool,
    weight: f64,
    evidence: Vec<StoredUtterance>,
}

#[derive(Debug, Deserialize)]
struct StoredUtterance {
    message_id: Uuid,
    event_id: String,
    at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct StoredImplied {
    slot: String,
    value: String,
    share: f64,
    evidence: Vec<StoredAct>,
}

#[derive(Debug, Deserialize)]
struct StoredAct {
    product_id: String,
    act: Option<String>,
    event_id: Option<String>,
    at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct StoredPrice {
    currency: String,
    min_minor: Option<i64>,
    max_minor: Option<i64>,
    #[serde(flatten)]
    evidence: StoredUtterance,
}

/// Preferences of a member, stated in messages and implied by acts, with evidence.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/preferences",
    tag = "members",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/MemberPreferences")),
        (status = 404, description = "Nothing of the member is folded"),
    )
)]
pub(super) async fn preferences(
    State(service): State<Service>,
    member: Segment,
    parameters: Parameters,
) -> Answer<Json<MemberPreferences>> {
    let member_id = member_id(member)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.get(&PREFERENCE_ANALYSIS)?;
    let view = PREFERENCE_ANALYSIS.view(PREFERENCE_VIEW).ok_or(ReadError::NotLive(PREFERENCE_ANALYSIS.name))?;
    let Some(value) = service.reader.view(served, view, &member_id).await? else {
        let detail = format!("nothing is known of what the member {member_id} likes");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-preferences", "No preferences", detail).into());
    };
    let stored: StoredPreferences = decoded(value)?;
    let stated = stored.stated.iter().flat_map(|statement| &statement.evidence);
    let mut messages: Vec<Uuid> =
        stated.chain(stored.prices.iter().map(|price| &price.evidence)).map(|utterance| utterance.message_id).collect();
    messages.sort_unstable();
    messages.dedup();
    let texts = message_texts(&service.reader, served, &member_id, &messages).await?;
    let acts = stored.implied.iter().flat_map(|implied| &implied.evidence);
    let mut ids: Vec<&str> = acts.map(|act| act.product_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let products = products::by_id(&service.reader, served, &ids).await?;
    Ok(Json(join_evidence(member_id.to_string(), stored, &texts, &products)))
}

/// Texts of these messages of a member.
async fn message_texts(
    reader: &Reader,
    served: &Served,
    member_id: &str,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    // A reply is stored under the message that it answers.
    let sql = format!(
        "SELECT message_id, body::jsonb ->> 'content' FROM {}.conversation_entry
         WHERE member_id = $1 AND kind = 'message' AND message_id = ANY ($2)
           AND body::jsonb ->> 'message_id' = message_id::text",
        served.generation.schema
    );
    let found = sqlx::query_as(&sql).bind(member_id).bind(messages).fetch_all(reader.postgres()).await?;
    Ok(found.into_iter().collect())
}

fn join_evidence(
    member_id: String,
    stored: StoredPreferences,
    texts: &HashMap<Uuid, String>,
    products: &Products,
) -> MemberPreferences {
    let utterance = |StoredUtterance { message_id, event_id, at }| {
        let text = texts.get(&message_id).cloned();
        Utterance { message_id, event_id, at, text }
    };
    let (mut likes, mut dislikes) = (Vec::new(), Vec::new());
    for StoredStatement { slot, value, wanted, weight, evidence } in stored.stated {
        let evidence = evidence.into_iter().map(utterance).collect();
        let list = if wanted { &mut likes } else { &mut dislikes };
        list.push(Preference { slot, value, weight, evidence });
    }
    let act = |StoredAct { product_id, act, event_id, at }| {
        let title = products.title(&product_id).to_owned();
        ProductAct { product_id, title, act, event_id, at }
    };
    let implied = stored.implied.into_iter().map(|StoredImplied { slot, value, share, evidence }| {
        let evidence = evidence.into_iter().map(act).collect();
        Implied { slot, value, share, evidence }
    });
    let prices = stored.prices.into_iter().map(|StoredPrice { currency, min_minor, max_minor, evidence }| {
        let evidence = utterance(evidence);
        PriceWish { currency, min_minor, max_minor, evidence }
    });
    MemberPreferences {
        member_id,
        newest: stored.newest,
        acts: stored.acts,
        messages: stored.messages,
        likes,
        dislikes,
        implied: implied.collect(),
        prices: prices.collect(),
        sentiment_permille: stored.sentiment_permille,
        language: stored.language,
    }
}
