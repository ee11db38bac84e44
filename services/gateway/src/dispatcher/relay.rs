//! Relay of one batch: select, send, delete.

use jangbogo_events::Encoded;
use jangbogo_platform::config::Connections;
use jangbogo_telemetry::causes;
use rdkafka::error::KafkaError;
use sqlx::PgPool;
use tracing::warn;

use super::producer::{Delivery, PROBED_TOPIC, Producer};
use super::row::OutboxRow;
use super::{Checks, DispatcherMetrics, lease};

/// Limit of rows in a batch.
const MAX_ROWS: i64 = 500;
/// Limit of a batch in bytes, which bounds memory; the row that exceeds it is the last of its batch.
const MAX_BYTES: i64 = 16 * 1024 * 1024;

/// Reason to retry a batch.
#[derive(Debug, thiserror::Error)]
pub(super) enum RelayError {
    #[error("postgres query failed")]
    Postgres(#[from] sqlx::Error),
    #[error("kafka did not acknowledge all rows of a batch")]
    Kafka(#[from] KafkaError),
    #[error("kafka rejects a row among {0}: they are sent one by one to find it")]
    OneByOne(usize, #[source] KafkaError),
}

/// Moves rows from the outbox to Kafka.
pub(super) struct Relay {
    pool: PgPool,
    connections: Connections,
    holder: String,
    metrics: DispatcherMetrics,
    checks: Checks,
    producer: Option<Producer>,
    /// Number of rows still to be sent one by one, because Kafka rejects one of them.
    one_by_one: usize,
}

impl Relay {
    pub(super) fn new(
        pool: PgPool,
        connections: &Connections,
        holder: String,
        metrics: DispatcherMetrics,
        checks: Checks,
    ) -> Self {
        Self { pool, connections: connections.clone(), holder, metrics, checks, producer: None, one_by_one: 0 }
    }

    /// Relays the head of the outbox; returns the number of rows that left it: 0 if the lease is not held.
    pub(super) async fn batch(&mut self) -> Result<usize, RelayError> {
        let timer = self.metrics.outbox_batch_seconds.start_timer();
        let rows = self.select().await?;
        self.checks.postgres.ok();
        if rows.is_empty() {
            timer.stop_and_discard();
            return Ok(0);
        }
        self.metrics.outbox_batch_rows.observe(f64::from(u32::try_from(rows.len()).unwrap_or(u32::MAX)));
        let mut sequences = Vec::with_capacity(rows.len());
        let mut records = Vec::with_capacity(rows.len());
        for row in &rows {
            match row.encode() {
                Ok(encoded) => {
                    sequences.push(row.sequence);
                    records.push((self.connections.namespace.topic(encoded.topic), encoded));
                }
                Err(reason) => self.refuse(row.sequence, &reason).await?,
            }
        }
        self.send(&sequences, &records).await?;
        timer.observe_duration();
        self.one_by_one = self.one_by_one.saturating_sub(rows.len());
        Ok(rows.len())
    }

    /// Reports a failure to the readiness check of its server.
    pub(super) fn report(&self, error: &RelayError) {
        match error {
            RelayError::Postgres(_) => self.checks.postgres.failing(causes(error)),
            RelayError::Kafka(_) => self.checks.kafka.failing(causes(error)),
            RelayError::OneByOne(..) => {
                warn!(error = %causes(error), "record rejected by kafka, such as one that exceeds max.message.bytes");
            }
        }
    }

    /// Checks Kafka for `/readyz`.
    pub(super) async fn probe(&mut self) {
        let topic = self.connections.namespace.topic(PROBED_TOPIC);
        let outcome = match self.producer() {
            Ok(producer) => producer.probe(topic).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(()) => self.checks.kafka.ok(),
            Err(error) => self.checks.kafka.failing(causes(&error)),
        }
    }

    /// Drops the producer and what it has not acknowledged; the next batch selects those rows again.
    pub(super) async fn discard_producer(&mut self) {
        if let Some(producer) = self.producer.take() {
            producer.discard().await;
        }
    }

    fn producer(&mut self) -> Result<&Producer, KafkaError> {
        match &mut self.producer {
            Some(producer) => Ok(producer),
            none => Ok(none.insert(Producer::new(&self.connections)?)),
        }
    }

    async fn select(&self) -> Result<Vec<OutboxRow>, sqlx::Error> {
        let limit = if self.one_by_one > 0 { 1 } else { MAX_ROWS };
        sqlx::query_as(
            r#"SELECT sequence, topic, key, type, schema_version, text AS data, event_id, source, causation_id,
                      correlation_id, traceparent, subject_key_id,
                      to_char(event_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS event_time,
                      event_time > clock_timestamp() + interval '1 hour' AS ahead
               FROM (SELECT *, data::text AS text,
                            sum(octet_length(data::text)) OVER (ORDER BY sequence) - octet_length(data::text) AS before
                     FROM (SELECT * FROM outbox
                           WHERE EXISTS (SELECT FROM lease
                                         WHERE name = $1 AND holder = $2 AND expires_at > clock_timestamp())
                           ORDER BY sequence LIMIT $3) AS head) AS measured
               WHERE before < $4
               ORDER BY sequence"#,
        )
        .bind(lease::NAME)
        .bind(&self.holder)
        .bind(limit)
        .bind(MAX_BYTES)
        .fetch_all(&self.pool)
        .await
    }

    async fn send(&mut self, sequences: &[i64], records: &[(String, Encoded)]) -> Result<(), RelayError> {
        if records.is_empty() {
            return Ok(());
        }
        let check = self.checks.kafka.clone();
        let deliveries = self.producer()?.send(records, &check).await;
        let mut sent = Vec::with_capacity(records.len());
        let mut failed = None;
        let mut rejected = None;
        for ((sequence, (_, encoded)), delivery) in sequences.iter().zip(records).zip(deliveries) {
            match delivery {
                Delivery::Acknowledged => {
                    self.metrics.outbox_sent_total.with_label_values(&[encoded.topic.name()]).inc();
                    sent.push(*sequence);
                }
                Delivery::Rejected(error) => rejected = rejected.or(Some(error)),
                Delivery::Failed(error) => failed = failed.or(Some(error)),
            }
        }
        self.delete(&sent).await?;
        match (rejected, failed) {
            (None, None) => {
                self.checks.kafka.ok();
                Ok(())
            }
            // Every record of a request gets the error of the one that was rejected.
            (Some(error), _) if records.len() > 1 => {
                self.one_by_one = records.len();
                Err(RelayError::OneByOne(records.len(), error))
            }
            (Some(error), _) => {
                for sequence in sequences {
                    self.refuse(*sequence, &causes(&error).to_string()).await?;
                }
                // After a lost record, the producer accepts no other (`enable.gapless.guarantee`).
                self.discard_producer().await;
                Ok(())
            }
            (None, Some(error)) => Err(error.into()),
        }
    }

    async fn delete(&self, sequences: &[i64]) -> Result<(), sqlx::Error> {
        if sequences.is_empty() {
            return Ok(());
        }
        sqlx::query("DELETE FROM outbox WHERE sequence = ANY($1)").bind(sequences).execute(&self.pool).await?;
        Ok(())
    }

    async fn refuse(&self, sequence: i64, reason: &str) -> Result<(), sqlx::Error> {
        warn!(sequence, reason, "invalid outbox row: moved to outbox_refused");
        sqlx::query(
            "WITH refused AS (DELETE FROM outbox WHERE sequence = $1 RETURNING *)
             INSERT INTO outbox_refused (sequence, topic, key, type, schema_version, data, event_id, source, event_time,
                                         causation_id, correlation_id, traceparent, subject_key_id, inserted_at, reason)
             SELECT sequence, topic, key, type, schema_version, data, event_id, source, event_time,
                    causation_id, correlation_id, traceparent, subject_key_id, inserted_at, $2
             FROM refused",
        )
        .bind(sequence)
        .bind(reason)
        .execute(&self.pool)
        .await?;
        self.metrics.outbox_refused_total.inc();
        Ok(())
    }
}
