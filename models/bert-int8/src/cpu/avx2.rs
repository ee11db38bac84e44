//! AVX2: pairs of products of bytes in sixteen 16-bit lanes.

use std::arch::x86_64::{
    __m256, __m256i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_fmadd_ps, _mm256_load_ps, _mm256_load_si256,
    _mm256_madd_epi16, _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps,
    _mm256_setzero_si256, _mm256_sign_epi8, _mm256_store_ps, _mm256_storeu_si256,
};
use std::array;

use super::{
    Block, GROUP, Instructions, Kernel, LANES, Lanes, PANEL, Panel, Sums, ZERO, check_products, check_weights,
};

/// 32-bit numbers in a register.
const WIDTH: usize = 8;
const REGISTERS: usize = PANEL / WIDTH;

#[target_feature(enable = "avx2,fma")]
pub(super) fn run<K: Kernel>(kernel: K) -> K::Output {
    kernel.run(Avx2(()))
}

/// Constructed only by [`run`].
#[derive(Clone, Copy)]
struct Avx2(());

impl Instructions for Avx2 {
    #[inline(always)]
    fn products<const ROWS: usize>(self, rows: [&[[u8; GROUP]]; ROWS], panel: &Panel, sums: &mut Sums<ROWS>) {
        check_products(&rows, panel);
        for (row, sums) in rows.into_iter().zip(sums) {
            // SAFETY: only `run` constructs `self`, so that the CPU has the features.
            unsafe { products(row, panel, sums) }
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
        // SAFETY: only `run` constructs `self`, so that the CPU has the features.
        weights.map(|weights| unsafe { weighted_sums(weights, lanes, stride) })
    }
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn products(row: &[[u8; GROUP]], panel: &Panel, sums: &mut [i32; PANEL]) {
    let ones = _mm256_set1_epi16(1);
    let mut registers = [_mm256_setzero_si256(); REGISTERS];
    for (inputs, block) in row.iter().zip(&panel.blocks) {
        let inputs = _mm256_set1_epi32(i32::from_ne_bytes(inputs.map(|input| input ^ ZERO)));
        for (register, weights) in registers.iter_mut().zip(load_block(block)) {
            // The instruction multiplies unsigned with signed bytes: the weight's sign moves to the input. Neither is
            // -128, so that a pair's sum fits into 16 bits.
            let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(inputs, weights));
            *register = _mm256_add_epi32(*register, _mm256_madd_epi16(pairs, ones));
        }
    }
    for (register, sums) in registers.into_iter().zip(sums.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: the chunk is as long as a register; the store may be unaligned.
        unsafe { _mm256_storeu_si256(sums.as_mut_ptr().cast(), register) };
    }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_block(block: &Block) -> [__m256i; REGISTERS] {
    let first: *const __m256i = std::ptr::from_ref(block).cast();
    // SAFETY: a block is as long as these registers, and aligned.
    array::from_fn(|register| unsafe { _mm256_load_si256(first.add(register)) })
}

#[inline]
#[target_feature(enable = "avx2,fma")]
fn weighted_sums(weights: &[f32], lanes: &[Lanes], stride: usize) -> Lanes {
    const HALVES: usize = LANES / WIDTH;
    let mut sums: [__m256; HALVES] = [_mm256_setzero_ps(); HALVES];
    for (weight, lanes) in weights.iter().zip(lanes.iter().step_by(stride)) {
        let weight = _mm256_set1_ps(*weight);
        for (sum, lanes) in sums.iter_mut().zip(lanes.0.as_chunks::<WIDTH>().0) {
            // SAFETY: the chunk is as long as a register, and aligned.
            *sum = _mm256_fmadd_ps(weight, unsafe { _mm256_load_ps(lanes.as_ptr()) }, *sum);
        }
    }
    let mut stored = Lanes::ZERO;
    for (sum, stored) in sums.into_iter().zip(stored.0.as_chunks_mut::<WIDTH>().0) {
        // SAFETY: the chunk is as long as a register, and aligned.
        unsafe { _mm256_store_ps(stored.as_mut_ptr(), sum) };
    }
    stored
}
