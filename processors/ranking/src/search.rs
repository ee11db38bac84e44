//! Searching the catalogue: what is asked of Elasticsearch, and what it answered.

use std::time::Duration;

use elasticsearch::SearchParts;
use elasticsearch::http::StatusCode;
use projections::ES_SYNC;
use projections::catalogue::PRODUCTS_VIEW;
use runtime::read::{ReadError, Reader, Served};
use serde::Deserialize;
use serde_json::{Value, json};

/// Elasticsearch pages no further.
pub const MAX_WINDOW: usize = 10_000;
/// Words beyond these are not searched for.
const MAX_WORDS: usize = 16;
const TIME_LIMIT: Duration = Duration::from_secs(3);
/// Where words are looked for, and how much a find there counts. English and Korean are analysed apart.
const FIELDS: [&str; 7] = [
    "title^3",
    "title.korean^3",
    "category^2",
    "description",
    "description.korean",
    "attribute_text",
    "attribute_text.korean",
];

/// What is searched for.
#[derive(Clone, Debug, Default)]
pub struct SearchRequest {
    /// Words; none lists everything by product id.
    pub words: Option<String>,
    /// Only this category.
    pub category: Option<String>,
    /// Only at this price or above, in minor units.
    pub min_price_minor: Option<i64>,
    /// Only at this price or below, in minor units.
    pub max_price_minor: Option<i64>,
    /// Whether the places that were found are marked.
    pub highlight: bool,
    /// The most hits.
    pub limit: usize,
    /// Hits to pass over.
    pub offset: usize,
}

/// What was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How many products there are in all.
    pub total: u64,
    /// The best first; equal scores by product id.
    pub hits: Vec<Hit>,
}

