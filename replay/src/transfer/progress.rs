//! How far it is: a bar on a terminal, a line now and then elsewhere. Both go to standard error.

use std::fmt;
use std::io::{self, IsTerminal as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// Shown while records are gone through, by any number of threads.
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    /// When the last line was written; none on a terminal.
    last_line: Option<Mutex<Instant>>,
}

impl Progress {
    /// Begins to show that `what` is done with `total` records.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_message(what);
        let template = "{msg} {wide_bar} {human_pos}/{human_len} records, {rate}/s, {eta} left";
        if let Ok(style) = ProgressStyle::with_template(template) {
            let write_rate = |state: &ProgressState, output: &mut dyn fmt::Write| {
                // A terminal that is gone is no reason to end.
                let _ = write!(output, "{:.0}", state.per_sec());
            };
            bar.set_style(style.with_key("rate", write_rate));
        }
        let last_line = (!io::stderr().is_terminal()).then(|| Mutex::new(Instant::now()));
        Self { bar, what, last_line }
    }

    /// So many records more.
    pub fn advance(&self, records: u64) {
        self.bar.inc(records);
        let Some(last_line) = &self.last_line else { return };
        let mut last_line = last_line.lock().unwrap_or_else(PoisonError::into_inner);
        if last_line.elapsed() < LINE_INTERVAL {
            return;
        }
        *last_line = Instant::now();
        let [done, total] = [self.bar.position(), self.bar.length().unwrap_or_default()].map(HumanCount);
        let (rate, left) = (self.bar.per_sec(), HumanDuration(self.bar.eta()));
        eprintln!("{}: {done} of {total} records, {rate:.0} a second, {left} left", self.what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// A thread's part of the progress: it tells the others now and then, not for each record.
pub struct Share<'a> {
    progress: &'a Progress,
    untold: u64,
}

impl<'a> Share<'a> {
    /// Of that progress.
    #[must_use]
    pub fn of(progress: &'a Progress) -> Self {
        Self { progress, untold: 0 }
    }

    /// One record more. Whether it was told.
    pub fn step(&mut self) -> bool {
        self.untold += 1;
        let is_due = self.untold >= 500;
        if is_due {
            self.tell();
        }
        is_due
    }

    fn tell(&mut self) {
        self.progress.advance(std::mem::take(&mut self.untold));
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.tell();
    }
}
