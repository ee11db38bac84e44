//! Products: the newest attributes of each, and whether it is retired.

use std::collections::BTreeMap;

use jangbogo_events::{Data, Event, ProductUpserted, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _, Target, View, ViewKeys, Watch};

use crate::vectors::ProductVectors;

pub const PRODUCTS_VIEW: &str = "products";

jangbogo_fold::table! {
    /// The newest description of each product
    pub Products "product" index [category] {
        key ProductKey<'a> { product_id: &'a str }
        last Attributes<'a> "attributes" {
            title: &'a str,
            description: Option<&'a str>,
            category: Option<&'a str>,
            brand: Option<&'a str>,
            price_minor: Option<i64>,
            currency: Option<&'a str>,
            stock: Option<i64>,
            further: String,
            facets: String,
        }
        last Sale "sale" { retired: bool }
    }
}

/// The table alone, which other projections' views join.
pub static PROJECTION: Projection =
    Projection { name: "catalogue", reads: &[Topic::CatalogEvents], tables: &[Products::TABLE], fold, views: &[] };

/// The catalogue as search documents, each with the product's vector: for a processor that hosts
/// [`STORED`](crate::vectors::STORED) too.
pub static DOCUMENTS: Projection = Projection {
    name: "documents",
    reads: &[Topic::CatalogEvents],
    tables: &[Products::TABLE],
    fold,
    views: &[View {
        name: PRODUCTS_VIEW,
        // A document for each product on sale.
        watches: &[
            Watch { table: Products::TABLE, column: "product_id" },
            Watch { table: ProductVectors::TABLE, column: "product_id" },
        ],
        keys: ViewKeys::Same,
        query: include_str!("catalogue.documents.sql"),
        all_keys: "SELECT product_id FROM product WHERE product_id > $1 ORDER BY product_id LIMIT $2",
        full_refresh: false,
        target: Target::Elasticsearch { index: include_str!("catalogue.index.json") },
    }],
};

fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    match &event.data {
        Data::ProductUpserted(product) => {
            let key = ProductKey { product_id: &product.product_id };
            let attributes = Attributes {
                title: &product.title,
                description: product.description.as_deref(),
                category: product.category.as_deref(),
                brand: product.brand.as_deref(),
                price_minor: product.price.map(|price| price.amount_minor),
                currency: product.price.as_ref().map(|price| price.currency.as_str()),
                stock: product.stock.map(i64::from),
                further: serde_json::to_string(&product.attributes).unwrap_or_default(),
                facets: facets(product),
            };
            deltas.put(key, attributes);
            deltas.put(key, Sale { retired: false });
        }
        Data::ProductRetired(product) => {
            deltas.put(ProductKey { product_id: &product.product_id }, Sale { retired: true });
        }
        _ => {}
    }
}

/// Canonical values by slot that a product's text has, as JSON.
fn facets(product: &ProductUpserted) -> String {
    let attributes = product.attributes.iter().map(|(name, value)| (&**name, &**value));
    let facets = jangbogo_lexicon::facets(&product.title, product.description.as_deref(), attributes);
    let mut by_slot: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (slot, value) in facets.iter() {
        by_slot.entry(slot.name()).or_default().push(value);
    }
    serde_json::to_string(&by_slot).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{CategoryId, Currency, Money, ProductRetired, ProductUpserted, Text};

    use super::PROJECTION;
    use jangbogo_fold::testing::{at, given, product};

    fn named(title: &str) -> ProductUpserted {
        ProductUpserted {
            product_id: product("lamp"),
            title: Text::new(title).unwrap(),
            description: None,
            category: None,
            brand: None,
            price: None,
            stock: None,
            attributes: [].into(),
        }
    }

    fn retired() -> ProductRetired {
        ProductRetired { product_id: product("lamp") }
    }

    #[test]
    fn the_newest_description_replaces_all_of_the_older_one_whatever_comes_first() {
        let older = ProductUpserted {
            category: Some(CategoryId::new("light").unwrap()),
            price: Some(Money { amount_minor: 9900, currency: Currency::new("KRW").unwrap() }),
            stock: Some(3),
            attributes: [(Text::new("color").unwrap(), Text::new("red").unwrap())].into(),
            ..named("램프")
        };
        let alone = given(&PROJECTION, [older.clone().into()]);
        let price = r#"category="light" price_minor=9900 currency="KRW" stock=3"#;
        let values = format!(r#"{price} further="{{\"color\":\"red\"}}" facets="{{\"color\":[\"red\"]}}""#);
        assert_eq!(alone.rows("product"), [format!("lamp: title=\"램프\" {values} retired=false")]);

        let newest = "2011-03-02T00:00:00Z";
        for facts in [[older.clone().into(), at(newest, named("Lamp"))], [at(newest, named("Lamp")), older.into()]] {
            let folded = given(&PROJECTION, facts);
            assert_eq!(folded.rows("product"), [r#"lamp: title="Lamp" further="{}" facets="{}" retired=false"#]);
        }
    }

    #[test]
    fn a_retired_product_keeps_its_description_and_a_later_upsert_brings_it_back() {
        let sold_out = at("2011-03-02T00:00:00Z", retired());
        let folded = given(&PROJECTION, [sold_out, named("Lamp").into()]);
        assert_eq!(folded.rows("product"), [r#"lamp: title="Lamp" further="{}" facets="{}" retired=true"#]);

        let back = at("2011-03-03T00:00:00Z", named("Lamp"));
        let folded = given(&PROJECTION, [back, at("2011-03-02T00:00:00Z", retired())]);
        assert_eq!(folded.rows("product"), [r#"lamp: title="Lamp" further="{}" facets="{}" retired=false"#]);
    }

    #[test]
    fn a_product_known_only_by_its_retirement_has_no_description() {
        assert_eq!(given(&PROJECTION, [retired().into()]).rows("product"), ["lamp: retired=true"]);
    }
}
