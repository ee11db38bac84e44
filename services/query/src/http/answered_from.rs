//! The generations that a request reads: taken once, and named in a header of the answer.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use jangbogo_fold::Processor;
use jangbogo_read::{GenerationId, Generations, ReadError, Reader, Served};
use jangbogo_store::Generation;
use uuid::Uuid;

use super::failure::Answer;
use super::parameters::{Parameters, invalid};

/// Header with the generations that an answer was read from.
const PROJECTION_GENERATIONS: HeaderName = HeaderName::from_static("projection-generations");
/// Description of the parameter `as_of`.
pub(super) const AS_OF: &str = "Answers only from the rows of these generations, which `replay at` makes: ids, or \
                                their last 8 or more digits, separated by commas, one for each processor that is \
                                needed. 404: unknown id; 409: it is still being folded, or was folded by code of \
                                another version";

/// The generations that a request has read so far, by processor. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct AnsweredFrom(Arc<Mutex<BTreeMap<String, Uuid>>>);

impl AnsweredFrom {
    /// Records that a generation of a processor was read.
    pub(super) fn record(&self, processor: &str, generation: Uuid) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(processor.to_owned(), generation);
    }

    fn header_value(&self) -> Option<HeaderValue> {
        let read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let pairs: Vec<String> =
            read.iter().map(|(processor, generation)| format!("{processor}={generation}")).collect();
        if pairs.is_empty() { None } else { HeaderValue::try_from(pairs.join(", ")).ok() }
    }
}

/// Middleware that adds the header to the answer.
pub(super) async fn add_header(mut request: Request, next: Next) -> Response {
    let answered_from = AnsweredFrom::default();
    request.extensions_mut().insert(answered_from.clone());
    let mut response = next.run(request).await;
    if let Some(value) = answered_from.header_value() {
        response.headers_mut().insert(PROJECTION_GENERATIONS, value);
    }
    response
}

/// The generations that a request may read.
#[derive(Debug)]
pub(super) struct Snapshot {
    generations: Generations,
    answered_from: AnsweredFrom,
}

impl Snapshot {
    /// Takes the parameter `as_of`, rejects unknown parameters, and reads the map of generations, once a request.
    pub(super) async fn take(mut parameters: Parameters, reader: &Reader) -> Answer<Self> {
        let ids = parameters.list::<GenerationId>("as_of", jangbogo_processors::PROCESSORS.len())?;
        let answered_from = parameters.answered_from();
        parameters.finish()?;
        let generations = match ids {
            Some(ids) => reader.named(&ids).await?,
            None => reader.live().await?,
        };
        Ok(Self { generations, answered_from })
    }

    /// The generation of a processor that answers this request.
    pub(super) fn get(&self, processor: &Processor) -> Result<&Served, ReadError> {
        let served = self.generations.get(processor)?;
        let Generation { processor, id, .. } = &served.generation;
        self.answered_from.record(processor, *id);
        Ok(served)
    }

    /// Like [`Self::get`], for reads of its search indexes, which only the live generation has.
    pub(super) fn get_indexed(&self, processor: &Processor) -> Answer<&Served> {
        if self.generations.are_named() {
            return Err(invalid("search is not kept for generations of the past; ask without as_of".to_owned()).into());
        }
        Ok(self.get(processor)?)
    }
}
