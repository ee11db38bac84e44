//! Views: queries over committed rows whose values are served and published.

use super::table::Table;

/// A query over a processor's rows. Its values are ids and numbers: readers add products' attributes and leave out
/// retired products.
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// Name, unique in the processor: the prefix of its keys in Redis, or of its index in Elasticsearch.
    pub name: &'static str,
    /// Tables whose changes make its values stale.
    pub watches: &'static [Watch],
    /// Maps values of watched columns to keys of the view.
    pub keys: ViewKeys,
    /// SQL that returns `(key text, value jsonb)` for the keys in `$1` (`text[]`) at the watermark `$2`
    /// (`timestamptz`). A key without a row has no value.
    pub query: &'static str,
    /// SQL that returns the next keys after `$1` (`text`), in order, at most `$2` (`bigint`): for refreshes. A key that
    /// it returned once must be returned from then on: the published value of a key that vanishes stays.
    pub all_keys: &'static str,
    /// True if a value depends on other keys' rows or on the watermark: then every change requests a full refresh.
    pub full_refresh: bool,
    /// Store that its values are published to.
    pub target: Target,
}

/// A table whose changed rows make a view stale.
#[derive(Clone, Copy, Debug)]
pub struct Watch {
    /// The table that is watched.
    pub table: &'static Table,
    /// The key column whose values map to the stale keys.
    pub column: &'static str,
}

/// Mapping of a watched column's values to keys of the view.
#[derive(Clone, Copy, Debug)]
pub enum ViewKeys {
    /// The values are the keys.
    Same,
    /// Every change makes this one key stale.
    Only(&'static str),
    /// SQL that returns the keys for the values in `$1` (`text[]`).
    Mapped(&'static str),
}

/// Store and format of a view's published values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Not published: read from Postgres.
    Postgres,
    /// Redis: a hash `<name>:<key>` for each key.
    RedisHash,
    /// Redis: one sorted set `<name>`. The value is an array of `{"product_id", "score"}`.
    RedisRanking,
    /// Redis: invalidation of `<name>:<key>`, a cache that another program fills.
    RedisEviction,
    /// Elasticsearch: a document for each key.
    Elasticsearch {
        /// Settings and mappings of the index, as JSON. The settings of vector fields are added when it is created.
        index: &'static str,
    },
}

impl Target {
    /// True if Redis holds the values, with the live generation's promotion.
    #[must_use]
    pub fn is_kept_in_redis(self) -> bool {
        matches!(self, Self::RedisHash | Self::RedisRanking)
    }
}
