//! Loading what a list is ranked from: a member's rows and the products' in one snapshot, and views as they are published.

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

/// So many products come from each kind of evidence.
const FROM_OTHERS: usize = 200;
const NEAREST: u16 = 80;
// An index gives no more than it looks at.
const _: () = assert!(NEAREST <= VectorIndex::MIN_EF_SEARCH);

/// What is asked, and what was found for it elsewhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The request; none for a member's own list.
    pub request: Option<&'a Request>,
    /// Its vector, and the model's id.
    pub embedded: Option<(&'a str, &'a Vector)>,
    /// Search hits for its words, the best first.
    pub found: &'a [String],
}

/// A member's data that does not depend on a request.
#[derive(Debug, Default)]
pub struct Member {
    known: CollaborativeInput,
    bought: BTreeSet<String>,
    taste: Taste,
    /// What the history's products have in common, and the model's id.
    profile: Option<(String, Vec<f32>)>,
    /// How many events of the member the rows hold: the version of what depends on them.
    pub events: i64,
}

/// The value of the view of histories.
#[derive(Debug, Default, Deserialize)]
struct History {
    events: i64,
    products: Vec<HistoryProduct>,
}

/// Loads what is known of a member. Rows are read in the given snapshot; similar and popular products as they are
/// published.
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
    let acts = if history.events > 0 { acts(rows, member_id, &history.products).await? } else { Vec::new() };
    let bought = acts.iter().filter(|act| act.is_bought).map(|act| act.product_id.clone()).collect();
    let profile = profile(&acts, &history.products);
    let known = known(reader, served, rows, history.products, &acts).await?;
    Ok(Member { known, bought, taste, profile, events: history.events })
}

/// Loads the products that a list for a member is ranked from, in the snapshot that the member was loaded in.
///
/// # Errors
/// When the Postgres query fails.
pub async fn load_products(
    products: &Products,
    rows: &mut Rows,
    member: Member,
    asked: Asked<'_>,
) -> Result<RankingInput, sqlx::Error> {
    let Member { known, bought, taste, profile, .. } = member;
    let mut wanted: BTreeSet<String> = asked.found.iter().cloned().collect();
    wanted.extend(asked.request.iter().flat_map(|request| &request.like).map(ToString::to_string));
    let mut by_others: Vec<(f64, &str)> =
        scores(&known).iter().map(|(product_id, found)| (found.score, *product_id)).collect();
    by_others.sort_by(|left, right| by_score_then_id(*left, *right));
    wanted.extend(by_others.into_iter().take(FROM_OTHERS).map(|(_, product_id)| product_id.to_owned()));
    let request = asked.embedded.map(|(model, vector)| (model.to_owned(), vector.to_vec()));
    for (model, vector) in request.iter().chain(profile.iter()) {
        wanted.extend(nearest(rows, model, vector).await?);
    }
    let candidates = candidates(products, rows, &Vec::from_iter(wanted), request.as_ref(), profile.as_ref()).await?;
    Ok(RankingInput { known, bought, taste, candidates, found: asked.found.to_vec() })
}

/// A product that a member bought, or that is in the history.
struct Act {
    product_id: String,
    is_bought: bool,
    category: Option<String>,
    /// With the model's id; of those in the history alone.
    vector: Option<(String, pgvector::Vector)>,
}

