//! The network on a GPU, by Candle.
//!
//! A product of a GPU adds up in another order when it has another shape. So each batch has the same number of rows, and
//! each text one of few lengths, filled up with rows that count for nothing: all products have the same shapes, and a
//! text gives the same bytes whatever it comes with. A GPU computes a few thousand rows in hardly more time than one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result as Computed, Tensor, cuda};
use jangbogo_bert_int8::Shape;

use super::bert::{Bert, Run};
use super::error::ModelError;
use super::pooling::mean_of_length_1;
use super::tokens::Tokens;
use super::weights::Tensors;

/// The shortest length that texts are filled up to; the others are twice the one before.
const SHORTEST: usize = 16;
/// Added to the scores of rows that count for nothing.
const NOTHING: f64 = -1e9;

/// Rows that are computed at once: enough to keep a GPU busy, few enough that one text need not wait long.
const ROWS: usize = 2048;

/// The network and its weights in a GPU's memory.
pub(super) struct Gpu {
    /// One batch at a time: all products share the memory that they work in.
    network: Mutex<Bert>,
    device: Device,
}

impl Gpu {
    /// A network of this shape with these weights on the first GPU.
    pub(super) fn load(shape: Shape, weights: Tensors) -> Result<Self, ModelError> {
        let device = Device::new_cuda(0).map_err(ModelError::Gpu)?;
        // TF32: products of floats with 10 bits of mantissa, summed up in 32-bit floats.
        cuda::set_gemm_reduced_precision_f32(true);
        let network = Bert::new(shape, weights, &device)?;
        // Another thread may compute first, and threads do not wait for each other.
        device.synchronize()?;
        Ok(Self { network: Mutex::new(network), device })
    }

    /// The vectors of texts, in their order.
    pub(super) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, text) in texts.iter().enumerate() {
            by_length.entry(filled_up(text.len())).or_default().push(position);
        }
        let mut batches: Vec<(usize, &[usize])> = Vec::new();
        for (length, positions) in &by_length {
            batches.extend(positions.chunks(texts_of_batch(*length)).map(|batch| (*length, batch)));
        }
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = |(length, batch): &(usize, &[usize])| {
            let texts: Vec<&Tokens> = batch.iter().map(|position| texts[*position]).collect();
            sums(&network, &self.device, &texts, *length)
        };
        // All are under way before the first is waited for.
        let computed = batches.iter().map(sums).collect::<Computed<Vec<Tensor>>>()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for ((_, batch), sums) in batches.into_iter().zip(computed) {
            for (position, sum) in batch.iter().zip(sums.to_vec2::<f32>()?) {
                vectors[*position] = mean_of_length_1(&sum, sum.len());
            }
        }
        Ok(vectors)
    }
}

/// The length that texts of this length are filled up to.
fn filled_up(length: usize) -> usize {
    length.next_power_of_two().max(SHORTEST)
}

/// How many texts of this length are computed at once.
fn texts_of_batch(length: usize) -> usize {
    (ROWS / length).max(1)
}

/// The sums of the last layer's rows of each text of a batch.
fn sums(network: &Bert, device: &Device, texts: &[&Tokens], length: usize) -> Computed<Tensor> {
    let count = texts_of_batch(length);
    let rows = count * length;
    let (mut ids, mut positions, mut counts) = (vec![0; rows], vec![0; rows], vec![0.0_f32; rows]);
    for (number, text) in texts.iter().enumerate() {
        let of_text = number * length..number * length + text.len();
        ids[of_text.clone()].copy_from_slice(&text.ids);
        for (position, number) in positions[of_text.clone()].iter_mut().zip(0_u32..) {
            *position = number;
        }
        counts[of_text].fill(1.0);
    }
    let counts = Tensor::from_vec(counts, (count, 1, length), device)?;
    let mask = counts.affine(-NOTHING, NOTHING)?.unsqueeze(1)?;
    let run = Run { first_row: 0, texts: count, length, mask: Some(mask) };
    let rows = network.forward(ids, positions, &[run])?;
    counts.matmul(&rows.reshape((count, length, ()))?)?.squeeze(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_filled_up_to_few_lengths() {
        assert_eq!([0, 2, 16, 17, 300, 512].map(filled_up), [16, 16, 16, 32, 512, 512]);
        assert_eq!([16, 512, 8192].map(texts_of_batch), [128, 4, 1]);
    }
}
