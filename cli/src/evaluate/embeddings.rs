//! `jangbogo evaluate embeddings`: measures embedding models on sentence pairs and queries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, ensure};
use clap::Args;
use jangbogo_embedding::Purpose;
use jangbogo_embedding::registry::{ModelSpec, ModelsArgs};
use jangbogo_embeddings_server::model::{Arithmetic, EmbeddingModel};
use jangbogo_events::Data;
use jangbogo_platform::config::Connections;
use jangbogo_platform::progress::Progress;
use serde::Serialize;

use super::queries::Query;
use super::ranks::{mean, spearman};
use crate::events::import::{self, ImportArguments};
use crate::output::{align_numbers, print_report, table};

/// Number of texts per update of the progress.
const STEP: usize = 256;

/// Compares embedding models on rated sentence pairs and on Korean queries for English titles
///
/// Sentences: Spearman's correlation of the vectors' cosines with human ratings, on the development sets of STS-B
/// (stsb-en-dev.csv) and KorSTS (korsts-dev.tsv). Queries: nDCG@10 of the demo shop's titles by their cosine to 130
/// Korean queries, labelled in `cli/data/korean-queries.jsonl`; the shop itself searches by words too: see `jangbogo
/// evaluate search`.
#[derive(Args, Clone, Debug)]
pub struct Arguments {
    /// Directory of the STS files; without it only queries are measured
    sentences: Option<PathBuf>,
    /// Names of models [default: all installed ones]
    #[arg(long = "model", value_name = "NAME")]
    names: Vec<String>,
    /// Arithmetic of the inference
    #[arg(long, value_enum, default_value_t, value_name = "ARITHMETIC")]
    arithmetic: Arithmetic,
    /// Also compute the vectors in 32-bit floats, and compare with those
    #[arg(long)]
    reference: bool,
    /// Files with one text a line, for that comparison
    #[arg(long, value_name = "FILE", requires = "reference")]
    texts: Vec<PathBuf>,
    /// Print the report as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    models: ModelsArgs,
}

/// The JSON report: an entry per model and arithmetic.
#[derive(Serialize)]
struct Evaluation(Vec<Measured>);

#[derive(Serialize)]
struct Measured {
    model: &'static str,
    arithmetic: String,
    english_spearman: Option<f64>,
    korean_spearman: Option<f64>,
    queries_ndcg: f64,
    /// Cosines with the 32-bit vectors.
    cosines: Option<Cosines>,
}

#[derive(Clone, Copy, Serialize)]
struct Cosines {
    texts: usize,
    mean: f64,
    worst: f64,
}

/// Two sentences and their rated similarity.
struct Pair {
    sentences: [String; 2],
    score: f64,
}

struct Texts {
    english: Vec<Pair>,
    korean: Vec<Pair>,
    queries: Vec<Query>,
    titles: BTreeMap<String, String>,
    others: Vec<String>,
}

/// Evaluates and prints a report.
pub async fn run(arguments: Arguments, connections: &Connections) -> anyhow::Result<()> {
    let events = import::read(&ImportArguments::default(), connections).await?.events;
    let title = |data: Data| match data {
        Data::ProductUpserted(product) => Some((product.product_id.to_string(), product.title.to_string())),
        _ => None,
    };
    let titles = events.into_iter().filter_map(|event| title(event.data)).collect();
    let (texts, json) = (Texts::read(&arguments, titles)?, arguments.json);
    let evaluation = tokio::task::spawn_blocking(move || evaluate(&arguments, &texts)).await??;
    print_report(json, &evaluation)
}

