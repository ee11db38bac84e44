//! Embedding inference: models with Candle or in 8-bit integers, threads that batch, the HTTP service, and models' download
//! and import.

pub mod adding;
pub mod encoder;
pub mod fetch;
pub mod model;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
