//! Tools whose files envctl does not run by itself: their marks, names and configuration, and what to type instead.
//!
//! Promise: a file or a folder of theirs is never run as a flat one. Some of them keep the way back in the same file or
//! beside it, some order by a list of their own; all keep a history that would not be written.

use std::path::{Path, PathBuf};

use super::dbmate;
use crate::dump::sql::lexer::tokens::{SqlTokenKind, SqlTokens};
use crate::error::Error;
use crate::migrations::directory;

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ForeignTool {
    /// Name of the tool, as the tool writes it.
    pub(crate) name: &'static str,
    /// The row of the driver `command`; empty where there is none.
    preset: &'static str,
    /// The command that applies what is pending, for `[migrations.commands]`; empty where it is not known.
    apply: &'static [&'static str],
    /// Each of its files is a way forward and nothing else.
    pub(crate) whole: bool,
}

const fn with_preset(name: &'static str, preset: &'static str) -> ForeignTool {
    ForeignTool { name, preset, apply: &[], whole: false }
}

const fn with_command(name: &'static str, apply: &'static [&'static str]) -> ForeignTool {
    ForeignTool { name, preset: "", apply, whole: false }
}

impl ForeignTool {
    const fn whole(mut self) -> Self {
        self.whole = true;
        self
    }

    /// Reports whether its files may also be something else where the folder is not called `migrations`: programs, common words.
    pub(crate) fn is_vague(&self) -> bool {
        [
            &DJANGO,
            &RAILS,
            &LARAVEL,
            &ECTO,
            &ENTITY_FRAMEWORK,
            &JAVASCRIPT,
            &GRAPHILE,
            &YOYO,
            &NODE_PG_MIGRATE,
            &MYBATIS,
        ]
        .contains(&self)
    }

    /// Adds what to type so that the tool itself applies its migrations.
    pub(crate) fn hints(&self, error: Error) -> Error {
        let name = self.name;
        let error = if !self.preset.is_empty() {
            error.hint(format!(
                "let {name} apply them in the backend's container: `[migrations] preset = \"{}\"` in envctl.toml",
                self.preset
            ))
        } else if !self.apply.is_empty() {
            let parts: Vec<String> = self.apply.iter().map(|part| format!("\"{part}\"")).collect();
            error.hint(format!(
                "let {name} apply them in the backend's container: `[migrations.commands] apply = [{}]` in envctl.toml",
                parts.join(", ")
            ))
        } else {
            error
        };
        if self.whole {
            error.hint(format!(
                "run the files without {name} and its history: `[migrations] layout = \"flat\"` and `dir` in envctl.toml"
            ))
        } else {
            error
        }
    }
}

static GOOSE: ForeignTool = with_preset("Goose", "goose");
static FLYWAY: ForeignTool = with_preset("Flyway", "flyway");
static DIESEL: ForeignTool = with_preset("Diesel", "diesel");
static DRIZZLE: ForeignTool = with_preset("Drizzle", "drizzle").whole();
static DJANGO: ForeignTool = with_preset("Django", "django");
static ALEMBIC: ForeignTool = with_preset("Alembic", "alembic");
static RAILS: ForeignTool = with_preset("Rails", "rails");
static LARAVEL: ForeignTool = with_preset("Laravel", "laravel");
static KNEX: ForeignTool = with_preset("Knex", "knex");
/// dbmate's files beside others; alone they are a layout of envctl's.
static DBMATE: ForeignTool = with_command("dbmate", &["dbmate", "up"]);
static SQL_MIGRATE: ForeignTool = with_command("sql-migrate", &["sql-migrate", "up"]);
static MICRATE: ForeignTool = with_command("Micrate", &["micrate", "up"]);
static TERN: ForeignTool = with_command("tern", &["tern", "migrate"]);
static RAMBLER: ForeignTool = with_command("rambler", &["rambler", "apply", "--all"]);
static NODE_PG_MIGRATE: ForeignTool =
    with_command("node-pg-migrate", &["npx", "--no-install", "node-pg-migrate", "up"]);
static LIQUIBASE: ForeignTool = with_command("Liquibase", &["liquibase", "update"]);
static MYBATIS: ForeignTool = with_command("MyBatis Migrations", &["migrate", "up"]);
static PLAY: ForeignTool = with_command("Play evolutions", &[]);
static GRAPHILE: ForeignTool =
    with_command("Graphile Migrate", &["npx", "--no-install", "graphile-migrate", "migrate"]);
static HASURA: ForeignTool = with_command("Hasura", &["hasura", "migrate", "apply", "--all-databases"]);
static SQITCH: ForeignTool = with_command("Sqitch", &["sqitch", "deploy"]);
static YOYO: ForeignTool = with_command("yoyo", &["yoyo", "apply", "--batch"]);
static POSTGRATOR: ForeignTool = with_command("Postgrator", &["npx", "--no-install", "postgrator"]);
static BUN: ForeignTool = with_command("Bun", &[]);
static SUPABASE: ForeignTool = with_command("Supabase", &["supabase", "migration", "up"]).whole();
static ATLAS: ForeignTool = with_command("Atlas", &["atlas", "migrate", "apply"]).whole();
static SEQUELIZE: ForeignTool =
    with_command("Sequelize", &["npx", "--no-install", "sequelize-cli", "db:migrate"]);
static ECTO: ForeignTool = with_command("Ecto", &["mix", "ecto.migrate"]);
static ENTITY_FRAMEWORK: ForeignTool =
    with_command("Entity Framework", &["dotnet", "ef", "database", "update"]);
static PRISMA: ForeignTool = with_command("Prisma", &["npx", "--no-install", "prisma", "migrate", "deploy"]);
static DB_MIGRATE: ForeignTool = with_command("db-migrate", &["npx", "--no-install", "db-migrate", "up"]);
static JAVASCRIPT: ForeignTool = with_command("a tool in JavaScript", &[]);

/// A mark of a tool in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mark<'a> {
    /// The tool; `None` for a comment that only says which way follows.
    pub(crate) tool: Option<&'static ForeignTool>,
    pub(crate) line: usize,
    pub(crate) text: &'a str,
}

