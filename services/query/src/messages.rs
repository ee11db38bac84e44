//! Full-text search in one member's messages.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{MemberId, MessageCreated};
use jangbogo_ranking_store::search::words_in;
use jangbogo_read::{Hits, ReadError, Reader, SearchError, Served};
use jangbogo_shared_projections::conversation::MESSAGES_VIEW;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::Row as _;
use uuid::Uuid;

/// The field as analysed for English, and for Korean.
const FIELDS: [&str; 2] = ["text", "text.korean"];
/// Characters of a highlighted passage.
const PASSAGE: usize = 150;

#[derive(Clone, Debug)]
pub struct MessageSearch {
    /// The member; other members' messages are never found.
    pub member_id: MemberId,
    pub words: String,
    pub conversation_id: Option<Uuid>,
    pub highlight: bool,
    pub limit: usize,
    /// Number of messages to skip.
    pub offset: usize,
}

#[derive(Debug)]
pub struct FoundMessages {
    /// Number of matches in total.
    pub total: u64,
    /// Best match first; among equals, the newest first.
    pub messages: Vec<FoundMessage>,
}

/// A message that matches.
#[derive(Debug, Serialize, JsonSchema)]
pub struct FoundMessage {
    /// Its conversation.
    conversation_id: Uuid,
    /// Id of the message.
    message_id: Uuid,
    /// Id of its event, which is its entry in the conversation.
    event_id: String,
    /// Author: `user` is the shopper, `ai` the shop's assistant, `system` the shop itself.
    #[schemars(with = "String", regex(pattern = "^(user|ai|system)$"))]
    role: Value,
    /// Event time.
    said_at: DateTime<Utc>,
    /// Full text.
    text: String,
    /// Relevance, by which the results are ordered.
    score: f64,
    /// The best passage as HTML with `<em>` around the matches, if requested.
    #[serde(skip_serializing_if = "Option::is_none")]
    highlight: Option<String>,
}

/// Searches the index of a generation, and joins the messages from its rows.
pub async fn search(reader: &Reader, served: &Served, search: &MessageSearch) -> Result<FoundMessages, SearchError> {
    let view = ES_SYNC.view(MESSAGES_VIEW).ok_or(ReadError::NotLive(ES_SYNC.name))?;
    let response: SearchResponse = reader.ask_index(served, view, &body(search)).await?;
    let hits = response.hits;
    let events: Vec<Uuid> = hits.hits.iter().map(|hit| hit.id).collect();
    // The index is filtered by member; the rows are filtered again, since they are authoritative.
    let sql = format!(
        "SELECT event, event_id, happened_at, body FROM {}.conversation_entry WHERE event = ANY ($1) AND member_id = $2",
        served.generation.schema
    );
    let rows = sqlx::query(&sql).bind(events).bind(search.member_id.as_str()).fetch_all(reader.postgres()).await;
    let mut rows: HashMap<Uuid, _> =
        rows.map_err(ReadError::from)?.into_iter().map(|row| (row.get("event"), row)).collect();
    let message = |hit: MessageHit| {
        let row = rows.remove(&hit.id)?;
        let message: MessageCreated = serde_json::from_str(row.get("body")).ok()?;
        Some(FoundMessage {
            conversation_id: message.conversation_id,
            message_id: message.message_id,
            event_id: row.get("event_id"),
            role: json!(message.role),
            said_at: row.get("happened_at"),
            text: message.content.to_string(),
            score: hit.score.unwrap_or_default(),
            highlight: hit.highlight.into_values().flatten().next(),
        })
    };
    Ok(FoundMessages { total: hits.total(), messages: hits.hits.into_iter().filter_map(message).collect() })
}

#[derive(Deserialize)]
struct SearchResponse {
    hits: Hits<MessageHit>,
}

#[derive(Deserialize)]
struct MessageHit {
    #[serde(rename = "_id")]
    id: Uuid,
    #[serde(rename = "_score")]
    score: Option<f64>,
    #[serde(default)]
    highlight: HashMap<String, Vec<String>>,
}

fn body(search: &MessageSearch) -> Value {
    let mut filters = vec![json!({ "term": { "member_id": search.member_id } })];
    if let Some(conversation_id) = search.conversation_id {
        filters.push(json!({ "term": { "conversation_id": conversation_id } }));
    }
    let mut body = json!({
        "query": {
            "bool": {
                "filter": filters,
                "must_not": [{ "term": { "tombstone": true } }],
                "must": [words_in(&search.words, &FIELDS)],
            },
        },
        "sort": ["_score", { "said_at": "desc" }, "event"],
        "track_scores": true,
        "track_total_hits": true,
        "_source": false,
        "from": search.offset,
        "size": search.limit,
    });
    if search.highlight {
        let one = json!({ "number_of_fragments": 1, "fragment_size": PASSAGE });
        let fields: Value = FIELDS.iter().map(|field| ((*field).to_owned(), one.clone())).collect();
        body["highlight"] = json!({ "encoder": "html", "fields": fields });
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_search_is_filtered_by_member() {
        let mut search = MessageSearch {
            member_id: MemberId::new("mina").unwrap(),
            words: "red bag OR member_id:*".to_owned(),
            conversation_id: None,
            highlight: false,
            limit: 5,
            offset: 10,
        };
        let of_member = json!({ "term": { "member_id": "mina" } });
        assert_eq!(body(&search)["query"]["bool"]["filter"], json!([of_member]));
        assert_eq!(body(&search).get("highlight"), None);
        search.conversation_id = Some(Uuid::from_u128(1));
        let in_one = json!({ "term": { "conversation_id": "00000000-0000-0000-0000-000000000001" } });
        assert_eq!(body(&search)["query"]["bool"]["filter"], json!([of_member, in_one]));
    }
}
