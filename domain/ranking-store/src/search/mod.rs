//! Searching the catalogue by words and by meaning: what is asked of Elasticsearch, and what it answered.

mod body;
mod facets;
mod fusion;
mod words;

use std::collections::HashMap;
use std::sync::Arc;

use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_read::{Hits, ReadError, Reader, SearchError, Served};
use jangbogo_shared_projections::catalogue::PRODUCTS_VIEW;
use serde::Deserialize;

use self::facets::Counted;

pub use self::facets::{FacetValue, PriceBucket, SearchFacets};
pub use self::words::words_in;

/// Elasticsearch pages no further.
pub const MAX_WINDOW: usize = 10_000;

/// A search request.
#[derive(Clone, Debug, Default)]
pub struct SearchRequest {
    /// Words; none lists everything by product id.
    pub words: Option<String>,
    /// The words in the catalogue's language, if they are in another: either are searched for.
    pub translation: Option<String>,
    /// What the words mean; none searches by words alone.
    pub meaning: Option<Meaning>,
    pub category: Option<String>,
    /// Only this colour, by its name in the lexicon.
    pub color: Option<String>,
    /// Only what is priced in this currency.
    pub currency: Option<String>,
    /// Only at this price or above, in minor units.
    pub min_price_minor: Option<i64>,
    /// Only at this price or below, in minor units.
    pub max_price_minor: Option<i64>,
    /// Whether the words are taken as they are spelt: to look for words that are nearly the same takes longer than all else.
    pub as_spelt: bool,
    /// Whether the places that were found are marked.
    pub highlight: bool,
    /// Whether the products are counted by what they differ in.
    pub facets: bool,
    pub limit: usize,
    /// Hits to pass over.
    pub offset: usize,
}

/// A text's vector.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// The id of the model that gave it: only products' vectors of the same are near it.
    pub model: String,
    /// As many numbers as products' vectors have.
    pub vector: Arc<[f32]>,
    /// The cosine, -1 to 1, from which on a product is near: below it, it shares no more than a word or a mood.
    pub min_cosine: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Total number of matching products.
    pub total: u64,
    /// The best first.
    pub hits: Vec<Hit>,
    /// By what they differ, if that was asked for.
    pub facets: Option<SearchFacets>,
}

/// A product that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub product_id: String,
    /// Made of its ranks by words and by meaning; it orders one answer.
    pub score: f64,
    /// The title as HTML with `<em>` around what was found, if that was asked for.
    pub highlight: Option<String>,
}

/// Searches the index of a generation.
///
/// # Errors
/// When Elasticsearch is unavailable or the index does not exist.
pub async fn search(reader: &Reader, served: &Served, request: &SearchRequest) -> Result<Found, SearchError> {
    let view = ES_SYNC.view(PRODUCTS_VIEW).ok_or(ReadError::NotLive(ES_SYNC.name))?;
    let nearest = match &request.meaning {
        Some(meaning) if request.words.is_some() => {
            let body = body::nearest(request, meaning, reader.vector_index());
            let answer: Answer = reader.ask_index(served, view, &body).await?;
            answer.hits.hits.into_iter().map(|hit| hit.fields.product_id.0).collect()
        }
        _ => Vec::new(),
    };
    let answer: Answer = reader.ask_index(served, view, &body::found(request, &nearest)).await?;
    Ok(answer.into_found(request, &nearest))
}

#[derive(Deserialize)]
struct Answer {
    hits: Hits<AnswerHit>,
    aggregations: Option<Counted>,
}

#[derive(Deserialize)]
struct AnswerHit {
    fields: AnswerFields,
    #[serde(rename = "_score")]
    score: Option<f64>,
    highlight: Option<AnswerHighlight>,
}

/// Every field that is asked for has a list of values.
#[derive(Deserialize)]
struct AnswerFields {
    product_id: (String,),
}

impl AnswerHit {
    fn id(&self) -> &str {
        &self.fields.product_id.0
    }
}

#[derive(Deserialize)]
struct AnswerHighlight {
    #[serde(default)]
    title: Vec<String>,
}

impl Answer {
    fn into_found(self, request: &SearchRequest, nearest: &[String]) -> Found {
        let hits = &self.hits.hits;
        let ordered: Vec<(&str, f64)> = if nearest.is_empty() {
            // The page itself.
            let places = (request.offset..).map(fusion::reciprocal);
            hits.iter().map(AnswerHit::id).zip(places).collect()
        } else {
            // The best from the first on, down to those that are there by their meaning alone.
            let by_words = hits.iter().filter(|hit| hit.score.is_some_and(|score| score > 0.0));
            let by_words: Vec<&str> = by_words.map(AnswerHit::id).collect();
            let by_meaning: Vec<&str> = nearest.iter().map(String::as_str).collect();
            let fused = fusion::fuse(&by_words, &by_meaning);
            fused.into_iter().skip(request.offset).take(request.limit).collect()
        };
        let marked: HashMap<&str, &AnswerHighlight> =
            hits.iter().filter_map(|hit| Some((hit.id(), hit.highlight.as_ref()?))).collect();
        let highlight = |id: &str| marked.get(id)?.title.first().cloned();
        let hit = |(id, score): (&str, f64)| Hit { product_id: id.to_owned(), score, highlight: highlight(id) };
        let found = ordered.into_iter().map(hit).collect();
        Found { total: self.hits.total(), hits: found, facets: self.aggregations.map(Counted::into_facets) }
    }
}
