//! Chooses the generation of each processor that a request reads: the live ones, or those it names.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::str::FromStr;

use jangbogo_fold::Processor;
use jangbogo_store::Generation;
use sqlx::Row as _;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::ReadError;

/// Fewest digits that identify a generation. Ids of one time (`UUIDv7`) begin alike, so their last digits are used.
const MIN_DIGITS: usize = 8;
const ALL_DIGITS: usize = 32;

/// A generation's id as a request gives it: in full, or its last digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationId(String);

/// A text that is not the id of a generation.
#[derive(Debug, thiserror::Error)]
#[error("invalid generation id {0:?}: give the id or its last 8 or more digits, as `replay list` shows them")]
pub struct InvalidGenerationId(String);

impl FromStr for GenerationId {
    type Err = InvalidGenerationId;

    fn from_str(text: &str) -> Result<Self, InvalidGenerationId> {
        // Only a whole id has hyphens: `2010-11-30` is not one.
        let whole = Uuid::try_parse(text.trim()).map(|id| id.simple().to_string());
        let digits = whole.unwrap_or_else(|_| text.trim().to_ascii_lowercase());
        let is_id =
            (MIN_DIGITS..=ALL_DIGITS).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_id { Ok(Self(digits)) } else { Err(InvalidGenerationId(text.chars().take(64).collect())) }
    }
}

impl GenerationId {
    /// True if this is the id, or its last digits.
    #[must_use]
    pub fn names(&self, id: Uuid) -> bool {
        id.simple().to_string().ends_with(&self.0)
    }
}

impl fmt::Display for GenerationId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Failure to read named generations.
#[derive(Debug, thiserror::Error)]
pub enum AsOfError {
    /// No generation has this id.
    #[error("unknown generation {0}; `replay list` shows all generations")]
    Unknown(GenerationId),
    /// Several ids end in these digits.
    #[error("ambiguous generation id {requested}: both {first} and {second} end in it; give more digits")]
    Ambiguous { requested: GenerationId, first: Uuid, second: Uuid },
    /// Two named generations are of one processor.
    #[error("{first} and {second} are both generations of {processor}; name one of them")]
    Twice { processor: String, first: Uuid, second: Uuid },
    /// It is still being folded.
    #[error("the generation {generation} of {processor} is {state}; it can be read once it is ready")]
    Incomplete { processor: String, generation: Uuid, state: String },
    /// Another fold version: its tables may not fit this program's views.
    #[error(
        "the generation {generation} of {processor} was folded by version {found}, this program reads version \
         {mine}; use a program of that version"
    )]
    OtherFold {
        processor: &'static str,
        generation: Uuid,
        /// The fold version of the generation.
        found: String,
        /// The fold version of this program.
        mine: String,
    },
    /// The request needs a processor of which it names no generation.
    #[error(
        "this request reads {processor}, but the named generations are of {named}; name one of {processor} as well: \
         live and named generations are not mixed"
    )]
    NotNamed {
        processor: &'static str,
        /// Processors of the named generations, separated by commas.
        named: String,
    },
}

/// A generation that a request reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    pub generation: Generation,
    /// The promotion that published and cached values must carry; none for a named generation, of which only rows are
    /// read.
    pub promotion: Option<Uuid>,
}

/// The generations that a request may read, at most one of each processor. Taken once per request.
#[derive(Clone, Debug)]
pub struct Generations {
    by_processor: BTreeMap<String, Served>,
    /// True if the request named them; then it reads no others.
    are_named: bool,
}

impl Generations {
    /// The generation of a processor.
    ///
    /// # Errors
    /// When the processor has no live generation yet, or the request named none of it or one of another fold version.
    pub fn get(&self, processor: &Processor) -> Result<&Served, ReadError> {
        let Some(served) = self.by_processor.get(processor.name) else {
            if !self.are_named {
                return Err(ReadError::NotLive(processor.name));
            }
            let named: Vec<&str> = self.by_processor.keys().map(String::as_str).collect();
            return Err(AsOfError::NotNamed { processor: processor.name, named: named.join(", ") }.into());
        };
        let Generation { id, fold_version, .. } = &served.generation;
        let found = fold_version.split('/').next().unwrap_or_default();
        let mine = processor.code_version();
        if self.are_named && found != mine {
            let (generation, found) = (*id, found.to_owned());
            return Err(AsOfError::OtherFold { processor: processor.name, generation, found, mine }.into());
        }
        Ok(served)
    }

    #[must_use]
    pub fn are_named(&self) -> bool {
        self.are_named
    }

    pub(super) async fn live(postgres: &PgPool) -> Result<Self, ReadError> {
        let rows = sqlx::query(
            "SELECT processor, generation, schema_name, fold_version, embedding_model, promotion
             FROM live_generation JOIN generation USING (processor, generation)",
        )
        .fetch_all(postgres)
        .await?;
        let mut by_processor = BTreeMap::new();
        for row in &rows {
            let served = Served { generation: Generation::from_row(row), promotion: Some(row.get("promotion")) };
            by_processor.insert(row.get("processor"), served);
        }
        Ok(Self { by_processor, are_named: false })
    }

    pub(super) async fn named(postgres: &PgPool, ids: &[GenerationId]) -> Result<Self, ReadError> {
        // An id holds digits only: no wildcards of LIKE.
        let rows = sqlx::query(
            "SELECT requested.number, processor, generation, schema_name, fold_version, embedding_model, state
             FROM unnest($1::text[]) WITH ORDINALITY AS requested (digits, number)
             JOIN generation ON replace(generation::text, '-', '') LIKE '%' || digits
             ORDER BY number, generation",
        )
        .bind(ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>())
        .fetch_all(postgres)
        .await?;
        let mut by_processor = BTreeMap::new();
        for (id, number) in ids.iter().zip(1_i64..) {
            let mut matching = rows.iter().filter(|row| row.get::<i64, _>("number") == number);
            let row = matching.next().ok_or_else(|| AsOfError::Unknown(id.clone()))?;
            let generation: Uuid = row.get("generation");
            if let Some(other) = matching.next() {
                let second = other.get("generation");
                return Err(AsOfError::Ambiguous { requested: id.clone(), first: generation, second }.into());
            }
            let (processor, state): (String, String) = (row.get("processor"), row.get("state"));
            if !matches!(state.as_str(), "ready" | "live" | "frozen") {
                return Err(AsOfError::Incomplete { processor, generation, state }.into());
            }
            match by_processor.entry(processor) {
                Entry::Vacant(entry) => entry.insert(Served { generation: Generation::from_row(row), promotion: None }),
                Entry::Occupied(entry) => {
                    let first = entry.get().generation.id;
                    return Err(AsOfError::Twice { processor: entry.key().clone(), first, second: generation }.into());
                }
            };
        }
        Ok(Self { by_processor, are_named: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_full_or_by_its_last_digits() {
        let id = |text: &str| text.parse::<GenerationId>().map(|id| id.to_string());
        let full = "019A9F2E-7c1b-7d3e-8f00-0123456789ab";
        assert_eq!(id(full).unwrap(), "019a9f2e7c1b7d3e8f000123456789ab");
        assert_eq!(id(" 456789ab ").unwrap(), "456789ab");
        for broken in ["", "56789ab", "456789ag", "2010-11-30", "latest", &format!("{full}0")] {
            assert!(id(broken).is_err(), "{broken}");
        }
    }
}
