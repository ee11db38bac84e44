//! Number formats and devices of the computation.

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

/// Number format and device of the computation. Their vectors are comparable: cosines between them are above 0.98, and
/// 0.995 on average.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Arithmetic {
    /// 8-bit integers on CPUs: fastest there, and the same bits on every machine
    #[default]
    Int8,
    /// 32-bit floats on CPUs
    F32,
    /// Floats with products in TF32 on a GPU; needs a build with `--features cuda`
    Cuda,
}

/// Setting of the arithmetic.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ArithmeticArgs {
    /// Arithmetic of embedding models
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

/// A loaded network. Clones share its weights.
#[derive(Clone)]
pub(super) enum Network {
    Int8(Arc<jangbogo_bert_int8::Bert>, Cpu),
    F32(Arc<Bert>),
    Cuda(Arc<Gpu>),
}

/// Tokens of a batch per core: enough to keep it busy, few enough that the next text does not wait long.
const TOKENS_PER_CORE: usize = 256;
/// Tokens of a batch that keep a GPU busy.
const TOKENS_PER_GPU: usize = 16_384;

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

    /// Most efficient number of tokens of a batch, by number of threads.
    pub(super) fn batch_tokens(&self, threads: usize) -> usize {
        match self {
            Self::Int8(..) | Self::F32(_) => TOKENS_PER_CORE * threads,
            Self::Cuda(_) => TOKENS_PER_GPU,
        }
    }

    /// The vectors of texts, in their order, computed by all threads of the current Rayon pool.
    pub(super) fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        match self {
            Self::Int8(..) => {
                let parts = split_evenly(texts).into_par_iter().map(|part| self.embed_on_this_thread(part));
                Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
            }
            Self::F32(_) | Self::Cuda(_) => self.embed_on_this_thread(texts),
        }
    }

    /// As `embed`, on the calling thread; Candle still parallelises each product over its pool.
    pub(super) fn embed_on_this_thread(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
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

/// Splits texts into a part per thread, each with about the same number of tokens.
fn split_evenly<'a>(texts: &'a [&'a Tokens]) -> Vec<&'a [&'a Tokens]> {
    let tokens: usize = texts.iter().map(|text| text.len()).sum();
    let per_thread = tokens.div_ceil(rayon::current_num_threads()).max(1);
    let mut so_far = 0;
    let mut part = |text: &&Tokens| {
        let part = so_far / per_thread;
        so_far += text.len();
        part
    };
    let parts: Vec<usize> = texts.iter().map(&mut part).collect();
    let mut rest = texts;
    parts
        .chunk_by(|one, other| one == other)
        .map(|part| {
            let (texts, others) = rest.split_at(part.len());
            rest = others;
            texts
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_split_by_their_tokens() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        let lengths = |lengths: &[usize]| -> Vec<Vec<usize>> {
            let text = |length: &usize| Tokens { ids: vec![1; *length], truncated: false };
            let texts: Vec<Tokens> = lengths.iter().map(text).collect();
            let texts: Vec<&Tokens> = texts.iter().collect();
            let parts = pool.install(|| split_evenly(&texts));
            parts.into_iter().map(|part| part.iter().map(|text| text.len()).collect()).collect()
        };
        assert_eq!(lengths(&[3, 3, 3, 3, 3, 3]), [[3, 3], [3, 3], [3, 3]]);
        assert_eq!(lengths(&[9, 1, 1, 1]), [vec![9], vec![1, 1, 1]]);
        assert_eq!(lengths(&[5]), [[5]]);
        assert_eq!(lengths(&[0, 0]), [[0, 0]]);
        assert!(lengths(&[]).is_empty());
    }
}
