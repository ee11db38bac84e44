//! Embedding inference: models by Candle or in 8-bit integers, batching threads, the HTTP service, and the download and
//! import of models.

pub mod encoder;
pub mod fetch;
pub mod import;
pub mod model;
pub mod service;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
