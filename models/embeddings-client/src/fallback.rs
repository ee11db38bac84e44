//! The model in this process, for as long as the server is away.
//!
//! It is loaded when it is first needed, once, in the background; until then there is none. It stays while the server is
//! away, and goes some minutes after it was last needed. One that cannot be loaded is not tried again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use jangbogo_embeddings_server::encoder::{Encoder, StartError};
use jangbogo_telemetry::causes;
use tracing::{info, warn};

use super::circuit::Circuit;

/// How long a model that nobody needs any more is kept.
pub(super) const KEEP: Duration = Duration::from_mins(5);
/// How often that is looked at, while there is a model.
const LOOKS: u32 = 10;

/// Loads the model into this process.
pub(super) type Load = Arc<dyn Fn() -> BoxFuture<'static, Result<Encoder, StartError>> + Send + Sync>;

/// The model, if it is there. Clones share it.
#[derive(Clone)]
pub(super) struct FallbackModel(Arc<Inner>);

struct Inner {
    load: Load,
    keep: Duration,
    circuit: Arc<Circuit>,
    state: Mutex<State>,
}

enum State {
    Absent,
    Loading,
    Loaded { encoder: Encoder, needed: Instant },
    Impossible,
}

impl FallbackModel {
    /// A model that is loaded by `load`, and kept so long after it was last needed.
    pub(super) fn new(load: Load, keep: Duration, circuit: Arc<Circuit>) -> Self {
        Self(Arc::new(Inner { load, keep, circuit, state: Mutex::new(State::Absent) }))
    }

    /// The model; none while it is loaded, which this begins, and where it cannot be.
    pub(super) fn encoder(&self) -> Option<Encoder> {
        let mut state = self.0.state();
        match &mut *state {
            State::Loaded { encoder, needed } => {
                *needed = Instant::now();
                Some(encoder.clone())
            }
            State::Absent => {
                *state = State::Loading;
                tokio::spawn(load_and_let_go(Arc::downgrade(&self.0), Arc::clone(&self.0.load)));
                None
            }
            State::Loading | State::Impossible => None,
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the model go if the server is back and nobody has needed it for a while.
    fn let_go(&self) -> bool {
        let mut state = self.state();
        match &*state {
            State::Loaded { needed, .. } if self.circuit.is_closed() && needed.elapsed() >= self.keep => {
                *state = State::Absent;
                info!("the embeddings server is back: the embedding model in this process is let go");
                true
            }
            _ => false,
        }
    }
}

/// Loads the model, and lets it go when it is time, or when the client is gone.
async fn load_and_let_go(of: Weak<Inner>, load: Load) {
    let loaded = load().await;
    let Some(inner) = of.upgrade() else { return };
    match loaded {
        Ok(encoder) => {
            info!(model = encoder.model(), "vectors are computed in this process while the embeddings server is away");
            *inner.state() = State::Loaded { encoder, needed: Instant::now() };
        }
        Err(error) => {
            warn!(error = %causes(&error), "no vectors while the embeddings server is away: the model cannot be loaded into this process");
            *inner.state() = State::Impossible;
            return;
        }
    }
    let look = inner.keep / LOOKS;
    drop(inner);
    loop {
        tokio::time::sleep(look).await;
        if of.upgrade().is_none_or(|inner| inner.let_go()) {
            return;
        }
    }
}

impl fmt::Debug for FallbackModel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.state() {
            State::Absent => "absent",
            State::Loading => "loading",
            State::Loaded { .. } => "loaded",
            State::Impossible => "impossible",
        };
        formatter.debug_tuple("FallbackModel").field(&state).finish()
    }
}
