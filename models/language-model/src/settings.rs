//! Settings of the language model.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use jangbogo_openai::ApiKey;

/// The settings of the language model. Each is a flag and an environment variable.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Language model")]
pub struct Settings {
    /// Base URL of an OpenAI-compatible server (…/v1). Without it OpenAI itself is used, if there is a key; with
    /// neither there is no language model, and local rules analyse messages and write replies
    #[arg(id = "llm_base_url", long = "llm-base-url", env = "OPENAI_BASE_URL")]
    pub base_url: Option<String>,
    /// API key of the server. Local servers need none
    #[arg(id = "llm_api_key", long = "llm-api-key", env = "OPENAI_API_KEY", hide_env_values = true)]
    pub api_key: Option<ApiKey>,
    /// Model id
    #[arg(id = "llm_model", long = "llm-model", env = "OPENAI_MODEL", default_value = "gpt-4o-mini")]
    pub model: String,
    /// Sampling temperature, from 0 to 2; `none` leaves it to the server, as some models require
    #[arg(id = "llm_temperature", long = "llm-temperature", env = "LLM_TEMPERATURE", default_value = "0")]
    pub temperature: Temperature,
    /// Time limit of a call, all attempts included, in seconds
    #[arg(id = "llm_timeout", long = "llm-timeout", env = "LLM_TIMEOUT", default_value = "30", value_parser = seconds)]
    pub time_limit: Duration,
    /// Time limit until the first chunk of a streamed answer, and between chunks, in seconds
    #[arg(
        id = "llm_piece_timeout",
        long = "llm-piece-timeout",
        env = "LLM_PIECE_TIMEOUT",
        default_value = "10",
        value_parser = seconds
    )]
    pub piece_limit: Duration,
    /// Maximum calls in flight; further calls are rejected at once
    #[arg(
        id = "llm_max_in_flight",
        long = "llm-max-in-flight",
        env = "LLM_MAX_IN_FLIGHT",
        default_value = "10",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub max_in_flight: u16,
    /// Maximum attempts of a call, the first one included
    #[arg(
        id = "llm_attempts",
        long = "llm-attempts",
        env = "LLM_ATTEMPTS",
        default_value = "3",
        value_parser = clap::value_parser!(u32).range(1..=10)
    )]
    pub attempts: u32,
    /// Backoff before the second attempt, in seconds; it doubles, with jitter
    #[arg(
        id = "llm_min_pause",
        long = "llm-min-pause",
        env = "LLM_MIN_PAUSE",
        default_value = "1",
        value_parser = seconds
    )]
    pub min_pause: Duration,
    /// Maximum backoff between attempts, in seconds, unless the server asks for more
    #[arg(
        id = "llm_max_pause",
        long = "llm-max-pause",
        env = "LLM_MAX_PAUSE",
        default_value = "5",
        value_parser = seconds
    )]
    pub max_pause: Duration,
    /// Share of failed attempts, from 0 to 1, that opens the circuit breaker
    #[arg(
        id = "llm_breaker_share",
        long = "llm-breaker-share",
        env = "LLM_BREAKER_SHARE",
        default_value = "0.5",
        value_parser = share
    )]
    pub breaker_share: f64,
    /// Minimum attempts before the circuit breaker may open
    #[arg(
        id = "llm_breaker_calls",
        long = "llm-breaker-calls",
        env = "LLM_BREAKER_CALLS",
        default_value = "5",
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    pub breaker_calls: u16,
    /// Window in which the circuit breaker counts attempts, in seconds
    #[arg(
        id = "llm_breaker_window",
        long = "llm-breaker-window",
        env = "LLM_BREAKER_WINDOW",
        default_value = "60",
        value_parser = seconds
    )]
    pub breaker_window: Duration,
    /// Seconds until an open circuit breaker probes the server; doubles up to ten times this
    #[arg(
        id = "llm_breaker_pause",
        long = "llm-breaker-pause",
        env = "LLM_BREAKER_PAUSE",
        default_value = "5",
        value_parser = seconds
    )]
    pub breaker_pause: Duration,
    /// Maximum tokens of an answer; a longer one is an error, not truncated
    #[arg(
        id = "llm_max_output_tokens",
        long = "llm-max-output-tokens",
        env = "LLM_MAX_OUTPUT_TOKENS",
        default_value = "1024",
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub max_output_tokens: u32,
    /// Tokens of prompts and answers per minute; calls beyond are rejected until the budget refills. 0 sets no limit
    #[arg(
        id = "llm_tokens_per_minute",
        long = "llm-tokens-per-minute",
        env = "LLM_TOKENS_PER_MINUTE",
        default_value = "200000"
    )]
    pub tokens_per_minute: u32,
}

