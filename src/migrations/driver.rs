//! Which driver a project's migrations want: what is configured, else what is there.
//!
//! Promise: nothing is guessed where two would fit; the error lists both and names the setting that picks.

use std::path::{Path, PathBuf};

use super::command::{CommandDriver, Found, ToolChoice, preset};
use super::find_folders::Survey;
use super::layout::{Layout, next_flat};
use super::plan::{Applied, MigrationPlan};
use super::prisma::PrismaDriver;
use super::reset::ResetPlan;
use super::rewritten_tables::TableFiles;
use super::sql::{ResolvePlan, SqlDriver};
use super::{History, MigrationName};
use crate::cancel::CancelToken;
use crate::consent::Confirmed;
use crate::error::{self, Result};
use crate::migrations::driver_inputs::DriverInputs;
use crate::postgres::Session;

/// The driver that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DriverChoice {
    /// The CLI in the backend.
    Prisma,
    /// Our own runner on files of this machine.
    Sql {
        /// Layout of the files.
        layout: Layout,
        /// Folder of the files.
        folder: PathBuf,
    },
    /// Another tool in the backend.
    Command(ToolChoice),
}

/// Chooses.
///
/// # Errors
/// Kind `Usage`: none, or more than one. Kind `Refused`: those of a tool that envctl does not replace.
pub(crate) fn choose(evidence: &DriverInputs<'_>) -> Result<DriverChoice> {
    if evidence.wanted() == "command" {
        return pick(evidence).map(DriverChoice::Command);
    }
    if evidence.driver == "prisma" {
        return if evidence.cli_in.is_some() {
            Ok(DriverChoice::Prisma)
        } else {
            Err(error::usage("the backend's container has no Prisma CLI (node_modules/.bin/prisma)")
                .hint("apply the same folders without it: `[migrations] driver = \"sql\"` in envctl.toml"))
        };
    }
    let survey = Survey::of(evidence)?;
    if evidence.driver == "auto" && (evidence.cli_in.is_some() || !evidence.tools.is_empty()) {
        return in_the_backend(evidence, survey.marked);
    }
    let found = match (survey.marked.is_empty(), survey.theirs.first()) {
        (false, _) => survey.marked,
        // A tool's own files beat files that only end in `.sql`.
        (true, Some(_)) => return Err(survey.theirs(evidence)),
        (true, None) => survey.bare,
    };
    match found.as_slice() {
        [(layout, folder)] => Ok(DriverChoice::Sql { layout: *layout, folder: folder.clone() }),
        [] => Err(survey.nothing.error(evidence)),
        several => Err(several_fit(
            several.iter().map(|(layout, folder)| format!("{} in {}", layout.keyword(), folder.display())),
        )),
    }
}

/// Reports whether there is anything on this machine to choose from.
pub(crate) fn has_any(evidence: &DriverInputs<'_>) -> bool {
    // What is wrong is told when it is chosen.
    Survey::of(evidence).map_or(true, |survey| !survey.is_empty())
}

/// With a tool in the backend, the folders of this machine are a second one, unless they are Prisma's beside its CLI.
fn in_the_backend(evidence: &DriverInputs<'_>, mut found: Vec<(Layout, PathBuf)>) -> Result<DriverChoice> {
    if evidence.cli_in.is_some() {
        found.retain(|(layout, _)| *layout != Layout::Prisma);
    }
    match (evidence.cli_in, evidence.tools, found.as_slice()) {
        (Some(_), [], []) => Ok(DriverChoice::Prisma),
        (None, [tool], []) => Ok(DriverChoice::Command(ToolChoice::Preset(tool.preset))),
        (cli, tools, folders) => {
            let prisma = cli.map(|container| format!("prisma: the CLI in container {container}"));
            let tools = tools.iter().map(|tool| in_words(tool, evidence));
            let folders = folders.iter().map(|(layout, folder)| {
                format!("sql: the {} files in {}", layout.keyword(), folder.display())
            });
            Err(several_fit(prisma.into_iter().chain(tools).chain(folders)))
        }
    }
}

fn in_words(tool: &Found, evidence: &DriverInputs<'_>) -> String {
    let container = evidence.backend.unwrap_or("the backend");
    format!("command: {} ({} in container {container})", tool.preset.name, tool.file)
}

/// Which tool `command` calls.
fn pick(evidence: &DriverInputs<'_>) -> Result<ToolChoice> {
    if let Some(name) = evidence.preset {
        return preset(name).map(ToolChoice::Preset);
    }
    match evidence.tools {
        [tool] => Ok(ToolChoice::Preset(tool.preset)),
        _ if evidence.own => Ok(ToolChoice::Own),
        [] => Err(error::usage(format!(
            "no tool for migrations was recognised in container {}",
            evidence.backend.unwrap_or("of the backend")
        ))
        .hint("name it: `[migrations] preset = \"django\"` in envctl.toml, or its command lines: `[migrations.commands]`")
        .hint("name another directory of the container: `[migrations] dir`")),
        several => Err(several_fit(several.iter().map(|tool| in_words(tool, evidence)))),
    }
}

