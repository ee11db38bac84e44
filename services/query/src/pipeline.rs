//! State of the pipeline: outbox backlog, and each processor's lag and pending publications.
//!
//! Stages are read in the direction in which events flow, outbox first: if each is empty, everything accepted before
//! the request is folded and published.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use jangbogo_fold::Processor;
use jangbogo_log::Offsets;
use jangbogo_log::end_offsets::EndOffsets;
use jangbogo_read::{ReadError, Reader};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

/// Limit up to which stale marks are counted.
const MAX_COUNTED_MARKS: i64 = 100_000;

/// State of the whole pipeline.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct PipelineState {
    /// Everything accepted before this request is folded and published.
    pub settled: bool,
    /// Events that are accepted but not in Kafka yet.
    pub outbox: OutboxState,
    /// Why the end offsets, and so all lags, are unknown; absent when they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka_error: Option<String>,
    /// State of every processor.
    pub processors: Vec<ProcessorState>,
}

/// Backlog of the outbox.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct OutboxState {
    /// Rows that are not relayed yet.
    pub waiting: i64,
    /// Age of the oldest row, in seconds.
    pub oldest_age_seconds: Option<f64>,
    /// Invalid rows in total, which are kept in `outbox_refused`.
    pub refused: i64,
}

/// State of a processor.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct ProcessorState {
    /// Name of the processor.
    pub processor: String,
    /// It has folded and published everything that was in Kafka at the request.
    pub settled: bool,
    /// Its live generation; absent before its first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live: Option<LiveState>,
    /// Consumer lag in records; absent when Kafka does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
    /// Newest event time that is folded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watermark: Option<DateTime<Utc>>,
    /// State of each partition it consumes.
    pub partitions: Vec<PartitionState>,
    /// Pending publications.
    pub publishing: PublishingState,
    /// Records that could not be folded.
    pub dead_letters: DeadLetters,
}

/// A processor's live generation.
#[derive(Clone, Debug, Serialize, JsonSchema)]
pub struct LiveState {
    /// Id of the generation.
    pub generation: Uuid,
    /// Id of its promotion, which published values carry.
    pub promotion: Uuid,
    /// Time of its promotion.
    pub promoted_at: DateTime<Utc>,
    /// Version of the fold and its settings.
    pub fold_version: String,
    /// Postgres schema of its tables.
    pub schema: String,
}

/// Progress in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PartitionState {
    /// Topic, without the namespace.
    pub topic: String,
    /// Number of the partition.
    pub partition: i32,
    /// Next offset to fold.
    pub next_offset: i64,
    /// End offset of the log; absent when Kafka does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_offset: Option<i64>,
    /// Records between the two offsets; absent when Kafka does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag: Option<i64>,
}

/// Pending publications of a processor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PublishingState {
    /// Stale values, counted up to 100,000.
    pub stale: i64,
    /// Views that are being refreshed in full.
    pub pending_sweeps: i64,
}

/// Dead letters of a processor.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct DeadLetters {
    /// Number of dead letters in the live generation.
    pub count: i64,
    /// The newest dead letter.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last: Option<LastDeadLetter>,
}

/// A record that could not be folded.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct LastDeadLetter {
    /// Topic, without the namespace.
    pub topic: String,
    /// Partition of the record.
    pub partition: i32,
    /// Offset of the record.
    pub offset: i64,
    /// Time at which the broker appended it.
    pub appended_at: DateTime<Utc>,
    /// Why it could not be folded.
    pub cause: String,
}

/// State of a generation, read with one query.
#[derive(Debug, Default, Deserialize)]
struct Stored {
    checkpoints: Option<Vec<StoredCheckpoint>>,
    publishing: PublishingState,
    dead_letters: DeadLetters,
}

#[derive(Debug, Deserialize)]
struct StoredCheckpoint {
    topic: String,
    partition: i32,
    next_offset: i64,
    max_event_time: Option<DateTime<Utc>>,
}