/// Returns the first mark of a tool in a text. A comment that says `down` or `rollback` and nothing else counts where
/// statements follow it.
pub(crate) fn mark(text: &str) -> Option<Mark<'_>> {
    let mut way_back = None;
    for token in SqlTokens::of(text) {
        let found = |tool| Mark { tool, line: token.line, text: token.text.trim_end() };
        if token.is_comment() {
            if let Some(tool) = tool_of(token.text) {
                return Some(found(Some(tool)));
            }
            if way_back.is_none() && says_way_back(token.text) {
                way_back = Some(found(None));
            }
        } else if token.kind != SqlTokenKind::Semicolon && way_back.is_some() {
            return way_back;
        }
    }
    None
}

/// The tool whose mark a comment is.
fn tool_of(comment: &str) -> Option<&'static ForeignTool> {
    // Too long for a mark: a text that somebody has written.
    const LONGEST: usize = 400;
    if comment.len() > LONGEST {
        return None;
    }
    if comment.starts_with("--") && dbmate::has_mark(comment) {
        return Some(&DBMATE);
    }
    let body = comment
        .trim_start_matches(['-', '/', '*', ' ', '\t'])
        .trim_end_matches(['-', '/', '*', ' ', '\r', '\n']);
    let lower = body.to_ascii_lowercase();
    let parts: Vec<&str> = lower.split_whitespace().collect();
    match parts.as_slice() {
        ["+goose", ..] => Some(&GOOSE),
        ["+migrate", ..] => Some(&SQL_MIGRATE),
        ["+micrate", ..] => Some(&MICRATE),
        ["create", "above", "/", "drop", "below"] => Some(&TERN),
        ["rambler", "up" | "down", ..] => Some(&RAMBLER),
        ["up" | "down", "migration", ..] => Some(&NODE_PG_MIGRATE),
        ["liquibase", "formatted", ..] => Some(&LIQUIBASE),
        ["@undo" | "@down" | "@up", ..] => Some(&MYBATIS),
        ["!ups" | "!downs", ..] => Some(&PLAY),
        ["!", "previous:" | "hash:", ..] => Some(&GRAPHILE),
        ["bun:split" | "bun:split;"] => Some(&BUN),
        ["depends:", ..] => Some(&YOYO),
        ["deploy", _, "to", "pg"] | ["revert", _, "from", "pg"] | ["verify", _, "on", "pg"] => Some(&SQITCH),
        _ => None,
    }
}

/// `-- Down`, `/* rollback script */`.
fn says_way_back(comment: &str) -> bool {
    const FILLERS: &[&str] =
        &["migration", "migrations", "migrate", "script", "section", "sql", "part", "step", "steps", "the"];
    let lower = comment.to_ascii_lowercase();
    let parts: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    parts.len() <= 4
        && parts.iter().any(|part| BACK.contains(part))
        && parts.iter().all(|part| BACK.contains(part) || FILLERS.contains(part))
}

