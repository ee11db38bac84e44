//! Permanent refusals of Postgres: values that no retry gets into a table.

use jangbogo_log::{Record, Refused};
use jangbogo_telemetry::causes;

/// True if Postgres refuses the values themselves (a data exception, a broken constraint, an index entry that is too
/// large), so that a retry cannot succeed.
pub fn is_refusal(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["22", "23", "54"].iter().any(|class| code.starts_with(class)))
}

/// Turns the records of a batch into dead letters. The batch must be of a single record.
pub fn refuse(records: &mut [Record], error: &sqlx::Error) {
    for record in records {
        if let Ok(event) = &record.outcome {
            let encoded = event.encode().ok();
            record.outcome = Err(Box::new(Refused {
                cause: format!("postgres refuses the event's values: {}", causes(error)),
                key: encoded.as_ref().map(|encoded| encoded.key.clone().into_bytes()),
                value: encoded.as_ref().map(|encoded| encoded.value.clone()),
                headers: encoded
                    .map(|encoded| {
                        let header = |(key, value): (&str, String)| (key.to_owned(), Some(value.into_bytes()));
                        encoded.headers.into_iter().map(header).collect()
                    })
                    .unwrap_or_default(),
                kept: false,
            }));
        }
    }
}
