//! Rows of numbers, one for each token.

use crate::cpu::GROUP;
use crate::lanes::{LANES, Lanes, add, greater, lesser};

/// Rows as bytes around [`ZERO`](crate::cpu::ZERO), each with a middle and a unit of its own: so a row's bytes do not depend
/// on the others.
#[derive(Debug, Default)]
pub(crate) struct QuantisedRows {
    bytes: Vec<u8>,
    middles: Vec<f32>,
    units: Vec<f32>,
}

/// Steps from a row's middle to its greatest number: no byte is 0, so that none has a sign without its opposite.
const STEPS: f32 = 127.0;

impl QuantisedRows {
    /// Takes `rows`, each of so many lanes. A number becomes the nearest of 255 that lie evenly from its row's least to its
    /// greatest: most rows have a few numbers far out on one side.
    #[inline(always)]
    pub(crate) fn set(&mut self, rows: &[Lanes], width: usize) {
        /// Added to a number, it leaves the nearest integer, and 128, in the lowest byte.
        const ROUNDING: f32 = 12_582_912.0 + 128.0;
        self.bytes.resize(rows.len() * LANES, 0);
        self.middles.clear();
        self.units.clear();
        for (row, bytes) in rows.chunks_exact(width).zip(self.bytes.as_chunks_mut().0.chunks_exact_mut(width)) {
            let (mut least, mut most) = (row[0], row[0]);
            for lanes in row {
                least = least.with(*lanes, lesser);
                most = most.with(*lanes, greater);
            }
            let (least, most) = (least.reduce(lesser), most.reduce(greater));
            let middle = (least + most) * 0.5;
            let per_unit = if most > least { STEPS / (most - middle) } else { 0.0 };
            self.middles.push(middle);
            self.units.push((most - middle) / STEPS);
            for (bytes, lanes) in bytes.iter_mut().zip(row) {
                let bytes: &mut [u8; LANES] = bytes;
                for (byte, number) in bytes.iter_mut().zip(lanes.0) {
                    #[expect(clippy::cast_possible_truncation, reason = "the lowest byte is meant")]
                    let lowest = (number - middle).mul_add(per_unit, ROUNDING).to_bits() as u8;
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

    /// What a row's middle byte stands for.
    #[inline(always)]
    pub(crate) fn middle(&self, number: usize) -> f32 {
        self.middles[number]
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
