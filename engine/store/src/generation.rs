//! Generations: one complete set of a processor's tables, folded from the start of the log, in a Postgres schema.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use jangbogo_fold::{FoldConfig, Processor};
use jangbogo_log::{Offsets, Partition};
use jangbogo_platform::config::{Connections, DEFAULT_EMBEDDING_MODEL};
use jangbogo_platform::vector_index::VectorIndex;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use uuid::Uuid;

use super::bulk;
use super::statements::create_table;

/// The fold settings among a program's connection settings.
#[must_use]
pub fn fold_config(connections: &Connections) -> FoldConfig {
    FoldConfig { time_zone: connections.time_zone, embedding_model: connections.embedding_model.clone() }
}

/// One set of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Generation {
    /// Whose.
    pub processor: String,
    /// Never used again.
    pub id: Uuid,
    /// Where its tables are.
    pub schema: String,
    /// By which code and settings it is folded.
    pub fold_version: String,
    /// The model of its vectors; none if it has none, or the newest of any model.
    pub embedding_model: Option<String>,
}

impl Generation {
    /// Of a row with `processor`, `generation`, `schema_name`, `fold_version` and `embedding_model`.
    pub fn of(row: &PgRow) -> Self {
        Self {
            processor: row.get("processor"),
            id: row.get("generation"),
            schema: row.get("schema_name"),
            fold_version: row.get("fold_version"),
            embedding_model: row.get("embedding_model"),
        }
    }

    /// Begins a transaction in which unqualified names mean this generation's tables, in one round trip.
    pub fn begin(&self, mode: &str) -> String {
        // The name was made by this program: a processor's name and hexadecimal digits.
        format!("BEGIN {mode}; SET LOCAL search_path = {}, public", self.schema)
    }

    /// The end of its id, which is how people name it.
    #[must_use]
    pub fn short_id(&self) -> String {
        let id = self.id.simple().to_string();
        id[id.len() - 8..].to_owned()
    }
}

/// What becomes of a generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is folded in bulk, up to the offsets captured when that began.
    Hydrating,
    /// It follows the log's tail.
    CatchingUp,
    /// It is complete, and not served.
    Ready,
    /// It is served.
    Live,
    /// It was served, and is kept as it was then.
    Frozen,
}

impl State {
    /// Every state.
    const ALL: [State; 5] = [State::Hydrating, State::CatchingUp, State::Ready, State::Live, State::Frozen];

    /// As in Postgres.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            State::Hydrating => "hydrating",
            State::CatchingUp => "catching up",
            State::Ready => "ready",
            State::Live => "live",
            State::Frozen => "frozen",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// A generation and everything the store says of it.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Which.
    pub generation: Generation,
    /// How far it is.
    pub state: State,
    /// The event time up to which it was folded; none for the whole log.
    pub as_of: Option<DateTime<Utc>>,
    /// The log's end when its fold began; none where it was folded live.
    pub captured: Option<Offsets>,
    /// The processors whose generations the same command makes, one after the other.
    pub together: Vec<String>,
    /// When its fold began.
    pub created_at: DateTime<Utc>,
    /// When it ceased to be live.
    pub frozen_at: Option<DateTime<Utc>>,
}

impl Stored {
    fn of(row: &PgRow) -> Self {
        let state: String = row.get("state");
        let captured: Option<serde_json::Value> = row.get("captured");
        Self {
            generation: Generation::of(row),
            state: State::ALL.into_iter().find(|known| known.name() == state).unwrap_or(State::Frozen),
            as_of: row.get("as_of"),
            captured: captured.as_ref().map(offsets_of),
            together: row.get("together"),
            created_at: row.get("created_at"),
            frozen_at: row.get("frozen_at"),
        }
    }
}

fn offsets_of(captured: &serde_json::Value) -> Offsets {
    let entries = captured.as_object().into_iter().flatten();
    entries.filter_map(|(partition, offset)| Some((Partition::parse(partition)?, offset.as_i64()?))).collect()
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
         rows of two versions must not mix; run the program that wrote it, or this program's `replay rebuild {processor}`"
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
    pending_sweeps       text[]  NOT NULL DEFAULT '{}',
    redis_incarnation    text,
    elasticsearch_incarnation text
);
COMMENT ON TABLE publisher IS 'Who publishes, what is still to be swept, and the stores it was published to';
";

