//! What programs ask for texts' vectors: the model in this process, or an OpenAI-compatible server, such as the embedder's.
//!
//! [`Embedder::embed`] gives a vector of length 1 within its time limit, or an error, after which callers go on without. What
//! a text passes on its way to a server, in this order:
//!
//! 1. the **check**: what is no text is asked of nobody; and the model's **prompt** for what the text is embedded for;
//! 2. **L1**, the vectors of this process. One text that many ask for at one time is computed once;
//! 3. **L2**, the vectors that programs share in Redis. Redis is given 20 ms; if it takes longer it is left alone for a while;
//! 4. the **circuit breaker**. It opens after three failures one after the other, or when half of the requests fail. While
//!    it is open nothing waits for the server, not even who is to probe it: the probe goes on by itself;
//! 5. the **bulkhead**: so many requests are in flight at one time. Meanwhile texts **gather** in a bounded queue, and go
//!    together, up to 50 in a request. A text that comes when nothing is in flight goes at once. Where the server finds fault
//!    with the texts of a request, its halves are sent, until the faulty text is alone;
//! 6. **retries**, with growing pauses or those the server asks for, on what may go better later, and never beyond the
//!    deadline.
//!
//! Where the server has failed and the text is not to blame, the same model is computed in this process, the **fallback**, if
//! the settings say so. It is loaded when that is first needed; those who ask meanwhile have the server's error. Where the
//! embedder computes by the same arithmetic its vectors and this process's are the same bits, so nobody can tell. Once the
//! server is back it is asked again.
//!
//! A program that has the model anyway, as the embedder has, makes its client with [`Embedder::of_encoder`]: that has L1 and
//! the model, and nothing else.

mod by_model;
mod circuit;
mod error;
mod fallback;
mod metrics;
mod remote;
mod server;
mod settings;
mod shared;

use std::sync::Arc;
use std::time::Duration;

use jangbogo_embedding::cache::{CacheOutcome, VectorCache};
use jangbogo_embedding::registry::ModelsError;
use jangbogo_embedding::text::{MAX_TEXT_BYTES, Prompts, Purpose, TextKey, check_text};
use jangbogo_embeddings_server::encoder::{Encoder, EncoderArgs, EncoderMetrics};
use jangbogo_openai::AttemptLimits;
use jangbogo_platform::config::Connections;
use jangbogo_resilience::breaker::Thresholds;
use jangbogo_telemetry::causes;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use self::circuit::Circuit;
use self::fallback::{FallbackModel, Load};
use self::remote::{Limits, Remote};
use self::server::Server;
use self::shared::SharedCache;

pub use self::by_model::Embedders;
pub use self::error::{EmbedError, EmbedderError};
pub use self::metrics::EmbedderMetrics;
pub use self::settings::{EmbedderArgs, Fallback, RemoteArgs};
pub use jangbogo_openai::ApiKey;

/// The time limit of whoever would only ask again, and have what was given up computed anew.
pub const LOW_PRIORITY_TIMEOUT: Duration = Duration::from_mins(5);
/// The pause before a second attempt, which doubles, and the longest one.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// A vector of length 1.
type Vector = Arc<[f32]>;

/// Where a vector was had from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Redis,
    Remote,
    InProcess,
}

impl Source {
    /// What metrics call it.
    const fn name(self) -> &'static str {
        match self {
            Self::Redis => "redis",
            Self::Remote => "remote",
            Self::InProcess => "in-process",
        }
    }
}

/// What gives vectors that nobody has yet.
#[derive(Clone, Debug)]
enum Model {
    InProcess(Encoder),
    Remote { remote: Remote, fallback: Option<FallbackModel>, shared: Option<SharedCache> },
}

/// Gives texts' vectors, each of length 1. Clones share all they know.
#[derive(Clone, Debug)]
pub struct Embedder {
    model: Model,
    prompts: Prompts,
    similarity_threshold: Option<f32>,
    vectors: VectorCache<(Vector, Source)>,
    time_limit: Duration,
    metrics: EmbedderMetrics,
}

impl Embedder {
    /// A client of one model of the server that the settings name. Its vectors are shared in Redis, if the process has one.
    /// Whether either answers is not asked. Within a Tokio runtime.
    ///
    /// # Errors
    /// When an address or key cannot be used.
    pub fn of_server(
        args: &EmbedderArgs,
        model: &str,
        redis: Option<&Connections>,
        metrics: EmbedderMetrics,
        encoder_metrics: EncoderMetrics,
    ) -> Result<Self, EmbedderError> {
        let shared = redis.map(SharedCache::start).transpose()?;
        Self::sharing(args, model, shared, metrics, encoder_metrics)
    }

