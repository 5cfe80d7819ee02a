//! Which driver a project's migrations want: what is configured, else what is there.
//!
//! Promise: nothing is guessed where two would fit; the error lists both and names the setting that picks.

use std::path::{Path, PathBuf};

use super::command::{CommandDriver, Found, Pick, preset};
use super::folder;
use super::layout::{Layout, Signs};
use super::plan::{Applied, MigrationPlan};
use super::prisma::PrismaDriver;
use super::sql::{ResolvePlan, SqlDriver};
use super::{History, MigrationName};
use crate::error::{self, Result};
use crate::interrupt::Interrupt;
use crate::postgres::Session;
use crate::ui::Confirmed;

/// How deep a project is searched: `applications/backend/src/database/prisma/migrations`.
const DEPTH: usize = 6;

/// What was configured, and what is there.
#[derive(Clone, Debug, Default)]
pub struct Evidence<'a> {
    /// `migrations.driver`.
    pub driver: &'a str,
    /// `migrations.dir`.
    pub dir: Option<&'a str>,
    /// `migrations.layout`.
    pub layout: Option<&'a str>,
    /// The project's directory on this machine.
    pub project: Option<&'a Path>,
    /// `migrations.preset`.
    pub preset: Option<&'a str>,
    /// Whether `migrations.commands` says how to apply.
    pub own: bool,
    /// The container with the Prisma CLI.
    pub cli_in: Option<&'a str>,
    /// The backend's container, where it runs.
    pub backend: Option<&'a str>,
    /// The other tools whose files lie in it.
    pub tools: &'a [Found],
}

impl Evidence<'_> {
    /// The driver that is asked for: naming a tool is asking for it.
    pub fn wanted(&self) -> &str {
        if self.driver == "auto" && (self.preset.is_some() || self.own) { "command" } else { self.driver }
    }
}

/// The driver that was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The CLI in the backend.
    Prisma,
    /// Our own runner on files of this machine.
    Sql {
        /// Whose layout.
        layout: Layout,
        /// Where.
        folder: PathBuf,
    },
    /// Another tool in the backend.
    Command(Pick),
}

/// Chooses.
///
/// # Errors
/// Kind `Usage`: none, or more than one.
pub fn choose(evidence: &Evidence<'_>) -> Result<Choice> {
    if evidence.wanted() == "command" {
        return pick(evidence).map(Choice::Command);
    }
    if evidence.driver == "prisma" {
        return if evidence.cli_in.is_some() {
            Ok(Choice::Prisma)
        } else {
            Err(error::usage("the backend's container has no Prisma CLI (node_modules/.bin/prisma)")
                .hint("apply the same folders without it: `[migrations] driver = \"sql\"` in envctl.toml"))
        };
    }
    let found = candidates(evidence)?;
    if evidence.driver == "auto" && (evidence.cli_in.is_some() || !evidence.tools.is_empty()) {
        return in_the_backend(evidence, found);
    }
    match found.as_slice() {
        [(layout, folder)] => Ok(Choice::Sql { layout: *layout, folder: folder.clone() }),
        [] => Err(nothing(evidence)),
        several => Err(several_fit(
            several.iter().map(|(layout, folder)| format!("{} in {}", layout.word(), folder.display())),
        )),
    }
}

/// With a tool in the backend, the folders of this machine are a second one, unless they are Prisma's beside its CLI.
fn in_the_backend(evidence: &Evidence<'_>, mut found: Vec<(Layout, PathBuf)>) -> Result<Choice> {
    if evidence.cli_in.is_some() {
        found.retain(|(layout, _)| *layout != Layout::Prisma);
    }
    match (evidence.cli_in, evidence.tools, found.as_slice()) {
        (Some(_), [], []) => Ok(Choice::Prisma),
        (None, [tool], []) => Ok(Choice::Command(Pick::Preset(tool.preset))),
        (cli, tools, folders) => {
            let prisma = cli.map(|container| format!("prisma: the CLI in container {container}"));
            let tools = tools.iter().map(|tool| in_words(tool, evidence));
            let folders = folders
                .iter()
                .map(|(layout, folder)| format!("sql: the {} files in {}", layout.word(), folder.display()));
            Err(several_fit(prisma.into_iter().chain(tools).chain(folders)))
        }
    }
}

