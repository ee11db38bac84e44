//! Writes views to Elasticsearch: an index for each view and generation, a document for each key.

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
use jangbogo_store::published::index_name;
use jangbogo_store::view::Entry;
use serde_json::{Value, json};
use tracing::{error, info};
use uuid::Uuid;

use super::{PublishError, PublisherContext, Version};

/// The store's name in the columns of the publisher's table.
pub(super) const STORE: &str = "elasticsearch";

/// Attempts of a bulk request that is rejected in part because the store is too busy. They take some seconds, in which
/// a Postgres snapshot is held.
const ATTEMPTS: usize = 6;

/// Writes a processor's views to Elasticsearch.
pub(super) struct SearchSink {
    client: Elasticsearch,
    indexes: Vec<Index>,
    /// Settings of vector fields in indexes that are created.
    vector_index: VectorIndex,
    /// The instance id: the UUIDs of all indexes, in their order.
    instance_id: Option<String>,
}

struct Index {
    view: &'static str,
    name: String,
    definition: &'static str,
}

/// Creates a client that connects on first use.
pub(super) fn client(connections: &Connections) -> Result<Elasticsearch, elasticsearch::Error> {
    Ok(Elasticsearch::new(Transport::single_node(&connections.elasticsearch)?))
}

/// Refreshes the indexes of a generation, so that searches find the documents written so far.
///
/// # Errors
/// When an Elasticsearch request fails.
pub async fn refresh_indexes(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
) -> Result<(), PublishError> {
    let refresh = async |client: &Elasticsearch, index: &str| {
        client.indices().refresh(IndicesRefreshParts::Index(&[index])).send().await?.error_for_status_code()?;
        Ok(())
    };
    for_each_index(connections, processor, generation, refresh).await
}

/// Deletes the indexes of a dropped generation.
///
/// # Errors
/// When an Elasticsearch request fails.
pub async fn drop_indexes(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
) -> Result<(), PublishError> {
    for_each_index(connections, processor, generation, delete_index).await
}

/// Runs a request for each index of a generation, by its name.
async fn for_each_index(
    connections: &Connections,
    processor: &Processor,
    generation: &Generation,
    request: impl AsyncFn(&Elasticsearch, &str) -> Result<(), PublishError>,
) -> Result<(), PublishError> {
    let client = client(connections)?;
    for view in processor.views().filter(|view| matches!(view.target, Target::Elasticsearch { .. })) {
        request(&client, &index_name(connections, view.name, generation)).await?;
    }
    Ok(())
}

/// Deletes an index if it exists.
async fn delete_index(client: &Elasticsearch, index: &str) -> Result<(), PublishError> {
    let response = client.indices().delete(IndicesDeleteParts::Index(&[index])).send().await?;
    if response.status_code() != StatusCode::NOT_FOUND {
        response.error_for_status_code()?;
    }
    Ok(())
}

/// The body that creates an index: the view's definition, with the vector index settings added to its vector fields.
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
    /// The common beginning of the view's index names; the rest is the generation's id.
    fn prefix(&self) -> &str {
        self.name.trim_end_matches(|digit: char| digit.is_ascii_hexdigit())
    }
}

impl SearchSink {
    /// A sink for the views whose target is Elasticsearch; none without such views.
    pub(super) fn new(
        context: &PublisherContext,
        generation: &Generation,
        instance_id: Option<String>,
    ) -> Result<Option<Self>, PublishError> {
        let index = |view: &'static View| {
            let Target::Elasticsearch { index: definition } = view.target else { return None };
            Some(Index { view: view.name, name: index_name(&context.connections, view.name, generation), definition })
        };
        let indexes: Vec<Index> = context.processor.views().filter_map(index).collect();
        let client = client(&context.connections)?;
        let vector_index = context.connections.vector_index;
        Ok((!indexes.is_empty()).then_some(Self { client, indexes, vector_index, instance_id }))
    }

    /// Creates missing indexes. Returns the instance id if it has changed.
    pub(super) async fn changed_instance(&mut self) -> Result<Option<String>, PublishError> {
        let mut uuids = Vec::new();
        for index in &self.indexes {
            if let Some(uuid) = self.index_uuid(index).await? {
                uuids.push(uuid);
            } else {
                self.create(index).await?;
                uuids.push(self.index_uuid(index).await?.ok_or(PublishError::OtherInstance(STORE))?);
            }
        }
        let current = uuids.join(" ");
        if self.instance_id.as_ref() == Some(&current) {
            return Ok(None);
        }
        self.instance_id = Some(current.clone());
        Ok(Some(current))
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

    /// Generations that have an index of one of the views.
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

    pub(super) async fn delete_indexes(&self, generation: Uuid) -> Result<(), PublishError> {
        for prefix in self.indexes.iter().map(Index::prefix) {
            let index = format!("{prefix}{}", generation.simple());
            info!(index, "deleting the index of a dropped generation");
            delete_index(&self.client, &index).await?;
        }
        Ok(())
    }

    async fn create(&self, index: &Index) -> Result<(), PublishError> {
        let definition = index_body(index.definition, self.vector_index)
            .map_err(|error| PublishError::Answer(format!("nothing: invalid index definition: {error}")))?;
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

    /// Writes documents. A key without rows becomes a tombstone, so that no older document is written again. Documents
    /// rejected because the store is too busy are retried, at most [`ATTEMPTS`] times.
    pub(super) async fn write(&self, view: &View, version: Version, entries: &[Entry]) -> Result<(), PublishError> {
        let index = self.indexes.iter().find(|index| index.view == view.name);
        let index = index.ok_or_else(|| PublishError::Answer(format!("nothing: view {} has no index", view.name)))?;
        let mut pending: Vec<&Entry> = entries.iter().collect();
        let mut backoff = Backoff::default();
        for _ in 0..ATTEMPTS {
            pending = self.write_once(&index.name, version, &pending).await?;
            if pending.is_empty() {
                return Ok(());
            }
            backoff.wait().await;
        }
        Err(PublishError::Answer(format!("to {ATTEMPTS} attempts that it is too busy")))
    }

    /// Returns the entries that were rejected because the store is too busy.
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
        let mut rejected = Vec::new();
        for (entry, item) in entries.iter().zip(items) {
            let item = &item["index"];
            match item["status"].as_u64() {
                // 409: the store has a newer version.
                Some(200 | 201 | 409) => {}
                Some(404) => return Err(PublishError::OtherInstance(STORE)),
                // The document itself is rejected: a retry cannot succeed, and must not block the other documents.
                Some(400) => error!(index, item = %item, "document rejected"),
                Some(429 | 503) => rejected.push(*entry),
                _ => return Err(PublishError::Answer(item.to_string())),
            }
        }
        Ok(rejected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vector_fields_alone_get_the_index_settings() {
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
