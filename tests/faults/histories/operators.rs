//! A projection for tests only: every merge operator on every type, null values, and text that Postgres rejects.

#![allow(clippy::struct_field_names, reason = "columns of one table have names of their own")]

use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use jangbogo_events::{Event, Topic};
use jangbogo_fold::{Deltas, FoldConfig, Projection, TableMarker as _};

jangbogo_fold::table! {
    /// Every operator in one row: groups that few events touch, columns that may be absent
    pub Merged "merged" index [number] {
        key MergedKey<'a> { name: &'a str, number: i64, day: NaiveDate }
        add Sum "sum" { units: i64, further_units: Option<i64> }
        max Largest<'a> "largest" {
            most: Option<i64>,
            last_word: Option<&'a str>,
            any_flag: Option<bool>,
            last_day: Option<NaiveDate>,
            newest: Option<DateTime<Utc>>,
            last_id: Option<u128>,
        }
        min Smallest<'a> "smallest" {
            least: Option<i64>,
            first_word: Option<&'a str>,
            all_flag: Option<bool>,
            first_day: Option<NaiveDate>,
            oldest: Option<DateTime<Utc>>,
            first_id: Option<u128>,
        }
        first Earliest<'a> "earliest" {
            early_word: Option<&'a str>,
            early_number: Option<i64>,
            early_flag: Option<bool>,
            early_day: Option<NaiveDate>,
            early_time: Option<DateTime<Utc>>,
            early_id: Option<u128>,
        }
        last Latest<'a> "latest" {
            late_word: Option<&'a str>,
            late_number: Option<i64>,
            late_flag: Option<bool>,
            late_day: Option<NaiveDate>,
            late_time: Option<DateTime<Utc>>,
            late_id: Option<u128>,
        }
    }
}

jangbogo_fold::table! {
    /// Facts whose values may be absent
    pub Facts "fact" {
        key Fact { event: u128, line: i64 }
        once Values<'a> "values" {
            word: Option<&'a str>,
            number: Option<i64>,
            flag: Option<bool>,
            day: Option<NaiveDate>,
            time: Option<DateTime<Utc>>,
            id: Option<u128>,
        }
    }
}

jangbogo_fold::table! {
    /// A set
    pub Moments "moment" {
        key Moment { at: DateTime<Utc> }
    }
}

/// Folds every event into a small number of rows.
pub static PROJECTION: Projection = Projection {
    name: "operators",
    reads: Topic::ALL,
    tables: &[Facts::TABLE, Moments::TABLE, Merged::TABLE],
    fold,
    views: &[],
};

const WORDS: [&str; 8] = ["", "B", "a", "가", "a'b", "\t\\N\n", "\u{1f6cd}\u{fe0f}e\u{301}", "\\."];
/// Text that Postgres rejects: it contains a NUL.
const REFUSED: &str = "a\0b";

/// True for one event in 64: its row is rejected by Postgres.
pub fn is_refused(event: &Event) -> bool {
    event.envelope.hash() >> 122 == 0
}

/// Takes the values from the bits of the event's hash.
fn fold(event: &Event, settings: &FoldConfig, deltas: &mut Deltas) {
    let (at, hash) = (event.envelope.time, event.envelope.hash());
    let mut bits = hash;
    let mut draw = |count: i64| {
        let drawn = i64::try_from(bits & 0xf).unwrap() % count;
        bits >>= 4;
        drawn
    };
    let word = |number: i64| WORDS[usize::try_from(number).unwrap()];
    let key = MergedKey { name: word(draw(3) * 2 + 1), number: draw(2) - 1, day: settings.day(at) };

    let mut optional = |count: i64| (draw(4) > 0).then(|| draw(count));
    let (number, line) = (optional(3), optional(5));
    let word = if is_refused(event) { Some(REFUSED) } else { optional(8).map(word) };
    let flag = optional(2).map(|flag| flag == 1);
    let day = optional(3).map(|days| settings.day(at) + Days::new(days.unsigned_abs()));
    let time = optional(3).map(|seconds| at + TimeDelta::seconds(seconds));
    let id = optional(3).map(|id| u128::from(id.unsigned_abs()) << 126 | 1);
    let groups = hash >> 96;

    if groups & 1 == 0 {
        deltas.put(key, Sum { units: line.unwrap_or(-3), further_units: number });
    }
    if groups & 2 == 0 {
        let (most, last_word, any_flag, last_day, newest, last_id) = (number, word, flag, day, time, id);
        deltas.put(key, Largest { most, last_word, any_flag, last_day, newest, last_id });
    }
    if groups & 4 == 0 {
        let (least, first_word, all_flag, first_day, oldest, first_id) = (number, word, flag, day, time, id);
        deltas.put(key, Smallest { least, first_word, all_flag, first_day, oldest, first_id });
    }
    if groups & 8 == 0 {
        deltas.put(
            key,
            Earliest {
                early_word: word,
                early_number: number,
                early_flag: flag,
                early_day: day,
                early_time: time,
                early_id: id,
            },
        );
    }
    if groups & 16 == 0 {
        deltas.put(
            key,
            Latest {
                late_word: word,
                late_number: number,
                late_flag: flag,
                late_day: day,
                late_time: time,
                late_id: id,
            },
        );
    }
    deltas.put(Fact { event: hash, line: line.unwrap_or(0) }, Values { word, number, flag, day, time, id });
    deltas.insert(Moment { at });
}
