//! Nothing that the shop says is not so: generated conversations in both languages, hostile ones among them, and a judge
//! that knows the catalogue and what was asked for, and shares no code with the check of answers.
//!
//! ```sh
//! cargo test --test grounding                                        # a few, as CI does
//! JANGBOGO_CONVERSATIONS=1000 cargo test --test grounding -- --nocapture
//! JANGBOGO_SEED=7 …                                                  # others
//! ```

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test fails by panicking")]

mod catalogue;
mod generator;
mod judge;
mod pure;
mod report;
mod served;
mod words;

/// How many conversations are held, and from which seed they are generated.
fn scale(few: u64) -> (u64, u64) {
    let number = |name: &str, default: u64| match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")),
        Err(_) => default,
    };
    (number("JANGBOGO_CONVERSATIONS", few), number("JANGBOGO_SEED", 1))
}
