//! BERT's forward pass in 8-bit integers on CPUs.
//!
//! Weights are quantised per output channel, activations dynamically per token, and their products are summed in 32-bit
//! integers. Everything else (attention, layer norms, GELU) is computed in 32-bit floats, in an order that depends
//! neither on the CPU nor on other texts: a text's vector has the same bits in any batch and on any machine, at the
//! speed of each machine's instructions (AVX2, AVX-512 VNNI).

#![expect(
    clippy::inline_always,
    reason = "a function that is not inlined is not compiled for the target features of the kernel"
)]

mod affine;
mod attention;
mod cpu;
mod lanes;
mod network;
mod rows;

pub use self::cpu::Cpu;
pub use self::network::{Bert, Scratch, Shape, ShapeError, Weights};
