//! Products' vectors, as an embedding model gave them.

use events::{Data, Event, Topic, Vector};
use runtime::fold::{Deltas, Projection, Shop, Table, TableMarker as _};

runtime::table! {
    /// The newest vector of each product
    pub ProductVectors "product_vector" nearest [vector] {
        key VectorKey<'a> { product_id: &'a str }
        last Embedding<'a> "embedding" { model: &'a str, text_hash: &'a str, vector: &'a Vector, event_id: &'a str }
    }
}

/// Products' vectors.
pub static PROJECTION: Projection = Projection {
    name: "vectors",
    reads: &[Topic::EmbeddingEvents],
    tables: &[ProductVectors::TABLE],
    fold,
    views: &[],
};

/// As [`PROJECTION`], for the processor that embeds: it follows their texts too.
pub static EMBEDDED: Projection =
    Projection { name: "embedded", reads: &[Topic::CatalogEvents, Topic::EmbeddingEvents], ..PROJECTION };

/// The table without the index, which costs more than the rows do.
static UNINDEXED: Table = Table { nearest: &[], ..*ProductVectors::TABLE };

/// As [`PROJECTION`], for a processor that never asks for the nearest.
pub static STORED: Projection = Projection { tables: &[&UNINDEXED], ..PROJECTION };

fn fold(event: &Event, _: &Shop, deltas: &mut Deltas) {
    if let Data::ProductEmbedded(embedded) = &event.data {
        let embedding = Embedding {
            model: &embedded.model,
            text_hash: &embedded.text_hash,
            vector: &embedded.vector,
            event_id: &event.envelope.id,
        };
        deltas.put(VectorKey { product_id: &embedded.product_id }, embedding);
    }
}

#[cfg(test)]
mod tests {
    use events::{Payload as _, ProductEmbedded, Text};

    use super::PROJECTION;
    use crate::testing::{at, given};

    #[test]
    fn the_newest_vector_counts_whatever_comes_first() {
        let older = ProductEmbedded::example();
        let newer = ProductEmbedded { model: Text::new("other").unwrap(), ..older.clone() };
        let folded = given(&PROJECTION, [at("2011-03-02T00:00:00Z", newer), older.into()]);
        let rows = folded.rows("product_vector");
        assert!(rows[0].starts_with("20725: model=\"other\"") && rows[0].contains("vector=[1…]"), "{rows:?}");
    }
}
