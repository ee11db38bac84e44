//! Route of the catalogue search.

use axum::Json;
use axum::extract::State;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::Currency;
use jangbogo_lexicon::Slot;
use jangbogo_ranking_store::search::{self, SearchFacets, SearchRequest};
use schemars::JsonSchema;
use serde::Serialize;

use super::Service;
use super::answered_from::Snapshot;
use super::failure::Answer;
use super::parameters::{LIMIT, MAX_QUERY_BYTES, Parameters, invalid};
use crate::products::{self, ProductSummary};

const MAX_COLOR_BYTES: usize = 64;
const CURRENCY_BYTES: usize = 3;

/// A page of results.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SearchResults {
    /// Number of matches in total.
    total: u64,
    /// Number of skipped matches.
    offset: usize,
    searched_by: SearchedBy,
    /// English translation of the Korean words in the lexicon; the search is for both.
    #[serde(skip_serializing_if = "Option::is_none")]
    translation: Option<String>,
    /// Best match first.
    items: Vec<SearchItem>,
    facets: SearchFacets,
}

/// How products were found: by `words-and-meaning` (full text and embedding similarity); by `words` alone, while the
/// embedding service is unavailable; or, without words, by `filters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum SearchedBy {
    WordsAndMeaning,
    Words,
    Filters,
}

impl SearchedBy {
    fn from_request(request: &SearchRequest) -> Self {
        match (&request.words, &request.meaning) {
            (Some(_), Some(_)) => Self::WordsAndMeaning,
            (Some(_), None) => Self::Words,
            (None, _) => Self::Filters,
        }
    }

    /// The label in metrics, as in answers.
    const fn name(self) -> &'static str {
        match self {
            Self::WordsAndMeaning => "words-and-meaning",
            Self::Words => "words",
            Self::Filters => "filters",
        }
    }
}

/// A product that matches.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct SearchItem {
    product: ProductSummary,
    /// Reciprocal rank fusion, by which the results are ordered: the sum of 1 / (60 + rank) by words and by similarity.
    score: f64,
    /// The title as HTML with `<em>` around the matches, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<String>,
}

/// Searches the catalogue by words and by embedding similarity, in Korean and English.
///
/// Without words it lists products by id. Prices of several currencies are compared by their minor units alone: name
/// one.
#[utoipa::path(
    get,
    path = "/v1/search",
    tag = "products",
    params(
        ("q" = Option<String>, Query, description = "Words", max_length = 512),
        ("category" = Option<String>, Query, description = "Only this category"),
        ("color" = Option<String>, Query, description = "Only this colour, in English or Korean", max_length = 64),
        ("currency" = Option<String>, Query, description = "Only what is priced in this currency: ISO 4217"),
        ("min_price_minor" = Option<u64>, Query, description = "Only at this price or above, in minor units"),
        ("max_price_minor" = Option<u64>, Query, description = "Only at this price or below, in minor units"),
        ("highlight" = Option<bool>, Query, description = "Highlights the matches in titles"),
        ("limit" = Option<u32>, Query, minimum = 1, maximum = 100, description = LIMIT),
        ("offset" = Option<u32>, Query, maximum = 9999, description = "Items to skip: up to 10,000 with the limit"),
    ),
    responses(
        (status = 200, body = ref("#/components/schemas/SearchResults")),
        (status = 503, description = "The search index is unavailable or being built; retry after Retry-After"),
    )
)]
pub(super) async fn search(State(service): State<Service>, mut parameters: Parameters) -> Answer<Json<SearchResults>> {
    let words = parameters.text("q", MAX_QUERY_BYTES)?;
    let (limit, offset) = parameters.page()?;
    let request = SearchRequest {
        translation: words.as_deref().and_then(jangbogo_lexicon::in_english),
        category: parameters.category()?.map(|category| category.to_string()),
        color: parameters.text("color", MAX_COLOR_BYTES)?.map(|color| color_name(&color)),
        currency: currency(&mut parameters)?,
        min_price_minor: parameters.number("min_price_minor", 0..=i64::MAX)?,
        max_price_minor: parameters.number("max_price_minor", 0..=i64::MAX)?,
        highlight: parameters.flag("highlight")?,
        as_spelt: false,
        facets: true,
        limit,
        offset,
        meaning: None,
        words,
    };
    let snapshot = Snapshot::take(parameters, &service.reader).await?;
    let served = snapshot.get_indexed(&ES_SYNC)?;
    let meaning = match request.translation.as_ref().or(request.words.as_ref()) {
        Some(text) => service.query_embedder.embed(text, &served.generation).await,
        None => None,
    };
    let request = SearchRequest { meaning, ..request };
    let searched_by = SearchedBy::from_request(&request);
    service.metrics.query_searches_total.with_label_values(&[searched_by.name()]).inc();
    let found = search::search(&service.reader, served, &request).await?;
    let ids: Vec<&str> = found.hits.iter().map(|hit| hit.product_id.as_str()).collect();
    // From es-sync's own rows, which are never older than its documents.
    let products = products::by_id(&service.reader, served, &ids).await?;
    let items = found.hits.iter().filter_map(|hit| {
        let product = products.on_sale(&hit.product_id)?.clone();
        Some(SearchItem { product, score: hit.score, highlight: hit.highlight.clone() })
    });
    Ok(Json(SearchResults {
        total: found.total,
        offset,
        searched_by,
        items: items.collect(),
        facets: found.facets.unwrap_or_default(),
        translation: request.translation,
    }))
}

/// A colour as in the documents: the lexicon's canonical name, else the text in lower case.
fn color_name(color: &str) -> String {
    jangbogo_lexicon::canonical(Slot::Color, color).map_or_else(|| color.to_lowercase(), str::to_owned)
}

fn currency(parameters: &mut Parameters) -> Answer<Option<String>> {
    let Some(code) = parameters.text("currency", CURRENCY_BYTES)? else { return Ok(None) };
    let code = Currency::new(&code).map_err(|error| invalid(format!("the parameter currency: {error}")))?;
    Ok(Some(code.to_string()))
}

#[cfg(test)]
mod tests {
    use jangbogo_ranking_store::search::Meaning;

    use super::*;

    #[test]
    fn a_search_without_an_embedding_says_that_it_searched_by_words() {
        let words = SearchRequest { words: Some("tote".to_owned()), ..SearchRequest::default() };
        let vector = [1.0].into();
        let meaning = Some(Meaning { model: "letters".to_owned(), vector, min_cosine: 0.4 });
        let both = SearchRequest { meaning, ..words.clone() };
        for (request, expected) in
            [(words, "words"), (both, "words-and-meaning"), (SearchRequest::default(), "filters")]
        {
            let searched_by = SearchedBy::from_request(&request);
            assert_eq!(searched_by.name(), expected);
            assert_eq!(serde_json::to_value(searched_by).unwrap(), expected);
        }
    }
}
