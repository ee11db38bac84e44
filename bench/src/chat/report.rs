//! Report of the replies' latencies, as text and JSON.

use std::fmt::Write as _;
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::ledger::{Message, Stage};
use super::lists::Lists;
use super::load::LoadResult;
use crate::report::{Percentiles, as_float, table};

#[derive(Debug, Serialize)]
pub struct Report {
    /// Open conversations, each with a WebSocket.
    pub conversations: usize,
    /// Median latency of a single hop on an idle machine, in milliseconds: a record appended, read by a waiting
    /// consumer, and one row committed.
    pub hop_ms: f64,
    pub rates: Vec<RateReport>,
    /// The highest sustained rate in messages a second, if it was searched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub highest_rate: Option<u32>,
    /// Latencies of members' lists; none with a slow model.
    pub lists: Vec<ListRow>,
    /// Counts with a slow model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_model: Option<SlowReport>,
    /// Total number of messages, each answered exactly once.
    pub messages: usize,
}

#[derive(Debug, Serialize)]
pub struct RateReport {
    /// Messages a second.
    pub rate: u32,
    pub messages: usize,
    /// Number of unanswered messages when the last was due.
    pub behind: usize,
    pub rows: Vec<Row>,
}

/// Latency in milliseconds between two points of a message.
#[derive(Debug, Serialize)]
pub struct Row {
    pub span: String,
    #[serde(flatten)]
    pub times: Percentiles,
    /// Number of hops in between: a record appended, read, and folded in a commit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hops: Option<u32>,
    /// The median as a multiple of that number of single hops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multiple_of_hops: Option<f64>,
}

/// Latency from the acceptance of an act to the changed list.
#[derive(Debug, Serialize)]
pub struct ListRow {
    pub act: &'static str,
    pub acts: usize,
    #[serde(flatten)]
    pub times: Percentiles,
}

/// With a model that takes 20 s and fails one request in five.
#[derive(Debug, Serialize)]
pub struct SlowReport {
    pub asked: u64,
    /// Replies of the model; the others are template replies.
    pub by_model: usize,
    /// Rebalances of the processors' groups meanwhile.
    pub rebalances: u64,
}

/// A point in time of a message.
type Point = fn(&Message) -> Option<DateTime<Utc>>;

/// Reported latencies: from, to, and the hops in between. The log's times are in whole milliseconds.
const SPANS: [(&str, Point, Point, Option<u32>); 10] = [
    ("due → accepted", |message| message.due, |message| message.accepted, None),
    ("accepted → intent pushed", |message| message.accepted, |message| pushed(message, Stage::Intent), Some(2)),
    (
        "accepted → recommendation pushed",
        |message| message.accepted,
        |message| pushed(message, Stage::Recommendation),
        Some(3),
    ),
    ("accepted → reply pushed", |message| message.accepted, Message::replied, Some(4)),
    ("due → reply pushed", |message| message.due, Message::replied, None),
    ("  accepted → message in the log", |message| message.accepted, |message| appended(message, Stage::Message), None),
    (
        "  message → intent in the log",
        |message| appended(message, Stage::Message),
        |message| appended(message, Stage::Intent),
        None,
    ),
    (
        "  intent → recommendation in the log",
        |message| appended(message, Stage::Intent),
        |message| appended(message, Stage::Recommendation),
        None,
    ),
    (
        "  recommendation → reply in the log",
        |message| appended(message, Stage::Recommendation),
        |message| appended(message, Stage::Reply),
        None,
    ),
    ("  reply in the log → pushed", |message| appended(message, Stage::Reply), Message::replied, None),
];

fn pushed(message: &Message, stage: Stage) -> Option<DateTime<Utc>> {
    message.pushed[stage as usize]
}

fn appended(message: &Message, stage: Stage) -> Option<DateTime<Utc>> {
    message.appended[stage as usize]
}

impl RateReport {
    /// Results of one rate, relative to a single hop.
    pub fn new(rate: u32, result: &LoadResult, hop_ms: f64) -> Self {
        let rows = SPANS.iter().filter_map(|(span, from, to, hops)| {
            let milliseconds = |message| Some(milliseconds(from(message)?, to(message)?));
            let times = Percentiles::from_milliseconds(result.messages.iter().filter_map(milliseconds).collect())?;
            let multiple_of_hops = hops.map(|hops| times.p50_ms / (f64::from(hops) * hop_ms));
            Some(Row { span: (*span).to_owned(), times, hops: *hops, multiple_of_hops })
        });
        Self { rate, messages: result.messages.len(), behind: result.behind, rows: rows.collect() }
    }

