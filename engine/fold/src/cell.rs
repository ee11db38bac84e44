//! Cells: the values of columns, and the order-preserving encoding of key columns.

use chrono::{DateTime, Days, NaiveDate, Utc};
use jangbogo_events::Vector;
use uuid::Uuid;

/// The type of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// `text`
    Text,
    /// `bigint`
    Integer,
    /// `boolean`
    Boolean,
    /// `date`, a day in the shop's time zone
    Day,
    /// `timestamptz`, in microseconds
    Time,
    /// `uuid`
    Id,
    /// `vector`, of [`Vector::DIMENSIONS`] numbers; never a key
    Vector,
}

impl ColumnType {
    /// The column's Postgres type.
    #[must_use]
    pub const fn sql(self) -> &'static str {
        match self {
            ColumnType::Text => "text",
            ColumnType::Integer => "bigint",
            ColumnType::Boolean => "boolean",
            ColumnType::Day => "date",
            ColumnType::Time => "timestamptz",
            ColumnType::Id => "uuid",
            ColumnType::Vector => "vector(384)",
        }
    }
}

/// A value of a row. `Null` in groups that no event has touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// No value: untouched, or absent in the event.
    #[default]
    Null,
    /// Text without NUL characters.
    Text(Box<str>),
    /// A signed 64-bit integer.
    Integer(i64),
    /// A boolean, true or false.
    Boolean(bool),
    /// A day in the shop's time zone.
    Day(NaiveDate),
    /// A time, in microseconds.
    Time(DateTime<Utc>),
    /// A UUID, or the hash of an event.
    Id(u128),
    /// The bits of a vector's numbers: cells are compared, and a NaN is not equal to itself.
    Vector(Box<[u32]>),
}

/// A Rust type that a column holds.
pub trait ColumnValue {
    /// The column type of its values.
    const TYPE: ColumnType;

    /// Converts the value to a cell.
    fn into_cell(self) -> Cell;
}

/// A Rust type that a key column holds. Its encoding preserves the order of its values.
pub trait KeyColumn: ColumnValue {
    /// Appends the encoded value.
    fn encode(&self, bytes: &mut Vec<u8>);
}

macro_rules! column_values {
    ($($rust:ty => $type:ident, |$value:ident| $cell:expr;)+) => {$(
        impl ColumnValue for $rust {
            const TYPE: ColumnType = ColumnType::$type;
            fn into_cell(self) -> Cell {
                let $value = self;
                $cell
            }
        }
    )+};
}

column_values! {
    &str => Text, |text| Cell::Text(text.into());
    String => Text, |text| Cell::Text(text.into_boxed_str());
    i64 => Integer, |number| Cell::Integer(number);
    bool => Boolean, |flag| Cell::Boolean(flag);
    NaiveDate => Day, |day| Cell::Day(day);
    DateTime<Utc> => Time, |time| Cell::Time(time);
    u128 => Id, |id| Cell::Id(id);
    Uuid => Id, |id| Cell::Id(id.as_u128());
    &Vector => Vector, |vector| Cell::Vector(vector.iter().map(|number| number.to_bits()).collect());
}

impl<T: ColumnValue> ColumnValue for Option<T> {
    const TYPE: ColumnType = T::TYPE;

    fn into_cell(self) -> Cell {
        self.map_or(Cell::Null, T::into_cell)
    }
}

const EPOCH: NaiveDate = NaiveDate::from_epoch_days(0).expect("the epoch is a date");

impl KeyColumn for &str {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
        bytes.push(0);
    }
}

impl KeyColumn for i64 {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&(self.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    }
}

impl KeyColumn for NaiveDate {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.signed_duration_since(EPOCH).num_days().encode(bytes);
    }
}

impl KeyColumn for DateTime<Utc> {
    fn encode(&self, bytes: &mut Vec<u8>) {
        self.timestamp_micros().encode(bytes);
    }
}

impl KeyColumn for u128 {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.to_be_bytes());
    }
}

impl KeyColumn for Uuid {
    fn encode(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }
}

/// A key column's value, decoded from the key's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyValue<'a> {
    /// `text`
    Text(&'a str),
    /// `bigint`
    Integer(i64),
    /// `date`
    Day(NaiveDate),
    /// `timestamptz`
    Time(DateTime<Utc>),
    /// `uuid`
    Id(u128),
}

