//! `jangbogo evaluate utterances`: compares analyses with labelled messages.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fmt, fs};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use jangbogo_events::{Currency, Data, Event, Understanding};
use jangbogo_nlu::ProductText;
use jangbogo_nlu::evaluation::{self, Difference, Report, Split, Utterance};
use jangbogo_platform::config::Connections;
use jangbogo_preference_analysis::intent::AnalysisInput;
use serde::Serialize;

use super::analyser::{Analyser, AnalyserArguments, MeasuredAnalyser};
use super::cells;
use crate::events::import::{self, ImportArguments};
use crate::output::{align_numbers, print_report, table};

/// Compares with labelled messages: Korean and English, half for development, half held out
///
/// They were written for the demo shop; the local analyser has the vocabulary of the demo shop's catalogue events, as
/// in the shop. A slot is right if attribute, operator, value and polarity are; negations ("unwanted") are counted
/// among the slots and by themselves, retractions and no-preference answers only by themselves.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Files of labelled messages instead of the embedded ones; domain/nlu/utterances/README.md describes the format
    files: Vec<PathBuf>,
    /// Use only this half
    #[arg(long, value_enum, conflicts_with = "files")]
    split: Option<SplitName>,
    /// Maximum number of messages of each language of each half or file
    #[arg(long, value_name = "MESSAGES")]
    limit: Option<usize>,
    /// Also show the differences from the labels; not for the held-out half, which must stay unseen
    #[arg(long)]
    differences: bool,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    analyser: AnalyserArguments,
}

/// A half of the labelled messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitName {
    /// For development
    Development,
    /// For the final measurement
    HeldOut,
}

#[derive(Serialize)]
struct Evaluation {
    analyser: MeasuredAnalyser,
    /// Reports by name of the half or file.
    reports: BTreeMap<String, Report>,
}

/// Evaluates and prints a report.
pub async fn run(arguments: Arguments, connections: &Connections) -> anyhow::Result<()> {
    if arguments.differences && arguments.files.is_empty() && arguments.split != Some(SplitName::Development) {
        bail!("the held-out half must stay unseen: add --split development to --differences");
    }
    let sets = sets(&arguments)?;
    // The vocabulary of the demo shop, from the catalogue events of its import.
    let events = import::read(&ImportArguments::default(), connections).await?.events;
    let products = events.iter().filter_map(product).collect();
    let analyser = Analyser::new(&arguments.analyser, products)?;
    let currency = Currency::new("GBP")?;
    let mut reports = BTreeMap::new();
    for (name, utterances) in sets {
        let mut report = evaluate(&analyser, &utterances, currency).await?;
        if !arguments.differences {
            report.differences.clear();
        }
        reports.insert(name, report);
    }
    print_report(arguments.json, &Evaluation { analyser: analyser.measured()?, reports })
}

/// Labelled messages by name of the half or file.
fn sets(arguments: &Arguments) -> anyhow::Result<Vec<(String, Vec<Utterance>)>> {
    let mut sets = Vec::new();
    for file in &arguments.files {
        let name = file.display().to_string();
        let lines = fs::read_to_string(file).with_context(|| format!("cannot read {name}"))?;
        sets.push((name.clone(), evaluation::read(&lines).map_err(|error| anyhow!("{name}, {error}"))?));
    }
    if sets.is_empty() {
        let splits = match arguments.split {
            None => vec![Split::Development, Split::HeldOut],
            Some(SplitName::Development) => vec![Split::Development],
            Some(SplitName::HeldOut) => vec![Split::HeldOut],
        };
        for split in splits {
            sets.push((split.name().to_owned(), split.utterances().map_err(|error| anyhow!(error))?));
        }
    }
    if let Some(limit) = arguments.limit {
        for (_, utterances) in &mut sets {
            let mut taken = BTreeMap::<String, usize>::new();
            utterances.retain(|utterance| {
                let taken = taken.entry(utterance.language.clone()).or_default();
                *taken += 1;
                *taken <= limit
            });
        }
    }
    Ok(sets)
}

fn product(event: &Event) -> Option<ProductText<'_>> {
    match &event.data {
        Data::ProductUpserted(product) => Some(ProductText::from(product)),
        _ => None,
    }
}

async fn evaluate(analyser: &Analyser, utterances: &[Utterance], currency: Currency) -> anyhow::Result<Report> {
    let results = utterances.iter().map(|utterance| analyse(analyser, utterance, currency));
    let mut report = Report::default();
    let add = |(utterance, understood): (_, Option<Understanding>)| report.add(utterance, understood.as_ref());
    analyser.run_all("messages", results, add).await?;
    Ok(report)
}

async fn analyse<'u>(
    analyser: &Analyser,
    utterance: &'u Utterance,
    currency: Currency,
) -> anyhow::Result<(&'u Utterance, Option<Understanding>)> {
    let context = utterance.context(currency);
    let asked = AnalysisInput { context: &context, earlier: Vec::new(), message: &utterance.text };
    Ok((utterance, analyser.understand(&asked).await?))
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(formatter, "understanding of messages {}", self.analyser)?;
        for (name, report) in &self.reports {
            writeln!(formatter, "\n{name}\n{}", rows(report))?;
            for (language, report) in &report.languages {
                writeln!(formatter, "{language}: {} of {} intents right", report.right_intents, report.utterances)?;
            }
            for Difference { id, text, missed, wrong } in &report.differences {
                writeln!(formatter, "{id} {text}\n   missed  {}\n   wrong   {}", missed.join("; "), wrong.join("; "))?;
            }
        }
        Ok(())
    }
}

fn rows(report: &Report) -> comfy_table::Table {
    let mut rows = table(["Language", "What", "Precision", "Recall", "F1", "Labelled"]);
    for (language, report) in &report.languages {
        let totals = [
            ("all slots", report.all_slots),
            ("unwanted slots", report.unwanted),
            ("retractions", report.retractions),
            ("no preference", report.no_preference),
        ];
        let slots = report.slots.iter().map(|(slot, score)| (slot.as_str(), *score));
        for (label, score) in slots.chain(totals) {
            let [precision, recall, f1, labelled] = cells(score);
            rows.add_row([language.as_str(), label, &precision, &recall, &f1, &labelled]);
        }
    }
    align_numbers(&mut rows, 2);
    rows
}
