//! The embedding model: text in, a vector of length 1 out.

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

/// The niceness of threads for texts that nobody waits for.
const BACKGROUND_NICENESS: i32 = 10;

/// What turns texts into vectors. One thread owns it: see [`Encoder`](crate::encoder::Encoder).
pub trait TextModel: Send + Sized + 'static {
    /// Its id: what events record.
    fn name(&self) -> &str;

    /// How many components its vectors have.
    fn dimensions(&self) -> usize;

    /// What stands before texts.
    fn prompts(&self) -> Prompts;

    /// What makes tokens of texts for it.
    fn tokenizer(&self) -> Arc<dyn Tokenise>;

    /// How many tokens are best computed at once.
    fn batch_tokens(&self) -> usize;

    /// The vectors of these texts, in their order, each of length 1, computed at once. A text's vector does not depend
    /// on the others.
    ///
    /// # Errors
    /// When the computation fails.
    fn embed(&self, texts: &[&Tokens]) -> Result<Vec<Vec<f32>>, ModelError>;

    /// The same model, which gives way to everything else on the machine.
    ///
    /// # Errors
    /// When it has no threads to compute in.
    fn in_background(&self) -> Result<Self, ModelError>;
}

/// Vectors of texts, and what became of the texts.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    /// A vector for each text, in their order.
    pub vectors: Vec<Vec<f32>>,
    /// How many tokens were read.
    pub tokens: usize,
    /// How many texts are longer than the model reads.
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
    /// Loads a model whose files are there, to be computed by at most so many threads.
    ///
    /// # Errors
    /// When a file is missing or damaged, or does not hold such a model; or there is no such arithmetic here.
    pub fn load(
        models: &ModelsDirectory,
        spec: &'static ModelSpec,
        arithmetic: Arithmetic,
        threads: NonZeroUsize,
    ) -> Result<Self, ModelError> {
        let shape = shape(&models.read(spec, CONFIG)?, spec.dimensions)?;
        let tokenizer = TextTokenizer::new(&models.read(spec, TOKENIZER)?, spec.max_tokens.get().min(shape.positions))?;
        if tokenizer.words() > shape.words {
            return Err(ModelError::Tensor(format!("of {} tokens it knows {}", tokenizer.words(), shape.words)));
        }
        let network = Network::load(arithmetic, shape, Tensors::read(models, spec)?)?;
        let pool = threads_named("embedding", threads.get()).build().map_err(ModelError::Threads)?;
        Ok(Self { spec, tokenizer: Arc::new(tokenizer), network, pool })
    }

    /// What the table says about it.
    #[must_use]
    pub fn spec(&self) -> &'static ModelSpec {
        self.spec
    }

    /// The vectors of these texts as they stand, without a prompt, in batches of like lengths. The same text gives the
    /// same bytes whatever it comes with.
    ///
    /// # Errors
    /// When the tokenizer refuses a text, or the computation fails.
    pub fn embed_batch(&self, texts: &[&str]) -> Result<Embedded, ModelError> {
        let texts = self.pool.install(|| {
            texts.par_iter().map(|text| self.tokenizer.tokenise(text)).collect::<Result<Vec<Tokens>, _>>()
        })?;
        let mut vectors = vec![Vec::new(); texts.len()];
        let lengths: Vec<usize> = texts.iter().map(Tokens::len).collect();
        let batches = batches(&lengths, self.network.batch_tokens(1));
        let computed = self.pool.install(|| {
            let of_batch = |batch: &Vec<usize>| -> Result<Vec<Vec<f32>>, ModelError> {
                let tokens: Vec<&Tokens> = batch.iter().map(|position| &texts[*position]).collect();
                self.network.embed_in_turn(&tokens)
            };
            batches.par_iter().map(of_batch).collect::<Result<Vec<_>, _>>()
        })?;
        for (position, vector) in batches.into_iter().flatten().zip(computed.into_iter().flatten()) {
            vectors[position] = vector;
        }
        let truncated = texts.iter().filter(|text| text.truncated).count();
        Ok(Embedded { vectors, tokens: lengths.iter().sum(), truncated })
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
        let pool = threads.start_handler(|_| give_way()).build().map_err(ModelError::Threads)?;
        Ok(Self { spec: self.spec, tokenizer: Arc::clone(&self.tokenizer), network: self.network.clone(), pool })
    }
}

/// What a network looks like that makes vectors of so many components, as its `config.json` says.
pub fn shape(config: &[u8], dimensions: usize) -> Result<Shape, ModelError> {
    let shape = BertConfig::read(config)?.shape();
    if shape.size != dimensions {
        return Err(ModelError::Dimensions { expected: dimensions, found: shape.size });
    }
    Ok(shape)
}

fn threads_named(name: &'static str, threads: usize) -> ThreadPoolBuilder {
    ThreadPoolBuilder::new().num_threads(threads).thread_name(move |number| format!("{name}-{number}"))
}

/// Gives this thread a low priority, where the system has such a thing.
fn give_way() {
    // Elsewhere a thread has no priority of its own.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(Some(rustix::thread::gettid()), BACKGROUND_NICENESS) {
        warn!(%error, "texts that nobody waits for are embedded at full priority");
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
