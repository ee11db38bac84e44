//! Loads the input of a ranking: rows of a member and of products in one snapshot, and published views.

use std::collections::{BTreeMap, BTreeSet};

use jangbogo_events::{Request, Vector};
use jangbogo_fold::View;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_ranking::{
    Candidate, CollaborativeInput, HistoryProduct, PopularIn, RankingInput, Taste, by_score_then_id,
    favourite_categories, scores,
};
use jangbogo_read::{ReadError, Reader, Served, ViewKey};
use jangbogo_recommendation_fold::RECOMMENDATION;
use jangbogo_recommendation_fold::co_purchase::SIMILAR_VIEW;
use jangbogo_recommendation_fold::popularity::{POPULAR_VIEW, TRENDING_KEY, TRENDING_VIEW};
use jangbogo_shared_projections::history::HISTORY_VIEW;
use jangbogo_shared_projections::preferences::PREFERENCE_VIEW;
use jangbogo_store::Rows;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::products::Products;

/// Most candidates by collaborative score.
const COLLABORATIVE_CANDIDATES: usize = 200;
/// Most candidates near one vector.
const NEAREST: u16 = 80;
// An index returns at most as many products as it visits.
const _: () = assert!(NEAREST <= VectorIndex::MIN_EF_SEARCH);

/// A request with its embedding and search hits.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestInput<'a> {
    /// None for a member's own list.
    pub request: Option<&'a Request>,
    /// Id of the embedding model, and the vector.
    pub embedded: Option<(&'a str, &'a Vector)>,
    /// Product ids found by the search for its words, the best first.
    pub found: &'a [String],
}

/// Data of a member, which does not depend on a request.
#[derive(Debug, Default)]
pub struct Member {
    collaborative: CollaborativeInput,
    bought: BTreeSet<String>,
    taste: Taste,
    /// Id of the embedding model, and the weighted mean of the vectors of the history's products.
    profile: Option<(String, Vec<f32>)>,
    /// Number of events of the member in the rows: the version of anything computed from them.
    pub events: i64,
}

/// Value of the view of histories.
#[derive(Debug, Default, Deserialize)]
struct History {
    events: i64,
    products: Vec<HistoryProduct>,
}

/// Loads a member. Rows are read in the given snapshot, similar and popular products from the published views.
///
/// # Errors
/// When the Postgres query fails.
pub async fn load_member(
    reader: &Reader,
    served: &Served,
    rows: &mut Rows,
    member_id: &str,
) -> Result<Member, ReadError> {
    let key = [member_id.to_owned()];
    let history = rows.view(view(HISTORY_VIEW)?, &key).await?.pop().flatten();
    let history: History = history.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let taste = rows.view(view(PREFERENCE_VIEW)?, &key).await?.pop().flatten();
    let taste = taste.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default();
    let member_products =
        if history.events > 0 { member_products(rows, member_id, &history.products).await? } else { Vec::new() };
    let bought = member_products.iter().filter(|one| one.is_bought).map(|one| one.product_id.clone()).collect();
    let profile = profile(&member_products, &history.products);
    let collaborative = collaborative_input(reader, served, rows, history.products, &member_products).await?;
    Ok(Member { collaborative, bought, taste, profile, events: history.events })
}

