//! Texts become vectors: of products, so that likeness can be asked of an index, and of what shoppers say.

use std::borrow::Cow;

use embedding::client::Embedder;
use embedding::text_hash;
use events::{
    Data, Event, MessageCreated, MessageEmbedded, ProductEmbedded, ProductUpserted, Role, Text, Topic, Vector,
};
use futures::future::BoxFuture;
use runtime::fold::Pace;
use runtime::reactor::{Failure, Moment, Reactor, ReactorSpec, Stand};

/// The embedder's reactor.
pub static SPEC: ReactorSpec = ReactorSpec {
    processor: "embedder",
    name: "embed",
    description: "the vectors of products' and messages' texts",
    reads: &[Topic::CatalogEvents, Topic::ConversationMessageCreated],
    emits: &[Topic::EmbeddingEvents],
    parallel: 64,
    pace: Pace::Gathered,
    newest_only: false,
};

/// How much of a description is embedded, in characters: a model reads no more than a page.
const DESCRIPTION: usize = 600;

/// Embeds products and messages.
pub struct Embed {
    embedder: Embedder,
}

impl Embed {
    /// With the model of this embedder.
    #[must_use]
    pub fn new(embedder: Embedder) -> Self {
        Self { embedder }
    }

    async fn vector(&self, text: &str) -> Result<Vector, Failure> {
        let text = if text.trim().is_empty() { "-" } else { text };
        Ok(Vector::new(self.embedder.embed(text).await?.to_vec())?)
    }

    async fn product(&self, product: &ProductUpserted, mut moment: Moment) -> Result<Vec<Data>, Failure> {
        let text = product_text(product);
        let (model, hash) = (self.embedder.model(), text_hash(&text));
        let is_known: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT FROM product_vector WHERE product_id = $1 AND model = $2 AND text_hash = $3)",
        )
        .bind(product.product_id.as_str())
        .bind(model)
        .bind(&hash)
        .fetch_one(moment.rows().connection())
        .await?;
        let _ = moment.close();
        if is_known {
            return Ok(Vec::new());
        }
        let vector = self.vector(&text).await?;
        let product_id = product.product_id.clone();
        let (model, text_hash) = (Text::new(model)?, Text::new(hash)?);
        Ok(vec![ProductEmbedded { product_id, model, text_hash, vector }.into()])
    }

    async fn message(&self, message: &MessageCreated) -> Result<Vec<Data>, Failure> {
        let embedded = MessageEmbedded {
            message_id: message.message_id,
            conversation_id: message.conversation_id,
            member_id: message.member_id.clone(),
            model: Text::new(self.embedder.model())?,
            text_hash: Text::new(text_hash(&message.content))?,
            vector: self.vector(&message.content).await?,
        };
        Ok(vec![embedded.into()])
    }
}

impl Reactor for Embed {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        let has_text = match &event.data {
            Data::ProductUpserted(_) => true,
            Data::MessageCreated(message) => message.role == Role::User,
            _ => false,
        };
        has_text.then(|| self.embedder.model().into())
    }

    fn react<'a>(&'a self, event: &'a Event, moment: Moment) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            match &event.data {
                Data::ProductUpserted(product) => self.product(product, moment).await,
                Data::MessageCreated(message) => {
                    let _ = moment.close();
                    self.message(message).await
                }
                _ => Ok(Vec::new()),
            }
        })
    }

    /// What has no vector is recommended without likeness.
    fn fallback(&self, _: &Event, _: &Stand) -> Vec<Data> {
        Vec::new()
    }
}

/// What is embedded of a product: its title, its maker and the beginning of its description.
fn product_text(product: &ProductUpserted) -> String {
    let mut text = product.title.to_string();
    if let Some(brand) = &product.brand {
        text.push_str(", ");
        text.push_str(brand);
    }
    if let Some(description) = &product.description {
        text.push_str(". ");
        text.extend(description.chars().take(DESCRIPTION));
    }
    text
}

#[cfg(test)]
mod tests {
    use events::Payload as _;

    use super::*;

    #[test]
    fn a_products_text_is_its_title_and_more() {
        let text = product_text(&ProductUpserted::example());
        assert_eq!(text, "LUNCH BAG RED RETROSPOT. Insulated lunch bag with white dots on red");
        let long =
            ProductUpserted { description: Some(Text::new("x".repeat(9000)).unwrap()), ..ProductUpserted::example() };
        assert!(product_text(&long).len() < 700);
    }
}
