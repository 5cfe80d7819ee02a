//! Filling the side database: over one session or several, and where several come to nothing, by one from its beginning.
//!
//! Promises: a second attempt begins with an empty database and never in what the first has left; what nobody asked
//! for, a second session, makes no restore fail that one session would have carried out.

use std::sync::Arc;

use super::count;
use super::lanes;
use super::load::{LoadRequest, Loaded, load};
use super::loaders::Loaders;
use super::restore::{RestorePlan, SharedOut};
use super::scan::Summary;
use super::side;
use super::verdict::with_whereabouts;
use crate::docker::{Container, Engine};
use crate::error::{self, Result};
use crate::interrupt::Interrupt;
use crate::postgres::Session;
use crate::postgres::properties::Properties;
use crate::progress::{Event, Progress};

/// A side database that is to be filled.
pub(super) struct Filling<'a> {
    pub(super) engine: &'a Arc<dyn Engine>,
    pub(super) container: &'a Container,
    pub(super) plan: &'a RestorePlan,
    /// Its name.
    pub(super) side: &'a str,
    /// How those who load call themselves.
    pub(super) loader: &'a str,
    /// What it is made like.
    pub(super) properties: &'a Properties,
    pub(super) progress: &'a Arc<dyn Progress>,
    pub(super) interrupt: &'a Interrupt,
}

/// What is in it.
pub(super) struct Filled {
    pub(super) rows: u64,
    pub(super) tables: usize,
    /// Bytes of SQL.
    pub(super) bytes: u64,
    /// Tables with more rows than the dump has for them, and what wrote them.
    pub(super) notes: Vec<String>,
}

impl Filling<'_> {
    /// Fills it; `admin` is a session beside it.
    ///
    /// # Errors
    /// See [`load`], [`lanes::load`] and [`super::archive`].
    pub(super) async fn run(&self, admin: &mut Session, loaders: &Loaders<'_>) -> Result<Filled> {
        match self.fill(admin, loaders).await {
            Err(error) => Err(with_whereabouts(self.engine, self.container, error).await),
            filled => filled,
        }
    }

    async fn fill(&self, admin: &mut Session, loaders: &Loaders<'_>) -> Result<Filled> {
        let Self { engine, container, plan, loader, progress, interrupt, .. } = self;
        let access = plan.access.to(self.side);
        match &plan.shared {
            Some(SharedOut::Plain(shared)) => {
                let loading = lanes::load(loaders, &access, loader, shared, progress);
                match interrupt.or(loading).await? {
                    Ok(()) => {
                        let (rows, tables, bytes) = shared.holds();
                        return Ok(Filled { rows, tables, bytes, notes: Vec::new() });
                    }
                    // Nothing says that the tables of a dump do not need each other: a CHECK may read another one
                    // through a function, and pg_dump's order had it right by chance.
                    Err(lanes::Failure::RowsRefused(error)) if !plan.several_asked => {
                        progress.on(Event::Warning(format!(
                            "{} sessions came to nothing, and one loads it all in the dump's own order: {}",
                            shared.jobs(),
                            error.message()
                        )));
                        self.empty(admin).await?;
                    }
                    Err(failure) => return Err(failure.into()),
                }
            }
            Some(SharedOut::Archive(spread)) => {
                let loading = spread.load(engine, container, loaders, &access, loader, progress, interrupt);
                if let Some(notes) = loading.await? {
                    return self.filled(spread.summary(), notes).await;
                }
                // It may have had one connection and not the next.
                self.empty(admin).await?;
            }
            None => {}
        }
        self.by_one(loaders).await
    }

    async fn by_one(&self, loaders: &Loaders<'_>) -> Result<Filled> {
        let plan = self.plan;
        let request = LoadRequest {
            source: plan.source.clone(),
            authenticity: plan.authenticity.clone(),
            trust: plan.trust,
            rules: plan.rules.clone(),
            sha256: plan.sha256,
            expected: plan.bytes,
            threads: plan.threads,
            application: self.loader.to_owned(),
            loading: loaders.loading(),
        };
        let access = plan.access.to(self.side);
        let loading = load(self.engine, self.container, &access, loaders, &request, self.progress);
        let Loaded { summary, notes } = self.interrupt.or(loading).await??;
        if plan.rows.is_some_and(|rows| rows != summary.rows()) {
            return Err(error::integrity(format!(
                "the row counts in the manifest of {} are not those of the file",
                plan.source.name()
            ))
            .hint("the manifest was edited; without it the file is checked by its own structure"));
        }
        self.filled(&summary, notes).await
    }

    /// Counts on the server what the dump does not tell.
    async fn filled(&self, summary: &Summary, notes: Vec<String>) -> Result<Filled> {
        let (rows, tables) = if count::is_uncounted(summary) {
            self.progress.step("counting what was loaded");
            self.interrupt.or(self.counted(summary)).await??
        } else {
            (summary.rows(), summary.copies.len())
        };
        Ok(Filled { rows, tables, bytes: summary.bytes, notes })
    }

    async fn counted(&self, summary: &Summary) -> Result<(u64, usize)> {
        let access = self.plan.access.to(self.side);
        let mut session = Session::open(self.engine, self.container, &access, self.loader).await?;
        let counted = count::all(&mut session, summary).await?;
        session.close().await;
        Ok(counted)
    }

    /// As it was before anything was loaded.
    async fn empty(&self, admin: &mut Session) -> Result<()> {
        side::again(admin, self.side, self.loader, self.properties, &self.plan.operation).await
    }
}
