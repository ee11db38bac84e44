//! Generates a recommendation for an intent: products of the snapshot, ranked, with reasons and causing events.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use jangbogo_es_sync_fold::ES_SYNC;
use jangbogo_events::{
    Cause, Currency, Data, Event, Intent, IntentAnalyzed, InvalidValue, Money, ProductId, RecommendationGenerated,
    RecommendedProduct, SubScore, SubScores, Text, Topic,
};
use jangbogo_fold::BatchPolicy;
use jangbogo_ranking::{Language, RankedItem, RankingInput, Weights};
use jangbogo_ranking_store::search::{SearchRequest, search};
use jangbogo_ranking_store::{Products, RequestInput};
use jangbogo_react::{Failure, Reactor, ReactorSpec, Snapshot, SnapshotPosition};
use jangbogo_read::Reader;
use sqlx::Row as _;
use tracing::debug;
use uuid::Uuid;

pub(crate) static SPEC: ReactorSpec = ReactorSpec {
    processor: "recommendation",
    name: "ranking",
    reads: &[Topic::PreferenceEvents],
    emits: &[Topic::RecommendationEvents],
    parallel: 16,
    batch_policy: BatchPolicy::Immediate,
    newest_only: false,
};

/// Most products of a recommendation.
const MAX_ITEMS: usize = 10;
/// Most hits of the search for the request's words.
const MAX_HITS: usize = 40;
/// Timeout of the search, during which a snapshot is open. Other candidates remain without it.
const SEARCH_TIMEOUT: Duration = Duration::from_millis(100);

pub(crate) struct RankingReactor {
    reader: Arc<Reader>,
    products: Products,
    weights: Weights,
}

impl RankingReactor {
    pub(crate) fn new(reader: Arc<Reader>, weights: Weights) -> Self {
        Self { reader, products: Products::default(), weights }
    }

    async fn recommend(
        &self,
        event: &Event,
        intent: &IntentAnalyzed,
        mut snapshot: Snapshot,
    ) -> Result<RecommendationGenerated, Failure> {
        let request = &*intent.request;
        let embedded = intent.embedded.as_ref().map(|embedded| (&*embedded.model, &embedded.vector));
        let served = snapshot.position().served.clone();
        let ranked = if wants_products(intent) {
            let member = jangbogo_ranking_store::load_member(&self.reader, &served, snapshot.rows(), &intent.member_id);
            let (found, member) = tokio::join!(self.search(intent), member);
            let asked = RequestInput { request: Some(request), embedded, found: &found };
            let input = jangbogo_ranking_store::load_products(&self.products, snapshot.rows(), member?, asked).await?;
            let ranking = jangbogo_ranking::rank(&input, Some(request), self.weights, MAX_ITEMS);
            let titles = titles(&ranking.items, &input, &mut snapshot).await?;
            let items = ranking.items.iter().map(|item| recommended(event, intent, item, &input, &titles));
            Some((items.collect::<Result<Vec<_>, Failure>>()?, ranking.unmet, ranking.weights))
        } else {
            None
        };
        let empty = self.empty_recommendation(event, intent, &snapshot.close())?;
        let Some((items, lacking, weights)) = ranked else { return Ok(empty) };
        Ok(RecommendationGenerated { items, lacking, weights: as_recorded(weights), ..empty })
    }

    fn empty_recommendation(
        &self,
        event: &Event,
        intent: &IntentAnalyzed,
        position: &SnapshotPosition,
    ) -> Result<RecommendationGenerated, InvalidValue> {
        Ok(RecommendationGenerated {
            recommendation_id: recommendation_id(&event.envelope.source, &event.envelope.id),
            message_id: intent.message_id,
            conversation_id: intent.conversation_id,
            member_id: intent.member_id.clone(),
            intent_event_id: Text::new(event.envelope.id.clone())?,
            understood: intent.understood.clone(),
            request: intent.request.clone(),
            items: Vec::new(),
            lacking: Vec::new(),
            weights: as_recorded(self.weights),
            weight_setting: as_recorded(self.weights),
            generation: position.served.generation.id,
            folded_offsets: position.offsets()?,
        })
    }

    /// Search hits for the request's words; empty while the index is unavailable or slow.
    async fn search(&self, intent: &IntentAnalyzed) -> Vec<String> {
        let words = intent.request.words.trim();
        if words.is_empty() {
            return Vec::new();
        }
        let price = intent.request.price.as_ref();
        let request = SearchRequest {
            words: Some(words.to_owned()),
            min_price_minor: price.and_then(|price| price.min_minor),
            max_price_minor: price.and_then(|price| price.max_minor),
            limit: MAX_HITS,
            // The analysis corrected the spelling.
            as_spelt: true,
            ..SearchRequest::default()
        };
        let generations = match self.reader.live().await {
            Ok(generations) => generations,
            Err(error) => {
                debug!(%error, "search for candidates failed");
                return Vec::new();
            }
        };
        let Ok(served) = generations.get(&ES_SYNC) else { return Vec::new() };
        match tokio::time::timeout(SEARCH_TIMEOUT, search(&self.reader, served, &request)).await {
            Ok(Ok(found)) => found.hits.into_iter().map(|hit| hit.product_id).collect(),
            Ok(Err(error)) => {
                debug!(%error, "search for candidates failed");
                Vec::new()
            }
            Err(_) => {
                debug!(timeout = ?SEARCH_TIMEOUT, "search for candidates timed out");
                Vec::new()
            }
        }
    }
}

