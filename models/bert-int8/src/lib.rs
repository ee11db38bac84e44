//! BERT's forward pass in 8-bit integers, on processor cores.
//!
//! Weights are bytes with a scale for each output, what is multiplied with them are bytes with a scale for each token, and
//! their products are summed in 32-bit integers. Everything between (attention, norms, GELU) is computed in 32-bit floats
//! where it lies, in an order that depends neither on the processor nor on other texts. So a text's vector has the same
//! bits in any batch and on any machine, while each machine computes it as fast as its instructions allow.

#![expect(clippy::inline_always, reason = "what is not inlined is not compiled for the processor that it runs on")]

mod affine;
mod attention;
mod cpu;
mod lanes;
mod network;
mod rows;

pub use self::cpu::Cpu;
pub use self::network::{Bert, Scratch, Shape, ShapeError, Weights};