async fn acts(rows: &mut Rows, member_id: &str, history: &[HistoryProduct]) -> Result<Vec<Act>, sqlx::Error> {
    let ids: Vec<&str> = history.iter().map(|product| product.product_id.as_str()).collect();
    let found = sqlx::query(
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
    let act = |row: &PgRow| Act {
        product_id: row.get("product_id"),
        is_bought: row.get("is_bought"),
        category: row.get("category"),
        vector: row.get::<Option<String>, _>("model").zip(row.get("vector")),
    };
    Ok(found.iter().map(act).collect())
}

/// What is bought together with a history's products, popular in its categories, and trending.
async fn known(
    reader: &Reader,
    served: &Served,
    rows: &mut Rows,
    history: Vec<HistoryProduct>,
    acts: &[Act],
) -> Result<CollaborativeInput, ReadError> {
    let categories: BTreeMap<&str, &str> =
        acts.iter().filter_map(|act| Some((&*act.product_id, act.category.as_deref()?))).collect();
    let favourites = favourite_categories(&history, |id| categories.get(id).copied());
    let (similar, popular) = (view(SIMILAR_VIEW)?, view(POPULAR_VIEW)?);
    let ids: Vec<&str> = history.iter().map(|product| product.product_id.as_str()).collect();
    let mut keys: Vec<ViewKey<'_>> = ids.iter().map(|key| ViewKey { view: similar, key }).collect();
    keys.extend(favourites.iter().map(|favourite| ViewKey { view: popular, key: &favourite.category }));
    keys.push(ViewKey { view: view(TRENDING_VIEW)?, key: TRENDING_KEY });
    let mut values = reader.views_or_rows(served, rows, &keys).await?.into_iter();
    let neighbours = ids.iter().zip(values.by_ref()).map(|(id, value)| ((*id).to_owned(), list_of(value))).collect();
    let popular_in = |(favourite, value)| PopularIn { favourite, products: list_of(value) };
    let popular = favourites.into_iter().zip(values.by_ref()).map(popular_in).collect();
    let trending = list_of(values.next().flatten());
    Ok(CollaborativeInput { history, neighbours, popular, trending })
}

/// What a history's products have in common: the mean of their vectors by weight, and the model's id.
fn profile(acts: &[Act], history: &[HistoryProduct]) -> Option<(String, Vec<f32>)> {
    let weights: BTreeMap<&str, f64> = history.iter().map(|one| (one.product_id.as_str(), one.weight)).collect();
    let vectors = || acts.iter().filter_map(|act| Some((&act.product_id, act.vector.as_ref()?)));
    let (_, (model, _)) = vectors().next_back()?;
    let mut sum = vec![0.0_f64; Vector::DIMENSIONS];
    for (product_id, (_, vector)) in vectors().filter(|(_, (of, _))| of == model) {
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

/// The products nearest to a vector, as the index finds them.
async fn nearest(rows: &mut Rows, model: &str, vector: &[f32]) -> Result<Vec<String>, sqlx::Error> {
    // With the limit in its text the statement's plan is the index, whatever it is asked.
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

/// The products of these ids that are on sale, and how near each is.
async fn candidates(
    products: &Products,
    rows: &mut Rows,
    ids: &[String],
    request: Option<&(String, Vec<f32>)>,
    profile: Option<&(String, Vec<f32>)>,
) -> Result<BTreeMap<String, Candidate>, sqlx::Error> {
    let (model, vector) = request.cloned().unzip();
    let (profile_model, profile_vector) = profile.cloned().unzip();
    let found = sqlx::query(
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
    let versions = found.iter().map(|row| (row.get("product_id"), row.get("version"))).collect();
    let mut read = products.in_versions(rows, &versions).await?;
    let near = |row: &PgRow| {
        let (product_id, candidate) = read.remove_entry(row.get::<&str, _>("product_id"))?;
        let candidate = Candidate {
            like_request: row.get("like_request"),
            like_profile: row.get("like_profile"),
            vector_event: row.get("vector_event"),
            ..candidate
        };
        Some((product_id, candidate))
    };
    Ok(found.iter().filter_map(near).collect())
}

/// A view of recommendation's.
///
/// # Errors
/// Never, unless the projections no longer have it.
pub fn view(name: &'static str) -> Result<&'static View, ReadError> {
    RECOMMENDATION.view(name).ok_or(ReadError::NotLive(RECOMMENDATION.name))
}

/// A view's value that is a list; empty for a key without rows.
#[must_use]
pub fn list_of<T: DeserializeOwned>(value: Option<Value>) -> Vec<T> {
    value.and_then(|value| serde_json::from_value(value).ok()).unwrap_or_default()
}
