//! Embeddings of products' texts, recorded so that a replay calls no model. A message's embedding is in its
//! `intent-analyzed`.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::example_value;
use crate::primitives::{ProductId, Text, Vector};
use crate::registry::{EventType, Payload};

/// A product's text was embedded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProductEmbedded {
    /// Id of the product.
    pub product_id: ProductId,
    /// Id of the model. Vectors of different models are never compared.
    pub model: Text<128>,
    /// SHA-256 of the text that was embedded, in hexadecimal.
    pub text_hash: Text<64>,
    /// Embedding, of length 1.
    pub vector: Vector,
}

impl Payload for ProductEmbedded {
    const TYPE: EventType = EventType::ProductEmbedded;

    fn key(&self) -> Cow<'_, str> {
        self.product_id.as_str().into()
    }

    fn example() -> Self {
        Self {
            product_id: example_value!(ProductId::new("20725")),
            model: example_value!(Text::new("all-MiniLM-L6-v2")),
            text_hash: example_value!(Text::new(EXAMPLE_HASH)),
            vector: Vector::example(),
        }
    }
}

const EXAMPLE_HASH: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";
