//! Any other tool, in the backend's container: Django, Alembic, Rails and whatever [`presets`] or the configuration name.
//!
//! The tool's own `status` lists the pending migrations. A change is believed when `status` reports it afterwards.
//! The tool takes the database from the container's environment: envctl passes no password.
//!
//! Promises: an output that is not understood is not "nothing to apply"; what a tool cannot tell is said to be unknown;
//! a failure has the end of the tool's output and a next command.

mod changed_files;
pub(crate) mod detect;
pub(crate) mod drop_schemas;
pub(crate) mod parse_status;
pub(crate) mod presets;
pub(crate) mod resolved_tool;
#[cfg(test)]
mod tests;

pub(crate) use changed_files::ChangedFile;
pub(crate) use detect::{Found, ToolFiles};
pub(crate) use resolved_tool::{Commands, ResolvedTool, ToolChoice, preset};

use super::history::{History, Migration, MigrationState};
use super::plan::{Applied, MigrationPlan, PlannedMigration};
use super::reset::ResetPlan;
use super::{MigrationName, sql::SqlDriver};
use crate::consent::Confirmed;
use crate::docker::exec::CommandOutput;
use crate::docker::exec::run_command as program;
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Error, ErrorKind, Result};
use crate::postgres::Session;
use crate::postgres::lock::{self, LockMode};
use crate::text::terminal::without_escape_sequences;

/// In the place of names where nothing was ever applied and the tool lists nothing then.
pub(crate) const EVERY: &str = "every migration";
/// In the place of names where the tool cannot list.
pub(crate) const UNLISTED: &str = "whatever is pending";

/// A tool, where it runs, and the database that it is for.
pub(crate) struct CommandDriver {
    /// The database's side; it has no files.
    pub(crate) sql: SqlDriver,
    /// Container of the tool.
    pub(crate) backend: Container,
    /// Command lines of the tool.
    pub(crate) tool: ResolvedTool,
}

/// Result of the tool's `status`.
enum ToolStatus {
    Listed(Vec<Migration>),
    /// The tool's table is not there yet.
    Fresh,
    /// There is no `status`, or its words were not understood.
    Unknown(String),
}

impl CommandDriver {
    /// Returns the driver's name, as plans show it.
    pub(crate) fn name(&self) -> String {
        format!("{} in {}", self.tool.name, self.backend.name)
    }

    /// Any program in the tool's directory.
    async fn call(&self, argv: &[String]) -> Result<CommandOutput> {
        program::run(&self.backend, &spec(&self.tool, argv), &self.sql.operation.cancel).await
    }

    /// The tool itself.
    async fn run(&self, argv: &[String]) -> Result<CommandOutput> {
        self.call(argv).await.map_err(|error| match error.kind() {
            ErrorKind::Tool => error.hint(not_there(&self.tool)),
            _ => error,
        })
    }

    async fn standing(&self) -> Result<ToolStatus> {
        let Some(argv) = &self.tool.status else {
            return Ok(ToolStatus::Unknown(format!("{} cannot list what is pending", self.tool.name)));
        };
        let captured = self.run(argv).await?;
        let both = said(&captured);
        if self.tool.fresh.iter().any(|arguments| both.contains(arguments)) {
            return Ok(ToolStatus::Fresh);
        }
        if captured.exit_code != 0 {
            return Err(failure(&self.tool, argv, &captured, &self.backend.name));
        }
        // Goose lists on stderr, with its log.
        let text = if captured.stdout.is_empty() { both } else { captured.text() };
        Ok(match crate::migrations::command::parse_status::read(self.tool.reading, self.tool.none, &text) {
            Some(found) => ToolStatus::Listed(found),
            None => {
                ToolStatus::Unknown(format!("the output of `{}` lists nothing that is known", argv.join(" ")))
            }
        })
    }

