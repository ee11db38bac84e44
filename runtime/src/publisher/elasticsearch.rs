//! Views in Elasticsearch: an index for each generation, a document for each key.

use elasticsearch::http::StatusCode;
use elasticsearch::http::transport::Transport;
use elasticsearch::indices::{IndicesCreateParts, IndicesDeleteParts, IndicesGetSettingsParts, IndicesRefreshParts};
use elasticsearch::params::VersionType;
use elasticsearch::{BulkOperation, BulkParts, Elasticsearch};
use serde_json::{Value, json};
use tracing::{error, info};
use uuid::Uuid;

use super::{Entry, PublishError, PublisherContext, Version};
use crate::config::Connections;
use crate::fold::{Processor, Target, View};
use crate::retry::Backoff;
use crate::store::Generation;

/// Its name in the publisher's table.
pub(super) const STORE: &str = "elasticsearch";

/// How often a bulk is tried while the store is too busy for some of it: some seconds, in which a snapshot is held.
const ATTEMPTS: usize = 6;

/// Writes one view to Elasticsearch.
pub(crate) struct SearchSink {
    client: Elasticsearch,
    index: String,
    definition: &'static str,
    incarnation: Option<String>,
}

/// The index of a view in a generation.
#[must_use]
pub fn index_name(connections: &Connections, view: &str, generation: &Generation) -> String {
    connections.namespace.index(&format!("{view}-{}", generation.id.simple()))
}

/// A client that connects when it is first used.
///
/// # Errors
/// When the URL cannot be read.
pub(crate) fn client(connections: &Connections) -> Result<Elasticsearch, elasticsearch::Error> {
    Ok(Elasticsearch::new(Transport::single_node(&connections.elasticsearch)?))
}

/// Lets searches find what was written to the indexes of a generation: a written document is found only after the
/// index's next refresh.
///
/// # Errors
/// When Elasticsearch is away or refuses.
pub async fn refresh_indexes(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
) -> Result<(), PublishError> {
    let client = client(connections)?;
    for index in index_names(connections, processor, generation) {
        let parts = IndicesRefreshParts::Index(&[index.as_str()]);
        client.indices().refresh(parts).send().await?.error_for_status_code()?;
    }
    Ok(())
}

/// Deletes the indexes of a generation that is gone.
///
/// # Errors
/// When Elasticsearch is away or refuses.
pub async fn drop_indexes(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
) -> Result<(), PublishError> {
    let client = client(connections)?;
    for index in index_names(connections, processor, generation) {
        delete_index(&client, &index).await?;
    }
    Ok(())
}

fn index_names(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
) -> impl Iterator<Item = String> {
    let searched = processor.views().filter(|view| matches!(view.target, Target::Elasticsearch { .. }));
    searched.map(|view| index_name(connections, view.name, generation))
}

/// Deletes an index if it is there.
async fn delete_index(client: &Elasticsearch, index: &str) -> Result<(), PublishError> {
    let response = client.indices().delete(IndicesDeleteParts::Index(&[index])).send().await?;
    if response.status_code() != StatusCode::NOT_FOUND {
        response.error_for_status_code()?;
    }
    Ok(())
}

impl SearchSink {
    pub(super) fn new(
        context: &PublisherContext,
        generation: &Generation,
        view: &'static View,
        incarnation: Option<String>,
    ) -> Result<Self, PublishError> {
        let Target::Elasticsearch { index: definition } = view.target else {
            return Err(PublishError::Answer(format!("view {} is not published there", view.name)));
        };
        let index = index_name(&context.connections, view.name, generation);
        Ok(Self { client: client(&context.connections)?, index, definition, incarnation })
    }

    /// Creates the index if it is not there. Gives its incarnation when it is another one than before.
    pub(super) async fn look(&mut self) -> Result<Option<String>, PublishError> {
        let found = if let Some(uuid) = self.index_uuid().await? {
            uuid
        } else {
            self.create().await?;
            self.index_uuid().await?.ok_or(PublishError::OtherIncarnation(STORE))?
        };
        if self.incarnation.as_ref() == Some(&found) {
            return Ok(None);
        }
        self.incarnation = Some(found.clone());
        Ok(Some(found))
    }

