//! Client behaviour towards a server that fails: circuit breaker, backoff, jitter.

pub mod breaker;
pub mod retry;
