//! What a member likes and dislikes, and what says so.

use std::collections::HashMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use jangbogo_http::problem::Problem;
use jangbogo_preference_analysis_fold::PREFERENCE_ANALYSIS;
use jangbogo_read::{ReadError, Reader, Served};
use jangbogo_shared_projections::preferences::PREFERENCE_VIEW;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::Service;
use super::analytics::decoded;
use super::answered_from::{AS_OF, Snapshot};
use super::failure::Answer;
use super::parameters::{Parameters, Segment, member_id};
use crate::products::{self, Products};

/// What a member likes and dislikes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct MemberPreferences {
    /// The member asked for.
    member_id: String,
    /// The newest thing that the member said or did: weights are as of then.
    newest: DateTime<Utc>,
    /// How many things the member did.
    acts: i64,
    /// How many messages of the member were understood.
    messages: i64,
    /// What the member said is wanted and did not take back, the weightiest first.
    likes: Vec<Preference>,
    /// What the member said is not wanted and did not take back, the weightiest first.
    dislikes: Vec<Preference>,
    /// What the member bought and looked at have in common, the most common first: at most 30.
    implied: Vec<Implied>,
    /// The newest wish for a price in each currency.
    prices: Vec<PriceWish>,
    /// The mood of the last ten messages on average: -1000 (angry) to 1000 (delighted); null before the first.
    sentiment_permille: Option<i64>,
    /// The language of the last message, BCP 47; null before the first.
    language: Option<String>,
}

/// A value that the member said is wanted, or not.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preference {
    /// What it is about, such as `color`.
    #[schema(example = "color")]
    slot: String,
    /// The value, as the catalogue writes it.
    #[schema(example = "red")]
    value: String,
    /// How often and strongly it was said; half of it after 90 days of the member's.
    weight: f64,
    /// The newest five messages that say so, the newest first.
    evidence: Vec<Utterance>,
}

/// A message that says something.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Utterance {
    /// The message.
    message_id: Uuid,
    /// The `intent-analyzed` event that understood it so.
    event_id: String,
    /// When it was understood.
    at: DateTime<Utc>,
    /// What the member said; null if the message itself is not folded.
    text: Option<String>,
}

/// A value that products of the member have in common.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Implied {
    /// What it is about, such as `category` or `style`.
    #[schema(example = "category")]
    slot: String,
    /// The value.
    #[schema(example = "bags")]
    value: String,
    /// Its share in the weight of everything the member did: above 0, at most 1.
    share: f64,
    /// The three products that say most, the weightiest first.
    evidence: Vec<ProductAct>,
}

/// What a member did with a product.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProductAct {
    /// The product.
    product_id: String,
    /// Its title; its id if it has none.
    title: String,
    /// What the member did last with it: bought, viewed, put in the cart, wished for, clicked.
    act: Option<String>,
    /// The event of that.
    event_id: Option<String>,
    /// When.
    at: DateTime<Utc>,
}

/// A wish for the price of one unit, in the currency's minor unit, bounds included.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PriceWish {
    /// ISO 4217.
    currency: String,
    /// At least.
    min_minor: Option<i64>,
    /// At most.
    max_minor: Option<i64>,
    /// What says so.
    evidence: Utterance,
}

/// The view's value.
#[derive(Debug, Deserialize)]
struct Known {
    newest: DateTime<Utc>,
    acts: i64,
    messages: i64,
    stated: Vec<KnownStatement>,
    implied: Vec<KnownImplied>,
    prices: Vec<KnownPrice>,
    sentiment_permille: Option<i64>,
    language: Option<String>,
}

#[derive(Debug, Deserialize)]
struct KnownStatement {
    slot: String,
    value: String,
    wanted: bool,
    weight: f64,
    evidence: Vec<KnownUtterance>,
}

