//! HTTP client of any server with OpenAI's API: one request and its response.
//!
//! A [`Server`] sends any serialisable request, and deserialises the response. It does not retry, and sets no time
//! limit but that of connecting. An [`Error`] distinguishes transient failures (unreachable, rate limited, server
//! errors) from others; [`Attempts`] counts retries, and gives their backoff.
//!
//! No log, error or `Debug` shows keys or requests; of responses only error messages are shown.

mod attempts;
mod endpoint;
mod error;
mod server;
mod tls;

pub use self::attempts::{AttemptLimits, Attempts};
pub use self::endpoint::{ApiKey, OPENAI};
pub use self::error::{Error, SetupError, is_servers_fault};
pub use self::server::Server;
pub use self::tls::client_for;