/// A product that was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hit {
    /// Which.
    pub product_id: String,
    /// How well it fits; it orders one answer.
    pub score: f64,
    /// The title as HTML with `<em>` around what was found, if that was asked for.
    pub highlight: Option<String>,
}

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Elasticsearch is away.
    #[error("elasticsearch does not answer")]
    Away(#[from] elasticsearch::Error),
    /// The index is not there: it was never built, or was lost and is being built again.
    #[error("the index of products is being built")]
    NoIndex,
    /// Elasticsearch refuses.
    #[error("elasticsearch answered {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The view of documents is not known.
    #[error("the index cannot be named")]
    Read(#[from] ReadError),
}

/// Searches the index of a generation.
///
/// # Errors
/// When Elasticsearch is away or has no index.
pub async fn search(reader: &Reader, served: &Served, request: &SearchRequest) -> Result<Found, SearchError> {
    let view = ES_SYNC.view(PRODUCTS_VIEW).ok_or(ReadError::NotLive(ES_SYNC.name))?;
    let index = reader.index(served, view);
    let response = reader
        .search()
        .search(SearchParts::Index(&[&index]))
        .body(body(request))
        .request_timeout(TIME_LIMIT)
        .send()
        .await?;
    match response.status_code() {
        StatusCode::NOT_FOUND => return Err(SearchError::NoIndex),
        status if !status.is_success() => {
            return Err(SearchError::Refused { status: status.as_u16(), body: response.text().await? });
        }
        _ => {}
    }
    let answer: Answer = response.json().await?;
    let hit = |hit: AnswerHit| Hit {
        product_id: hit.id,
        score: hit.score.unwrap_or_default(),
        highlight: hit.highlight.and_then(|highlight| highlight.title.into_iter().next()),
    };
    Ok(Found { total: answer.hits.total.value, hits: answer.hits.hits.into_iter().map(hit).collect() })
}

#[derive(Deserialize)]
struct Answer {
    hits: AnswerHits,
}

#[derive(Deserialize)]
struct AnswerHits {
    total: AnswerTotal,
    hits: Vec<AnswerHit>,
}

#[derive(Deserialize)]
struct AnswerTotal {
    value: u64,
}

#[derive(Deserialize)]
struct AnswerHit {
    #[serde(rename = "_id")]
    id: String,
    #[serde(rename = "_score")]
    score: Option<f64>,
    highlight: Option<AnswerHighlight>,
}

#[derive(Deserialize)]
struct AnswerHighlight {
    #[serde(default)]
    title: Vec<String>,
}

fn body(request: &SearchRequest) -> Value {
    let mut filters = Vec::new();
    if let Some(category) = &request.category {
        filters.push(json!({ "term": { "category": category } }));
    }
    if request.min_price_minor.is_some() || request.max_price_minor.is_some() {
        let range = json!({ "gte": request.min_price_minor, "lte": request.max_price_minor });
        filters.push(json!({ "range": { "price_minor": range } }));
    }
    let words: Vec<Value> =
        request.words.iter().flat_map(|words| words.split_whitespace()).take(MAX_WORDS).map(word).collect();
    let sort = if words.is_empty() { json!(["product_id"]) } else { json!(["_score", "product_id"]) };
    let mut query = json!({ "filter": filters, "must_not": [{ "term": { "tombstone": true } }] });
    if !words.is_empty() {
        query["should"] = words.into();
        // Of one or two words each must be found, of more three quarters.
        query["minimum_should_match"] = "2<75%".into();
    }
    let mut body = json!({
        "query": { "bool": query },
        "sort": sort,
        "track_scores": true,
        "track_total_hits": true,
        "_source": false,
        "from": request.offset,
        "size": request.limit,
    });
    if request.highlight {
        // 0: the whole title.
        body["highlight"] = json!({ "encoder": "html", "fields": { "title": { "number_of_fragments": 0 } } });
    }
    body
}

/// One word: in any field, as it is or inflected, or as a product's id; a misspelt one in the title counts less.
fn word(word: &str) -> Value {
    // What an analyser takes apart, such as "t-light", must be found in one field as a whole.
    let whole = |form: &str| json!({ "multi_match": { "query": form, "fields": FIELDS, "operator": "and" } });
    let mut queries = vec![whole(word)];
    queries.extend(other_numbers(word).iter().map(|form| whole(form)));
    queries.push(json!({ "term": { "product_id": { "value": word, "case_insensitive": true, "boost": 20 } } }));
    if word.chars().count() >= 4 && word.chars().all(char::is_alphabetic) {
        let misspelt = json!({ "query": word, "fuzziness": "AUTO", "prefix_length": 2, "boost": 0.3 });
        queries.push(json!({ "match": { "title": misspelt } }));
    }
    json!({ "dis_max": { "queries": queries } })
}

/// An English noun's other number, as far as the common endings tell: not every server can stem.
fn other_numbers(word: &str) -> Vec<String> {
    let word = word.to_ascii_lowercase();
    if word.len() < 3 || !word.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Vec::new();
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| word.ends_with(ending));
    if let Some(stem) = word.strip_suffix("ies") {
        return vec![format!("{stem}y")];
    }
    if ends(&["sses", "shes", "ches", "xes", "zes"]) {
        return vec![word[..word.len() - 2].to_owned()];
    }
    if ends(&["ss", "sh", "ch", "x", "z"]) {
        return vec![format!("{word}es")];
    }
    if let Some(stem) = word.strip_suffix('s') {
        return vec![stem.to_owned()];
    }
    match word.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => vec![format!("{stem}ies")],
        _ => vec![format!("{word}s")],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_found_in_either_number() {
        for (word, other) in [
            ("bag", "bags"),
            ("Bags", "bag"),
            ("dress", "dresses"),
            ("dresses", "dress"),
            ("box", "boxes"),
            ("boxes", "box"),
            ("candles", "candle"),
            ("candle", "candles"),
            ("cherries", "cherry"),
            ("cherry", "cherries"),
            ("tray", "trays"),
        ] {
            assert_eq!(other_numbers(word), [other], "{word}");
        }
        for word in ["원피스", "t-light", "a", "85099B"] {
            assert_eq!(other_numbers(word), Vec::<String>::new(), "{word}");
        }
    }

    #[test]
    fn words_filters_and_page_make_the_query() {
        let request = SearchRequest {
            words: Some("red bag".to_owned()),
            category: Some("bags".to_owned()),
            min_price_minor: Some(100),
            limit: 5,
            offset: 10,
            ..SearchRequest::default()
        };
        let body = body(&request);
        let query = &body["query"]["bool"];
        assert_eq!(query["should"].as_array().unwrap().len(), 2);
        let forms = &query["should"][1]["dis_max"]["queries"];
        assert_eq!([0, 1].map(|number| &forms[number]["multi_match"]["query"]), ["bag", "bags"]);
        assert_eq!(query["filter"][0]["term"]["category"], "bags");
        assert_eq!(query["filter"][1]["range"]["price_minor"], json!({ "gte": 100, "lte": null }));
        assert_eq!(query["must_not"][0]["term"]["tombstone"], true);
        assert_eq!((body["from"].as_u64(), body["size"].as_u64()), (Some(10), Some(5)));
        assert_eq!(body["sort"], json!(["_score", "product_id"]));
        assert_eq!(body.get("highlight"), None);
    }

    #[test]
    fn without_words_everything_is_listed() {
        let body = body(&SearchRequest { limit: 20, ..SearchRequest::default() });
        assert_eq!(body["sort"], json!(["product_id"]));
        assert_eq!(body["query"]["bool"].get("should"), None);
    }
}
