//! A thread owns the model and embeds what everybody asks for, and one of low priority what nobody waits for.
//!
//! Whoever asks makes the tokens of a text himself, while the model computes. They wait in a bounded queue of each. While a thread computes, others gather; it takes as many as are best
//! computed at once, in the order in which they came. Who finds the queue full is told so at once, and
//! whoever has stopped waiting costs nothing.

mod local;
mod thread;

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;
use std::{fmt, io};

use clap::Args;
use jangbogo_embedding::Prompts;
use jangbogo_embedding::registry::ModelsArgs;
use jangbogo_telemetry::{BATCH_BUCKETS, SECONDS_BUCKETS};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};

use crate::model::{ArithmeticArgs, EmbeddingModel, ModelError, TextModel, Tokenise, Tokens};

pub use self::local::{Fallback, FallbackArgs};

jangbogo_telemetry::metrics! {
    /// What an encoder counts.
    pub struct EncoderMetrics {
        /// Texts that wait to be embedded
        embedding_queue_texts: prometheus::IntGauge;
        /// Texts embedded by the model
        embedding_texts_total: prometheus::IntCounter;
        /// Tokens embedded by the model
        embedding_tokens_total: prometheus::IntCounter;
        /// Texts embedded that are longer than the model reads
        embedding_truncated_texts_total: prometheus::IntCounter;
        /// Texts refused because as many as may were waiting
        embedding_refused_texts_total: prometheus::IntCounter;
        /// Texts not embedded because nobody waited for them any more
        embedding_abandoned_texts_total: prometheus::IntCounter;
        /// Texts computed at once
        embedding_batch_texts: prometheus::Histogram, buckets BATCH_BUCKETS;
        /// Time to compute a batch, in seconds
        embedding_batch_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
    }
}

/// How long a text that nobody waits for waits for company: two short texts take little longer than one.
const GATHERING: Duration = Duration::from_millis(5);

/// Bytes of a text from which on its tokens take longer to make than others should wait for.
const LONG_TEXT: usize = 8 * 1024;

/// The settings of embedding models in this process.
#[derive(Args, Clone, Debug)]
pub struct EncoderArgs {
    /// How they are computed.
    #[command(flatten)]
    pub computed: ArithmeticArgs,
    /// Processor cores that the embedding model may use, and as many again, at low priority, for texts that nobody waits
    /// for [default: half of them]
    #[arg(id = "embedding-threads", long, env = "EMBEDDING_THREADS", value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,
    /// Texts that may wait for the embedding model; more are refused
    #[arg(id = "embedding-queue", long, env = "EMBEDDING_QUEUE", default_value = "512", value_name = "TEXTS")]
    pub queue: NonZeroUsize,
    /// Where models live.
    #[command(flatten)]
    pub models: ModelsArgs,
}

impl EncoderArgs {
    /// How many cores the model may use: half of the machine's where nothing was said, so that others stay responsive.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        let half = || {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
        };
        self.threads.unwrap_or_else(half)
    }
}

/// A text's vector, and what it took.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEmbedding {
    /// The vector, of length 1.
    pub vector: Arc<[f32]>,
    /// How many tokens the model has read.
    pub tokens: usize,
    /// Whether the text is longer than that.
    pub truncated: bool,
}

/// Why an encoder does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model cannot be loaded, or does not compute.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The thread cannot be started.
    #[error("the thread of the embedding model cannot be started")]
    Thread(#[source] io::Error),
}

/// Why a text was not embedded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EncodeError {
    /// As many texts as may wait do: try again later.
    #[error("too many texts are waiting to be embedded")]
    Busy,
    /// The model does not compute it.
    #[error("the embedding model failed")]
    Model(#[source] Arc<ModelError>),
    /// The thread is gone.
    #[error("the embedding model has stopped")]
    Stopped,
}

/// A text's tokens that wait, and who waits for its vector.
#[derive(Debug)]
struct Job {
    tokens: Tokens,
    answer: oneshot::Sender<Result<TextEmbedding, EncodeError>>,
}

/// A hand on the thread that owns a model. Clones share it; it ends with the last of them.
#[derive(Clone, Debug)]
pub struct Encoder {
    jobs: mpsc::Sender<Job>,
    patient_jobs: mpsc::Sender<Job>,
    metrics: EncoderMetrics,
    about: Arc<About>,
}

