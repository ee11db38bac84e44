//! The local analyser: reads Korean and English messages of shoppers without a model: wishes and exclusions, prices,
//! quantities, references to shown products, retractions.
//!
//! The same text in the same context always gives the same result: no clock, no randomness, no I/O. Passes over the
//! spans of a message, a module each:
//!
//! 1. `text` normalises; `segment` divides the text into spans: names (of `vocabulary`), cues (of `data/`), numbers.
//! 2. `intent` discards off-topic clauses; `references` resolves references to shown products.
//! 3. `retraction`, `prices`, `quantities`, `indifference`, `corrections`, `negation` each consume their spans.
//! 4. `context_mentions` consumes mentions of other objects; `product_kind` selects the product kinds that are meant,
//!    and `out_of_vocabulary` the unknown words that are product kinds or patterns; names that stay open are wishes.
//! 5. `intent` classifies the message.
//!
//! [`next_request`] then computes the request after the message, also for the understanding of a language model.

mod analysis;
mod cue;
pub mod evaluation;
mod intent;
mod merge;
mod parse_state;
mod slots;
mod span;
#[cfg(test)]
mod testing;
mod text;
mod vocabulary;

pub use analysis::{Analysis, analyse};
pub use merge::{AnalysedMessage, next_request, request_so_far};
pub use parse_state::{Context, ShownProduct};
pub use text::language::detect as language_of;
pub use vocabulary::{ProductText, Vocabulary};
