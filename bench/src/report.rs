//! Report of the folds, as text and JSON.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// Medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Number of rounds.
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
    /// Name on the command line.
    pub name: &'static str,
    /// Description of its tables.
    pub description: &'static str,
    /// Seconds from the take-over of the checkpoints to the last commit.
    pub fold_seconds: f64,
    /// The same by lines.
    pub lines_per_second: f64,
    /// Seconds of COPY of the same rows into equal empty tables.
    pub copy_seconds: f64,
    /// The same by lines.
    pub copy_lines_per_second: f64,
    /// Number of those rows.
    pub rows: u64,
    /// The fold's speed relative to the consumer's or COPY's, whichever is slower.
    pub ratio_to_slower_limit: f64,
    /// Seconds from the take-over of the checkpoints until all is published; none with `--no-publishing`.
    pub publish_seconds: Option<f64>,
    /// Peak resident memory of all rounds, in MB of 1,000,000 bytes.
    pub peak_memory_mb: f64,
}

impl Report {
    /// The report as tables.
    pub fn to_text(&self) -> String {
        let Self { rounds, orders, lines, drain_seconds, drain_lines_per_second, .. } = self;
        let mut text = format!(
            "{lines} lines in {orders} records; medians of {rounds} rounds\n\
             bare consumer: {drain_seconds:.2} s, {drain_lines_per_second:.0} lines/s\n\n"
        );
        let mut table = Table::new();
        table.load_preset(NOTHING).set_header([
            "folded into",
            "lines/s",
            "seconds",
            "COPY lines/s",
            "COPY seconds",
            "rows",
            "of the slower limit",
            "published after",
            "peak memory",
        ]);
        for case in &self.cases {
            table.add_row([
                case.description.to_owned(),
                format!("{:.0}", case.lines_per_second),
                format!("{:.2}", case.fold_seconds),
                format!("{:.0}", case.copy_lines_per_second),
                format!("{:.2}", case.copy_seconds),
                case.rows.to_string(),
                format!("{:.0} %", case.ratio_to_slower_limit * 100.0),
                case.publish_seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.2} s")),
                format!("{:.0} MB", case.peak_memory_mb),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{table}");
        text
    }
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
