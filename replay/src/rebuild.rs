//! `rebuild`, `promote`, `rollback` and `at`: what becomes of a generation.

use std::time::Duration;

use chrono::{DateTime, Utc};
use jangbogo_fold::FoldConfig;
use jangbogo_log::Offsets;
use jangbogo_log::reader::Bounds;
use jangbogo_publish::{Audit, audit};
use jangbogo_read::GenerationId;
use jangbogo_store::{BulkPlan, Generation, Live, State, Stored, create_in_bulk, drop_generation, set_state, thaw};
use sqlx::PgConnection;

use crate::compare::Difference;
use crate::error::ReplayError;
use crate::job::{Job, is_unpromoted};

/// How a rebuild ends.
#[derive(Clone, Copy, Debug)]
pub struct Ending {
    /// Compare it with the live generation first.
    pub verify: bool,
    /// Serve it.
    pub promote: bool,
}

/// What came of comparing what is served with the log.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Rows of the live generation that a fresh fold does not have, or has otherwise.
    pub rows: Vec<Difference>,
    /// Published values that the live rows do not have, or have otherwise.
    pub published: Audit,
}

impl Verified {
    /// Whether everything is what the log says.
    pub fn is_equal(&self) -> bool {
        self.rows.is_empty() && self.published.differing == 0 && self.published.unsettled == 0
    }
}

impl Job {
    /// Folds the log into a generation beside the live one, proves it equal, and puts it into its place. What an earlier
    /// call has begun goes on.
    pub async fn rebuild(&self, ending: Ending) -> Result<(), ReplayError> {
        let mut connection = self.connect().await?;
        let stored = self.open(&mut connection, None, &self.config).await?;
        let generation = &stored.generation;
        if stored.state == State::Hydrating {
            self.hydrate(&mut connection, &stored).await?;
        }
        let indexing = self.index(generation)?;
        self.catch_up(generation).await?;
        self.wait_for_vectors(generation).await?;
        if ending.verify {
            self.verify_or_refuse(generation).await?;
        }
        if !ending.promote {
            self.progress.begin("publishing", 0);
            while !self.indexed(generation, Duration::from_mins(1)).await? {}
            set_state(&mut connection, generation, State::Ready).await?;
            let (name, id) = (self.processor.name, generation.short_id());
            self.progress.finish("ready", &format!("generation {id} is complete; `replay promote {name}` serves it"));
            return Ok(());
        }
        let live = self.cut_over(generation, indexing).await?;
        self.progress.finish("live", &format!("generation {} is live", live.generation.short_id()));
        Ok(())
    }

    /// The generation to fold: an unfinished one of the same code, or a new one. Nobody else works on it.
    async fn open(
        &self,
        connection: &mut PgConnection,
        as_of: Option<DateTime<Utc>>,
        config: &FoldConfig,
    ) -> Result<Stored, ReplayError> {
        // Of two replays that begin at once the second finds what the first has made.
        let name = format!("replay {}", self.processor.name);
        let (lock, unlock) =
            ("SELECT pg_advisory_lock(hashtextextended($1, 0))", "SELECT pg_advisory_unlock(hashtextextended($1, 0))");
        sqlx::query(lock).bind(&name).execute(&mut *connection).await?;
        let opened = self.open_alone(connection, as_of, config).await;
        sqlx::query(unlock).bind(&name).execute(&mut *connection).await?;
        opened
    }

    async fn open_alone(
        &self,
        connection: &mut PgConnection,
        as_of: Option<DateTime<Utc>>,
        config: &FoldConfig,
    ) -> Result<Stored, ReplayError> {
        let bounds = self.log().await?;
        let unfinished = if as_of.is_some() {
            let is_mine = |stored: &Stored| stored.as_of == as_of && stored.state == State::Hydrating;
            self.generations().await?.into_iter().rfind(is_mine)
        } else {
            self.unpromoted().await?
        };
        if let Some(stored) = unfinished {
            let id = stored.generation.short_id();
            let stored = self.lock(connection, &stored.generation).await?;
            if !is_unpromoted(&stored) {
                return Err(ReplayError::Refused(format!("another replay has just finished generation {id}")));
            }
            if stored.generation.fold_version != self.fold_version() {
                return Err(ReplayError::Refused(format!(
                    "generation {id} of {name} was begun by fold version {}, this program folds {}: go on with the program \
                     that began it, or remove it: `replay drop {name} {id}`",
                    stored.generation.fold_version,
                    self.fold_version(),
                    name = self.processor.name
                )));
            }
            let (has, wanted) = (&stored.generation.embedding_model, &config.embedding_model);
            if self.processor.has_vectors() && wanted.is_some() && has != wanted {
                return Err(ReplayError::Refused(format!(
                    "generation {id} of {name} was begun with vectors of {}, not of {}: go on with that model, or remove it: \
                     `replay drop {name} {id}`",
                    has.as_deref().unwrap_or("any model"),
                    wanted.as_deref().unwrap_or_default(),
                    name = self.processor.name
                )));
            }
            let is_intact = stored.state != State::Hydrating
                || jangbogo_store::is_bulk_intact(connection, &stored.generation).await?;
            if is_intact {
                self.progress.say(&format!("going on with generation {id}, which is {}", stored.state));
                return Ok(stored);
            }
            self.progress.say(&ReplayError::StagingLost.to_string());
            drop_generation(connection, &stored.generation).await?;
        }
        let captured: Offsets = bounds.iter().map(|(partition, Bounds { end, .. })| (*partition, *end)).collect();
        let plan = BulkPlan { captured: &captured, as_of, together: &self.together };
        let generation = create_in_bulk(connection, self.processor, config, plan).await?;
        self.lock(connection, &generation).await
    }