    /// Returns the state of each migration, as the tool reports it.
    ///
    /// # Errors
    /// Kind `ResolvedTool`: it failed. Kind `Usage`: it cannot list.
    pub(crate) async fn history(&self) -> Result<History> {
        let migrations = match self.standing().await? {
            ToolStatus::Listed(migrations) => migrations,
            ToolStatus::Fresh => vec![nameless(EVERY)],
            ToolStatus::Unknown(why) => {
                return Err(error::usage(format!("where the migrations stand is not known: {why}")).hint(
                    "name a command that prints `[X] NAME` and `[ ] NAME` lines: `[migrations.commands] status` in envctl.toml",
                ));
            }
        };
        Ok(History {
            driver: self.name(),
            database: self.sql.access.database.clone(),
            folder: self.tool.dir.clone(),
            migrations,
            remarks: Vec::new(),
        })
    }

    /// Returns the plan of applying, as far as the tool reports it.
    ///
    /// # Errors
    /// Kind `ResolvedTool`: it failed. Kind `Unknown`: a migration failed before.
    pub(crate) async fn plan(&self) -> Result<MigrationPlan> {
        let mut remarks = Vec::new();
        let waiting = match self.standing().await? {
            ToolStatus::Listed(migrations) => {
                if let Some(failed) =
                    migrations.iter().find(|one| matches!(one.state, MigrationState::Failed { .. }))
                {
                    let error = Error::new(ErrorKind::Unknown, format!("{} failed before", failed.name));
                    return Err(error.hint(self.tool.resolves_nothing().hints().join("; ")));
                }
                migrations
                    .into_iter()
                    .filter(|one| one.state == MigrationState::Pending)
                    .map(|one| one.name)
                    .collect()
            }
            ToolStatus::Fresh => vec![EVERY.to_owned()],
            ToolStatus::Unknown(why) => {
                remarks.push(why);
                vec![UNLISTED.to_owned()]
            }
        };
        if !waiting.is_empty() {
            remarks
                .push(format!("runs `{}`; what its statements risk is not shown", self.tool.apply.join(" ")));
        }
        let planned = |name| PlannedMigration { name, statements: None, risks: Vec::new() };
        Ok(MigrationPlan {
            driver: self.name(),
            database: self.sql.access.database.clone(),
            folder: self.tool.dir.clone(),
            pending: waiting.into_iter().map(planned).collect(),
            remarks,
            // The order is the tool's own affair.
            out_of_order: None,
        })
    }

    /// The tool's own `apply`, beside our lock, believed when its `status` agrees.
    ///
    /// # Errors
    /// Kind `ResolvedTool`: it failed, with the end of its output. Kind `Unknown`: it ended well, and something waits still.
    pub(crate) async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let blocking = self.hold().await?;
        let ran = self.apply_now().await;
        blocking.close().await;
        ran?;
        let plan = plan.plan();
        let mut done = Applied { driver: self.name(), database: plan.database.clone(), ..Applied::default() };
        let ToolStatus::Listed(after) = self.standing().await? else {
            done.remarks.push(format!("{} ended well; what it applied it does not list", self.tool.name));
            return Ok(done);
        };
        let waits =
            |name: &str| after.iter().any(|one| one.name == name && one.state != MigrationState::Applied);
        let left: Vec<&str> =
            plan.pending.iter().map(|planned| planned.name.as_str()).filter(|name| waits(name)).collect();
        if !left.is_empty() {
            return Err(error::unknown(format!(
                "{} ended well, but says that it has not applied {}",
                self.tool.name,
                left.join(", ")
            ))
            .hint(format!("see for yourself: `envctl exec backend -- {}`", self.tool.apply.join(" "))));
        }
        done.applied = match plan.pending.as_slice() {
            [one] if one.name == EVERY => after.into_iter().map(|one| one.name).collect(),
            [one] if one.name == UNLISTED => Vec::new(),
            named => named.iter().map(|planned| planned.name.clone()).collect(),
        };
        Ok(done)
    }

    async fn apply_now(&self) -> Result<()> {
        self.must(&self.tool.apply).await
    }

    /// Runs it, and takes a non-zero exit code for a failure.
    async fn must(&self, argv: &[String]) -> Result<()> {
        self.sql.operation.progress.step(&format!("{}: {}", self.tool.name, argv.join(" ")));
        let captured = self.run(argv).await?;
        if captured.exit_code == 0 {
            return Ok(());
        }
        Err(failure(&self.tool, argv, &captured, &self.backend.name))
    }

    async fn hold(&self) -> Result<Session> {
        let sql = &self.sql;
        let application = sql.application();
        let holding =
            lock::hold(&sql.container, &sql.access, &application, LockMode::Exclusive, sql.lock_limit);
        sql.operation.cancel.run_until_cancelled(holding).await?
    }

    /// Drops everything, applies everything, and seeds where the tool can: by the tool's own verb, else envctl empties
    /// the database and the tool applies.
    ///
    /// # Errors
    /// Kind `ResolvedTool`. As [`CommandDriver::apply`].
    pub(crate) async fn reset(&self, plan: &Confirmed<ResetPlan>) -> Result<()> {
        if let Some(argv) = &self.tool.reset {
            self.must(argv).await?;
        } else {
            let mut blocking = self.hold().await?;
            self.sql.operation.progress.step("dropping what is there");
            crate::migrations::command::drop_schemas::empty(&mut blocking, self.sql.lock_limit).await?;
            let ran = self.apply_now().await;
            blocking.close().await;
            ran?;
        }
        match &self.tool.seed {
            Some(argv) if plan.plan().seed => self.must(argv).await,
            _ => Ok(()),
        }
    }

    /// Has the tool write a migration; gives the files that are new or changed.
    ///
    /// # Errors
    /// Kind `Usage`: no such verb. `Refused`: it wrote nothing. `ResolvedTool`: it failed.
    pub(crate) async fn create(&self, name: &MigrationName, empty: bool) -> Result<Vec<ChangedFile>> {
        let argv = self.tool.creating(name, empty)?;
        let call = async |argv: &[String]| self.call(argv).await;
        let before = changed_files::listing(&self.tool, call).await?;
        self.sql.operation.progress.step(&format!("{}: {}", self.tool.name, argv.join(" ")));
        let captured = self.run(&argv).await?;
        if captured.exit_code != 0 {
            return Err(failure(&self.tool, &argv, &captured, &self.backend.name));
        }
        let written = changed_files::find_changes(&before, &self.tool, &self.backend.name, call).await?;
        if written.is_empty() {
            return Err(error::refused(format!(
                "{} wrote no new file: {}",
                self.tool.name,
                stderr_tail(&captured)
            ))
            .hint(
                "change the models first, or write an empty migration for statements of your own: `--empty`",
            ));
        }
        Ok(written)
    }
}

