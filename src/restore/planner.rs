//! Planning of a restore: looks at the target, decides what is loaded and over how many sessions. Nothing is changed.

use std::sync::Arc;
use std::time::Duration;

use super::data_only::{DataOnly, DataOnlyPlan};
use super::load::parallel::share_out;
use super::load::parallel_archive::ParallelArchive;
use super::run::look;
use crate::cancel::CancelToken;
use crate::docker::Container;
use crate::dump::format::Format;
use crate::dump::sql::Rules;
use crate::error::{self, Result};
use crate::operation::Operation;
use crate::postgres::preflight::{self, Findings};
use crate::postgres::search_path::SearchPath;
use crate::postgres::tools::runner::{Transport, TransportOptions};
use crate::postgres::{Access, Session};
use crate::repository::authenticity::Authenticity;
use crate::restore::all_databases::Roles;
use crate::restore::examine::{DumpSource, ExaminedDump, InputOptions, from_a_file};
use crate::restore::load_workarounds::LoadWorkarounds;
use crate::restore::plan::{ParallelPlan, RestorePlan};
use crate::text::units::{age, count, moment};

/// Dump to restore, and the database to restore it to.
pub(crate) struct RestoreInput<'a> {
    pub(crate) source: DumpSource,
    pub(crate) examined: Option<&'a ExaminedDump>,
    pub(crate) asked: InputOptions,
    /// Roles that are made first.
    pub(crate) roles: Roles,
    pub(crate) database: String,
    /// Encoding for a database that does not exist yet, if known.
    pub(crate) encoding: Option<&'a str>,
}

/// Options of a restore, from the command line and the settings.
#[derive(Clone, Debug)]
pub(crate) struct RestoreOptions {
    pub(crate) operation: Operation,
    /// Unpacking threads.
    pub(crate) threads: usize,
    /// Number of load sessions that was asked for; `None`: as the dump is worth it.
    pub(crate) jobs: Option<u8>,
    /// Transports that may carry the bytes.
    pub(crate) transport_options: TransportOptions,
    /// Longest wait for envctl's own lock.
    pub(crate) lock_limit: Duration,
    /// `--trust`.
    pub(crate) trust: bool,
    /// `--no-backup`.
    pub(crate) no_backup: bool,
    /// Analyzes the tables before the swap.
    pub(crate) analyze: bool,
    /// Aids for a dump that does not load as it is.
    pub(crate) aids: LoadWorkarounds,
}

