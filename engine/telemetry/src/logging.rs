//! Logs go to stderr, one line an event, each with the process's name.

use std::fmt;
use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Json, JsonFields, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

/// async-openai logs whole answers that it cannot read. What is wrong with one is said by whoever asked.
const SILENCED: &str = "async_openai=off";

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` is no filter.
    #[error("RUST_LOG is not a list of levels such as \"info,runtime=debug\"")]
    Filter(#[source] Box<tracing_subscriber::filter::FromEnvError>),
    /// Logging was set up before.
    #[error("logging is already set up in this process")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends logs of this process to stderr, filtered by `RUST_LOG`, or from a level on if that is unset.
///
/// # Errors
/// When `RUST_LOG` is no filter, or logging was set up before.
pub fn init_logging(process: &str, level: LevelFilter, format: LogFormat) -> Result<(), LoggingError> {
    let filter = EnvFilter::builder()
        .with_default_directive(level.into())
        .from_env()
        .map_err(|error| LoggingError::Filter(Box::new(error)))?;
    let filter = match SILENCED.parse() {
        Ok(silenced) => filter.add_directive(silenced),
        Err(_) => filter,
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        // Whoever read standard error may be gone, and saying so there would panic in whatever task logs.
        .log_internal_errors(false)
        .with_ansi(std::io::stderr().is_terminal());
    let process = process.to_owned();
    match format {
        LogFormat::Text => {
            subscriber.event_format(NamedText { process, format: Format::default() }).finish().try_init()
        }
        LogFormat::Json => subscriber
            .fmt_fields(JsonFields::new())
            .event_format(NamedJson { process, format: Format::default().json().flatten_event(true) })
            .finish()
            .try_init(),
    }
    .map_err(LoggingError::AlreadySet)
}

struct NamedText {
    process: String,
    format: Format<Full>,
}

impl<S, N> FormatEvent<S, N> for NamedText
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        write!(writer, "{:<17} ", self.process)?;
        self.format.format_event(context, writer, event)
    }
}

struct NamedJson {
    process: String,
    format: Format<Json>,
}

impl<S, N> FormatEvent<S, N> for NamedJson
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut object = String::new();
        self.format.format_event(context, Writer::new(&mut object), event)?;
        let process = serde_json::Value::from(self.process.as_str());
        write!(writer, "{{\"process\":{process},{}", object.trim_start_matches('{'))
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::Directive;

    use super::*;

    #[test]
    fn what_is_silenced_can_be_read() {
        assert!(SILENCED.parse::<Directive>().is_ok());
    }
}
