//! Restoring: look, ask, load beside, compare, swap. The database is wholly old or wholly new.
//!
//! The plan is a value that a person agreed to; what carries it out decides nothing.

use std::sync::Arc;
use std::time::Duration;

use super::analyze;
use super::data_only::LiveDatabase;
use super::loading_role::{self, LoadingRole};
use crate::consent::Confirmed;
use crate::databases::properties::Properties;
use crate::databases::swap::{SwapPlan, kept_name, staging_name};
use crate::databases::{staging, swap};
use crate::docker::Container;
use crate::dump::format::Format;
use crate::error::{self, Error, ErrorKind, Result};
use crate::operation::{Operation, SessionRole};
use crate::postgres::lock::{self, LockMode};
use crate::postgres::preflight::{self, CreateFrom, Findings};
use crate::postgres::session_terminator::SessionTerminator;
use crate::postgres::tools::load_runner::LoadRunner;
use crate::postgres::tools::load_settings::LoadSettings;
use crate::postgres::tools::pg_restore;
use crate::postgres::tools::runner::DumpKind;
use crate::postgres::version::ServerVersion;
use crate::postgres::{Access, Session, maintenance_database, orphan_sessions};
use crate::progress::{Event, Progress};
use crate::restore::all_databases;
use crate::restore::examine::{ExaminedDump, InputOptions};
use crate::restore::load::in_place_check;
use crate::restore::load::staging_load::{LoadTotals, StagingLoad};
use crate::restore::plan::{ParallelPlan, RestorePlan};

/// A restore that took place.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Restored {
    pub(crate) database: String,
    /// Rows loaded and compared with the dump; counted on the server where the dump does not tell them.
    pub(crate) rows: u64,
    /// Tables loaded.
    pub(crate) tables: usize,
    /// Bytes of SQL.
    pub(crate) bytes: u64,
    /// Name of the previous database.
    pub(crate) previous_database: Option<String>,
    /// Time that ANALYZE took, in milliseconds; `None` where it was left out or failed.
    pub(crate) analyzed_in_ms: Option<u64>,
    /// Tables with more rows than the dump has for them, and what wrote them.
    pub(crate) notes: Vec<String>,
}

/// Checks the target before the user is asked for consent.
/// `encoding` is the encoding of a database that does not exist yet, if known.
///
/// # Errors
/// Kind `Refused`: it cannot work, or would lose something silently; nothing was changed.
pub(crate) async fn look(
    container: &Container,
    access: &Access,
    database: &str,
    examined: Option<(&ExaminedDump, &InputOptions)>,
    encoding: Option<&str>,
) -> Result<(bool, ServerVersion, Findings)> {
    let mut session =
        maintenance_database::outside(container, access, Some(database), "envctl restore").await?;
    let needs = examined.map(|(examined, asked)| preflight::DumpRequirements {
        settings: examined.summary.notes.settings.keys().cloned().collect(),
        no_owner: asked.rules.no_owner,
        no_privileges: asked.rules.no_privileges,
        command: asked.command.clone(),
        server_major: examined.summary.server_major(),
        restrict: examined.summary.restrict_key.is_some(),
        roles: examined.summary.roles.clone(),
        extensions: examined.summary.extensions.clone(),
        tablespaces: examined.summary.tablespaces.clone(),
        encoding: examined.summary.encoding.clone(),
        text: examined.summary.text,
        bytes: examined.summary.bytes,
    });
    let like = encoding.map_or_else(
        || CreateFrom::Database(access.database.clone()),
        |encoding| CreateFrom::Encoding(encoding.to_owned()),
    );
    let result = preflight::look(&mut session, (database, &like), needs.as_ref()).await;
    if result.as_ref().is_ok_and(|(_, _, findings)| findings.in_place) {
        in_place_check::check(container, &access.to(database), examined.map(|(examined, _)| examined))
            .await?;
    }
    if let (Ok((_, version, findings)), Some(examined)) = (&result, examined.map(|(examined, _)| examined)) {
        readable(version, examined)?;
        let data = findings.data_directory.as_deref();
        preflight::space(container, data, examined.summary.bytes).await?;
    }
    session.close().await;
    result
}

