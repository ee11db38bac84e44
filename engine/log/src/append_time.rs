//! Time of a record's first append to a log: the broker's timestamp, or an earlier one from a header where the record
//! was imported from another log.

use chrono::{DateTime, SecondsFormat, Utc};
use rdkafka::Timestamp;

/// The header in which an imported record carries the time of its first append, as RFC 3339 with milliseconds.
pub const APPEND_TIME_HEADER: &str = "appendtime";

/// The earliest of the broker's timestamp and those in the record's headers. A header that does not parse is ignored,
/// and so is one later than the broker's timestamp: a record is appended before it is exported.
pub fn append_time<'a>(
    stamp: Timestamp,
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> DateTime<Utc> {
    let stamped = stamp.to_millis().and_then(DateTime::from_timestamp_millis).unwrap_or_default();
    carried_append_time(headers).map_or(stamped, |time| time.min(stamped))
}

/// The earliest time in a record's headers; none if no header parses.
pub fn carried_append_time<'a>(
    headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
) -> Option<DateTime<Utc>> {
    let carried = headers.into_iter().filter(|(name, _)| *name == APPEND_TIME_HEADER);
    carried.filter_map(|(_, value)| parse(value?)).min()
}

/// Value of [`APPEND_TIME_HEADER`] for a time.
#[must_use]
pub fn append_time_value(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn parse(value: &[u8]) -> Option<DateTime<Utc>> {
    let text = std::str::from_utf8(value).ok()?;
    Some(DateTime::parse_from_rfc3339(text).ok()?.to_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: &str = "2026-03-01T12:00:00.250Z";

    fn appended(values: &[Option<&[u8]>]) -> String {
        let time = [("ce_time", Some(b"2020-01-01T00:00:00Z".as_slice()))];
        let headers = time.into_iter().chain(values.iter().map(|value| (APPEND_TIME_HEADER, *value)));
        let stamp = Timestamp::LogAppendTime(STAMP.parse::<DateTime<Utc>>().unwrap().timestamp_millis());
        append_time_value(append_time(stamp, headers))
    }

    #[test]
    fn a_header_wins_over_the_brokers_stamp() {
        assert_eq!(appended(&[Some(b"2025-12-31T23:59:59.999Z")]), "2025-12-31T23:59:59.999Z");
        assert_eq!(appended(&[Some(b"2026-01-01T08:59:59.999+09:00")]), "2025-12-31T23:59:59.999Z");
    }

    #[test]
    fn without_a_readable_header_the_stamp_counts() {
        assert_eq!(appended(&[]), STAMP);
        for value in [None, Some(b"yesterday".as_slice()), Some(b"\xff\xfe"), Some(b""), Some(b"1767225599999")] {
            assert_eq!(appended(&[value]), STAMP);
        }
    }

    #[test]
    fn the_earliest_counts() {
        assert_eq!(appended(&[Some(b"2026-03-01T13:00:00Z")]), STAMP);
        let several: [Option<&[u8]>; 3] = [Some(b"2026-02-02T00:00:00Z"), Some(b"2026-02-01T00:00:00Z"), Some(b"?")];
        assert_eq!(appended(&several), "2026-02-01T00:00:00.000Z");
    }
}