fn in_words(tool: &Found, evidence: &Evidence<'_>) -> String {
    let container = evidence.backend.unwrap_or("the backend");
    format!("command: {} ({} in container {container})", tool.preset.name, tool.file)
}

/// Which tool `command` calls.
fn pick(evidence: &Evidence<'_>) -> Result<Pick> {
    if let Some(word) = evidence.preset {
        return preset(word).map(Pick::Preset);
    }
    match evidence.tools {
        [tool] => Ok(Pick::Preset(tool.preset)),
        _ if evidence.own => Ok(Pick::Own),
        [] => Err(error::usage(format!(
            "no tool for migrations was recognised in container {}",
            evidence.backend.unwrap_or("of the backend")
        ))
        .hint("name it: `[migrations] preset = \"django\"` in envctl.toml, or its command lines: `[migrations.commands]`")
        .hint("where it is another directory of the container: `[migrations] dir`")),
        several => Err(several_fit(several.iter().map(|tool| in_words(tool, evidence)))),
    }
}

fn candidates(evidence: &Evidence<'_>) -> Result<Vec<(Layout, PathBuf)>> {
    let wish = evidence.layout.map(str::parse::<Layout>).transpose()?;
    // With the CLI in the container a folder there may be meant, which is none of this machine's.
    let named = evidence.dir.map(|dir| evidence.project.unwrap_or(Path::new(".")).join(dir));
    let folders = match (named, evidence.project) {
        (Some(folder), _) if folder.is_dir() => vec![folder],
        (Some(folder), _)
            if (evidence.cli_in.is_none() && evidence.tools.is_empty()) || evidence.driver == "sql" =>
        {
            return Err(error::usage(format!("the folder of migrations {} is not there", folder.display()))
                .hint("`migrations.dir` in envctl.toml, or ENVCTL_MIGRATIONS_DIR, names it"));
        }
        (Some(_), _) | (None, None) => Vec::new(),
        (None, Some(project)) => folder::search(project, DEPTH, &is_folder_of_migrations),
    };
    let project = evidence.project;
    let uses = |file: &str, word: &str| {
        project.is_some_and(|at| std::fs::read_to_string(at.join(file)).is_ok_and(|text| text.contains(word)))
    };
    let (sqlx, go) = (uses("Cargo.toml", "sqlx"), uses("go.mod", "module"));
    let layouts = |folder: PathBuf| {
        let fits = match wish {
            Some(layout) => vec![layout],
            None => Signs::of(&folder).layouts(sqlx, go),
        };
        fits.into_iter().map(move |layout| (layout, folder.clone())).collect::<Vec<_>>()
    };
    Ok(folders.into_iter().flat_map(layouts).collect())
}

/// Loose `.sql` files are migrations only where the folder says so.
fn is_folder_of_migrations(folder: &Path) -> bool {
    let signs = Signs::of(folder);
    let called = folder.file_name().is_some_and(|name| name == "migrations" || name == "migrate");
    signs.prisma || signs.dbmate || signs.up_files || (called && (signs.numbered || signs.other))
}

fn several_fit(found: impl Iterator<Item = String>) -> error::Error {
    let list: Vec<String> = found.map(|one| format!("\n    {one}")).collect();
    error::usage(format!("several kinds of migrations fit:{}", list.concat())).hint(
        "say which in envctl.toml: `[migrations] driver`, `preset`, `dir` and `layout`; `envctl config` shows them",
    )
}

