//! Which generation of each processor a request reads: the live ones, or those it names.

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

/// The fewest digits that name a generation. Ids that were made at one time begin alike, so their ends are given.
const MIN_DIGITS: usize = 8;
const ALL_DIGITS: usize = 32;

/// A generation's id as people give it: in full, or its last digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationId(String);

/// A text that names no generation.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is no generation: give its id, or the last 8 or more digits of it, as `replay list` shows them")]
pub struct InvalidGenerationId(String);

impl FromStr for GenerationId {
    type Err = InvalidGenerationId;

    fn from_str(text: &str) -> Result<Self, InvalidGenerationId> {
        // Only a whole id has hyphens: `2010-11-30` is none.
        let whole = Uuid::try_parse(text.trim()).map(|id| id.simple().to_string());
        let digits = whole.unwrap_or_else(|_| text.trim().to_ascii_lowercase());
        let is_id =
            (MIN_DIGITS..=ALL_DIGITS).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_id { Ok(Self(digits)) } else { Err(InvalidGenerationId(text.chars().take(64).collect())) }
    }
}

impl GenerationId {
    /// Whether it is this id, or the end of it.
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

/// Why the generations that were named cannot answer.
#[derive(Debug, thiserror::Error)]
pub enum AsOfError {
    /// There is none of this id.
    #[error("there is no generation {0}; `replay list` shows those there are")]
    Unknown(GenerationId),
    /// Several ids end in these digits.
    #[error("the generations {first} and {second} both end in {asked}; give more digits")]
    Ambiguous {
        /// The digits.
        asked: GenerationId,
        /// One of them.
        first: Uuid,
        /// Another one.
        second: Uuid,
    },
    /// A request reads one generation of a processor.
    #[error("{first} and {second} are both generations of {processor}; name one of them")]
    Twice {
        /// Whose.
        processor: String,
        /// The one named first.
        first: Uuid,
        /// The other one.
        second: Uuid,
    },
    /// It is still being folded.
    #[error("the generation {generation} of {processor} is {state}; it can be read once it is ready")]
    Incomplete {
        /// Whose.
        processor: String,
        /// Which.
        generation: Uuid,
        /// What it is doing.
        state: String,
    },
    /// Its tables may not fit this program's views.
    #[error(
        "the generation {generation} of {processor} was folded by version {found}, this program reads version \
         {mine}; ask a program of that version"
    )]
    OtherFold {
        /// Whose.
        processor: &'static str,
        /// Which.
        generation: Uuid,
        /// The version of the code that folded it.
        found: String,
        /// That of this program.
        mine: String,
    },
    /// What is asked for needs a processor of which no generation is named.
    #[error(
        "this is answered from {processor}, but the generations named are of {named}; \
         name one of {processor} as well: what is live is not mixed with them"
    )]
    NotNamed {
        /// Whose rows are needed.
        processor: &'static str,
        /// Of which processors generations are named.
        named: String,
    },
}

/// A generation that answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The tables.
    pub generation: Generation,
    /// What was published or cached under it counts; none for a generation that was named, of which rows alone are
    /// read.
    pub promotion: Option<Uuid>,
}

/// One generation of each processor that a request may read: taken once a request.
#[derive(Clone, Debug)]
pub struct Generations {
    by_processor: BTreeMap<String, Served>,
    /// Whether the request named them; then there are no others for it.
    are_named: bool,
}

impl Generations {
    /// The generation of a processor.
    ///
    /// # Errors
    /// When it has none yet, or the request named others, or one of another fold.
    pub fn of(&self, processor: &Processor) -> Result<&Served, ReadError> {
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

    /// Whether the request named them.
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
            let served = Served { generation: Generation::of(row), promotion: Some(row.get("promotion")) };
            by_processor.insert(row.get("processor"), served);
        }
        Ok(Self { by_processor, are_named: false })
    }

    pub(super) async fn named(postgres: &PgPool, ids: &[GenerationId]) -> Result<Self, ReadError> {
        // An id holds digits only, so nothing of it is a pattern.
        let rows = sqlx::query(
            "SELECT asked.number, processor, generation, schema_name, fold_version, embedding_model, state
             FROM unnest($1::text[]) WITH ORDINALITY AS asked (digits, number)
             JOIN generation ON replace(generation::text, '-', '') LIKE '%' || digits
             ORDER BY number, generation",
        )
        .bind(ids.iter().map(|id| id.0.as_str()).collect::<Vec<_>>())
        .fetch_all(postgres)
        .await?;
        let mut by_processor = BTreeMap::new();
        for (id, number) in ids.iter().zip(1_i64..) {
            let mut found = rows.iter().filter(|row| row.get::<i64, _>("number") == number);
            let row = found.next().ok_or_else(|| AsOfError::Unknown(id.clone()))?;
            let generation: Uuid = row.get("generation");
            if let Some(other) = found.next() {
                let second = other.get("generation");
                return Err(AsOfError::Ambiguous { asked: id.clone(), first: generation, second }.into());
            }
            let (processor, state): (String, String) = (row.get("processor"), row.get("state"));
            if !matches!(state.as_str(), "ready" | "live" | "frozen") {
                return Err(AsOfError::Incomplete { processor, generation, state }.into());
            }
            match by_processor.entry(processor) {
                Entry::Vacant(entry) => entry.insert(Served { generation: Generation::of(row), promotion: None }),
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
    fn an_id_is_given_in_full_or_by_its_end() {
        let id = |text: &str| text.parse::<GenerationId>().map(|id| id.to_string());
        let full = "019A9F2E-7c1b-7d3e-8f00-0123456789ab";
        assert_eq!(id(full).unwrap(), "019a9f2e7c1b7d3e8f000123456789ab");
        assert_eq!(id(" 456789ab ").unwrap(), "456789ab");
        for broken in ["", "56789ab", "456789ag", "2010-11-30", "latest", &format!("{full}0")] {
            assert!(id(broken).is_err(), "{broken}");
        }
    }
}