impl Texts {
    fn read(arguments: &Arguments, titles: BTreeMap<String, String>) -> anyhow::Result<Self> {
        let queries = Query::all()?;
        for (query, product) in queries.iter().flat_map(|query| query.relevant.keys().map(move |id| (query, id))) {
            ensure!(
                titles.contains_key(product),
                "«{}» asks for {product}, which is not in the catalogue",
                query.query
            );
        }
        let pairs = |file: &str, delimiter, columns| match &arguments.sentences {
            Some(folder) => read_pairs(&folder.join(file), delimiter, columns),
            None => Ok(Vec::new()),
        };
        let mut others = Vec::new();
        for path in &arguments.texts {
            let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
            for line in BufReader::new(file).lines() {
                others.push(line.with_context(|| format!("cannot read {}", path.display()))?);
            }
        }
        Ok(Self {
            english: pairs("stsb-en-dev.csv", b',', [0, 1, 2])?,
            korean: pairs("korsts-dev.tsv", b'\t', [5, 6, 4])?,
            queries,
            titles,
            others,
        })
    }

    /// All texts with their prompts.
    fn all(&self, spec: &ModelSpec) -> Vec<String> {
        let before = |purpose, text: &str| spec.prompts.before(purpose, text).into_owned();
        let sentences = self.english.iter().chain(&self.korean).flat_map(|pair| &pair.sentences);
        let queries = sentences.chain(self.queries.iter().map(|query| &query.query));
        let passages = self.titles.values().chain(&self.others);
        let texts = queries.map(|text| before(Purpose::Query, text));
        let texts: BTreeSet<String> = texts.chain(passages.map(|text| before(Purpose::Passage, text))).collect();
        texts.into_iter().collect()
    }
}

/// Reads an STS file, given the columns of the sentences and the score. A line whose score is not a number is a header.
fn read_pairs(path: &Path, delimiter: u8, [one, other, score]: [usize; 3]) -> anyhow::Result<Vec<Pair>> {
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut reader = csv::ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(delimiter).quoting(delimiter == b',');
    let mut pairs = Vec::new();
    for record in reader.from_reader(text.as_bytes()).records() {
        let record = record.with_context(|| format!("cannot read {}", path.display()))?;
        let column = |number: usize| record.get(number).unwrap_or_default();
        if let Ok(score) = column(score).parse() {
            pairs.push(Pair { sentences: [column(one).to_owned(), column(other).to_owned()], score });
        }
    }
    ensure!(!pairs.is_empty(), "{} holds no pairs", path.display());
    Ok(pairs)
}

fn evaluate(arguments: &Arguments, texts: &Texts) -> anyhow::Result<Evaluation> {
    let directory = arguments.models.directory()?;
    let specs: Vec<&'static ModelSpec> = if arguments.names.is_empty() {
        directory.known()?.into_iter().filter(|spec| directory.path_of(spec).exists()).collect()
    } else {
        arguments.names.iter().map(|name| directory.find(name)).collect::<Result<_, _>>()?
    };
    ensure!(!specs.is_empty(), "no model is in {}; run `jangbogo models fetch`", directory.path().display());
    let threads = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
    let mut evaluation = Vec::new();
    for spec in specs {
        let vectors = |arithmetic| {
            let model = EmbeddingModel::load(&directory, spec, arithmetic, threads)
                .with_context(|| format!("{} cannot be loaded", spec.name))?;
            Vectors::compute(&model, &texts.all(spec))
        };
        let measured = vectors(arguments.arithmetic)?;
        let reference = if arguments.reference { Some(vectors(Arithmetic::F32)?) } else { None };
        let cosines = reference.as_ref().map(|reference| measured.compare(reference));
        evaluation.push(measured.measure(spec, arguments.arithmetic, texts, cosines)?);
        if let Some(reference) = reference {
            evaluation.push(reference.measure(spec, Arithmetic::F32, texts, None)?);
        }
    }
    Ok(Evaluation(evaluation))
}

/// Vectors by text, prompt included.
struct Vectors(HashMap<String, Vec<f32>>);

