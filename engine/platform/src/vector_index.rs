//! Build and search parameters of vector indexes in pgvector and Elasticsearch, which are both HNSW graphs.

use clap::Args;
use serde_json::{Value, json};

/// HNSW parameters of the vector indexes. Rows do not depend on them, so they are no fold settings.
#[derive(Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct VectorIndex {
    /// HNSW graph degree of vector indexes, 2 to 100. Applies when an index is built: a change needs a rebuild
    #[arg(
        id = "hnsw-m",
        long,
        env = "HNSW_M",
        default_value_t = DEFAULT.m,
        value_parser = clap::value_parser!(u16).range(2..=100),
        value_name = "NEIGHBOURS",
        global = true
    )]
    pub m: u16,
    /// Candidates for a vector's neighbours while an index is built, from twice --hnsw-m to 1000. A change needs a
    /// rebuild
    #[arg(
        id = "hnsw-ef-construction",
        long,
        env = "HNSW_EF_CONSTRUCTION",
        default_value_t = DEFAULT.ef_construction,
        value_parser = clap::value_parser!(u16).range(4..=1000),
        value_name = "CANDIDATES",
        global = true
    )]
    pub ef_construction: u16,
    /// Candidates of a vector search in Postgres when products are ranked, 80 to 1000
    #[arg(
        id = "hnsw-ef-search",
        long,
        env = "HNSW_EF_SEARCH",
        default_value_t = DEFAULT.ef_search,
        value_parser = clap::value_parser!(u16).range(i64::from(VectorIndex::MIN_EF_SEARCH)..=1000),
        value_name = "CANDIDATES",
        global = true
    )]
    pub ef_search: u16,
    /// Candidates of a vector search in Elasticsearch when shoppers search, 50 to 10000
    #[arg(
        id = "hnsw-candidates",
        long,
        env = "HNSW_CANDIDATES",
        default_value_t = DEFAULT.candidates,
        value_parser = clap::value_parser!(u16).range(i64::from(VectorIndex::MIN_CANDIDATES)..=10_000),
        value_name = "CANDIDATES",
        global = true
    )]
    pub candidates: u16,
}

/// Recall with these is 0.99: see `bench recall`.
const DEFAULT: VectorIndex = VectorIndex { m: 16, ef_construction: 100, ef_search: 100, candidates: 200 };

impl Default for VectorIndex {
    /// The defaults of the command line.
    fn default() -> Self {
        DEFAULT
    }
}

/// Parameters that are each in range but that pgvector rejects together.
#[derive(Debug, thiserror::Error)]
#[error(
    "invalid vector index settings HNSW_M {m} and HNSW_EF_CONSTRUCTION {ef_construction}: raise the latter to at least \
     {}, or lower the former",
    2 * m
)]
pub struct UnfitVectorIndex {
    m: u16,
    ef_construction: u16,
}

impl VectorIndex {
    /// Minimum of [`Self::ef_search`], and so the maximum number of vectors that a search in Postgres may request.
    pub const MIN_EF_SEARCH: u16 = 80;
    /// Minimum of [`Self::candidates`], and so the maximum of a search in Elasticsearch.
    pub const MIN_CANDIDATES: u16 = 50;

    /// Checks that an index can be built. Called when a program starts: later only a log line would show it.
    ///
    /// # Errors
    /// When `ef_construction` is less than twice `m`.
    pub fn check(self) -> Result<(), UnfitVectorIndex> {
        let Self { m, ef_construction, .. } = self;
        if ef_construction < 2 * m {
            return Err(UnfitVectorIndex { m, ef_construction });
        }
        Ok(())
    }

    /// Storage parameters of `CREATE INDEX … USING hnsw (…) WITH (…)`.
    #[must_use]
    pub fn storage_parameters(self) -> String {
        format!("m = {}, ef_construction = {}", self.m, self.ef_construction)
    }

    /// `index_options` of a `dense_vector`. Floats: the recall of quantised bytes, Elasticsearch's default, is lower.
    #[must_use]
    pub fn index_options(self) -> Value {
        json!({ "type": "hnsw", "m": self.m, "ef_construction": self.ef_construction })
    }

    /// The settings as environment variables of a child process.
    #[must_use]
    pub fn variables(self) -> [(&'static str, String); 4] {
        [
            ("HNSW_M", self.m),
            ("HNSW_EF_CONSTRUCTION", self.ef_construction),
            ("HNSW_EF_SEARCH", self.ef_search),
            ("HNSW_CANDIDATES", self.candidates),
        ]
        .map(|(name, value)| (name, value.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        index: VectorIndex,
    }

    fn parsed(arguments: &[&str]) -> Result<VectorIndex, clap::Error> {
        Ok(Cli::try_parse_from([&["test"], arguments].concat())?.index)
    }

    #[test]
    fn settings_are_in_the_ranges_of_both_servers() {
        let most = ["--hnsw-m=100", "--hnsw-ef-construction=1000", "--hnsw-ef-search=1000", "--hnsw-candidates=10000"];
        let index = VectorIndex { m: 100, ef_construction: 1000, ef_search: 1000, candidates: 10_000 };
        assert_eq!(parsed(&most).unwrap(), index);
        let least = ["--hnsw-m=2", "--hnsw-ef-construction=4", "--hnsw-ef-search=80", "--hnsw-candidates=50"];
        let index = VectorIndex { m: 2, ef_construction: 4, ef_search: 80, candidates: 50 };
        assert_eq!(parsed(&least).unwrap(), index);
        for refused in [
            "--hnsw-m=1",
            "--hnsw-m=101",
            "--hnsw-ef-construction=3",
            "--hnsw-ef-construction=1001",
            "--hnsw-ef-search=79",
            "--hnsw-ef-search=1001",
            "--hnsw-candidates=49",
            "--hnsw-candidates=10001",
        ] {
            assert!(parsed(&[refused]).is_err(), "{refused}");
        }
    }

    #[test]
    fn too_few_candidates_for_the_neighbours_are_refused() {
        let index = |m, ef_construction| VectorIndex { m, ef_construction, ..VectorIndex::default() };
        VectorIndex::default().check().unwrap();
        index(50, 100).check().unwrap();
        assert_eq!(
            index(51, 100).check().unwrap_err().to_string(),
            "invalid vector index settings HNSW_M 51 and HNSW_EF_CONSTRUCTION 100: raise the latter to at \
             least 102, or lower the former"
        );
    }

    #[test]
    fn a_child_process_reads_the_variables() {
        let command = <Cli as clap::CommandFactory>::command();
        let read: Vec<&str> = command.get_arguments().filter_map(|argument| argument.get_env()?.to_str()).collect();
        assert_eq!(VectorIndex::default().variables().map(|(name, _)| name), *read);
    }
}
