//! A line of an Online Retail file: eight comma-separated fields.

use std::str;

use chrono::NaiveDateTime;
use csv_core::{ReadRecordResult, Reader};
use jangbogo_events::{MemberId, OrderId, Quantity};

/// Names of the columns in the header.
const COLUMNS: [&str; 7] = ["Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "CustomerID"];

/// Limit above the number of fields of any such file.
const MAX_FIELDS: usize = 64;

/// A parsed invoice line, before the import's rules are applied.
#[derive(Debug, PartialEq)]
pub struct Line {
    /// The invoice; a cancellation's begins with `C`.
    pub invoice: OrderId,
    /// The stock code as it is spelt, without spaces around it.
    pub code: String,
    /// The description with single spaces; none when it is empty or `nan`.
    pub description: Option<String>,
    /// Units; negative if returned or missing.
    pub quantity: i64,
    /// The invoice's local date and time.
    pub time: NaiveDateTime,
    pub price: Price,
    pub member_id: Option<MemberId>,
}

/// An exact price of one unit, in hundred-thousandths of a pound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Price(i64);

impl Price {
    const DECIMALS: usize = 5;

    /// The price of a number of units in pence, rounded once, half to even.
    pub fn total_minor(self, quantity: Quantity) -> i64 {
        rounded_pence(i128::from(self.0) * i128::from(quantity.units()))
    }

    /// The price in pence, rounded half to even.
    pub fn minor(self) -> i64 {
        rounded_pence(i128::from(self.0))
    }

    pub fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub fn is_negative(self) -> bool {
        self.0 < 0
    }

    fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || whole.len() > 9 || !all_digits(whole) || !all_digits(fraction) {
            return None;
        }
        let (kept, beyond) = fraction.split_at(fraction.len().min(Self::DECIMALS));
        if beyond.bytes().any(|byte| byte != b'0') {
            return None;
        }
        let scaled: i64 = format!("{whole}{kept:0<width$}", width = Self::DECIMALS).parse().ok()?;
        Some(Self(if negative { -scaled } else { scaled }))
    }
}

/// Hundred-thousandths of a pound in pence, half to even.
fn rounded_pence(exact: i128) -> i64 {
    const PER_PENNY: i128 = 1_000;
    let (pence, rest) = (exact.div_euclid(PER_PENNY), exact.rem_euclid(PER_PENNY));
    let rounds_up = rest * 2 > PER_PENNY || (rest * 2 == PER_PENNY && pence % 2 != 0);
    i64::try_from(pence + i128::from(rounds_up)).unwrap_or(i64::MAX)
}

pub struct LineReader {
    splitter: Reader,
    terminated: Vec<u8>,
    buffer: Vec<u8>,
    ends: Vec<usize>,
    /// Field index of each of [`COLUMNS`].
    positions: [usize; COLUMNS.len()],
    fields: usize,
}

impl LineReader {
    /// Reads the order of the columns from the header.
    pub fn from_header(header: &[u8]) -> Result<Self, String> {
        let mut reader = Self {
            splitter: Reader::new(),
            terminated: Vec::new(),
            buffer: Vec::new(),
            ends: vec![0; MAX_FIELDS],
            positions: [0; COLUMNS.len()],
            fields: 0,
        };
        let header = header.strip_prefix("\u{feff}".as_bytes()).unwrap_or(header);
        reader.fields = reader.split(header)?;
        let names: Vec<&[u8]> = (0..reader.fields).map(|index| reader.field(index)).collect();
        let mut positions = [0; COLUMNS.len()];
        for (position, column) in positions.iter_mut().zip(COLUMNS) {
            // The publisher's own spreadsheet has a space in "Customer ID".
            let found = names.iter().position(|name| name.iter().filter(|byte| **byte != b' ').eq(column.as_bytes()));
            *position = found.ok_or_else(|| {
                format!("the first line has no column {column}; these are expected: {}", COLUMNS.join(","))
            })?;
        }
        reader.positions = positions;
        Ok(reader)
    }

    pub fn read(&mut self, line: &[u8]) -> Result<Line, String> {
        let fields = self.split(line)?;
        if fields != self.fields {
            return Err(format!("it has {fields} fields, the first line has {}", self.fields));
        }
        let text = |column: usize| {
            str::from_utf8(self.field(self.positions[column]))
                .map(str::trim)
                .map_err(|_| format!("{} is not UTF-8", COLUMNS[column]))
        };
        let (invoice, code, description, quantity) = (text(0)?, text(1)?, text(2)?, text(3)?);
        let (time, price, member_id) = (text(4)?, text(5)?, text(6)?);
        if code.is_empty() {
            return Err("StockCode is empty".to_owned());
        }
        Ok(Line {
            invoice: OrderId::new(invoice).map_err(|error| format!("Invoice: {error}"))?,
            code: code.to_owned(),
            description: readable(description),
            quantity: quantity.parse().map_err(|_| format!("Quantity {quantity:?} is not a whole number"))?,
            time: NaiveDateTime::parse_from_str(time, "%Y-%m-%d %H:%M:%S")
                .map_err(|_| format!("InvoiceDate {time:?} is not a time such as 2009-12-01 07:45:00"))?,
            price: Price::parse(price)
                .ok_or_else(|| format!("Price {price:?} is not a decimal number of pounds such as 2.55"))?,
            member_id: match member_id {
                "" => None,
                id => Some(MemberId::new(id).map_err(|error| format!("CustomerID: {error}"))?),
            },
        })
    }