impl Reactor for RankingReactor {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        matches!(event.data, Data::IntentAnalyzed(_)).then(|| "ranking".into())
    }

    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            let Data::IntentAnalyzed(intent) = &event.data else { return Ok(Vec::new()) };
            Ok(vec![Box::pin(self.recommend(event, intent, snapshot)).await?.into()])
        })
    }

    /// A recommendation without products.
    fn fallback(&self, event: &Event, position: &SnapshotPosition) -> Vec<Data> {
        let Data::IntentAnalyzed(intent) = &event.data else { return Vec::new() };
        self.empty_recommendation(event, intent, position).map(Data::from).into_iter().collect()
    }
}

/// False for small talk and other messages without a wish, which are answered without products.
fn wants_products(intent: &IntentAnalyzed) -> bool {
    match intent.understood.intent {
        Intent::FindProduct | Intent::RefineSearch | Intent::AskAboutProduct => true,
        Intent::StatePreference | Intent::RetractPreference => intent.request.wishes.iter().any(|wish| wish.wanted),
        Intent::SmallTalk | Intent::Other => false,
    }
}

/// Titles of the products in causes that are not candidates.
async fn titles(
    items: &[RankedItem],
    input: &RankingInput,
    snapshot: &mut Snapshot,
) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let named = items.iter().flat_map(|item| &item.causes).filter_map(|(_, cause)| cause.product_id.clone());
    let named: Vec<String> = named.filter(|id| !input.candidates.contains_key(id)).collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query("SELECT product_id, title FROM product WHERE product_id = ANY ($1) AND title IS NOT NULL")
        .bind(named)
        .fetch_all(snapshot.rows().connection())
        .await?;
    Ok(rows.iter().map(|row| (row.get("product_id"), row.get("title"))).collect())
}

fn recommended(
    event: &Event,
    intent: &IntentAnalyzed,
    item: &RankedItem,
    input: &RankingInput,
    titles: &BTreeMap<String, String>,
) -> Result<RecommendedProduct, Failure> {
    let product = &input.candidates.get(&item.product_id).ok_or("ranked product is not a candidate")?.product;
    let title = |id: &'_ str| -> Option<&str> {
        let candidate = input.candidates.get(id).map(|candidate| candidate.product.title.as_str());
        candidate.or_else(|| titles.get(id).map(String::as_str))
    };
    let language = Language::from_tag(&intent.understood.language);
    let reason = jangbogo_ranking::reason(language, Some(&intent.request), item, |id| title(id).unwrap_or(id));
    let price = product.price.as_ref().map(|(amount_minor, currency)| {
        Ok::<_, InvalidValue>(Money { amount_minor: *amount_minor, currency: Currency::new(currency)? })
    });
    let caused_by =
        item.causes.iter().map(|(sub_score, cause)| cause_of(*sub_score, &cause.event_id, cause.product_id.as_deref()));
    let request_cause = (item.intent > 0.0).then(|| cause_of(SubScore::Intent, &event.envelope.id, None));
    Ok(RecommendedProduct {
        product_id: ProductId::new(item.product_id.as_str())?,
        title: Text::new(product.title.as_str())?,
        category: product.category.as_deref().map(jangbogo_events::CategoryId::new).transpose()?,
        price: price.transpose()?,
        stock: product.stock.and_then(|stock| u32::try_from(stock).ok()),
        score: item.score,
        sub_scores: SubScores { content: item.content, collaborative: item.collaborative, intent: item.intent },
        reason: Text::new(reason.chars().take(512).collect::<String>())?,
        caused_by: caused_by.chain(request_cause).take(100).collect::<Result<_, Failure>>()?,
    })
}

fn cause_of(sub_score: SubScore, event_id: &str, product_id: Option<&str>) -> Result<Cause, Failure> {
    Ok(Cause { sub_score, event_id: Text::new(event_id)?, product_id: product_id.map(ProductId::new).transpose()? })
}

fn as_recorded(Weights { content, collaborative, intent }: Weights) -> SubScores {
    SubScores { content, collaborative, intent }
}

/// Derived id of the recommendation for an intent.
fn recommendation_id(source: &str, event_id: &str) -> Uuid {
    jangbogo_events::derived_id(&["recommendation", source, event_id])
}