/// Decodes the values of a key. Bytes that [`KeyColumn`] did not encode give fewer values.
pub fn decode_key(types: impl IntoIterator<Item = ColumnType>, bytes: &[u8]) -> impl Iterator<Item = KeyValue<'_>> {
    let mut left = bytes;
    types.into_iter().map_while(move |column_type| {
        let (value, rest) = decode_value(column_type, left)?;
        left = rest;
        Some(value)
    })
}

fn decode_value(column_type: ColumnType, bytes: &[u8]) -> Option<(KeyValue<'_>, &[u8])> {
    match column_type {
        ColumnType::Vector => None,
        ColumnType::Text => {
            let end = bytes.iter().position(|byte| *byte == 0)?;
            Some((KeyValue::Text(std::str::from_utf8(&bytes[..end]).ok()?), &bytes[end + 1..]))
        }
        ColumnType::Id => {
            let (id, rest) = bytes.split_first_chunk::<16>()?;
            Some((KeyValue::Id(u128::from_be_bytes(*id)), rest))
        }
        ColumnType::Integer | ColumnType::Boolean => {
            let (number, rest) = decode_integer(bytes)?;
            Some((KeyValue::Integer(number), rest))
        }
        ColumnType::Day => {
            let (days, rest) = decode_integer(bytes)?;
            let day = match u64::try_from(days) {
                Ok(days) => EPOCH.checked_add_days(Days::new(days))?,
                Err(_) => EPOCH.checked_sub_days(Days::new(days.unsigned_abs()))?,
            };
            Some((KeyValue::Day(day), rest))
        }
        ColumnType::Time => {
            let (micros, rest) = decode_integer(bytes)?;
            Some((KeyValue::Time(DateTime::from_timestamp_micros(micros)?), rest))
        }
    }
}

fn decode_integer(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<8>()?;
    Some(((u64::from_be_bytes(*number) ^ (1 << 63)).cast_signed(), rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Key = (String, i64, NaiveDate, DateTime<Utc>, u128);

    const TYPES: [ColumnType; 5] =
        [ColumnType::Text, ColumnType::Integer, ColumnType::Day, ColumnType::Time, ColumnType::Id];

    fn encode((text, number, day, time, id): &Key) -> Vec<u8> {
        let mut bytes = Vec::new();
        text.as_str().encode(&mut bytes);
        number.encode(&mut bytes);
        day.encode(&mut bytes);
        time.encode(&mut bytes);
        id.encode(&mut bytes);
        bytes
    }

    /// Keys that often agree in their first columns, so that the later ones decide.
    fn keys() -> impl Strategy<Value = Key> {
        let text = prop_oneof![3 => "[ab가]{0,2}", 1 => "[^\u{0}]{0,8}"];
        let number = prop_oneof![3 => -2_i64..2, 1 => any::<i64>()];
        let day = prop_oneof![3 => -2_i32..2, 1 => -700_000_i32..1_000_000];
        let micros = prop_oneof![3 => -2_i64..2, 1 => -60_000_000_000_000_000_i64..60_000_000_000_000_000];
        let id = prop_oneof![3 => 0_u128..3, 1 => any::<u128>()];
        (text, number, day, micros, id).prop_map(|(text, number, day, micros, id)| {
            let day = NaiveDate::from_epoch_days(day).unwrap();
            (text, number, day, DateTime::from_timestamp_micros(micros).unwrap(), id)
        })
    }

    proptest! {
        #[test]
        fn bytes_of_keys_sort_as_their_values(left in keys(), right in keys()) {
            prop_assert_eq!(encode(&left).cmp(&encode(&right)), left.cmp(&right));
        }

        #[test]
        fn keys_read_back(key in keys()) {
            let bytes = encode(&key);
            let (text, number, day, time, id) = key;
            let expected = [
                KeyValue::Text(&text),
                KeyValue::Integer(number),
                KeyValue::Day(day),
                KeyValue::Time(time),
                KeyValue::Id(id),
            ];
            prop_assert_eq!(decode_key(TYPES, &bytes).collect::<Vec<_>>(), expected);
        }

        #[test]
        fn noise_is_never_read_as_more_than_it_holds(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(decode_key(TYPES, &bytes).count() <= TYPES.len());
        }
    }

    #[test]
    fn a_uuid_is_the_key_that_its_number_is() {
        let (mut uuid, mut number) = (Vec::new(), Vec::new());
        Uuid::from_u128(7 << 90).encode(&mut uuid);
        (7_u128 << 90).encode(&mut number);
        assert_eq!(uuid, number);
    }
}
