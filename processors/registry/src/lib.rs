//! The registry of processors, without their reactors: replay, the query service, the topology check, the tests and the
//! benchmarks iterate it.

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_assistant_fold::ASSISTANT;
use jangbogo_embedder_fold::EMBEDDER;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_fold::Processor;
use jangbogo_preference_analysis_fold::PREFERENCE_ANALYSIS;
use jangbogo_recommendation_fold::RECOMMENDATION;

pub static PROCESSORS: &[&Processor] =
    &[&RECOMMENDATION, &ANALYTICS, &ES_SYNC, &PREFERENCE_ANALYSIS, &EMBEDDER, &ASSISTANT];

#[must_use]
pub fn processor(name: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().copied().find(|processor| processor.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use chrono::DateTime;
    use jangbogo_events::{Envelope, Event, EventType};

    use super::PROCESSORS;
    use jangbogo_fold::testing::{Folded, SEOUL};

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

    /// A second relation of one name would keep the schema of a generation from being created.
    #[test]
    fn tables_and_indexes_of_a_processor_have_different_names() {
        for processor in PROCESSORS {
            let mut names = BTreeSet::new();
            for table in processor.tables() {
                let indexes = table.indexes.iter().chain(table.nearest).map(|column| table.index_name(column));
                for name in indexes.chain([table.name.to_owned()]) {
                    assert!(names.insert(name.clone()), "{} has two relations named {name}", processor.name);
                }
            }
        }
    }
}
