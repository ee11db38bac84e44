//! Logs, metrics and readiness checks of a process.

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

/// Metrics (`/metrics`) and readiness checks (`/readyz`) of a process. Clones share both.
#[derive(Clone, Debug)]
pub struct Telemetry {
    pub metrics: Metrics,
    pub readiness: Readiness,
}

impl Telemetry {
    /// Registers the metrics of the process itself; there are no checks yet.
    ///
    /// # Errors
    /// When a metric name is invalid, which is a bug.
    pub fn new() -> Result<Self, prometheus::Error> {
        Ok(Self { metrics: Metrics::new()?, readiness: Readiness::default() })
    }
}

/// An error and its chain of sources on one line. The workspace's errors do not print their sources themselves.
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
