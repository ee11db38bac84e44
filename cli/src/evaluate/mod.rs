//! `jangbogo evaluate`: measures message understanding, embedding models and the search.

mod analyser;
mod dialogues;
mod embeddings;
mod queries;
mod ranks;
mod search;
mod utterances;

use clap::Subcommand;
use jangbogo_nlu::evaluation::Score;
use jangbogo_platform::config::Connections;

/// Measures message understanding, embedding models, and the search
///
/// Messages are analysed by the local analyser or a language model, with the prompts and settings of
/// `preference-analysis`. An invalid or late answer of the language model counts as an empty analysis; in the shop the
/// local analyser is the fallback.
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

pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::Utterances(arguments) => utterances::run(arguments, connections).await,
        Command::Dialogues(arguments) => dialogues::run(arguments).await,
        Command::Embeddings(arguments) => embeddings::run(arguments, connections).await,
        Command::Search(arguments) => search::run(arguments).await,
    }
}

/// Cells for precision, recall, F1 and the number of labels.
fn cells(score: Score) -> [String; 4] {
    let figure = |figure: Option<f64>| figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.3}"));
    [figure(score.precision()), figure(score.recall()), figure(score.f1()), score.labelled().to_string()]
}
