//! AVX-512 VNNI: four products of bytes in each of sixteen 32-bit lanes.

use std::arch::x86_64::{
    __m512, __m512i, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_load_ps, _mm512_load_si512, _mm512_loadu_si512,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps, _mm512_store_ps, _mm512_storeu_si512,
};
use std::array;

use super::{Block, GROUP, Instructions, Kernel, LANES, Lanes, PANEL, Panel, Sums, check_products, check_weights};

const REGISTERS: usize = PANEL / LANES;

#[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx512Vnni(()))
}

/// Constructed only by [`run`].
#[derive(Clone, Copy)]
struct Avx512Vnni(());

impl Instructions for Avx512Vnni {
    #[inline(always)]
    fn products<const ROWS: usize>(self, rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>) {
        // SAFETY: only `run` constructs `self`, so that the CPU has the features.
        unsafe { products(rows, panel, sums) }
    }

    #[inline(always)]
    fn weighted_sums<const ROWS: usize>(
        self,
        weights: [&[f32]; ROWS],
        lanes: &[Lanes],
        stride: usize,
    ) -> [Lanes; ROWS] {
        // SAFETY: only `run` constructs `self`, so that the CPU has the features.
        unsafe { weighted_sums(weights, lanes, stride) }
    }
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn products<const ROWS: usize>(rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>) {
    check_products(&rows, panel);
    // Compensates the inputs' offset of 128.
    let offsets = load(&panel.offsets);
    let mut registers = [offsets; ROWS];
    for (group, block) in panel.blocks.iter().enumerate() {
        let weights = load_block(block);
        for (row, registers) in rows.iter().zip(&mut registers) {
            // SAFETY: `check_products`: each row has a group for each block.
            let inputs = _mm512_set1_epi32(i32::from_ne_bytes(unsafe { *row.get_unchecked(group) }));
            for (register, weights) in registers.iter_mut().zip(weights) {
                *register = _mm512_dpbusd_epi32(*register, inputs, weights);
            }
        }
    }
    for (registers, sums) in registers.iter().zip(sums) {
        for (register, sums) in registers.iter().zip(sums.as_chunks_mut::<LANES>().0) {
            // SAFETY: the chunk is as long as a register; the store may be unaligned.
            unsafe { _mm512_storeu_si512(sums.as_mut_ptr().cast(), *register) };
        }
    }
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load_block(block: &Block) -> [__m512i; REGISTERS] {
    let first: *const __m512i = std::ptr::from_ref(block).cast();
    // SAFETY: a block is as long as these registers, and aligned.
    array::from_fn(|register| unsafe { _mm512_load_si512(first.add(register)) })
}

#[inline]
#[target_feature(enable = "avx512f")]
fn load(sums: &[i32; PANEL]) -> [__m512i; REGISTERS] {
    let first: *const __m512i = std::ptr::from_ref(sums).cast();
    // SAFETY: the sums are as long as these registers; the load may be unaligned.
    array::from_fn(|register| unsafe { _mm512_loadu_si512(first.add(register)) })
}

#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn weighted_sums<const ROWS: usize>(weights: [&[f32]; ROWS], lanes: &[Lanes], stride: usize) -> [Lanes; ROWS] {
    check_weights(&weights, lanes, stride);
    let mut sums: [__m512; ROWS] = [_mm512_setzero_ps(); ROWS];
    for number in 0..weights.first().map_or(0, |weights| weights.len()) {
        // SAFETY: `check_weights`: there are lanes for all weights; `Lanes` is aligned.
        let lanes = unsafe { _mm512_load_ps(lanes.as_ptr().add(number * stride).cast()) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: `check_weights`: all rows have the same number of weights.
            let weight = _mm512_set1_ps(unsafe { *weights.get_unchecked(number) });
            *sum = _mm512_fmadd_ps(weight, lanes, *sum);
        }
    }
    let mut stored = [Lanes::ZERO; ROWS];
    for (sum, stored) in sums.into_iter().zip(&mut stored) {
        // SAFETY: `Lanes` is as long as a register, and aligned.
        unsafe { _mm512_store_ps(stored.0.as_mut_ptr(), sum) };
    }
    stored
}
