//! The network: BERT with mean pooling.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::affine::{Affine, Epilogue, is_supported};
use crate::attention::Attention;
use crate::cpu::{Cpu, Instructions, Kernel, flat};
use crate::lanes::{LANES, Lanes, add, lanes_of};
use crate::rows::{LayerNorm, QuantisedRows};

/// Supported components of a head: whole lanes.
const HEAD_SIZES: [usize; 2] = [32, 64];

/// Shape of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Size of the vocabulary.
    pub vocabulary: usize,
    /// Maximum tokens of a text.
    pub positions: usize,
    /// Token types, of which only the first is used.
    pub types: usize,
    /// Components of a token's row and of a text's vector.
    pub hidden: usize,
    /// Components of the feed-forward layer.
    pub intermediate: usize,
    /// Attention heads of each layer.
    pub heads: usize,
    pub layers: usize,
    /// Epsilon of layer norms, which prevents a division by 0.
    pub epsilon: f32,
}

/// The network's shape is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unsupported shape for 8-bit integers: hidden size {hidden}, intermediate size {intermediate}, {heads} heads; \
     sizes must be multiples of 64, and heads have 32 or 64 components"
)]
pub struct ShapeError {
    hidden: usize,
    intermediate: usize,
    heads: usize,
}

/// The network and its weights.
pub struct Bert {
    shape: Shape,
    words: Vec<f16>,
    positions: Vec<Lanes>,
    norm: LayerNorm,
    layers: Vec<Layer>,
}

struct Layer {
    /// Query, key and value side by side: one matrix product instead of three.
    query_key_value: Affine,
    attention_output: Affine,
    attention_norm: LayerNorm,
    intermediate: Affine,
    output: Affine,
    output_norm: LayerNorm,
}

/// Buffers that are reused from batch to batch, so that computations rarely allocate.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Vec<Lanes>,
    others: Vec<Lanes>,
    wide: Vec<Lanes>,
    quantised: QuantisedRows,
    attention: Attention,
    mean: Vec<Lanes>,
}

/// Source of tensors by their names in Hugging Face's BERT, in row-major order (by output, then by input).
pub trait Weights {
    type Error: From<ShapeError>;

    /// The numbers of a tensor of this shape.
    ///
    /// # Errors
    /// When it is missing, or has another shape.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Self::Error>;
}

impl LayerNorm {
    fn load<W: Weights>(weights: &mut W, name: &str, shape: Shape) -> Result<Self, W::Error> {
        let mut part = |part| weights.tensor(&format!("{name}.{part}"), &[shape.hidden]).map(|part| lanes_of(&part));
        Ok(Self { gain: part("weight")?, shift: part("bias")?, epsilon: shape.epsilon })
    }
}

impl Affine {
    /// Several products with the same inputs, side by side.
    fn load<W: Weights>(weights: &mut W, names: &[&str], outputs: usize, inputs: usize) -> Result<Self, W::Error> {
        let (mut matrix, mut biases) = (Vec::new(), Vec::new());
        for name in names {
            matrix.extend(weights.tensor(&format!("{name}.weight"), &[outputs, inputs])?);
            biases.extend(weights.tensor(&format!("{name}.bias"), &[outputs])?);
        }
        Ok(Self::new(&matrix, &biases))
    }
}

impl Layer {
    fn load<W: Weights>(weights: &mut W, shape: Shape, number: usize) -> Result<Self, W::Error> {
        let Shape { hidden, intermediate, .. } = shape;
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let heads = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Self {
            query_key_value: Affine::load(weights, &heads.each_ref().map(String::as_str), hidden, hidden)?,
            attention_output: Affine::load(weights, &[&name("attention.output.dense")], hidden, hidden)?,
            attention_norm: LayerNorm::load(weights, &name("attention.output.LayerNorm"), shape)?,
            intermediate: Affine::load(weights, &[&name("intermediate.dense")], intermediate, hidden)?,
            output: Affine::load(weights, &[&name("output.dense")], hidden, intermediate)?,
            output_norm: LayerNorm::load(weights, &name("output.LayerNorm"), shape)?,
        })
    }
}