fn nothing(evidence: &Evidence<'_>) -> error::Error {
    let where_ = evidence.project.map_or_else(
        || "there is no project directory on this machine".to_owned(),
        |project| format!("none in {}", project.display()),
    );
    error::usage(format!(
        "no migrations were found: no Prisma CLI and no other tool in the backend, {where_}"
    ))
    .hint("run it in the project's directory, or name the folder: `[migrations] dir = \"…\"` in envctl.toml")
    .hint("or name a tool in the backend: `[migrations] preset = \"django\"`")
}

/// A driver, ready.
pub enum Driver {
    /// The CLI in the backend.
    Prisma(Box<PrismaDriver>),
    /// Our own runner.
    Sql(Box<SqlDriver>),
    /// Another tool in the backend.
    Command(Box<CommandDriver>),
}

impl Driver {
    /// What is applied and what waits.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn history(&self) -> Result<History> {
        match self {
            Self::Prisma(driver) => driver.history().await,
            Self::Sql(driver) => driver.history().await,
            Self::Command(driver) => driver.history().await,
        }
    }

    /// The same through a session that is open already.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn history_in(&self, session: &mut Session) -> Result<History> {
        match self {
            Self::Prisma(driver) => driver.history_in(session).await,
            Self::Sql(driver) => driver.history_in(session).await,
            Self::Command(driver) => driver.history().await,
        }
    }

    /// What applying would do.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn plan(&self, session: &mut Session) -> Result<MigrationPlan> {
        match self {
            Self::Prisma(driver) => driver.plan(session).await,
            Self::Sql(driver) => driver.plan(session).await,
            Self::Command(driver) => driver.plan().await,
        }
    }

    /// Applies.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn apply(&self, plan: &Confirmed<MigrationPlan>) -> Result<Applied> {
        match self {
            Self::Prisma(driver) => driver.apply(plan).await,
            Self::Sql(driver) => driver.apply(plan).await,
            Self::Command(driver) => driver.apply(plan).await,
        }
    }

    /// From now on this wish to stop is the one that counts: between a plan and its run the one may end with the
    /// planning.
    pub fn heed(&mut self, stop: &Interrupt) {
        match self {
            Self::Prisma(driver) => driver.sql.interrupt = stop.clone(),
            Self::Sql(driver) => driver.interrupt = stop.clone(),
            Self::Command(driver) => driver.sql.interrupt = stop.clone(),
        }
    }

    /// Its name in plans.
    pub fn name(&self) -> String {
        match self {
            Self::Prisma(driver) => driver.name(),
            Self::Sql(driver) => driver.name(),
            Self::Command(driver) => driver.name(),
        }
    }

    /// Writes down a person's word.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn resolve(&self, plan: &Confirmed<ResolvePlan>) -> Result<()> {
        match self {
            Self::Prisma(driver) => driver.resolve(plan).await,
            Self::Sql(driver) => driver.resolve(plan).await,
            Self::Command(driver) => Err(driver.tool.resolves_nothing()),
        }
    }

    /// The database's side, which all have; of `command` it has no files.
    pub fn sql(&self) -> &SqlDriver {
        match self {
            Self::Prisma(driver) => &driver.sql,
            Self::Sql(driver) => driver,
            Self::Command(driver) => &driver.sql,
        }
    }
}

/// The file that `create` writes for the `sql` driver: its name and what stands in it.
pub fn new_file(layout: Layout, name: &MigrationName, at: jiff::Timestamp) -> Vec<(PathBuf, &'static str)> {
    let dated = name.dated(at);
    match layout {
        Layout::Prisma => vec![(Path::new(&dated).join("migration.sql"), "")],
        Layout::Dbmate => vec![(format!("{dated}.sql").into(), "-- migrate:up\n\n\n-- migrate:down\n\n")],
        Layout::Flat | Layout::Sqlx => vec![(format!("{dated}.sql").into(), "")],
        Layout::GolangMigrate => {
            vec![(format!("{dated}.up.sql").into(), ""), (format!("{dated}.down.sql").into(), "")]
        }
    }
}

#[cfg(test)]
#[path = "detect_tests.rs"]
mod tests;
