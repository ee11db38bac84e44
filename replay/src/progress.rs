//! How far each projection is: a bar for each on a terminal, lines now and then elsewhere, or JSON for programs.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use serde_json::json;

/// How often a line is printed where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);
/// How often JSON is.
const JSON_INTERVAL: Duration = Duration::from_secs(1);

/// What is shown of several projections.
#[derive(Clone, Debug)]
pub struct Board(Shown);

#[derive(Clone, Debug)]
enum Shown {
    Bars(MultiProgress),
    Lines,
    Json,
}

/// What is shown of one projection. Clones show the same.
#[derive(Clone, Debug)]
pub struct Progress {
    name: &'static str,
    shown: Shown,
    bar: ProgressBar,
    phase: Arc<Mutex<Phase>>,
}

#[derive(Debug)]
struct Phase {
    state: String,
    began: Instant,
    told: Instant,
}

impl Board {
    /// JSON on standard output, or whatever suits standard error.
    #[must_use]
    pub fn new(json: bool) -> Self {
        Self(match (json, std::io::stderr().is_terminal()) {
            (true, _) => Shown::Json,
            (false, true) => Shown::Bars(MultiProgress::new()),
            (false, false) => Shown::Lines,
        })
    }

    /// One more projection.
    #[must_use]
    pub fn projection(&self, name: &'static str) -> Progress {
        let bar = match &self.0 {
            Shown::Bars(bars) => bars.add(ProgressBar::new(0)),
            Shown::Lines | Shown::Json => ProgressBar::hidden(),
        };
        let template = "{prefix:16} {msg:13} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}";
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_prefix(name);
        let now = Instant::now();
        let phase = Arc::new(Mutex::new(Phase { state: "waiting".to_owned(), began: now, told: now }));
        Progress { name, shown: self.0.clone(), bar, phase }
    }
}

impl Progress {
    /// Another state, with so many events ahead.
    pub fn begin(&self, state: &str, total: u64) {
        let now = Instant::now();
        *self.lock() = Phase { state: state.to_owned(), began: now, told: now };
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_message(state.to_owned());
        self.tell(None);
    }

    /// So many more events are done.
    pub fn advance(&self, events: u64) {
        self.bar.inc(events);
        let interval = match self.shown {
            Shown::Bars(_) => return,
            Shown::Lines => LINE_INTERVAL,
            Shown::Json => JSON_INTERVAL,
        };
        let is_due = self.lock().told.elapsed() >= interval;
        if is_due {
            self.lock().told = Instant::now();
            self.tell(None);
        }
    }

    /// Something that people should know.
    pub fn say(&self, message: &str) {
        match &self.shown {
            Shown::Bars(bars) => drop(bars.println(format!("{}: {message}", self.name))),
            Shown::Lines => eprintln!("{}: {message}", self.name),
            Shown::Json => self.tell(Some(message)),
        }
    }

    /// The end, in a last state.
    pub fn finish(&self, state: &str, message: &str) {
        state.clone_into(&mut self.lock().state);
        self.bar.finish_with_message(state.to_owned());
        self.say(message);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, message: Option<&str>) {
        let (state, seconds) = {
            let phase = self.lock();
            (phase.state.clone(), phase.began.elapsed().as_secs_f64())
        };
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown without fractions")]
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        match self.shown {
            Shown::Bars(_) => {}
            Shown::Lines if total == 0 => eprintln!("{}: {state}", self.name),
            Shown::Lines => eprintln!("{}: {state}: {done} of {total} events, {rate:.0} a second", self.name),
            Shown::Json => {
                let mut line = json!({
                    "projection": self.name, "state": state, "events": done, "total": total, "events_per_second": rate.round(),
                });
                if rate > 0.0 && total > done {
                    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
                    let left = (total - done) as f64 / rate;
                    line["seconds_left"] = json!(left.round());
                }
                if let Some(message) = message {
                    line["message"] = json!(message);
                }
                // A reader that has gone away is no reason to stop.
                let _ = writeln!(std::io::stdout().lock(), "{line}");
            }
        }
    }
}
