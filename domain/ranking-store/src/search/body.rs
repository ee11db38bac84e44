//! Bodies of Elasticsearch searches.

use jangbogo_lexicon::hangul::is_hangul;
use jangbogo_platform::vector_index::VectorIndex;
use serde_json::{Value, json};

use super::words::{each_word, forms};
use super::{Meaning, SearchRequest, facets, fusion};

/// Most products near a text.
const NEAREST: u16 = 50;
// Elasticsearch requires `num_candidates` of at least `k`.
const _: () = assert!(NEAREST <= VectorIndex::MIN_CANDIDATES);
/// Searched fields with boosts. The same texts are analysed as English and as Korean.
const FIELDS: [&str; 4] = ["title^3", "category^2", "description", "attribute_text"];
const KOREAN_FIELDS: [&str; 4] = ["title.korean^3", "category^2", "description.korean", "attribute_text.korean"];

/// The only field read of a hit: stored documents are large, and reading them takes as long as the search.
const ID: [&str; 1] = ["product_id"];

/// Body of an approximate search (`knn`) for the products nearest to a vector.
pub(super) fn nearest(request: &SearchRequest, meaning: &Meaning, vector_index: VectorIndex) -> Value {
    let mut filters = filters(request);
    filters.push(json!({ "term": { "vector_model": meaning.model } }));
    json!({
        "knn": {
            "field": "vector",
            "query_vector": &*meaning.vector,
            "k": NEAREST,
            "num_candidates": vector_index.candidates,
            "similarity": meaning.min_cosine,
            "filter": filters,
        },
        "docvalue_fields": ID,
        "stored_fields": "_none_",
        "size": NEAREST,
    })
}

/// Body of a search for the products with the words, by BM25, and after them the nearest ones, which count 0.
pub(super) fn by_words(request: &SearchRequest, nearest: &[String]) -> Value {
    let mut query = json!({ "filter": filters(request), "must_not": [{ "term": { "tombstone": true } }] });
    let texts: Vec<Value> = [&request.words, &request.translation]
        .into_iter()
        .flatten()
        .map(|text| each_word(text, |word| word_queries(word, request.as_spelt)))
        .collect();
    let sort = if texts.is_empty() { json!(["product_id"]) } else { json!(["_score", "product_id"]) };
    if !texts.is_empty() {
        let nearest_ids = json!({ "constant_score": { "filter": { "ids": { "values": nearest } }, "boost": 0 } });
        query["should"] = json!([{ "dis_max": { "queries": texts } }, nearest_ids]);
        query["minimum_should_match"] = 1.into();
    }
    let (from, size) = if nearest.is_empty() {
        (request.offset, request.limit)
    } else {
        (0, fusion::WINDOW.max(request.offset + request.limit))
    };
    let mut body = json!({
        "query": { "bool": query },
        "sort": sort,
        "track_scores": true,
        "track_total_hits": true,
        "docvalue_fields": ID,
        "from": from,
        "size": size,
    });
    if request.highlight {
        body["_source"] = false.into();
        // 0 returns the whole title.
        body["highlight"] = json!({ "encoder": "html", "fields": { "title": { "number_of_fragments": 0 } } });
    } else {
        body["stored_fields"] = "_none_".into();
    }
    if request.facets {
        body["aggs"] = facets::aggregations();
    }
    body
}

fn filters(request: &SearchRequest) -> Vec<Value> {
    let terms = [("category", &request.category), ("colors", &request.color), ("currency", &request.currency)];
    let term = |(field, value): (&str, &Option<String>)| Some(json!({ "term": { field: value.as_ref()? } }));
    let mut filters: Vec<Value> = terms.into_iter().filter_map(term).collect();
    if request.min_price_minor.is_some() || request.max_price_minor.is_some() {
        let range = json!({ "gte": request.min_price_minor, "lte": request.max_price_minor });
        filters.push(json!({ "range": { "price_minor": range } }));
    }
    filters
}

/// Queries for one word: in any field, as a product id, or misspelt in the title, which counts less.
fn word_queries(word: &str, as_spelt: bool) -> Vec<Value> {
    let fields = if word.chars().any(is_hangul) { &KOREAN_FIELDS } else { &FIELDS };
    let mut queries = forms(word, fields);
    let id = |value: &str| json!({ "value": value, "case_insensitive": !as_spelt, "boost": 20 });
    queries.push(json!({ "term": { "product_id": id(word) } }));
    if !as_spelt && word.chars().count() >= 4 && word.chars().all(char::is_alphabetic) {
        let misspelt = json!({ "query": word, "fuzziness": "AUTO", "prefix_length": 2, "boost": 0.3 });
        queries.push(json!({ "match": { "title": misspelt } }));
    }
    queries
}

