//! Views: what is served and published, as queries over committed rows.

use super::table::Table;

/// A query over a processor's rows. Its values are ids and numbers; a product's attributes and retirement are
/// applied by whoever reads them.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Unique in the processor; the prefix of its keys in Redis, or the name of its index in Elasticsearch.
    pub name: &'static str,
    /// What it says, for people.
    pub description: &'static str,
    /// Whose changes make values of it stale, and by which column.
    pub watches: &'static [Watch],
    /// How a watched column's values become this view's keys.
    pub keys: ViewKeys,
    /// SQL that gives `(key text, value jsonb)` for the keys in `$1` (`text[]`) at the watermark `$2`
    /// (`timestamptz`). A key without a row has no value.
    pub query: &'static str,
    /// SQL that gives the next keys after `$1` (`text`), in order, at most `$2` (`bigint`): for refreshes.
    pub all_keys: &'static str,
    /// Whether a value depends on other keys' rows or on the watermark: then every change is followed by a sweep.
    pub full_refresh: bool,
    /// Where it is published.
    pub target: Target,
}

/// A table whose changed rows make a view stale.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The table.
    pub table: &'static Table,
    /// The key column that says which values are stale.
    pub column: &'static str,
}

/// How the values of a watched column become keys of the view.
#[derive(Clone, Copy, Debug)]
pub enum ViewKeys {
    /// They are its keys.
    Same,
    /// Any change makes this one key stale.
    Only(&'static str),
    /// SQL that gives the keys for the values in `$1` (`text[]`).
    Mapped(&'static str),
}

/// Where a view's values are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nowhere: it is read from Postgres.
    Postgres,
    /// Redis, a hash for each key: `<name>:<key>`.
    RedisHash,
    /// Redis, one sorted set `<name>`: the value is an array of `{"product_id", "score"}`.
    RedisRanking,
    /// Redis, nothing but a deletion of `<name>:<key>`: a cache that others fill.
    RedisEviction,
    /// Elasticsearch, a document for each key.
    Elasticsearch {
        /// The index's settings and mappings, as JSON; how vectors are indexed is added when it is created.
        index: &'static str,
    },
}

impl Target {
    /// Whether Redis holds the values, under the live generation's promotion.
    #[must_use]
    pub fn is_kept_in_redis(self) -> bool {
        matches!(self, Self::RedisHash | Self::RedisRanking)
    }
}