/// The live generation, created empty if the processor has none.
///
/// # Errors
/// When Postgres is away, or the live generation was folded by another version.
pub async fn open_live(
    pool: &PgPool,
    processor: &Processor,
    config: &FoldConfig,
    vector_index: VectorIndex,
) -> Result<Live, GenerationError> {
    let database = |source| GenerationError::Database { processor: processor.name.to_owned(), source };
    let mine = processor.fold_version(config);
    let mut transaction = pool.begin().await.map_err(database)?;
    // Two first starts at once: the second waits, then finds what the first made.
    sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
        .bind(format!("generation {}", processor.name))
        .execute(&mut *transaction)
        .await
        .map_err(database)?;
    let live = match live(&mut transaction, processor.name).await.map_err(database)? {
        Some(live) => live.folded_by(&mine)?,
        None => create_live(&mut transaction, processor, config, vector_index).await.map_err(database)?,
    };
    transaction.commit().await.map_err(database)?;
    Ok(live)
}

impl Live {
    /// Itself, if it is of that fold version.
    ///
    /// # Errors
    /// When it was folded by another one.
    pub fn folded_by(self, mine: &str) -> Result<Self, GenerationError> {
        let Generation { processor, fold_version, .. } = &self.generation;
        if fold_version != mine {
            let (processor, found) = (processor.clone(), fold_version.clone());
            return Err(GenerationError::OtherFold { processor, found, mine: mine.to_owned() });
        }
        Ok(self)
    }
}

/// The live generation, if the processor has one.
///
/// # Errors
/// When Postgres is away.
pub async fn live(connection: &mut PgConnection, processor: &str) -> Result<Option<Live>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT processor, generation, schema_name, fold_version, embedding_model, promotion
         FROM live_generation JOIN generation USING (processor, generation) WHERE processor = $1",
    )
    .bind(processor)
    .fetch_optional(connection)
    .await?;
    Ok(row.map(|row| Live { generation: Generation::of(&row), promotion: row.get("promotion") }))
}

/// The embedding model of each live generation that has vectors of one, by processor.
///
/// # Errors
/// When Postgres is away.
pub async fn live_embedding_models(connection: &mut PgConnection) -> Result<BTreeMap<String, String>, sqlx::Error> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "SELECT processor, embedding_model FROM public.live_generation JOIN public.generation USING (processor, generation)
         WHERE embedding_model IS NOT NULL",
    )
    .fetch_all(connection)
    .await?;
    Ok(rows.into_iter().collect())
}

/// Every generation, of one processor or of all, the oldest first.
///
/// # Errors
/// When Postgres is away.
pub async fn generations(connection: &mut PgConnection, processor: Option<&str>) -> Result<Vec<Stored>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT processor, generation, schema_name, fold_version, embedding_model, state, as_of, captured, together,
                created_at, frozen_at
         FROM generation WHERE $1::text IS NULL OR processor = $1 ORDER BY processor, generation",
    )
    .bind(processor)
    .fetch_all(connection)
    .await?;
    Ok(rows.iter().map(Stored::of).collect())
}

async fn create_live(
    connection: &mut PgConnection,
    processor: &Processor,
    config: &FoldConfig,
    vector_index: VectorIndex,
) -> Result<Live, sqlx::Error> {
    let generation = new_generation(connection, processor, config).await?;
    let tables: String = processor.tables().map(|table| create_table(table, vector_index)).collect();
    create_schema(connection, &generation, &tables).await?;
    insert(connection, &generation, State::Live, None).await?;
    sqlx::query("INSERT INTO public.live_generation (processor, generation, promotion) VALUES ($1, $2, $3)")
        .bind(processor.name)
        .bind(generation.id)
        .bind(Uuid::now_v7())
        .execute(&mut *connection)
        .await?;
    live(connection, processor.name).await?.ok_or(sqlx::Error::RowNotFound)
}

