//! The reactor `intent`: analyses a message in its conversation by a language model, or by the local analyser if there
//! is none or its call fails.

mod model;
mod vocabulary;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use jangbogo_conversation_store::Turns;
use jangbogo_embedding::Purpose;
use jangbogo_embeddings_client::EmbedderPool;
use jangbogo_events::{
    Data, Embedded, Event, Intent, IntentAnalyzed, InvalidValue, MessageCreated, ModelRun, ProductId,
    RecommendationGenerated, Role, Text, Topic, Understanding, Vector,
};
use jangbogo_fold::BatchPolicy;
use jangbogo_language_model::LanguageModel;
use jangbogo_nlu::{
    AnalysedMessage, Analysis, Context, ShownProduct, analyse, language_of, next_request, request_so_far,
};
use jangbogo_platform::config::DEFAULT_EMBEDDING_MODEL;
use jangbogo_react::{Failure, Reactor, ReactorSpec, Snapshot, SnapshotPosition};
use jangbogo_store::live_embedding_models;
use jangbogo_telemetry::causes;
use tracing::{debug, warn};
use uuid::Uuid;

use self::vocabulary::VocabularyCache;

pub use self::model::{AnalysisInput, instructions_hash, understand};

pub(crate) static SPEC: ReactorSpec = ReactorSpec {
    processor: "preference-analysis",
    name: "intent",
    reads: &[Topic::ConversationMessageCreated],
    emits: &[Topic::PreferenceEvents],
    parallel: 32,
    batch_policy: BatchPolicy::Immediate,
    newest_only: false,
};

/// Model id of the local analyser; its number rises when the same message is analysed differently.
pub const LOCAL_ANALYSER: &str = "local-analyser-1";
/// Maximum number of products of the newest list that "the second one" may refer to.
const MAX_SHOWN: usize = 10;

pub(crate) struct IntentReactor {
    vocabulary: VocabularyCache,
    embedders: EmbedderPool,
    language_model: Option<Arc<LanguageModel>>,
}

impl IntentReactor {
    pub(crate) fn new(embedders: EmbedderPool, language_model: Option<Arc<LanguageModel>>) -> Self {
        Self { vocabulary: VocabularyCache::default(), embedders, language_model }
    }

    async fn analyse(
        &self,
        event: &Event,
        message: &MessageCreated,
        mut snapshot: Snapshot,
    ) -> Result<IntentAnalyzed, Failure> {
        let generation = snapshot.position().served.generation.id;
        let connection = snapshot.rows().connection();
        let turns = Turns::read(connection, message.conversation_id, event.envelope.time).await?;
        let learnt = self.vocabulary.current(generation, connection).await?;
        let embedding_model = live_embedding_models(connection).await?.remove("recommendation");
        let _ = snapshot.close();

        let mut context = Context::new(learnt.currency);
        let newest_list = turns.recommendations.iter().rfind(|list| !list.items.is_empty());
        context.shown = newest_list.map(shown_products).transpose()?.unwrap_or_default();
        context.request = request_so_far(earlier_messages(&turns, message.message_id));
        let (analysis, analysed_by) = match self.by_model(&context, &turns, message).await {
            Some(analysis_and_run) => analysis_and_run,
            None => (analyse(&learnt.vocabulary, &context, &message.content), local_run()?),
        };
        let embedded = self.embedded(&analysis, message, embedding_model.as_deref()).await;
        Ok(IntentAnalyzed {
            message_id: message.message_id,
            conversation_id: message.conversation_id,
            member_id: message.member_id.clone(),
            understood: Box::new(analysis.understanding),
            request: Box::new(analysis.request),
            embedded,
            analysed_by,
        })
    }

    /// The analysis of a language model; none if there is no model or its call fails.
    async fn by_model(
        &self,
        context: &Context,
        turns: &Turns,
        message: &MessageCreated,
    ) -> Option<(Analysis, ModelRun)> {
        let language_model = self.language_model.as_ref()?;
        let earlier = turns.messages.iter().filter(|earlier| earlier.message_id != message.message_id);
        let earlier = earlier.map(|earlier| (earlier.role, &*earlier.content)).collect();
        match understand(language_model, &AnalysisInput { context, earlier, message: &message.content }).await {
            Ok((understanding, run)) => {
                let request = next_request(&context.request, &understanding, &context.shown);
                Some((Analysis { understanding, request }, run))
            }
            Err(error) => {
                let message_id = message.message_id;
                debug!(%message_id, %error, "language model analysis failed: using the local analyser");
                None
            }
        }
    }

