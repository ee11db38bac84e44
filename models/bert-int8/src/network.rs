//! The network: BERT with mean pooling.

use half::f16;
use half::slice::HalfFloatSliceExt as _;

use crate::affine::{Affine, Then, fits};
use crate::attention::Attention;
use crate::cpu::{Cpu, Instructions, Kernel, flat};
use crate::lanes::{LANES, Lanes, add, lanes_of};
use crate::rows::{LayerNorm, QuantisedRows};

/// How many components a head may have: whole lanes of them.
const HEADS: [usize; 2] = [32, 64];

/// What a network looks like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// Tokens that it knows.
    pub words: usize,
    /// The most tokens of a text.
    pub positions: usize,
    /// Types of tokens, of which the first is used.
    pub types: usize,
    /// Components of a token's row, and of a text's vector.
    pub size: usize,
    /// Components between the two products of a layer.
    pub inner: usize,
    /// Heads of each layer.
    pub heads: usize,
    /// Layers.
    pub layers: usize,
    /// What keeps norms from dividing by 0.
    pub epsilon: f32,
}

/// A network's shape is not among those that can be computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "in 8-bit integers a network of {size} components, {inner} inside and {heads} heads is not computed: sizes must be \
     multiples of 64, and heads have 32 or 64 components"
)]
pub struct ShapeError {
    size: usize,
    inner: usize,
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
    /// Query, key and value side by side: one product instead of three.
    query_key_value: Affine,
    attention_output: Affine,
    attention_norm: LayerNorm,
    intermediate: Affine,
    output: Affine,
    output_norm: LayerNorm,
}

/// Room for what is computed, kept from batch to batch: once it has seen a batch as long, nothing is allocated.
#[derive(Debug, Default)]
pub struct Scratch {
    rows: Vec<Lanes>,
    others: Vec<Lanes>,
    wide: Vec<Lanes>,
    quantised: QuantisedRows,
    attention: Attention,
    mean: Vec<Lanes>,
}

/// Gives tensors by the names that they have in the makers' files, in their layout (by output, then by input), and of so
/// many numbers.
pub trait Weights {
    /// Why there is no such tensor.
    type Error: From<ShapeError>;

    /// The numbers of one tensor.
    ///
    /// # Errors
    /// When it is not there, or of another shape.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, Self::Error>;
}

impl LayerNorm {
    fn load<W: Weights>(weights: &mut W, name: &str, shape: Shape) -> Result<Self, W::Error> {
        let mut part = |part| weights.tensor(&format!("{name}.{part}"), &[shape.size]).map(|part| lanes_of(&part));
        Ok(Self { gain: part("weight")?, shift: part("bias")?, epsilon: shape.epsilon })
    }
}

impl Affine {
    /// Of several products with the same inputs, side by side.
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
        let Shape { size, inner, .. } = shape;
        let name = |part: &str| format!("encoder.layer.{number}.{part}");
        let heads = ["query", "key", "value"].map(|part| name(&format!("attention.self.{part}")));
        Ok(Self {
            query_key_value: Affine::load(weights, &heads.each_ref().map(String::as_str), size, size)?,
            attention_output: Affine::load(weights, &[&name("attention.output.dense")], size, size)?,
            attention_norm: LayerNorm::load(weights, &name("attention.output.LayerNorm"), shape)?,
            intermediate: Affine::load(weights, &[&name("intermediate.dense")], inner, size)?,
            output: Affine::load(weights, &[&name("output.dense")], size, inner)?,
            output_norm: LayerNorm::load(weights, &name("output.LayerNorm"), shape)?,
        })
    }
}

impl Bert {
    /// A network of this shape with these weights.
    ///
    /// # Errors
    /// When the shape cannot be computed, and what `weights` says.
    pub fn load<W: Weights>(shape: Shape, weights: &mut W) -> Result<Self, W::Error> {
        let Shape { words, positions, types, size, inner, heads, layers, .. } = shape;
        if !fits(size, inner) || !HEADS.iter().any(|of_head| heads * of_head == size) {
            return Err(ShapeError { size, inner, heads }.into());
        }
        let words = weights.tensor("embeddings.word_embeddings.weight", &[words, size])?;
        let mut positions = weights.tensor("embeddings.position_embeddings.weight", &[positions, size])?;
        let types = weights.tensor("embeddings.token_type_embeddings.weight", &[types, size])?;
        for position in positions.chunks_exact_mut(size) {
            // Every token is of the first type.
            for (component, of_type) in position.iter_mut().zip(&types) {
                *component += of_type;
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

    /// What it looks like.
    #[must_use]
    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The vectors of texts, in their order, each of length 1. A text is the numbers of its tokens.
    ///
    /// # Panics
    /// When a text is longer than the network reads, or has a token that it does not know.
    pub fn embed(&self, cpu: Cpu, texts: &[&[u32]], scratch: &mut Scratch) -> Vec<Vec<f32>> {
        cpu.run(Forward { network: self, texts, scratch });
        let width = self.shape.size / LANES;
        let mut rows = scratch.rows.as_slice();
        let vector = |text: &&[u32]| {
            let (of_text, of_others) = rows.split_at(text.len() * width);
            rows = of_others;
            mean_of_length_1(of_text, &mut scratch.mean, width);
            flat(&scratch.mean).to_vec()
        };
        texts.iter().map(vector).collect()
    }
}

/// Leaves a row for each token in the scratch.
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
        network.look_up(texts, &mut scratch.rows);
        for layer in &network.layers {
            layer.forward(cpu, network.shape, texts, scratch);
        }
    }
}

impl Bert {
    #[inline(always)]
    fn look_up(&self, texts: &[&[u32]], rows: &mut Vec<Lanes>) {
        let width = self.shape.size / LANES;
        let (words, _) = self.words.as_chunks::<LANES>();
        rows.clear();
        for text in texts {
            assert!(text.len() <= self.shape.positions, "a text has {} tokens", text.len());
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
        let (width, inner) = (shape.size / LANES, shape.inner / LANES);
        let Scratch { rows, others, wide, quantised, attention, .. } = scratch;
        let count = rows.len() / width;
        others.resize(count * width, Lanes::ZERO);

        quantised.set(rows, width);
        wide.resize(count * 3 * width, Lanes::ZERO);
        self.query_key_value.forward(cpu, quantised, Then::Keep, wide);
        let mut first = 0;
        for text in texts {
            let of_text = &wide[first * 3 * width..][..text.len() * 3 * width];
            let taken = &mut others[first * width..][..text.len() * width];
            attention.apply(cpu, of_text, (width, width / shape.heads), taken);
            first += text.len();
        }

        quantised.set(others, width);
        self.attention_output.forward(cpu, quantised, Then::Add(rows), others);
        self.attention_norm.apply(others);

        quantised.set(others, width);
        wide.resize(count * inner, Lanes::ZERO);
        self.intermediate.forward(cpu, quantised, Then::Gelu, wide);
        quantised.set(wide, inner);
        self.output.forward(cpu, quantised, Then::Add(others), rows);
        self.output_norm.apply(rows);
    }
}

/// Sets `mean` to that of `rows`, scaled to length 1.
fn mean_of_length_1(rows: &[Lanes], mean: &mut Vec<Lanes>, width: usize) {
    mean.clear();
    mean.resize(width, Lanes::ZERO);
    for row in rows.chunks_exact(width) {
        for (mean, lanes) in mean.iter_mut().zip(row) {
            *mean = mean.with(*lanes, add);
        }
    }
    // Scaled to length 1, the sum is what the mean is.
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
