//! Inputs of a ranking: members and products in Postgres, and the search index.

mod load;
mod products;
pub mod search;

pub use load::{Member, RequestInput, decode_list, load_member, load_products, view};
pub use products::Products;
