//! Imports the demo shop unless it is in the log already, and waits until it is folded.

use std::time::{Duration, Instant};

use anyhow::bail;
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use serde_json::Value;

use super::log_counts::LogCounts;
use super::web::Web;
use crate::events::import::{self, ImportArguments, Report};

/// Imports the demo shop if the log does not hold all of it. Returns the report of its file.
pub async fn load(connections: &Connections) -> anyhow::Result<Report> {
    let arguments = ImportArguments::default();
    let report = import::read(&arguments, connections).await?.report;
    let counts = LogCounts::read(connections).await?;
    let expected = report.products + report.orders + report.cancellations;
    if counts.imported_events() == expected {
        eprintln!("the demo shop is in the log: {expected} events");
        return Ok(report);
    }
    eprintln!("importing the demo shop: {expected} events …");
    import::import(&arguments, connections).await?;
    Ok(report)
}

/// Waits until every processor has folded the log to its end and published the changes. Returns the pipeline's state.
pub async fn wait_until_folded(web: &Web, limit: Duration) -> anyhow::Result<Value> {
    let started = Instant::now();
    let progress = Progress::of_one_phase("folding", "events", 0);
    loop {
        let state = web.get("/v1/pipeline").await?;
        if state["settled"].as_bool() == Some(true) {
            return Ok(state);
        }
        let Backlog { folded, end, stale } = backlog(&state);
        progress.detail(&format!("{stale} values to publish"));
        progress.set_total(end);
        progress.set_position(folded);
        if started.elapsed() > limit {
            bail!("the log is not folded after {limit:?}: {state}");
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// Backlog of all processors.
struct Backlog {
    folded: u64,
    end: u64,
    stale: u64,
}

fn backlog(state: &Value) -> Backlog {
    let mut all = Backlog { folded: 0, end: 0, stale: 0 };
    for processor in state["processors"].as_array().into_iter().flatten() {
        all.stale += processor["publishing"]["stale"].as_u64().unwrap_or_default();
        for partition in processor["partitions"].as_array().into_iter().flatten() {
            all.folded += partition["next_offset"].as_u64().unwrap_or_default();
            all.end += partition["end_offset"].as_u64().unwrap_or_default();
        }
    }
    all
}
