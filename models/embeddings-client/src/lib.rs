//! Client of embedding models: an OpenAI-compatible server, such as the embedder's, or a model in this process.
//!
//! [`Embedder::embed`] gives a vector of length 1 within its time limit, or an error, after which callers go on
//! without. A text for a server passes, in this order:
//!
//! 1. the **check**: an invalid text is refused here; then the model's **prompt** is put before it;
//! 2. **L1**, the in-memory cache. Concurrent requests for one text are computed once (single-flight);
//! 3. **L2**, the cache in Redis that programs share. A look-up may take 20 ms; a slower Redis is skipped for a while;
//! 4. the **circuit breaker**. It opens after three consecutive failures, or when half of the requests fail. While it
//!    is open requests fail at once; probes run in the background;
//! 5. the **bulkhead**: a limit on requests in flight. Texts that come meanwhile wait in a bounded queue and are
//!    batched, up to 50 in a request; with nothing in flight a text is sent at once. If the server finds fault with the
//!    texts of a request, its halves are sent, until the faulty text is alone;
//! 6. **retries** of transient failures, with exponential backoff or the server's `Retry-After`, within the deadline.
//!
//! A program may give a **fallback**: it loads the same model into this process when the server has failed and the text
//! is not to blame. Loading starts with the first such failure; until it is done callers get the server's error. Its
//! vectors are the same bits where the embedder uses the same arithmetic. A recovered server is used again.
//!
//! A program that has the model in this process anyway, as the embedder has, uses [`Embedder::for_local_model`]: only
//! L1 and the model.

mod circuit;
mod error;
mod fallback;
mod metrics;
mod pool;
mod remote;
mod server;
mod settings;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use jangbogo_embedding::cache::{CacheOutcome, VectorCache};
use jangbogo_embedding::registry::{ModelsArgs, ModelsError};
use jangbogo_embedding::text::{MAX_TEXT_BYTES, Prompts, Purpose, TextKey, check_text};
use jangbogo_embedding::{LoadLocalModel, LocalModel};
use jangbogo_openai::AttemptLimits;
use jangbogo_platform::config::Connections;
use jangbogo_resilience::breaker::Thresholds;
use jangbogo_telemetry::causes;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::circuit::Circuit;
use self::fallback::FallbackModel;
use self::remote::{Limits, Remote};
use self::server::Server;
use self::shared::SharedCache;

pub use self::error::{EmbedError, EmbedderError};
pub use self::metrics::EmbedderMetrics;
pub use self::pool::EmbedderPool;
pub use self::settings::{EmbedderArgs, RemoteArgs};

/// Time limit of background callers: with a shorter one they would retry texts that were nearly computed.
pub const LOW_PRIORITY_TIMEOUT: Duration = Duration::from_mins(5);
/// The backoff before the second attempt, which then doubles, and its maximum.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A vector of length 1.
type Vector = Arc<[f32]>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Redis,
    Remote,
    InProcess,
}

impl Source {
    /// Its label in metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Remote => "remote",
            Self::InProcess => "in-process",
        }
    }
}

/// Computes vectors that L1 lacks.
#[derive(Clone, Debug)]
enum Backend {
    Local(Arc<dyn LocalModel>),
    Remote { remote: Remote, fallback: Option<FallbackModel>, shared: Option<SharedCache> },
}

/// Embeds texts by one model. Clones share caches, queue and breaker.
#[derive(Clone, Debug)]
pub struct Embedder {
    backend: Backend,
    prompts: Prompts,
    similarity_threshold: Option<f32>,
    vectors: VectorCache<(Vector, Source)>,
    time_limit: Duration,
    metrics: EmbedderMetrics,
}

impl Embedder {
    /// A client of one model of the server that the settings name. Vectors are shared in Redis, if there is one.
    /// Connects lazily. `models` is where prompts are looked up. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// When an address or key is invalid.
    pub fn for_server(
        args: &EmbedderArgs,
        models: &ModelsArgs,
        model: &str,
        redis: Option<&Connections>,
        metrics: EmbedderMetrics,
        fallback: Option<LoadLocalModel>,
    ) -> Result<Self, EmbedderError> {
        let shared = redis.map(SharedCache::start).transpose()?;
        Self::with_shared(args, models, model, shared, metrics, fallback)
    }

    fn with_shared(
        args: &EmbedderArgs,
        models: &ModelsArgs,
        model: &str,
        shared: Option<SharedCache>,
        metrics: EmbedderMetrics,
        load: Option<LoadLocalModel>,
    ) -> Result<Self, EmbedderError> {
        let wire = jangbogo_openai::Server::new(&args.url, args.remote.api_key.as_ref())?;
        let tuning = Tuning { thresholds: circuit::THRESHOLDS, pauses: PAUSES, load, keep: fallback::KEEP, shared };
        Ok(Self::with_tuning(wire, model, args, models, tuning, metrics))
    }

