//! What is measured: processors of the pipeline, and parts of them.

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_recommendation_fold::{RECOMMENDATION, popularity};
use jangbogo_shared_projections::{catalogue, history};

/// A set of projections in a process of its own.
#[derive(Debug)]
pub struct Case {
    /// As on the command line.
    pub name: &'static str,
    /// What it folds into, for people.
    pub description: &'static str,
    /// What is folded.
    pub processor: &'static Processor,
    /// Whether it is a program of the pipeline; others run in this program.
    pub is_program: bool,
}

/// `recommendation` without its pairs, so that these can be seen apart.
static RECOMMENDATION_SUMS: Processor = Processor {
    name: "bench-sums",
    description: "popular and trending products, and members' histories",
    fold_version: 1,
    batch_policy: BatchPolicy::Immediate,
    projections: &[&catalogue::PROJECTION, &history::PROJECTION, &popularity::PROJECTION],
};

/// Facts first: they say how many lines there are.
pub static CASES: &[Case] = &[
    Case { name: "analytics", description: "facts and sums of analytics", processor: &ANALYTICS, is_program: true },
    Case {
        name: "sums",
        description: "recommendation without co-purchase",
        processor: &RECOMMENDATION_SUMS,
        is_program: false,
    },
    Case {
        name: "recommendation",
        description: "recommendation with co-purchase",
        processor: &RECOMMENDATION,
        is_program: true,
    },
];
