//! Asking the indexes in Elasticsearch that views are published to.

use std::time::Duration;

use elasticsearch::SearchParts;
use elasticsearch::http::StatusCode;
use jangbogo_fold::View;
use jangbogo_publish as publisher;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{ReadError, Reader, Served};

const TIME_LIMIT: Duration = Duration::from_secs(3);

/// Why nothing was found out.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Elasticsearch is away.
    #[error("elasticsearch does not answer")]
    Unavailable(#[from] elasticsearch::Error),
    /// The index is not there: it was never built, or was lost and is being built again.
    #[error("the search index is being built")]
    NoIndex,
    /// Elasticsearch refuses.
    #[error("elasticsearch answered {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// The view is not known.
    #[error("the index cannot be named")]
    Read(#[from] ReadError),
}

/// What a search found.
#[derive(Debug, Deserialize)]
pub struct Hits<H> {
    total: Total,
    /// The page that was asked for, in its order.
    pub hits: Vec<H>,
}

#[derive(Debug, Deserialize)]
struct Total {
    value: u64,
}

impl<H> Hits<H> {
    /// How many there are in all, on any page.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total.value
    }
}

impl Reader {
    /// What the index of a view in a generation, and no other's, answers to the body of a search.
    ///
    /// # Errors
    /// When Elasticsearch is away, has no such index, or refuses.
    pub async fn ask_index<A: DeserializeOwned>(
        &self,
        served: &Served,
        view: &View,
        body: &Value,
    ) -> Result<A, SearchError> {
        let index = publisher::index_name(&self.connections, view.name, &served.generation);
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
