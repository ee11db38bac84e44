//! Every reactor of the pipeline, a module each: an event in, an effect, the event that records its result.
//!
//! A replay links none of them: what they did is in the log.

pub mod embed;
pub mod intent;
pub mod pattern;
pub mod ranked;
pub mod reply;
mod turn;

use runtime::reactor::ReactorSpec;

/// Every reactor: the topology check goes by this list.
pub static REACTORS: &[&ReactorSpec] = &[&embed::SPEC, &intent::SPEC, &pattern::SPEC, &ranked::SPEC, &reply::SPEC];
