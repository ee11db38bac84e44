//! Circuit breaker and backoff: how a client behaves towards a server that fails.

pub mod breaker;
pub mod retry;
