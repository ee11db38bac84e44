//! Products: what each is called, costs and belongs to, and whether it is still sold.

use events::{Data, Event, Topic};
use runtime::fold::{Deltas, Projection, Shop, TableMarker as _, Target, View, ViewKeys, Watch};

/// The name of the view of product documents.
pub const PRODUCTS_VIEW: &str = "products";

runtime::table! {
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
        }
        last Sale "sale" { retired: bool }
    }
}

/// The catalogue as other projections' views join it.
pub static PROJECTION: Projection =
    Projection { name: "catalogue", reads: &[Topic::CatalogEvents], tables: &[Products::TABLE], fold, views: &[] };

/// The catalogue as documents to search.
pub static DOCUMENTS: Projection = Projection {
    name: "documents",
    reads: &[Topic::CatalogEvents],
    tables: &[Products::TABLE],
    fold,
    views: &[View {
        name: PRODUCTS_VIEW,
        description: "a document for each product on sale",
        watches: &[Watch { table: Products::TABLE, column: "product_id" }],
        keys: ViewKeys::Same,
        query: include_str!("catalogue.documents.sql"),
        all_keys: "SELECT product_id FROM product WHERE product_id > $1 ORDER BY product_id LIMIT $2",
        swept: false,
        target: Target::Elasticsearch { index: include_str!("catalogue.index.json") },
    }],
};

fn fold(event: &Event, _: &Shop, deltas: &mut Deltas) {
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