/// Loads the candidates of a list for a member, in the snapshot that the member was loaded in.
///
/// # Errors
/// When the Postgres query fails.
pub async fn load_products(
    products: &Products,
    rows: &mut Rows,
    member: Member,
    input: RequestInput<'_>,
) -> Result<RankingInput, sqlx::Error> {
    let Member { collaborative, bought, taste, profile, .. } = member;
    let mut ids: BTreeSet<String> = input.found.iter().cloned().collect();
    ids.extend(input.request.iter().flat_map(|request| &request.like).map(ToString::to_string));
    let mut scored: Vec<(f64, &str)> =
        scores(&collaborative).iter().map(|(product_id, result)| (result.score, *product_id)).collect();
    scored.sort_by(|left, right| by_score_then_id(*left, *right));
    ids.extend(scored.into_iter().take(COLLABORATIVE_CANDIDATES).map(|(_, product_id)| product_id.to_owned()));
    let request = input.embedded.map(|(model, vector)| (model.to_owned(), vector.to_vec()));
    for (model, vector) in request.iter().chain(profile.iter()) {
        ids.extend(nearest(rows, model, vector).await?);
    }
    let candidates = candidates(products, rows, &Vec::from_iter(ids), request.as_ref(), profile.as_ref()).await?;
    Ok(RankingInput { known: collaborative, bought, taste, candidates, found: input.found.to_vec() })
}

/// A product that a member bought, or that is in the history.
struct MemberProduct {
    product_id: String,
    is_bought: bool,
    category: Option<String>,
    /// Id of the embedding model, and the vector; for products of the history only.
    vector: Option<(String, pgvector::Vector)>,
}

async fn member_products(
    rows: &mut Rows,
    member_id: &str,
    history: &[HistoryProduct],
) -> Result<Vec<MemberProduct>, sqlx::Error> {
    let ids: Vec<&str> = history.iter().map(|product| product.product_id.as_str()).collect();
    let rows = sqlx::query(
        "SELECT product_id, orders > 0 AS is_bought, category, model, vector
         FROM member_product
         LEFT JOIN product USING (product_id)
         LEFT JOIN (
             SELECT product_id, model, vector FROM product_vector WHERE product_id = ANY ($2)
         ) AS of_history USING (product_id)
         WHERE member_id = $1 AND (orders > 0 OR product_id = ANY ($2))
         ORDER BY product_id",
    )
    .bind(member_id)
    .bind(ids)
    .fetch_all(rows.connection())
    .await?;
    let product = |row: &PgRow| MemberProduct {
        product_id: row.get("product_id"),
        is_bought: row.get("is_bought"),
        category: row.get("category"),
        vector: row.get::<Option<String>, _>("model").zip(row.get("vector")),
    };
    Ok(rows.iter().map(product).collect())
}

/// Neighbours of a history's products, popular products of its categories, and trending products.
async fn collaborative_input(
    reader: &Reader,
    served: &Served,
    rows: &mut Rows,
    history: Vec<HistoryProduct>,
    member_products: &[MemberProduct],
) -> Result<CollaborativeInput, ReadError> {
    let categories: BTreeMap<&str, &str> =
        member_products.iter().filter_map(|one| Some((&*one.product_id, one.category.as_deref()?))).collect();
    let favourites = favourite_categories(&history, |id| categories.get(id).copied());
    let (similar, popular) = (view(SIMILAR_VIEW)?, view(POPULAR_VIEW)?);
    let ids: Vec<&str> = history.iter().map(|product| product.product_id.as_str()).collect();
    let mut keys: Vec<ViewKey<'_>> = ids.iter().map(|key| ViewKey { view: similar, key }).collect();
    keys.extend(favourites.iter().map(|favourite| ViewKey { view: popular, key: &favourite.category }));
    keys.push(ViewKey { view: view(TRENDING_VIEW)?, key: TRENDING_KEY });
    let mut values = reader.views_or_rows(served, rows, &keys).await?.into_iter();
    let neighbours =
        ids.iter().zip(values.by_ref()).map(|(id, value)| ((*id).to_owned(), decode_list(value))).collect();
    let popular_in = |(favourite, value)| PopularIn { favourite, products: decode_list(value) };
    let popular = favourites.into_iter().zip(values.by_ref()).map(popular_in).collect();
    let trending = decode_list(values.next().flatten());
    Ok(CollaborativeInput { history, neighbours, popular, trending })
}