/// Plans a restore. Also gives why one session loads it, where that is a detail.
///
/// # Errors
/// Kind `Refused`: the dump cannot go into this database.
pub(crate) async fn plan(
    container: &Container,
    access: &Access,
    input: RestoreInput<'_>,
    options: &RestoreOptions,
) -> Result<(RestorePlan, Option<String>)> {
    let RestoreInput { source, examined, asked, database, encoding, .. } = &input;
    let examined = *examined;
    let cancel = &options.operation.cancel;
    let looked_into = examined.map(|examined| (examined, asked));
    let looking = look(container, access, database, looked_into, *encoding);
    let (exists, version, mut findings) = cancel.run_until_cancelled(looking).await??;
    findings
        .warnings
        .extend(examined.and_then(|examined| unauthenticated(&examined.authenticity, options.trust)));
    findings.warnings.extend(examined.iter().flat_map(|examined| examined.notes.iter().cloned()));
    findings.warnings.extend(examined.and_then(behind));
    let manifest = examined.and_then(|examined| examined.manifest.as_ref());
    if findings.in_place {
        in_place(&options.aids, source, database, &asked.command)?;
    }
    let data_only =
        cancel.run_until_cancelled(data_only(container, access, &input, exists, &findings)).await??;
    if manifest.is_some_and(|manifest| !manifest.whole) && exists && data_only.is_none() {
        return Err(error::refused(format!(
            "{} holds only a part of its database and would replace all of {database:?}",
            source.name()
        ))
        .hint("put it into a database of its own: `--into NAME`"));
    }
    let mut transport_options = options.transport_options.clone();
    let InputOptions { mut rules, command, keyring, .. } = asked.clone();
    rules.database = examined.and_then(|examined| examined.taken.clone());
    rules.triggers =
        data_only.is_some() && examined.is_some_and(|examined| examined.summary.notes.rows.triggers > 0);
    let mut left_out = examined.map(|examined| examined.left_out.clone()).unwrap_or_default();
    left_out.merge(rules.adapt(examined.map(|examined| &examined.summary.notes), &findings.unknown_settings));
    let jobs = options.jobs.unwrap_or_else(|| {
        let ours =
            examined.filter(|dump| dump.format == Format::Plain && dump.authenticity.is_authenticated());
        usual_jobs(ours.map_or(0, |dump| dump.summary.bytes), options.threads)
    });
    let (shared, detail) = if findings.in_place {
        (None, Some("one session loads it, in one transaction".to_owned()))
    } else {
        match shared(&input, &rules, jobs, transport_options.transport, cancel).await? {
            Some(Err(reason)) => {
                let aside = format!("ignoring -j {jobs}, one session loads it: {reason}");
                if options.jobs.is_some() {
                    findings.warnings.push(aside);
                    (None, None)
                } else {
                    (None, Some(aside))
                }
            }
            Some(Ok(shared)) => (Some(shared), None),
            None => (None, None),
        }
    };
    transport_options.disk = source.home()?;
    let plan = RestorePlan {
        operation: options.operation.with_new_id(),
        origin: origin(examined, options.operation.started),
        analyze: options.analyze,
        backup_first: exists && !options.no_backup && !findings.in_place,
        exists,
        database: input.database,
        access: access.clone(),
        version,
        findings,
        authenticity: examined.map_or(Authenticity::NoManifest, |examined| examined.authenticity.clone()),
        trust: options.trust,
        command,
        rules,
        data_only,
        left_out,
        extensions: examined.map(|one| one.summary.extension_places.clone()).unwrap_or_default(),
        tablespaces: examined.map(|one| one.summary.tablespaces.clone()).unwrap_or_default(),
        roles: input.roles,
        taken: examined.and_then(|examined| examined.taken.clone()),
        sha256: examined.map(|examined| examined.sha256),
        bytes: examined.map(|examined| examined.summary.bytes),
        format: examined.map(|examined| examined.format),
        rows: examined.map(|examined| examined.summary.rows()),
        shared,
        aids: options.aids.clone(),
        source_path: manifest
            .map(|manifest| SearchPath::of(manifest.search_path.clone()))
            .unwrap_or_default(),
        threads: options.threads,
        lock_limit: options.lock_limit,
        transport_options,
        keyring,
        source: input.source,
        properties: None,
    };
    Ok((plan, detail))
}

/// Refuses what cannot be done in one transaction in the database itself.
fn in_place(aids: &LoadWorkarounds, source: &DumpSource, database: &str, command: &str) -> Result<()> {
    if source.path().is_none() {
        return Err(error::refused(format!(
            "a pipe is verified only after the load, and the role may only fill {database:?} itself"
        ))
        .hint(from_a_file(command)));
    }
    if !aids.search_path.schemas().is_empty() || aids.defer_checks {
        return Err(error::refused("only a superuser can use --search-path and --defer-checks")
            .hint("name a superuser in envctl.toml: `[database] user = \"…\"`"));
    }
    Ok(())
}

/// Describes a manifest that vouches for nothing, and the way out.
fn unauthenticated(authenticity: &Authenticity, trust: bool) -> Option<String> {
    let doubt = authenticity.doubt()?;
    Some(if trust {
        format!("{doubt}; `--trust` lets pass what it would run")
    } else {
        format!(
            "{doubt}: the file was scanned like one of unknown origin; \
             a key shared by a team is named by `backup.manifest_key_file`"
        )
    })
}

/// The note on statements behind the trailer.
fn behind(examined: &ExaminedDump) -> Option<String> {
    let behind = examined.summary.notes.behind;
    (behind > 0).then(|| {
        let statements = if behind == 1 { "statement follows" } else { "statements follow" };
        format!("{} {statements} the end of the dump, run with it", count(behind))
    })
}

