//! OpenAI's wire: one request and its answer, of any server that speaks OpenAI's protocol.
//!
//! A [`Server`] sends a request as it is given and reads the answer as what it is asked for. It knows nothing of what the
//! answer says, never asks twice, and sets no time limit but for connecting. An [`Error`] tells what to do: a server that
//! is unreachable, or limits the rate of requests, may be asked again, a request that it refuses may not. [`Attempts`] says
//! how often, and after which pauses.
//!
//! Keys show nowhere. Of what is sent nothing shows; of an answer only what a server says when it refuses.

mod attempts;
mod endpoint;
mod error;
mod server;
mod tls;

pub use self::attempts::{AttemptLimits, Attempts};
pub use self::endpoint::{ApiKey, OPENAI};
pub use self::error::{Error, SetupError, is_servers_fault};
pub use self::server::{ReplyChunks, Server};
pub use self::tls::client_of;