/// What is known of the model outside of its thread.
struct About {
    name: String,
    dimensions: usize,
    prompts: Prompts,
    tokenizer: Arc<dyn Tokenise>,
}

impl fmt::Debug for About {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("About").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Loads the model of this name. It is warm when this returns.
    ///
    /// # Errors
    /// When the model's files are not there (the message says how to fetch them) or do not hold it.
    pub async fn load(args: &EncoderArgs, model: &str, metrics: EncoderMetrics) -> Result<Self, StartError> {
        let models = args.models.directory().map_err(ModelError::Files)?;
        let spec = models.find(model).map_err(ModelError::Files)?;
        let (arithmetic, threads) = (args.computed.arithmetic, args.threads());
        Self::start(move || EmbeddingModel::load(&models, spec, arithmetic, threads), args.queue, metrics).await
    }

    /// Starts a thread that calls `load`, warms the model, and owns it from then on, and one of low priority beside it. At
    /// most `queue` texts wait for each.
    ///
    /// # Errors
    /// What `load` says; or the model does not compute, or the thread cannot be started.
    pub async fn start<M: TextModel>(
        load: impl FnOnce() -> Result<M, ModelError> + Send + 'static,
        queue: NonZeroUsize,
        metrics: EncoderMetrics,
    ) -> Result<Self, StartError> {
        let (jobs, urgent) = mpsc::channel(queue.get());
        let (patient_jobs, patient) = mpsc::channel(queue.get());
        let (loaded, is_loaded) = oneshot::channel();
        let of_thread = metrics.clone();
        spawn("embedding-model", move || match thread::warm(load) {
            Ok(model) => {
                let background = model.in_background();
                let about = About {
                    name: model.name().to_owned(),
                    dimensions: model.dimensions(),
                    prompts: model.prompts(),
                    tokenizer: model.tokenizer(),
                };
                if loaded.send(background.map(|background| (about, background))).is_ok() {
                    thread::serve(&model, urgent, Duration::ZERO, &of_thread);
                }
            }
            // Nobody waits any more.
            Err(error) => drop(loaded.send(Err(error))),
        })?;
        let (about, background) = is_loaded.await.unwrap_or(Err(ModelError::Panic))?;
        let of_thread = metrics.clone();
        spawn("embedding-background", move || thread::serve(&background, patient, GATHERING, &of_thread))?;
        Ok(Self { jobs, patient_jobs, metrics, about: Arc::new(about) })
    }

    /// For texts that nobody waits for: they are computed at low priority.
    #[must_use]
    pub fn low_priority(self) -> Self {
        Self { jobs: self.patient_jobs.clone(), ..self }
    }

    /// The model's id.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.about.name
    }

    /// How many components a vector has.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.about.dimensions
    }

    /// What it counts.
    pub fn metrics(&self) -> &EncoderMetrics {
        &self.metrics
    }

    /// What stands before texts that it embeds; whoever asks puts it there.
    #[must_use]
    pub fn prompts(&self) -> Prompts {
        self.about.prompts
    }

    /// The vector of a text as it stands. It waits its turn, which comes: the queue is bounded. Whoever drops the future
    /// gives it up.
    ///
    /// # Errors
    /// At once when the queue is full; or the model failed or is gone.
    pub async fn embed(&self, text: &str) -> Result<TextEmbedding, EncodeError> {
        let place = self.jobs.try_reserve().map_err(|refused| match refused {
            TrySendError::Full(()) => {
                self.metrics.embedding_refused_texts_total.inc();
                EncodeError::Busy
            }
            TrySendError::Closed(()) => EncodeError::Stopped,
        })?;
        let tokens = self.tokenise(text).await.map_err(|error| EncodeError::Model(Arc::new(error)))?;
        let (answer, answered) = oneshot::channel();
        self.metrics.embedding_queue_texts.inc();
        place.send(Job { tokens, answer });
        answered.await.unwrap_or(Err(EncodeError::Stopped))
    }

    async fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        if text.len() < LONG_TEXT {
            return thread::without_panic(|| self.about.tokenizer.tokenise(text));
        }
        let (tokenizer, text) = (Arc::clone(&self.about.tokenizer), text.to_owned());
        let tokens = tokio::task::spawn_blocking(move || tokenizer.tokenise(&text)).await;
        tokens.unwrap_or(Err(ModelError::Panic))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(StartError::Thread)
}

#[cfg(test)]
mod tests;