impl Default for Settings {
    /// The defaults of the command line.
    fn default() -> Self {
        Self {
            base_url: None,
            api_key: None,
            model: "gpt-4o-mini".to_owned(),
            temperature: Temperature(Some(0.0)),
            time_limit: Duration::from_secs(30),
            piece_limit: Duration::from_secs(10),
            max_in_flight: 10,
            attempts: 3,
            min_pause: Duration::from_secs(1),
            max_pause: Duration::from_secs(5),
            breaker_share: 0.5,
            breaker_calls: 5,
            breaker_window: Duration::from_mins(1),
            breaker_pause: Duration::from_secs(5),
            max_output_tokens: 1024,
            tokens_per_minute: 200_000,
        }
    }
}

/// Sampling temperature, from 0 to 2; none is the server's default.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Temperature(pub Option<f32>);

impl FromStr for Temperature {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "none" {
            return Ok(Self(None));
        }
        match text.parse::<f32>() {
            Ok(temperature) if (0.0..=2.0).contains(&temperature) => Ok(Self(Some(temperature))),
            _ => Err("a temperature is a number from 0 to 2, or none".to_owned()),
        }
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "it must be a number of seconds".to_owned())?;
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() && seconds <= 86_400.0 => Ok(duration),
        _ => Err("it must be more than 0 and at most a day's 86400 seconds".to_owned()),
    }
}

fn share(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(share) if (0.0..=1.0).contains(&share) => Ok(share),
        _ => Err("it must be a number from 0 to 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser, Debug)]
    struct Program {
        #[command(flatten)]
        settings: Settings,
    }

    fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
        let program = Program::try_parse_from([&["program"], arguments].concat());
        program.map(|program| program.settings)
    }

    #[test]
    fn defaults_are_those_of_the_command_line() {
        // The variables are set on some machines.
        let arguments = ["--llm-base-url=", "--llm-api-key=", "--llm-model=gpt-4o-mini"];
        let parsed = parse(&arguments).unwrap();
        let default =
            Settings { base_url: Some(String::new()), api_key: Some(ApiKey::from("")), ..Settings::default() };
        assert_eq!(format!("{parsed:?}"), format!("{default:?}"));
    }

    #[test]
    fn the_key_is_never_shown() {
        let settings = parse(&["--llm-api-key", " sk-secret\n"]).unwrap();
        assert_eq!(settings.api_key, Some(ApiKey::from("sk-secret")));
        assert!(!format!("{settings:#?}").contains("secret"));
    }

    #[test]
    fn invalid_values_are_refused() {
        for arguments in [
            ["--llm-temperature", "3"],
            ["--llm-timeout", "0"],
            ["--llm-timeout", "NaN"],
            ["--llm-breaker-share", "1.5"],
            ["--llm-max-in-flight", "0"],
            ["--llm-attempts", "0"],
        ] {
            assert!(parse(&arguments).is_err(), "{arguments:?}");
        }
        assert_eq!(parse(&["--llm-temperature", "none"]).unwrap().temperature, Temperature(None));
    }
}
