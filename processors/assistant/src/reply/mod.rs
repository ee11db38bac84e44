//! The reactor `reply`: replies by a language model if there is one and its reply is grounded, else by a template.
//!
//! Statements about products come from the recommendation, which has them as they were in the catalogue. A model writes
//! `[1]` for the first product and never a title, price or stock of its own; the grounding check refuses those.

mod grounding;
mod model;
mod template;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
use jangbogo_conversation_store::Turns;
use jangbogo_events::{
    Data, Event, InvalidValue, MessageCreated, ModelRun, ProductId, RecommendationGenerated, Role, Text, Topic,
    derived_id,
};
use jangbogo_fold::BatchPolicy;
use jangbogo_language_model::LanguageModel;
use jangbogo_platform::reply_chunks::ReplyChunks;
use jangbogo_ranking::Language;
use jangbogo_react::{Failure, Reactor, ReactorSpec, Snapshot, SnapshotPosition};
use tracing::debug;

pub use self::model::ground_reply;
pub use self::template::template_reply;

pub(crate) static SPEC: ReactorSpec = ReactorSpec {
    processor: "assistant",
    name: "reply",
    reads: &[Topic::RecommendationEvents],
    emits: &[Topic::ConversationMessageCreated],
    parallel: 32,
    batch_policy: BatchPolicy::Immediate,
    newest_only: false,
};

/// Model id of template replies.
const TEMPLATE_WRITER: &str = "local-writer-1";
/// Maximum length of a reply; a longer one is cut.
const MAX_CHARACTERS: usize = 4000;

pub(crate) struct ReplyReactor {
    language_model: Option<Arc<LanguageModel>>,
    reply_chunks: ReplyChunks,
}

struct Reply {
    text: String,
    /// Products that the text names.
    product_ids: Vec<ProductId>,
    run: ModelRun,
}

impl ReplyReactor {
    /// Without a language model every reply is the template reply.
    pub(crate) fn new(language_model: Option<Arc<LanguageModel>>, reply_chunks: ReplyChunks) -> Self {
        Self { language_model, reply_chunks }
    }

    async fn reply(
        &self,
        event: &Event,
        recommendation: &RecommendationGenerated,
        mut snapshot: Snapshot,
    ) -> Result<MessageCreated, Failure> {
        let mut turns = Turns::default();
        if self.language_model.is_some() {
            let (connection, conversation) = (snapshot.rows().connection(), recommendation.conversation_id);
            turns = Turns::read(connection, conversation, event.envelope.time).await?;
        }
        let _ = snapshot.close();
        let reply = match self.by_model(recommendation, &turns).await {
            Some(reply) => reply,
            None => from_template(template_reply(recommendation))?,
        };
        Ok(message(event, recommendation, reply)?)
    }

    async fn by_model(&self, recommendation: &RecommendationGenerated, turns: &Turns) -> Option<Reply> {
        let language_model = self.language_model.as_ref()?;
        match model::write(language_model, &self.reply_chunks, recommendation, turns).await {
            Ok(reply) => Some(reply),
            Err(error) => {
                let message_id = recommendation.message_id;
                debug!(%message_id, %error, "language model reply failed: sending the template reply");
                None
            }
        }
    }
}

fn message(
    event: &Event,
    recommendation: &RecommendationGenerated,
    reply: Reply,
) -> Result<MessageCreated, InvalidValue> {
    Ok(MessageCreated {
        message_id: derived_id(&["reply", &event.envelope.source, &event.envelope.id]),
        conversation_id: recommendation.conversation_id,
        member_id: recommendation.member_id.clone(),
        role: Role::Ai,
        content: Text::new(reply.text.chars().take(MAX_CHARACTERS).collect::<String>())?,
        in_reply_to: Some(recommendation.message_id),
        recommendation_id: Some(recommendation.recommendation_id),
        product_ids: reply.product_ids,
        written_by: Some(reply.run),
    })
}

fn from_template((text, product_ids): (String, Vec<ProductId>)) -> Result<Reply, InvalidValue> {
    let run = ModelRun { model: Text::new(TEMPLATE_WRITER)?, prompt_hash: None, parameters: BTreeMap::new() };
    Ok(Reply { text, product_ids, run })
}

impl Reactor for ReplyReactor {
    fn spec(&self) -> &'static ReactorSpec {
        &SPEC
    }

    fn effect(&self, event: &Event) -> Option<Cow<'_, str>> {
        matches!(event.data, Data::RecommendationGenerated(_)).then(|| "reply".into())
    }

    fn react<'a>(&'a self, event: &'a Event, snapshot: Snapshot) -> BoxFuture<'a, Result<Vec<Data>, Failure>> {
        Box::pin(async move {
            let Data::RecommendationGenerated(recommendation) = &event.data else { return Ok(Vec::new()) };
            Ok(vec![self.reply(event, recommendation, snapshot).await?.into()])
        })
    }

    /// A template reply that names no product.
    fn fallback(&self, event: &Event, _: &SnapshotPosition) -> Vec<Data> {
        let Data::RecommendationGenerated(recommendation) = &event.data else { return Vec::new() };
        let language = Language::from_tag(&recommendation.understood.language);
        let reply = from_template((template::other(language), Vec::new()));
        reply.and_then(|reply| message(event, recommendation, reply)).map(Data::from).into_iter().collect()
    }
}
