//! Output of commands: results on stdout, everything else on stderr.

use std::io::{self, Write as _};

use comfy_table::presets::NOTHING;
use comfy_table::{Attribute, Cell, Table};

/// Prints a result. A closed pipe (`| head`) is no failure.
///
/// # Errors
/// When standard output cannot be written to.
pub fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// A borderless table, its header in bold on a terminal.
#[must_use]
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.map(|title| Cell::new(title).add_attribute(Attribute::Bold)));
    table
}
