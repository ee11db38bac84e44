//! Insertion of events into the outbox.

use jangbogo_events::{Data, EventType, Topic};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{CommandContext, CommandError};

/// The `ce_source` of the gateway's events.
const SOURCE: &str = "gateway";

/// Inserts events ordered by their bucket, and within a bucket in the given order.
pub(super) async fn insert(
    transaction: &mut PgConnection,
    context: &CommandContext,
    events: &[(Uuid, Data)],
) -> Result<(), CommandError> {
    if events.is_empty() {
        return Ok(());
    }
    let mut topics = Vec::with_capacity(events.len());
    let mut keys = Vec::with_capacity(events.len());
    let mut types = Vec::with_capacity(events.len());
    let mut versions = Vec::with_capacity(events.len());
    let mut values = Vec::with_capacity(events.len());
    let mut ids = Vec::with_capacity(events.len());
    let mut correlations = Vec::with_capacity(events.len());
    for (id, data) in events {
        let event_type: EventType = data.event_type();
        topics.push(event_type.topic().name());
        let key = data.key();
        correlations.push(match event_type.topic() {
            // A conversation's events are correlated by its id, which is their key.
            Topic::ConversationEvents | Topic::ConversationMessageCreated => key.to_string(),
            _ => context.request_id.clone(),
        });
        keys.push(key);
        types.push(event_type.name());
        versions.push(i64::from(event_type.version()));
        values.push(String::from_utf8_lossy(&data.to_json()?).into_owned());
        ids.push(id.to_string());
    }
    // Bucket order: two bulk commands wait for each other instead of deadlocking.
    sqlx::query(
        "INSERT INTO outbox (topic, key, type, schema_version, data, event_id, source, correlation_id, traceparent)
         SELECT topic, key, type, version, data::json, event_id, $8, correlation_id, $9
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[], $6::text[], $7::text[])
              WITH ORDINALITY AS event (topic, key, type, version, data, event_id, correlation_id, position)
         ORDER BY outbox_bucket(topic, key), position",
    )
    .bind(topics)
    .bind(keys.iter().map(AsRef::as_ref).collect::<Vec<&str>>())
    .bind(types)
    .bind(versions)
    .bind(values)
    .bind(ids)
    .bind(correlations)
    .bind(SOURCE)
    .bind(&context.traceparent)
    .execute(transaction)
    .await?;
    Ok(())
}