    /// The vector of the request's words, or of the message if it has none, by the embedding model of the product
    /// vectors that it is compared with.
    async fn embedded(&self, analysis: &Analysis, message: &MessageCreated, model: Option<&str>) -> Option<Embedded> {
        let model = model.unwrap_or(DEFAULT_EMBEDDING_MODEL);
        let words = analysis.request.words.trim();
        let text = if words.is_empty() { &*message.content } else { words };
        let vector = async { Ok::<_, Failure>(self.embedders.for_model(model)?.embed(Purpose::Query, text).await?) };
        match vector.await {
            Ok(vector) => Some(Embedded { model: Text::new(model).ok()?, vector: Vector::new(vector.to_vec()).ok()? }),
            Err(error) => {
                let error = causes(error.as_ref());
                warn!(message_id = %message.message_id, %error, "embedding unavailable: ranking without similarity");
                None
            }
        }
    }
}

impl Reactor for IntentReactor {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        match &event.data {
            Data::MessageCreated(message) if message.role == Role::User => Some("intent".into()),
            _ => None,
        }
    }

    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            let Data::MessageCreated(message) = &event.data else { return Ok(Vec::new()) };
            Ok(vec![self.analyse(event, message, snapshot).await?.into()])
        })
    }

    /// An intent `other` without wishes.
    fn fallback(&self, event: &Event, _: &SnapshotPosition) -> Vec<Data> {
        let Data::MessageCreated(message) = &event.data else { return Vec::new() };
        not_understood(message).map(Data::from).into_iter().collect()
    }
}

fn not_understood(message: &MessageCreated) -> Result<IntentAnalyzed, InvalidValue> {
    let understanding = Understanding {
        intent: Intent::Other,
        wishes: Vec::new(),
        price: None,
        price_direction: None,
        quantity: None,
        retracted: Vec::new(),
        indifferent: Vec::new(),
        references: Vec::new(),
        sentiment_permille: 0,
        language: Text::new(language_of(&message.content))?,
    };
    Ok(IntentAnalyzed {
        message_id: message.message_id,
        conversation_id: message.conversation_id,
        member_id: message.member_id.clone(),
        understood: Box::new(understanding),
        request: Box::default(),
        embedded: None,
        analysed_by: local_run()?,
    })
}

fn local_run() -> Result<ModelRun, InvalidValue> {
    Ok(ModelRun { model: Text::new(LOCAL_ANALYSER)?, prompt_hash: None, parameters: BTreeMap::new() })
}

/// The analysed messages of the conversation but this one.
fn earlier_messages(turns: &Turns, message_id: Uuid) -> impl DoubleEndedIterator<Item = AnalysedMessage<'_>> {
    turns.intents.iter().filter(move |intent| intent.message_id != message_id).map(|intent| {
        let mut lists = turns.recommendations.iter().filter(|list| list.message_id == intent.message_id);
        AnalysedMessage {
            analysis: &intent.understood,
            request: &intent.request,
            found_nothing: lists.any(|list| list.items.is_empty()),
        }
    })
}

/// The products that a message may refer to.
fn shown_products(list: &RecommendationGenerated) -> Result<Vec<ShownProduct>, Failure> {
    let product = |item: &jangbogo_events::RecommendedProduct| {
        Ok(ShownProduct {
            product_id: ProductId::new(item.product_id.as_str())?,
            title: item.title.to_string(),
            category: item.category.as_ref().map(ToString::to_string),
            price: item.price,
        })
    };
    list.items.iter().take(MAX_SHOWN).map(product).collect()
}

#[cfg(test)]
mod tests {
    use jangbogo_events::{Envelope, Payload as _};

    use super::*;

    #[test]
    fn a_message_that_is_not_understood_has_the_intent_other() {
        for (content, language) in [("빨간 가방", "ko"), ("a bag", "en"), ("🙂", "und")] {
            let message = MessageCreated { content: Text::new(content).unwrap(), ..MessageCreated::example() };
            let intent = not_understood(&message).unwrap();
            assert_eq!((&*intent.understood.language, intent.message_id), (language, message.message_id));
            let event = Event { envelope: Envelope::new("1", "test", chrono::Utc::now()), data: intent.into() };
            event.encode().unwrap();
        }
    }
}