#[derive(Debug, Deserialize)]
struct KnownUtterance {
    message_id: Uuid,
    event_id: String,
    at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct KnownImplied {
    slot: String,
    value: String,
    share: f64,
    evidence: Vec<KnownAct>,
}

#[derive(Debug, Deserialize)]
struct KnownAct {
    product_id: String,
    act: Option<String>,
    event_id: Option<String>,
    at: DateTime<Utc>,
}

#[derive(Debug, Deserialize)]
struct KnownPrice {
    currency: String,
    min_minor: Option<i64>,
    max_minor: Option<i64>,
    #[serde(flatten)]
    evidence: KnownUtterance,
}

/// What a member likes and dislikes, by what they said and did, each with what says so.
#[utoipa::path(
    get,
    path = "/v1/members/{member_id}/preferences",
    tag = "members",
    params(
        ("member_id" = String, Path, description = "The member", min_length = 1, max_length = 64),
        ("as_of" = Option<String>, Query, description = AS_OF),
    ),
    responses(
        (status = 200, body = MemberPreferences),
        (status = 404, description = "The member has said and done nothing yet"),
    )
)]
pub(super) async fn preferences(
    State(service): State<Service>,
    member: Segment,
    parameters: Parameters,
) -> Answer<Json<MemberPreferences>> {
    let member_id = member_id(member)?;
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.of(&PREFERENCE_ANALYSIS)?;
    let view = PREFERENCE_ANALYSIS.view(PREFERENCE_VIEW).ok_or(ReadError::NotLive(PREFERENCE_ANALYSIS.name))?;
    let Some(value) = service.reader.view(served, view, &member_id).await? else {
        let detail = format!("nothing is known of what the member {member_id} likes");
        return Err(Problem::new(StatusCode::NOT_FOUND, "no-preferences", "No preferences", detail).into());
    };
    let known: Known = decoded(value)?;
    let stated = known.stated.iter().flat_map(|statement| &statement.evidence);
    let mut messages: Vec<Uuid> =
        stated.chain(known.prices.iter().map(|price| &price.evidence)).map(|utterance| utterance.message_id).collect();
    messages.sort_unstable();
    messages.dedup();
    let texts = texts(&service.reader, served, &member_id, &messages).await?;
    let acts = known.implied.iter().flat_map(|implied| &implied.evidence);
    let mut ids: Vec<&str> = acts.map(|act| act.product_id.as_str()).collect();
    ids.sort_unstable();
    ids.dedup();
    let products = products::by_id(&service.reader, served, &ids).await?;
    Ok(Json(told(member_id.to_string(), known, &texts, &products)))
}

/// What a member said in these messages.
async fn texts(
    reader: &Reader,
    served: &Served,
    member_id: &str,
    messages: &[Uuid],
) -> Result<HashMap<Uuid, String>, sqlx::Error> {
    if messages.is_empty() {
        return Ok(HashMap::new());
    }
    // An answer is kept under the message that it answers.
    let sql = format!(
        "SELECT message_id, body::jsonb ->> 'content' FROM {}.conversation_entry
         WHERE member_id = $1 AND kind = 'message' AND message_id = ANY ($2)
           AND body::jsonb ->> 'message_id' = message_id::text",
        served.generation.schema
    );
    let found = sqlx::query_as(&sql).bind(member_id).bind(messages).fetch_all(reader.postgres()).await?;
    Ok(found.into_iter().collect())
}

fn told(member_id: String, known: Known, texts: &HashMap<Uuid, String>, products: &Products) -> MemberPreferences {
    let utterance = |KnownUtterance { message_id, event_id, at }| {
        let text = texts.get(&message_id).cloned();
        Utterance { message_id, event_id, at, text }
    };
    let (mut likes, mut dislikes) = (Vec::new(), Vec::new());
    for KnownStatement { slot, value, wanted, weight, evidence } in known.stated {
        let evidence = evidence.into_iter().map(utterance).collect();
        let list = if wanted { &mut likes } else { &mut dislikes };
        list.push(Preference { slot, value, weight, evidence });
    }
    let act = |KnownAct { product_id, act, event_id, at }| {
        let title = products.title(&product_id).to_owned();
        ProductAct { product_id, title, act, event_id, at }
    };
    let implied = known.implied.into_iter().map(|KnownImplied { slot, value, share, evidence }| {
        let evidence = evidence.into_iter().map(act).collect();
        Implied { slot, value, share, evidence }
    });
    let prices = known.prices.into_iter().map(|KnownPrice { currency, min_minor, max_minor, evidence }| {
        let evidence = utterance(evidence);
        PriceWish { currency, min_minor, max_minor, evidence }
    });
    MemberPreferences {
        member_id,
        newest: known.newest,
        acts: known.acts,
        messages: known.messages,
        likes,
        dislikes,
        implied: implied.collect(),
        prices: prices.collect(),
        sentiment_permille: known.sentiment_permille,
        language: known.language,
    }
}