    /// True if messages were answered within the limit from their due time, and no more were unanswered at the end than
    /// are sent within the limit.
    pub fn is_sustained(&self, limit: Duration) -> bool {
        let replies = self.rows.iter().find(|row| row.span == "due → reply pushed");
        let in_time = replies.is_some_and(|row| row.times.p95_ms <= limit.as_secs_f64() * 1_000.0);
        in_time && as_float(self.behind as u64) <= f64::from(self.rate) * limit.as_secs_f64()
    }
}

impl ListRow {
    /// Percentiles of views and of orders.
    pub fn all(lists: Lists) -> Vec<Self> {
        let row =
            |act, times: Vec<f64>| Some(Self { act, acts: times.len(), times: Percentiles::from_milliseconds(times)? });
        [row("a view", lists.views), row("an order", lists.orders)].into_iter().flatten().collect()
    }
}

impl Report {
    pub fn to_text(&self) -> String {
        let Self { conversations, hop_ms, messages, .. } = self;
        let mut text = format!(
            "{conversations} conversations with a WebSocket each; {messages} messages, each answered exactly once\n\
             one hop alone (a record appended and read, a row committed): {hop_ms:.1} ms\n"
        );
        // Writing to a String cannot fail.
        for rate in &self.rates {
            let RateReport { rate, messages, behind, rows } = rate;
            let _ = write!(
                text,
                "\n{rate} messages a second: {messages}, {behind} of them unanswered when the last was due\n"
            );
            let rows = rows.iter().map(|Row { span, times, hops, multiple_of_hops }| {
                let hops = hops.zip(*multiple_of_hops);
                let multiple = hops.map_or_else(String::new, |(hops, multiple)| format!("{multiple:.1} × {hops}"));
                [vec![span.clone()], times.cells().to_vec(), vec![multiple]].concat()
            });
            let _ = writeln!(text, "{}", table(["", "p50", "p95", "p99", "longest", "p50 / hops alone"], rows));
        }
        if let Some(highest) = self.highest_rate {
            let _ = writeln!(text, "\nhighest sustained rate: {highest} messages a second");
        }
        if !self.lists.is_empty() {
            let header = ["accepted → in the member's list", "acts", "p50", "p95", "p99", "longest"];
            let rows = self.lists.iter().map(|ListRow { act, acts, times }| {
                [vec![(*act).to_owned(), acts.to_string()], times.cells().to_vec()].concat()
            });
            let _ = writeln!(text, "\n{}", table(header, rows));
        }
        if let Some(SlowReport { asked, by_model, rebalances }) = &self.slow_model {
            let _ = writeln!(
                text,
                "\nthe slow model had {asked} requests and wrote {by_model} replies; {rebalances} rebalances"
            );
        }
        text
    }
}

/// The log's whole milliseconds may be up to one millisecond before the preceding point.
fn milliseconds(from: DateTime<Utc>, to: DateTime<Utc>) -> f64 {
    (to - from).to_std().unwrap_or_default().as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    /// Messages that were answered after these milliseconds.
    fn result(milliseconds: &[i64], behind: usize) -> LoadResult {
        let answered = |milliseconds: &i64| {
            let (due, mut message) = (Utc::now(), Message::default());
            (message.due, message.accepted) = (Some(due), Some(due));
            message.pushed[Stage::Reply as usize] = Some(due + TimeDelta::milliseconds(*milliseconds));
            message
        };
        LoadResult { messages: milliseconds.iter().map(answered).collect(), behind }
    }

    #[test]
    fn a_rate_is_sustained_while_answers_come_in_time_and_nothing_piles_up() {
        let limit = Duration::from_millis(500);
        let judged = |result: &LoadResult| RateReport::new(30, result, 2.0).is_sustained(limit);
        assert!(judged(&result(&[100; 100], 3)));
        assert!(!judged(&result(&[600; 100], 3)), "too late");
        assert!(!judged(&result(&[100; 100], 16)), "it falls behind");
        assert!(!judged(&result(&[], 0)), "nothing was answered");
    }

    #[test]
    fn hops_are_what_a_median_is_a_multiple_of() {
        let report = RateReport::new(30, &result(&[80; 10], 0), 2.0);
        let reply = report.rows.iter().find(|row| row.hops == Some(4)).unwrap();
        assert_eq!(reply.multiple_of_hops, Some(10.0));
    }
}