/// What a fold in bulk is of.
#[derive(Clone, Copy, Debug)]
pub struct BulkPlan<'a> {
    /// The log's end: the fold ends there.
    pub captured: &'a Offsets,
    /// Events that happened later are left out; none if nothing is.
    pub as_of: Option<DateTime<Utc>>,
    /// The processors whose generations the same command makes, one after the other.
    pub together: &'a [String],
}

/// Creates a generation that is to be folded in bulk.
///
/// # Errors
/// When Postgres is away.
pub async fn create_in_bulk(
    connection: &mut PgConnection,
    processor: &Processor,
    config: &FoldConfig,
    plan: BulkPlan<'_>,
) -> Result<Generation, sqlx::Error> {
    let generation = new_generation(connection, processor, config).await?;
    let mut transaction = connection.begin().await?;
    create_schema(&mut transaction, &generation, &bulk::create_tables(processor)).await?;
    insert(&mut transaction, &generation, State::Hydrating, Some(plan)).await?;
    transaction.commit().await?;
    Ok(generation)
}

async fn new_generation(
    connection: &mut PgConnection,
    processor: &Processor,
    config: &FoldConfig,
) -> Result<Generation, sqlx::Error> {
    let embedding_model = match &config.embedding_model {
        _ if !processor.has_vectors() => None,
        Some(model) => Some(model.clone()),
        None => {
            let mut live = live_embedding_models(connection).await?;
            let model = live.remove(processor.name).or_else(|| live.pop_first().map(|(_, model)| model));
            Some(model.unwrap_or_else(|| DEFAULT_EMBEDDING_MODEL.to_owned()))
        }
    };
    let id = Uuid::now_v7();
    let schema = format!("{}_{}", processor.name.replace('-', "_"), id.simple());
    let fold_version = processor.fold_version(config);
    Ok(Generation { processor: processor.name.to_owned(), id, schema, fold_version, embedding_model })
}

async fn create_schema(
    connection: &mut PgConnection,
    Generation { schema, .. }: &Generation,
    tables: &str,
) -> Result<(), sqlx::Error> {
    let sql = format!(
        "CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, public;{SYSTEM_TABLES}{tables}
         INSERT INTO publisher (shard) VALUES (0);"
    );
    connection.execute(sqlx::raw_sql(&sql)).await.map(drop)
}

async fn insert(
    connection: &mut PgConnection,
    generation: &Generation,
    state: State,
    plan: Option<BulkPlan<'_>>,
) -> Result<(), sqlx::Error> {
    let captured = plan.map(|plan| {
        let entry = |(partition, offset): (&Partition, &i64)| (partition.to_string(), serde_json::Value::from(*offset));
        serde_json::Value::Object(plan.captured.iter().map(entry).collect())
    });
    sqlx::query(
        "INSERT INTO public.generation
             (processor, generation, schema_name, fold_version, state, captured, as_of, together, embedding_model)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&generation.processor)
    .bind(generation.id)
    .bind(&generation.schema)
    .bind(&generation.fold_version)
    .bind(state.name())
    .bind(captured)
    .bind(plan.and_then(|plan| plan.as_of))
    .bind(plan.map_or(&[][..], |plan| plan.together))
    .bind(&generation.embedding_model)
    .execute(connection)
    .await
    .map(drop)
}

/// Writes down how far a generation is.
///
/// # Errors
/// When Postgres is away.
pub async fn set_state(
    connection: &mut PgConnection,
    generation: &Generation,
    state: State,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "UPDATE generation SET state = $2, frozen_at = CASE WHEN $2 = 'frozen' THEN now() END WHERE generation = $1",
    )
    .bind(generation.id)
    .bind(state.name())
    .execute(connection)
    .await
    .map(drop)
}

/// Removes a generation that is not live. Gives whether it was there.
///
/// # Errors
/// When Postgres is away, or the generation is live.
pub async fn drop_generation(connection: &mut PgConnection, generation: &Generation) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    // The reference from the map of live generations refuses a live one.
    let removed = sqlx::query("DELETE FROM generation WHERE generation = $1")
        .bind(generation.id)
        .execute(&mut *transaction)
        .await?;
    let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE", generation.schema);
    transaction.execute(sqlx::raw_sql(&sql)).await?;
    transaction.commit().await?;
    Ok(removed.rows_affected() > 0)
}
