//! BERT in 32-bit floats by Candle.
//!
//! Rows, one per token, are computed for a whole batch at once; only attention is limited to the rows of one text, and
//! is computed for all texts of one length at once. Nothing is padded, and a text's rows do not depend on its batch: a
//! row of a matrix product does not depend on the other rows, and sums have the same length.

use std::num::NonZeroUsize;

use candle_core::{DType, Device, Result as Computed, Tensor};
use candle_nn::{LayerNorm, Module as _, VarBuilder, layer_norm, ops};
use jangbogo_bert_int8::Shape;
use serde::Deserialize;

use super::error::ModelError;
use super::pooling::normalised_mean;
use super::tokens::Tokens;
use super::weights::Tensors;

/// The fields of `config.json` that the computation needs.
#[derive(Debug, Deserialize)]
pub(super) struct BertConfig {
    hidden_act: String,
    #[serde(default = "absolute")]
    position_embedding_type: String,
    hidden_size: usize,
    intermediate_size: usize,
    layer_norm_eps: f64,
    max_position_embeddings: usize,
    num_attention_heads: NonZeroUsize,
    num_hidden_layers: usize,
    type_vocab_size: usize,
    vocab_size: usize,
}

/// The field of `config.json` that decides about the others.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

fn absolute() -> String {
    "absolute".to_owned()
}

impl BertConfig {
    /// Reads `config.json`; fails on unsupported networks.
    pub(super) fn read(file: &[u8]) -> Result<Self, ModelError> {
        let Kind { model_type } = serde_json::from_slice(file).map_err(ModelError::Config)?;
        if model_type != "bert" {
            return Err(ModelError::Unsupported(format!("a network of type {model_type}")));
        }
        let config: Self = serde_json::from_slice(file).map_err(ModelError::Config)?;
        let (activation, positions) = (&config.hidden_act, &config.position_embedding_type);
        if activation != "gelu" || positions != "absolute" {
            return Err(ModelError::Unsupported(format!("BERT with {activation} and {positions} positions")));
        }
        Ok(config)
    }

    pub(super) fn shape(&self) -> Shape {
        #[expect(clippy::cast_possible_truncation, reason = "a small number that need not be exact")]
        let epsilon = self.layer_norm_eps as f32;
        Shape {
            vocabulary: self.vocab_size,
            positions: self.max_position_embeddings,
            types: self.type_vocab_size,
            hidden: self.hidden_size,
            intermediate: self.intermediate_size,
            heads: self.num_attention_heads.get(),
            layers: self.num_hidden_layers,
            epsilon,
        }
    }
}

pub(super) struct Bert {
    words: Tensor,
    positions: Tensor,
    norm: LayerNorm,
    layers: Vec<Layer>,
    dimensions: usize,
}

/// Consecutive texts of one length in a batch.
pub(super) struct Run {
    pub(super) first_row: usize,
    pub(super) texts: usize,
    pub(super) length: usize,
    /// Attention mask, added to scores: shape (texts, 1, 1, length), strongly negative for padding. None without
    /// padding.
    pub(super) mask: Option<Tensor>,
}

impl Run {
    fn rows(&self) -> usize {
        self.texts * self.length
    }
}

impl Bert {
    /// Loads a network onto a device.
    pub(super) fn new(shape: Shape, Tensors(weights): Tensors, device: &Device) -> Result<Self, ModelError> {
        let weights = VarBuilder::from_tensors(weights, DType::F32, device);
        let size = shape.hidden;
        let embeddings = weights.pp("embeddings");
        let types = embeddings.get((shape.types, size), "token_type_embeddings.weight")?;
        let positions = embeddings.get((shape.positions, size), "position_embeddings.weight")?;
        let layers = weights.pp("encoder.layer");
        Ok(Self {
            words: embeddings.get((shape.vocabulary, size), "word_embeddings.weight")?,
            // Every token has the first type.
            positions: positions.broadcast_add(&types.get(0)?)?,
            norm: layer_norm(size, f64::from(shape.epsilon), embeddings.pp("LayerNorm"))?,
            layers: (0..shape.layers).map(|number| Layer::new(shape, &layers.pp(number))).collect::<Computed<_>>()?,
            dimensions: size,
        })
    }

