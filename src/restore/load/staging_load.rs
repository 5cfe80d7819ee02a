//! Filling the staging database: over one session or several, and where several come to nothing, by one from its
//! beginning.
//!
//! Promises: a second attempt begins with an empty database and never in what the first has left; several sessions
//! make no restore fail that one session would have carried out.

use crate::databases::properties::Properties;
use crate::databases::staging;
use crate::docker::Container;
use crate::docker::exec::verified_stream::with_whereabouts;
use crate::dump::sql::{Rules, Summary};
use crate::error::{self, Error, Result};
use crate::operation::Operation;
use crate::postgres::preflight::{self, CreateFrom};
use crate::postgres::tools::load_runner::LoadRunner;
use crate::postgres::tools::statement_error::{Complaint, LoadFailure};
use crate::postgres::{Access, Session};
use crate::progress::Event;
use crate::restore::data_only::LiveDatabase;
use crate::restore::examine::from_a_file;
use crate::restore::failure_cause::FailureCause;
use crate::restore::load::parallel;
use crate::restore::load::parallel_archive::{LoadRemainder, ParallelArchive};
use crate::restore::load::request::{LoadRequest, LoadedDump};
use crate::restore::load::sql::load;
use crate::restore::loading_role::{LoadingRole, PreparedStaging, StagingTarget, UnfinishedRole};
use crate::restore::plan::{ParallelPlan, RestorePlan};
use crate::restore::{failure_cause, loading_role, row_counts};

/// A staging database that is to be filled.
pub(crate) struct StagingLoad<'a> {
    pub(crate) container: &'a Container,
    pub(crate) plan: &'a RestorePlan,
    /// Name of the staging database.
    pub(crate) staging: &'a str,
    /// Application name of the load sessions.
    pub(crate) loader: &'a str,
    /// Properties of the staging database.
    pub(crate) properties: &'a Properties,
    /// The role that loads a dump which nobody vouches for, where that is not the connecting one.
    pub(crate) role: Option<&'a LoadingRole>,
    /// The live database, where the dump holds rows alone.
    pub(crate) live: Option<&'a LiveDatabase<'a>>,
}

/// Content of the filled staging database.
pub(crate) struct LoadTotals {
    pub(crate) rows: u64,
    pub(crate) tables: usize,
    /// Bytes of SQL.
    pub(crate) bytes: u64,
    /// Work of the loading role that is still to be finished.
    pub(crate) unfinished: Option<UnfinishedRole>,
    /// Tables with more rows than the dump has for them, and what wrote them.
    pub(crate) notes: Vec<String>,
}

/// A load that came to its end.
enum Attempt {
    /// Rows, tables and bytes are already known.
    Known(Box<LoadTotals>),
    /// Summary of the dump, and what its load has left.
    Counted(Box<Summary>, LoadRemainder),
}

/// The database as it is made ready for those who load.
struct LoadTarget {
    /// Access of the role that loads.
    access: Access,
    /// Rules by which it loads.
    rules: Rules,
    /// Preparation for a separate loading role.
    apart: Option<PreparedStaging>,
}

