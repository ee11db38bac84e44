//! Decisions of operators about dead letters.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::example_value;
use crate::primitives::Text;
use crate::registry::{EventType, Payload};

macro_rules! dead_letter_decision {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Consumer group of the dead letter.
            pub group: Text<128>,
            /// Topic of the record, without namespace.
            pub topic: Text<128>,
            /// Partition of the record.
            pub partition: i32,
            /// Offset of the record.
            pub offset: i64,
            /// Reason, in the operator's words.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub reason: Option<Text<512>>,
        }

        impl Payload for $name {
            const TYPE: EventType = EventType::$name;

            fn key(&self) -> Cow<'_, str> {
                format!("{}/{}/{}/{}", &*self.group, &*self.topic, self.partition, self.offset).into()
            }

            fn example() -> Self {
                Self {
                    group: example_value!(Text::new("recommendation")),
                    topic: example_value!(Text::new("order-completed")),
                    partition: 3,
                    offset: 1042,
                    reason: Some(example_value!(Text::new("the shop's till sent a test order"))),
                }
            }
        }
    )+};
}

dead_letter_decision! {
    /// A dead letter was requeued: its record was appended to its topic again.
    DeadLetterRequeued,
    /// A dead letter was discarded: its group skips the record in every replay, even if it could read it by then.
    DeadLetterDiscarded,
}
