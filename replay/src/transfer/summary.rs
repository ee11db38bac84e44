//! Summaries on standard output.

use std::io::{self, Write as _};
use std::time::Duration;

use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// Prints JSON or text. A closed pipe (`| head`) is no failure.
pub fn print(as_json: bool, value: &impl Serialize, text: impl FnOnce() -> String) -> anyhow::Result<()> {
    let output = if as_json { serde_json::to_string_pretty(value)? + "\n" } else { text() };
    let mut stdout = io::stdout().lock();
    match stdout.write_all(output.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// A table without lines: names to the left, numbers to the right.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> String {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header).add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.trim_fmt()
}

/// Duration and rate: `2.5 s, 4000 records a second`.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown without fractions")]
pub fn duration_and_rate(records: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    format!("{seconds:.1} s, {:.0} records a second", records as f64 / seconds.max(0.001))
}
