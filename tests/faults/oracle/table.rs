//! Rows in the text format of Postgres' COPY.

use chrono::{DateTime, SecondsFormat, Utc};

/// Expected rows of a table.
pub struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    /// Rows in COPY's text format.
    pub lines: String,
    pub rows: u64,
}

impl Table {
    pub fn new(name: &'static str, columns: &'static [&'static str]) -> Self {
        Self { name, columns, lines: String::new(), rows: 0 }
    }

    /// Adds a row with one field for each column.
    pub fn push(&mut self, fields: &[Field]) {
        assert_eq!(fields.len(), self.columns.len(), "a row of {}", self.name);
        for (position, Field(text)) in fields.iter().enumerate() {
            if position > 0 {
                self.lines.push('\t');
            }
            let Some(text) = text else {
                self.lines.push_str("\\N");
                continue;
            };
            for character in text.chars() {
                match character {
                    '\\' => self.lines.push_str("\\\\"),
                    '\t' => self.lines.push_str("\\t"),
                    '\n' => self.lines.push_str("\\n"),
                    '\r' => self.lines.push_str("\\r"),
                    other => self.lines.push(other),
                }
            }
        }
        self.lines.push('\n');
        self.rows += 1;
    }
}

/// A field as text; none is null.
pub struct Field(Option<String>);

macro_rules! fields {
    ($($from:ty => |$value:ident| $text:expr;)+) => {$(
        impl From<$from> for Field {
            fn from($value: $from) -> Self {
                Field(Some($text))
            }
        }
        impl From<Option<$from>> for Field {
            fn from(value: Option<$from>) -> Self {
                value.map_or(Field(None), Field::from)
            }
        }
    )+};
}

fields! {
    &String => |text| text.clone();
    &str => |text| text.to_owned();
    i64 => |number| number.to_string();
    bool => |flag| flag.to_string();
    chrono::NaiveDate => |day| day.to_string();
    DateTime<Utc> => |time| time.to_rfc3339_opts(SecondsFormat::Micros, true);
    uuid::Uuid => |id| id.to_string();
}

/// A row's fields from values of different types.
macro_rules! row {
    ($($value:expr),+ $(,)?) => { &[$($crate::oracle::table::Field::from($value)),+] };
}
pub(super) use row;
