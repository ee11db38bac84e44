//! In which numbers a network is computed, and where.

use std::cell::RefCell;
use std::sync::Arc;

use candle_core::Device;
use clap::{Args, ValueEnum};
use jangbogo_bert_int8::{Cpu, Scratch, Shape};
use rayon::prelude::*;

use super::bert::Bert;
use super::error::ModelError;
use super::gpu::Gpu;
use super::tokens::Tokens;
use super::weights::Tensors;

/// How a model is computed. Vectors of all are alike (their cosines are above 0.98, and 0.995 on average), so that they can
/// be compared with each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Arithmetic {
    /// In 8-bit integers, on processor cores: quickest there, and the same bits on each machine
    #[default]
    Int8,
    /// In 32-bit floats, on processor cores
    F32,
    /// In floats, with products in TF32, on a GPU; needs a build with `--features cuda`
    Cuda,
}

/// The setting of it.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ArithmeticArgs {
    /// How embedding models are computed
    #[arg(
        id = "embedding-arithmetic",
        long,
        env = "EMBEDDING_ARITHMETIC",
        value_enum,
        default_value_t,
        value_name = "ARITHMETIC"
    )]
    pub arithmetic: Arithmetic,
}

/// A network, ready to be computed. Clones share its weights.
#[derive(Clone)]
pub(super) enum Network {
    Int8(Arc<jangbogo_bert_int8::Bert>, Cpu),
    F32(Arc<Bert>),
    Cuda(Arc<Gpu>),
}

/// Enough tokens to keep a core busy, few enough that a short text which comes next need not wait long.
const TOKENS_OF_CORE: usize = 256;
/// Enough tokens to keep a GPU busy.
const TOKENS_OF_GPU: usize = 16_384;

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

impl Network {
    pub(super) fn load(arithmetic: Arithmetic, shape: Shape, mut weights: Tensors) -> Result<Self, ModelError> {
        Ok(match arithmetic {
            Arithmetic::Int8 => {
                Self::Int8(Arc::new(jangbogo_bert_int8::Bert::load(shape, &mut weights)?), Cpu::detect())
            }
            Arithmetic::F32 => Self::F32(Arc::new(Bert::new(shape, weights, &Device::Cpu)?)),
            Arithmetic::Cuda => Self::Cuda(Arc::new(Gpu::load(shape, weights)?)),
        })
    }

    /// How many tokens are best computed at once by so many threads.
    pub(super) fn batch_tokens(&self, threads: usize) -> usize {
        match self {
            Self::Int8(..) | Self::F32(_) => TOKENS_OF_CORE * threads,
            Self::Cuda(_) => TOKENS_OF_GPU,
        }
    }

    /// The vectors of texts, in their order, computed by all threads of the pool that this is called in.
    pub(super) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        match self {
            Self::Int8(..) => {
                let shares = shares(texts).into_par_iter().map(|share| self.embed_in_turn(share));
                Ok(shares.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
            Self::F32(_) | Self::Cuda(_) => self.embed_in_turn(texts),
        }
    }

    /// The same, by the thread that asks; Candle shares each product out among the threads of its pool.
    pub(super) fn embed_in_turn(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        match self {
            Self::Int8(network, cpu) => {
                let texts: Vec<&[u32]> = texts.iter().map(|text| text.ids.as_slice()).collect();
                Ok(SCRATCH.with_borrow_mut(|scratch| network.embed(*cpu, &texts, scratch)))
            }
            Self::F32(network) => network.embed(texts),
            Self::Cuda(network) => network.embed(texts),
        }
    }
}

/// Texts in as many parts as there are threads, each of about as many tokens.
fn shares<'a>(texts: &'a [&'a Tokens]) -> Vec<&'a [&'a Tokens]> {
    let tokens: usize = texts.iter().map(|text| text.len()).sum();
    let of_thread = tokens.div_ceil(rayon::current_num_threads()).max(1);
    let mut so_far = 0;
    let mut share = |text: &&Tokens| {
        let share = so_far / of_thread;
        so_far += text.len();
        share
    };
    let shares: Vec<usize> = texts.iter().map(&mut share).collect();
    let mut rest = texts;
    shares
        .chunk_by(|one, other| one == other)
        .map(|share| {
            let (of_share, of_others) = rest.split_at(share.len());
            rest = of_others;
            of_share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_shared_out_by_their_tokens() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let lengths = |lengths: &[usize]| -> Vec<Vec<usize>> {
            let text = |length: &usize| Tokens { ids: vec![1; *length], truncated: false };
            let texts: Vec<Tokens> = lengths.iter().map(text).collect();
            let texts: Vec<&Tokens> = texts.iter().collect();
            let shares = pool.install(|| shares(&texts));
            shares.into_iter().map(|share| share.iter().map(|text| text.len()).collect()).collect()
        };
        assert_eq!(lengths(&[3, 3, 3, 3, 3, 3]), [[3, 3], [3, 3], [3, 3]]);
        assert_eq!(lengths(&[9, 1, 1, 1]), [vec![9], vec![1, 1, 1]]);
        assert_eq!(lengths(&[5]), [[5]]);
        assert_eq!(lengths(&[0, 0]), [[0, 0]]);
        assert!(lengths(&[]).is_empty());
    }
}
