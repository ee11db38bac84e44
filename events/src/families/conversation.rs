//! Conversations and their messages.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::example_value;
use crate::fields::list;
use crate::primitives::{MemberId, ProductId, Text};
use crate::registry::{EventType, Payload};

pub(super) const EXAMPLE_CONVERSATION: Uuid = Uuid::from_u128(0x0193_9d2e_6c00_7a10_8000_0000_0000_0001);
pub(super) const EXAMPLE_MESSAGE: Uuid = Uuid::from_u128(0x0193_9d2e_7000_7a10_8000_0000_0000_0002);

pub(super) fn uuid_key(id: Uuid) -> Cow<'static, str> {
    id.to_string().into()
}

/// A member opened a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationCreated {
    /// Id of the conversation.
    pub conversation_id: Uuid,
    /// Owner of the conversation.
    pub member_id: MemberId,
    /// Title shown to the member.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<Text<256>>,
}

impl Payload for ConversationCreated {
    const TYPE: EventType = EventType::ConversationCreated;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self {
            conversation_id: EXAMPLE_CONVERSATION,
            member_id: example_value!(MemberId::new("13085")),
            title: Some(example_value!(Text::new("도시락 가방"))),
        }
    }
}

/// A conversation was given another title.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationRenamed {
    /// Id of the conversation.
    pub conversation_id: Uuid,
    /// Title from now on.
    pub title: Text<256>,
}

impl Payload for ConversationRenamed {
    const TYPE: EventType = EventType::ConversationRenamed;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self { conversation_id: EXAMPLE_CONVERSATION, title: example_value!(Text::new("Lunch bags")) }
    }
}

/// A conversation was closed: it takes no more messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConversationClosed {
    /// Id of the conversation.
    pub conversation_id: Uuid,
}

impl Payload for ConversationClosed {
    const TYPE: EventType = EventType::ConversationClosed;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self { conversation_id: EXAMPLE_CONVERSATION }
    }
}

/// Author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// A message of the shopper.
    User,
    /// A message of the assistant.
    Ai,
    /// A message of the shop itself, such as a notice.
    System,
}

/// A message was added to a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MessageCreated {
    /// Id of the message.
    pub message_id: Uuid,
    /// The conversation it belongs to.
    pub conversation_id: Uuid,
    /// Owner of the conversation.
    pub member_id: MemberId,
    /// Author. Only a user's messages are answered.
    pub role: Role,
    /// Text of the message.
    pub content: Text<16384>,
    /// The message this one answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<Uuid>,
    /// The recommendation that it presents.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommendation_id: Option<Uuid>,
    /// The products that it names, in their order.
    #[schemars(length(max = 200))]
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "list::<_, _, 0, 200>")]
    pub product_ids: Vec<ProductId>,
    /// The model or analyser that wrote it; none for a person's message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub written_by: Option<super::ModelRun>,
}

impl Payload for MessageCreated {
    const TYPE: EventType = EventType::MessageCreated;

    fn key(&self) -> Cow<'_, str> {
        uuid_key(self.conversation_id)
    }

    fn example() -> Self {
        Self {
            message_id: EXAMPLE_MESSAGE,
            conversation_id: EXAMPLE_CONVERSATION,
            member_id: example_value!(MemberId::new("13085")),
            role: Role::User,
            content: example_value!(Text::new("빨간색 도시락 가방 추천해줘, 3파운드 이하로, 플라스틱 말고")),
            in_reply_to: None,
            recommendation_id: None,
            product_ids: Vec::new(),
            written_by: None,
        }
    }
}
