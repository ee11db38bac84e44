//! Every projection of the pipeline, a module each: its tables, its fold and its views.

pub mod catalogue;
pub mod co_purchase;
pub mod history;
pub mod popularity;
pub mod purchases;
pub mod sales;

use runtime::fold::Processor;

/// Similar products, popular and trending ones, and what members bought and looked at.
pub static RECOMMENDATION: Processor = Processor {
    name: "recommendation",
    description: "similar, popular and trending products, and members' histories",
    fold_version: 1,
    projections: &[&catalogue::PROJECTION, &history::PROJECTION, &popularity::PROJECTION, &co_purchase::PROJECTION],
};

/// Sales by day and category, and how members buy.
pub static ANALYTICS: Processor = Processor {
    name: "analytics",
    description: "sales by day and category, and members' purchase patterns",
    fold_version: 1,
    projections: &[&catalogue::PROJECTION, &purchases::PROJECTION, &sales::PROJECTION],
};

/// The catalogue in Elasticsearch.
pub static ES_SYNC: Processor = Processor {
    name: "es-sync",
    description: "the catalogue's documents in Elasticsearch",
    fold_version: 1,
    projections: &[&catalogue::DOCUMENTS],
};

/// Every processor: the command line, the topology check, the tests and the benchmarks all go by this list.
pub static PROCESSORS: &[&Processor] = &[&RECOMMENDATION, &ANALYTICS, &ES_SYNC];

/// The processor of that name.
#[must_use]
pub fn processor(name: &str) -> Option<&'static Processor> {
    PROCESSORS.iter().copied().find(|processor| processor.name == name)
}