impl StagingLoad<'_> {
    /// Fills it; `admin` is a session beside it.
    ///
    /// # Errors
    /// See [`load`], [`crate::restore::load::parallel::load`] and [`crate::dump::archive`].
    pub(crate) async fn run(&self, admin: &mut Session, loaders: &LoadRunner<'_>) -> Result<LoadTotals> {
        match self.fill(admin, loaders).await {
            Err(error) => {
                let error = if self.role.is_some() { loading_role::explain(error) } else { error };
                Err(with_whereabouts(self.container, error).await)
            }
            filled => filled,
        }
    }

    /// Returns the staging database as the loading role is let into it.
    pub(crate) fn target(&self) -> StagingTarget<'_> {
        let Self { container, plan, staging, loader, .. } = *self;
        StagingTarget { container, plan, staging, application: loader }
    }

    async fn fill(&self, admin: &mut Session, loaders: &LoadRunner<'_>) -> Result<LoadTotals> {
        if self.role.is_some() && self.plan.aids.defer_checks {
            // They are added by a superuser, with whose rights the functions in them would run.
            return Err(error::refused(
                "`--defer-checks` adds the CHECKs of an untrusted file as a superuser",
            )
            .hint("add `--trust` if you know where the file comes from"));
        }
        self.install_aids().await?;
        let (attempt, target) = self.attempts(admin, loaders).await?;
        if self.live.is_none() {
            self.remove_aids().await?;
        }
        let filled = match attempt {
            Attempt::Known(filled) => *filled,
            Attempt::Counted(summary, remainder) => self.filled(&summary, remainder, target).await?,
        };
        if let Some(live) = self.live {
            self.plan.operation.progress.step("adding indexes and keys");
            let source = self.plan.source.name();
            self.plan.operation.cancel.run_until_cancelled(live.finish(self.staging, &source)).await??;
            self.remove_aids().await?;
        }
        Ok(filled)
    }

    /// Loads over as many sessions as the plan has; what they are refused one loads again, in the dump's own order.
    async fn attempts(&self, admin: &mut Session, loaders: &LoadRunner<'_>) -> Result<(Attempt, LoadTarget)> {
        let Self { plan, .. } = self;
        let Operation { cancel, .. } = &plan.operation;
        let mut target = self.prepare(admin).await?;
        match &plan.shared {
            Some(ParallelPlan::Plain(shared)) => {
                let loading = parallel::load(loaders, &target.access, shared);
                match cancel.run_until_cancelled(loading).await? {
                    Ok(()) => {
                        let (rows, tables, bytes) = shared.holds();
                        let filled = LoadTotals { rows, tables, bytes, notes: Vec::new(), unfinished: None };
                        return Ok((Attempt::Known(Box::new(filled)), target));
                    }
                    Err(failure) => self.once_more(admin, failure, shared.jobs(), &mut target).await?,
                }
            }
            Some(ParallelPlan::Archive(spread)) => {
                let counted = |remainder| Attempt::Counted(Box::new(spread.summary().clone()), remainder);
                match self.by_pg_restore(loaders, spread, spread.jobs(), &target).await {
                    Ok(Some(loaded)) => return Ok((counted(loaded), target)),
                    // It may have had one connection and not the next.
                    Ok(None) => self.empty(admin, &mut target).await?,
                    Err(failure) if spread.jobs() == 1 => {
                        return Err(self.explained(failure, &target.access).await);
                    }
                    Err(failure) => {
                        self.once_more(admin, failure, usize::from(spread.jobs()), &mut target).await?;
                        match self.by_pg_restore(loaders, spread, 1, &target).await {
                            Ok(Some(loaded)) => return Ok((counted(loaded), target)),
                            Ok(None) => self.empty(admin, &mut target).await?,
                            Err(failure) => return Err(self.explained(failure, &target.access).await),
                        }
                    }
                }
            }
            None => {}
        }
        let attempt = self.by_one(admin, loaders, &target).await?;
        Ok((attempt, target))
    }

    /// Makes the database ready for those who load.
    async fn prepare(&self, admin: &mut Session) -> Result<LoadTarget> {
        let plan = self.plan;
        let mut rules = plan.rules.clone();
        rules.restricted = plan.is_foreign() && plan.version.psql_knows_restrict();
        if let Some(live) = self.live {
            self.plan.operation.progress.step("copying what stays from the live database");
            self.plan.operation.cancel.run_until_cancelled(live.prepare(self.staging)).await??;
        }
        let Some(role) = self.role else {
            return Ok(LoadTarget { access: plan.access.to(self.staging), rules, apart: None });
        };
        let preparing = role.prepare(self.target(), admin);
        let prepared = self.plan.operation.cancel.run_until_cancelled(preparing).await??;
        if let Some(live) = self.live {
            let name = loading_role::name_of(&plan.operation.id);
            let admitting = live.admit(self.staging, &name);
            self.plan.operation.cancel.run_until_cancelled(admitting).await??;
        }
        rules.apart = Some(prepared.apart.clone());
        Ok(LoadTarget { access: prepared.access.clone(), rules, apart: Some(prepared) })
    }

    /// Empties the database for one session, where the statement that several were refused may be one of order: a
    /// CHECK may read another table through a function, and nothing in a dump says that its tables need each other.
    ///
    /// # Errors
    /// The failure itself, where one session would fare no better.
    async fn once_more(
        &self,
        admin: &mut Session,
        failure: LoadFailure,
        sessions: usize,
        target: &mut LoadTarget,
    ) -> Result<()> {
        let Some(complaint) = failure.complaint.clone() else { return Err(failure.error) };
        let cause = self.cause(&complaint, &target.access).await;
        if matches!(cause, Some(FailureCause::SearchPath { .. })) {
            return Err(self.told(failure.error, &complaint, cause));
        }
        self.plan.operation.progress.on(Event::Warning(format!(
            "the load with {sessions} sessions failed; one session loads the dump again, in its own order: {}",
            complaint.first()
        )));
        self.empty(admin, target).await
    }

    async fn by_pg_restore(
        &self,
        loaders: &LoadRunner<'_>,
        spread: &ParallelArchive,
        jobs: u8,
        target: &LoadTarget,
    ) -> Result<Option<LoadRemainder>, LoadFailure> {
        spread.load(loaders, &target.access, &target.rules, jobs).await
    }

    /// The failure with its cause, where the staging database tells one.
    async fn explained(&self, failure: LoadFailure, access: &Access) -> Error {
        let Some(complaint) = failure.complaint else { return failure.error };
        let cause = self.cause(&complaint, access).await;
        let error = self.told(failure.error, &complaint, cause);
        if self.plan.source.path().is_none() && complaint.names_missing_relation() {
            return error.hint(from_a_file(&self.plan.command));
        }
        error
    }

    fn told(&self, error: Error, complaint: &Complaint, cause: Option<FailureCause>) -> Error {
        let plan = self.plan;
        match cause {
            Some(cause) => cause.tell(error, complaint, &plan.source_path, &plan.aids.search_path),
            None => error,
        }
    }

    /// The cause of a refused statement; `None` too where the server cannot be asked: the refusal is told all the same.
    async fn cause(&self, complaint: &Complaint, access: &Access) -> Option<FailureCause> {
        let looking = async {
            let mut session = self.open(access).await.ok()?;
            let cause = failure_cause::find_cause(&mut session, complaint).await.ok()?;
            session.close().await;
            cause
        };
        self.plan.operation.cancel.run_until_cancelled(looking).await.ok()?
    }

    /// A session in the staging database.
    async fn inside(&self) -> Result<Session> {
        self.open(&self.plan.access.to(self.staging)).await
    }

    async fn open(&self, access: &Access) -> Result<Session> {
        Session::open(self.container, access, self.loader).await
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
        self.plan.operation.cancel.run_until_cancelled(installing).await?
    }

    async fn remove_aids(&self) -> Result<()> {
        let aids = &self.plan.aids;
        if aids.is_empty() {
            return Ok(());
        }
        self.plan.operation.progress.step("adding what was put off");
        let removing = async {
            let mut session = self.inside().await?;
            aids.remove(&mut session).await?;
            session.close().await;
            Ok(())
        };
        self.plan.operation.cancel.run_until_cancelled(removing).await?
    }

    async fn by_one(
        &self,
        admin: &mut Session,
        loaders: &LoadRunner<'_>,
        target: &LoadTarget,
    ) -> Result<Attempt> {
        let plan = self.plan;
        let request = LoadRequest {
            source: plan.source.clone(),
            keyring: plan.keyring.clone(),
            command: plan.command.clone(),
            authenticity: plan.authenticity.clone(),
            trust: plan.trust,
            doubtful: plan.is_foreign() && !target.rules.restricted,
            rules: target.rules.clone(),
            sha256: plan.sha256,
            expected: plan.bytes,
            threads: plan.threads,
            application: self.loader.to_owned(),
            loading: loaders.loading(),
            one_transaction: plan.findings.in_place,
        };
        let loading = load(self.container, &target.access, loaders, &request, &plan.operation.progress);
        let LoadedDump { summary, mut notes, left_out } =
            match self.plan.operation.cancel.run_until_cancelled(loading).await? {
                Ok(loaded) => loaded,
                Err(failure) => return Err(self.explained(failure, &target.access).await),
            };
        if plan.rows.is_some_and(|rows| rows != summary.rows()) {
            return Err(error::integrity(format!(
                "the row counts in the manifest of {} are not those of the file",
                plan.source.name()
            ))
            .note("the manifest was edited; without it the file is checked by its own structure"));
        }
        // A pipe is read for the first time.
        if let Some(dump) = summary.encoding.as_deref().filter(|_| plan.sha256.is_none()) {
            let like = CreateFrom::Encoding(self.properties.encoding.clone());
            preflight::encoding(admin, (&like, false), (dump, summary.text), &mut Vec::new()).await?;
        }
        if plan.sha256.is_none() && !left_out.is_empty() {
            notes.push(format!("left out: {left_out}"));
        }
        Ok(Attempt::Counted(Box::new(summary), LoadRemainder { notes, deferred: left_out.deferred }))
    }

    /// Counts on the server what the dump does not tell.
    async fn filled(
        &self,
        summary: &Summary,
        LoadRemainder { notes, deferred }: LoadRemainder,
        target: LoadTarget,
    ) -> Result<LoadTotals> {
        let (rows, tables) = if row_counts::is_uncounted(summary) {
            self.plan.operation.progress.step("counting what was loaded");
            match self.live {
                Some(live) => {
                    self.plan.operation.cancel.run_until_cancelled(live.count(self.staging)).await??
                }
                None => {
                    self.plan
                        .operation
                        .cancel
                        .run_until_cancelled(self.counted(summary, &target.access))
                        .await??
                }
            }
        } else {
            (summary.rows(), summary.copies.len())
        };
        let unfinished = target.apart.map(|prepared| UnfinishedRole { prepared, deferred });
        Ok(LoadTotals { rows, tables, bytes: summary.bytes, notes, unfinished })
    }

    /// Counts as the role that has loaded: a query of a superuser's would run code of the dump, in the conditions of
    /// its indexes.
    async fn counted(&self, summary: &Summary, access: &Access) -> Result<(u64, usize)> {
        let mut session = self.open(access).await?;
        let forced = row_counts::lift_policies(&mut session).await?;
        let counted = row_counts::all(&mut session, summary).await?;
        row_counts::restore_policies(&mut session, &forced).await?;
        session.close().await;
        Ok(counted)
    }

    /// Recreates the staging database and prepares it again for a load.
    async fn empty(&self, admin: &mut Session, target: &mut LoadTarget) -> Result<()> {
        let emptying =
            staging::again(admin, self.staging, self.loader, self.properties, &self.plan.operation.id);
        self.plan.operation.cancel.run_until_cancelled(emptying).await??;
        self.install_aids().await?;
        *target = self.prepare(admin).await?;
        Ok(())
    }
}