/// Words for the way back, alone at the end of a name or in a comment.
const BACK: &[&str] = &["down", "downgrade", "undo", "rollback", "revert", "teardown"];

/// The word by which a name, without its ending, says that the file is a way back. `pair`: another file has the same
/// number.
pub(crate) fn way_back(stem: &str, pair: bool) -> Option<String> {
    let lower = stem.to_ascii_lowercase();
    let parts: Vec<&str> =
        lower.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let last = parts.last().filter(|_| parts.len() > 1)?;
    // `0004_users_drop` may be a way forward; beside another `0004` it is none.
    let only_in_pairs = ["drop", "reverse", "back", "backward", "delete", "remove"];
    if BACK.contains(last) || pair && only_in_pairs.contains(last) {
        return Some((*last).to_owned());
    }
    let name = parts.iter().find(|part| !part.starts_with(|c: char| c.is_ascii_digit()))?;
    let between_dots = BACK.iter().find(|part| lower.contains(&format!(".{part}.")));
    between_dots
        .or_else(|| BACK.iter().find(|part| *part == name && (pair || *name == "down")))
        .map(|part| (*part).to_owned())
}

/// The tool that would give a file this name.
pub(crate) fn tool_of_name(file: &str) -> Option<&'static ForeignTool> {
    let stem = file.strip_suffix(".sql")?;
    let callback =
        ["beforeMigrate", "afterMigrate", "beforeEach", "afterEach", "beforeValidate", "afterValidate"];
    if callback.iter().any(|name| stem.starts_with(name)) {
        return Some(&FLYWAY);
    }
    if let Some((version, _)) = stem.split_once("__") {
        let number = version.strip_prefix(['V', 'U', 'B', 'v', 'u', 'b']).unwrap_or("");
        let is_version = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.' || c == '_');
        if is_version || version == "R" || version == "r" {
            return Some(&FLYWAY);
        }
    }
    let hooks = [
        "afterReset",
        "afterAllMigrations",
        "afterCurrent",
        "beforeReset",
        "beforeAllMigrations",
        "beforeCurrent",
    ];
    if hooks.contains(&stem) || stem == "current" {
        return Some(&GRAPHILE);
    }
    let mut parts = stem.splitn(3, '.');
    let number = parts.next().is_some_and(|part| part.bytes().all(|byte| byte.is_ascii_digit()));
    (number && matches!(parts.next(), Some("do" | "undo"))).then_some(&POSTGRATOR)
}

/// The tool whose program a numbered file in a folder of migrations is.
pub(crate) fn tool_of_program(file: &str) -> Option<&'static ForeignTool> {
    let (stem, ending) = file.rsplit_once('.')?;
    let tool = match ending {
        "py" => &DJANGO,
        "rb" => &RAILS,
        "php" => &LARAVEL,
        "exs" => &ECTO,
        "cs" => &ENTITY_FRAMEWORK,
        "go" => &GOOSE,
        "js" | "ts" | "mjs" | "cjs" => &JAVASCRIPT,
        _ => return None,
    };
    let numbered = stem.starts_with(|c: char| c.is_ascii_digit())
        || stem.strip_prefix("Version").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    numbered.then_some(tool)
}

/// The tool whose migrations the folder's own entries are, with the entry that says so.
pub(crate) fn tool_of_folder(
    folder: &Path,
    entries: &[directory::DirectoryEntry],
) -> Option<(&'static ForeignTool, String)> {
    let has = |name: &str| entries.iter().any(|item| item.name == name);
    if has("committed") && (has("current.sql") || has("current") || has("afterReset.sql")) {
        return Some((&GRAPHILE, "committed".to_owned()));
    }
    if let Some(name) = ["atlas.sum", "sqitch.plan"].into_iter().find(|name| has(name)) {
        return Some((if name == "atlas.sum" { &ATLAS } else { &SQITCH }, name.to_owned()));
    }
    if has("meta") && folder.join("meta/_journal.json").is_file() {
        return Some((&DRIZZLE, "meta/_journal.json".to_owned()));
    }
    if has("sqls") && entries.iter().any(|item| !item.folder && tool_of_program(&item.name).is_some()) {
        return Some((&DB_MIGRATE, "sqls".to_owned()));
    }
    let above = folder.parent().unwrap_or(folder);
    if above.file_name().is_some_and(|name| name == "supabase")
        && above.join("config.toml").is_file()
        && let Some(first) =
            entries.iter().find(|item| !item.folder && crate::migrations::layout::is_sql(&item.name))
    {
        return Some((&SUPABASE, first.name.clone()));
    }
    let with_up =
        entries.iter().find(|item| item.folder && folder.join(&item.name).join("up.sql").is_file())?;
    let hasura = ["config.yaml", "metadata"]
        .iter()
        .any(|name| folder.ancestors().take(3).any(|folder| folder.join(name).exists()))
        || folder.file_name().is_some_and(|name| name == "default");
    Some((if hasura { &HASURA } else { &DIESEL }, format!("{}/up.sql", with_up.name)))
}

