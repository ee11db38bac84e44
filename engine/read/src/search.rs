//! Searches the Elasticsearch indexes of views.

use std::time::Duration;

use elasticsearch::SearchParts;
use elasticsearch::http::StatusCode;
use jangbogo_fold::View;
use jangbogo_store::published::index_name;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ReadError, Reader, Served};

/// Timeout of a search.
const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Failure of a search.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("elasticsearch unavailable")]
    Unavailable(#[from] elasticsearch::Error),
    /// The index does not exist: it is being built, for the first time or after a loss.
    #[error("the search index is being built")]
    NoIndex,
    /// Elasticsearch refuses the search.
    #[error("elasticsearch answered {status}: {body}")]
    Refused { status: u16, body: String },
    /// The index name cannot be determined.
    #[error("cannot determine the index name")]
    Read(#[from] ReadError),
}

/// Result of a search.
#[derive(Debug, Deserialize)]
pub struct Hits<H> {
    total: Total,
    /// Hits of the requested page, best first.
    pub hits: Vec<H>,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
}

impl<H> Hits<H> {
    /// Number of hits on all pages.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.value
    }
}

impl Reader {
    /// Runs a search on the index of a view in a generation.
    ///
    /// # Errors
    /// When Elasticsearch is unavailable, has no such index, or refuses the search.
    pub async fn ask_index<A: DeserializeOwned>(
        &self,
        served: &Served,
        view: &View,
        body: &Value,
    ) -> Result<A, SearchError> {
        let index = index_name(&self.connections, view.name, &served.generation);
        let indexes = [index.as_str()];
        let request = self.search.search(SearchParts::Index(&indexes)).body(body).request_timeout(TIME_LIMIT);
        let response = request.send().await?;
        match response.status_code() {
            StatusCode::NOT_FOUND => Err(SearchError::NoIndex),
            status if status.is_success() => Ok(response.json().await?),
            status => Err(SearchError::Refused { status: status.as_u16(), body: response.text().await? }),
        }
    }
}
