//! The reactor `embed`: embeds products' texts for similarity search. The reactor `intent` embeds requests.

use std::borrow::Cow;

use futures::future::BoxFuture;
use jangbogo_embedding::{Purpose, text_hash};
use jangbogo_embeddings_client::Embedder;
use jangbogo_events::{Data, Event, ProductEmbedded, ProductUpserted, Text, Topic, Vector};
use jangbogo_fold::BatchPolicy;
use jangbogo_react::{Failure, Reactor, ReactorSpec, Snapshot, SnapshotPosition};

pub(crate) static SPEC: ReactorSpec = ReactorSpec {
    processor: "embedder",
    name: "embed",
    reads: &[Topic::CatalogEvents],
    emits: &[Topic::EmbeddingEvents],
    parallel: 64,
    batch_policy: BatchPolicy::Linger,
    newest_only: false,
};

/// Length to which a description is cut, in characters: a model reads about a page.
const MAX_DESCRIPTION_CHARACTERS: usize = 600;

/// Embeds products by one model.
pub(crate) struct EmbedReactor {
    embedder: Embedder,
}

impl EmbedReactor {
    pub(crate) fn new(embedder: Embedder) -> Self {
        Self { embedder }
    }

    async fn vector(&self, text: &str) -> Result<Vector, Failure> {
        let text = if text.trim().is_empty() { "-" } else { text };
        Ok(Vector::new(self.embedder.embed(Purpose::Passage, text).await?.to_vec())?)
    }

    async fn product(&self, product: &ProductUpserted, mut snapshot: Snapshot) -> Result<Vec<Data>, Failure> {
        let text = product_text(product);
        let (model, hash) = (self.embedder.model(), text_hash(&text));
        let is_embedded: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM embedded_text WHERE product_id = $1 AND model = $2 AND text_hash = $3)",
        )
        .bind(product.product_id.as_str())
        .bind(model)
        .bind(&hash)
        .fetch_one(snapshot.rows().connection())
        .await?;
        let _ = snapshot.close();
        if is_embedded {
            return Ok(Vec::new());
        }
        let vector = self.vector(&text).await?;
        let product_id = product.product_id.clone();
        let (model, text_hash) = (Text::new(model)?, Text::new(hash)?);
        Ok(vec![ProductEmbedded { product_id, model, text_hash, vector }.into()])
    }
}

impl Reactor for EmbedReactor {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    /// A consumer group per model: a new model embeds all products.
    fn group(&self) -> String {
        format!("{}.{}", SPEC.full_name(), self.embedder.model())
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        matches!(event.data, Data::ProductUpserted(_)).then(|| self.embedder.model().into())
    }

    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            let Data::ProductUpserted(product) = &event.data else { return Ok(Vec::new()) };
            self.product(product, snapshot).await
        })
    }

    /// Products without a vector are recommended without similarity.
    fn fallback(&self, _: &Event, _: &SnapshotPosition) -> Vec<Data> {
        Vec::new()
    }
}

/// The text embedded of a product: its title, brand and the beginning of its description.
fn product_text(product: &ProductUpserted) -> String {
    let mut text = product.title.to_string();
    if let Some(brand) = &product.brand {
        text.push_str(", ");
        text.push_str(brand);
    }
    if let Some(description) = &product.description {
        text.push_str(". ");
        text.extend(description.chars().take(MAX_DESCRIPTION_CHARACTERS));
    }
    text
}

#[cfg(test)]
mod tests {
    use jangbogo_events::Payload as _;

    use super::*;

    #[test]
    fn a_products_text_is_its_title_and_the_beginning_of_its_description() {
        let text = product_text(&ProductUpserted::example());
        assert_eq!(text, "LUNCH BAG RED RETROSPOT. Insulated lunch bag with white dots on red");
        let long =
            ProductUpserted { description: Some(Text::new("x".repeat(9000)).unwrap()), ..ProductUpserted::example() };
        assert!(product_text(&long).len() < 700);
    }
}