/// Files that say which tool a project uses; the second word has to stand in the file, and none of the third.
const CONFIGURATIONS: &[(&str, &ForeignTool, &[&str], &[&str])] = &[
    ("drizzle.config.ts", &DRIZZLE, &[], NOT_POSTGRES),
    ("drizzle.config.js", &DRIZZLE, &[], NOT_POSTGRES),
    ("drizzle.config.mjs", &DRIZZLE, &[], NOT_POSTGRES),
    ("drizzle.config.json", &DRIZZLE, &[], NOT_POSTGRES),
    ("diesel.toml", &DIESEL, &[], &[]),
    ("flyway.toml", &FLYWAY, &[], &[]),
    ("flyway.conf", &FLYWAY, &[], &[]),
    ("knexfile.js", &KNEX, &["pg", "postgres"], &[]),
    ("knexfile.ts", &KNEX, &["pg", "postgres"], &[]),
    ("knexfile.cjs", &KNEX, &["pg", "postgres"], &[]),
    ("knexfile.mjs", &KNEX, &["pg", "postgres"], &[]),
    ("alembic.ini", &ALEMBIC, &[], &[]),
    ("atlas.hcl", &ATLAS, &[], &[]),
    ("sqitch.conf", &SQITCH, &[], &[]),
    ("sqitch.plan", &SQITCH, &[], &[]),
    (".sequelizerc", &SEQUELIZE, &[], &[]),
    (".gmrc", &GRAPHILE, &[], &[]),
    (".gmrc.js", &GRAPHILE, &[], &[]),
    ("liquibase.properties", &LIQUIBASE, &[], &[]),
    ("tern.conf", &TERN, &[], &[]),
    ("yoyo.ini", &YOYO, &[], &[]),
    (".postgratorrc.json", &POSTGRATOR, &[], &[]),
    ("schema.prisma", &PRISMA, &["postgresql", "cockroachdb"], &[]),
];

const NOT_POSTGRES: &[&str] = &["sqlite", "mysql", "turso", "singlestore", "d1-http"];

