//! Views in Elasticsearch: an index for each generation, a document for each key.

use std::collections::BTreeSet;

use elasticsearch::http::StatusCode;
use elasticsearch::http::transport::Transport;
use elasticsearch::indices::{IndicesCreateParts, IndicesDeleteParts, IndicesGetSettingsParts, IndicesRefreshParts};
use elasticsearch::params::VersionType;
use elasticsearch::{BulkOperation, BulkParts, Elasticsearch};
use jangbogo_fold::{Processor, Target, View};
use jangbogo_platform::config::Connections;
use jangbogo_platform::vector_index::VectorIndex;
use jangbogo_resilience::retry::Backoff;
use jangbogo_store::Generation;
use jangbogo_store::view::Entry;
use serde_json::{Value, json};
use tracing::{error, info};
use uuid::Uuid;

use super::{PublishError, PublisherContext, Version};

/// Its name in the publisher's table.
pub(super) const STORE: &str = "elasticsearch";

/// How often a bulk is tried while the store is too busy for some of it: some seconds, in which a snapshot is held.
const ATTEMPTS: usize = 6;

/// Writes a processor's views to Elasticsearch.
pub struct SearchSink {
    client: Elasticsearch,
    indexes: Vec<Index>,
    /// Of indexes that are created.
    vector_index: VectorIndex,
    /// The UUIDs of all indexes, in their order.
    incarnation: Option<String>,
}