/// Reads the state of the pipeline and of these processors.
pub async fn state(
    reader: &Reader,
    offsets: &EndOffsets,
    processors: &[&'static Processor],
) -> Result<PipelineState, ReadError> {
    let outbox = outbox(reader).await?;
    let (ends, kafka_error) = match offsets.now().await {
        Ok(ends) => (Some(ends), None),
        Err(error) => (None, Some(error.to_string())),
    };
    // Checkpoints are read after the end offsets: everything before these is folded if a checkpoint has passed them.
    let begin = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    let mut transaction = reader.postgres().begin_with(begin).await?;
    let live = live_states(&mut transaction).await?;
    let mut states = Vec::with_capacity(processors.len());
    for processor in processors {
        let live = live.get(processor.name).cloned();
        let stored = match &live {
            Some(live) => read_stored(&mut transaction, &live.schema).await?,
            None => Stored::default(),
        };
        states.push(processor_state(processor, live, stored, ends.as_ref()));
    }
    let settled = outbox.waiting == 0 && states.iter().all(|processor| processor.settled);
    Ok(PipelineState { settled, outbox, kafka_error, processors: states })
}

async fn outbox(reader: &Reader) -> Result<OutboxState, ReadError> {
    let row = sqlx::query(
        "SELECT count(*) AS waiting,
                extract(epoch FROM clock_timestamp() - min(inserted_at))::float8 AS oldest_age_seconds,
                (SELECT count(*) FROM outbox_refused) AS refused
         FROM outbox",
    )
    .fetch_one(reader.postgres())
    .await?;
    Ok(OutboxState {
        waiting: row.get("waiting"),
        oldest_age_seconds: row.get("oldest_age_seconds"),
        refused: row.get("refused"),
    })
}

async fn live_states(connection: &mut PgConnection) -> Result<BTreeMap<String, LiveState>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT processor, generation, schema_name, promotion, promoted_at, fold_version
         FROM live_generation JOIN generation USING (processor, generation)",
    )
    .fetch_all(connection)
    .await?;
    let state = |row: &sqlx::postgres::PgRow| LiveState {
        generation: row.get("generation"),
        promotion: row.get("promotion"),
        promoted_at: row.get("promoted_at"),
        fold_version: row.get("fold_version"),
        schema: row.get("schema_name"),
    };
    Ok(rows.iter().map(|row| (row.get("processor"), state(row))).collect())
}

async fn read_stored(connection: &mut PgConnection, schema: &str) -> Result<Stored, sqlx::Error> {
    let sql = format!(
        "SELECT jsonb_build_object(
             'checkpoints', (
                 SELECT jsonb_agg(jsonb_build_object('topic', topic, 'partition', partition,
                                                     'next_offset', next_offset, 'max_event_time', max_event_time))
                 FROM {schema}.checkpoint
             ),
             'publishing', jsonb_build_object(
                 'stale', (SELECT count(*) FROM (SELECT FROM {schema}.dirty LIMIT $1) AS counted),
                 'pending_sweeps', (SELECT coalesce(sum(cardinality(pending_sweeps)), 0) FROM {schema}.publisher)
             ),
             'dead_letters', jsonb_build_object(
                 'count', (SELECT count(*) FROM {schema}.dead_letter),
                 'last', (
                     SELECT jsonb_build_object('topic', topic, 'partition', partition, 'offset', record_offset,
                                               'appended_at', appended_at, 'cause', cause)
                     FROM {schema}.dead_letter
                     ORDER BY appended_at DESC, topic, partition, record_offset DESC LIMIT 1
                 )
             )
         )"
    );
    let value: Value = sqlx::query_scalar(&sql).bind(MAX_COUNTED_MARKS).fetch_one(connection).await?;
    serde_json::from_value(value).map_err(|error| sqlx::Error::Decode(Box::new(error)))
}