    /// Compares the live generation with a fresh fold, which is kept if they differ, and then what is published with the
    /// live generation.
    pub async fn verify(&self) -> Result<Verified, ReplayError> {
        let name = self.processor.name;
        let live = self.live().await?.ok_or_else(|| ReplayError::Refused(format!("{name} has no live generation")))?;
        let live = live.folded_by(&self.fold_version()).map_err(|error| ReplayError::Refused(error.to_string()))?;
        let mut connection = self.connect().await?;
        let stored = self.open(&mut connection, None, &self.shop_of(Some(&live))).await?;
        if stored.state == State::Hydrating {
            self.hydrate(&mut connection, &stored).await?;
        }
        let rows = self.compare(&stored.generation, &live).await?;
        if rows.is_empty() {
            drop_generation(&mut connection, &stored.generation).await?;
        } else {
            set_state(&mut connection, &stored.generation, State::Ready).await?;
        }
        self.progress.begin("auditing", 0);
        let mut told = 0;
        let published = audit(&self.connections, &self.pool, self.processor, &live, |checked| {
            self.progress.advance(checked - told);
            told = checked;
        });
        Ok(Verified { rows, published: published.await? })
    }

    /// Folds what happened until a moment into a generation of its own. Gives it.
    pub async fn at(&self, moment: DateTime<Utc>) -> Result<Generation, ReplayError> {
        let mut connection = self.connect().await?;
        let live = self.live().await?;
        let stored = self.open(&mut connection, Some(moment), &self.shop_of(live.as_ref())).await?;
        self.hydrate(&mut connection, &stored).await?;
        set_state(&mut connection, &stored.generation, State::Ready).await?;
        Ok(stored.generation)
    }

    /// Serves a generation that is complete.
    pub async fn promote(&self, id: Option<&GenerationId>) -> Result<(), ReplayError> {
        let name = self.processor.name;
        let stored = match id {
            Some(id) => self.find(id).await?,
            None => self.unpromoted().await?.ok_or_else(|| {
                ReplayError::Refused(format!("{name} has no generation to promote: `replay rebuild {name}` makes one"))
            })?,
        };
        self.serve(&stored.generation, true).await
    }

    /// Serves the generation that was live before, or one that was earlier, after it has caught up.
    pub async fn rollback(&self, id: Option<&GenerationId>) -> Result<(), ReplayError> {
        let stored = if let Some(id) = id {
            self.find(id).await?
        } else {
            let frozen = self.generations().await?.into_iter().filter(|stored| stored.state == State::Frozen);
            frozen.max_by_key(|stored| stored.frozen_at).ok_or_else(|| {
                ReplayError::Refused(format!("{} has no earlier generation to go back to", self.processor.name))
            })?
        };
        self.serve(&stored.generation, false).await
    }

    /// The settings of what is to be compared with the live generation, whatever this process was told.
    fn shop_of(&self, live: Option<&Live>) -> FoldConfig {
        let embedding_model = live.and_then(|live| live.generation.embedding_model.clone());
        FoldConfig { embedding_model, ..self.config.clone() }
    }

    fn refuse_unfit(&self, stored: &Stored) -> Result<(), ReplayError> {
        let Stored { generation, state, as_of, .. } = stored;
        let (name, id) = (self.processor.name, generation.short_id());
        if let Some(moment) = as_of {
            return Err(ReplayError::Refused(format!(
                "generation {id} is of {moment} and never goes live; `?as_of={}` reads it",
                generation.id
            )));
        }
        match state {
            State::Live => Err(ReplayError::Refused(format!("generation {id} of {name} is live already"))),
            State::Hydrating => Err(ReplayError::Refused(format!(
                "generation {id} is not complete: `replay rebuild {name}` goes on with it"
            ))),
            _ if generation.fold_version != self.fold_version() => Err(ReplayError::Refused(format!(
                "generation {id} was folded by version {}, this program folds {}: run the program that folded it, which \
                 catches it up",
                generation.fold_version,
                self.fold_version()
            ))),
            State::CatchingUp | State::Ready | State::Frozen => Ok(()),
        }
    }

    async fn serve(&self, generation: &Generation, with_vectors: bool) -> Result<(), ReplayError> {
        let mut connection = self.connect().await?;
        let stored = self.lock(&mut connection, generation).await?;
        self.refuse_unfit(&stored)?;
        self.log().await?;
        if stored.state == State::Frozen {
            thaw(&mut connection, generation).await?;
        }
        let indexing = self.index(generation)?;
        if with_vectors {
            self.catch_up(generation).await?;
            self.wait_for_vectors(generation).await?;
        }
        let live = self.cut_over(generation, indexing).await?;
        self.progress.finish("live", &format!("generation {} is live", live.generation.short_id()));
        Ok(())
    }
}
