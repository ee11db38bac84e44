//! What a process says about itself: logs, metrics, liveness and readiness.

mod logging;
mod metrics;
mod process;
mod readiness;

use std::error::Error;
use std::fmt;

pub use logging::{LogFormat, LoggingError, init_logging};
pub use metrics::{BATCH_BUCKETS, Kind, Metrics, ProcessorMetrics, SECONDS_BUCKETS};
pub use prometheus::Error as MetricsError;
pub use readiness::{CheckHandle, CheckReport, Readiness, ReadinessReport};
pub use tracing::level_filters::LevelFilter;

/// A process's metrics and readiness. Clones share both.
#[derive(Clone, Debug)]
pub struct Telemetry {
    /// What `/metrics` shows.
    pub metrics: Metrics,
    /// What `/readyz` shows.
    pub readiness: Readiness,
}

impl Telemetry {
    /// Metrics of the process itself and no check yet.
    ///
    /// # Errors
    /// When a metric's name is refused, which is a mistake in the code.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { metrics: Metrics::new()?, readiness: Readiness::default() })
    }
}

/// An error and what caused it, on one line: our errors do not print their sources themselves.
#[must_use]
pub fn causes(error: &(dyn Error + 'static)) -> impl fmt::Display {
    let mut line = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let text = cause.to_string();
        // Other crates' errors often print their source already.
        if !line.ends_with(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}
