//! By what the products that were found differ, and how many there are of each.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The most values of a facet.
const VALUES: usize = 100;
/// The most currencies that prices are counted in.
const CURRENCIES: usize = 10;
/// Where buckets of prices begin: 0, then 1, 2 and 5 times each power of ten, in minor units of any currency.
const DECADES: std::ops::Range<u32> = 2..9;

/// How many products were found of each category, colour and price, filters included.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct SearchFacets {
    /// At most a hundred categories, those with the most products first.
    pub categories: Vec<FacetValue>,
    /// At most a hundred colours, by the names of the lexicon; a product may be of several.
    pub colors: Vec<FacetValue>,
    /// Currencies by how many products are priced in them, the cheapest bucket of each first; without empty ones.
    pub prices: Vec<PriceBucket>,
}

/// A value, and how many products have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct FacetValue {
    /// What to filter by.
    #[schema(example = "red")]
    pub value: String,
    /// How many.
    pub products: u64,
}

/// A range of prices, and how many products are in it. Its ends are what to filter by.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct PriceBucket {
    /// ISO 4217.
    #[schema(example = "GBP")]
    pub currency: String,
    /// The lowest price, in minor units.
    #[schema(example = 200)]
    pub min_price_minor: i64,
    /// The highest price, in minor units; none for the last bucket.
    #[schema(example = 499)]
    pub max_price_minor: Option<i64>,
    /// How many.
    pub products: u64,
}

/// The part of a search that counts.
pub(super) fn aggregations() -> Value {
    let most = |field: &str, size: usize| json!({ "field": field, "size": size });
    let begins: Vec<i64> = begins().collect();
    let mut ranges: Vec<Value> = begins.windows(2).map(|ends| json!({ "from": ends[0], "to": ends[1] })).collect();
    ranges.extend(begins.last().map(|begin| json!({ "from": begin })));
    json!({
        "categories": { "terms": most("category", VALUES) },
        "colors": { "terms": most("colors", VALUES) },
        "currencies": {
            "terms": most("currency", CURRENCIES),
            "aggs": { "prices": { "range": { "field": "price_minor", "ranges": ranges } } },
        },
    })
}

fn begins() -> impl Iterator<Item = i64> {
    let of_decade = |power: u32| [1, 2, 5].map(|digit| digit * 10_i64.pow(power));
    std::iter::once(0).chain(DECADES.flat_map(of_decade))
}

/// What was counted.
#[derive(Deserialize)]
pub(super) struct Counted {
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

/// Elasticsearch gives the ranges in their order, and their ends as floating-point numbers.
#[derive(Deserialize)]
struct RangeCounts {
    doc_count: u64,
}

impl Counted {
    pub(super) fn into_facets(self) -> SearchFacets {
        let value = |counts: Counts| FacetValue { value: counts.key, products: counts.doc_count };
        let values = |found: Buckets<Counts>| found.buckets.into_iter().map(value).collect();
        let prices = self.currencies.buckets.into_iter().flat_map(|currency| {
            let ends = begins().skip(1).map(|end| Some(end - 1)).chain([None]);
            let ranges = begins().zip(ends).zip(currency.prices.buckets);
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
            json!({ "buckets": (0..begins().count()).map(count).collect::<Vec<_>>() })
        };
        let answer = json!({
            "categories": { "buckets": [{ "key": "bags", "doc_count": 2 }] },
            "colors": { "buckets": [] },
            "currencies": { "buckets": [{ "key": "KRW", "doc_count": 2, "prices": counts(&[2, begins().count() - 1]) }] },
        });
        let facets = serde_json::from_value::<Counted>(answer).unwrap().into_facets();
        assert_eq!(facets.categories, [FacetValue { value: "bags".to_owned(), products: 2 }]);
        let ends: Vec<_> = facets.prices.iter().map(|one| (one.min_price_minor, one.max_price_minor)).collect();
        assert_eq!(ends, [(200, Some(499)), (500_000_000, None)]);
    }
}
