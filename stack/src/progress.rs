//! Shows what happens to each server while it is brought up.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::server::Server;

/// Where progress is shown.
#[derive(Debug)]
pub struct Progress(Output);

#[derive(Debug)]
enum Output {
    Bars(MultiProgress),
    Lines,
    Silent,
}

impl Progress {
    /// A spinner for each server on a terminal, plain lines otherwise; both on standard error.
    #[must_use]
    pub fn on_standard_error() -> Self {
        if std::io::stderr().is_terminal() {
            return Self(Output::Bars(MultiProgress::new()));
        }
        Self(Output::Lines)
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self(Output::Silent)
    }

    pub(crate) fn of(&self, server: Server) -> ServerProgress {
        let bar = match &self.0 {
            Output::Bars(bars) => {
                let bar = bars.add(ProgressBar::new_spinner());
                if let Ok(style) = ProgressStyle::with_template("{spinner} {prefix:14} {msg}") {
                    bar.set_style(style);
                }
                bar.set_prefix(server.name());
                bar.enable_steady_tick(Duration::from_millis(120));
                Some(bar)
            }
            Output::Lines | Output::Silent => None,
        };
        ServerProgress { server, bar, prints_lines: matches!(self.0, Output::Lines), last_detail: Mutex::new(None) }
    }

    /// Says something that concerns no single server.
    pub(crate) fn note(&self, message: &str) {
        match &self.0 {
            Output::Bars(bars) => {
                // Only a terminal that went away refuses the line, and then nobody reads it.
                let _ = bars.println(message);
            }
            Output::Lines => eprintln!("{message}"),
            Output::Silent => {}
        }
    }
}

/// The progress of one server.
#[derive(Debug)]
pub(crate) struct ServerProgress {
    server: Server,
    bar: Option<ProgressBar>,
    prints_lines: bool,
    last_detail: Mutex<Option<Instant>>,
}

impl ServerProgress {
    /// A new step has begun.
    pub(crate) fn step(&self, message: &str) {
        tracing::debug!(server = self.server.name(), message, "stack step");
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
        }
        if self.prints_lines {
            eprintln!("{:14} {message}", self.server.name());
        }
    }

    /// The current step goes on; without a terminal, one such line every few seconds is enough.
    pub(crate) fn detail(&self, message: &str) {
        const LINES_AT_MOST_EVERY: Duration = Duration::from_secs(3);
        if let Some(bar) = &self.bar {
            bar.set_message(message.to_owned());
            return;
        }
        let Ok(mut last) = self.last_detail.lock() else {
            return;
        };
        if last.is_none_or(|instant| instant.elapsed() >= LINES_AT_MOST_EVERY) {
            *last = Some(Instant::now());
            drop(last);
            self.step(message);
        }
    }

    /// Nothing more will happen to this server.
    pub(crate) fn finish(&self, message: &str) {
        self.step(message);
        if let Some(bar) = &self.bar {
            bar.finish();
        }
    }
}

/// `bytes` for a reader: `24.7 MB`.
pub(crate) fn megabytes(bytes: u64) -> String {
    let tenths = bytes.saturating_add(50_000) / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::megabytes;

    #[test]
    fn sizes_are_rounded_to_a_tenth_of_a_megabyte() {
        assert_eq!(megabytes(24_704_024), "24.7 MB");
        assert_eq!(megabytes(999), "0.0 MB");
        assert_eq!(megabytes(106_971_955), "107.0 MB");
    }
}
