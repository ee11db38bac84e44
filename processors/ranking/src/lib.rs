//! The hybrid recommendation: what is known is loaded as a [`Snapshot`], and [`rank`] is a pure function of that and of
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
mod load;
mod products;
mod rank;
mod reason;
pub mod search;
mod weights;

pub use candidate::{Candidate, Product, normalised_words};
pub use collaborative::{Favourite, HistoryProduct, PopularIn, Scored, favourite_categories};
pub use intent::{Statement, Taste};
pub use load::{Asked, Member, list_of, load_member, load_products, view};
pub use products::Products;
pub use rank::{Basis, Evidence, RankedItem, Ranking, Snapshot, SourceEvent, rank};
pub use reason::{Language, money, named, reason};
pub use weights::Weights;
