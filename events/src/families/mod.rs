//! Event payloads, one file for each family.

mod behavior;
mod catalog;
mod conversation;
mod embedding;
mod operations;
mod order;
mod pattern;
mod preference;
mod recommendation;

pub use behavior::*;
pub use catalog::*;
pub use conversation::*;
pub use embedding::*;
pub use operations::*;
pub use order::*;
pub use pattern::*;
pub use preference::*;
pub use recommendation::*;

/// Unwraps a constant of an example. One that breaks its type's rule fails the schema test.
macro_rules! example_value {
    ($expression:expr) => {
        match $expression {
            Ok(value) => value,
            Err(error) => panic!("an example breaks its type's rule: {error}"),
        }
    };
}
pub(crate) use example_value;
