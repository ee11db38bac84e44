//! Prometheus metrics declared as structs: a metric's name is its field, its help text the field's documentation.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
    TextEncoder,
};

use super::process::ProcessCollector;

/// Bucket bounds of duration histograms, in seconds.
pub const SECONDS_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
/// Bucket bounds of batch-size histograms, in events.
pub const BATCH_BUCKETS: &[f64] = &[1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0, 5000.0];

/// A kind of metric that [`metrics!`](crate::metrics) can declare.
pub trait Kind: Collector + Clone + Sized + 'static {
    /// Creates the metric without registering it. Kinds without labels or buckets ignore those parameters.
    ///
    /// # Errors
    /// When the name or a label is invalid.
    fn create(options: Opts, labels: &[&str], buckets: &[f64]) -> Result<Self, prometheus::Error>;
}

macro_rules! kinds {
    ($($kind:ty: |$options:ident, $labels:ident, $buckets:ident| $create:expr;)+) => {
        $(impl Kind for $kind {
            fn create($options: Opts, $labels: &[&str], $buckets: &[f64]) -> Result<Self, prometheus::Error> {
                $create
            }
        })+
    };
}

kinds! {
    IntCounter: |options, _labels, _buckets| Self::with_opts(options);
    IntCounterVec: |options, labels, _buckets| Self::new(options, labels);
    IntGauge: |options, _labels, _buckets| Self::with_opts(options);
    IntGaugeVec: |options, labels, _buckets| Self::new(options, labels);
    Gauge: |options, _labels, _buckets| Self::with_opts(options);
    Histogram: |options, _labels, buckets| Self::with_opts(HistogramOpts::from(options).buckets(buckets.to_vec()));
    HistogramVec: |options, labels, buckets| {
        Self::new(HistogramOpts::from(options).buckets(buckets.to_vec()), labels)
    };
}

