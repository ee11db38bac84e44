//! Grounding: replies contain only facts of the catalogue. Conversations in both languages, some of them hostile, are
//! generated; a judge checks every reply against the catalogue and the request, without code of the product.
//!
//! ```sh
//! cargo test --test end_to_end grounding                              # the number that CI runs
//! JANGBOGO_CONVERSATIONS=1000 cargo test --test end_to_end grounding -- --nocapture
//! JANGBOGO_SEED=7 …                                                  # other conversations
//! ```

mod catalogue;
mod generator;
mod judge;
mod pure;
mod report;
mod served;
mod words;

/// Number of conversations, and the seed that they are generated from.
fn scale(default: u64) -> (u64, u64) {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    };
    (number("JANGBOGO_CONVERSATIONS", default), number("JANGBOGO_SEED", 1))
}