/// An archive is read by the server's own `pg_restore`, which reads none that a newer pg_dump wrote.
fn readable(version: &ServerVersion, examined: &ExaminedDump) -> Result<()> {
    let made_by = examined.summary.pg_dump_version.as_deref().and_then(ServerVersion::parse);
    let Some(made_by) = made_by.filter(|_| examined.format != Format::Plain) else { return Ok(()) };
    if pg_restore::reads(version.major(), made_by.major()) {
        return Ok(());
    }
    Err(error::refused(format!(
        "the archive was made by pg_dump {made_by}, and the pg_restore of PostgreSQL {version} does not read it"
    ))
    .hint("restore it into a server of that version, or turn it into SQL there: `pg_restore -f dump.sql FILE`"))
}

/// Carries a plan out.
///
/// # Errors
/// See [`load`] and [`crate::databases::swap::swap`]. Unless the kind is `Unknown`, the database is as it was.
pub(crate) async fn run(container: &Container, plan: Confirmed<RestorePlan>) -> Result<Restored> {
    let plan = plan.into_plan();
    let Operation { cancel, progress, .. } = &plan.operation;
    let name = plan.operation.application_name(SessionRole::Restore);
    let locking = async {
        // The lock lives in the database that is replaced; a new one has nobody to share it with.
        if !plan.exists {
            return Ok(None);
        }
        let access = plan.access.to(&plan.database);
        let holding = lock::hold(container, &access, &name, LockMode::Exclusive, plan.lock_limit);
        cancel.run_until_cancelled(holding).await?.map(Some)
    };
    let opening = async {
        let standing = maintenance_database::outside(container, &plan.access, Some(&plan.database), &name);
        let (mut admin, lock) = tokio::try_join!(standing, locking)?;
        let canceller = SessionTerminator::of(&mut admin, &name).await;
        Ok::<_, Error>((admin, canceller, lock))
    };
    let (mut admin, canceller, lock) = Box::pin(cancel.run_until_cancelled(opening)).await??;
    let place = admin.access().clone();
    let staging = staging_name(&plan.operation.id, &plan.database);
    let preparing = async {
        tidy(&mut admin, progress).await?;
        if !plan.roles.missing.is_empty() {
            progress.step("creating roles");
            all_databases::create_roles(container, &place, &plan.roles).await?;
        }
        Ok(())
    };
    let result = match cancel.run_until_cancelled(preparing).await {
        Ok(Ok(())) => beside(container, &plan, &mut admin, &staging).await,
        Ok(Err(error)) | Err(error) => Err(error),
    };
    match result {
        Ok(restored) => {
            drop(lock);
            tokio::join!(admin.close(), async {
                if let Some(canceller) = canceller {
                    canceller.close().await;
                }
            });
            Ok(restored)
        }
        Err(error) if error.kind() == ErrorKind::Unknown => Err(error),
        Err(error) => {
            // A cancelled session may still be inside of a statement, and that may wait.
            let admin = match canceller {
                Some(canceller) if matches!(error.kind(), ErrorKind::Cancelled(_)) => canceller.end().await,
                _ => admin,
            };
            let role = loading_role::name_of(&plan.operation.id);
            let loader = plan.operation.application_name(SessionRole::Load);
            let cleaning = staging::clean_up(admin, &staging, &role, &loader);
            let cleaned = tokio::time::timeout(Duration::from_secs(20), cleaning).await.unwrap_or(false);
            Err(if cleaned {
                error
            } else {
                error.note(format!(
                    "the staging database {staging:?} is still there; the next restore removes it"
                ))
            })
        }
    }
}

/// Removes what restores that were killed have left on the server.
async fn tidy(admin: &mut Session, progress: &Arc<dyn Progress>) -> Result<()> {
    for orphan in orphan_sessions::end(admin).await.unwrap_or_default() {
        progress
            .on(Event::Warning(format!("ended the session {orphan}, orphan of an envctl that was killed")));
    }
    for left_database in staging::sweep(admin).await? {
        progress
            .on(Event::Warning(format!("removed {left_database:?}, orphan of a restore that was killed")));
    }
    for role in loading_role::sweep(admin).await.unwrap_or_default() {
        progress.on(Event::Warning(format!("dropped role {role:?}, orphan of a restore that was killed")));
    }
    Ok(())
}

