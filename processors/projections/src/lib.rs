//! Every projection of the pipeline, a module each: its tables, its fold and its views.

pub mod catalogue;
pub mod co_purchase;
pub mod conversation;
pub mod funnel;
pub mod history;
pub mod popularity;
pub mod preferences;
pub mod purchases;
pub mod sales;
#[cfg(test)]
mod testing;
pub mod vectors;

use runtime::fold::{Pace, Processor};

/// Similar products, popular and trending ones, and what members bought and looked at.
pub static RECOMMENDATION: Processor = Processor {
    name: "recommendation",
    description: "similar, popular and trending products, members' histories and preferences, and what was recommended",
    fold_version: 2,
    pace: Pace::AtOnce,
    projections: &[
        &catalogue::PROJECTION,
        &vectors::PROJECTION,
        &preferences::KNOWN,
        &conversation::RECOMMENDED,
        &history::PROJECTION,
        &popularity::PROJECTION,
        &co_purchase::PROJECTION,
    ],
};

/// Sales by day and category, how members buy, and what conversations come to.
pub static ANALYTICS: Processor = Processor {
    name: "analytics",
    description: "sales by day and category, members' purchase patterns, and the funnel of conversations",
    fold_version: 3,
    pace: Pace::Gathered,
    projections: &[&catalogue::PROJECTION, &purchases::PROJECTION, &sales::PROJECTION, &funnel::PROJECTION],
};

/// The catalogue and what was said, in Elasticsearch.
pub static ES_SYNC: Processor = Processor {
    name: "es-sync",
    description: "products' and messages' documents in Elasticsearch",
    fold_version: 3,
    pace: Pace::Gathered,
    projections: &[&catalogue::DOCUMENTS, &vectors::STORED, &conversation::MESSAGES],
};

/// What members say and like.
pub static PREFERENCE_ANALYSIS: Processor = Processor {
    name: "preference-analysis",
    description: "conversations and members' preferences",
    fold_version: 1,
    pace: Pace::AtOnce,
    projections: &[&catalogue::PROJECTION, &conversation::PROJECTION, &preferences::PROJECTION, &history::ACTS],
};

/// Products' vectors.
pub static EMBEDDER: Processor = Processor {
    name: "embedder",
    description: "which texts of products were embedded, by which models",
    fold_version: 2,
    pace: Pace::Gathered,
    projections: &[&vectors::EMBEDDED],
};

/// Conversations, as they are answered and shown.
pub static ASSISTANT: Processor = Processor {
    name: "assistant",
    description: "conversations: what was said, understood, recommended and answered",
    fold_version: 1,
    pace: Pace::AtOnce,
    projections: &[&conversation::PROJECTION],
};

/// Every processor: the command line, the topology check, the tests and the benchmarks all go by this list.
pub static PROCESSORS: &[&Processor] =
    &[&RECOMMENDATION, &ANALYTICS, &ES_SYNC, &PREFERENCE_ANALYSIS, &EMBEDDER, &ASSISTANT];

/// The processor of that name.
#[must_use]
pub fn processor(name: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().copied().find(|processor| processor.name == name)
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use events::{Envelope, Event, EventType};

    use super::PROCESSORS;
    use crate::testing::{Folded, SEOUL};

    /// One snapshot for each processor: the rows of every event type's example, each on its own.
    #[test]
    fn the_example_of_every_event_is_folded() {
        let time = DateTime::parse_from_rfc3339("2010-12-01T08:26:00Z").unwrap().to_utc();
        for processor in PROCESSORS {
            let mut lines = Vec::new();
            for event_type in EventType::ALL {
                let envelope = Envelope::new("1", "example", time);
                let folded = Folded::new(processor, &SEOUL, &[Event { envelope, data: event_type.example() }]);
                lines.push(event_type.name().to_owned());
                for table in processor.tables() {
                    lines.extend(folded.rows(table.name).iter().map(|row| format!("    {} {row}", table.name)));
                }
            }
            insta::assert_snapshot!(processor.name, lines.join("\n"));
        }
    }
}