    async fn index_uuid(&self) -> Result<Option<String>, PublishError> {
        let parts = IndicesGetSettingsParts::Index(&[self.index.as_str()]);
        let response = self.client.indices().get_settings(parts).send().await?;
        if response.status_code() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer: Value = response.error_for_status_code()?.json().await?;
        let uuid = answer[&self.index]["settings"]["index"]["uuid"].as_str();
        Ok(Some(uuid.ok_or_else(|| PublishError::Answer(answer.to_string()))?.to_owned()))
    }

    /// What the names of the view's indexes begin with; the rest is the generation's id.
    fn prefix(&self) -> &str {
        self.index.trim_end_matches(|digit: char| digit.is_ascii_hexdigit())
    }

    /// The generations that have an index of this view.
    pub(super) async fn generations(&self) -> Result<Vec<Uuid>, PublishError> {
        let pattern = format!("{}*", self.prefix());
        let parts = IndicesGetSettingsParts::Index(&[pattern.as_str()]);
        let response = self.client.indices().get_settings(parts).send().await?;
        let answer: Value = response.error_for_status_code()?.json().await?;
        let indexes = answer.as_object().ok_or_else(|| PublishError::Answer(answer.to_string()))?;
        Ok(indexes.keys().filter_map(|index| index.strip_prefix(self.prefix())?.parse().ok()).collect())
    }

    /// Deletes the view's index of a generation that is gone.
    pub(super) async fn delete_index_of(&self, generation: Uuid) -> Result<(), PublishError> {
        let index = format!("{}{}", self.prefix(), generation.simple());
        info!(index, "deleting the index of a generation that is gone");
        delete_index(&self.client, &index).await
    }

    async fn create(&self) -> Result<(), PublishError> {
        let definition: Value = serde_json::from_str(self.definition)
            .map_err(|error| PublishError::Answer(format!("nothing: the index's definition is no JSON: {error}")))?;
        let parts = IndicesCreateParts::Index(&self.index);
        let response = self.client.indices().create(parts).body(definition).send().await?;
        if response.status_code().is_success() {
            return Ok(());
        }
        let answer = response.text().await?;
        if answer.contains("resource_already_exists_exception") {
            return Ok(());
        }
        Err(PublishError::Answer(answer))
    }

    /// Writes documents; a key without rows becomes a document that says so, so that no older one comes back. What the
    /// store is too busy for is tried again, a few times.
    pub(super) async fn write(&self, version: Version, entries: &[Entry]) -> Result<(), PublishError> {
        let mut left: Vec<&Entry> = entries.iter().collect();
        let mut backoff = Backoff::default();
        for _ in 0..ATTEMPTS {
            left = self.write_once(version, &left).await?;
            if left.is_empty() {
                return Ok(());
            }
            backoff.wait().await;
        }
        Err(PublishError::Answer(format!("to {ATTEMPTS} attempts that it is too busy")))
    }

    /// Gives the entries that it was too busy for.
    async fn write_once<'a>(&self, version: Version, entries: &[&'a Entry]) -> Result<Vec<&'a Entry>, PublishError> {
        let number = (version.epoch << 32) | version.number;
        let mut operations: Vec<BulkOperation<Value>> = Vec::new();
        for Entry { key, value } in entries {
            let document = value.clone().unwrap_or_else(|| json!({ "tombstone": true }));
            let operation = BulkOperation::index(document).id(key).version(number).version_type(VersionType::External);
            operations.push(operation.into());
        }
        let parts = BulkParts::Index(&self.index);
        let response = self.client.bulk(parts).body(operations).send().await?;
        let answer: Value = response.error_for_status_code()?.json().await?;
        let items = answer["items"].as_array().filter(|items| items.len() == entries.len());
        let items = items.ok_or_else(|| PublishError::Answer(answer.to_string()))?;
        let mut left = Vec::new();
        for (entry, item) in entries.iter().zip(items) {
            let item = &item["index"];
            match item["status"].as_u64() {
                // 409: something newer is there.
                Some(200 | 201 | 409) => {}
                Some(404) => return Err(PublishError::OtherIncarnation(STORE)),
                // The document itself is refused: trying again is in vain, and the others must go on.
                Some(400) => error!(index = self.index, item = %item, "a document was refused"),
                Some(429 | 503) => left.push(*entry),
                _ => return Err(PublishError::Answer(item.to_string())),
            }
        }
        Ok(left)
    }
}
