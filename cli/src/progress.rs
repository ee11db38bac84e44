//! How far a long command is: a bar on a terminal, a line now and then elsewhere. Both go to standard error.

use std::io::{self, IsTerminal as _};

use indicatif::{ProgressBar, ProgressStyle};

/// Shown while something runs.
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    is_terminal: bool,
    told_tenths: u64,
}

impl Progress {
    /// Begins to show `what` runs, of `total` steps.
    #[must_use]
    pub fn new(what: &'static str, total: u64) -> Self {
        let bar = ProgressBar::new(total).with_message(what);
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}") {
            bar.set_style(style);
        }
        Self { bar, what, is_terminal: io::stderr().is_terminal(), told_tenths: 0 }
    }

    /// One step more.
    pub fn step(&mut self) {
        self.at(self.bar.position() + 1);
    }

    /// So many steps are done.
    pub fn at(&mut self, position: u64) {
        self.bar.set_position(position);
        let total = self.bar.length().unwrap_or_default();
        let tenths = (position * 10).checked_div(total).unwrap_or_default();
        if !self.is_terminal && tenths > self.told_tenths {
            self.told_tenths = tenths;
            eprintln!("{}: {position} of {total}", self.what);
        }
    }

    /// Ends it and clears the line.
    pub fn finish(self) {
        self.bar.finish_and_clear();
    }
}
