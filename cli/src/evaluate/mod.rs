//! `jangbogo evaluate`: how well messages are understood, what vectors are worth, and what is found.

mod analyser;
mod dialogues;
mod embeddings;
mod queries;
mod ranks;
mod search;
mod utterances;

use clap::Subcommand;
use comfy_table::{CellAlignment, Table};
use jangbogo_nlu::evaluation::Score;
use jangbogo_platform::config::Connections;

/// Measures how well shoppers' messages are understood, embedding models, and the search
///
/// Messages are understood by the local analyser or a language model. The language model is asked in the words in which
/// `preference-analysis` asks it, by the same settings. A message that it does not answer as it should in time counts as one
/// of which nothing was understood; in the shop the local analyser steps in.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
Examples:
  jangbogo evaluate utterances                              the local analyser, unless a language model is configured
  jangbogo evaluate utterances --split held-out --json      for programs
  jangbogo evaluate utterances --split development --differences
  jangbogo evaluate dialogues ../shared/data/shop-dialogues
  jangbogo evaluate embeddings ../shared/data/sts --reference
  jangbogo evaluate search                                  a running demo shop, by Korean queries
  OPENAI_BASE_URL=http://127.0.0.1:8080/v1 OPENAI_MODEL=gemma-3 jangbogo evaluate utterances --limit 20")]
pub enum Command {
    Utterances(utterances::Arguments),
    Dialogues(dialogues::Arguments),
    Embeddings(embeddings::Arguments),
    Search(search::Arguments),
}

/// Evaluates, and prints the report.
///
/// # Errors
/// When files or models cannot be read, or the language model answers nothing at all; the message says why.
pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::Utterances(arguments) => utterances::run(arguments, connections).await,
        Command::Dialogues(arguments) => dialogues::run(arguments).await,
        Command::Embeddings(arguments) => embeddings::run(arguments, connections).await,
        Command::Search(arguments) => search::run(arguments).await,
    }
}

/// Precision, recall and F1, and how much is labelled.
fn cells(score: Score) -> [String; 4] {
    let figure = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"));
    [figure(score.precision()), figure(score.recall()), figure(score.f1()), score.labelled().to_string()]
}

/// Numbers stand below each other.
fn align_numbers(table: &mut Table, from: usize) {
    table.column_iter_mut().skip(from).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
}
