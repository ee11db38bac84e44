//! The network on a GPU by Candle.
//!
//! On a GPU the order of summation depends on the shape of a product. Therefore each batch has the same number of rows,
//! and each text is padded to one of few lengths with masked rows: all products have the same shapes, and a text gives
//! the same bytes in any batch. A GPU computes a few thousand rows in hardly more time than one.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use candle_core::{Device, Result as Computed, Tensor, cuda};
use jangbogo_bert_int8::Shape;

use super::bert::{Bert, Run};
use super::error::ModelError;
use super::pooling::normalised_mean;
use super::tokens::Tokens;
use super::weights::Tensors;

/// Shortest padded length; the others are its doublings.
const SHORTEST: usize = 16;
/// Added to the scores of masked rows.
const MASKED: f64 = -1e9;

/// Rows of a batch: enough to keep a GPU busy, few enough that a text does not wait long.
const ROWS: usize = 2048;

/// A network whose weights are in a GPU's memory.
pub(super) struct Gpu {
    /// One batch at a time: products share a workspace in memory.
    network: Mutex<Bert>,
    device: Device,
}

impl Gpu {
    /// Loads a network onto the first GPU.
    pub(super) fn load(shape: Shape, weights: Tensors) -> Result<Self, ModelError> {
        let device = Device::new_cuda(0).map_err(ModelError::Gpu)?;
        // TF32: products of floats with 10 bits of mantissa, summed in 32-bit floats.
        cuda::set_gemm_reduced_precision_f32(true);
        let network = Bert::new(shape, weights, &device)?;
        // Another thread may compute first, on another stream.
        device.synchronize()?;
        Ok(Self { network: Mutex::new(network), device })
    }

    /// The vectors of texts, in their order.
    pub(super) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        let mut by_length: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for (position, text) in texts.iter().enumerate() {
            by_length.entry(padded_length(text.len())).or_default().push(position);
        }
        let mut batches: Vec<(usize, &[usize])> = Vec::new();
        for (length, positions) in &by_length {
            batches.extend(positions.chunks(texts_per_batch(*length)).map(|batch| (*length, batch)));
        }
        let network = self.network.lock().unwrap_or_else(PoisonError::into_inner);
        let sums = |(length, batch): &(usize, &[usize])| {
            let texts: Vec<&Tokens> = batch.iter().map(|position| texts[*position]).collect();
            sums(&network, &self.device, &texts, *length)
        };
        // Enqueues all batches before it waits for the first.
        let computed = batches.iter().map(sums).collect::<Computed<Vec<Tensor>>>()?;
        let mut vectors = vec![Vec::new(); texts.len()];
        for ((_, batch), sums) in batches.into_iter().zip(computed) {
            for (position, sum) in batch.iter().zip(sums.to_vec2::<f32>()?) {
                vectors[*position] = normalised_mean(&sum, sum.len());
            }
        }
        Ok(vectors)
    }
}

/// The length that a text is padded to.
fn padded_length(length: usize) -> usize {
    length.next_power_of_two().max(SHORTEST)
}

/// Texts of this padded length in a batch.
fn texts_per_batch(length: usize) -> usize {
    (ROWS / length).max(1)
}

/// For each text of a batch the sum of the last layer's rows.
fn sums(network: &Bert, device: &Device, texts: &[&Tokens], length: usize) -> Computed<Tensor> {
    let count = texts_per_batch(length);
    let rows = count * length;
    let (mut ids, mut positions, mut counts) = (vec![0; rows], vec![0; rows], vec![0.0_f32; rows]);
    for (number, text) in texts.iter().enumerate() {
        let span = number * length..number * length + text.len();
        ids[span.clone()].copy_from_slice(&text.ids);
        for (position, number) in positions[span.clone()].iter_mut().zip(0_u32..) {
            *position = number;
        }
        counts[span].fill(1.0);
    }
    let counts = Tensor::from_vec(counts, (count, 1, length), device)?;
    let mask = counts.affine(-MASKED, MASKED)?.unsqueeze(1)?;
    let run = Run { first_row: 0, texts: count, length, mask: Some(mask) };
    let rows = network.forward(ids, positions, &[run])?;
    counts.matmul(&rows.reshape((count, length, ()))?)?.squeeze(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_padded_to_few_lengths() {
        assert_eq!([0, 2, 16, 17, 300, 512].map(padded_length), [16, 16, 16, 32, 512, 512]);
        assert_eq!([16, 512, 8192].map(texts_per_batch), [128, 4, 1]);
    }
}