impl Bert {
    /// Loads and quantises a network.
    ///
    /// # Errors
    /// When the shape is not supported, or `weights` fails.
    pub fn load<W: Weights>(shape: Shape, weights: &mut W) -> Result<Self, W::Error> {
        let Shape { vocabulary, positions, types, hidden, intermediate, heads, layers, .. } = shape;
        if !is_supported(hidden, intermediate) || !HEAD_SIZES.iter().any(|per_head| heads * per_head == hidden) {
            return Err(ShapeError { hidden, intermediate, heads }.into());
        }
        let words = weights.tensor("embeddings.word_embeddings.weight", &[vocabulary, hidden])?;
        let mut positions = weights.tensor("embeddings.position_embeddings.weight", &[positions, hidden])?;
        let types = weights.tensor("embeddings.token_type_embeddings.weight", &[types, hidden])?;
        for position in positions.chunks_exact_mut(hidden) {
            // Every token has the first type.
            for (component, type_component) in position.iter_mut().zip(&types) {
                *component += type_component;
            }
        }
        Ok(Self {
            shape,
            words: words.into_iter().map(f16::from_f32).collect(),
            positions: lanes_of(&positions),
            norm: LayerNorm::load(weights, "embeddings.LayerNorm", shape)?,
            layers: (0..layers).map(|number| Layer::load(weights, shape, number)).collect::<Result<_, _>>()?,
        })
    }

    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The vectors of texts, in their order, each of length 1. A text is a sequence of token ids.
    ///
    /// # Panics
    /// When a text has more tokens than positions, or an id beyond the vocabulary.
    pub fn embed(&self, cpu: Cpu, texts: &[&[u32]], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        cpu.run(Forward { network: self, texts, scratch });
        let width = self.shape.hidden / LANES;
        let mut rows = scratch.rows.as_slice();
        let vector = |text: &&[u32]| {
            let (text_rows, rest) = rows.split_at(text.len() * width);
            rows = rest;
            normalised_mean(text_rows, &mut scratch.mean, width);
            flat(&scratch.mean).to_vec()
        };
        texts.iter().map(vector).collect()
    }
}

/// The forward pass, which leaves a row for each token in the scratch.
struct Forward<'a> {
    network: &'a Bert,
    texts: &'a [&'a [u32]],
    scratch: &'a mut Scratch,
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self, cpu: impl Instructions) {
        let Self { network, texts, scratch } = self;
        network.embed_tokens(texts, &mut scratch.rows);
        for layer in &network.layers {
            layer.forward(cpu, network.shape, texts, scratch);
        }
    }
}

impl Bert {
    #[inline(always)]
    fn embed_tokens(&self, texts: &[&[u32]], rows: &mut Vec<Lanes>) {
        let width = self.shape.hidden / LANES;
        let (words, _) = self.words.as_chunks::<LANES>();
        rows.clear();
        for text in texts {
            assert!(text.len() <= self.shape.positions, "a text has {} tokens, more than positions", text.len());
            for (id, position) in text.iter().zip(self.positions.chunks_exact(width)) {
                for (word, position) in words[*id as usize * width..][..width].iter().zip(position) {
                    let mut lanes = Lanes::ZERO;
                    word.convert_to_f32_slice(&mut lanes.0);
                    rows.push(lanes.with(*position, add));
                }
            }
        }
        self.norm.apply(rows);
    }
}

impl Layer {
    #[inline(always)]
    fn forward(&self, cpu: impl Instructions, shape: Shape, texts: &[&[u32]], scratch: &mut Scratch) {
        let (width, intermediate) = (shape.hidden / LANES, shape.intermediate / LANES);
        let Scratch { rows, others, wide, quantised, attention, .. } = scratch;
        let count = rows.len() / width;
        others.resize(count * width, Lanes::ZERO);

        quantised.set(rows, width);
        wide.resize(count * 3 * width, Lanes::ZERO);
        self.query_key_value.forward(cpu, quantised, Epilogue::None, wide);
        let mut first = 0;
        for text in texts {
            let query_key_value = &wide[first * 3 * width..][..text.len() * 3 * width];
            let context = &mut others[first * width..][..text.len() * width];
            attention.apply(cpu, query_key_value, (width, width / shape.heads), context);
            first += text.len();
        }

        quantised.set(others, width);
        self.attention_output.forward(cpu, quantised, Epilogue::Add(rows), others);
        self.attention_norm.apply(others);

        quantised.set(others, width);
        wide.resize(count * intermediate, Lanes::ZERO);
        self.intermediate.forward(cpu, quantised, Epilogue::Gelu, wide);
        quantised.set(wide, intermediate);
        self.output.forward(cpu, quantised, Epilogue::Add(others), rows);
        self.output_norm.apply(rows);
    }
}

/// Sets `mean` to the mean of `rows`, scaled to length 1.
fn normalised_mean(rows: &[Lanes], mean: &mut Vec<Lanes>, width: usize) {
    mean.clear();
    mean.resize(width, Lanes::ZERO);
    for row in rows.chunks_exact(width) {
        for (mean, lanes) in mean.iter_mut().zip(row) {
            *mean = mean.with(*lanes, add);
        }
    }
    // Scaled to length 1, the sum equals the mean.
    let length = flat(mean).iter().map(|component| f64::from(*component).powi(2)).sum::<f64>().sqrt();
    if length > 0.0 {
        for lanes in mean {
            #[expect(clippy::cast_possible_truncation, reason = "vectors are of 32-bit floats")]
            let scaled = lanes.map(|component| (f64::from(component) / length) as f32);
            *lanes = scaled;
        }
    }
}

#[cfg(test)]
mod tests;
