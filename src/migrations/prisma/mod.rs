//! The real Prisma CLI, in the backend's container.
//!
//! The history and the plan are read from the container's files and the database, as the `sql` driver reads
//! them: that is quicker than the CLI and says more. What changes something is done by the CLI itself, and
//! believed only when the database says the same.

mod cli;
mod files;
mod studio;
mod words;

use std::sync::Arc;

use jiff::Timestamp;

pub use cli::{Cli, GUARD, Wishes};
pub use files::fetch;
pub use studio::{Studio, StudioCli};

use super::history::State;
use super::plan::{Applied, MigrationPlan};
use super::sql::{ResolvePlan, SqlDriver};
use super::{History, MigrationName};
use crate::docker::exec::{Captured, capture};
use crate::docker::{Container, Engine, ExecSpec, tool};
use crate::error::{self, ErrorKind, Result};
use crate::postgres::Session;
use crate::postgres::lock::{self, Mode};
use crate::ui::Confirmed;

/// The CLI, its files, and the database that they are for.
pub struct PrismaDriver {
    /// The database's side; its folder holds a copy of the container's files.
    pub sql: SqlDriver,
    /// Where the CLI is.
    pub backend: Container,
    /// What it is called with.
    pub cli: Cli,
    /// What Prisma's own guard reads.
    pub guard: Vec<(String, String)>,
    /// The copy; it ends with the driver.
    pub files: tempfile::TempDir,
}

/// A migration that was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Written {
    /// Its name, with the time before it.
    pub name: String,
    /// Its SQL; empty where the schema says nothing new.
    pub sql: String,
}

impl PrismaDriver {
    /// Its name in plans.
    pub fn name(&self) -> String {
        format!("prisma in {}", self.backend.name)
    }

    fn engine(&self) -> &Arc<dyn Engine> {
        &self.sql.engine
    }

    /// Runs `prisma WORDS`.
    ///
    /// # Errors
    /// As [`tool::run`].
    pub async fn run(&self, words: &[&str]) -> Result<Captured> {
        tool::run(self.engine(), &self.backend, &self.cli.spec(words, &self.guard), &self.sql.interrupt).await
    }

    /// What stands where.
    ///
    /// # Errors
    /// As [`SqlDriver::history`].
    pub async fn history(&self) -> Result<History> {
        Ok(self.own(self.sql.history().await?))
    }

    /// The same through a session that is open already.
    ///
    /// # Errors
    /// As [`SqlDriver::history`].
    pub async fn history_in(&self, session: &mut Session) -> Result<History> {
        Ok(self.own(self.sql.history_in(session).await?))
    }

    fn own(&self, history: History) -> History {
        History { driver: self.name(), folder: self.place(), ..history }
    }

    fn place(&self) -> String {
        format!("{}/{}", self.cli.dir, self.cli.migrations)
    }

    /// What applying would do.
    ///
    /// # Errors
    /// As [`SqlDriver::plan`].
    pub async fn plan(&self) -> Result<MigrationPlan> {
        Ok(MigrationPlan { driver: self.name(), folder: self.place(), ..self.sql.plan().await? })
    }

