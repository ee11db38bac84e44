//! The analyser that is measured: local, or a language model.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{anyhow, bail};
use clap::Args;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jangbogo_events::{ModelRun, Understanding};
use jangbogo_language_model::{CallError, LanguageModel, LanguageModelMetrics, Settings};
use jangbogo_nlu::{ProductText, Vocabulary, analyse};
use jangbogo_platform::progress::Progress;
use jangbogo_preference_analysis::intent::{AnalysisInput, LOCAL_ANALYSER, instructions_hash, understand};
use jangbogo_telemetry::Telemetry;
use serde::Serialize;

/// Number of messages without any answer after which the evaluation gives up.
const MAX_UNANSWERED: usize = 5;

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
    LanguageModel(Box<LanguageModel>, usize, Mutex<ModelAnswers>),
}

/// Answers of a language model so far.
#[derive(Default)]
pub struct ModelAnswers {
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
    pub parameters: BTreeMap<String, String>,
    /// Number of products in the vocabulary; none for a language model.
    pub vocabulary_products: Option<usize>,
    /// Number of unanswered messages by reason.
    pub unanswered: BTreeMap<String, usize>,
}

impl Analyser {
    /// The configured language model; without one, or with `--local`, the local analyser with the vocabulary of these
    /// products.
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

    /// Runs all analyses, as many concurrently as the analyser allows, and adds their results in order. Shows progress
    /// for a language model, which takes long.
    pub async fn run_all<T>(
        &self,
        unit: &'static str,
        analyses: impl ExactSizeIterator<Item: Future<Output = anyhow::Result<T>>>,
        mut add: impl FnMut(T),
    ) -> anyhow::Result<()> {
        let (parallel, progress) = match self {
            Self::Local(..) => (1, None),
            Self::LanguageModel(_, parallel, _) => {
                (*parallel, Some(Progress::of_one_phase("evaluating", unit, analyses.len() as u64)))
            }
        };
        let mut results = pin!(stream::iter(analyses).buffered(parallel));
        while let Some(result) = results.try_next().await? {
            add(result);
            if let Some(progress) = &progress {
                progress.advance(1);
            }
        }
        Ok(())
    }

    /// Analyses a message; none without a valid answer. Fails if none of the first messages was answered.
    pub async fn understand(&self, asked: &AnalysisInput<'_>) -> anyhow::Result<Option<Understanding>> {
        let (language_model, answers) = match self {
            Self::Local(vocabulary, _) => {
                return Ok(Some(analyse(vocabulary, asked.context, asked.message).understanding));
            }
            Self::LanguageModel(language_model, _, answers) => (language_model, answers),
        };
        loop {
            let error = match understand(language_model, asked).await {
                Ok((understanding, run)) => {
                    lock(answers).run = Some(run);
                    return Ok(Some(understanding));
                }
                Err(error) => error,
            };
            // Rejected before it was sent: unlike a shopper, an evaluation can wait and retry.
            if let Some(until) = retry_time(&*error)
                && lock(answers).run.is_some()
            {
                tokio::time::sleep_until(until.into()).await;
                continue;
            }
            lock(answers).give_up(&*error)?;
            return Ok(None);
        }
    }

    /// The description, after all messages. Fails if a language model answered no message.
    pub fn measured(&self) -> anyhow::Result<MeasuredAnalyser> {
        let (language_model, answers) = match self {
            Self::Local(_, products) => {
                return Ok(MeasuredAnalyser {
                    name: LOCAL_ANALYSER.to_owned(),
                    prompt_hash: None,
                    parameters: BTreeMap::new(),
                    vocabulary_products: Some(*products),
                    unanswered: BTreeMap::new(),
                });
            }
            Self::LanguageModel(language_model, _, answers) => (language_model, lock(answers)),
        };
        let Some(run) = &answers.run else {
            let reason = answers.unanswered.keys().next().map_or("no message was sent", String::as_str);
            bail!("the language model answered no message: {reason}");
        };
        Ok(MeasuredAnalyser {
            name: run.model.to_string(),
            prompt_hash: Some(instructions_hash(language_model).map_err(|error| anyhow!(error))?),
            parameters: run.parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
            vocabulary_products: None,
            unanswered: answers.unanswered.clone(),
        })
    }
}

impl ModelAnswers {
    fn give_up(&mut self, error: &(dyn Error + Send + Sync + 'static)) -> anyhow::Result<()> {
        *self.unanswered.entry(error.to_string()).or_default() += 1;
        if self.run.is_none() && self.unanswered.values().sum::<usize>() >= MAX_UNANSWERED {
            let reason = error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {source}"));
            bail!("the language model answered none of the first {MAX_UNANSWERED} messages: {reason}");
        }
        Ok(())
    }
}

fn lock(answers: &Mutex<ModelAnswers>) -> MutexGuard<'_, ModelAnswers> {
    answers.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Time from which a rejected call may be retried.
fn retry_time(error: &(dyn Error + Send + Sync + 'static)) -> Option<Instant> {
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
        for (reason, messages) in &self.unanswered {
            write!(formatter, "\nnot answered: {messages}, because {reason}")?;
        }
        Ok(())
    }
}
