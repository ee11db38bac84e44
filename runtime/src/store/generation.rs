//! Generations: one complete set of a processor's tables, folded from the start of the log, in a Postgres schema.

use sqlx::postgres::PgPool;
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use super::statements::create_table;
use crate::fold::{Processor, Shop};

/// One set of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Whose.
    pub processor: String,
    /// Never used again.
    pub id: Uuid,
    /// Where its tables are.
    pub schema: String,
}

/// The generation that is served, and since which promotion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Live {
    /// The tables.
    pub generation: Generation,
    /// Names this going live; published values carry it.
    pub promotion: Uuid,
}

/// Why a generation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GenerationError {
    /// The server.
    #[error("cannot read or create the generation of {processor}")]
    Database {
        /// Whose.
        processor: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// Its rows were folded by other code or settings.
    #[error(
        "the live generation of {processor} was folded by version {found}, this program folds version {mine}: \
         rows of two versions must not mix; run the program that wrote it, or rebuild the projection"
    )]
    OtherFold {
        /// Whose.
        processor: String,
        /// What is in the store.
        found: String,
        /// What this program would write.
        mine: String,
    },
}

/// The tables that the runtime keeps beside a projection's own.
const SYSTEM_TABLES: &str = "
CREATE TABLE checkpoint (
    topic          text    NOT NULL,
    partition      integer NOT NULL,
    next_offset    bigint  NOT NULL,
    epoch          bigint  NOT NULL,
    max_event_time timestamptz,
    frozen         boolean NOT NULL DEFAULT false,
    PRIMARY KEY (topic, partition)
) WITH (fillfactor = 50);
COMMENT ON TABLE checkpoint IS 'Where the fold of each partition goes on, and who may advance it';
CREATE TABLE seen (event uuid PRIMARY KEY);
COMMENT ON TABLE seen IS 'Hashes of the events folded: the first occurrence counts';
CREATE TABLE dirty (view text NOT NULL, key text NOT NULL);
COMMENT ON TABLE dirty IS 'Keys of views whose published value is stale; append-only';
CREATE TABLE dead_letter (
    topic         text   NOT NULL,
    partition     integer NOT NULL,
    record_offset bigint NOT NULL,
    appended_at   timestamptz NOT NULL,
    cause         text   NOT NULL,
    PRIMARY KEY (topic, partition, record_offset)
);
COMMENT ON TABLE dead_letter IS 'Records that are no events; the record itself is in the dead-letter topic';
CREATE TABLE publisher (
    shard                integer PRIMARY KEY,
    epoch                bigint  NOT NULL DEFAULT 0,
    pending_sweeps       integer NOT NULL DEFAULT 0,
    redis_incarnation    text,
    elasticsearch_incarnation text
);
COMMENT ON TABLE publisher IS 'Who publishes, what is still to be swept, and the stores it was published to';
";

/// The live generation, created empty if the processor has none.
///
/// # Errors
/// When Postgres is away, or the live generation was folded by another version.
pub async fn open_live(pool: &PgPool, processor: &Processor, shop: &Shop) -> Result<Live, GenerationError> {
    let database = |source| GenerationError::Database { processor: processor.name.to_owned(), source };
    let mine = processor.fold_version(shop);
    let mut transaction = pool.begin().await.map_err(database)?;
    // Two first starts at once: the second waits, then finds what the first made.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("generation {}", processor.name))
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    let found = sqlx::query(
        "SELECT fold_version, generation, schema_name, promotion
         FROM live_generation JOIN generation USING (processor, generation) WHERE processor = $1",
    )
    .bind(processor.name)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(database)?;
    let live = match found {
        Some(row) => {
            let found: String = row.get("fold_version");
            if found != mine {
                return Err(GenerationError::OtherFold { processor: processor.name.to_owned(), found, mine });
            }
            live_of(processor.name, &row)
        }
        None => create_live(&mut transaction, processor, &mine).await.map_err(database)?,
    };
    transaction.commit().await.map_err(database)?;
    Ok(live)
}

/// The live generation, if the processor has one.
///
/// # Errors
/// When Postgres is away.
pub async fn live(connection: &mut PgConnection, processor: &str) -> Result<Option<Live>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT generation, schema_name, promotion
         FROM live_generation JOIN generation USING (processor, generation) WHERE processor = $1",
    )
    .bind(processor)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| live_of(processor, &row)))
}

fn live_of(processor: &str, row: &sqlx::postgres::PgRow) -> Live {
    let generation =
        Generation { processor: processor.to_owned(), id: row.get("generation"), schema: row.get("schema_name") };
    Live { generation, promotion: row.get("promotion") }
}

async fn create_live(
    connection: &mut PgConnection,
    processor: &Processor,
    fold_version: &str,
) -> Result<Live, sqlx::Error> {
    let id = Uuid::now_v7();
    let schema = format!("{}_{}", processor.name.replace('-', "_"), id.simple());
    let mut sql = format!("CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, public;{SYSTEM_TABLES}");
    for table in processor.tables() {
        sql.push_str(&create_table(table));
    }
    connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await?;
    sqlx::query(
        "WITH created AS (
             INSERT INTO public.generation (processor, generation, schema_name, fold_version) VALUES ($1, $2, $3, $4)
         )
         INSERT INTO public.live_generation (processor, generation, promotion) VALUES ($1, $2, $5)",
    )
    .bind(processor.name)
    .bind(id)
    .bind(&schema)
    .bind(fold_version)
    .bind(Uuid::now_v7())
    .execute(&mut *connection)
    .await?;
    sqlx::query("INSERT INTO publisher (shard) VALUES (0)").execute(&mut *connection).await?;
    live(connection, processor.name).await?.ok_or(sqlx::Error::RowNotFound)
}