fn processor_state(
    processor: &Processor,
    live: Option<LiveState>,
    stored: Stored,
    ends: Option<&Arc<Offsets>>,
) -> ProcessorState {
    let checkpoints = stored.checkpoints.unwrap_or_default();
    let watermark = checkpoints.iter().filter_map(|checkpoint| checkpoint.max_event_time).max();
    // A partition of which nothing is folded has an end offset, but no checkpoint.
    let mut partitions: BTreeMap<(String, i32), PartitionState> = BTreeMap::new();
    let topics = processor.topics();
    let ends = ends.map(|ends| ends.iter().filter(|(partition, _)| topics.contains(&partition.topic)));
    let is_known = ends.is_some();
    for (partition, end) in ends.into_iter().flatten() {
        let state = PartitionState {
            topic: partition.topic.name().to_owned(),
            partition: partition.number,
            next_offset: 0,
            end_offset: Some(*end),
            lag: Some(*end),
        };
        partitions.insert((state.topic.clone(), state.partition), state);
    }
    for checkpoint in checkpoints {
        let StoredCheckpoint { topic, partition, next_offset, .. } = checkpoint;
        let state = partitions.entry((topic.clone(), partition)).or_insert(PartitionState {
            topic,
            partition,
            next_offset,
            end_offset: None,
            lag: None,
        });
        state.next_offset = next_offset;
        state.lag = state.end_offset.map(|end| (end - next_offset).max(0));
    }
    let partitions: Vec<PartitionState> = partitions.into_values().collect();
    let lag = is_known.then(|| partitions.iter().filter_map(|partition| partition.lag).sum());
    let settled = live.is_some() && lag == Some(0) && stored.publishing == PublishingState::default();
    ProcessorState {
        processor: processor.name.to_owned(),
        settled,
        live,
        lag,
        watermark,
        partitions,
        publishing: stored.publishing,
        dead_letters: stored.dead_letters,
    }
}

#[cfg(test)]
mod tests {
    use jangbogo_es_sync_fold::ES_SYNC;
    use jangbogo_events::Topic;
    use jangbogo_log::Partition;

    use super::*;

    fn live() -> LiveState {
        LiveState {
            generation: Uuid::nil(),
            promotion: Uuid::nil(),
            promoted_at: DateTime::UNIX_EPOCH,
            fold_version: "1/UTC".to_owned(),
            schema: "es_sync_1".to_owned(),
        }
    }

    fn folded_to(next_offset: i64) -> Stored {
        let checkpoint = StoredCheckpoint {
            topic: "catalog-events".to_owned(),
            partition: 0,
            next_offset,
            max_event_time: Some(DateTime::UNIX_EPOCH),
        };
        Stored { checkpoints: Some(vec![checkpoint]), ..Stored::default() }
    }

    fn ends(ends: &[(i32, i64)]) -> Arc<Offsets> {
        let partition = |topic, number| Partition { topic, number };
        let mut all: Offsets =
            ends.iter().map(|(number, end)| (partition(Topic::CatalogEvents, *number), *end)).collect();
        all.insert(partition(Topic::OrderCompleted, 0), 99);
        Arc::new(all)
    }

    #[test]
    fn lag_is_the_distance_from_checkpoints_to_end_offsets() {
        let state = processor_state(&ES_SYNC, Some(live()), folded_to(7), Some(&ends(&[(0, 10), (1, 5)])));
        assert_eq!(state.lag, Some(8), "three of partition 0, all of partition 1, which has no checkpoint");
        assert!(!state.settled);
        assert_eq!(state.partitions.len(), 2);
        assert_eq!(state.watermark, Some(DateTime::UNIX_EPOCH));
    }

    #[test]
    fn settled_means_folded_and_published() {
        let settled =
            |stored, ends: Option<Arc<Offsets>>| processor_state(&ES_SYNC, Some(live()), stored, ends.as_ref()).settled;
        assert!(settled(folded_to(10), Some(ends(&[(0, 10)]))));
        assert!(settled(folded_to(12), Some(ends(&[(0, 10)]))), "folded on since Kafka was asked");
        assert!(!settled(folded_to(10), None), "the end offsets are unknown");
        let publishing = PublishingState { stale: 1, pending_sweeps: 0 };
        assert!(!settled(Stored { publishing, ..folded_to(10) }, Some(ends(&[(0, 10)]))));
        assert!(!processor_state(&ES_SYNC, None, Stored::default(), Some(&ends(&[]))).settled, "never started");
    }
}
