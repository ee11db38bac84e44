//! Everything between a reactor that wants an answer from a large language model and any OpenAI-compatible server.
//!
//! [`LanguageModel::complete_json`] gives a value that keeps a JSON schema, [`LanguageModel::stream_text`] gives text and
//! hands its pieces over as they come. Neither ever gives half an answer: what was cut off, killed or stalled is a
//! [`CallError`], and whoever calls falls back to the local analyser.
//!
//! What a call passes on its way, in this order; the first two cost nothing and are told apart by their error:
//!
//! 1. the **bulkhead**: so many calls at a time, nobody waits for a place;
//! 2. the **token budget** and the **circuit breaker**, before every attempt;
//! 3. the **attempt**, which ends at the call's deadline at the latest;
//! 4. **validation** of what came;
//! 5. **retries**, with growing pauses or those the server asked for, never beyond the deadline, never after an invalid
//!    argument, and never once a piece of the answer was handed over.
//!
//! A caller that drops a call ends it: the connection is closed, the place in the bulkhead is free.

mod answer;
mod budget;
mod call;
mod chat;
mod completion;
mod error;
mod metrics;
mod model;
mod prompt;
mod quote;
mod retry;
mod schema;
mod settings;
#[cfg(feature = "testing")]
pub mod testing;

pub use self::completion::{Completion, Usage};
pub use self::error::{CallError, SetupError};
pub use self::metrics::LanguageModelMetrics;
pub use self::model::LanguageModel;
pub use self::prompt::{Prompt, Role};
pub use self::quote::{DATA_RULE, data_block};
pub use self::schema::{Schema, SchemaError};
pub use self::settings::{Settings, Temperature};
pub use jangbogo_openai::ApiKey;