fn several_fit(found: impl Iterator<Item = String>) -> error::Error {
    let list: Vec<String> = found.map(|one| format!("\n    {one}")).collect();
    error::usage(format!("several kinds of migrations fit:{}", list.concat())).hint(
        "say which in envctl.toml: `[migrations] driver`, `preset`, `dir` and `layout`; `envctl config` shows them",
    )
}

/// A driver, ready.
pub(crate) enum Driver {
    /// The CLI in the backend.
    Prisma(Box<PrismaDriver>),
    /// Our own runner.
    Sql(Box<SqlDriver>),
    /// Another tool in the backend.
    Command(Box<CommandDriver>),
}

impl Driver {
    /// Returns the state of each migration.
    pub(crate) async fn history(&self) -> Result<History> {
        match self {
            Self::Prisma(driver) => driver.history().await,
            Self::Sql(driver) => driver.history().await,
            Self::Command(driver) => driver.history().await,
        }
    }

    /// Returns the state of each migration, through an open session.
    pub(crate) async fn history_in(&self, session: &mut Session) -> Result<History> {
        match self {
            Self::Prisma(driver) => driver.history_in(session).await,
            Self::Sql(driver) => driver.history_in(session).await,
            Self::Command(driver) => driver.history().await,
        }
    }

    /// Returns the plan of applying the pending migrations.
    pub(crate) async fn plan(&self, session: &mut Session) -> Result<MigrationPlan> {
        match self {
            Self::Prisma(driver) => driver.plan(session).await,
            Self::Sql(driver) => driver.plan(session).await,
            Self::Command(driver) => driver.plan().await,
        }
    }

    /// Applies, and remarks tables that were rewritten.
    pub(crate) async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        let before = TableFiles::read(self.of_sql()).await;
        let mut applied = match self {
            Self::Prisma(driver) => driver.apply(plan).await,
            Self::Sql(driver) => driver.apply(plan).await,
            Self::Command(driver) => driver.apply(plan).await,
        }?;
        if let Some(before) = before
            && let Some(after) = TableFiles::read(self.of_sql()).await
        {
            applied.remarks.extend(before.remark(&after));
        }
        Ok(applied)
    }

    /// Returns the driver that reaches the database itself.
    fn of_sql(&self) -> &SqlDriver {
        match self {
            Self::Prisma(driver) => &driver.sql,
            Self::Sql(driver) => driver,
            Self::Command(driver) => &driver.sql,
        }
    }

    /// Replaces the cancel token: between a plan and its run the one may end with the
    /// planning.
    pub(crate) fn set_cancel_token(&mut self, stop: &CancelToken) {
        match self {
            Self::Prisma(driver) => driver.sql.operation.cancel = stop.clone(),
            Self::Sql(driver) => driver.operation.cancel = stop.clone(),
            Self::Command(driver) => driver.sql.operation.cancel = stop.clone(),
        }
    }

    /// Returns the driver's name, as plans show it.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Prisma(driver) => driver.name(),
            Self::Sql(driver) => driver.name(),
            Self::Command(driver) => driver.name(),
        }
    }

    /// Writes down a person's word.
    pub(crate) async fn resolve(&self, plan: &Confirmed<ResolvePlan>) -> Result<()> {
        match self {
            Self::Prisma(driver) => driver.resolve(plan).await,
            Self::Sql(driver) => driver.resolve(plan).await,
            Self::Command(driver) => Err(driver.tool.resolves_nothing()),
        }
    }

    /// Drops everything, applies everything, and seeds where the plan says so.
    pub(crate) async fn reset(&self, plan: &Confirmed<ResetPlan>) -> Result<()> {
        match self {
            Self::Prisma(driver) => driver.reset(plan).await,
            Self::Sql(driver) => driver.reset(plan).await,
            Self::Command(driver) => driver.reset(plan).await,
        }
    }

    /// The database's side, which all have; of `command` it has no files.
    pub(crate) fn sql(&self) -> &SqlDriver {
        match self {
            Self::Prisma(driver) => &driver.sql,
            Self::Sql(driver) => driver,
            Self::Command(driver) => &driver.sql,
        }
    }
}

/// The files that `create` writes for the `sql` driver: their names and what stands in them.
///
/// # Errors
/// Kind `Refused`: a flat folder in which no file can come last.
pub(crate) fn new_file(
    layout: Layout,
    folder: &Path,
    name: &MigrationName,
    at: jiff::Timestamp,
) -> Result<Vec<(PathBuf, &'static str)>> {
    let dated = name.dated(at);
    Ok(match layout {
        Layout::Prisma => vec![(Path::new(&dated).join("migration.sql"), "")],
        Layout::Dbmate => vec![(format!("{dated}.sql").into(), "-- migrate:up\n\n\n-- migrate:down\n\n")],
        Layout::Flat => vec![(next_flat(folder, name, at)?.into(), "")],
        Layout::Sqlx => vec![(format!("{dated}.sql").into(), "")],
        Layout::GolangMigrate => {
            vec![(format!("{dated}.up.sql").into(), ""), (format!("{dated}.down.sql").into(), "")]
        }
    })
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
