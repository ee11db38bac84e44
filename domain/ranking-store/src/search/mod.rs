//! Search of the catalogue by words and by meaning in Elasticsearch.

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

use self::facets::Aggregations;

pub use self::facets::{FacetValue, PriceBucket, SearchFacets};
pub use self::words::words_in;

/// Limit of offset plus page size in Elasticsearch.
pub const MAX_WINDOW: usize = 10_000;

#[derive(Clone, Debug, Default)]
pub struct SearchRequest {
    /// None lists all products by id.
    pub words: Option<String>,
    /// Translation of the words into the catalogue's language; both are searched for.
    pub translation: Option<String>,
    /// Embedding of the words; none searches by words alone.
    pub meaning: Option<Meaning>,
    pub category: Option<String>,
    /// Filter by the lexicon's name of a colour.
    pub color: Option<String>,
    /// Filter by ISO 4217 currency.
    pub currency: Option<String>,
    /// Least price, in minor units.
    pub min_price_minor: Option<i64>,
    /// Largest price, in minor units.
    pub max_price_minor: Option<i64>,
    /// True to search without fuzziness, which is the slowest part of a search.
    pub as_spelt: bool,
    /// True to highlight the matches in titles.
    pub highlight: bool,
    /// True to count the facets.
    pub facets: bool,
    pub limit: usize,
    /// Hits to pass over.
    pub offset: usize,
}

/// Embedding of a text.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// Id of the embedding model; only vectors of the same model are compared.
    pub model: String,
    /// Has the dimensions of the products' vectors.
    pub vector: Arc<[f32]>,
    /// Similarity threshold: the least cosine, -1 to 1, of a matching product.
    pub min_cosine: f32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SearchHits {
    /// Total number of matching products.
    pub total: u64,
    /// Best first.
    pub hits: Vec<Hit>,
    /// Counts by facet, if requested.
    pub facets: Option<SearchFacets>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    pub product_id: String,
    /// Reciprocal rank fusion of the ranks by words and by meaning; comparable within one answer only.
    pub score: f64,
    /// Title as HTML with `<em>` around the matches, if requested.
    pub highlight: Option<String>,
}

/// Searches the index of a generation.
///
/// # Errors
/// When Elasticsearch is unavailable or the index does not exist.
pub async fn search(reader: &Reader, served: &Served, request: &SearchRequest) -> Result<SearchHits, SearchError> {
    let view = ES_SYNC.view(PRODUCTS_VIEW).ok_or(ReadError::NotLive(ES_SYNC.name))?;
    let nearest = match &request.meaning {
        Some(meaning) if request.words.is_some() => {
            let body = body::nearest(request, meaning, reader.vector_index());
            let answer: Answer = reader.ask_index(served, view, &body).await?;
            answer.hits.hits.into_iter().map(|hit| hit.fields.product_id.0).collect()
        }
        _ => Vec::new(),
    };
    let answer: Answer = reader.ask_index(served, view, &body::by_words(request, &nearest)).await?;
    Ok(answer.into_hits(request, &nearest))
}

#[derive(Deserialize)]
struct Answer {
    hits: Hits<AnswerHit>,
    aggregations: Option<Aggregations>,
}

#[derive(Deserialize)]
struct AnswerHit {
    fields: AnswerFields,
    #[serde(rename = "_score")]
    score: Option<f64>,
    highlight: Option<AnswerHighlight>,
}

/// Elasticsearch returns a list of values for each field.
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
    fn into_hits(self, request: &SearchRequest, nearest: &[String]) -> SearchHits {
        let hits = &self.hits.hits;
        let ordered: Vec<(&str, f64)> = if nearest.is_empty() {
            // The response is the page itself.
            let scores = (request.offset..).map(fusion::reciprocal);
            hits.iter().map(AnswerHit::id).zip(scores).collect()
        } else {
            // The response begins at the first rank; products found by meaning alone have a score of 0.
            let by_words = hits.iter().filter(|hit| hit.score.is_some_and(|score| score > 0.0));
            let by_words: Vec<&str> = by_words.map(AnswerHit::id).collect();
            let by_meaning: Vec<&str> = nearest.iter().map(String::as_str).collect();
            let fused = fusion::fuse(&by_words, &by_meaning);
            fused.into_iter().skip(request.offset).take(request.limit).collect()
        };
        let highlights: HashMap<&str, &AnswerHighlight> =
            hits.iter().filter_map(|hit| Some((hit.id(), hit.highlight.as_ref()?))).collect();
        let highlight = |id: &str| highlights.get(id)?.title.first().cloned();
        let hit = |(id, score): (&str, f64)| Hit { product_id: id.to_owned(), score, highlight: highlight(id) };
        let page = ordered.into_iter().map(hit).collect();
        SearchHits { total: self.hits.total(), hits: page, facets: self.aggregations.map(Aggregations::into_facets) }
    }
}
