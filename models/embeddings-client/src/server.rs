//! Embedding requests to an OpenAI-compatible server.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jangbogo_embedding::{DIMENSIONS, Prompts, Purpose};
use jangbogo_openai::Error;
use serde::{Deserialize, Serialize};

use super::Vector;

/// A vector whose length differs from 1 by more is normalised.
const LENGTH_TOLERANCE: f64 = 1e-3;

/// One model of a server.
#[derive(Clone, Debug)]
pub(super) struct Server {
    wire: jangbogo_openai::Server,
    model: Arc<str>,
    input_type: Option<Purpose>,
}

#[derive(Serialize)]
struct Request<'a> {
    input: &'a [&'a str],
    model: &'a str,
    encoding_format: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_type: Option<Purpose>,
}

#[derive(Deserialize)]
struct Answer {
    data: Vec<Datum>,
}

#[derive(Deserialize)]
struct Datum {
    /// Index of the text; some servers rely on the order instead.
    index: Option<usize>,
    embedding: Components,
}

/// Some servers ignore `encoding_format` and answer with floats.
#[derive(Deserialize)]
#[serde(untagged)]
enum Components {
    Base64(String),
    Float(Vec<f32>),
}

impl Server {
    /// One model of a server. Texts already have these prompts when they are sent.
    pub(super) fn new(wire: jangbogo_openai::Server, model: &str, prompts: Prompts) -> Self {
        // The embedder's service puts the query prompt before a text without a prompt, which such a model's passages
        // are.
        let only_queries = !prompts.query.is_empty() && prompts.passage.is_empty();
        Self { wire, model: model.into(), input_type: only_queries.then_some(Purpose::Passage) }
    }

    pub(super) fn model(&self) -> &Arc<str> {
        &self.model
    }

    /// The vectors of these texts, in their order, each of length 1.
    pub(super) async fn embed(&self, texts: &[&str]) -> Result<Vec<Vector>, Error> {
        // These models return more components without the field; others reject it.
        let dimensions = self.model.starts_with("text-embedding-3").then_some(DIMENSIONS);
        let request = Request {
            input: texts,
            model: &self.model,
            encoding_format: "base64",
            dimensions,
            input_type: self.input_type,
        };
        let answer: Answer = self.wire.embed(&request).await?;
        if answer.data.len() != texts.len() {
            let (count, expected) = (answer.data.len(), texts.len());
            return Err(Error::unintelligible(format!("it holds {count} vectors, not {expected}")));
        }
        let mut vectors: Vec<Option<Vector>> = vec![None; texts.len()];
        for (position, Datum { index, embedding }) in answer.data.into_iter().enumerate() {
            let index = index.unwrap_or(position);
            match vectors.get_mut(index) {
                Some(vector @ None) => *vector = Some(normalised(components(embedding)?)?),
                _ => return Err(Error::unintelligible(format!("its index {index} is of no text, or of two"))),
            }
        }
        // As many vectors as texts, and no index twice: none is missing.
        Ok(vectors.into_iter().flatten().collect())
    }
}

fn components(embedding: Components) -> Result<Vec<f32>, Error> {
    match embedding {
        Components::Float(components) => Ok(components),
        Components::Base64(text) => {
            let bytes = STANDARD.decode(text).map_err(|error| Error::Unintelligible {
                why: "it is no base64".to_owned(),
                source: Some(Box::new(error)),
            })?;
            let (components, rest) = bytes.as_chunks::<4>();
            if !rest.is_empty() {
                return Err(Error::unintelligible("it holds a part of a component"));
            }
            Ok(components.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
        }
    }
}

/// Scales a vector to length 1 unless it is close to that.
fn normalised(vector: Vec<f32>) -> Result<Vector, Error> {
    if vector.len() != DIMENSIONS {
        let components = vector.len();
        return Err(Error::unintelligible(format!("a vector has {components} components, not {DIMENSIONS}")));
    }
    let length = vector.iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if !length.is_normal() {
        return Err(Error::unintelligible(format!("a vector has the length {length}")));
    }
    if (length - 1.0).abs() <= LENGTH_TOLERANCE {
        return Ok(vector.into());
    }
    #[expect(clippy::cast_possible_truncation, reason = "vectors are of 32-bit floats")]
    let scaled = vector.into_iter().map(|component| (f64::from(component) / length) as f32).collect();
    Ok(scaled)
}
