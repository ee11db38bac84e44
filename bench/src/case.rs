//! Measured processors of the pipeline, and parts of them.

use jangbogo_analytics_fold::ANALYTICS;
use jangbogo_fold::{BatchPolicy, Processor};
use jangbogo_recommendation_fold::{RECOMMENDATION, popularity};
use jangbogo_shared_projections::{catalogue, history};

/// A set of projections that is folded in a process of its own.
#[derive(Debug)]
pub struct Case {
    pub name: &'static str,
    pub description: &'static str,
    pub processor: &'static Processor,
    /// True for a program of the pipeline; other cases run in this program.
    pub is_program: bool,
}

/// `recommendation` without its pairs, to measure these apart.
static RECOMMENDATION_SUMS: Processor = Processor {
    name: "bench-sums",
    fold_version: 1,
    batch_policy: BatchPolicy::Immediate,
    projections: &[&catalogue::PROJECTION, &history::PROJECTION, &popularity::PROJECTION],
};

/// Facts first: they have the number of lines.
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