    /// `prisma migrate deploy`, beside our own lock, believed when the database agrees.
    ///
    /// # Errors
    /// Prisma's states as ours. Kind `Unknown`: it says it has applied what the database does not know.
    pub async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let holder = self.hold().await?;
        self.sql.progress.step("prisma migrate deploy");
        let ran = self.run(&["migrate", "deploy"]).await;
        holder.close().await;
        let captured = ran?;
        if captured.exit_code != 0 {
            return Err(self.deploy_failed(&captured).await);
        }
        let after = self.history().await?;
        let wanted = plan.plan().pending.iter().map(|planned| planned.name.clone());
        let (applied, missing): (Vec<String>, Vec<String>) = wanted.partition(|name| {
            after.migrations.iter().any(|one| one.name == *name && one.state == State::Applied)
        });
        if !missing.is_empty() {
            return Err(error::unknown(format!(
                "Prisma ended well, but database {:?} does not have {}",
                after.database,
                missing.join(", ")
            ))
            .hint("does the backend use another database? compare DATABASE_URL with the target line"));
        }
        Ok(Applied { driver: self.name(), database: after.database, applied, remarks: Vec::new() })
    }

    /// Which migration it was is in the database whatever the CLI prints: its JavaScript engine gives no code.
    async fn deploy_failed(&self, captured: &Captured) -> error::Error {
        let told = words::failure("migrate deploy", captured, &self.backend.name);
        let known = matches!(
            told.kind(),
            ErrorKind::Busy | ErrorKind::Unknown | ErrorKind::Refused | ErrorKind::Usage
        );
        let after = if known { None } else { self.history().await.ok() };
        let Some(failed) = after.as_ref().and_then(|history| history.failed().first().copied().cloned())
        else {
            return told;
        };
        let State::Failed { logs } = &failed.state else { return told };
        let name = failed.name;
        let why = words::database_error(logs).or_else(|| words::database_error(&words::said(captured)));
        let why = why.unwrap_or_else(|| told.message().to_owned());
        error::tool(format!("{name} failed: {why}")).hint(format!(
            "mend its file, then `envctl migrate resolve {name} --rolled-back` and `envctl migrate`"
        ))
    }

    async fn hold(&self) -> Result<Session> {
        let application = format!("envctl/{} migrate {}", &self.sql.operation[..8], self.sql.who);
        let sql = &self.sql;
        let holding = lock::hold(
            &sql.engine,
            &sql.container,
            &sql.access,
            &application,
            Mode::Exclusive,
            sql.lock_limit,
        );
        self.sql.interrupt.or(holding).await?
    }

    /// `prisma migrate reset --force`: the caller has asked, and Prisma's own guard hears of it too.
    ///
    /// # Errors
    /// Prisma's states as ours.
    pub async fn reset(&self, skip_seed: bool) -> Result<()> {
        self.sql.progress.step("prisma migrate reset");
        let mut words = vec!["migrate", "reset", "--force", "--skip-generate"];
        if skip_seed {
            words.push("--skip-seed");
        }
        let captured = self.run(&words).await?;
        if captured.exit_code != 0 {
            return Err(words::failure("migrate reset", &captured, &self.backend.name));
        }
        let history = self.history().await?;
        if history.is_settled() {
            return Ok(());
        }
        Err(error::unknown(format!("Prisma ended well, but in database {:?}: {history}", history.database))
            .hint("look: `envctl migrate status`"))
    }

    /// A person's word, as the row that Prisma would write, under its lock: `prisma migrate resolve` needs the native
    /// engine even where everything else works without (seen with 6.19.3).
    ///
    /// # Errors
    /// Prisma's refusals (P3008, P3012, P3017) as ours.
    pub async fn resolve(&self, plan: &Confirmed<ResolvePlan>) -> Result<()> {
        self.sql.resolve(plan).await
    }

    /// Writes the difference between the migrations and the schema as a new one. The dev database is neither
    /// asked nor changed: `migrate dev --create-only` would apply what is pending first, and offer to reset it.
    ///
    /// # Errors
    /// Kind `Usage`: an error in the schema. `Tool`.
    pub async fn create(&self, name: &MigrationName, at: Timestamp, empty: bool) -> Result<Written> {
        let sql = if empty { String::new() } else { self.difference().await? };
        let written = Written { name: name.dated(at), sql };
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
        let words = [&["migrate", "diff"], from, &["--to-schema-datamodel", schema, "--script"]].concat();
        let captured = self.run(&words).await?;
        if captured.exit_code != 0 {
            let failure = words::failure("migrate diff", &captured, &self.backend.name);
            if words::said(&captured).contains("shadow") {
                return Err(failure.with_kind(ErrorKind::Tool).hint(
                    "Prisma compares in a shadow database: give the schema's datasource a `shadowDatabaseUrl`, with a role that may use it",
                ));
            }
            return Err(failure);
        }
        let text = captured.text();
        let nothing = text.trim().is_empty() || text.contains("This is an empty migration");
        Ok(if nothing { String::new() } else { format!("{}\n", text.trim_end()) })
    }

    /// Puts a new folder into the container's own: with a bind mount it is on this machine at once.
    async fn put(&self, written: &Written) -> Result<()> {
        // The lock file is what makes Prisma take a folder for its own.
        const WRITE: &str = r#"set -e
            mkdir -p -- "$1"
            [ -e "$1/migration_lock.toml" ] || printf 'provider = "postgresql"\n' >"$1/migration_lock.toml"
            mkdir -- "$1/$2"
            cat >"$1/$2/migration.sql""#;
        let mut spec = ExecSpec::new(["sh", "-c", WRITE, "envctl", &self.cli.migrations, &written.name]);
        spec.workdir = Some(self.cli.dir.clone());
        let wrote = capture(self.engine(), &self.backend, &spec, Some(written.sql.as_bytes())).await?;
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
    pub fn path_of(&self, name: &str) -> String {
        format!("{}/{name}/migration.sql", self.place())
    }

    /// The failure of any other verb of the CLI.
    pub fn failure(&self, verb: &str, captured: &Captured) -> error::Error {
        words::failure(verb, captured, &self.backend.name)
    }
}
