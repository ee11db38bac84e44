//! Embedding models: vectors of length 1 of texts.

mod arithmetic;
mod batches;
mod bert;
mod error;
mod gpu;
mod pooling;
mod tokens;
mod weights;

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::Arc;

use jangbogo_bert_int8::Shape;
use jangbogo_embedding::Prompts;
use jangbogo_embedding::registry::{CONFIG, ModelSpec, ModelsDirectory, TOKENIZER};
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};
use tracing::warn;

use self::arithmetic::Network;
use self::batches::batches;
use self::bert::BertConfig;
use self::tokens::TextTokenizer;
use self::weights::Tensors;

pub use self::arithmetic::{Arithmetic, ArithmeticArgs};
pub use self::error::ModelError;
pub use self::tokens::{Tokenise, Tokens};

/// Niceness of background threads.
const BACKGROUND_NICENESS: i32 = 10;

/// A model that an [`Encoder`](crate::encoder::Encoder)'s thread owns.
pub trait TextModel: Send + Sized + 'static {
    /// Id, as events record it.
    fn name(&self) -> &str;

    /// Number of components of its vectors.
    fn dimensions(&self) -> usize;

    /// Prompts, which callers put before texts.
    fn prompts(&self) -> Prompts;

    fn tokenizer(&self) -> Arc<dyn Tokenise>;

    /// Most efficient number of tokens of a batch.
    fn batch_tokens(&self) -> usize;

    /// The vectors of a batch, in the order of its texts, each of length 1. A text's vector does not depend on the
    /// others.
    ///
    /// # Errors
    /// When the computation fails.
    fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// A copy of the model with threads of low priority.
    ///
    /// # Errors
    /// When threads cannot be started.
    fn in_background(&self) -> Result<Self, ModelError>;
}

/// Vectors of texts, and counts of their tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct EmbeddedBatch {
    /// A vector per text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// Number of tokens read.
    pub tokens: usize,
    /// Number of texts that were truncated.
    pub truncated: usize,
}

/// A BERT encoder with mean pooling.
pub struct EmbeddingModel {
    spec: &'static ModelSpec,
    tokenizer: Arc<TextTokenizer>,
    network: Network,
    pool: ThreadPool,
}

impl EmbeddingModel {
    /// Loads an installed model, to be computed by at most `threads` threads.
    ///
    /// # Errors
    /// When a file is missing, damaged or of an unsupported model, or the arithmetic is not available.
    pub fn load(
        models: &ModelsDirectory,
        spec: &'static ModelSpec,
        arithmetic: Arithmetic,
        threads: NonZeroUsize,
    ) -> Result<Self, ModelError> {
        let shape = shape(&models.read(spec, CONFIG)?, spec.dimensions)?;
        let tokenizer = TextTokenizer::new(&models.read(spec, TOKENIZER)?, spec.max_tokens.get().min(shape.positions))?;
        if tokenizer.vocabulary() > shape.vocabulary {
            return Err(ModelError::Tensor(format!(
                "it has {} of the tokenizer's {} tokens",
                shape.vocabulary,
                tokenizer.vocabulary()
            )));
        }
        let network = Network::load(arithmetic, shape, Tensors::read(models, spec)?)?;
        let pool = threads_named("embedding", threads.get()).build().map_err(ModelError::Threads)?;
        Ok(Self { spec, tokenizer: Arc::new(tokenizer), network, pool })
    }

    #[must_use]
    pub fn spec(&self) -> &'static ModelSpec {
        self.spec
    }

    /// The vectors of texts as they stand, without prompts, in batches of similar lengths. A text gives the same bytes
    /// in any batch.
    ///
    /// # Errors
    /// When the tokenizer or the computation fails.
    pub fn embed_batch(&self, texts: &[&str]) -> Result<EmbeddedBatch, ModelError> {
        let texts = self.pool.install(|| {
            texts.par_iter().map(|text| self.tokenizer.tokenise(text)).collect::<Result<Vec<Tokens>, _>>()
        })?;
        let mut vectors = vec![Vec::new(); texts.len()];
        let lengths: Vec<usize> = texts.iter().map(Tokens::len).collect();
        let batches = batches(&lengths, self.network.batch_tokens(1));
        let computed = self.pool.install(|| {
            let embed_batch = |batch: &Vec<usize>| -> Result<Vec<Vec<f32>>, ModelError> {
                let tokens: Vec<&Tokens> = batch.iter().map(|position| &texts[*position]).collect();
                self.network.embed_on_this_thread(&tokens)
            };
            batches.par_iter().map(embed_batch).collect::<Result<Vec<_>, _>>()
        })?;
        for (position, vector) in batches.into_iter().flatten().zip(computed.into_iter().flatten()) {
            vectors[position] = vector;
        }
        let truncated = texts.iter().filter(|text| text.truncated).count();
        Ok(EmbeddedBatch { vectors, tokens: lengths.iter().sum(), truncated })
    }
}

impl TextModel for EmbeddingModel {
    fn name(&self) -> &str {
        self.spec.name
    }

    fn dimensions(&self) -> usize {
        self.spec.dimensions
    }

    fn prompts(&self) -> Prompts {
        self.spec.prompts
    }

    fn tokenizer(&self) -> Arc<dyn Tokenise> {
        Arc::<TextTokenizer>::clone(&self.tokenizer)
    }

    fn batch_tokens(&self) -> usize {
        self.network.batch_tokens(self.pool.current_num_threads())
    }

    fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError> {
        self.pool.install(|| self.network.embed(texts))
    }

    fn in_background(&self) -> Result<Self, ModelError> {
        let threads = threads_named("embedding-background", self.pool.current_num_threads());
        let pool = threads.start_handler(|_| lower_priority()).build().map_err(ModelError::Threads)?;
        Ok(Self { spec: self.spec, tokenizer: Arc::clone(&self.tokenizer), network: self.network.clone(), pool })
    }
}

/// The shape of a network by its `config.json`, which must give vectors of this number of components.
pub(crate) fn shape(config: &[u8], dimensions: usize) -> Result<Shape, ModelError> {
    let shape = BertConfig::read(config)?.shape();
    if shape.hidden != dimensions {
        return Err(ModelError::Dimensions { expected: dimensions, found: shape.hidden });
    }
    Ok(shape)
}

fn threads_named(name: &'static str, threads: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(threads).thread_name(move |number| format!("{name}-{number}"))
}

/// Lowers the priority of this thread, on Linux only: elsewhere threads have no niceness of their own.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BACKGROUND_NICENESS) {
        warn!(%error, "cannot lower the priority of a thread: background texts are embedded at normal priority");
    }
}

impl fmt::Debug for EmbeddingModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = self.pool.current_num_threads();
        formatter
            .debug_struct("EmbeddingModel")
            .field("name", &self.spec.name)
            .field("threads", &threads)
            .finish_non_exhaustive()
    }
}
