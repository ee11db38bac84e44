//! The one module with `unsafe`: instructions that not every processor has.
//!
//! A [`Kernel`] is written once, in plain Rust, and compiled for each [`Cpu`]. The sums of products of bytes alone have
//! instructions of their own. They are sums of integers, and everything else is rounded as IEEE 754 says and in an order
//! that no processor changes: so a kernel gives the same bits on every one of them.
#![expect(unsafe_code, reason = "the processor has been seen to have what is used, and memory is bounded by the types")]

use std::fmt;

use crate::lanes::{LANES, Lanes};

/// Outputs whose weights lie side by side.
pub(crate) const PANEL: usize = 64;
/// Inputs that are multiplied and summed by one instruction.
pub(crate) const GROUP: usize = 4;
/// The byte that stands for an input of 0: some instructions take inputs without a sign.
pub(crate) const ZERO: u8 = 128;

/// Weights of a panel's outputs for one group of inputs, none of which is -128.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
pub(crate) struct Block(pub [[i8; GROUP]; PANEL]);

/// The weights of a panel's outputs.
pub(crate) struct Panel {
    /// A block for each group of inputs.
    pub blocks: Vec<Block>,
    /// The sum of each output's weights, times -[`ZERO`].
    pub offsets: [i32; PANEL],
}

/// For some rows, a sum for each of a panel's outputs.
pub(crate) type Sums<const ROWS: usize> = [[i32; PANEL]; ROWS];

/// What this processor has, as far as it matters here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cpu(Level);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Level {
    Portable,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni,
}

/// A computation that is compiled for each kind of processor.
///
/// `run` and all that it calls must be `#[inline(always)]`: what is not inlined is compiled for any processor.
pub(crate) trait Kernel {
    type Output;
    fn run(self, instructions: impl Instructions) -> Self::Output;
}

/// What is written for each kind of processor by itself.
pub(crate) trait Instructions: Copy {
    /// Sets `sums`: for each row and output, the sum of the products of all inputs with their weights. A row has as many
    /// groups of inputs as the panel has blocks; they are bytes around [`ZERO`].
    fn products<const ROWS: usize>(self, rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>);

    /// For each row the sum of `lanes`, every `stride`-th of them, times the row's weights. All rows have as many weights,
    /// and there are lanes for all.
    fn weigh<const ROWS: usize>(self, weights: [&[f32]; ROWS], lanes: &[Lanes], stride: usize) -> [Lanes; ROWS];
}

impl Cpu {
    /// The processor that this runs on.
    #[must_use]
    pub fn detect() -> Self {
        Self::all().next_back().unwrap_or(Self(Level::Portable))
    }

    /// Every kind that this processor can act as, its best last.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> {
        let mut levels = vec![Level::Portable];
        #[cfg(target_arch = "x86_64")]
        {
            let has_avx2 = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
            let has_avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if has_avx2 {
                levels.push(Level::Avx2);
            }
            if has_avx2 && has_avx512 {
                levels.push(Level::Avx512Vnni);
            }
        }
        levels.into_iter().map(Self)
    }

    pub(crate) fn run<K: Kernel>(self, kernel: K) -> K::Output {
        match self.0 {
            Level::Portable => kernel.run(Portable),
            // SAFETY: `all`, which alone makes such a value, has seen that the processor has AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: `all`, which alone makes such a value, has seen that the processor has these instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => unsafe { avx512::run(kernel) },
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Level::Portable => "portable",
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => "AVX2",
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => "AVX-512 VNNI",
        })
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// What every processor has.
#[derive(Clone, Copy)]
struct Portable;

impl Instructions for Portable {
    #[inline(always)]
    fn products<const ROWS: usize>(self, rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>) {
        check_products(&rows, panel);
        *sums = [[0; PANEL]; ROWS];
        for (row, sums) in rows.into_iter().zip(sums) {
            for (inputs, Block(weights)) in row.iter().zip(&panel.blocks) {
                let inputs = inputs.map(|input| i32::from(input) - i32::from(ZERO));
                for (weights, sum) in weights.iter().zip(&mut *sums) {
                    *sum += inputs.iter().zip(weights).map(|(input, weight)| input * i32::from(*weight)).sum::<i32>();
                }
            }
        }
    }

    #[inline(always)]
    fn weigh<const ROWS: usize>(self, weights: [&[f32]; ROWS], lanes: &[Lanes], stride: usize) -> [Lanes; ROWS] {
        check_weights(&weights, lanes, stride);
        weights.map(|weights| {
            weights
                .iter()
                .zip(lanes.iter().step_by(stride))
                .fold(Lanes::ZERO, |sums, (weight, lanes)| sums.with(*lanes, |sum, lane| weight.mul_add(lane, sum)))
        })
    }
}

/// A row for which there are not as many inputs as weights is a mistake that must not go on.
#[inline(always)]
fn check_products<const ROWS: usize>(rows: &[&[[u8; GROUP]]; ROWS], panel: &Panel) {
    assert!(rows.iter().all(|row| row.len() == panel.blocks.len()), "a row has not as many groups as there are blocks");
}

/// Weights for which there are no lanes are a mistake that must not go on.
#[inline(always)]
fn check_weights<const ROWS: usize>(weights: &[&[f32]; ROWS], lanes: &[Lanes], stride: usize) {
    let count = weights.first().map_or(0, |weights| weights.len());
    assert!(weights.iter().all(|weights| weights.len() == count), "rows have not as many weights as each other");
    assert!(count == 0 || (count - 1) * stride < lanes.len(), "there are not lanes for all weights");
}

/// The numbers of lanes, one after the other.
#[inline(always)]
pub(crate) fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: lanes are so many numbers, without a gap between them.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests;
