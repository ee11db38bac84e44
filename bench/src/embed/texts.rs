//! Texts to embed.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context as _, ensure};
use flate2::read::GzDecoder;
use jangbogo_embedding::registry::{DEFAULT_MODEL, ModelsDirectory};
use jangbogo_embeddings_server::model::{Arithmetic, TextModel as _, Tokens};
use serde::Deserialize;

use super::contestant::load;

/// File of the demo shop.
const DEMO_SHOP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/data/online-retail-ii.csv.zst");
/// Maximum number of texts of a list.
const MOST: usize = 1024;
/// Number of tokens of the titles of equal length.
const ONE_LENGTH: usize = 14;

pub struct TextList {
    pub name: &'static str,
    /// Distinct texts.
    pub texts: Vec<String>,
    /// Mean number of all-MiniLM-L6-v2 tokens.
    pub tokens: f64,
}

#[derive(Deserialize)]
struct Product {
    title: String,
    #[serde(default)]
    short_description: String,
}

/// The lists, short texts first.
pub fn texts(models: &ModelsDirectory, catalogue: &Path, sentences: &Path) -> anyhow::Result<Vec<TextList>> {
    let model = load(models, models.find(DEFAULT_MODEL)?, Arithmetic::Int8, NonZeroUsize::MIN)?;
    let tokens = |text: &String| model.tokenizer().tokenise(text).as_ref().map_or(0, Tokens::len);
    let demo = demo_titles().context("cannot read the demo shop")?;
    let products = products(catalogue).with_context(|| format!("cannot read {}", catalogue.display()))?;
    let titles: Vec<String> = products.iter().map(|(title, _)| title.clone()).collect();
    let one_length = demo.iter().chain(&titles).filter(|title| tokens(title) == ONE_LENGTH).cloned().collect();
    let long = products.into_iter().map(|(title, description)| format!("{title}. {description}"));
    let sentences = read_sentences(sentences).with_context(|| format!("cannot read {}", sentences.display()))?;
    let lists: [(_, Vec<String>); 5] = [
        ("demo titles", demo),
        ("titles of 14 tokens", one_length),
        ("electronics titles", titles),
        ("sentences, two languages", sentences),
        ("electronics descriptions", long.collect()),
    ];
    let list = |(name, texts): (_, Vec<String>)| {
        let texts = spread(texts);
        ensure!(!texts.is_empty(), "there are no {name}");
        #[expect(clippy::cast_precision_loss, reason = "a mean of some thousand numbers")]
        let tokens = texts.iter().map(tokens).sum::<usize>() as f64 / texts.len() as f64;
        Ok(TextList { name, texts, tokens })
    };
    lists.into_iter().map(list).collect()
}

/// An evenly spaced sample of the texts.
fn spread(texts: Vec<String>) -> Vec<String> {
    let step = texts.len().div_ceil(MOST).max(1);
    texts.into_iter().step_by(step).collect()
}

fn demo_titles() -> anyhow::Result<Vec<String>> {
    let mut text = String::new();
    ruzstd::decoding::StreamingDecoder::new(File::open(DEMO_SHOP)?)?.read_to_string(&mut text)?;
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let column = reader.headers()?.iter().position(|name| name == "Description").context("no Description")?;
    // Stock-keepers' remarks are in lower case.
    let mut titles = BTreeSet::new();
    for record in reader.records() {
        let record = record?;
        let title = record.get(column).unwrap_or_default().trim();
        if title.len() > 8 && !title.chars().any(char::is_lowercase) {
            titles.insert(title.to_owned());
        }
    }
    Ok(titles.into_iter().collect())
}

/// Titles and descriptions of the electronics catalogue.
pub fn products(path: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let lines = BufReader::new(GzDecoder::new(File::open(path)?)).lines();
    let product = |line: String| -> anyhow::Result<_> {
        let Product { title, short_description } = serde_json::from_str(&line)?;
        Ok((title, short_description))
    };
    lines.map(|line| product(line?)).collect()
}

/// Sentences in Korean and English alternately.
fn read_sentences(folder: &Path) -> anyhow::Result<Vec<String>> {
    let column = |file: &str, delimiter: u8, column: usize| -> anyhow::Result<Vec<String>> {
        let mut reader = csv::ReaderBuilder::new();
        reader.flexible(true).delimiter(delimiter).quoting(delimiter == b',');
        let mut reader = reader.from_path(folder.join(file))?;
        let text = |record: csv::StringRecord| record.get(column).unwrap_or_default().to_owned();
        Ok(reader.records().map(|record| record.map(text)).collect::<Result<_, _>>()?)
    };
    let (korean, english) = (column("korsts-dev.tsv", b'\t', 5)?, column("stsb-en-dev.csv", b',', 0)?);
    let sentences = korean.into_iter().zip(english).flat_map(|(korean, english)| [korean, english]);
    Ok(sentences.filter(|sentence| !sentence.is_empty()).collect())
}