    fn sharing(
        args: &EmbedderArgs,
        model: &str,
        shared: Option<SharedCache>,
        metrics: EmbedderMetrics,
        encoder_metrics: EncoderMetrics,
    ) -> Result<Self, EmbedderError> {
        let wire = jangbogo_openai::Server::new(&args.url, args.remote.api_key.as_ref())?;
        let load = (args.remote.fallback == Fallback::InProcess).then(|| load(&args.encoder, model, encoder_metrics));
        let tuning = Tuning { thresholds: circuit::THRESHOLDS, pauses: PAUSES, load, keep: fallback::KEEP, shared };
        Ok(Self::of_wire(wire, model, args, tuning, metrics))
    }

    fn of_wire(
        wire: jangbogo_openai::Server,
        model: &str,
        args: &EmbedderArgs,
        tuning: Tuning,
        metrics: EmbedderMetrics,
    ) -> Self {
        let spec = match args.encoder.models.find(model) {
            Ok(spec) => Some(spec),
            // One that only its server knows.
            Err(ModelsError::Unknown { .. }) => None,
            Err(error) => {
                warn!(error = %causes(&error), model, "texts go without the model's prompts: what was added cannot be read");
                None
            }
        };
        let prompts = spec.map_or(Prompts::NONE, |spec| spec.prompts);
        let server = Server::new(wire, model, prompts);
        let vectors = VectorCache::new(server.model(), args.cache);
        let thresholds = Thresholds { probe_limit: args.time_limit(), ..tuning.thresholds };
        let circuit = Arc::new(Circuit::new(thresholds, server.model(), tuning.shared.clone(), metrics.clone()));
        let fallback = tuning.load.map(|load| FallbackModel::new(load, tuning.keep, Arc::clone(&circuit)));
        let RemoteArgs { max_in_flight: in_flight, max_waiting: waiting, attempts, .. } = args.remote;
        let (min_pause, max_pause) = tuning.pauses;
        let limits = Limits { in_flight, waiting, attempts: AttemptLimits { attempts, min_pause, max_pause } };
        let remote = Remote::start(server, circuit, limits, metrics.clone());
        let model = Model::Remote { remote, fallback, shared: tuning.shared };
        Self {
            model,
            prompts,
            similarity_threshold: spec.map(|spec| spec.similarity_threshold),
            vectors,
            time_limit: args.time_limit(),
            metrics,
        }
    }

    /// A client of a model that is in this process already, which keeps the vectors of so many texts in memory.
    #[must_use]
    pub fn of_encoder(encoder: Encoder, cached_texts: u64, time_limit: Duration, metrics: EmbedderMetrics) -> Self {
        let vectors = VectorCache::new(encoder.model(), cached_texts);
        let prompts = encoder.prompts();
        Self { model: Model::InProcess(encoder), prompts, similarity_threshold: None, vectors, time_limit, metrics }
    }

    /// The model's id: what events record.
    #[must_use]
    pub fn model(&self) -> &str {
        match &self.model {
            Model::InProcess(encoder) => encoder.model(),
            Model::Remote { remote, .. } => remote.model(),
        }
    }

    /// The cosine from which on a text is near what is searched for; none of a model that only its server knows, and none in
    /// a client of an encoder, by which nobody searches.
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
        // No model reads so far, and a server refuses what a prompt makes too long.
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

    /// The vector of a text that this process has not.
    async fn compute(&self, key: TextKey, text: &str, deadline: Instant) -> Result<(Vector, Source), EmbedError> {
        let (remote, fallback, shared) = match &self.model {
            Model::InProcess(encoder) => return Ok((encoder.embed(text).await?.vector, Source::InProcess)),
            Model::Remote { remote, fallback, shared } => (remote, fallback, shared),
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
                let Some(encoder) = fallback.and_then(FallbackModel::encoder) else { return Err(error) };
                (encoder.embed(text).await?.vector, Source::InProcess)
            }
        };
        if let Some(shared) = shared {
            shared.put(key, &vector);
        }
        Ok((vector, source))
    }
}

/// What the settings do not say: tests have it otherwise.
struct Tuning {
    thresholds: Thresholds,
    pauses: (Duration, Duration),
    load: Option<Load>,
    keep: Duration,
    shared: Option<SharedCache>,
}

/// Loads the model of this name.
fn load(args: &EncoderArgs, model: &str, metrics: EncoderMetrics) -> Load {
    let (args, model) = (args.clone(), model.to_owned());
    Arc::new(move || {
        let (args, model, metrics) = (args.clone(), model.clone(), metrics.clone());
        Box::pin(async move { Encoder::load(&args, &model, metrics).await })
    })
}

#[cfg(test)]
mod tests;
