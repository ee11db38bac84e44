//! A projection, folded in memory: the number of views of each product, and the time of the last.
//!
//! `cargo run -p jangbogo-examples --example projection`

use chrono::{DateTime, TimeDelta, Utc};
use jangbogo_events::{Data, Envelope, Event, ProductId, ProductViewed, Topic};
use jangbogo_fold::testing::{Folded, SEOUL};
use jangbogo_fold::{
    BatchPolicy, Deltas, FoldConfig, Processor, Projection, TableMarker as _, Target, View, ViewKeys, Watch,
};

// The table: a key, and groups of columns each with an operator that merges two values. The operators commute and
// associate, so that rows depend only on the set of events, not on their order or batches.
jangbogo_fold::table! {
    /// Number of views of each product, and the time of the last
    pub Views "product_interest" {
        key Product<'a> { product_id: &'a str }
        add Count "count" { views: i64 }
        max Newest "newest" { viewed_at: DateTime<Utc> }
    }
}

/// Topics, tables, fold and views. A processor hosts it by naming it in its list of projections.
static PROJECTION: Projection = Projection {
    name: "interest",
    reads: &[Topic::ProductViewed],
    tables: &[Views::TABLE],
    fold,
    views: &[View {
        name: "interest",
        // Number of views of a product.
        watches: &[Watch { table: Views::TABLE, column: "product_id" }],
        keys: ViewKeys::Same,
        // SQL over the committed rows, evaluated for the keys that changed: this example does not run it.
        query: "SELECT product_id AS key, jsonb_build_object('views', views) AS value
                FROM product_interest WHERE product_id = ANY ($1)",
        all_keys: "SELECT product_id FROM product_interest WHERE product_id > $1 ORDER BY 1 LIMIT $2",
        full_refresh: false,
        target: Target::RedisHash,
    }],
};

/// Pure: no clock, no randomness, no reads. It puts what an event adds to which rows into the deltas.
fn fold(event: &Event, _: &FoldConfig, deltas: &mut Deltas) {
    if let Data::ProductViewed(viewed) = &event.data {
        let key = Product { product_id: &viewed.product_id };
        deltas.put(key, Count { views: 1 });
        deltas.put(key, Newest { viewed_at: event.envelope.time });
    }
}

/// A program that folds these projections into one set of tables, with one consumer group.
static PROCESSOR: Processor =
    Processor { name: "example", fold_version: 1, batch_policy: BatchPolicy::Immediate, projections: &[&PROJECTION] };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut log = Vec::new();
    for (number, product) in ["lamp", "bag", "lamp"].into_iter().enumerate() {
        let time = DateTime::UNIX_EPOCH + TimeDelta::hours(i64::try_from(number)?);
        let viewed = ProductViewed { member_id: None, product_id: ProductId::new(product)? };
        log.push(Event::new(Envelope::new(number.to_string(), "example", time), viewed));
    }
    let rows = Folded::new(&PROCESSOR, &SEOUL, &log).rows("product_interest");
    println!("{}", rows.join("\n"));
    log.reverse();
    assert_eq!(Folded::new(&PROCESSOR, &SEOUL, &log).rows("product_interest"), rows, "in any order");
    Ok(())
}
