//! `jangbogo models add`: models of one's own.

use clap::Args;
use jangbogo_embedding::registry::{ModelsArgs, cosine};
use jangbogo_embeddings_server::import::{HubArgs, Import, import_model};
use jangbogo_embeddings_server::model::ArithmeticArgs;

use crate::output::print;

/// Adds a model of your own, from a folder or from a model hub
///
/// It must be one of sentence-transformers that is computed here: BERT, vectors of 384 components, mean pooling. It is checked,
/// and computed with once, before anything of it is kept. From then on it is found by its name wherever a model is named, on
/// each machine on which it was added: a program that asks the embedder for vectors knows the model's prompts from there.
///
/// Events record the name, so it stands for these files and prompts for good. What a model is worth is measured by
/// `jangbogo evaluate embeddings --model NAME`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// A folder with config.json, tokenizer.json, and model.safetensors or model.gguf; or a repository of the hub, owner/name
    /// or owner/name@revision
    source: String,
    /// What it is to be called [default: the last part of SOURCE, and the first 8 digits of its weights' SHA-256]
    #[arg(long)]
    name: Option<String>,
    /// What it needs before texts that look for others, such as "query: " [default: what its
    /// `config_sentence_transformers.json` says, or nothing]
    #[arg(long, value_name = "TEXT")]
    query_prompt: Option<String>,
    /// What it needs before texts that are to be found, such as "passage: " [default: as with --query-prompt]
    #[arg(long, value_name = "TEXT")]
    passage_prompt: Option<String>,
    /// The cosine from which on a text is near what is searched for. Models differ: see what it gives to texts that have
    /// nothing to do with each other
    #[arg(long, alias = "near", default_value_t = 0.4, value_name = "COSINE", value_parser = cosine)]
    similarity_threshold: f32,
    /// The licence of its weights
    #[arg(long, default_value = "unknown")]
    licence: String,
    #[command(flatten)]
    computed: ArithmeticArgs,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    models: ModelsArgs,
}

/// Adds a model, and says what it is called.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { source, name, query_prompt, passage_prompt, similarity_threshold, licence, computed, hub, models } =
        arguments;
    let ArithmeticArgs { arithmetic } = computed;
    let import = Import { source, name, query_prompt, passage_prompt, similarity_threshold, licence, arithmetic };
    let directory = models.directory()?;
    let model = import_model(&directory, import, &hub, |message| eprintln!("{message}"))?;
    print(&format!("{} added: {}\n", model.name, directory.path_of(model).display()))?;
    Ok(())
}
