//! Report of the rebuilds, as text and JSON.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::Rounds;
use super::contestant::{Contestant, Role};
use super::rows::{Rows, Sums};
use crate::report::{as_float, median, table};

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    rounds: u16,
    /// Orders and cancellations in the log.
    records: u64,
    lines: u64,
    /// Rows of the tables that orders go to.
    rows: i64,
    contestants: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    contestant: Contestant,
    description: String,
    /// Reason for a missing or wrong figure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// Medians of the successful rounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    figures: Option<Figures>,
}

#[derive(Debug, Serialize)]
struct Figures {
    /// From the start to the end of the program.
    seconds: f64,
    lines_per_second: f64,
    /// Speed relative to the consumer or the fastest COPY, whichever is slower.
    ratio_to_slower_limit: Option<f64>,
    /// Speed relative to the fastest peer.
    ratio_to_best_peer: Option<f64>,
    /// Peak resident memory of all rounds, in MB of 1,000,000 bytes.
    peak_memory_mb: Option<f64>,
}

impl Report {
    pub fn new(rounds: u16, rows: &Rows, measured: &[(Contestant, Rounds)]) -> Self {
        let fastest = |role: Role| {
            let of_role = measured.iter().filter(|(contestant, _)| contestant.role() == role);
            of_role.filter_map(|(_, rounds)| seconds(rounds)).min_by(f64::total_cmp)
        };
        let slower_limit = match (fastest(Role::ReadLimit), fastest(Role::WriteLimit)) {
            (Some(read), Some(write)) => Some(read.max(write)),
            _ => None,
        };
        let best_peer = fastest(Role::Peer);
        let lines = as_float(rows.lines);
        let contestants = measured.iter().map(|(contestant, rounds)| {
            let competes = matches!(contestant.role(), Role::Peer | Role::Ours);
            let figures = seconds(rounds).map(|seconds| Figures {
                seconds,
                lines_per_second: lines / seconds,
                ratio_to_slower_limit: slower_limit.filter(|_| competes).map(|limit| limit / seconds),
                ratio_to_best_peer: best_peer.filter(|_| competes).map(|peer| peer / seconds),
                peak_memory_mb: peak_kib(rounds).map(|kib| as_float(kib) * 1024.0 / 1e6),
            });
            let warnings = warnings(rounds, &rows.sums);
            Row { contestant: *contestant, description: contestant.description(), warnings, figures }
        });
        Self {
            rounds,
            records: rows.records,
            lines: rows.lines,
            rows: rows.sums.order_line[0] + rows.sums.product_sales[0] + rows.sums.member_order[0],
            contestants: contestants.collect(),
        }
    }

    /// The report as a table, followed by warnings.
    pub fn to_text(&self) -> String {
        let Self { rounds, records, lines, rows, contestants } = self;
        let header = ["", "lines/s", "seconds", "of the slower limit", "of the best peer", "peak memory"];
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let cells = contestants.iter().map(|Row { description, figures, .. }| {
            let figures = figures.as_ref();
            [
                description.clone(),
                or_dash(figures.map(|figures| format!("{:.0}", figures.lines_per_second))),
                or_dash(figures.map(|figures| format!("{:.2}", figures.seconds))),
                or_dash(figures.and_then(|figures| Some(format!("{:.0} %", figures.ratio_to_slower_limit? * 100.0)))),
                or_dash(figures.and_then(|figures| Some(format!("{:.2} ×", figures.ratio_to_best_peer?)))),
                or_dash(figures.and_then(|figures| Some(format!("{:.0} MB", figures.peak_memory_mb?)))),
            ]
        });
        let mut text = format!(
            "{lines} lines in {records} orders and cancellations, which make {rows} rows; medians of {rounds} rounds\n\n{}",
            table(header, cells)
        );
        for Row { contestant, warnings, .. } in contestants {
            for warning in warnings {
                // Writing to a String cannot fail.
                let _ = write!(text, "\nwarning: {}: {warning}", contestant.name());
            }
        }
        text
    }
}

fn seconds(rounds: &Rounds) -> Option<f64> {
    let times: Vec<Duration> = rounds.iter().flatten().map(|measured| measured.took).collect();
    (!times.is_empty()).then(|| median(times.iter().map(Duration::as_secs_f64)))
}

fn peak_kib(rounds: &Rounds) -> Option<u64> {
    rounds.iter().flatten().filter_map(|measured| measured.peak_kib).max()
}

/// Failed rounds, and tables that differ from the log.
fn warnings(rounds: &Rounds, expected: &Sums) -> Vec<String> {
    let mut warnings = Vec::new();
    for (number, round) in (1..).zip(rounds) {
        match round {
            Ok(measured) => {
                if let Some(sums) = measured.sums.as_ref().filter(|sums| *sums != expected) {
                    warnings.push(format!("round {number}: its tables hold {sums:?}, the log has {expected:?}"));
                }
            }
            Err(error) => warnings.push(format!("round {number}: {error}")),
        }
    }
    warnings
}
