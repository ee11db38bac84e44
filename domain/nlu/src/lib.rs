//! Understands what a shopper writes, in Korean or English, without a model: what is wanted and what not, for how much,
//! how many, which of the products shown are spoken of, what is taken back.
//!
//! The same text in the same context always means the same: no clock, no randomness, no I/O. It is made of passes over
//! the pieces of a message, a module each:
//!
//! 1. `text` writes it one way; `segment` divides it into pieces: names (of `vocabulary`), cues (of `data/`), numbers.
//! 2. `intent` sets aside clauses that are not about products; `references` finds the products spoken of.
//! 3. `retraction`, `prices`, `quantities`, `indifference`, `corrections`, `negation` each take the spans that are theirs.
//! 4. `context_mentions` takes what is said of other things; `product_kind` decides which things are meant, `out_of_vocabulary` which of
//!    the words that nobody knows are things or patterns; what is left open is wanted.
//! 5. `intent` says what the message is for.
//!
//! [`next_request`] then says what is looked for after the message; an LLM's understanding goes the same way.

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
pub use merge::{Answered, EVERYTHING, REFERENCE, next_request, request_so_far};
pub use parse_state::{Context, ShownProduct};
pub use text::language::detect as language_of;
pub use vocabulary::{ProductText, Vocabulary};
