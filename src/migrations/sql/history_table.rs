//! Each tool's own table: how it is made, read and written, so that tools can be used in turn.
//!
//! Sources: Prisma `sql_migration_persistence.rs` (reliability §3.1); dbmate `pkg/driver/postgres/postgres.go`;
//! sqlx `sqlx-postgres/src/migrate.rs`; golang-migrate `database/postgres/postgres.go`, `database/util.go`.

use sha2::{Digest as _, Sha256, Sha384};

use crate::migrations::layout::{Layout, Script};
use crate::text::sql_quote::{ident, literal};

/// Prisma's advisory lock, and ours for the same table's shape.
pub(crate) const PRISMA_LOCK: i64 = 72_707_369;

/// For the transaction of this query alone.
const NO_WAIT: &str = "SET LOCAL synchronous_commit = off\\; ";

/// A tool's table in one schema of one database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryTable {
    /// Whose.
    pub(crate) layout: Layout,
    /// The schema it lies in.
    pub(crate) schema: String,
    /// The database, which golang-migrate and sqlx make their lock of.
    pub(crate) database: String,
}

/// History row of one migration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HistoryRow {
    /// The name or version.
    pub(crate) key: String,
    /// Hex, where the tool keeps one.
    pub(crate) checksum: Option<String>,
    /// Time at which the migration finished.
    pub(crate) finished: Option<String>,
    /// Begun, neither finished nor rolled back; what was noted.
    pub(crate) unfinished: Option<String>,
}

