//! Facets: counts of the matching products by category, colour and price.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Most values of a facet.
const VALUES: usize = 100;
/// Most currencies with price buckets.
const CURRENCIES: usize = 10;
/// Powers of ten of the price buckets, which begin at 0 and at 1, 2 and 5 times each power, in minor units.
const DECADES: std::ops::Range<u32> = 2..9;

/// Numbers of matching products by category, colour and price, with all filters applied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SearchFacets {
    /// At most a hundred categories, those with the most products first.
    pub categories: Vec<FacetValue>,
    /// At most a hundred colours, by the names of the lexicon; a product may be of several.
    pub colors: Vec<FacetValue>,
    /// Buckets that are not empty: currencies by their number of products, of each the cheapest bucket first.
    pub prices: Vec<PriceBucket>,
}

/// A value with its number of products.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FacetValue {
    /// Value for the filter parameter.
    #[schemars(example = &"red")]
    pub value: String,
    /// Number of products.
    pub products: u64,
}

/// A price range with its number of products. Its ends are values for the filter parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PriceBucket {
    /// ISO 4217.
    #[schemars(example = &"GBP")]
    pub currency: String,
    /// The lowest price, in minor units.
    #[schemars(example = 200)]
    pub min_price_minor: i64,
    /// The highest price, in minor units; none for the last bucket.
    #[schemars(example = 499)]
    pub max_price_minor: Option<i64>,
    /// Number of products.
    pub products: u64,
}

/// Aggregations of a search request.
pub(super) fn aggregations() -> Value {
    let most = |field: &str, size: usize| json!({ "field": field, "size": size });
    let bounds: Vec<i64> = lower_bounds().collect();
    let mut ranges: Vec<Value> = bounds.windows(2).map(|ends| json!({ "from": ends[0], "to": ends[1] })).collect();
    ranges.extend(bounds.last().map(|begin| json!({ "from": begin })));
    json!({
        "categories": { "terms": most("category", VALUES) },
        "colors": { "terms": most("colors", VALUES) },
        "currencies": {
            "terms": most("currency", CURRENCIES),
            "aggs": { "prices": { "range": { "field": "price_minor", "ranges": ranges } } },
        },
    })
}

fn lower_bounds() -> impl Iterator<Item = i64> {
    let of_decade = |power: u32| [1, 2, 5].map(|digit| digit * 10_i64.pow(power));
    std::iter::once(0).chain(DECADES.flat_map(of_decade))
}

/// Aggregations of a search response.
#[derive(Deserialize)]
pub(super) struct Aggregations {
    categories: Buckets<Counts>,
    colors: Buckets<Counts>,
    currencies: Buckets<CurrencyCounts>,
}

#[derive(Deserialize)]
struct Buckets<T> {
    buckets: Vec<T>,
}

#[derive(Deserialize)]
struct Counts {
    key: String,
    doc_count: u64,
}

#[derive(Deserialize)]
struct CurrencyCounts {
    key: String,
    prices: Buckets<RangeCounts>,
}

/// Elasticsearch returns the ranges in order, with their ends as floating-point numbers, which are not read.
#[derive(Deserialize)]
struct RangeCounts {
    doc_count: u64,
}

impl Aggregations {
    pub(super) fn into_facets(self) -> SearchFacets {
        let value = |counts: Counts| FacetValue { value: counts.key, products: counts.doc_count };
        let values = |field: Buckets<Counts>| field.buckets.into_iter().map(value).collect();
        let prices = self.currencies.buckets.into_iter().flat_map(|currency| {
            let ends = lower_bounds().skip(1).map(|end| Some(end - 1)).chain([None]);
            let ranges = lower_bounds().zip(ends).zip(currency.prices.buckets);
            let filled = ranges.filter(|(_, counts)| counts.doc_count > 0);
            let bucket = move |((begin, end), counts): ((i64, Option<i64>), RangeCounts)| PriceBucket {
                currency: currency.key.clone(),
                min_price_minor: begin,
                max_price_minor: end,
                products: counts.doc_count,
            };
            filled.map(bucket).collect::<Vec<_>>()
        });
        SearchFacets { prices: prices.collect(), categories: values(self.categories), colors: values(self.colors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_price_is_in_one_bucket() {
        let aggregations = aggregations();
        let ranges = aggregations["currencies"]["aggs"]["prices"]["range"]["ranges"].as_array().unwrap();
        assert_eq!(
            ranges[..4],
            [
                json!({ "from": 0, "to": 100 }),
                json!({ "from": 100, "to": 200 }),
                json!({ "from": 200, "to": 500 }),
                json!({ "from": 500, "to": 1000 }),
            ]
        );
        assert!(ranges.windows(2).all(|pair| pair[0]["to"] == pair[1]["from"]));
        assert_eq!(ranges.last().unwrap(), &json!({ "from": 500_000_000 }), "and everything above");
    }

    #[test]
    fn empty_buckets_are_left_out_and_ends_can_be_filtered_by() {
        let counts = |filled: &[usize]| {
            let count = |number| json!({ "doc_count": u64::from(filled.contains(&number)) });
            json!({ "buckets": (0..lower_bounds().count()).map(count).collect::<Vec<_>>() })
        };
        let answer = json!({
            "categories": { "buckets": [{ "key": "bags", "doc_count": 2 }] },
            "colors": { "buckets": [] },
            "currencies": { "buckets": [{ "key": "KRW", "doc_count": 2, "prices": counts(&[2, lower_bounds().count() - 1]) }] },
        });
        let facets = serde_json::from_value::<Aggregations>(answer).unwrap().into_facets();
        assert_eq!(facets.categories, [FacetValue { value: "bags".to_owned(), products: 2 }]);
        let ends: Vec<_> = facets.prices.iter().map(|one| (one.min_price_minor, one.max_price_minor)).collect();
        assert_eq!(ends, [(200, Some(499)), (500_000_000, None)]);
    }
}
