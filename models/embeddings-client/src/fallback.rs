//! The local model that a client falls back to while the server is unavailable.
//!
//! It is loaded on first need, once, in the background; until then there is none. It is dropped when the server has
//! recovered and nothing has used it for some minutes. A failed load is not repeated.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use jangbogo_embedding::{LoadLocalModel, LocalModel};
use jangbogo_telemetry::causes;
use tracing::{info, warn};

use super::circuit::Circuit;

/// A model is dropped this long after its last use.
pub(super) const KEEP: Duration = Duration::from_mins(5);
/// Checks for an unused model in that time.
const CHECKS: u32 = 10;

/// Clones share the model.
#[derive(Clone)]
pub(super) struct FallbackModel(Arc<Inner>);

struct Inner {
    load: LoadLocalModel,
    name: Arc<str>,
    keep: Duration,
    circuit: Arc<Circuit>,
    state: Mutex<State>,
}

enum State {
    Absent,
    Loading,
    Loaded { model: Arc<dyn LocalModel>, last_used: Instant },
    Failed,
}

impl FallbackModel {
    /// The model of a name, which `load` loads, and which is dropped `keep` after its last use.
    pub(super) fn new(load: LoadLocalModel, name: Arc<str>, keep: Duration, circuit: Arc<Circuit>) -> Self {
        Self(Arc::new(Inner { load, name, keep, circuit, state: Mutex::new(State::Absent) }))
    }

    /// The model, if it is loaded; starts loading it if that was not tried yet.
    pub(super) fn get(&self) -> Option<Arc<dyn LocalModel>> {
        let mut state = self.0.state();
        match &mut *state {
            State::Loaded { model, last_used } => {
                *last_used = Instant::now();
                Some(Arc::clone(model))
            }
            State::Absent => {
                *state = State::Loading;
                tokio::spawn(load_and_drop_unused(Arc::downgrade(&self.0), (self.0.load)(&self.0.name)));
                None
            }
            State::Loading | State::Failed => None,
        }
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Drops the model if the server has recovered and nothing has used the model for a while.
    fn drop_unused(&self) -> bool {
        let mut state = self.state();
        match &*state {
            State::Loaded { last_used, .. } if self.circuit.is_closed() && last_used.elapsed() >= self.keep => {
                *state = State::Absent;
                info!(model = &*self.name, "embeddings server recovered: embedding model in this process dropped");
                true
            }
            _ => false,
        }
    }
}

/// Loads the model, and drops it when it is unused or the client was dropped.
async fn load_and_drop_unused(
    fallback: Weak<Inner>,
    load: impl Future<Output = Result<Arc<dyn LocalModel>, jangbogo_embedding::LocalModelError>>,
) {
    let loaded = load.await;
    let Some(inner) = fallback.upgrade() else { return };
    match loaded {
        Ok(model) => {
            info!(
                model = model.name(),
                "embeddings server unavailable: falling back to the embedding model in this process"
            );
            *inner.state() = State::Loaded { model, last_used: Instant::now() };
        }
        Err(error) => {
            warn!(
                error = %causes(&*error),
                model = &*inner.name,
                "embedding model cannot be loaded: no fallback while the embeddings server is unavailable"
            );
            *inner.state() = State::Failed;
            return;
        }
    }
    let pause = inner.keep / CHECKS;
    drop(inner);
    loop {
        tokio::time::sleep(pause).await;
        if fallback.upgrade().is_none_or(|inner| inner.drop_unused()) {
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
            State::Failed => "failed",
        };
        formatter.debug_tuple("FallbackModel").field(&state).finish()
    }
}