async fn beside(
    container: &Container,
    plan: &RestorePlan,
    admin: &mut Session,
    staging: &str,
) -> Result<Restored> {
    let Operation { cancel, progress, .. } = &plan.operation;
    let live = match &plan.data_only {
        Some(rows) => {
            progress.step("locking the tables against writers");
            let access = plan.access.to(&plan.database);
            let holding = LiveDatabase::hold(container, rows, &access, &plan.operation, plan.lock_limit);
            Some(cancel.run_until_cancelled(holding).await??)
        }
        None => None,
    };
    let staging = if plan.findings.in_place { &plan.database } else { staging };
    let creating = async {
        let properties = model(plan, admin).await?;
        let role = if plan.is_foreign() { LoadingRole::make(admin, plan).await? } else { None };
        if plan.findings.in_place {
            in_place_check::check(container, &plan.access.to(staging), None).await?;
        } else {
            progress.step(&format!("creating {staging}"));
            staging::create(admin, staging, &properties, &plan.operation.id).await?;
        }
        Ok::<_, Error>((properties, role))
    };
    let (properties, role) = cancel.run_until_cancelled(creating).await??;
    progress.step(&format!("loading {}", plan.source.name()));
    let expected = match plan.shared {
        // Only a worker can read the file itself.
        Some(ParallelPlan::Archive(_)) => u64::MAX,
        // What nobody has counted yet (a pipe) may be large.
        _ => plan.bytes.unwrap_or(u64::MAX),
    };
    let runner = plan.transport_options.choose(admin, &plan.operation, DumpKind::Files, expected).await?;
    let loading = cancel.run_until_cancelled(LoadSettings::of(admin)).await??;
    let loaders = LoadRunner::new(runner, &plan.operation, loading);
    let loader = plan.operation.application_name(SessionRole::Load);
    let filling = StagingLoad {
        container,
        plan,
        staging,
        loader: &loader,
        properties: &properties,
        role: role.as_ref(),
        live: live.as_ref(),
    };
    let filled = match fill(&filling, admin, &loaders).await {
        Ok(filled) => filled,
        Err(error) => {
            loaders.end().await;
            return Err(error);
        }
    };
    if plan.findings.in_place {
        loaders.end().await;
        progress.on(Event::Done);
        return Ok(filled);
    }
    progress.step("swapping");
    let swap_plan = SwapPlan {
        live: plan.database.clone(),
        exists: plan.exists,
        incoming: staging.to_owned(),
        kept: kept_name(&plan.operation.id, &plan.database),
        operation: plan.operation.clone(),
        given: plan.properties.clone(),
    };
    // From here on Ctrl-C waits: the swap takes a second, and half of it does not exist.
    let swapping = swap::swap(container, &plan.access, &plan.version, &swap_plan);
    // What loaded has disconnected; removing it takes as long as the swap.
    let (swapped, ()) = tokio::join!(swapping, loaders.end());
    for statement in swapped? {
        progress.on(Event::Warning(swap::not_copied(&statement)));
    }
    progress.on(Event::Done);
    Ok(Restored { previous_database: plan.exists.then_some(swap_plan.kept), ..filled })
}

/// Loads the dump into its database, sets owners and rights, and analyzes the tables.
async fn fill(filling: &StagingLoad<'_>, admin: &mut Session, loaders: &LoadRunner<'_>) -> Result<Restored> {
    let StagingLoad { plan, staging, properties, role, .. } = filling;
    let LoadTotals { rows, tables, bytes, notes, unfinished } = filling.run(admin, loaders).await?;
    let Operation { cancel, progress, .. } = &plan.operation;
    if let (Some(role), Some(unfinished)) = (role, unfinished) {
        progress.step("setting owners and rights");
        let finishing = role.finish(filling.target(), admin, unfinished, &properties.owner);
        cancel.run_until_cancelled(finishing).await.flatten()?;
    }
    let mut analyzed = None;
    if plan.analyze {
        analyzed = analyze::run(filling.container, &plan.access.to(staging), &plan.operation).await?;
    }
    Ok(Restored {
        database: plan.database.clone(),
        rows,
        tables,
        bytes,
        previous_database: None,
        analyzed_in_ms: analyzed.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        notes,
    })
}

/// Returns the properties for the staging database.
async fn model(plan: &RestorePlan, admin: &mut Session) -> Result<Properties> {
    if let Some(known) = plan.properties.clone().filter(|_| !plan.exists) {
        return Ok(known);
    }
    let model = if plan.exists { &plan.database } else { &plan.access.database };
    let mut properties = Properties::read(admin, &plan.version, model).await?;
    if properties.is_none() {
        properties = Properties::read(admin, &plan.version, "template1").await?;
    }
    let properties = properties.unwrap_or_default();
    Ok(match &plan.findings.new_encoding {
        Some(encoding) => properties.in_encoding(encoding),
        None => properties,
    })
}