#[cfg(test)]
mod tests {
    use super::*;

    fn red_bag() -> SearchRequest {
        SearchRequest {
            words: Some("red bag".to_owned()),
            category: Some("bags".to_owned()),
            color: Some("red".to_owned()),
            currency: Some("GBP".to_owned()),
            min_price_minor: Some(100),
            limit: 5,
            offset: 10,
            ..SearchRequest::default()
        }
    }

    #[test]
    fn words_filters_and_page_make_the_query() {
        let body = by_words(&red_bag(), &[]);
        let query = &body["query"]["bool"];
        let words = &query["should"][0]["dis_max"]["queries"][0]["bool"]["should"];
        assert_eq!(words.as_array().unwrap().len(), 2);
        let forms = &words[1]["dis_max"]["queries"];
        assert_eq!([0, 1].map(|number| &forms[number]["multi_match"]["query"]), ["bag", "bags"]);
        let terms = [0, 1, 2].map(|number| &query["filter"][number]["term"]);
        assert_eq!(terms, [&json!({ "category": "bags" }), &json!({ "colors": "red" }), &json!({ "currency": "GBP" })]);
        assert_eq!(query["filter"][3]["range"]["price_minor"], json!({ "gte": 100, "lte": null }));
        assert_eq!(query["must_not"][0]["term"]["tombstone"], true);
        assert_eq!((body["from"].as_u64(), body["size"].as_u64()), (Some(10), Some(5)));
        assert_eq!(body["sort"], json!(["_score", "product_id"]));
        assert_eq!((body.get("highlight"), body.get("aggs")), (None, None));
    }

    #[test]
    fn nearest_products_pass_the_same_filters() {
        let meaning = Meaning { model: "minilm".to_owned(), vector: [0.5; 384].into(), min_cosine: 0.4 };
        let request = red_bag();
        let near = nearest(&request, &meaning, VectorIndex::default());
        let body = by_words(&request, &["tote".to_owned()]);
        let model = json!({ "term": { "vector_model": "minilm" } });
        let filters = near["knn"]["filter"].as_array().unwrap().split_last().unwrap();
        assert_eq!(filters, (&model, body["query"]["bool"]["filter"].as_array().unwrap().as_slice()));
        let ids = &body["query"]["bool"]["should"][1]["constant_score"];
        assert_eq!((&ids["filter"]["ids"]["values"], &ids["boost"]), (&json!(["tote"]), &json!(0)));
        // Fusion needs the ranks from the first on.
        assert_eq!((body["from"].as_u64(), body["size"].as_u64()), (Some(0), Some(200)));
    }

    #[test]
    fn words_taken_as_spelt_are_searched_without_fuzziness() {
        let body = |as_spelt| by_words(&SearchRequest { as_spelt, ..red_bag() }, &[]).to_string();
        assert!(!body(true).contains("fuzziness") && !body(true).contains(r#""case_insensitive":true"#));
        let lunch = SearchRequest { words: Some("lunch".to_owned()), ..red_bag() };
        assert!(by_words(&lunch, &[]).to_string().contains("fuzziness"));
    }

    #[test]
    fn the_number_of_candidates_is_a_setting() {
        let meaning = Meaning { model: "minilm".to_owned(), vector: [0.5; 384].into(), min_cosine: 0.4 };
        let vector_index = VectorIndex { candidates: 75, ..VectorIndex::default() };
        let near = nearest(&red_bag(), &meaning, vector_index);
        assert_eq!((&near["knn"]["k"], &near["knn"]["num_candidates"]), (&json!(50), &json!(75)));
    }

    #[test]
    fn a_translation_is_searched_for_too() {
        let request = SearchRequest { translation: Some("red bag".to_owned()), ..red_bag() };
        let body = by_words(&SearchRequest { words: Some("빨간 가방".to_owned()), ..request }, &[]);
        let texts = &body["query"]["bool"]["should"][0]["dis_max"]["queries"];
        let first = |text: &Value| text["bool"]["should"][0]["dis_max"]["queries"][0]["multi_match"]["query"].clone();
        assert_eq!([0, 1].map(|number| first(&texts[number])), ["빨간", "red"]);
    }

    #[test]
    fn without_words_everything_is_listed() {
        let body = by_words(&SearchRequest { limit: 20, ..SearchRequest::default() }, &[]);
        assert_eq!(body["sort"], json!(["product_id"]));
        assert_eq!(body["query"]["bool"].get("should"), None);
    }
}