    /// The vectors of a batch, in the order of its texts.
    pub(super) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|position| texts[*position].len());
        let sorted: Vec<&Tokens> = order.iter().map(|position| texts[*position]).collect();
        let rows = self.rows(&sorted)?.flatten_all()?.to_vec1::<f32>()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        let mut rows = rows.as_slice();
        for (position, text) in order.into_iter().zip(sorted) {
            let (text_rows, rest) = rows.split_at(text.len() * self.dimensions);
            vectors[position] = normalised_mean(text_rows, self.dimensions);
            rows = rest;
        }
        Ok(vectors)
    }

    /// The last layer's rows of texts in order of length.
    fn rows(&self, texts: &[&Tokens]) -> Computed<Tensor> {
        let mut ids: Vec<u32> = Vec::new();
        let mut positions: Vec<u32> = Vec::new();
        let mut runs: Vec<Run> = Vec::new();
        for text in texts {
            match runs.last_mut() {
                Some(run) if run.length == text.len() => run.texts += 1,
                _ => runs.push(Run { first_row: ids.len(), texts: 1, length: text.len(), mask: None }),
            }
            ids.extend(&text.ids);
            positions.extend((0_u32..).take(text.len()));
        }
        self.forward(ids, positions, &runs)
    }

    /// The last layer's rows, by the tokens' ids and positions in their texts.
    pub(super) fn forward(&self, ids: Vec<u32>, positions: Vec<u32>, runs: &[Run]) -> Computed<Tensor> {
        let device = self.words.device();
        let (ids, positions) = (Tensor::new(ids, device)?, Tensor::new(positions, device)?);
        let words = self.words.index_select(&ids, 0)?;
        let mut rows = self.norm.forward(&(words + self.positions.index_select(&positions, 0)?)?)?;
        for layer in &self.layers {
            rows = layer.forward(&rows, runs)?;
        }
        Ok(rows)
    }
}

/// Outputs that `gemm`'s kernels compute side by side with AVX-512, with AVX2, and otherwise.
const PANELS: [usize; 3] = [48, 16, 1];
/// With more rows `gemm` sums in another order.
const ROWS_AT_ONCE: usize = 64;

struct Affine {
    /// Shape (panels, inputs, panel), packed in the order in which the kernel reads it: otherwise every product would
    /// pack all weights, which takes longer than the product of a short text. On a GPU its shape is (inputs, outputs).
    weight: Tensor,
    bias: Tensor,
}

impl Affine {
    /// Packs weights of shape (outputs, inputs).
    fn new(weight: &Tensor, bias: Tensor) -> Computed<Self> {
        let (outputs, inputs) = weight.dims2()?;
        if !weight.device().is_cpu() {
            return Ok(Self { weight: weight.t()?.contiguous()?, bias });
        }
        let panel = PANELS.into_iter().find(|panel| outputs.is_multiple_of(*panel)).unwrap_or(1);
        let panels = weight.reshape((outputs / panel, panel, inputs))?;
        Ok(Self { weight: panels.transpose(1, 2)?.contiguous()?, bias })
    }

    fn load(inputs: usize, outputs: usize, weights: &VarBuilder) -> Computed<Self> {
        Self::new(&weights.get((outputs, inputs), "weight")?, weights.get(outputs, "bias")?)
    }