/// The index of a view.
struct Index {
    view: &'static str,
    name: String,
    definition: &'static str,
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
pub fn client(connections: &Connections) -> Result<Elasticsearch, elasticsearch::Error> {
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

/// What an index is created with: a view's definition of it, in which fields of vectors are indexed as the settings have it.
fn index_body(definition: &str, vector_index: VectorIndex) -> Result<Value, serde_json::Error> {
    let mut body: Value = serde_json::from_str(definition)?;
    let fields = body.pointer_mut("/mappings/properties").and_then(Value::as_object_mut);
    for field in fields.into_iter().flat_map(|fields| fields.values_mut()) {
        if field["type"] == "dense_vector" {
            field["index_options"] = vector_index.index_options();
        }
    }
    Ok(body)
}

impl Index {
    /// What the names of the view's indexes begin with; the rest is the generation's id.
    fn prefix(&self) -> &str {
        self.name.trim_end_matches(|digit: char| digit.is_ascii_hexdigit())
    }
}

impl SearchSink {
    /// For those views whose target is Elasticsearch; none if there are none.
    pub(super) fn new(
        context: &PublisherContext,
        generation: &Generation,
        incarnation: Option<String>,
    ) -> Result<Option<Self>, PublishError> {
        let index = |view: &'static View| {
            let Target::Elasticsearch { index: definition } = view.target else { return None };
            Some(Index { view: view.name, name: index_name(&context.connections, view.name, generation), definition })
        };
        let indexes: Vec<Index> = context.processor.views().filter_map(index).collect();
        let client = client(&context.connections)?;
        let vector_index = context.connections.vector_index;
        Ok((!indexes.is_empty()).then_some(Self { client, indexes, vector_index, incarnation }))
    }

    /// Creates the indexes that are not there. Gives their incarnation when it is another one than before.
    pub(super) async fn look(&mut self) -> Result<Option<String>, PublishError> {
        let mut found = Vec::new();
        for index in &self.indexes {
            if let Some(uuid) = self.index_uuid(index).await? {
                found.push(uuid);
            } else {
                self.create(index).await?;
                found.push(self.index_uuid(index).await?.ok_or(PublishError::OtherIncarnation(STORE))?);
            }
        }
        let found = found.join(" ");
        if self.incarnation.as_ref() == Some(&found) {
            return Ok(None);
        }
        self.incarnation = Some(found.clone());
        Ok(Some(found))
    }

    async fn index_uuid(&self, index: &Index) -> Result<Option<String>, PublishError> {
        let parts = IndicesGetSettingsParts::Index(&[index.name.as_str()]);
        let response = self.client.indices().get_settings(parts).send().await?;
        if response.status_code() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let answer: Value = response.error_for_status_code()?.json().await?;
        let uuid = answer[&index.name]["settings"]["index"]["uuid"].as_str();
        Ok(Some(uuid.ok_or_else(|| PublishError::Answer(answer.to_string()))?.to_owned()))
    }

    /// The generations that have an index of one of the views.
    pub(super) async fn generations(&self) -> Result<BTreeSet<Uuid>, PublishError> {
        let mut generations = BTreeSet::new();
        for prefix in self.indexes.iter().map(Index::prefix) {
            let pattern = format!("{prefix}*");
            let parts = IndicesGetSettingsParts::Index(&[pattern.as_str()]);
            let response = self.client.indices().get_settings(parts).send().await?;
            let answer: Value = response.error_for_status_code()?.json().await?;
            let indexes = answer.as_object().ok_or_else(|| PublishError::Answer(answer.to_string()))?;
            generations.extend(indexes.keys().filter_map(|name| name.strip_prefix(prefix)?.parse::<Uuid>().ok()));
        }
        Ok(generations)
    }

    /// Deletes the views' indexes of a generation that is gone.
    pub(super) async fn delete_indexes_of(&self, generation: Uuid) -> Result<(), PublishError> {
        for prefix in self.indexes.iter().map(Index::prefix) {
            let index = format!("{prefix}{}", generation.simple());
            info!(index, "deleting the index of a generation that is gone");
            delete_index(&self.client, &index).await?;
        }
        Ok(())
    }

    async fn create(&self, index: &Index) -> Result<(), PublishError> {
        let definition = index_body(index.definition, self.vector_index)
            .map_err(|error| PublishError::Answer(format!("nothing: the index's definition is no JSON: {error}")))?;
        let parts = IndicesCreateParts::Index(&index.name);
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
    pub(super) async fn write(&self, view: &View, version: Version, entries: &[Entry]) -> Result<(), PublishError> {
        let index = self.indexes.iter().find(|index| index.view == view.name);
        let index =
            index.ok_or_else(|| PublishError::Answer(format!("nothing: no index is of the view {}", view.name)))?;
        let mut left: Vec<&Entry> = entries.iter().collect();
        let mut backoff = Backoff::default();
        for _ in 0..ATTEMPTS {
            left = self.write_once(&index.name, version, &left).await?;
            if left.is_empty() {
                return Ok(());
            }
            backoff.wait().await;
        }
        Err(PublishError::Answer(format!("to {ATTEMPTS} attempts that it is too busy")))
    }

    /// Gives the entries that it was too busy for.
    async fn write_once<'a>(
        &self,
        index: &str,
        version: Version,
        entries: &[&'a Entry],
    ) -> Result<Vec<&'a Entry>, PublishError> {
        let number = (version.epoch << 32) | version.number;
        let mut operations: Vec<BulkOperation<Value>> = Vec::new();
        for Entry { key, value } in entries {
            let document = value.clone().unwrap_or_else(|| json!({ "tombstone": true }));
            let operation = BulkOperation::index(document).id(key).version(number).version_type(VersionType::External);
            operations.push(operation.into());
        }
        let parts = BulkParts::Index(index);
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
                Some(400) => error!(index, item = %item, "a document was refused"),
                Some(429 | 503) => left.push(*entry),
                _ => return Err(PublishError::Answer(item.to_string())),
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_vectors_alone_are_indexed_by_the_settings() {
        let definition = r#"{
            "settings": { "number_of_shards": 1 },
            "mappings": { "properties": {
                "product_id": { "type": "keyword" },
                "vector": { "type": "dense_vector", "dims": 384 }
            } }
        }"#;
        let vector_index = VectorIndex { m: 8, ef_construction: 40, ..VectorIndex::default() };
        let index_options = json!({ "type": "hnsw", "m": 8, "ef_construction": 40 });
        let vector = json!({ "type": "dense_vector", "dims": 384, "index_options": index_options });
        assert_eq!(
            index_body(definition, vector_index).unwrap(),
            json!({
                "settings": { "number_of_shards": 1 },
                "mappings": { "properties": { "product_id": { "type": "keyword" }, "vector": vector } },
            })
        );
    }
}