/// Declares a struct of metrics with `register(&Metrics, constant_labels)`. A field `backlog` is `jangbogo_backlog`;
/// its documentation is the help text. Label names and a histogram's bucket bounds follow the kind, if any:
///
/// ```
/// jangbogo_telemetry::metrics! {
///     /// Metrics of the gateway.
///     pub struct GatewayMetrics {
///         /// Commands accepted
///         commands_total: prometheus::IntCounterVec, labels ["command"];
///         /// Time to answer a command, in seconds
///         command_seconds: prometheus::Histogram, buckets jangbogo_telemetry::SECONDS_BUCKETS;
///     }
/// }
/// let metrics = jangbogo_telemetry::Metrics::new()?;
/// let gateway = GatewayMetrics::register(&metrics, &[])?;
/// gateway.commands_total.with_label_values(&["place-order"]).inc();
/// # Ok::<(), prometheus::Error>(())
/// ```
#[macro_export]
macro_rules! metrics {
    (
        $(#[$attribute:meta])*
        pub struct $name:ident {
            $(
                #[doc = $help:literal]
                $metric:ident: $kind:ty $(, labels [$($label:literal),+])? $(, buckets $buckets:expr)?;
            )+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $(#[doc = $help] pub $metric: $kind,)+
        }

        impl $name {
            /// Registers the metrics, each with the constant labels.
            ///
            /// # Errors
            /// When metrics of these names and label values are already registered.
            pub fn register(
                metrics: &$crate::Metrics,
                constant_labels: &[(&str, &str)],
            ) -> Result<Self, $crate::MetricsError> {
                Ok(Self {
                    $($metric: metrics.register::<$kind>(
                        stringify!($metric),
                        $help,
                        constant_labels,
                        &[$($($label),+)?],
                        // A metric without bucket bounds is no histogram.
                        [$($buckets,)? &[]][0],
                    )?,)+
                })
            }
        }
    };
}

metrics! {
    /// Metrics of one processor. Every metric has the label `processor`.
    pub struct ProcessorMetrics {
        /// Consumer lag: events of the partition that are not folded yet
        lag_events: IntGaugeVec, labels ["topic", "partition"];
        /// Rebalances: partitions assigned or revoked by the consumer group
        rebalances_total: IntCounter;
        /// Distinct events folded
        events_folded_total: IntCounterVec, labels ["topic"];
        /// Duplicate events skipped: one of the same id was folded before
        duplicates_skipped_total: IntCounter;
        /// Records sent to the dead-letter topic
        dead_letters_total: IntCounterVec, labels ["topic"];
        /// Time to fold and commit a batch, in seconds
        batch_seconds: Histogram, buckets SECONDS_BUCKETS;
        /// Events in a batch
        batch_events: Histogram, buckets BATCH_BUCKETS;
        /// Commits rejected by the fencing token: another worker has taken over the partition
        fenced_total: IntCounter;
        /// Retries because a server was unavailable or rejected the request
        retries_total: IntCounterVec, labels ["server"];
        /// Changed rows that are not published yet
        publish_backlog: IntGauge;
        /// Duration of a publishing round, in seconds
        publish_round_seconds: Histogram, buckets SECONDS_BUCKETS;
        /// Values written to Redis and Elasticsearch
        published_entries_total: IntCounterVec, labels ["view"];
        /// Connections to Postgres, by state: `in_use` or `idle`
        pool_connections: IntGaugeVec, labels ["state"];
    }
}

/// Metrics registry of a process. Clones share it.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    processors: Arc<Mutex<HashMap<String, ProcessorMetrics>>>,
}

impl Metrics {
    /// Registers the metrics of the process itself: memory, processor time, open files.
    ///
    /// # Errors
    /// When a metric name is invalid, which is a bug.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::new()?))?;
        Ok(Self { registry, processors: Arc::default() })
    }

    /// Metrics of a processor, shared by all its workers in this process.
    ///
    /// # Errors
    /// When a metric name is invalid, which is a bug.
    pub fn processor(&self, processor: &str) -> Result<ProcessorMetrics, prometheus::Error> {
        let mut processors = self.processors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(metrics) = processors.get(processor) {
            return Ok(metrics.clone());
        }
        let metrics = ProcessorMetrics::register(self, &[("processor", processor)])?;
        processors.insert(processor.to_owned(), metrics.clone());
        Ok(metrics)
    }

    /// Registers one metric as `jangbogo_<name>`; [`metrics!`](crate::metrics) calls it.
    ///
    /// # Errors
    /// When a metric of this name and these constant labels is already registered.
    pub fn register<M: Kind>(
        &self,
        name: &str,
        help: &str,
        constant_labels: &[(&str, &str)],
        labels: &[&str],
        buckets: &[f64],
    ) -> Result<M, prometheus::Error> {
        let constant_labels = constant_labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned()));
        let options = Opts::new(name, help.trim()).namespace("jangbogo").const_labels(constant_labels.collect());
        let metric = M::create(options, labels, buckets)?;
        self.registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }

    /// Every metric in Prometheus' text format.
    ///
    /// # Errors
    /// When two metrics of one name differ in their labels, which is a bug.
    pub fn text(&self) -> Result<String, prometheus::Error> {
        TextEncoder::new().encode_to_string(&self.registry.gather())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Metrics").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_help_type_and_labels() {
        let metrics = Metrics::new().unwrap();
        let processor = metrics.processor("recommendation").unwrap();
        processor.lag_events.with_label_values(&["order-completed", "3"]).set(17);
        processor.batch_events.observe(250.0);
        let text = metrics.text().unwrap();
        for line in [
            "# HELP jangbogo_lag_events Consumer lag: events of the partition that are not folded yet",
            "# TYPE jangbogo_lag_events gauge",
            r#"jangbogo_lag_events{partition="3",processor="recommendation",topic="order-completed"} 17"#,
            "# TYPE jangbogo_batch_events histogram",
            r#"jangbogo_batch_events_bucket{processor="recommendation",le="300"} 1"#,
            r#"jangbogo_fenced_total{processor="recommendation"} 0"#,
            "# TYPE process_cpu_seconds_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "no line {line:?} in\n{text}");
        }
    }

    #[test]
    fn workers_of_a_processor_share_its_metrics_and_processors_do_not() {
        let metrics = Metrics::new().unwrap();
        metrics.processor("recommendation").unwrap().fenced_total.inc();
        metrics.processor("recommendation").unwrap().fenced_total.inc();
        assert_eq!(metrics.processor("recommendation").unwrap().fenced_total.get(), 2);
        assert_eq!(metrics.processor("analytics").unwrap().fenced_total.get(), 0);
        assert!(metrics.text().unwrap().contains(r#"jangbogo_fenced_total{processor="analytics"} 0"#));
    }
}