    /// A row's result does not depend on the other rows.
    fn forward(&self, rows: &Tensor) -> Computed<Tensor> {
        if self.weight.rank() == 2 {
            return rows.matmul(&self.weight)?.broadcast_add(&self.bias);
        }
        let count = rows.dim(0)?;
        let blocks = count.div_ceil(ROWS_AT_ONCE);
        let starts = |block| block * count / blocks;
        let block = |block| self.block(&rows.narrow(0, starts(block), starts(block + 1) - starts(block))?);
        Tensor::cat(&(0..blocks).map(block).collect::<Computed<Vec<_>>>()?, 0)
    }

    fn block(&self, rows: &Tensor) -> Computed<Tensor> {
        let (panels, inputs, panel) = self.weight.dims3()?;
        let count = rows.dim(0)?;
        let products = rows.broadcast_as((panels, count, inputs))?.matmul(&self.weight)?;
        products.transpose(0, 1)?.reshape((count, panels * panel))?.broadcast_add(&self.bias)
    }
}

struct Layer {
    /// Query, key and value side by side: one matrix product instead of three.
    query_key_value: Affine,
    attention_output: Affine,
    attention_norm: LayerNorm,
    intermediate: Affine,
    output: Affine,
    output_norm: LayerNorm,
    heads: usize,
}

impl Layer {
    fn new(shape: Shape, weights: &VarBuilder) -> Computed<Self> {
        let (size, inner, epsilon) = (shape.hidden, shape.intermediate, f64::from(shape.epsilon));
        let attention = weights.pp("attention.self");
        #[expect(clippy::cast_precision_loss, reason = "a head has a few dozen components")]
        let components_per_head = (size / shape.heads) as f64;
        // Scaling the query scales the attention scores.
        let parts = [("query", components_per_head.sqrt().recip()), ("key", 1.0), ("value", 1.0)];
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for (name, scale) in parts {
            let part = attention.pp(name);
            weight.push((part.get((size, size), "weight")? * scale)?);
            bias.push((part.get(size, "bias")? * scale)?);
        }
        Ok(Self {
            query_key_value: Affine::new(&Tensor::cat(&weight, 0)?, Tensor::cat(&bias, 0)?)?,
            attention_output: Affine::load(size, size, &weights.pp("attention.output.dense"))?,
            attention_norm: layer_norm(size, epsilon, weights.pp("attention.output.LayerNorm"))?,
            intermediate: Affine::load(size, inner, &weights.pp("intermediate.dense"))?,
            output: Affine::load(inner, size, &weights.pp("output.dense"))?,
            output_norm: layer_norm(size, epsilon, weights.pp("output.LayerNorm"))?,
            heads: shape.heads,
        })
    }

    fn forward(&self, rows: &Tensor, runs: &[Run]) -> Computed<Tensor> {
        let query_key_value = self.query_key_value.forward(rows)?;
        let attended = runs.iter().map(|run| self.attention(&query_key_value, run)).collect::<Computed<Vec<_>>>()?;
        let attended = self.attention_output.forward(&Tensor::cat(&attended, 0)?)?;
        let rows = self.attention_norm.forward(&(rows + attended)?)?;
        let inner = self.intermediate.forward(&rows)?.gelu_erf()?;
        self.output_norm.forward(&(&rows + self.output.forward(&inner)?)?)
    }

    /// The context of a run's texts: a row for each of their tokens.
    fn attention(&self, query_key_value: &Tensor, run: &Run) -> Computed<Tensor> {
        let run_rows = query_key_value.narrow(0, run.first_row, run.rows())?;
        let by_head = run_rows.reshape((run.texts, run.length, 3, self.heads, ()))?;
        let parts = by_head.permute((2, 0, 3, 1, 4))?.contiguous()?;
        let (query, key, value) = (parts.get(0)?, parts.get(1)?, parts.get(2)?);
        let scores = query.matmul(&key.transpose(2, 3)?)?;
        let scores = match &run.mask {
            Some(mask) => scores.broadcast_add(mask)?,
            None => scores,
        };
        let context = ops::softmax_last_dim(&scores)?.matmul(&value)?;
        context.transpose(1, 2)?.reshape((run.rows(), ()))
    }
}
