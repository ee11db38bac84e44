//! Batching inference threads.
//!
//! Callers tokenise; an interactive and a background thread each take batches from a bounded queue, in order of
//! arrival. A full queue rejects at once (load shedding); a dropped request is skipped (cancellation).

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
    /// Metrics that all encoders of a process share.
    pub struct EncoderMetrics {
        /// Texts in the queues
        embedding_queue_texts: prometheus::IntGauge;
        /// Texts embedded by the model
        embedding_texts_total: prometheus::IntCounter;
        /// Tokens embedded by the model
        embedding_tokens_total: prometheus::IntCounter;
        /// Texts embedded that were truncated to the model's maximum
        embedding_truncated_texts_total: prometheus::IntCounter;
        /// Texts rejected because a queue was full
        embedding_refused_texts_total: prometheus::IntCounter;
        /// Texts skipped because their requests were cancelled
        embedding_abandoned_texts_total: prometheus::IntCounter;
        /// Texts per batch
        embedding_batch_texts: prometheus::Histogram, buckets BATCH_BUCKETS;
        /// Time to compute a batch, in seconds
        embedding_batch_seconds: prometheus::Histogram, buckets SECONDS_BUCKETS;
    }
}

/// Linger of background batches: two short texts take little longer than one.
const LINGER: Duration = Duration::from_millis(5);

/// From this size in bytes on a text is tokenised on a blocking thread.
const LONG_TEXT: usize = 8 * 1024;

/// Settings of embedding models in this process.
#[derive(Args, Clone, Debug)]
pub struct EncoderArgs {
    #[command(flatten)]
    pub computed: ArithmeticArgs,
    /// Threads of the embedding model; as many again, at low priority, for background texts [default: half of the
    /// cores]
    #[arg(id = "embedding-threads", long, env = "EMBEDDING_THREADS", value_name = "COUNT")]
    pub threads: Option<NonZeroUsize>,
    /// Maximum texts that wait for the embedding model; more are rejected
    #[arg(id = "embedding-queue", long, env = "EMBEDDING_QUEUE", default_value = "512", value_name = "TEXTS")]
    pub queue: NonZeroUsize,
    #[command(flatten)]
    pub models: ModelsArgs,
}

impl EncoderArgs {
    /// Number of threads. The default is half of the cores, so that other processes stay responsive.
    #[must_use]
    pub fn threads(&self) -> NonZeroUsize {
        let half = || {
            let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
            NonZeroUsize::new(cores / 2).unwrap_or(NonZeroUsize::MIN)
        };
        self.threads.unwrap_or_else(half)
    }
}

/// A text's vector and its number of tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TextEmbedding {
    /// The vector, of length 1.
    pub vector: Arc<[f32]>,
    /// Number of tokens read.
    pub tokens: usize,
    /// True if the text had more tokens than the model reads.
    pub truncated: bool,
}

/// An encoder cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The model cannot be loaded, or its warm-up failed.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A thread cannot be started.
    #[error("cannot start the embedding model's thread")]
    Thread(#[source] io::Error),
}

/// A text was not embedded.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EncodeError {
    /// The queue is full: retry later.
    #[error("too many texts are waiting to be embedded")]
    Busy,
    #[error("the embedding model failed")]
    Model(#[source] Arc<ModelError>),
    /// The thread has ended.
    #[error("the embedding model has stopped")]
    Stopped,
}

/// A tokenised text in a queue.
#[derive(Debug)]
struct Job {
    tokens: Tokens,
    answer: oneshot::Sender<Result<TextEmbedding, EncodeError>>,
}

/// Handle of a model's threads, which end with its last clone.
#[derive(Clone, Debug)]
pub struct Encoder {
    jobs: mpsc::Sender<Job>,
    background_jobs: mpsc::Sender<Job>,
    metrics: EncoderMetrics,
    model: Arc<ModelInfo>,
}

/// Properties of the model for use outside of its thread.
struct ModelInfo {
    name: String,
    dimensions: usize,
    prompts: Prompts,
    tokenizer: Arc<dyn Tokenise>,
}

