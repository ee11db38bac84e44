//! The hybrid recommendation: what is known is loaded as a [`RankingInput`], and [`rank`] is a pure function of that and of
//! what is asked. The query service and the reactor rank by the same.
//!
//! A score is the weighted sum of three sub-scores, each 0 to 1: *content* (the product's text is like what was asked for,
//! and like what the member bought), *collaborative* (it is bought together with the member's products, or popular), and
//! *intent* (it has what was asked for, or what the member said they like). Constraints are no scores: what breaks one is
//! left out.

mod candidate;
mod collaborative;
mod constraints;
mod diversity;
mod intent;
mod rank;
mod reason;
mod weights;

pub use candidate::{Candidate, Product, normalised_words};
pub use collaborative::{
    CollaborativeInput, Favourite, HistoryProduct, PopularIn, Scored, by_score_then_id, favourite_categories, scores,
};
pub use intent::{Statement, Taste};
pub use rank::{Basis, Evidence, RankedItem, Ranking, RankingInput, SourceEvent, rank};
pub use reason::{Language, money, named, reason};
pub use weights::Weights;
