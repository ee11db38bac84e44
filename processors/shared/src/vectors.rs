//! Products' vectors.

use jangbogo_events::{Data, Event, Topic, Vector};
use jangbogo_fold::{Deltas, FoldConfig, Projection, Table, TableMarker as _};

jangbogo_fold::table! {
    /// The newest vector of each product, of the generation's model
    pub ProductVectors "product_vector" nearest [vector] {
        key VectorKey<'a> { product_id: &'a str }
        last Embedding<'a> "embedding" { model: &'a str, text_hash: &'a str, vector: &'a Vector, event_id: &'a str }
    }
}

jangbogo_fold::table! {
    /// Hash of the text of each product that each model embedded last
    pub EmbeddedTexts "embedded_text" {
        key TextKey<'a> { product_id: &'a str, model: &'a str }
        last EmbeddedText<'a> "text" { text_hash: &'a str }
    }
}

/// Vectors of the generation's model, with an index of nearest neighbours.
pub static PROJECTION: Projection = Projection {
    name: "vectors",
    reads: &[Topic::EmbeddingEvents],
    tables: &[ProductVectors::TABLE],
    fold,
    views: &[],
};

/// The table without the index, which takes more space than its rows.
static UNINDEXED: Table = Table { nearest: &[], ..*ProductVectors::TABLE };

/// [`PROJECTION`] without the index, for a processor that searches no nearest neighbours.
pub static STORED: Projection = Projection { tables: &[&UNINDEXED], ..PROJECTION };

/// Hashes of embedded texts. It reads the catalogue too, for the reactor `embed`.
pub static EMBEDDED: Projection = Projection {
    name: "embedded",
    reads: &[Topic::CatalogEvents, Topic::EmbeddingEvents],
    tables: &[EmbeddedTexts::TABLE],
    fold: fold_embedded,
    views: &[],
};

/// SQL that counts the products on sale without a vector, in the schema of a generation that has the catalogue too.
#[must_use]
pub fn lacking(schema: &str) -> String {
    format!(
        "SELECT count(*) FROM {schema}.product LEFT JOIN {schema}.product_vector USING (product_id)
         WHERE title IS NOT NULL AND NOT retired AND vector IS NULL"
    )
}

fn fold(event: &Event, config: &FoldConfig, deltas: &mut Deltas) {
    if let Data::ProductEmbedded(embedded) = &event.data
        && config.embedding_model.as_ref().is_none_or(|model| *model == *embedded.model)
    {
        let embedding = Embedding {
            model: &embedded.model,
            text_hash: &embedded.text_hash,
            vector: &embedded.vector,
            event_id: &event.envelope.id,
        };
        deltas.put(VectorKey { product_id: &embedded.product_id }, embedding);
    }
}

fn fold_embedded(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    if let Data::ProductEmbedded(embedded) = &event.data {
        let key = TextKey { product_id: &embedded.product_id, model: &embedded.model };
        deltas.put(key, EmbeddedText { text_hash: &embedded.text_hash });
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Payload as _, ProductEmbedded, Text};

    use jangbogo_fold::FoldConfig;

    use super::{EMBEDDED, PROJECTION};
    use jangbogo_fold::testing::{SEOUL, at, given, given_in};

    #[test]
    fn the_newest_vector_counts_whatever_comes_first() {
        let older = ProductEmbedded::example();
        let newer = ProductEmbedded { model: Text::new("other").unwrap(), ..older.clone() };
        let folded = given(&PROJECTION, [at("2011-03-02T00:00:00Z", newer), older.into()]);
        let rows = folded.rows("product_vector");
        assert!(rows[0].starts_with("20725: model=\"other\"") && rows[0].contains("vector=[1…]"), "{rows:?}");
    }

    #[test]
    fn vectors_of_other_models_are_ignored() {
        let config = FoldConfig { embedding_model: Some("one".to_owned()), ..SEOUL };
        let one = ProductEmbedded { model: Text::new("one").unwrap(), ..ProductEmbedded::example() };
        let other = ProductEmbedded { model: Text::new("other").unwrap(), ..one.clone() };
        let folded = given_in(&config, &PROJECTION, [one.into(), at("2011-03-02T00:00:00Z", other)]);
        let rows = folded.rows("product_vector");
        assert!(rows.len() == 1 && rows[0].contains("model=\"one\""), "{rows:?}");
    }

    #[test]
    fn the_embedded_text_of_each_model_is_kept() {
        let one = ProductEmbedded { model: Text::new("one").unwrap(), ..ProductEmbedded::example() };
        let other = ProductEmbedded {
            model: Text::new("other").unwrap(),
            text_hash: Text::new("7".repeat(64)).unwrap(),
            ..one.clone()
        };
        let folded = given(&EMBEDDED, [one.into(), other.into()]);
        let rows = folded.rows("embedded_text");
        assert!(rows.len() == 2 && rows[0].starts_with("20725 one: text_hash=\"9f86"), "{rows:?}");
    }
}
