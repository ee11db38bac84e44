//! Report of the folds as text and JSON, and the tables and figures of all reports.

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Row, Table};
use serde::Serialize;

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    pub rounds: u16,
    /// Records in the order topics.
    pub orders: i64,
    /// Order lines in those records.
    pub lines: u64,
    /// Seconds of a bare consumer from the beginnings of the order topics to their ends.
    pub drain_seconds: f64,
    /// The consumer's rate in lines a second.
    pub drain_lines_per_second: f64,
    pub cases: Vec<CaseReport>,
}

/// Medians of one case. Lines are those of the order topics, independent of the case's rows.
#[derive(Debug, Serialize)]
pub struct CaseReport {
    pub name: &'static str,
    pub description: &'static str,
    /// Seconds from the take-over of the checkpoints to the last commit.
    pub fold_seconds: f64,
    pub lines_per_second: f64,
    /// Seconds of COPY of the same rows into equal empty tables.
    pub copy_seconds: f64,
    pub copy_lines_per_second: f64,
    pub rows: u64,
    /// The fold's speed relative to the consumer's or COPY's, whichever is slower.
    pub ratio_to_slower_limit: f64,
    /// Seconds from the take-over of the checkpoints until all is published; none with `--no-publishing`.
    pub publish_seconds: Option<f64>,
    /// Peak resident memory of all rounds, in MB of 1,000,000 bytes.
    pub peak_memory_mb: f64,
}

impl Report {
    pub fn to_text(&self) -> String {
        let Self { rounds, orders, lines, drain_seconds, drain_lines_per_second, .. } = self;
        let header = [
            "folded into",
            "lines/s",
            "seconds",
            "COPY lines/s",
            "COPY seconds",
            "rows",
            "of the slower limit",
            "published after",
            "peak memory",
        ];
        let rows = self.cases.iter().map(|case| {
            [
                case.description.to_owned(),
                format!("{:.0}", case.lines_per_second),
                format!("{:.2}", case.fold_seconds),
                format!("{:.0}", case.copy_lines_per_second),
                format!("{:.2}", case.copy_seconds),
                case.rows.to_string(),
                format!("{:.0} %", case.ratio_to_slower_limit * 100.0),
                case.publish_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s")),
                format!("{:.0} MB", case.peak_memory_mb),
            ]
        });
        format!(
            "{lines} lines in {orders} records; medians of {rounds} rounds\n\
             bare consumer: {drain_seconds:.2} s, {drain_lines_per_second:.0} lines/s\n\n{}",
            table(header, rows)
        )
    }
}

/// A borderless table whose columns after the first are right-aligned.
pub fn table<R: Into<Row>>(header: impl Into<Row>, rows: impl IntoIterator<Item = R>) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "as JSON has them, with the unit")]
pub struct Percentiles {
    pub p50_ms: f64,
    pub p95_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
}

impl Percentiles {
    /// Percentiles of these milliseconds; none without any.
    pub fn from_milliseconds(mut milliseconds: Vec<f64>) -> Option<Self> {
        milliseconds.sort_unstable_by(f64::total_cmp);
        let at = |percent| percentile(&milliseconds, percent);
        let max_ms = *milliseconds.last()?;
        Some(Self { p50_ms: at(50), p95_ms: at(95), p99_ms: at(99), max_ms })
    }

    pub fn cells(self) -> [String; 4] {
        [self.p50_ms, self.p95_ms, self.p99_ms, self.max_ms].map(|milliseconds| format!("{milliseconds:.0} ms"))
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of lines, events and kibibytes are far below 2^52")]
pub fn as_float(count: u64) -> f64 {
    count as f64
}

/// The median; zero without values.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    let upper = values.len() / 2;
    match values.get(upper) {
        None => 0.0,
        Some(value) if values.len() % 2 == 1 => *value,
        Some(value) => f64::midpoint(values[upper - 1], *value),
    }
}

/// The smallest value that a percentage of the values does not exceed.
pub fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        for (percent, expected) in [(50, 100.0), (95, 190.0), (99, 198.0), (100, 200.0)] {
            assert!((percentile(&values, percent) - expected).abs() < f64::EPSILON);
        }
        assert!((percentile(&values[..1], 99) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        for (values, expected) in [(vec![3.0, 1.0, 2.0], 2.0), (vec![4.0, 1.0, 3.0, 2.0], 2.5), (vec![], 0.0)] {
            assert!((median(values) - expected).abs() < f64::EPSILON);
        }
    }
}
