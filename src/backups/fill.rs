//! Filling the side database: over one session or several, and where several come to nothing, by one from its beginning.
//!
//! Promises: a second attempt begins with an empty database and never in what the first has left; several sessions make no
//! restore fail that one session would have carried out.

use std::sync::Arc;

use super::archive::Spread;
use super::complaint::{Complaint, LoadFailure};
use super::count;
use super::explain::{self, Cause};
use super::lanes;
use super::load::{LoadRequest, Loaded, load};
use super::loaders::Loaders;
use super::restore::{RestorePlan, SharedOut};
use super::scan::Summary;
use super::side;
use super::verdict::with_whereabouts;
use crate::docker::{Container, Engine};
use crate::error::{self, Error, Result};
use crate::interrupt::Interrupt;
use crate::postgres::Session;
use crate::postgres::preflight::{self, Like};
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

/// A load that came to its end.
enum Attempt {
    /// Its numbers are known.
    Known(Filled),
    /// What the dump tells of itself, and the notes of the comparison.
    Counted(Box<Summary>, Vec<String>),
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
        self.install_aids().await?;
        let filled = self.attempts(admin, loaders).await?;
        self.remove_aids().await?;
        match filled {
            Attempt::Known(filled) => Ok(filled),
            Attempt::Counted(summary, notes) => self.filled(&summary, notes).await,
        }
    }

    /// Loads over as many sessions as the plan has; what they are refused one loads again, in the dump's own order.
    async fn attempts(&self, admin: &mut Session, loaders: &Loaders<'_>) -> Result<Attempt> {
        let Self { plan, loader, progress, interrupt, .. } = self;
        let access = plan.access.to(self.side);
        match &plan.shared {
            Some(SharedOut::Plain(shared)) => {
                let loading = lanes::load(loaders, &access, loader, shared, progress);
                match interrupt.or(loading).await? {
                    Ok(()) => {
                        let (rows, tables, bytes) = shared.holds();
                        return Ok(Attempt::Known(Filled { rows, tables, bytes, notes: Vec::new() }));
                    }
                    Err(failure) => self.once_more(admin, failure, shared.jobs()).await?,
                }
            }
            Some(SharedOut::Archive(spread)) => {
                match self.by_pg_restore(loaders, spread, spread.jobs()).await {
                    Ok(Some(notes)) => {
                        return Ok(Attempt::Counted(Box::new(spread.summary().clone()), notes));
                    }
                    // It may have had one connection and not the next.
                    Ok(None) => self.empty(admin).await?,
                    Err(failure) if spread.jobs() == 1 => return Err(self.explained(failure).await),
                    Err(failure) => {
                        self.once_more(admin, failure, usize::from(spread.jobs())).await?;
                        match self.by_pg_restore(loaders, spread, 1).await {
                            Ok(Some(notes)) => {
                                return Ok(Attempt::Counted(Box::new(spread.summary().clone()), notes));
                            }
                            Ok(None) => self.empty(admin).await?,
                            Err(failure) => return Err(self.explained(failure).await),
                        }
                    }
                }
            }
            None => {}
        }
        self.by_one(admin, loaders).await
    }

    /// Empties the database for one session, where the statement that several were refused may be one of order: a CHECK may
    /// read another table through a function, and nothing in a dump says that its tables need each other.
    ///
    /// # Errors
    /// The failure itself, where one session would fare no better.
    async fn once_more(&self, admin: &mut Session, failure: LoadFailure, sessions: usize) -> Result<()> {
        let Some(complaint) = failure.complaint.clone() else { return Err(failure.error) };
        let cause = self.cause(&complaint).await;
        if matches!(cause, Some(Cause::SearchPath { .. })) {
            return Err(self.told(failure.error, &complaint, cause));
        }
        self.progress.on(Event::Warning(format!(
            "{sessions} sessions came to nothing, and one loads it all in the dump's own order: {}",
            complaint.first()
        )));
        self.empty(admin).await
    }

    async fn by_pg_restore(
        &self,
        loaders: &Loaders<'_>,
        spread: &Spread,
        jobs: u8,
    ) -> Result<Option<Vec<String>>, LoadFailure> {
        let Self { engine, container, plan, loader, progress, interrupt, .. } = self;
        let access = plan.access.to(self.side);
        spread.load(engine, container, loaders, &access, (loader, jobs), progress, interrupt).await
    }

    /// The failure with its cause, where the staging database tells one.
    async fn explained(&self, failure: LoadFailure) -> Error {
        let Some(complaint) = failure.complaint else { return failure.error };
        let cause = self.cause(&complaint).await;
        self.told(failure.error, &complaint, cause)
    }

    fn told(&self, error: Error, complaint: &Complaint, cause: Option<Cause>) -> Error {
        let plan = self.plan;
        match cause {
            Some(cause) => cause.tell(error, complaint, &plan.source_path, &plan.aids.search_path),
            None => error,
        }
    }

    /// The cause of a refused statement; `None` too where the server cannot be asked: the refusal is told all the same.
    async fn cause(&self, complaint: &Complaint) -> Option<Cause> {
        let looking = async {
            let mut session = self.inside().await.ok()?;
            let cause = explain::cause(&mut session, complaint).await.ok()?;
            session.close().await;
            cause
        };
        self.interrupt.or(looking).await.ok()?
    }

    /// A session in the staging database.
    async fn inside(&self) -> Result<Session> {
        let access = self.plan.access.to(self.side);
        Session::open(self.engine, self.container, &access, self.loader).await
    }

    async fn install_aids(&self) -> Result<()> {
        let aids = &self.plan.aids;
        if aids.is_empty() {
            return Ok(());
        }
        let installing = async {
            let mut session = self.inside().await?;
            aids.install(&mut session).await?;
            session.close().await;
            Ok(())
        };
        self.interrupt.or(installing).await?
    }

    async fn remove_aids(&self) -> Result<()> {
        let aids = &self.plan.aids;
        if aids.is_empty() {
            return Ok(());
        }
        self.progress.step("adding what was put off");
        let removing = async {
            let mut session = self.inside().await?;
            aids.remove(&mut session).await?;
            session.close().await;
            Ok(())
        };
        self.interrupt.or(removing).await?
    }

    async fn by_one(&self, admin: &mut Session, loaders: &Loaders<'_>) -> Result<Attempt> {
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
        let Loaded { summary, notes } = match self.interrupt.or(loading).await? {
            Ok(loaded) => loaded,
            Err(failure) => return Err(self.explained(failure).await),
        };
        if plan.rows.is_some_and(|rows| rows != summary.rows()) {
            return Err(error::integrity(format!(
                "the row counts in the manifest of {} are not those of the file",
                plan.source.name()
            ))
            .hint("the manifest was edited; without it the file is checked by its own structure"));
        }
        if let Some(dump) = summary.encoding.as_deref().filter(|_| plan.sha256.is_none()) {
            // A pipe is read for the first time.
            let like = Like::Encoding(self.properties.encoding.clone());
            preflight::encoding(admin, (&like, false), (dump, summary.text), &mut Vec::new()).await?;
        }
        Ok(Attempt::Counted(Box::new(summary), notes))
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
        let mut session = self.inside().await?;
        let counted = count::all(&mut session, summary).await?;
        session.close().await;
        Ok(counted)
    }

    /// As it was before anything was loaded.
    async fn empty(&self, admin: &mut Session) -> Result<()> {
        side::again(admin, self.side, self.loader, self.properties, &self.plan.operation).await?;
        self.install_aids().await
    }
}
