//! A database that answers: what in it, or in its server, will hurt.
//!
//! Promises: looks through one open session and waits for no lock; what it says to type names its thing whole and can be
//! pasted as it is.

use super::{CheckFinding, StackPlace};
use crate::databases::previous;
use crate::databases::previous::PreviousDatabase;
use crate::error::{Error, Result};
use crate::operation::ApplicationName;
use crate::postgres::Session;
use crate::postgres::database_info::DatabaseInfo;
use crate::postgres::empty_databases;
use crate::postgres::health::{ClientTool, IdleInTransaction, Index, ServerHealth};
use crate::postgres::orphan_sessions;
use crate::postgres::tools::worker_access::ListenAddress;
use crate::text::shell_word::shell_word;
use crate::text::sql_quote::ident;
use crate::text::units::{bytes, count};

/// Observed state of one database.
#[derive(Clone, Debug)]
pub(crate) struct DatabaseReport {
    /// Version, size, history.
    pub(crate) facts: DatabaseInfo,
    /// Health of the database, or the reason for which it is unknown.
    pub(crate) health: std::result::Result<ServerHealth, String>,
    /// Previous databases on the server, or the reason for which they are unknown.
    pub(crate) kept: std::result::Result<Vec<PreviousDatabase>, String>,
    /// Sessions of killed runs, ended or only seen; or why that cannot be told.
    pub(crate) orphans: std::result::Result<Vec<ApplicationName>, String>,
    /// True where the orphan sessions were ended.
    pub(crate) ended: bool,
    /// True where the server listens on no TCP port, which a worker needs.
    pub(crate) deaf: bool,
    /// True where the database holds something of a user's; `None` where that is unknown.
    pub(crate) holds: Option<bool>,
}

/// Looks; ends what killed runs of envctl left in the server, unless it may only look.
///
/// # Errors
/// The server cannot be asked at all.
pub(crate) async fn look(session: &mut Session, only_look: bool) -> Result<DatabaseReport> {
    let facts = DatabaseInfo::read(session).await?;
    let orphans =
        if only_look { orphan_sessions::list(session).await } else { orphan_sessions::end(session).await };
    let orphans = orphans.map_err(|refusal| Error::from(refusal).full_message());
    let health =
        ServerHealth::read(session, &facts).await.map_err(|refusal| Error::from(refusal).full_message());
    let kept = previous::all(session).await.map_err(|error| error.full_message());
    let deaf = matches!(ListenAddress::of(session).await, Ok(Err(_)));
    let holds = empty_databases::is_empty(session).await.ok().map(|empty| !empty);
    Ok(DatabaseReport { deaf, holds, facts, health, kept, orphans, ended: !only_look })
}

/// So long may a session do nothing in a transaction.
const IDLE_LIMIT: u64 = 5 * 60;
/// From this age on the server wants to be vacuumed by hand: half of what there is.
const OLD: u64 = 1_000_000_000;
/// From this age on autovacuum drops everything else (`vacuum_failsafe_age`); at 2^31 the server takes no more writes.
const TOO_OLD: u64 = 1_600_000_000;

/// Returns the findings about a database, at least the one that names the database and the version.
pub(crate) fn judge(seen: &DatabaseReport, place: &StackPlace) -> Vec<CheckFinding> {
    let DatabaseReport { facts, .. } = seen;
    let name = format!("{}, PostgreSQL {}, {}", facts.database, facts.version, bytes(facts.size));
    let mut findings = vec![CheckFinding::ok("database", name)];
    match &seen.orphans {
        Ok(orphans) => findings.extend(orphans.iter().map(|orphan| orphaned(orphan, seen.ended))),
        Err(text) => findings.push(unseen("sessions of killed runs", text)),
    }
    match &seen.kept {
        Ok(kept) => findings.extend(kept_ones(kept, place)),
        Err(text) => findings.push(unseen("previous databases of restores", text)),
    }
    if seen.deaf {
        let what = "PostgreSQL listens on no TCP port, not even its own: dumps go through the daemon, which takes about twice as long";
        findings.push(
            CheckFinding::note("database", what)
                .next("let it listen inside its container: `listen_addresses = 'localhost'`"),
        );
    }
    match &seen.health {
        Ok(health) => findings.extend(ailments(health, facts, place)),
        Err(text) => findings.push(unseen("the health of the database", text)),
    }
    findings.into_iter().map(|finding| finding.at(place)).collect()
}

