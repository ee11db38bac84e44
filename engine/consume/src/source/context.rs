//! Callbacks of the consumer. They record rebalances and statistics; the poller acts on them.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use jangbogo_log::Partition;
use jangbogo_platform::config::Connections;
use jangbogo_platform::kafka::QuietContext;
use jangbogo_platform::namespace::Namespace;
use jangbogo_telemetry::CheckHandle;
use prometheus::{IntCounter, IntGaugeVec};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::debug;

use super::SourceOptions;

/// A rebalance that the group waits for the consumer to confirm.
pub(super) struct Rebalance {
    /// True if the partitions are assigned, false if they are revoked.
    pub(super) assign: bool,
    pub(super) list: TopicPartitionList,
}

impl Rebalance {
    pub(super) fn confirm(&self, consumer: &BaseConsumer<Context>) -> KafkaResult<()> {
        if self.assign { consumer.incremental_assign(&self.list) } else { consumer.incremental_unassign(&self.list) }
    }
}

/// State of the callbacks of librdkafka.
pub(super) struct Context {
    rebalances: Mutex<Vec<Rebalance>>,
    rebalances_total: IntCounter,
    pub(super) stopping: Arc<AtomicBool>,
    pub(super) namespace: Namespace,
    pub(super) discarded: Arc<HashSet<(Partition, i64)>>,
    pub(super) lag: IntGaugeVec,
    check: CheckHandle,
    folded: Mutex<BTreeMap<Partition, i64>>,
}

impl Context {
    pub(super) fn new(connections: &Connections, options: SourceOptions, stopping: Arc<AtomicBool>) -> Self {
        Self {
            rebalances: Mutex::default(),
            rebalances_total: options.rebalances,
            stopping,
            namespace: connections.namespace.clone(),
            discarded: options.discarded,
            lag: options.lag,
            check: options.check,
            folded: Mutex::default(),
        }
    }

    /// Rebalances since the last call.
    pub(super) fn take_rebalances(&self) -> Vec<Rebalance> {
        std::mem::take(&mut *self.rebalances.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn partition(&self, topic: &str, number: i32) -> Option<Partition> {
        Some(Partition { topic: self.namespace.topic_of(topic)?, number })
    }

    pub(super) fn partitions(&self, list: &TopicPartitionList) -> Vec<Partition> {
        list.elements().iter().filter_map(|element| self.partition(element.topic(), element.partition())).collect()
    }

    /// Next offset to fold of each assigned partition.
    pub(super) fn folded(&self) -> std::sync::MutexGuard<'_, BTreeMap<Partition, i64>> {
        self.folded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Context {
    fn stats(&self, statistics: Statistics) {
        if statistics.brokers.values().any(|broker| broker.state == "UP") {
            self.check.ok();
        } else {
            self.check.failing("no kafka broker is reachable");
        }
        let folded = self.folded();
        for (partition, next_offset) in folded.iter() {
            let high = statistics
                .topics
                .get(&self.namespace.topic(partition.topic))
                .and_then(|topic| topic.partitions.get(&partition.number))
                .map_or(-1, |statistics| statistics.hi_offset);
            if high >= 0 {
                self.lag
                    .with_label_values(&[partition.topic.name(), &partition.number.to_string()])
                    .set((high - next_offset).max(0));
            }
        }
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        QuietContext.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        QuietContext.error(error, reason);
    }
}

impl ConsumerContext for Context {
    /// Records the rebalance: the group waits until the poller confirms it, once the worker is ready.
    fn rebalance(&self, consumer: &BaseConsumer<Self>, kind: RDKafkaRespErr, list: &mut TopicPartitionList) {
        let assign = kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        let rebalance = Rebalance { assign, list: list.clone() };
        self.rebalances_total.inc();
        if !self.stopping.load(Ordering::Acquire) {
            self.rebalances.lock().unwrap_or_else(PoisonError::into_inner).push(rebalance);
            return;
        }
        // While the consumer closes, the worker has ended.
        if let Err(error) = rebalance.confirm(consumer) {
            debug!(%error, "rebalance while closing");
        }
    }
}
