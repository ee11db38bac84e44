//! `jangbogo topology`: compares topology.toml with the code and Kafka, applies it, draws it.

use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand, ValueEnum};
use jangbogo_host::app::AppDescriptor;
use jangbogo_platform::config::Connections;
use jangbogo_react::ReactorSpec;
use jangbogo_topology::{
    Applied, AppliedTopic, ConfigChange, DeclaredProcessor, DeclaredReactor, Mismatch, Outcome, Topology,
};

use crate::apps::APPS;
use crate::output::{print, table};

/// Compares topology.toml with the code and Kafka, applies it to Kafka, or draws it
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(CheckArguments),
    Apply(ApplyArguments),
    Graph(GraphArguments),
}

#[derive(Args, Debug)]
struct File {
    /// Topology file to use instead of the embedded topology.toml
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
}

impl File {
    fn read(&self) -> anyhow::Result<Topology> {
        Ok(match &self.file {
            Some(path) => Topology::read(path)?,
            None => Topology::embedded()?,
        })
    }
}

/// Lists every difference between topology.toml and the code, and what to change
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo topology check                    needs no server
  jangbogo topology check --against-kafka    also compares the topics in Kafka; changes nothing

Exits 1 if anything differs.")]
pub struct CheckArguments {
    #[command(flatten)]
    file: File,
    /// Also compare the topics in Kafka
    #[arg(long)]
    against_kafka: bool,
}

/// Creates missing topics in Kafka and corrects differing configurations
///
/// Idempotent. A topic's partition count is never changed, because keys would move to other partitions and lose their
/// order. If one differs, nothing is changed.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo topology apply
  jangbogo --namespace test topology apply
  jangbogo --kafka broker-1:9092,broker-2:9092,broker-3:9092 topology apply --replication-factor 3")]
pub struct ApplyArguments {
    #[command(flatten)]
    file: File,
    /// Replication factor of created topics, instead of topology.toml's
    #[arg(long, env = "JANGBOGO_REPLICATION_FACTOR", value_name = "COPIES", value_parser = clap::value_parser!(u16).range(1..))]
    replication_factor: Option<u16>,
}

/// Draws the pipeline: producers of each topic, the processors that fold it, and the stores that serve the result
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  jangbogo topology graph                  a Mermaid flow chart, for Markdown
  jangbogo topology graph --format text    text for a terminal, with keys and partitions")]
pub struct GraphArguments {
    #[command(flatten)]
    file: File,
    /// Output format
    #[arg(long, value_enum, default_value_t)]
    format: GraphFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum GraphFormat {
    /// A Mermaid flow chart for Markdown
    #[default]
    Mermaid,
    /// Text for a terminal
    Text,
}

pub async fn run(command: Command, connections: &Connections) -> anyhow::Result<()> {
    match command {
        Command::Check(arguments) => check(&arguments, connections).await,
        Command::Apply(arguments) => apply(&arguments, connections).await,
        Command::Graph(arguments) => graph(&arguments),
    }
}

async fn check(arguments: &CheckArguments, connections: &Connections) -> anyhow::Result<()> {
    let topology = arguments.file.read()?;
    let declared: Vec<DeclaredProcessor> = APPS.iter().map(declared).collect();
    let mut mismatches = jangbogo_topology::check(&topology, &declared);
    if arguments.against_kafka {
        mismatches.extend(jangbogo_topology::check_kafka(&topology, connections).await?);
    }
    if !mismatches.is_empty() {
        let lines: Vec<String> = mismatches.iter().map(Mismatch::to_string).collect();
        bail!("the topology differs in {} points:\n  {}", lines.len(), lines.join("\n  "));
    }
    let (topics, processors) = (topology.topics.len(), topology.processors.len());
    let with = if arguments.against_kafka { "the code and Kafka agree" } else { "the code agrees" };
    print(&format!("{with} with the topology: {topics} topics, {processors} processors\n"))
}

fn declared(app: &AppDescriptor) -> DeclaredProcessor {
    let reactor = |spec: &&ReactorSpec| DeclaredReactor { name: spec.name, reads: spec.reads, emits: spec.emits };
    DeclaredProcessor::new(app.processor, app.reactors.iter().map(reactor).collect())
}

async fn apply(arguments: &ApplyArguments, connections: &Connections) -> anyhow::Result<()> {
    let mut topology = arguments.file.read()?;
    if let Some(copies) = arguments.replication_factor {
        topology.kafka.replication_factor = copies;
    }
    let applied = jangbogo_topology::apply(&topology, connections).await?;
    print(&applied_table(&applied))
}

fn applied_table(applied: &Applied) -> String {
    let mut rows = table(["Topic", "Partitions", "Result"]);
    let mut counts = [("created", 0), ("changed", 0), ("unchanged", 0)];
    for AppliedTopic { topic, outcome } in &applied.topics {
        let (index, detail) = match outcome {
            Outcome::Created => (0, String::new()),
            Outcome::Changed(changes) => (1, format!(": {}", join_changes(changes))),
            Outcome::Unchanged => (2, String::new()),
        };
        let (result, count) = &mut counts[index];
        *count += 1;
        rows.add_row([topic.name.clone(), topic.partitions.to_string(), format!("{result}{detail}")]);
    }
    let summary: Vec<String> = counts.iter().map(|(result, count)| format!("{count} {result}")).collect();
    format!("{rows}\n{}\n", summary.join(", "))
}

fn join_changes(changes: &[ConfigChange]) -> String {
    let changes = changes.iter().map(|change| format!("{} {} → {}", change.key, change.from, change.to));
    changes.collect::<Vec<_>>().join(", ")
}

fn graph(arguments: &GraphArguments) -> anyhow::Result<()> {
    let topology = arguments.file.read()?;
    print(&match arguments.format {
        GraphFormat::Mermaid => jangbogo_topology::mermaid(&topology),
        GraphFormat::Text => jangbogo_topology::text(&topology),
    })
}