    /// Splits a line into fields and counts them.
    fn split(&mut self, line: &[u8]) -> Result<usize, String> {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Err("it is empty".to_owned());
        }
        self.terminated.clear();
        self.terminated.extend_from_slice(line);
        self.terminated.push(b'\n');
        self.buffer.resize(self.terminated.len(), 0);
        self.splitter.reset();
        let (result, _, _, fields) = self.splitter.read_record(&self.terminated, &mut self.buffer, &mut self.ends);
        match result {
            ReadRecordResult::Record => Ok(fields),
            ReadRecordResult::OutputEndsFull => Err(format!("it has more than {MAX_FIELDS} fields")),
            _ => Err("a quote is opened and not closed".to_owned()),
        }
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        &self.buffer[start..self.ends[index]]
    }
}

/// The description with single spaces; none if it is empty or `nan`.
fn readable(description: &str) -> Option<String> {
    let words: Vec<&str> = description.split_whitespace().collect();
    match words.as_slice() {
        [] | ["nan"] => None,
        words => Some(words.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"Invoice,StockCode,Description,Quantity,InvoiceDate,Price,CustomerID,Country";

    #[test]
    fn a_line_is_read() {
        let mut reader = LineReader::from_header(HEADER).unwrap();
        let line = br#"489434,22041,"RECORD FRAME 7""  SINGLE, SIZE ",48,2009-12-01 07:45:00,2.1,13085,United Kingdom"#;
        let line = reader.read(line).unwrap();
        assert_eq!(&*line.invoice, "489434");
        assert_eq!(line.description.unwrap(), r#"RECORD FRAME 7" SINGLE, SIZE"#);
        assert_eq!(line.quantity, 48);
        assert_eq!(line.time.to_string(), "2009-12-01 07:45:00");
        assert_eq!(line.price, Price(210_000));
        assert_eq!(line.member_id.as_deref(), Some("13085"));
        let line = reader.read(b"1,A,nan,-1,2009-12-01 07:45:00,0.0,,\n").unwrap();
        assert_eq!((line.description, line.member_id, line.quantity), (None, None, -1));
    }

    #[test]
    fn columns_are_found_by_name() {
        let header = "\u{feff}Customer ID,Price,InvoiceDate,Quantity,Description,StockCode,Invoice\r\n";
        let mut reader = LineReader::from_header(header.as_bytes()).unwrap();
        let line = reader.read(b"7,1,2009-12-01 07:45:00,2,LAMP,22180,1\r\n").unwrap();
        assert_eq!((&*line.invoice, line.code.as_str(), line.quantity), ("1", "22180", 2));
        let error = LineReader::from_header(b"a,b").err().unwrap();
        assert!(error.starts_with("the first line has no column Invoice"), "{error}");
    }

    #[test]
    fn an_invalid_line_is_refused_with_its_reason() {
        let mut reader = LineReader::from_header(HEADER).unwrap();
        let cases: [(&[u8], &str); 10] = [
            (b"\r\n", "it is empty"),
            (b"1,2,3", "it has 3 fields, the first line has 8"),
            (b"1,22180,\"LAMP,1,2009-12-01 07:45:00,1.0,7,UK", "a quote is opened and not closed"),
            (
                b",22180,LAMP,1,2009-12-01 07:45:00,1.0,7,UK",
                "Invoice: an id must be 1 to 64 bytes long, this one has 0",
            ),
            (b"1, ,LAMP,1,2009-12-01 07:45:00,1.0,7,UK", "StockCode is empty"),
            (b"1,22180,\xff,1,2009-12-01 07:45:00,1.0,7,UK", "Description is not UTF-8"),
            (b"1,22180,LAMP,1.5,2009-12-01 07:45:00,1.0,7,UK", "Quantity \"1.5\" is not a whole number"),
            (
                b"1,22180,LAMP,1,01/12/2009,1.0,7,UK",
                "InvoiceDate \"01/12/2009\" is not a time such as 2009-12-01 07:45:00",
            ),
            (
                b"1,22180,LAMP,1,2009-12-01 07:45:00,free,7,UK",
                "Price \"free\" is not a decimal number of pounds such as 2.55",
            ),
            (
                b"1,22180,LAMP,1,2009-12-01 07:45:00,0.000001,7,UK",
                "Price \"0.000001\" is not a decimal number of pounds such as 2.55",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(reader.read(line).unwrap_err(), expected, "{}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn totals_round_once_and_half_to_even() {
        let cases =
            [("0.001", 5, 0), ("0.001", 6, 1), ("0.005", 1, 0), ("0.005", 3, 2), ("0.015", 1, 2), ("2.55", 3, 765)];
        for (price, quantity, pence) in cases {
            let price = Price::parse(price).unwrap();
            assert_eq!(price.total_minor(Quantity::new(quantity).unwrap()), pence, "{price:?} × {quantity}");
        }
        assert!(Price::parse("-53594.36").unwrap().is_negative());
    }
}
