//! Client of a large language model behind an OpenAI-compatible server.
//!
//! [`LanguageModel::complete_json`] gives a value that is valid against a JSON schema, [`LanguageModel::stream_text`]
//! gives text, and its chunks as they arrive. Neither gives a partial answer: one that is cut off or stalled is a
//! [`CallError`], after which callers fall back to local rules. A call passes, in this order:
//!
//! 1. the **bulkhead**: a limit on calls in flight; one more is rejected at once;
//! 2. the **token budget** (a token bucket) and the **circuit breaker**, before every attempt. Rejections cost nothing;
//! 3. the **attempt**, within the call's deadline;
//! 4. **validation** of the answer;
//! 5. **retries**, with exponential backoff or the server's `Retry-After`, within the deadline; never after an invalid
//!    argument, and never once a chunk of the answer was handed over.
//!
//! Dropping a call cancels it: the connection is closed, and the bulkhead has room again.

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
