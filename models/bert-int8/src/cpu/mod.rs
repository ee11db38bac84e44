//! The only module with `unsafe`: instructions that not every CPU has.
//!
//! A [`Kernel`] is written once in plain Rust, and compiled for each [`Cpu`]. Only [`Instructions`] are written by hand
//! for each: sums of products of bytes are integers, and floats are rounded by IEEE 754 in a fixed order, so that a
//! kernel gives the same bits on every CPU.
#![expect(unsafe_code, reason = "CPU features are detected before use, and types bound memory accesses")]

use std::fmt;

use crate::lanes::{LANES, Lanes};

/// Outputs whose weights are interleaved.
pub(crate) const PANEL: usize = 64;
/// Inputs that are multiplied and summed by one instruction.
pub(crate) const GROUP: usize = 4;
/// The byte of an input of 0: some instructions take unsigned inputs.
pub(crate) const ZERO: u8 = 128;

/// Weights of a panel's outputs for one group of inputs. None is -128.
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

/// Sums of each row for each of a panel's outputs.
pub(crate) type Sums<const ROWS: usize> = [[i32; PANEL]; ROWS];

/// A level of CPU features that this machine supports.
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

/// A computation that is compiled for each level of CPU features.
///
/// `run` and all functions that it calls must be `#[inline(always)]`: others are compiled for the baseline.
pub(crate) trait Kernel {
    type Output;
    fn run(self, instructions: impl Instructions) -> Self::Output;
}

/// Operations that are implemented for each level of CPU features.
pub(crate) trait Instructions: Copy {
    /// Sets `sums` to the products of rows and a panel's weights. A row has as many groups of inputs as the panel has
    /// blocks; inputs are bytes around [`ZERO`].
    fn products<const ROWS: usize>(self, rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>);

    /// For each row the sum of every `stride`-th of `lanes`, times the row's weights. All rows have the same number of
    /// weights, and there are lanes for all.
    fn weighted_sums<const ROWS: usize>(self, weights: [&[f32]; ROWS], lanes: &[Lanes], stride: usize)
    -> [Lanes; ROWS];
}

impl Cpu {
    /// The best level of this machine.
    #[must_use]
    pub fn detect() -> Self {
        Self::all().next_back().unwrap_or(Self(Level::Portable))
    }

    /// Every level that this machine supports, the best last.
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
            // SAFETY: only `all` makes this value, after it has detected AVX2 and FMA.
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => unsafe { avx2::run(kernel) },
            // SAFETY: only `all` makes this value, after it has detected these features.
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

/// The baseline of every CPU.
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
    fn weighted_sums<const ROWS: usize>(
        self,
        weights: [&[f32]; ROWS],
        lanes: &[Lanes],
        stride: usize,
    ) -> [Lanes; ROWS] {
        check_weights(&weights, lanes, stride);
        weights.map(|weights| {
            weights
                .iter()
                .zip(lanes.iter().step_by(stride))
                .fold(Lanes::ZERO, |sums, (weight, lanes)| sums.with(*lanes, |sum, lane| weight.mul_add(lane, sum)))
        })
    }
}

/// Panics if a row has another number of groups than there are blocks of weights.
#[inline(always)]
fn check_products<const ROWS: usize>(rows: &[&[[u8; GROUP]]; ROWS], panel: &Panel) {
    assert!(rows.iter().all(|row| row.len() == panel.blocks.len()), "the numbers of groups and blocks differ");
}

/// Panics if rows differ in their number of weights, or there are too few lanes.
#[inline(always)]
fn check_weights<const ROWS: usize>(weights: &[&[f32]; ROWS], lanes: &[Lanes], stride: usize) {
    let count = weights.first().map_or(0, |weights| weights.len());
    assert!(weights.iter().all(|weights| weights.len() == count), "rows have different numbers of weights");
    assert!(count == 0 || (count - 1) * stride < lanes.len(), "too few lanes");
}

/// Lanes as a slice of numbers.
#[inline(always)]
pub(crate) fn flat(lanes: &[Lanes]) -> &[f32] {
    // SAFETY: `Lanes` is an array of `LANES` numbers without padding.
    unsafe { std::slice::from_raw_parts(lanes.as_ptr().cast(), lanes.len() * LANES) }
}

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;

#[cfg(test)]
mod tests;