/// The member's profile: id of the embedding model, and the weighted mean of the vectors of the history's products.
fn profile(products: &[MemberProduct], history: &[HistoryProduct]) -> Option<(String, Vec<f32>)> {
    let weights: BTreeMap<&str, f64> = history.iter().map(|one| (one.product_id.as_str(), one.weight)).collect();
    let vectors = || products.iter().filter_map(|product| Some((&product.product_id, product.vector.as_ref()?)));
    let (_, (model, _)) = vectors().next_back()?;
    let mut sum = vec![0.0_f64; Vector::DIMENSIONS];
    for (product_id, (_, vector)) in vectors().filter(|(_, (other, _))| other == model) {
        let weight = weights.get(product_id.as_str()).copied().unwrap_or_default();
        for (sum, value) in sum.iter_mut().zip(vector.as_slice()) {
            *sum += weight * f64::from(*value);
        }
    }
    let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
    if length <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_possible_truncation, reason = "a vector's numbers are of single precision")]
    let vector = sum.into_iter().map(|value| (value / length) as f32).collect();
    Some((model.clone(), vector))
}

/// Products nearest to a vector by the approximate index.
async fn nearest(rows: &mut Rows, model: &str, vector: &[f32]) -> Result<Vec<String>, sqlx::Error> {
    // With the limit as a literal the plan uses the index for any parameters.
    let sql = format!(
        "SELECT product_id FROM (
             SELECT product_id, model FROM product_vector ORDER BY vector <=> $1 LIMIT {NEAREST}
         ) AS nearest
         WHERE model = $2"
    );
    sqlx::query_scalar(&sql)
        .bind(pgvector::Vector::from(vector.to_vec()))
        .bind(model)
        .fetch_all(rows.connection())
        .await
}

/// Products of these ids that are on sale, with their similarities.
async fn candidates(
    products: &Products,
    rows: &mut Rows,
    ids: &[String],
    request: Option<&(String, Vec<f32>)>,
    profile: Option<&(String, Vec<f32>)>,
) -> Result<BTreeMap<String, Candidate>, sqlx::Error> {
    let (model, vector) = request.cloned().unzip();
    let (profile_model, profile_vector) = profile.cloned().unzip();
    let on_sale = sqlx::query(
        "SELECT product_id, product.xmin::text::bigint AS version,
                CASE WHEN model = $2 THEN 1 - (vector <=> $3) END AS like_request,
                CASE WHEN model = $4 THEN 1 - (vector <=> $5) END AS like_profile,
                product_vector.event_id AS vector_event
         FROM product LEFT JOIN product_vector USING (product_id)
         WHERE product_id = ANY ($1) AND title IS NOT NULL AND NOT coalesce(retired, false)",
    )
    .bind(ids)
    .bind(model)
    .bind(vector.map(pgvector::Vector::from))
    .bind(profile_model)
    .bind(profile_vector.map(pgvector::Vector::from))
    .fetch_all(rows.connection())
    .await?;
    let versions = on_sale.iter().map(|row| (row.get("product_id"), row.get("version"))).collect();
    let mut read = products.in_versions(rows, &versions).await?;
    let with_similarity = |row: &PgRow| {
        let (product_id, candidate) = read.remove_entry(row.get::<&str, _>("product_id"))?;
        let candidate = Candidate {
            like_request: row.get("like_request"),
            like_profile: row.get("like_profile"),
            vector_event: row.get("vector_event"),
            ..candidate
        };
        Some((product_id, candidate))
    };
    Ok(on_sale.iter().filter_map(with_similarity).collect())
}

/// A view of the processor `recommendation`.
///
/// # Errors
/// When the processor has no view of this name.
pub fn view(name: &'static str) -> Result<&'static View, ReadError> {
    RECOMMENDATION.view(name).ok_or(ReadError::NotLive(RECOMMENDATION.name))
}

/// Deserialises a view's value that is a list; empty for a key without rows.
#[must_use]
pub fn decode_list<T: DeserializeOwned>(value: Option<Value>) -> Vec<T> {
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}