/// From here on a second session is worth its start; two ask no more of a server than the application did.
const WORTH_TWO: u64 = 64 << 20;

fn usual_jobs(plain_bytes: u64, threads: usize) -> u8 {
    if plain_bytes >= WORTH_TWO && threads > 1 { 2 } else { 1 }
}

/// Shares the dump out over `-j N` sessions, or gives the reason why one session loads it; `None` where one was asked for.
async fn shared(
    input: &RestoreInput<'_>,
    rules: &Rules,
    jobs: u8,
    transport: Transport,
    cancel: &CancelToken,
) -> Result<Option<std::result::Result<ParallelPlan, &'static str>>> {
    let RestoreInput { source, examined, asked, .. } = input;
    // An archive is read by a worker itself, or passes the daemon.
    let by_worker = transport == Transport::Worker
        && examined.is_some_and(|examined| examined.format != Format::Plain)
        && source.path().is_some();
    if jobs == 1 && !by_worker {
        return Ok(None);
    }
    let shared = match (source.path(), examined) {
        (Some(_), Some(examined))
            if rules.triggers || (examined.format == Format::Plain && !rules.is_empty()) =>
        {
            Err("statements of it are left out or changed")
        }
        (Some(path), Some(examined)) if examined.format == Format::Plain => {
            share_out(path, examined, jobs, &asked.keyring)?
                .map(|shared| ParallelPlan::Plain(Arc::new(shared)))
        }
        (Some(path), Some(examined)) => {
            let spread = ParallelArchive::of(path, examined, jobs, cancel).await?;
            spread.map(|spread| ParallelPlan::Archive(Arc::new(spread)))
        }
        _ => Err("a pipe can only be read from its start"),
    };
    Ok(Some(shared))
}

/// Decides what the rows replace in `database`; `None` where the dump holds more than rows.
///
/// # Errors
/// Kind `Refused`: the database or one of the tables is not there, or there is no space for a copy of what stays.
async fn data_only(
    container: &Container,
    access: &Access,
    input: &RestoreInput<'_>,
    exists: bool,
    findings: &Findings,
) -> Result<Option<DataOnlyPlan>> {
    let RestoreInput { source, examined: Some(examined), database, .. } = input else { return Ok(None) };
    let Some(rows) = DataOnly::of(&examined.summary, examined.format != Format::Plain) else {
        return Ok(None);
    };
    if !exists {
        return Err(error::refused(format!(
            "{} holds rows and no tables, and there is no database {database:?} to have them",
            source.name()
        ))
        .hint(
            "restore a dump that holds the tables first, or name a database that has them: `--into NAME`",
        ));
    }
    let mut session = Session::open(container, &access.to(database), "envctl restore").await?;
    let plan = rows.decide(&mut session, &source.name()).await?;
    session.close().await;
    let needed = findings.size + examined.summary.bytes;
    preflight::space(container, findings.data_directory.as_deref(), needed).await?;
    Ok(Some(plan))
}

fn origin(examined: Option<&ExaminedDump>, now: jiff::Timestamp) -> String {
    let Some(examined) = examined else { return "stdin; it is verified before the swap".to_owned() };
    match &examined.manifest {
        Some(manifest) => format!(
            "{} {}, database {}, PostgreSQL {}, {} ({})",
            manifest.source.stack,
            manifest.source.profile.as_deref().unwrap_or("(profile unknown)"),
            manifest.database,
            manifest.server_version,
            moment(manifest.started),
            age(manifest.started, now)
        ),
        None => format!(
            "a file without a manifest, PostgreSQL {}; its own end is there",
            examined.summary.server_version.as_deref().unwrap_or("unknown")
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_session_has_to_be_worth_its_start() {
        assert_eq!((usual_jobs(0, 8), usual_jobs(WORTH_TWO - 1, 8)), (1, 1));
        assert_eq!((usual_jobs(WORTH_TWO, 8), usual_jobs(u64::MAX, 1)), (2, 1));
    }
}
