//! Health of a server and a database: values only, with no judgement and no change.
//!
//! Promises: waits for no lock and reads no table of the user's; what the role may not see is left out.

use super::search_path_dependents::SearchPathDependent;
use super::session::{Refusal, Session};
use super::version::ServerVersion;
use crate::operation;
use crate::postgres::database_info::DatabaseInfo;

/// The lock that Prisma takes for a migration (prisma-engines, `ADVISORY_LOCK_ID`), and envctl with it.
const MIGRATING: u32 = 72_707_369;

/// Health of a server and a database at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerHealth {
    /// Sessions that hold a transaction open and do nothing, the twenty that wait longest.
    pub(crate) idle: Vec<IdleInTransaction>,
    /// Indexes of this database that no query uses, none of them being built now; the first twenty by name.
    pub(crate) invalid: Vec<Index>,
    /// Staging databases of restores that never came to their swap.
    pub(crate) staging_databases: Vec<StagingDatabase>,
    /// Databases that nobody may connect to, templates aside.
    pub(crate) closed: Vec<String>,
    /// Databases whose `DROP DATABASE` broke off (`datconnlimit` -2): nothing but dropping them again works.
    pub(crate) broken: Vec<String>,
    /// The database with the oldest transaction id, and its age.
    pub(crate) oldest: Option<(String, u64)>,
    /// The collation version the indexes were built by, and the one there is, where they differ.
    pub(crate) collation: Option<(String, String)>,
    /// Migrations of `_prisma_migrations` that were begun and neither finished nor rolled back.
    pub(crate) unfinished: Vec<String>,
    /// Somebody migrates at this moment.
    pub(crate) migrating: bool,
    /// Functions that rely on the search path, and that a restore of a backup would call.
    pub(crate) reliances: Vec<SearchPathDependent>,
    /// The container's own pg_dump; `None` where it could not be asked.
    pub(crate) pg_dump: Option<ClientTool>,
}

/// A tool in the container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClientTool {
    /// Version of a tool that exists.
    Version(ServerVersion),
    /// Tool that does not exist.
    Missing,
}

/// A session that holds a transaction open and does nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdleInTransaction {
    /// Process id of the session.
    pub(crate) pid: String,
    /// Role of the session.
    pub(crate) role: String,
    /// Application name of the session; may be empty.
    pub(crate) application: String,
    /// Database of the session.
    pub(crate) database: String,
    /// For how long it has done nothing, in seconds.
    pub(crate) seconds: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) table: String,
}

/// A database that a restore was loading into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StagingDatabase {
    pub(crate) name: String,
    /// Size of the staging database, in bytes; `None` where the role may not see the size.
    pub(crate) size: Option<u64>,
    /// True while the restore that loads the staging database is connected.
    pub(crate) alive: bool,
}

/// Returns the query of everything but the history, a kind of row each.
fn look() -> String {
    let (ours, alive) =
        (operation::IS_OURS, operation::is_session_of("pg_catalog.substr(d.datname::text, 12, 8)"));
    format!(
        "\
    select * from (select 'idle', a.pid::text, coalesce(a.usename::text, ''), coalesce(a.application_name, ''), \
           coalesce(a.datname::text, ''), extract(epoch from now() - a.state_change)::bigint::text \
      from pg_catalog.pg_stat_activity a \
     where a.state like 'idle in transaction%' and a.pid <> pg_catalog.pg_backend_pid() \
       and not {ours} \
     order by a.state_change limit 20) idle \
    union all \
    select * from (select 'invalid', n.nspname::text, c.relname::text, t.relname::text, '', '' \
      from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid \
      join pg_catalog.pg_class t on t.oid = i.indrelid join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
     where not i.indisvalid and c.relkind = 'i' \
       and not exists (select from pg_catalog.pg_locks l join pg_catalog.pg_stat_activity b on b.pid = l.pid \
                        where l.relation = i.indrelid and l.mode in ('ShareUpdateExclusiveLock', 'ShareLock') \
                          and b.backend_type = 'client backend') \
     order by n.nspname, c.relname limit 20) invalid \
    union all \
    select 'staging', d.datname::text, \
           case when pg_catalog.has_database_privilege(d.oid, 'connect') then pg_catalog.pg_database_size(d.oid)::text else '' end, \
           (exists (select from pg_catalog.pg_stat_activity a \
                     where {alive}))::text, '', '' \
      from pg_catalog.pg_database d \
     where d.datname ~ '^envctl_new_[0-9a-f]{{8}}_' \
       and coalesce(pg_catalog.shobj_description(d.oid, 'pg_database'), 'envctl: being loaded') like 'envctl: being loaded%' \
    union all \
    select case when d.datconnlimit = -2 then 'broken' else 'closed' end, d.datname::text, '', '', '', '' \
      from pg_catalog.pg_database d \
     where d.datconnlimit = -2 or (not d.datallowconn and not d.datistemplate) \
    union all \
    select * from (select 'oldest', d.datname::text, pg_catalog.age(d.datfrozenxid)::text, '', '', '' \
      from pg_catalog.pg_database d order by pg_catalog.age(d.datfrozenxid) desc limit 1) oldest"
    )
}

