//! `jangbogo evaluate dialogues`: compares analyses with the annotated conversations of MG-ShopDial.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context as _, bail};
use clap::Args;
use comfy_table::Table;
use jangbogo_events::Currency;
use jangbogo_nlu::ProductText;
use jangbogo_nlu::evaluation::{Conversation, Dialogue, DialogueReport, Item, read_dialogues, read_items};
use jangbogo_preference_analysis::intent::AnalysisInput;
use serde::Serialize;

use super::analyser::{Analyser, AnalyserArguments, MeasuredAnalyser};
use super::cells;
use crate::output::{align_numbers, print_report, table};

/// Compares with annotated conversations between two people, one of whom plays the shop: MG-ShopDial
///
/// The annotations are goals and dialogue acts per message and a task per shopper. So goals, feedback, needs and tasks
/// are compared; slots, negations, retractions and mentioned products are not labelled. The local analyser has the
/// vocabulary of the conversations' catalogues.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Directory with dialogues.json and items/
    directory: PathBuf,
    /// Maximum number of conversations
    #[arg(long, value_name = "CONVERSATIONS")]
    limit: Option<usize>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    analyser: AnalyserArguments,
}

#[derive(Serialize)]
struct Evaluation {
    analyser: MeasuredAnalyser,
    report: DialogueReport,
}

/// Evaluates and prints a report.
pub async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let (mut dialogues, items) = read(&arguments.directory)?;
    dialogues.truncate(arguments.limit.unwrap_or(dialogues.len()));
    let products = items.iter().map(|item| ProductText {
        product_id: &item.title,
        title: &item.title,
        description: item.description.as_deref(),
        ..ProductText::default()
    });
    let analyser = Analyser::new(&arguments.analyser, products.collect())?;
    let report = evaluate(&analyser, &dialogues, Currency::new("USD")?).await?;
    print_report(arguments.json, &Evaluation { analyser: analyser.measured()?, report })
}

fn read(directory: &Path) -> anyhow::Result<(Vec<Dialogue>, Vec<Item>)> {
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| {
            format!("cannot read {}; the folder of MG-ShopDial holds dialogues.json and items/", path.display())
        })
    };
    let path = directory.join("dialogues.json");
    let dialogues = read_dialogues(&read(&path)?)
        .with_context(|| format!("{} is not in the format of MG-ShopDial", path.display()))?;
    let folder = directory.join("items");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let mut items = Vec::new();
    for path in paths {
        items.extend(
            read_items(&read(&path)?)
                .with_context(|| format!("{} is not in the format of MG-ShopDial", path.display()))?,
        );
    }
    if items.is_empty() {
        bail!("{} holds no products", folder.display());
    }
    Ok((dialogues, items))
}

async fn evaluate(analyser: &Analyser, dialogues: &[Dialogue], currency: Currency) -> anyhow::Result<DialogueReport> {
    let conversations = dialogues.iter().map(|dialogue| analyse_dialogue(analyser, dialogue, currency));
    let mut report = DialogueReport::default();
    analyser.run_all("conversations", conversations, |conversation| report.add(&conversation)).await?;
    Ok(report)
}

async fn analyse_dialogue<'d>(
    analyser: &Analyser,
    dialogue: &'d Dialogue,
    currency: Currency,
) -> anyhow::Result<Conversation<'d>> {
    let mut conversation = Conversation::new(dialogue, currency);
    while let Some(message) = conversation.next_message() {
        let earlier = conversation.earlier().collect();
        let asked = AnalysisInput { context: conversation.context(), earlier, message };
        let understood = analyser.understand(&asked).await?;
        conversation.understood(understood);
    }
    Ok(conversation)
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { analyser, report } = self;
        let (messages, dialogues) = (report.messages, report.dialogues);
        writeln!(formatter, "understanding of {messages} messages in {dialogues} conversations {analyser}")?;
        let goals = goals(report);
        writeln!(formatter, "\nwhat messages are about, and what they were taken for\n{goals}")?;

        let mut rows = table(["Feedback", "Precision", "Recall", "F1", "Labelled"]);
        for (sign, score) in &report.feedback {
            let [precision, recall, f1, labelled] = cells(*score);
            rows.add_row([sign, &precision, &recall, &f1, &labelled]);
        }
        align_numbers(&mut rows, 1);
        writeln!(formatter, "\n{rows}")?;

        let mut rows = table(["What is there", "Found", "Of"]);
        let needs = ("messages that disclose a need".to_owned(), &report.needs);
        let tasks = report.tasks.iter().map(|(slot, found)| (format!("{slot} of tasks"), found));
        for (label, found) in std::iter::once(needs).chain(tasks) {
            rows.add_row([label, found.found.to_string(), found.labelled.to_string()]);
        }
        align_numbers(&mut rows, 1);
        writeln!(formatter, "\n{rows}")
    }
}

/// Table of goals; goals that are not scored have no figures.
fn goals(report: &DialogueReport) -> Table {
    let taken_for = ["recommendation", "qa", "meta"];
    let mut rows = table(["Goal", "Precision", "Recall", "F1", "Labelled", "Recommendation", "QA", "Meta"]);
    for (goal, taken) in &report.taken_for {
        let mut row = vec![goal.clone()];
        match report.goals.get(goal) {
            Some(score) => row.extend(cells(*score)),
            None => row.extend(["-", "-", "-", "-"].map(str::to_owned)),
        }
        row.extend(taken_for.map(|goal| taken.get(goal).copied().unwrap_or_default().to_string()));
        rows.add_row(row);
    }
    align_numbers(&mut rows, 1);
    rows
}
