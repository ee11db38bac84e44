//! The analyser that is measured: local, or a language model.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{anyhow, bail};
use clap::Args;
use jangbogo_events::{ModelRun, Understanding};
use jangbogo_language_model::{CallError, LanguageModel, LanguageModelMetrics, Settings};
use jangbogo_nlu::{ProductText, Vocabulary, analyse};
use jangbogo_platform::progress::Progress;
use jangbogo_preference_analysis::intent::{Asked, LOCAL_ANALYSER, instructions_hash, understand};
use jangbogo_telemetry::Telemetry;
use serde::Serialize;

/// Number of messages without any answer after which the evaluation gives up.
const MAX_UNANSWERED: usize = 5;

/// Selects the analyser.
#[derive(Args, Clone, Debug)]
pub struct AnalyserArguments {
    /// Measure the local analyser even if a language model is configured
    #[arg(long)]
    pub local: bool,
    #[command(flatten)]
    pub language_model: Settings,
}

/// The local analyser, or a language model.
pub enum Analyser {
    /// The vocabulary of a number of products.
    Local(Box<Vocabulary>, usize),
    /// The model, and the maximum number of concurrent requests.
    LanguageModel(Box<LanguageModel>, usize, Mutex<Seen>),
}

/// Answers of a language model so far.
#[derive(Default)]
pub struct Seen {
    run: Option<ModelRun>,
    unanswered: BTreeMap<String, usize>,
}

/// Description of the measured analyser.
#[derive(Debug, Serialize)]
pub struct MeasuredAnalyser {
    /// The local analyser's name, or the model's as its server reports it.
    pub name: String,
    /// SHA-256 of prompt, schema and parameters without a message; none for the local analyser.
    pub prompt_hash: Option<String>,
    /// Parameters of the model.
    pub parameters: BTreeMap<String, String>,
    /// Number of products in the vocabulary; none for a language model.
    pub vocabulary_products: Option<usize>,
    /// Number of unanswered messages by reason.
    pub unanswered: BTreeMap<String, usize>,
}

impl Analyser {
    /// The configured language model; without one, or with `--local`, the local analyser with the vocabulary of these
    /// products.
    ///
    /// # Errors
    /// When a setting of the language model is invalid.
    pub fn new(arguments: &AnalyserArguments, products: Vec<ProductText<'_>>) -> anyhow::Result<Self> {
        let settings = &arguments.language_model;
        if !arguments.local {
            let metrics = LanguageModelMetrics::register(&Telemetry::new()?.metrics, &[])?;
            if let Some(language_model) = LanguageModel::new(settings, metrics)? {
                return Ok(Self::LanguageModel(
                    Box::new(language_model),
                    settings.max_in_flight.into(),
                    Mutex::default(),
                ));
            }
        }
        let count = products.len();
        Ok(Self::Local(Box::new(Vocabulary::learn(products)), count))
    }

    /// Maximum number of concurrent requests.
    pub fn parallel(&self) -> usize {
        if let Self::LanguageModel(_, parallel, _) = self { *parallel } else { 1 }
    }

    /// Progress, for a language model, which takes long.
    pub fn progress(&self, unit: &'static str, total: usize) -> Option<Progress> {
        matches!(self, Self::LanguageModel(..)).then(|| Progress::of_one_phase("evaluating", unit, total as u64))
    }

    /// Analyses a message; none without a valid answer.
    ///
    /// # Errors
    /// When none of the first messages was answered; the error has the last reason.
    pub async fn understand(&self, asked: &Asked<'_>) -> anyhow::Result<Option<Understanding>> {
        let (language_model, seen) = match self {
            Self::Local(vocabulary, _) => {
                return Ok(Some(analyse(vocabulary, asked.context, asked.message).understanding));
            }
            Self::LanguageModel(language_model, _, seen) => (language_model, seen),
        };
        loop {
            let error = match understand(language_model, asked).await {
                Ok((understanding, run)) => {
                    lock(seen).run = Some(run);
                    return Ok(Some(understanding));
                }
                Err(error) => error,
            };
            // Rejected before it was sent: unlike a shopper, an evaluation can wait and retry.
            if let Some(until) = later(&*error)
                && lock(seen).run.is_some()
            {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            lock(seen).give_up(&*error)?;
            return Ok(None);
        }
    }

    /// The description, after all messages.
    ///
    /// # Errors
    /// When a language model answered no message.
    pub fn measured(&self) -> anyhow::Result<MeasuredAnalyser> {
        let (language_model, seen) = match self {
            Self::Local(_, products) => {
                return Ok(MeasuredAnalyser {
                    name: LOCAL_ANALYSER.to_owned(),
                    prompt_hash: None,
                    parameters: BTreeMap::new(),
                    vocabulary_products: Some(*products),
                    unanswered: BTreeMap::new(),
                });
            }
            Self::LanguageModel(language_model, _, seen) => (language_model, lock(seen)),
        };
        let Some(run) = &seen.run else {
            let why = seen.unanswered.keys().next().map_or("no message was sent", String::as_str);
            bail!("the language model answered no message: {why}");
        };
        Ok(MeasuredAnalyser {
            name: run.model.to_string(),
            prompt_hash: Some(instructions_hash(language_model).map_err(|error| anyhow!(error))?),
            parameters: run.parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            vocabulary_products: None,
            unanswered: seen.unanswered.clone(),
        })
    }
}

impl Seen {
    fn give_up(&mut self, error: &(dyn Error + Send + Sync + 'static)) -> anyhow::Result<()> {
        *self.unanswered.entry(error.to_string()).or_default() += 1;
        if self.run.is_none() && self.unanswered.values().sum::<usize>() >= MAX_UNANSWERED {
            let why = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            bail!("the language model answered none of the first {MAX_UNANSWERED} messages: {why}");
        }
        Ok(())
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time from which a rejected call may be retried.
fn later(error: &(dyn Error + Send + Sync + 'static)) -> Option<Instant> {
    match error.downcast_ref()? {
        CallError::BudgetSpent { until } | CallError::BreakerOpen { until } => Some(*until),
        _ => None,
    }
}

impl fmt::Display for MeasuredAnalyser {
    /// The analyser and its unanswered messages.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "by {}", self.name)?;
        if let Some(prompt_hash) = &self.prompt_hash {
            write!(formatter, "; prompt {prompt_hash}")?;
        }
        for (name, value) in &self.parameters {
            write!(formatter, "; {name} {value}")?;
        }
        if let Some(products) = self.vocabulary_products {
            write!(formatter, ", with the vocabulary of {products} products")?;
        }
        for (why, messages) in &self.unanswered {
            write!(formatter, "\nnot answered: {messages}, because {why}")?;
        }
        Ok(())
    }
}