/// From 15 on: a database remembers the version of its collation.
const COLLATION: &str = "\
    union all \
    select 'collation', d.datcollversion, pg_catalog.pg_database_collation_actual_version(d.oid), '', '', '' \
      from pg_catalog.pg_database d where d.datname = current_database() \
       and d.datcollversion <> pg_catalog.pg_database_collation_actual_version(d.oid)";

impl ServerHealth {
    /// Looks, from a session in the database that `facts` are of.
    pub(crate) async fn read(session: &mut Session, facts: &DatabaseInfo) -> Result<Self, Refusal> {
        let more = if facts.version.remembers_collation_version() { COLLATION } else { "" };
        let rows = session.query(&format!("{} {more}", look())).await?;
        let mut health = Self::of_rows(rows);
        if facts.migrations.as_ref().is_some_and(|migrations| migrations.unfinished > 0) {
            (health.unfinished, health.migrating) = unfinished(session).await?;
        }
        health.reliances = SearchPathDependent::find(session).await?;
        health.pg_dump = pg_dump(session).await?;
        Ok(health)
    }

    fn of_rows(rows: Vec<Vec<String>>) -> Self {
        let mut health = Self::default();
        for row in rows {
            let Some((kind, fields)) = row.split_first() else { continue };
            let text = |at: usize| fields.get(at).cloned().unwrap_or_default();
            let number = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
            match kind.as_str() {
                "idle" => health.idle.push(IdleInTransaction {
                    pid: text(0),
                    role: text(1),
                    application: text(2),
                    database: text(3),
                    seconds: number(4).unwrap_or(0),
                }),
                "invalid" => health.invalid.push(Index { schema: text(0), name: text(1), table: text(2) }),
                "staging" => {
                    health.staging_databases.push(StagingDatabase {
                        name: text(0),
                        size: number(1),
                        alive: text(2) == "true",
                    });
                }
                "closed" => health.closed.push(text(0)),
                "broken" => health.broken.push(text(0)),
                "oldest" => health.oldest = number(1).map(|age| (text(0), age)),
                "collation" => health.collation = Some((text(0), text(1))),
                _ => {}
            }
        }
        health
    }
}

/// The names, and whether somebody holds Prisma's lock: then the last of them may be running now. The history may be
/// locked by a migration; it is not waited for.
async fn unfinished(session: &mut Session) -> Result<(Vec<String>, bool), Refusal> {
    let place = session
        .value(
            "select pg_catalog.quote_ident(n.nspname) || '._prisma_migrations' \
             from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
             where c.relname = '_prisma_migrations' and c.relkind = 'r' \
             order by n.nspname <> 'public', n.nspname limit 1",
        )
        .await?;
    let Some(place) = place else { return Ok((Vec::new(), false)) };
    session.query("set lock_timeout = '500ms'").await?;
    let names = session
        .query(&format!(
            "select migration_name from {place} where finished_at is null and rolled_back_at is null order by started_at"
        ))
        .await;
    session.query("set lock_timeout = 0").await?;
    let names = match names {
        Err(Refusal::Lost(error)) => return Err(Refusal::Lost(error)),
        other => other.unwrap_or_default(),
    };
    let held = format!(
        "select exists (select from pg_catalog.pg_locks \
         where locktype = 'advisory' and classid = 0 and objid = {MIGRATING} and granted)"
    );
    let migrating = session.value(&held).await?.as_deref() == Some("t");
    Ok((names.into_iter().filter_map(|row| row.into_iter().next()).collect(), migrating))
}

/// Asked through the psql that is open: a further exec would cost the daemon 40 ms.
async fn pg_dump(session: &mut Session) -> Result<Option<ClientTool>, Refusal> {
    let lines = |token: &str| {
        format!(
            "\\set pg_dump `pg_dump --version 2>&1 || echo missing`\n\\echo {token} :pg_dump\n\\echo {token}.\n"
        )
    };
    let said = session.program(lines).await?;
    Ok(match said.trim() {
        text if text.starts_with("pg_dump ") => ServerVersion::parse(text).map(ClientTool::Version),
        text if text.ends_with("missing") => Some(ClientTool::Missing),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_row_goes_to_its_place() {
        let rows = [
            ["idle", "42", "app", "prisma", "acme", "3600"],
            ["invalid", "public", "item_words", "item", "", ""],
            ["staging", "envctl_new_0123abcd_acme", "7654", "false", "", ""],
            ["staging", "envctl_new_9876abcd_acme", "", "true", "", ""],
            ["closed", "shut", "", "", "", ""],
            ["broken", "half", "", "", "", ""],
            ["oldest", "acme", "1234", "", "", ""],
            ["collation", "2.31", "2.36", "", "", ""],
            ["later", "", "", "", "", ""],
        ];
        let health = ServerHealth::of_rows(rows.iter().map(|row| row.map(str::to_owned).into()).collect());
        assert_eq!((health.idle[0].pid.as_str(), health.idle[0].seconds), ("42", 3600));
        assert_eq!(health.invalid[0].name, "item_words");
        let staging_databases: Vec<_> =
            health.staging_databases.iter().map(|staging| (staging.size, staging.alive)).collect();
        assert_eq!(staging_databases, [(Some(7654), false), (None, true)]);
        assert_eq!((&health.closed[..], &health.broken[..]), (&["shut".into()][..], &["half".into()][..]));
        assert_eq!(health.oldest, Some(("acme".into(), 1234)));
        assert_eq!(health.collation, Some(("2.31".into(), "2.36".into())));
    }
}