    fn with_tuning(
        wire: jangbogo_openai::Server,
        model: &str,
        args: &EmbedderArgs,
        models: &ModelsArgs,
        tuning: Tuning,
        metrics: EmbedderMetrics,
    ) -> Self {
        let spec = match models.find(model) {
            Ok(spec) => Some(spec),
            // The model is not in the registry: its server may have it.
            Err(ModelsError::Unknown { .. }) => None,
            Err(error) => {
                let error = causes(&error);
                warn!(%error, model, "embedding model registry unreadable: texts are embedded without prompts");
                None
            }
        };
        let prompts = spec.map_or(Prompts::NONE, |spec| spec.prompts);
        let server = Server::new(wire, model, prompts);
        let vectors = VectorCache::new(server.model(), args.cache);
        let thresholds = Thresholds { probe_timeout: args.time_limit(), ..tuning.thresholds };
        let circuit = Arc::new(Circuit::new(thresholds, server.model(), tuning.shared.clone(), metrics.clone()));
        let fallback = tuning
            .load
            .map(|load| FallbackModel::new(load, Arc::clone(server.model()), tuning.keep, Arc::clone(&circuit)));
        let RemoteArgs { max_in_flight: in_flight, max_waiting: waiting, attempts, .. } = args.remote;
        let (min_pause, max_pause) = tuning.pauses;
        let limits = Limits { in_flight, waiting, attempts: AttemptLimits { attempts, min_pause, max_pause } };
        let remote = Remote::start(server, circuit, limits, metrics.clone());
        Self {
            backend: Backend::Remote { remote, fallback, shared: tuning.shared },
            prompts,
            similarity_threshold: spec.map(|spec| spec.similarity_threshold),
            vectors,
            time_limit: args.time_limit(),
            metrics,
        }
    }

    /// A client of a model in this process, which keeps the vectors of up to `cached_texts` texts in memory.
    #[must_use]
    pub fn for_local_model(
        model: Arc<dyn LocalModel>,
        cached_texts: u64,
        time_limit: Duration,
        metrics: EmbedderMetrics,
    ) -> Self {
        let vectors = VectorCache::new(model.name(), cached_texts);
        let prompts = model.prompts();
        Self { backend: Backend::Local(model), prompts, similarity_threshold: None, vectors, time_limit, metrics }
    }

    /// The model's id, as events record it.
    #[must_use]
    pub fn model(&self) -> &str {
        match &self.backend {
            Backend::Local(model) => model.name(),
            Backend::Remote { remote, .. } => remote.model(),
        }
    }

    /// The cosine from which on a text counts as similar to a query. `None` for a model that only its server knows, and
    /// for a local model, which serves no searches.
    #[must_use]
    pub fn similarity_threshold(&self) -> Option<f32> {
        self.similarity_threshold
    }

    /// The vector of a text, of length 1.
    ///
    /// # Errors
    /// When there is none within the time limit: go on without.
    pub async fn embed(&self, purpose: Purpose, text: &str) -> Result<Arc<[f32]>, EmbedError> {
        let timer = self.metrics.embedder_seconds.start_timer();
        let embedded = self.embed_in_time(purpose, text).await;
        timer.observe_duration();
        match &embedded {
            Ok((_, source)) => self.metrics.embedder_vectors_total.with_label_values(&[source]).inc(),
            Err(error) => self.metrics.embedder_failures_total.with_label_values(&[error.reason()]).inc(),
        }
        embedded.map(|(vector, _)| vector)
    }

    async fn embed_in_time(&self, purpose: Purpose, text: &str) -> Result<(Vector, &'static str), EmbedError> {
        check_text(text)?;
        let text = &*self.prompts.before(purpose, text);
        // No model reads so far, and a server refuses a text that its prompt makes too long.
        let text = &text[..text.floor_char_boundary(MAX_TEXT_BYTES)];
        let key = self.vectors.key(text);
        let deadline = Instant::now() + self.time_limit;
        let embedded = timeout_at(deadline, self.vectors.get_or_embed(key, self.compute(key, text, deadline))).await;
        let ((vector, source), outcome) = embedded.unwrap_or(Err(EmbedError::TooSlow(self.time_limit)))?;
        let source = match outcome {
            CacheOutcome::Hit => "l1",
            CacheOutcome::Miss => source.name(),
        };
        Ok((vector, source))
    }

    /// The vector of a text that is not in L1.
    async fn compute(&self, key: TextKey, text: &str, deadline: Instant) -> Result<(Vector, Source), EmbedError> {
        let (remote, fallback, shared) = match &self.backend {
            Backend::Local(model) => return Self::embed_locally(model, text).await,
            Backend::Remote { remote, fallback, shared } => (remote, fallback, shared),
        };
        if let Some(shared) = shared
            && let Some(vector) = shared.get(&key).await
        {
            return Ok((vector, Source::Redis));
        }
        let (vector, source) = match remote.embed(text, deadline, self.time_limit).await {
            Ok(vector) => (vector, Source::Remote),
            Err(error) => {
                let fallback = fallback.as_ref().filter(|_| error.is_servers_failure());
                let Some(model) = fallback.and_then(FallbackModel::get) else { return Err(error) };
                Self::embed_locally(&model, text).await?
            }
        };
        if let Some(shared) = shared {
            shared.put(key, &vector);
        }
        Ok((vector, source))
    }

    async fn embed_locally(model: &Arc<dyn LocalModel>, text: &str) -> Result<(Vector, Source), EmbedError> {
        let vector = model.embed(text).await.map_err(EmbedError::LocalModel)?;
        Ok((vector, Source::InProcess))
    }
}

/// Parameters that are constants outside of tests.
struct Tuning {
    thresholds: Thresholds,
    pauses: (Duration, Duration),
    load: Option<LoadLocalModel>,
    keep: Duration,
    shared: Option<SharedCache>,
}

#[cfg(test)]
mod tests;