/// The tools whose configuration lies in a folder, each with its file.
pub(crate) fn configured(folder: &Path) -> Vec<(&'static ForeignTool, PathBuf)> {
    let mut found: Vec<(&'static ForeignTool, PathBuf)> = Vec::new();
    for (name, tool, wanted, unwanted) in CONFIGURATIONS {
        let path = folder.join(name);
        if !path.is_file() || found.iter().any(|(known, _)| known == tool) {
            continue;
        }
        let text = directory::beginning(&path);
        let holds = |part: &&str| text.contains(*part);
        if (wanted.is_empty() || wanted.iter().any(holds)) && !unwanted.iter().any(holds) {
            found.push((tool, path));
        }
    }
    found
}

/// The database, other than PostgreSQL, that a folder of this name is for.
pub(crate) fn other_database(name: &str) -> bool {
    const OTHERS: &[&str] = &[
        "clickhouse",
        "mysql",
        "mysql5",
        "mysql8",
        "mariadb",
        "sqlite",
        "sqlite3",
        "mongo",
        "mongodb",
        "mssql",
        "sqlserver",
        "oracle",
        "cassandra",
        "scylla",
        "scylladb",
        "redis",
        "duckdb",
        "d1",
        "turso",
        "libsql",
        "cockroach",
        "cockroachdb",
        "crdb",
        "tidb",
        "snowflake",
        "bigquery",
        "spanner",
        "db2",
        "neo4j",
        "elasticsearch",
        "opensearch",
        "h2",
        "hsqldb",
        "derby",
        "firebird",
        "influxdb",
        "redshift",
        "ydb",
        "tarantool",
        "dynamodb",
        "couchdb",
        "surrealdb",
    ];
    let lower = name.to_ascii_lowercase();
    let mut parts = lower.split(['-', '_', '.']);
    let mine =
        |part: &str| matches!(part, "postgres" | "postgresql" | "pg" | "psql" | "timescale" | "timescaledb");
    parts.clone().any(|part| OTHERS.contains(&part)) && !parts.any(mine)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tool(text: &str) -> Option<&'static str> {
        mark(text).map(|mark| mark.tool.map_or("-", |tool| tool.name))
    }

    #[test]
    fn marks_of_other_tools_are_known() {
        for (text, name) in [
            ("-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;", "Goose"),
            ("-- +goose NO TRANSACTION\n", "Goose"),
            ("-- +migrate Up\nselect 1;", "sql-migrate"),
            ("-- +micrate Up\n", "Micrate"),
            ("create table t();\n---- create above / drop below ----\ndrop table t;", "tern"),
            ("-- rambler up\nselect 1;", "rambler"),
            ("-- Up Migration\nselect 1;\n-- Down Migration\n", "node-pg-migrate"),
            ("--liquibase formatted sql\n--changeset a:1\n", "Liquibase"),
            ("-- // a change\nselect 1;\n-- //@UNDO\nselect 2;", "MyBatis Migrations"),
            ("select 1;\n-- @UNDO\n", "MyBatis Migrations"),
            ("# --- !Ups\nselect 1;\n# --- !Downs\n", "Play evolutions"),
            ("--! Previous: -\n--! Hash: sha1:0\n", "Graphile Migrate"),
            ("-- migrate:up\nselect 1;", "dbmate"),
            ("-- Migrate: Down\nselect 1;", "dbmate"),
            ("-- Deploy shop:users to pg\nbegin; commit;", "Sqitch"),
            ("-- depends: 0001.a\nselect 1;", "yoyo"),
            ("select 1;\n-- ==== DOWN ====\nselect 2;", "-"),
            ("select 1;\n/* Rollback script */\nselect 2;", "-"),
            ("-- Undo:\ndrop table t;", "-"),
        ] {
            assert_eq!(tool(text), Some(name), "{text}");
        }
    }

    #[test]
    fn prose_strings_and_bodies_are_no_marks() {
        for text in [
            "-- roll up the sums\nselect 1;",
            "-- what happens when a host goes down\nselect 1;",
            "select '-- +goose Down';",
            "select $$\n-- +migrate Down\n$$;",
            "create table t();\n-- Rollback:\n-- drop table t;\n",
            "-- the users table\ncreate table users ();",
            "--> statement-breakpoint\nselect 1;",
            "-- CreateTable\ncreate table t ();",
        ] {
            assert_eq!(tool(text), None, "{text}");
        }
    }

    #[test]
    fn a_way_back_is_known_by_its_name() {
        let alone = |stem: &str| way_back(stem, false);
        for stem in [
            "20240101000000_users_down",
            "1_a.down",
            "1_a-rollback",
            "0001.create.rollback",
            "001.undo.users",
            "1_a_UNDO",
            "0001_down_users",
            "3_revert",
            "0002_users.revert",
        ] {
            assert!(alone(stem).is_some(), "{stem}");
        }
        for stem in [
            "0001_drop_users",
            "0002_users_drop",
            "0003_revert_the_default",
            "0004_download",
            "0005_undo_log_table",
            "down",
            "0006_rollback_flag",
            "0007_users",
        ] {
            assert_eq!(alone(stem), None, "{stem}");
        }
        for stem in ["0002_users_drop", "0003_revert_the_default", "0004_rollback_users", "0005_undo_users"] {
            assert!(way_back(stem, true).is_some(), "{stem} beside another of its number");
        }
        assert_eq!(way_back("0001_drop_users", true), None);
    }

    #[test]
    fn names_of_other_tools_are_known() {
        let name = |file: &str| tool_of_name(file).map(|tool| tool.name);
        for file in [
            "V1__t.sql",
            "V10__t.sql",
            "V1.2_3__t.sql",
            "U1__t.sql",
            "R__view.sql",
            "B5__base.sql",
            "afterMigrate__x.sql",
        ] {
            assert_eq!(name(file), Some("Flyway"), "{file}");
        }
        assert_eq!(name("001.do.users.sql"), Some("Postgrator"));
        assert_eq!(name("afterReset.sql"), Some("Graphile Migrate"));
        for file in ["0001_a.sql", "0001__a.sql", "view__a.sql", "Views__x.sql", "001.download.sql"] {
            assert_eq!(name(file), None, "{file}");
        }
    }

    #[test]
    fn folders_of_other_databases_are_known_by_their_words() {
        for name in ["clickhouse", "mysql", "sqlite3", "migrations-mysql", "migrations_sqlite", "MongoDB"] {
            assert!(other_database(name), "{name}");
        }
        for name in ["migrations", "postgres", "pg", "mysql-to-postgres", "redistribution", "db"] {
            assert!(!other_database(name), "{name}");
        }
    }
}
