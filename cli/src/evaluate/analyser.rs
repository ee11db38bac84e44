//! Whoever understands messages.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use ::events::{ModelRun, Understanding};
use anyhow::{anyhow, bail};
use clap::Args;
use language_model::{CallError, LanguageModel, LanguageModelMetrics, Settings};
use reactors::intent::{Asked, LOCAL_ANALYSER, instructions_hash, understand};
use runtime::telemetry::Telemetry;
use serde::Serialize;
use understanding::{Vocabulary, analyse};

/// After so many messages without any answer it is no use to go on.
const IN_VAIN: usize = 5;

/// Who is measured.
#[derive(Args, Clone, Debug)]
pub struct AnalyserArguments {
    /// Measure the local analyser, although a language model is configured
    #[arg(long)]
    pub local: bool,
    #[command(flatten)]
    pub language_model: Settings,
}

/// The local analyser, or a language model.
pub struct Analyser {
    vocabulary: Vocabulary,
    language_model: Option<LanguageModel>,
    parallel: usize,
    seen: Mutex<Seen>,
}

/// What was seen so far.
#[derive(Default)]
struct Seen {
    run: Option<ModelRun>,
    unanswered: BTreeMap<String, usize>,
}

/// Who was measured.
#[derive(Debug, Serialize)]
pub struct MeasuredAnalyser {
    /// The local analyser's name, or the model's as its server says it.
    pub name: String,
    /// SHA-256 of instructions, schema and parameters, without a message; none for the local analyser.
    pub prompt_hash: Option<String>,
    /// How the model was asked.
    pub parameters: BTreeMap<String, String>,
    /// Messages that were not answered, by why not.
    pub unanswered: BTreeMap<String, usize>,
}

impl Analyser {
    /// The one that the settings name; without a language model, or with `--local`, the local one.
    ///
    /// # Errors
    /// When a setting of the language model cannot be used.
    pub fn new(arguments: &AnalyserArguments, vocabulary: Vocabulary) -> anyhow::Result<Self> {
        let language_model = if arguments.local {
            None
        } else {
            let metrics = LanguageModelMetrics::register(&Telemetry::new()?.metrics, &[])?;
            LanguageModel::new(&arguments.language_model, metrics)?
        };
        let parallel = if language_model.is_some() { arguments.language_model.max_in_flight.into() } else { 1 };
        Ok(Self { vocabulary, language_model, parallel, seen: Mutex::default() })
    }

    /// How many messages may be asked about at a time.
    pub fn parallel(&self) -> usize {
        self.parallel
    }

    /// Whether messages take long.
    pub fn is_slow(&self) -> bool {
        self.language_model.is_some()
    }

    /// What a message says; none if there was no answer.
    ///
    /// # Errors
    /// When none of the first messages was answered; the error says why the last one was not.
    pub async fn understand(&self, asked: &Asked<'_>) -> anyhow::Result<Option<Understanding>> {
        let Some(language_model) = &self.language_model else {
            return Ok(Some(analyse(&self.vocabulary, asked.context, asked.message).understanding));
        };
        loop {
            let error = match understand(language_model, asked).await {
                Ok((understanding, run)) => {
                    self.seen().run = Some(run);
                    return Ok(Some(understanding));
                }
                Err(error) => error,
            };
            // Nothing was sent: an evaluation has the time that a shopper has not.
            if let Some(until) = later(&*error)
                && self.seen().run.is_some()
            {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            self.give_up(&*error)?;
            return Ok(None);
        }
    }

    fn give_up(&self, error: &(dyn Error + Send + Sync + 'static)) -> anyhow::Result<()> {
        let mut seen = self.seen();
        *seen.unanswered.entry(error.to_string()).or_default() += 1;
        if seen.run.is_none() && seen.unanswered.values().sum::<usize>() >= IN_VAIN {
            let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            bail!("the language model answered none of the first {IN_VAIN} messages: {why}");
        }
        Ok(())
    }

    /// Who it was, once all is understood.
    ///
    /// # Errors
    /// When a language model answered nothing.
    pub fn measured(&self) -> anyhow::Result<MeasuredAnalyser> {
        let Some(language_model) = &self.language_model else {
            let name = LOCAL_ANALYSER.to_owned();
            let (parameters, unanswered) = (BTreeMap::new(), BTreeMap::new());
            return Ok(MeasuredAnalyser { name, prompt_hash: None, parameters, unanswered });
        };
        let seen = self.seen();
        let Some(run) = &seen.run else {
            let why = seen.unanswered.keys().next().map_or("nothing was asked", String::as_str);
            bail!("the language model answered no message: {why}");
        };
        Ok(MeasuredAnalyser {
            name: run.model.to_string(),
            prompt_hash: Some(instructions_hash(language_model).map_err(|error| anyhow!(error))?),
            parameters: run.parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            unanswered: seen.unanswered.clone(),
        })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When a call may be made that was not made now.
fn later(error: &(dyn Error + Send + Sync + 'static)) -> Option<Instant> {
    match error.downcast_ref()? {
        CallError::BudgetSpent { until } | CallError::BreakerOpen { until } => Some(*until),
        _ => None,
    }
}

impl MeasuredAnalyser {
    /// Who it was, in a line or two, and what it did not answer.
    pub fn to_text(&self) -> String {
        let mut text = format!("by {}", self.name);
        if let Some(prompt_hash) = &self.prompt_hash {
            let parameters: Vec<_> = self.parameters.iter().map(|(name, value)| format!("{name} {value}")).collect();
            text += &format!("; prompt {prompt_hash}; {}", parameters.join(", "));
        }
        for (why, messages) in &self.unanswered {
            text += &format!("\nnot answered: {messages}, because {why}");
        }
        text
    }
}
