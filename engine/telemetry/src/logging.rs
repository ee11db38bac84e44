//! Logs to stderr, one line an event, each with the name of the process.

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

/// async-openai logs whole responses that do not parse. Its callers log the cause.
const SILENCED: &str = "async_openai=off";

/// Format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Readable text
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// Logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// `RUST_LOG` does not parse.
    #[error("invalid RUST_LOG: expected a list of levels such as \"info,jangbogo_store=debug\"")]
    Filter(#[source] Box<tracing_subscriber::filter::FromEnvError>),
    #[error("logging is already set up in this process")]
    AlreadySet(#[source] tracing_subscriber::util::TryInitError),
}

/// Sends the logs of this process to stderr, filtered by `RUST_LOG`, or by the level if that is unset.
///
/// # Errors
/// When `RUST_LOG` does not parse, or logging is already set up.
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
        // If the reader of stderr has closed it, reporting that on stderr would panic in the task that logs.
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
        let fields = object.strip_prefix('{').ok_or(fmt::Error)?;
        write!(writer, "{{\"process\":{},{fields}", serde_json::Value::from(self.process.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::filter::Directive;

    use super::*;

    #[test]
    fn the_silencing_directive_parses() {
        assert!(SILENCED.parse::<Directive>().is_ok());
    }
}
