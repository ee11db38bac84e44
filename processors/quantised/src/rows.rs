//! Rows of numbers, one for each token.

use crate::cpu::GROUP;
use crate::lanes::{LANES, Lanes, add, greater};

/// Rows as bytes around [`ZERO`](crate::cpu::ZERO), each with a unit of its own: so a row's bytes do not depend on the
/// others.
#[derive(Debug, Default)]
pub(crate) struct QuantisedRows {
    bytes: Vec<u8>,
    units: Vec<f32>,
}

impl QuantisedRows {
    /// Takes `rows`, each of so many lanes. A number becomes the nearest of 255 that lie evenly between its row's greatest
    /// and the negative of that.
    #[inline(always)]
    pub(crate) fn set(&mut self, rows: &[Lanes], width: usize) {
        /// Added to a number, it leaves the nearest integer, and 128, in the lowest byte.
        const ROUNDING: f32 = 12_582_912.0 + 128.0;
        self.bytes.resize(rows.len() * LANES, 0);
        self.units.resize(rows.len() / width, 0.0);
        let quantised = self.bytes.as_chunks_mut::<LANES>().0.chunks_exact_mut(width).zip(&mut self.units);
        for (row, (bytes, unit)) in rows.chunks_exact(width).zip(quantised) {
            let most = row.iter().fold(Lanes::ZERO, |most, lanes| most.with(lanes.map(f32::abs), greater));
            let most = most.reduce(greater);
            *unit = most / 127.0;
            let per_unit = if most > 0.0 { 127.0 / most } else { 0.0 };
            for (bytes, lanes) in bytes.iter_mut().zip(row) {
                for (byte, number) in bytes.iter_mut().zip(lanes.0) {
                    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
                    let lowest = number.mul_add(per_unit, ROUNDING).to_bits() as u8;
                    *byte = lowest;
                }
            }
        }
    }

    /// How many they are.
    #[inline(always)]
    pub(crate) fn count(&self) -> usize {
        self.units.len()
    }

    /// A row's bytes, in so many groups.
    #[inline(always)]
    pub(crate) fn row(&self, number: usize, groups: usize) -> &[[u8; GROUP]] {
        &self.bytes.as_chunks().0[number * groups..][..groups]
    }

    /// What one step between a row's bytes is.
    #[inline(always)]
    pub(crate) fn unit(&self, number: usize) -> f32 {
        self.units[number]
    }
}

/// Gives rows the mean 0 and the deviation 1, and then others that were learnt.
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