fn unseen(what: &str, text: &str) -> CheckFinding {
    CheckFinding::note("database", format!("{what} could not be looked for: {text}"))
}

fn orphaned(orphan: &ApplicationName, ended: bool) -> CheckFinding {
    if ended {
        CheckFinding::note("orphans", format!("ended the session {orphan}, orphan of a run that was killed"))
    } else {
        CheckFinding::warning(
            "orphans",
            format!("the session {orphan} goes on, orphan of a run that was killed"),
        )
        .next("end it: `envctl doctor`")
    }
}

fn kept_ones(kept: &[PreviousDatabase], place: &StackPlace) -> Option<CheckFinding> {
    let newest = kept.first()?;
    let size = bytes(kept.iter().map(|kept| kept.size).sum());
    let what = match kept.len() {
        1 => format!("one previous database of a restore: {} ({size})", newest.name),
        n => format!("{n} previous databases of restores ({size}), the newest {}", newest.name),
    };
    Some(CheckFinding::note("database", what).next(format!(
        "list them, and drop those that nobody needs: `envctl restore previous {}`",
        place.flags
    )))
}

/// Returns the findings about the health of a database.
fn ailments(health: &ServerHealth, facts: &DatabaseInfo, place: &StackPlace) -> Vec<CheckFinding> {
    let psql = |database: &str, sql: &str| {
        format!("`envctl psql {} -d {} -c {}`", place.flags, shell_word(database), shell_word(sql))
    };
    let mut findings = Vec::new();
    findings.extend(health.invalid.iter().map(|index| invalid(index, |sql| psql(&facts.database, sql))));
    findings.extend(health.idle.iter().filter(|idle| idle.seconds >= IDLE_LIMIT).map(|idle| {
        let end = format!("select pg_terminate_backend({})", idle.pid);
        waiting(idle).next(format!("end it: {}", psql(&facts.database, &end)))
    }));
    findings.extend(health.staging_databases.iter().filter(|staging| !staging.alive).map(|staging| {
        let size = staging.size.map(|size| format!(" ({})", bytes(size))).unwrap_or_default();
        let drop = format!("drop database {}", ident(&staging.name));
        CheckFinding::warning(
            "orphans",
            format!("the staging database {}{size} is an orphan of a restore that was killed", staging.name),
        )
        .next(format!("remove it now, or let the next restore do it: {}", psql(&facts.database, &drop)))
    }));
    findings.extend(health.closed.iter().map(|name| {
        let open = format!("alter database {} allow_connections true", ident(name));
        CheckFinding::warning("database", format!("nobody may connect to the database {name}"))
            .next(format!("revert it if that is not meant: {}", psql(&facts.database, &open)))
    }));
    findings.extend(health.reliances.iter().map(|reliance| {
        CheckFinding::warning("backups", reliance.told())
            .next(format!("give it a search path of its own: {}", psql(&facts.database, &reliance.cure())))
            .next("give it one in each restore: `envctl restore latest --search-path SCHEMAS`")
    }));
    findings.extend(health.broken.iter().map(|name| {
        let drop = format!("drop database {}", ident(name));
        CheckFinding::warning("database", format!("a DROP DATABASE of {name} broke off half-way"))
            .next(format!("drop it again: {}", psql(&facts.database, &drop)))
    }));
    findings.extend(old(health, &psql));
    findings.extend(collation(health, facts, &psql));
    findings.extend(migrations(health, facts, place));
    findings.extend(health.pg_dump.as_ref().and_then(|tool| dump_tool(tool, facts)));
    findings
}

/// An index that costs every write and helps no query: its building broke off.
fn invalid(index: &Index, psql: impl Fn(&str) -> String) -> CheckFinding {
    let Index { schema, name, table } = index;
    let whole = format!("{}.{}", ident(schema), ident(name));
    let finding = CheckFinding::warning(
        "database",
        format!("index {schema}.{name} on {table} is INVALID: no query uses it"),
    );
    // What REINDEX CONCURRENTLY leaves beside the index it was to replace.
    let of_reindex = ["_ccnew", "_ccold"].iter().any(|mark| name.contains(mark));
    let drop = psql(&format!("drop index concurrently {whole}"));
    if of_reindex {
        finding.next(format!("drop it, a REINDEX left it: {drop}"))
    } else {
        finding
            .next(format!("build it again: {}", psql(&format!("reindex index concurrently {whole}"))))
            .next(format!("drop it: {drop}"))
    }
}