impl Vectors {
    fn compute(model: &EmbeddingModel, texts: &[String]) -> anyhow::Result<Self> {
        let progress = Progress::of_one_phase("embedding", "texts", texts.len() as u64);
        let mut vectors = HashMap::with_capacity(texts.len());
        for texts in texts.chunks(STEP) {
            let batch: Vec<&str> = texts.iter().map(String::as_str).collect();
            vectors.extend(texts.iter().cloned().zip(model.embed_batch(&batch)?.vectors));
            progress.set_position(vectors.len() as u64);
        }
        drop(progress);
        Ok(Self(vectors))
    }

    fn get(&self, spec: &ModelSpec, purpose: Purpose, text: &str) -> anyhow::Result<&[f32]> {
        let vector = self.0.get(&*spec.prompts.before(purpose, text));
        vector.map(Vec::as_slice).ok_or_else(|| anyhow!("«{text}» was not embedded"))
    }

    /// Cosines with other vectors of the same texts.
    fn compare(&self, others: &Self) -> Cosines {
        let cosines = self.0.iter().filter_map(|(text, vector)| Some(cosine(vector, others.0.get(text)?)));
        let cosines: Vec<f64> = cosines.collect();
        Cosines { texts: cosines.len(), mean: mean(&cosines), worst: cosines.iter().copied().fold(1.0, f64::min) }
    }

    fn measure(
        &self,
        spec: &'static ModelSpec,
        arithmetic: Arithmetic,
        texts: &Texts,
        cosines: Option<Cosines>,
    ) -> anyhow::Result<Measured> {
        let correlation = |pairs: &[Pair]| -> anyhow::Result<Option<f64>> {
            let vector = |text: &String| self.get(spec, Purpose::Query, text);
            let cosines = pairs
                .iter()
                .map(|Pair { sentences: [one, other], score }| Ok((cosine(vector(one)?, vector(other)?), *score)));
            Ok(spearman(&cosines.collect::<anyhow::Result<Vec<_>>>()?))
        };
        let titles = texts.titles.iter().map(|(id, title)| Ok((id, self.get(spec, Purpose::Passage, title)?)));
        let titles: Vec<(&String, &[f32])> = titles.collect::<anyhow::Result<_>>()?;
        let gain = |query: &Query| -> anyhow::Result<f64> {
            let vector = self.get(spec, Purpose::Query, &query.query)?;
            let mut found: Vec<(f64, &String)> =
                titles.iter().map(|(id, title)| (cosine(vector, title), *id)).collect();
            found.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
            Ok(query.gain(found.iter().map(|(_, id)| id.as_str())))
        };
        Ok(Measured {
            model: spec.name,
            arithmetic: format!("{arithmetic:?}").to_lowercase(),
            english_spearman: correlation(&texts.english)?,
            korean_spearman: correlation(&texts.korean)?,
            queries_ndcg: mean(&texts.queries.iter().map(gain).collect::<anyhow::Result<Vec<_>>>()?),
            cosines,
        })
    }
}

/// Cosine of two unit vectors.
fn cosine(one: &[f32], other: &[f32]) -> f64 {
    one.iter().zip(other).map(|(one, other)| f64::from(*one) * f64::from(*other)).sum()
}

impl fmt::Display for Evaluation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["Model", "Computed in", "English", "Korean", "nDCG@10", "Cosine to f32", "Worst", "Texts"];
        let mut rows = table(header);
        for measured in &self.0 {
            let number =
                |number: Option<f64>, digits: usize| number.map_or("-".to_owned(), |it| format!("{it:.digits$}"));
            let cosines = measured.cosines;
            rows.add_row([
                measured.model.to_owned(),
                measured.arithmetic.clone(),
                number(measured.english_spearman, 3),
                number(measured.korean_spearman, 3),
                number(Some(measured.queries_ndcg), 3),
                number(cosines.map(|cosines| cosines.mean), 4),
                number(cosines.map(|cosines| cosines.worst), 4),
                cosines.map_or("-".to_owned(), |cosines| cosines.texts.to_string()),
            ]);
        }
        align_numbers(&mut rows, 2);
        writeln!(formatter, "{rows}")
    }
}
