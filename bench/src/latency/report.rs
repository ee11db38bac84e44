//! Report of the events' latencies, as text and JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::load::Produced;
use super::probe::Probe;
use crate::report::{Percentiles, as_float, table};

/// Condition under which events were sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum During {
    Load,
    /// Load and a rebuild.
    Rebuild,
    /// One step of a rebuild.
    Step(String),
}

impl During {
    fn includes(&self, probe: &Probe) -> bool {
        match self {
            During::Load => probe.step.is_none(),
            During::Rebuild => probe.step.is_some(),
            During::Step(step) => probe.step.as_ref() == Some(step),
        }
    }
}

/// The response in which an event is visible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Seen {
    /// An order in the member's purchase pattern.
    Order,
    /// A view in the member's recommendations.
    View,
}

/// Duration of a rebuild in seconds, or its error.
pub type RebuildOutcome = Result<f64, String>;

#[derive(Debug, Serialize)]
pub struct Report {
    /// Requested rate in events a second.
    rate: u32,
    /// Actual rate in events a second.
    events_per_second: f64,
    rows: Vec<Row>,
    /// Duration of each rebuild in seconds.
    rebuild_seconds: Vec<f64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
    /// The 99th percentile of all events during a rebuild as a multiple of that before.
    #[serde(skip_serializing_if = "Option::is_none")]
    p99_ratio: Option<f64>,
}

/// Events of one kind: milliseconds from the append to the response that contains them.
#[derive(Debug, Serialize)]
struct Row {
    during: During,
    /// The kind of event; none for all kinds.
    seen: Option<Seen>,
    probes: usize,
    #[serde(flatten)]
    times: Percentiles,
}

impl Report {
    pub fn new(rate: u32, load: Produced, probes: &[Probe], rebuilds: Vec<RebuildOutcome>) -> Self {
        let mut rows = Vec::new();
        for during in [During::Load, During::Rebuild] {
            for seen in [None, Some(Seen::Order), Some(Seen::View)] {
                let of_row = |probe: &&Probe| during.includes(probe) && seen.is_none_or(|seen| probe.seen == seen);
                rows.extend(row(during.clone(), seen, probes.iter().filter(of_row)));
            }
        }
        let mut steps: Vec<&String> = Vec::new();
        for step in probes.iter().filter_map(|probe| probe.step.as_ref()) {
            if !steps.contains(&step) {
                steps.push(step);
            }
        }
        for step in steps {
            let during = During::Step(step.clone());
            rows.extend(row(during.clone(), None, probes.iter().filter(|probe| during.includes(probe))));
        }
        let mut warnings = Vec::new();
        let lost = probes.iter().filter(|probe| probe.latency.is_none()).count();
        if lost > 0 {
            warnings.push(format!("{lost} events were lost"));
        }
        let errors: u64 = probes.iter().map(|probe| probe.errors).sum();
        if errors > 0 {
            warnings.push(format!("{errors} answers were errors"));
        }
        let mut rebuild_seconds = Vec::new();
        for rebuild in rebuilds {
            match rebuild {
                Ok(seconds) => rebuild_seconds.push(seconds),
                Err(error) => warnings.push(format!("a rebuild failed: {error}")),
            }
        }
        let p99 = |during: During| rows.iter().find(|row| row.during == during).map(|row| row.times.p99_ms);
        let p99_ratio = p99(During::Rebuild).zip(p99(During::Load)).map(|(rebuild, load)| rebuild / load);
        let events_per_second = as_float(load.events) / load.took.as_secs_f64();
        Self { rate, events_per_second, rows, rebuild_seconds, warnings, p99_ratio }
    }

    pub fn to_text(&self) -> String {
        let mut text = format!("{:.0} of {} events a second\n\n", self.events_per_second, self.rate);
        let rows = self.rows.iter().map(|Row { during, seen, probes, times }| {
            let seen = match seen {
                None => "all",
                Some(Seen::Order) => "order → purchase pattern",
                Some(Seen::View) => "view → recommendations",
            };
            let kind = match during {
                During::Load => seen.to_owned(),
                During::Rebuild => format!("while rebuilding: {seen}"),
                During::Step(step) => format!("  {step}"),
            };
            [vec![kind, probes.to_string()], times.cells().to_vec()].concat()
        });
        // Writing to a String cannot fail.
        let _ = write!(text, "{}", table(["", "probes", "p50", "p95", "p99", "longest"], rows));
        for seconds in &self.rebuild_seconds {
            let _ = write!(text, "\na rebuild took {seconds:.2} s");
        }
        if let Some(ratio) = self.p99_ratio {
            let _ = write!(text, "\np99 while rebuilding is {ratio:.2} × that before");
        }
        for warning in &self.warnings {
            let _ = write!(text, "\nwarning: {warning}");
        }
        text
    }
}

fn row<'a>(during: During, seen: Option<Seen>, probes: impl Iterator<Item = &'a Probe>) -> Option<Row> {
    let latencies: Vec<f64> =
        probes.filter_map(|probe| probe.latency).map(|latency| latency.as_secs_f64() * 1_000.0).collect();
    Some(Row { during, seen, probes: latencies.len(), times: Percentiles::from_milliseconds(latencies)? })
}