fn waiting(idle: &IdleInTransaction) -> CheckFinding {
    let IdleInTransaction { pid, role, application, database, seconds } = idle;
    let application = if application.is_empty() { "no application name" } else { application };
    CheckFinding::warning(
        "database",
        format!(
            "session {pid} of {role} ({application}) in {database} has done nothing for {} min inside a transaction, and holds its locks",
            seconds / 60
        ),
    )
}

fn old(health: &ServerHealth, psql: &impl Fn(&str, &str) -> String) -> Option<CheckFinding> {
    let (name, age) = health.oldest.as_ref().filter(|(_, age)| *age >= OLD)?;
    let what = format!(
        "transaction ids of database {name} are {} old; at 2 100 million the server takes no more writes",
        count(*age)
    );
    let finding = if *age >= TOO_OLD {
        CheckFinding::problem("database", what)
    } else {
        CheckFinding::warning("database", what)
    };
    let holding_back = "select 'prepared' what, gid as name, transaction from pg_prepared_xacts \
                   union all select 'slot', slot_name, xmin from pg_replication_slots where xmin is not null";
    Some(
        finding
            .next(format!("vacuum it: {}", psql(name, "vacuum (freeze, verbose)")))
            .next(format!("see what holds it back: {}", psql(name, holding_back))),
    )
}

fn collation(
    health: &ServerHealth,
    facts: &DatabaseInfo,
    psql: &impl Fn(&str, &str) -> String,
) -> Option<CheckFinding> {
    let (built, now) = health.collation.as_ref()?;
    let name = ident(&facts.database);
    Some(
        CheckFinding::warning(
            "database",
            format!("indexes over text were built by collation version {built}, the image has {now}: they may sort wrongly"),
        )
        .next(format!("build them again: {}", psql(&facts.database, &format!("reindex database concurrently {name}"))))
        .next(format!(
            "run then: {}",
            psql(&facts.database, &format!("alter database {name} refresh collation version"))
        )),
    )
}

/// Migrations that were begun and not finished.
fn migrations(health: &ServerHealth, facts: &DatabaseInfo, place: &StackPlace) -> Option<CheckFinding> {
    let unfinished = facts.migrations.as_ref().map_or(0, |migrations| migrations.unfinished);
    if unfinished == 0 {
        return None;
    }
    let (first, names) = match health.unfinished.first() {
        Some(first) => (first.as_str(), health.unfinished.join(", ")),
        None => ("NAME", format!("{unfinished} of them")),
    };
    if health.migrating {
        return Some(CheckFinding::note("migrations", format!("being applied now: {names}")));
    }
    Some(
        CheckFinding::problem("migrations", format!("failed, or ended half-way: {names}; nothing is applied behind it"))
            .next(format!("see what it says of itself: `envctl migrate status {}`", place.flags))
            .next(format!(
                "say when its changes are undone or done by hand: `envctl migrate resolve {} {} --rolled-back`, or `--applied`",
                shell_word(first),
                place.flags
            )),
    )
}

/// pg_dump reads no server that is newer than itself.
fn dump_tool(tool: &ClientTool, facts: &DatabaseInfo) -> Option<CheckFinding> {
    match tool {
        ClientTool::Missing => Some(
            CheckFinding::problem("backups", "there is no pg_dump in the database's container: no backup can be made")
                .next("use the official image, or one with PostgreSQL's client tools"),
        ),
        ClientTool::Version(version) if version.major() < facts.version.major() => Some(
            CheckFinding::problem(
                "backups",
                format!(
                    "pg_dump in the container is {version} and refuses the server, which is {}: no backup can be made",
                    facts.version
                ),
            )
            .next("take an image whose client tools are as new as its server"),
        ),
        ClientTool::Version(version) if version.major() > facts.version.major() => Some(CheckFinding::note(
            "backups",
            format!(
                "pg_dump in the container is {version}, newer than the server ({}): an older server may not read what it dumps",
                facts.version
            ),
        )),
        ClientTool::Version(_) => None,
    }
}

#[cfg(test)]
#[path = "database_tests.rs"]
mod tests;