impl HistoryTable {
    /// The table's bare name.
    pub(crate) fn table_name(layout: Layout) -> &'static str {
        match layout {
            Layout::Prisma => "_prisma_migrations",
            Layout::Flat => "envctl_migrations",
            Layout::Sqlx => "_sqlx_migrations",
            Layout::Dbmate | Layout::GolangMigrate => "schema_migrations",
        }
    }

    /// The table, quoted and with its schema: a file may have emptied the search path.
    pub(crate) fn table(&self) -> String {
        format!("{}.{}", ident(&self.schema), ident(Self::table_name(self.layout)))
    }

    /// Reports whether the history table keeps rows of failed migrations, as Prisma's does.
    pub(crate) fn keeps_failures(&self) -> bool {
        matches!(self.layout, Layout::Prisma | Layout::Flat)
    }

    /// Reports whether a failure leaves a mark that has to be removed, such as golang-migrate's `dirty`.
    pub(crate) fn is_dirty_after_failure(&self) -> bool {
        self.layout == Layout::GolangMigrate
    }

    /// The tool's own advisory lock; dbmate has none and gets Prisma's, which harms nobody.
    pub(crate) fn lock(&self) -> i64 {
        match self.layout {
            Layout::Prisma | Layout::Flat | Layout::Dbmate => PRISMA_LOCK,
            Layout::Sqlx => 0x3d32_ad9e * i64::from(crc32fast::hash(self.database.as_bytes())),
            Layout::GolangMigrate => {
                let name = format!("{}\0{}\0{}", self.schema, Self::table_name(self.layout), self.database);
                i64::from(crc32fast::hash(name.as_bytes()).wrapping_mul(1_486_364_155))
            }
        }
    }

    /// Makes the table.
    pub(crate) fn create(&self) -> String {
        let table = self.table();
        match self.layout {
            Layout::Prisma | Layout::Flat => format!(
                "CREATE TABLE {table} (id VARCHAR(36) PRIMARY KEY NOT NULL, checksum VARCHAR(64) NOT NULL, \
                 finished_at TIMESTAMPTZ, migration_name VARCHAR(255) NOT NULL, logs TEXT, rolled_back_at TIMESTAMPTZ, \
                 started_at TIMESTAMPTZ NOT NULL DEFAULT now(), applied_steps_count INTEGER NOT NULL DEFAULT 0)"
            ),
            Layout::Dbmate => {
                format!("CREATE TABLE IF NOT EXISTS {table} (version varchar(128) primary key)")
            }
            Layout::Sqlx => format!(
                "CREATE TABLE IF NOT EXISTS {table} (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
                 installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, checksum BYTEA NOT NULL, \
                 execution_time BIGINT NOT NULL)"
            ),
            Layout::GolangMigrate => format!(
                "CREATE TABLE IF NOT EXISTS {table} (version bigint not null primary key, dirty boolean not null)"
            ),
        }
    }

    /// Reads the table: key, checksum, finished, unfinished's note or NULL as ''. See [`HistoryTable::record`].
    pub(crate) fn read(&self) -> String {
        let table = self.table();
        match self.layout {
            // The newest row of a name that counts: an older, rolled-back one says nothing (prisma#16927).
            Layout::Prisma | Layout::Flat => format!(
                "SELECT DISTINCT ON (migration_name) migration_name, checksum, coalesce(finished_at::text, ''), \
                        CASE WHEN finished_at IS NULL THEN 'unfinished' ELSE '' END, coalesce(logs, '') \
                 FROM {table} WHERE rolled_back_at IS NULL \
                 ORDER BY migration_name, finished_at IS NOT NULL, started_at DESC"
            ),
            Layout::Dbmate => format!("SELECT version, '', 'yes', '', '' FROM {table}"),
            Layout::Sqlx => format!(
                "SELECT version, encode(checksum, 'hex'), installed_on::text, \
                        CASE WHEN success THEN '' ELSE 'unfinished' END, '' FROM {table}"
            ),
            Layout::GolangMigrate => format!(
                "SELECT version, '', 'yes', CASE WHEN dirty THEN 'unfinished' ELSE '' END, '' FROM {table}"
            ),
        }
    }

    /// A row of [`HistoryTable::read`].
    pub(crate) fn record(row: Vec<String>) -> Option<HistoryRow> {
        let [key, checksum, finished, unfinished, logs] = <[String; 5]>::try_from(row).ok()?;
        Some(HistoryRow {
            key,
            checksum: Some(checksum).filter(|text| !text.is_empty()),
            unfinished: (!unfinished.is_empty()).then_some(logs),
            finished: Some(finished).filter(|text| !text.is_empty()),
        })
    }

    /// Returns the checksum that the history table keeps for a file.
    pub(crate) fn checksum(&self, script: &Script) -> String {
        self.digest(&script.text)
    }

    fn digest(&self, text: &str) -> String {
        match self.layout {
            Layout::Sqlx => hex(&Sha384::digest(text)),
            _ => hex(&Sha256::digest(text)),
        }
    }

    /// Returns whether a kept checksum is of this file, whatever its line ends: a checkout with others is no edit.
    /// Prisma compares in the same three ways (prisma-engines#1887); sqlx itself compares bytes (sqlx#2659).
    pub(crate) fn matches(&self, kept: &str, script: &Script) -> bool {
        let unix = script.text.replace("\r\n", "\n");
        let dos = unix.replace('\n', "\r\n");
        [&script.text, &unix, &dos].into_iter().any(|text| {
            self.digest(text) == kept
                || self.keeps_failures() && kept.len() != 64 && unpadded(&Sha256::digest(text)) == kept
        })
    }

    /// Before a file: one query, statements separated by `\;`. Nobody waits for the disk: the commit of the file, which
    /// comes behind it, does.
    pub(crate) fn begin(&self, script: &Script, id: &str) -> String {
        let table = self.table();
        match self.layout {
            Layout::Prisma | Layout::Flat => format!(
                "{NO_WAIT}INSERT INTO {table} (id, checksum, migration_name, started_at) \
                 VALUES ({}, {}, {}, pg_catalog.clock_timestamp())",
                literal(id),
                literal(&self.checksum(script)),
                literal(&script.name)
            ),
            Layout::Dbmate | Layout::Sqlx if script.transaction => "BEGIN".to_owned(),
            Layout::Dbmate | Layout::Sqlx => "SELECT 1".to_owned(),
            Layout::GolangMigrate => self.version(&script.key, true),
        }
    }

    /// After a file. With `more` files behind it, their commits wait for the disk.
    pub(crate) fn finish(&self, script: &Script, id: &str, more: bool) -> String {
        let table = self.table();
        let wait = if more { NO_WAIT } else { "" };
        let commit = if script.transaction { "\\; COMMIT" } else { "" };
        match self.layout {
            Layout::Prisma | Layout::Flat => format!(
                "{wait}UPDATE {table} SET applied_steps_count = applied_steps_count + 1, \
                 finished_at = pg_catalog.clock_timestamp() \
                 WHERE id = {} AND pg_catalog.now() = pg_catalog.statement_timestamp()",
                literal(id)
            ),
            Layout::Dbmate => {
                format!("INSERT INTO {table} (version) VALUES ({}){commit}", literal(&script.key))
            }
            Layout::Sqlx => format!("{}{commit}", self.insert_sqlx(script)),
            Layout::GolangMigrate => self.version(&script.key, false),
        }
    }

    fn insert_sqlx(&self, script: &Script) -> String {
        let stem = script.name.split_once('_').map_or("", |(_, rest)| rest);
        format!(
            "INSERT INTO {} (version, description, success, checksum, execution_time) \
             VALUES ({}, {}, true, pg_catalog.decode({}, 'hex'), 0)",
            self.table(),
            script.key,
            literal(&stem.replace('_', " ")),
            literal(&self.checksum(script))
        )
    }

    /// golang-migrate keeps one row: where the database is.
    fn version(&self, version: &str, dirty: bool) -> String {
        let table = self.table();
        format!("TRUNCATE {table}\\; INSERT INTO {table} (version, dirty) VALUES ({version}, {dirty})")
    }

    /// Notes a failure.
    pub(crate) fn fail(&self, id: &str, logs: &str) -> Option<String> {
        self.keeps_failures().then(|| {
            format!("UPDATE {} SET logs = {} WHERE id = {}", self.table(), literal(logs), literal(id))
        })
    }

    /// Notes that nothing of a failed file is left, so that it may run again. `before` is the version before it, for
    /// golang-migrate.
    pub(crate) fn take_back(&self, id: &str, before: Option<&str>) -> Option<String> {
        match self.layout {
            Layout::Prisma | Layout::Flat => Some(format!(
                "UPDATE {} SET rolled_back_at = pg_catalog.clock_timestamp() WHERE id = {} AND finished_at IS NULL",
                self.table(),
                literal(id)
            )),
            Layout::GolangMigrate => Some(self.resolve_rolled_back("", before)),
            Layout::Dbmate | Layout::Sqlx => None,
        }
    }

    /// Returns the statement that sets the search path for a file's unqualified names.
    /// Prisma's CLI works in the schema of its URL, whatever the role's own search path is.
    /// The other tools follow the role's search path.
    pub(crate) fn search_path(&self) -> String {
        match self.layout {
            Layout::Prisma => format!("SET search_path = {}", ident(&self.schema)),
            _ => "RESET search_path".to_owned(),
        }
    }

    /// `resolve --applied`: statements, one query each.
    pub(crate) fn resolve_applied(&self, script: &Script, id: &str) -> Vec<String> {
        let table = self.table();
        match self.layout {
            Layout::Prisma | Layout::Flat => vec![
                self.resolve_rolled_back(&script.name, None),
                format!(
                    "INSERT INTO {table} (id, checksum, migration_name, started_at, finished_at, logs, applied_steps_count) \
                     SELECT {}, {}, {}, at, at, '', 0 FROM (SELECT pg_catalog.clock_timestamp() AS at) AS now",
                    literal(id),
                    literal(&self.checksum(script)),
                    literal(&script.name)
                ),
            ],
            Layout::Dbmate => {
                vec![format!(
                    "INSERT INTO {table} (version) VALUES ({}) ON CONFLICT DO NOTHING",
                    literal(&script.key)
                )]
            }
            Layout::Sqlx => {
                vec![format!(
                    "{} ON CONFLICT (version) DO UPDATE SET success = true",
                    self.insert_sqlx(script)
                )]
            }
            Layout::GolangMigrate => vec![self.version(&script.key, false)],
        }
    }

    /// `resolve --rolled-back`. `before` is the version before it, for golang-migrate.
    pub(crate) fn resolve_rolled_back(&self, key: &str, before: Option<&str>) -> String {
        let table = self.table();
        match self.layout {
            Layout::Prisma | Layout::Flat => format!(
                "UPDATE {table} SET rolled_back_at = pg_catalog.clock_timestamp() \
                 WHERE migration_name = {} AND finished_at IS NULL AND rolled_back_at IS NULL",
                literal(key)
            ),
            Layout::Dbmate | Layout::Sqlx => {
                format!("DELETE FROM {table} WHERE version::text = {}", literal(key))
            }
            Layout::GolangMigrate => match before {
                Some(before) => self.version(before, false),
                None => format!("TRUNCATE {table}"),
            },
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |text, byte| text + &format!("{byte:02x}"))
}

