//! Facts about a database: name, server version, size and migrations.

use super::session::{Refusal, Session};
use super::version::ServerVersion;

/// The answers of one look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DatabaseInfo {
    /// The database's name as the server has it.
    pub(crate) database: String,
    pub(crate) version: ServerVersion,
    /// `pg_database_size`, in bytes.
    pub(crate) size: u64,
    /// Bytes of the tables without their indexes, by the planner's last count: near the size of a plain dump. Equals
    /// `size` where a table was never counted (`reltuples` -1). Measuring would wait for any session that has locked
    /// a table.
    pub(crate) table_bytes: u64,
    /// Prisma's history, where there is one.
    pub(crate) migrations: Option<PrismaHistory>,
}

/// Migrations recorded in `_prisma_migrations`.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct PrismaHistory {
    /// Finished and not rolled back.
    pub(crate) applied: u64,
    /// Neither finished nor rolled back: failed, or running now.
    pub(crate) unfinished: u64,
    /// The name of the one that was finished last.
    pub(crate) last: Option<String>,
}

impl DatabaseInfo {
    /// Looks. Two statements, 1 ms together.
    pub(crate) async fn read(session: &mut Session) -> Result<Self, Refusal> {
        let rows = session
            .query(
                "select current_database(), current_setting('server_version_num'), current_setting('server_version'), \
                        pg_catalog.pg_database_size(current_database()), \
                        (select case when bool_or(c.reltuples < 0) then 0 \
                                else coalesce(sum(c.relpages::bigint + coalesce(t.relpages, 0)), 0) end \
                                * current_setting('block_size')::bigint \
                         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                         left join pg_catalog.pg_class t on t.oid = c.reltoastrelid \
                         where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema')), \
                        coalesce((select pg_catalog.quote_ident(n.nspname) || '._prisma_migrations' \
                         from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace \
                         where c.relname = '_prisma_migrations' and c.relkind = 'r' \
                           and pg_catalog.has_table_privilege(c.oid, 'select') \
                         order by n.nspname <> 'public', n.nspname limit 1), '')",
            )
            .await?;
        let row = rows.into_iter().next().unwrap_or_default();
        let [database, num, text, size, table_bytes, history] =
            <[String; 6]>::try_from(row).unwrap_or_default();
        let migrations = if history.is_empty() { None } else { patient(session, &history).await? };
        let size: u64 = size.parse().unwrap_or(0);
        let table_bytes = table_bytes.parse().ok().filter(|bytes| *bytes > 0).unwrap_or(size);
        Ok(Self {
            database,
            version: ServerVersion::new(num.parse().unwrap_or(0), &text),
            size,
            table_bytes,
            migrations,
        })
    }
}

/// The history, unless somebody has locked it: a look must not wait for a migration to end.
async fn patient(session: &mut Session, history: &str) -> Result<Option<PrismaHistory>, Refusal> {
    session.query("set lock_timeout = '500ms'").await?;
    let migrations = migrations(session, history).await;
    session.query("set lock_timeout = 0").await?;
    match migrations {
        Err(Refusal::Lost(error)) => Err(Refusal::Lost(error)),
        other => Ok(other.ok()),
    }
}

/// `history` is the table's name, quoted by the server.
async fn migrations(session: &mut Session, history: &str) -> Result<PrismaHistory, Refusal> {
    let rows = session
        .query(&format!(
            "select count(*) filter (where finished_at is not null and rolled_back_at is null), \
                    count(*) filter (where finished_at is null and rolled_back_at is null), \
                    coalesce((select migration_name from {history} where finished_at is not null and rolled_back_at is null \
                              order by finished_at desc, migration_name desc limit 1), '') \
             from {history}"
        ))
        .await?;
    let [applied, unfinished, last] =
        <[String; 3]>::try_from(rows.into_iter().next().unwrap_or_default()).unwrap_or_default();
    Ok(PrismaHistory {
        applied: applied.parse().unwrap_or(0),
        unfinished: unfinished.parse().unwrap_or(0),
        last: Some(last).filter(|name| !name.is_empty()),
    })
}
