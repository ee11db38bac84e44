//! `jangbogo models add`: adds a model from a folder or a model hub.

use clap::Args;
use jangbogo_embedding::registry::{ModelsArgs, cosine};
use jangbogo_embeddings_server::import::{HubArgs, Import, import_model};
use jangbogo_embeddings_server::model::ArithmeticArgs;

use crate::output::print;

/// Adds a model of your own, from a folder or from a model hub
///
/// Supported are sentence-transformers models with BERT, vectors of 384 components and mean pooling. A model is checked
/// and run once before it is stored. It must be added on each machine that uses its name, because clients of the
/// embedder read the model's prompts locally.
///
/// Events record the name, so it must always stand for the same files and prompts. `jangbogo evaluate embeddings
/// --model NAME` measures a model.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A folder with config.json, tokenizer.json, and model.safetensors or model.gguf; or a hub repository, owner/name
    /// or owner/name@revision
    source: String,
    /// Name of the model [default: the last part of SOURCE and the first 8 digits of the weights' SHA-256]
    #[arg(long)]
    name: Option<String>,
    /// Prompt before texts that search, such as "query: " [default: from `config_sentence_transformers.json`, or none]
    #[arg(long, value_name = "TEXT")]
    query_prompt: Option<String>,
    /// Prompt before texts that are searched, such as "passage: " [default: as with --query-prompt]
    #[arg(long, value_name = "TEXT")]
    passage_prompt: Option<String>,
    /// Cosine from which a text counts as similar to a query. It depends on the model: compare with the cosines of
    /// unrelated texts
    #[arg(long, alias = "near", default_value_t = 0.4, value_name = "COSINE", value_parser = cosine)]
    similarity_threshold: f32,
    /// Licence of the weights
    #[arg(long, default_value = "unknown")]
    licence: String,
    #[command(flatten)]
    computed: ArithmeticArgs,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    models: ModelsArgs,
}

/// Adds a model and prints its name.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { source, name, query_prompt, passage_prompt, similarity_threshold, licence, computed, hub, models } =
        arguments;
    let ArithmeticArgs { arithmetic } = computed;
    let import = Import { source, name, query_prompt, passage_prompt, similarity_threshold, licence, arithmetic };
    let directory = models.directory()?;
    let model = import_model(&directory, import, &hub, |message| eprintln!("{message}"))?;
    print(&format!("{} added: {}\n", model.name, directory.path_of(model).display()))
}
