//! Output of commands: results on stdout, everything else on stderr.

use std::fmt::Display;
use std::io::{self, Write as _};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, CellAlignment, Table};
use serde::Serialize;

/// Prints a result. A closed pipe (`| head`) is no failure.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Prints a report as text, or as indented JSON.
pub fn print_report(json: bool, report: &(impl Serialize + Display)) -> anyhow::Result<()> {
    print(&if json { serde_json::to_string_pretty(report)? + "\n" } else { report.to_string() })
}

/// A borderless table, its header in bold on a terminal.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}

/// Right-aligns the columns of numbers, which are those after the first `text_columns`.
pub fn align_numbers(table: &mut Table, text_columns: usize) {
    table.column_iter_mut().skip(text_columns).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
}
