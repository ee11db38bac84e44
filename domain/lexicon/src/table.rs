//! Tables in `data/`: one row a line, cells divided by tabs, alternatives within a cell by `|`.

/// The rows of a table; lines that begin with `#` are comments.
pub(crate) fn rows(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| line.split('\t').collect())
}

/// The alternatives in a row's cell; empty if the row is shorter.
pub(crate) fn alternatives(row: &[&'static str], cell: usize) -> Vec<&'static str> {
    row.get(cell).map(|cell| cell.split('|').filter(|text| !text.is_empty()).collect()).unwrap_or_default()
}
