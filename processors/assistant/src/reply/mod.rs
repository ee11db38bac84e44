//! A recommendation becomes an answer: by a language model if there is one and what it says is so, else in words of ours.
//!
//! What an answer says of products comes from the recommendation, which holds them as the catalogue had them. A model
//! writes `[1]` for the first of them and never a title, a price or a stock of its own; a sentence that does is not sent.

mod grounding;
mod local;
mod model;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::BoxFuture;
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

pub use self::grounding::{Ungrounded, check};
pub use self::local::write as write_locally;
pub use self::model::grounded;
use jangbogo_conversation_store::Turns;

/// The reactor of the assistant.
pub static SPEC: ReactorSpec = ReactorSpec {
    processor: "assistant",
    name: "reply",
    description: "the answer to a message, about products as they were recommended",
    reads: &[Topic::RecommendationEvents],
    emits: &[Topic::ConversationMessageCreated],
    parallel: 32,
    batch_policy: BatchPolicy::Immediate,
    newest_only: false,
};

/// The id of the words of ours.
pub const LOCAL_WRITER: &str = "local-writer-1";
/// The longest answer, in characters.
const MAX_CHARACTERS: usize = 4000;

/// Answers messages.
pub struct ReplyReactor {
    language_model: Option<Arc<LanguageModel>>,
    pieces: ReplyChunks,
}

/// What is answered.
struct Answer {
    text: String,
    /// The products it names.
    named: Vec<ProductId>,
    run: ModelRun,
}

impl ReplyReactor {
    /// With a language model or without; pieces of its answers are told here.
    #[must_use]
    pub fn new(language_model: Option<Arc<LanguageModel>>, pieces: ReplyChunks) -> Self {
        Self { language_model, pieces }
    }

    async fn answer(
        &self,
        event: &Event,
        given: &RecommendationGenerated,
        mut snapshot: Snapshot,
    ) -> Result<MessageCreated, Failure> {
        let mut turns = Turns::default();
        if self.language_model.is_some() {
            turns = Turns::read(snapshot.rows().connection(), given.conversation_id, event.envelope.time).await?;
        }
        let _ = snapshot.close();
        let answer = match self.by_model(given, &turns).await {
            Some(answer) => answer,
            None => local_answer(local::write(given))?,
        };
        Ok(message(event, given, answer)?)
    }

    async fn by_model(&self, given: &RecommendationGenerated, turns: &Turns) -> Option<Answer> {
        let language_model = self.language_model.as_ref()?;
        match model::write(language_model, &self.pieces, given, turns).await {
            Ok(answer) => Some(answer),
            Err(error) => {
                debug!(message_id = %given.message_id, %error, "the language model's answer is not sent");
                None
            }
        }
    }
}

fn message(event: &Event, given: &RecommendationGenerated, answer: Answer) -> Result<MessageCreated, InvalidValue> {
    Ok(MessageCreated {
        message_id: derived_id(&["reply", &event.envelope.source, &event.envelope.id]),
        conversation_id: given.conversation_id,
        member_id: given.member_id.clone(),
        role: Role::Ai,
        content: Text::new(answer.text.chars().take(MAX_CHARACTERS).collect::<String>())?,
        in_reply_to: Some(given.message_id),
        recommendation_id: Some(given.recommendation_id),
        product_ids: answer.named,
        written_by: Some(answer.run),
    })
}

fn local_answer((text, named): (String, Vec<ProductId>)) -> Result<Answer, InvalidValue> {
    let run = ModelRun { model: Text::new(LOCAL_WRITER)?, prompt_hash: None, parameters: BTreeMap::new() };
    Ok(Answer { text, named, run })
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
            let Data::RecommendationGenerated(given) = &event.data else { return Ok(Vec::new()) };
            Ok(vec![self.answer(event, given, snapshot).await?.into()])
        })
    }

    /// An answer that names no product.
    fn fallback(&self, event: &Event, _: &SnapshotPosition) -> Vec<Data> {
        let Data::RecommendationGenerated(given) = &event.data else { return Vec::new() };
        let answer = local_answer((local::other(Language::from_tag(&given.understood.language)), Vec::new()));
        answer.and_then(|answer| message(event, given, answer)).map(Data::from).into_iter().collect()
    }
}