/// A call in the tool's directory, its colours off where it heeds the usual variable.
pub(crate) fn spec(tool: &ResolvedTool, argv: &[String]) -> ExecSpec {
    let mut spec = ExecSpec::new(argv.to_vec()).env("NO_COLOR", "1");
    spec.workdir = Some(tool.dir.clone());
    spec
}

fn nameless(what: &str) -> Migration {
    Migration { name: what.to_owned(), state: MigrationState::Pending, applied_at: None }
}

/// Both streams, without colours.
fn said(captured: &CommandOutput) -> String {
    let both = [&captured.stdout[..], b"\n", &captured.stderr[..]].concat();
    without_escape_sequences(&String::from_utf8_lossy(&both))
}

/// The last lines of what it printed: a traceback ends with what went wrong.
fn stderr_tail(captured: &CommandOutput) -> String {
    let stream = if captured.complaint().is_empty() {
        said(captured)
    } else {
        without_escape_sequences(&captured.complaint())
    };
    let lines: Vec<&str> = stream.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => "there was no output".to_owned(),
        all => all[all.len().saturating_sub(3)..].join("; "),
    }
}

fn not_there(tool: &ResolvedTool) -> String {
    format!(
        "is {} in the image? another service has it: `[profiles.dev] backend`; another command line: `[migrations.commands]`",
        tool.name
    )
}

/// A failed call, with what to type.
fn failure(tool: &ResolvedTool, argv: &[String], captured: &CommandOutput, container: &str) -> Error {
    let line = argv.join(" ");
    let error = error::tool(format!(
        "`{line}` in {container} ended with {}: {}",
        captured.exit_code,
        stderr_tail(captured)
    ));
    let arguments = said(captured);
    let absent = ["No module named", "npx canceled", "could not determine executable", "command not found"];
    if matches!(captured.exit_code, 126 | 127) || absent.iter().any(|absent| arguments.contains(absent)) {
        return error.hint(not_there(tool));
    }
    error.hint(format!("see for yourself: `envctl exec backend -- {line}`"))
}