impl fmt::Debug for ModelInfo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ModelInfo").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Encoder {
    /// Loads a model by its name, and warms it up.
    ///
    /// # Errors
    /// When the model's files are missing (the message says how to fetch them) or invalid.
    pub async fn load(args: &EncoderArgs, model: &str, metrics: EncoderMetrics) -> Result<Self, StartError> {
        let models = args.models.directory().map_err(ModelError::Files)?;
        let spec = models.find(model).map_err(ModelError::Files)?;
        let (arithmetic, threads) = (args.computed.arithmetic, args.threads());
        Self::start(move || EmbeddingModel::load(&models, spec, arithmetic, threads), args.queue, metrics).await
    }

    /// Starts a thread that loads, warms up and owns a model, and a background thread beside it. At most `queue` texts
    /// wait for each.
    ///
    /// # Errors
    /// When `load` or the warm-up fails, or a thread cannot be started.
    pub async fn start<M: TextModel>(
        load: impl FnOnce() -> Result<M, ModelError> + Send + 'static,
        queue: NonZeroUsize,
        metrics: EncoderMetrics,
    ) -> Result<Self, StartError> {
        let (jobs, interactive) = mpsc::channel(queue.get());
        let (background_jobs, background_queue) = mpsc::channel(queue.get());
        let (loaded, is_loaded) = oneshot::channel();
        let thread_metrics = metrics.clone();
        spawn("embedding-model", move || match thread::warm_up(load) {
            Ok(model) => {
                let background = model.in_background();
                let info = ModelInfo {
                    name: model.name().to_owned(),
                    dimensions: model.dimensions(),
                    prompts: model.prompts(),
                    tokenizer: model.tokenizer(),
                };
                if loaded.send(background.map(|background| (info, background))).is_ok() {
                    thread::serve(&model, interactive, Duration::ZERO, &thread_metrics);
                }
            }
            // Fails if the caller was dropped.
            Err(error) => drop(loaded.send(Err(error))),
        })?;
        let (info, background) = is_loaded.await.unwrap_or(Err(ModelError::Panic))?;
        let thread_metrics = metrics.clone();
        spawn("embedding-background", move || thread::serve(&background, background_queue, LINGER, &thread_metrics))?;
        Ok(Self { jobs, background_jobs, metrics, model: Arc::new(info) })
    }

    /// A handle for background texts, which are computed at low priority.
    #[must_use]
    pub fn low_priority(self) -> Self {
        Self { jobs: self.background_jobs.clone(), ..self }
    }

    #[must_use]
    pub fn model(&self) -> &str {
        &self.model.name
    }

    /// Number of components of a vector.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.model.dimensions
    }

    /// Metrics that it shares with other encoders.
    #[must_use]
    pub fn metrics(&self) -> &EncoderMetrics {
        &self.metrics
    }

    /// Prompts, which callers put before texts.
    #[must_use]
    pub fn prompts(&self) -> Prompts {
        self.model.prompts
    }

    /// The vector of a text as it stands, without a prompt. Dropping the future cancels the request.
    ///
    /// # Errors
    /// When the queue is full (at once), the model failed, or its thread has ended.
    pub async fn embed(&self, text: &str) -> Result<TextEmbedding, EncodeError> {
        let permit = self.jobs.try_reserve().map_err(|error| match error {
            TrySendError::Full(()) => {
                self.metrics.embedding_refused_texts_total.inc();
                EncodeError::Busy
            }
            TrySendError::Closed(()) => EncodeError::Stopped,
        })?;
        let tokens = self.tokenise(text).await.map_err(|error| EncodeError::Model(Arc::new(error)))?;
        let (answer, response) = oneshot::channel();
        self.metrics.embedding_queue_texts.inc();
        permit.send(Job { tokens, answer });
        response.await.unwrap_or(Err(EncodeError::Stopped))
    }

    async fn tokenise(&self, text: &str) -> Result<Tokens, ModelError> {
        if text.len() < LONG_TEXT {
            return thread::catch_panic(|| self.model.tokenizer.tokenise(text));
        }
        let (tokenizer, text) = (Arc::clone(&self.model.tokenizer), text.to_owned());
        let tokens = tokio::task::spawn_blocking(move || tokenizer.tokenise(&text)).await;
        tokens.unwrap_or(Err(ModelError::Panic))
    }
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<(), StartError> {
    std::thread::Builder::new().name(name.to_owned()).spawn(work).map(drop).map_err(StartError::Thread)
}

#[cfg(test)]
mod tests;
