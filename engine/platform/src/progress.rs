//! Progress of long commands: bars on a terminal and lines elsewhere, both on stderr, or JSON lines on stdout.

use std::fmt;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressState, ProgressStyle};
use serde_json::json;

/// Interval of lines where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(5);
const JSON_INTERVAL: Duration = Duration::from_secs(1);
const SPINNER_INTERVAL: Duration = Duration::from_millis(120);

/// Output of progress, shared by the tasks of one command.
#[derive(Clone, Debug)]
pub struct ProgressReporter(Output);

#[derive(Clone, Debug)]
enum Output {
    Bars(MultiProgress),
    Lines,
    Json,
    Silent,
}

/// Progress of one task. Clones share their state.
#[derive(Clone, Debug)]
pub struct Progress {
    name: &'static str,
    /// The plural noun that lines count: `events`.
    unit: &'static str,
    output: Output,
    bar: ProgressBar,
    phase: Arc<Mutex<Phase>>,
}

#[derive(Debug)]
struct Phase {
    name: String,
    began: Instant,
    last_line: Instant,
}

impl ProgressReporter {
    /// Bars if stderr is a terminal, else lines.
    #[must_use]
    pub fn on_standard_error() -> Self {
        Self(if io::stderr().is_terminal() { Output::Bars(MultiProgress::new()) } else { Output::Lines })
    }

    /// JSON lines on stdout, for programs.
    #[must_use]
    pub fn json() -> Self {
        Self(Output::Json)
    }

    #[must_use]
    pub fn silent() -> Self {
        Self(Output::Silent)
    }

    /// A task whose phases count `unit`s, such as `events`.
    #[must_use]
    pub fn task(&self, name: &'static str, unit: &'static str) -> Progress {
        let template = "{prefix:16} {msg:13} {wide_bar} {human_pos}/{human_len}, {rate}/s, {eta} left";
        self.add(name, unit, ProgressBar::new(0), template)
    }

    /// A task whose steps have no known length.
    #[must_use]
    pub fn spinner(&self, name: &'static str) -> Progress {
        let progress = self.add(name, "", ProgressBar::new_spinner(), "{spinner} {prefix:14} {msg}");
        if matches!(self.0, Output::Bars(_)) {
            progress.bar.enable_steady_tick(SPINNER_INTERVAL);
        }
        progress
    }

    /// Prints a message that concerns no single task.
    pub fn note(&self, message: &str) {
        match &self.0 {
            // Fails only if the terminal was closed.
            Output::Bars(bars) => drop(bars.println(message)),
            Output::Lines => eprintln!("{message}"),
            Output::Json | Output::Silent => {}
        }
    }

    fn add(&self, name: &'static str, unit: &'static str, bar: ProgressBar, template: &str) -> Progress {
        let bar = match &self.0 {
            Output::Bars(bars) => bars.add(bar),
            Output::Lines | Output::Json | Output::Silent => ProgressBar::hidden(),
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            let write_rate = |state: &ProgressState, output: &mut dyn fmt::Write| {
                // A closed terminal does not end the command.
                let _ = write!(output, "{:.0}", state.per_sec());
            };
            bar.set_style(style.with_key("rate", write_rate));
        }
        bar.set_prefix(name);
        let now = Instant::now();
        let phase = Arc::new(Mutex::new(Phase { name: "waiting".to_owned(), began: now, last_line: now }));
        Progress { name, unit, output: self.0.clone(), bar, phase }
    }
}

impl Progress {
    /// A task of one phase on stderr.
    #[must_use]
    pub fn of_one_phase(name: &'static str, unit: &'static str, total: u64) -> Self {
        let progress = ProgressReporter::on_standard_error().task(name, unit);
        progress.bar.set_length(total);
        progress.lock().name.clear();
        progress
    }

    /// Begins a phase; `total` is 0 if its length is unknown.
    pub fn begin(&self, phase: &str, total: u64) {
        tracing::debug!(task = self.name, phase, "progress");
        let now = Instant::now();
        *self.lock() = Phase { name: phase.to_owned(), began: now, last_line: now };
        self.bar.reset();
        self.bar.set_length(total);
        self.bar.set_message(phase.to_owned());
        self.report(None);
    }

    /// Begins a phase whose name changes often, such as a count of bytes: not every one gets a line.
    pub fn detail(&self, phase: &str) {
        self.bar.set_message(phase.to_owned());
        phase.clone_into(&mut self.lock().name);
        self.report_if_due();
    }

    /// Adds to the amount that is done.
    pub fn advance(&self, amount: u64) {
        self.bar.inc(amount);
        self.report_if_due();
    }

    /// Sets the amount that is done.
    pub fn set_position(&self, position: u64) {
        self.bar.set_position(position);
        self.report_if_due();
    }

    /// Changes the amount that there is to do.
    pub fn set_total(&self, total: u64) {
        self.bar.set_length(total);
    }

    /// Prints a message about the task.
    pub fn println(&self, message: &str) {
        match &self.output {
            Output::Bars(bars) => drop(bars.println(format!("{}: {message}", self.name))),
            Output::Lines => eprintln!("{}: {message}", self.name),
            Output::Json => self.report(Some(message)),
            Output::Silent => {}
        }
    }

    /// Ends the task in a last phase and prints `message`.
    pub fn finish(&self, phase: &str, message: &str) {
        phase.clone_into(&mut self.lock().name);
        self.bar.finish_with_message(phase.to_owned());
        self.println(message);
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report_if_due(&self) {
        let interval = match self.output {
            Output::Bars(_) | Output::Silent => return,
            Output::Lines => LINE_INTERVAL,
            Output::Json => JSON_INTERVAL,
        };
        let mut phase = self.lock();
        if phase.last_line.elapsed() >= interval {
            phase.last_line = Instant::now();
            drop(phase);
            self.report(None);
        }
    }

    fn report(&self, message: Option<&str>) {
        let (phase, seconds) = {
            let phase = self.lock();
            (phase.name.clone(), phase.began.elapsed().as_secs_f64())
        };
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or_default());
        #[expect(clippy::cast_precision_loss, reason = "a rate is shown without fractions")]
        let rate = if seconds > 0.0 { done as f64 / seconds } else { 0.0 };
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let seconds_left = (rate > 0.0 && total > done).then(|| (total - done) as f64 / rate);
        match self.output {
            Output::Bars(_) | Output::Silent => {}
            Output::Lines => {
                let mut line = self.name.to_owned();
                if !phase.is_empty() {
                    line = format!("{line}: {phase}");
                }
                if total > 0 {
                    line = format!("{line}: {done} of {total} {}, {rate:.0}/s", self.unit);
                }
                if let Some(seconds) = seconds_left {
                    line = format!("{line}, {} left", HumanDuration(Duration::from_secs_f64(seconds.min(1e9))));
                }
                eprintln!("{line}");
            }
            Output::Json => {
                let mut line = json!({
                    "projection": self.name, "state": phase, "events": done, "total": total,
                    "events_per_second": rate.round(),
                });
                if let Some(seconds) = seconds_left {
                    line["seconds_left"] = json!(seconds.round());
                }
                if let Some(message) = message {
                    line["message"] = json!(message);
                }
                // A closed reader (`| head`) does not end the command.
                let _ = writeln!(io::stdout().lock(), "{line}");
            }
        }
    }
}
