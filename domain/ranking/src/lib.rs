//! Hybrid recommendation: [`rank`] is a pure function of a [`RankingInput`] and a request. The query service and the
//! reactor call the same function.
//!
//! A score is the weighted sum of three sub-scores, each 0 to 1: *content* (similarity of the product's text to the
//! request and to the member's products), *collaborative* (co-purchase with the member's products, or popularity), and
//! *intent* (fit with the request or the member's preferences). Products that break a hard constraint are left out.

mod candidate;
mod collaborative;
mod constraints;
mod diversity;
mod intent;
mod rank;
mod reason;
mod weights;

pub use candidate::{Candidate, Product};
pub use collaborative::{
    CollaborativeInput, Favourite, HistoryProduct, PopularIn, Scored, by_score_then_id, favourite_categories, scores,
};
pub use intent::Taste;
pub use rank::{Basis, Evidence, RankedItem, Ranking, RankingInput, SourceEvent, rank};
pub use reason::{Language, money, named, reason};
pub use weights::Weights;