/// Returns hexadecimal digits without the zeros in front, as Prisma once wrote checksums.
fn unpadded(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history_table(layout: Layout) -> HistoryTable {
        HistoryTable { layout, schema: "public".into(), database: "app".into() }
    }

    fn script(text: &str) -> Script {
        Script {
            name: "1_a".into(),
            key: "1".into(),
            path: "1_a".into(),
            text: text.into(),
            sql: text.into(),
            transaction: false,
        }
    }

    #[test]
    fn other_line_ends_are_no_edit_and_another_letter_is() {
        let prisma = history_table(Layout::Prisma);
        let kept = prisma.checksum(&script("a\nb\n"));
        assert!(prisma.matches(&kept, &script("a\r\nb\r\n")));
        assert!(prisma.matches(&prisma.checksum(&script("a\r\nb\r\n")), &script("a\nb\n")));
        assert!(!prisma.matches(&kept, &script("a\nc\n")));
        assert!(prisma.matches(&unpadded(&Sha256::digest("a\nb\n")), &script("a\nb\n")));
        let sqlx = history_table(Layout::Sqlx);
        assert!(
            sqlx.matches(&sqlx.checksum(&script("a\n")), &script("a\r\n")),
            "line ends do not change the checksum"
        );
        assert!(sqlx.matches(&sqlx.checksum(&script("a\r\nb\r\n")), &script("a\nb\r\n")), "W15");
        assert!(!sqlx.matches(&sqlx.checksum(&script("a\n")), &script("a\n\n")));
        assert_eq!(sqlx.checksum(&script("")).len(), 96);
    }

    #[test]
    fn locks_are_those_of_the_tools() {
        assert_eq!(history_table(Layout::Prisma).lock(), 72_707_369);
        // The factor is sqlx-postgres's (`generate_lock_id`).
        assert_eq!(history_table(Layout::Sqlx).lock(), 0x3d32_ad9e * i64::from(crc32fast::hash(b"app")));
        let go = history_table(Layout::GolangMigrate).lock();
        assert!((0..=i64::from(u32::MAX)).contains(&go));
    }
}
