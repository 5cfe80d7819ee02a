//! The real Prisma CLI, in the backend's container.
//!
//! The history and the plan are read from the container's files and the database, as the `sql` driver reads
//! them: that is quicker than the CLI and says more. What changes something is done by the CLI itself, and
//! believed only when the database says the same.

mod cli;
mod deploy;
pub(crate) mod fetch_files;
pub(crate) mod output;
mod studio;

use jiff::Timestamp;

pub(crate) use cli::{GUARD, PrismaCli, PrismaSettings};
pub(crate) use fetch_files::fetch;
pub(crate) use studio::{Studio, StudioCli, StudioImage};

use super::plan::MigrationPlan;
use super::sql::{ResolvePlan, SqlDriver};
use super::{History, MigrationName};
use crate::consent::Confirmed;
use crate::docker::exec::CommandOutput;
use crate::docker::exec::run_command;
use crate::docker::{Container, ExecSpec};
use crate::error::{self, ErrorKind, Result};
use crate::postgres::Session;

/// The CLI, its files, and the database that they are for.
pub(crate) struct PrismaDriver {
    /// The database's side; its folder holds a copy of the container's files.
    pub(crate) sql: SqlDriver,
    /// Container of the CLI.
    pub(crate) backend: Container,
    /// Program, directory and schema of the CLI.
    pub(crate) cli: PrismaCli,
    /// Environment variables that Prisma's own guard reads.
    pub(crate) guard: Vec<(String, String)>,
    /// The copy; it ends with the driver.
    pub(crate) _files: tempfile::TempDir,
}

/// A migration that was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct CreatedMigration {
    /// Name of the migration, with the time in front.
    pub(crate) name: String,
    /// SQL of the migration; empty where the schema has no changes.
    pub(crate) sql: String,
}

impl PrismaDriver {
    /// Returns the driver's name, as plans show it.
    pub(crate) fn name(&self) -> String {
        format!("prisma in {}", self.backend.name)
    }

    /// Runs `prisma WORDS`.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<CommandOutput> {
        run_command::run(&self.backend, &self.cli.spec(arguments, &self.guard), &self.sql.operation.cancel)
            .await
    }

    /// Returns the state of each migration.
    pub(crate) async fn history(&self) -> Result<History> {
        Ok(self.own(self.sql.history().await?))
    }

    /// Returns the state of each migration, through an open session.
    pub(crate) async fn history_in(&self, session: &mut Session) -> Result<History> {
        Ok(self.own(self.sql.history_in(session).await?))
    }

    fn own(&self, history: History) -> History {
        History { driver: self.name(), folder: self.place(), ..history }
    }

    fn place(&self) -> String {
        format!("{}/{}", self.cli.dir, self.cli.migrations)
    }

    /// Returns the plan of applying the pending migrations.
    pub(crate) async fn plan(&self, session: &mut Session) -> Result<MigrationPlan> {
        let (mut plan, alone) = self.sql.plan_of(session).await?;
        // Prisma's native engine sends a file as one query, its adapters for JavaScript send some in pieces.
        plan.remarks.extend(alone.map(|error| format!("may fail: {}", error.message())));
        Ok(MigrationPlan { driver: self.name(), folder: self.place(), ..plan })
    }

    /// A person's word, as the row that Prisma would write, under its lock: `prisma migrate resolve` needs the native
    /// engine even where everything else works without (seen with 6.19.3).
    ///
    /// # Errors
    /// Prisma's refusals (P3008, P3012, P3017) as ours.
    pub(crate) async fn resolve(&self, plan: &Confirmed<ResolvePlan>) -> Result<()> {
        self.sql.resolve(plan).await
    }

    /// Writes the difference between the migrations and the schema as a new one. The dev database is neither
    /// asked nor changed: `migrate dev --create-only` would apply what is pending first, and offer to reset it.
    ///
    /// # Errors
    /// Kind `Usage`: an error in the schema. `Tool`.
    pub(crate) async fn create(
        &self,
        name: &MigrationName,
        at: Timestamp,
        empty: bool,
    ) -> Result<CreatedMigration> {
        let sql = if empty { String::new() } else { self.difference().await? };
        let written = CreatedMigration { name: name.dated(at), sql };
        if written.sql.is_empty() && !empty {
            return Err(error::refused("the schema says nothing that the migrations do not say")
                .hint("edit the schema first, or write an empty migration for SQL of your own: `--empty`"));
        }
        self.put(&written).await?;
        Ok(written)
    }

    async fn difference(&self) -> Result<String> {
        let schema = self.cli.schema_file.as_deref().ok_or_else(|| {
            error::usage("the schema's file is not known")
                .hint("name it in envctl.toml: `[migrations] schema = \"path/in/the/container\"`")
        })?;
        let none = self.sql.scripts()?.is_empty();
        let from: &[&str] =
            if none { &["--from-empty"] } else { &["--from-migrations", &self.cli.migrations] };
        let arguments = [&["migrate", "diff"], from, &["--to-schema-datamodel", schema, "--script"]].concat();
        let captured = self.run(&arguments).await?;
        if captured.exit_code != 0 {
            let failure =
                crate::migrations::prisma::output::failure("migrate diff", &captured, &self.backend.name);
            if crate::migrations::prisma::output::said(&captured).contains("shadow") {
                return Err(failure
                    .with_kind(ErrorKind::Tool)
                    .note("Prisma compares in a shadow database")
                    .hint(
                        "give the schema's datasource a `shadowDatabaseUrl`, with a role that may use it",
                    ));
            }
            return Err(failure);
        }
        let text = captured.text();
        let nothing = text.trim().is_empty() || text.contains("This is an empty migration");
        Ok(if nothing { String::new() } else { format!("{}\n", text.trim_end()) })
    }

    /// Puts a new folder into the container's own: with a bind mount it is on this machine at once.
    async fn put(&self, written: &CreatedMigration) -> Result<()> {
        // The lock file is what makes Prisma take a folder for its own.
        const WRITE: &str = r#"set -e
            mkdir -p -- "$1"
            [ -e "$1/migration_lock.toml" ] || printf 'provider = "postgresql"\n' >"$1/migration_lock.toml"
            mkdir -- "$1/$2"
            cat >"$1/$2/migration.sql""#;
        let mut spec = ExecSpec::new(["sh", "-c", WRITE, "envctl", &self.cli.migrations, &written.name]);
        spec.workdir = Some(self.cli.dir.clone());
        let wrote = self.backend.capture(&spec, Some(written.sql.as_bytes())).await?;
        if wrote.exit_code != 0 {
            return Err(error::tool(format!(
                "{} cannot be written in container {}: {}",
                self.place(),
                self.backend.name,
                wrote.complaint()
            )));
        }
        Ok(())
    }

    /// The absolute path of a migration in the container.
    pub(crate) fn path_of(&self, name: &str) -> String {
        format!("{}/{name}/migration.sql", self.place())
    }
}
