//! Quantised rows of tokens, and layer norms.

use crate::cpu::GROUP;
use crate::lanes::{LANES, Lanes, add, greater, lesser};

/// Rows quantised to bytes around [`ZERO`](crate::cpu::ZERO), each with a midpoint and scale of its own, so that a
/// row's bytes do not depend on other rows.
#[derive(Debug, Default)]
pub(crate) struct QuantisedRows {
    bytes: Vec<u8>,
    midpoints: Vec<f32>,
    scales: Vec<f32>,
}

/// Steps from a row's midpoint to its maximum. No byte is 0, so that every value has a negative.
const STEPS: f32 = 127.0;

impl QuantisedRows {
    /// Quantises rows of `width` lanes. A number becomes the nearest of 255 that are evenly spaced from its row's
    /// minimum to its maximum: most rows have a few outliers on one side.
    #[inline(always)]
    pub(crate) fn set(&mut self, rows: &[Lanes], width: usize) {
        /// A number plus this has the nearest integer plus 128 in its lowest byte.
        const ROUNDING: f32 = 12_582_912.0 + 128.0;
        self.bytes.resize(rows.len() * LANES, 0);
        self.midpoints.clear();
        self.scales.clear();
        for (row, bytes) in rows.chunks_exact(width).zip(self.bytes.as_chunks_mut().0.chunks_exact_mut(width)) {
            let (mut minimum, mut maximum) = (row[0], row[0]);
            for lanes in row {
                minimum = minimum.with(*lanes, lesser);
                maximum = maximum.with(*lanes, greater);
            }
            let (minimum, maximum) = (minimum.reduce(lesser), maximum.reduce(greater));
            let midpoint = (minimum + maximum) * 0.5;
            let per_step = if maximum > minimum { STEPS / (maximum - midpoint) } else { 0.0 };
            self.midpoints.push(midpoint);
            self.scales.push((maximum - midpoint) / STEPS);
            for (bytes, lanes) in bytes.iter_mut().zip(row) {
                let bytes: &mut [u8; LANES] = bytes;
                for (byte, number) in bytes.iter_mut().zip(lanes.0) {
                    #[expect(clippy::cast_possible_truncation, reason = "takes the lowest byte")]
                    let lowest = (number - midpoint).mul_add(per_step, ROUNDING).to_bits() as u8;
                    *byte = lowest;
                }
            }
        }
    }

    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.scales.len()
    }

    /// A row's bytes, which are `groups` groups.
    #[inline(always)]
    pub(crate) fn row(&self, number: usize, groups: usize) -> &[[u8; GROUP]] {
        &self.bytes.as_chunks().0[number * groups..][..groups]
    }

    /// The value of the byte [`ZERO`](crate::cpu::ZERO).
    #[inline(always)]
    pub(crate) fn midpoint(&self, number: usize) -> f32 {
        self.midpoints[number]
    }

    /// The difference between the values of successive bytes.
    #[inline(always)]
    pub(crate) fn scale(&self, number: usize) -> f32 {
        self.scales[number]
    }
}

/// Layer normalisation: mean 0 and deviation 1, then a learnt gain and shift.
#[derive(Debug)]
pub(crate) struct LayerNorm {
    pub(crate) gain: Vec<Lanes>,
    pub(crate) shift: Vec<Lanes>,
    pub(crate) epsilon: f32,
}

impl LayerNorm {
    #[inline(always)]
    pub(crate) fn apply(&self, rows: &mut [Lanes]) {
        let width = self.gain.len();
        #[expect(clippy::cast_precision_loss, reason = "a row has some hundred numbers")]
        let per_number = 1.0 / (width * LANES) as f32;
        for row in rows.chunks_exact_mut(width) {
            let mean = row.iter().fold(Lanes::ZERO, |sum, lanes| sum.with(*lanes, add)).sum() * per_number;
            let mut squares = Lanes::ZERO;
            for lanes in &mut *row {
                *lanes = lanes.map(|number| number - mean);
                squares = squares.with(*lanes, |sum, number| number.mul_add(number, sum));
            }
            let per_deviation = 1.0 / (squares.sum() * per_number + self.epsilon).sqrt();
            for (lanes, (gain, shift)) in row.iter_mut().zip(self.gain.iter().zip(&self.shift)) {
                let scaled = lanes.map(|number| number * per_deviation).with(*gain, |number, gain| number * gain);
                *lanes = scaled.with(*shift, add);
            }
        }
    }
}
