//! Which driver a project's migrations want: what is configured, else what is there.
//!
//! Promise: nothing is guessed where two would fit; the error lists both and names the setting that picks.

use std::path::{Path, PathBuf};

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
    /// The container with the Prisma CLI.
    pub cli_in: Option<&'a str>,
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
}

/// Chooses.
///
/// # Errors
/// Kind `Usage`: none, or more than one.
pub fn choose(evidence: &Evidence<'_>) -> Result<Choice> {
    if evidence.driver == "prisma" {
        return if evidence.cli_in.is_some() {
            Ok(Choice::Prisma)
        } else {
            Err(error::usage("the backend's container has no Prisma CLI (node_modules/.bin/prisma)")
                .hint("apply the same folders without it: `[migrations] driver = \"sql\"` in envctl.toml"))
        };
    }
    let found = candidates(evidence)?;
    if let (Some(container), "auto") = (evidence.cli_in, evidence.driver) {
        let others: Vec<&(Layout, PathBuf)> =
            found.iter().filter(|(layout, _)| *layout != Layout::Prisma).collect();
        return match others.as_slice() {
            [] => Ok(Choice::Prisma),
            several => Err(several_fit(
                several.iter().map(|(layout, folder)| {
                    format!("sql: the {} files in {}", layout.word(), folder.display())
                }),
                Some(format!("prisma: the CLI in container {container}")),
            )),
        };
    }
    match found.as_slice() {
        [(layout, folder)] => Ok(Choice::Sql { layout: *layout, folder: folder.clone() }),
        [] => Err(nothing(evidence)),
        several => Err(several_fit(
            several.iter().map(|(layout, folder)| format!("{} in {}", layout.word(), folder.display())),
            None,
        )),
    }
}

fn candidates(evidence: &Evidence<'_>) -> Result<Vec<(Layout, PathBuf)>> {
    let wish = evidence.layout.map(str::parse::<Layout>).transpose()?;
    // With the CLI in the container a folder there may be meant, which is none of this machine's.
    let named = evidence.dir.map(|dir| evidence.project.unwrap_or(Path::new(".")).join(dir));
    let folders = match (named, evidence.project) {
        (Some(folder), _) if folder.is_dir() => vec![folder],
        (Some(folder), _) if evidence.cli_in.is_none() || evidence.driver == "sql" => {
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

fn several_fit(found: impl Iterator<Item = String>, first: Option<String>) -> error::Error {
    let list: Vec<String> = first.into_iter().chain(found).map(|one| format!("\n    {one}")).collect();
    error::usage(format!("several kinds of migrations fit:{}", list.concat())).hint(
        "say which in envctl.toml: `[migrations] driver`, `dir` and `layout`; `envctl config` shows them",
    )
}

fn nothing(evidence: &Evidence<'_>) -> error::Error {
    let where_ = evidence.project.map_or_else(
        || "there is no project directory on this machine".to_owned(),
        |project| format!("none in {}", project.display()),
    );
    error::usage(format!("no migrations were found: no Prisma CLI in the backend, {where_}")).hint(
        "run it in the project's directory, or name the folder: `[migrations] dir = \"…\"` in envctl.toml",
    )
}

/// A driver, ready.
pub enum Driver {
    /// The CLI in the backend.
    Prisma(Box<PrismaDriver>),
    /// Our own runner.
    Sql(Box<SqlDriver>),
}

impl Driver {
    /// What stands where.
    ///
    /// # Errors
    /// The driver's own.
    pub async fn history_in(&self, session: &mut Session) -> Result<History> {
        match self {
            Self::Prisma(driver) => driver.history_in(session).await,
            Self::Sql(driver) => driver.history_in(session).await,
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
        }
    }

    /// From now on this wish to stop is the one that counts: between a plan and its run the one may end with the
    /// planning.
    pub fn heed(&mut self, stop: &Interrupt) {
        match self {
            Self::Prisma(driver) => driver.sql.interrupt = stop.clone(),
            Self::Sql(driver) => driver.interrupt = stop.clone(),
        }
    }

    /// Its name in plans.
    pub fn name(&self) -> String {
        match self {
            Self::Prisma(driver) => driver.name(),
            Self::Sql(driver) => driver.name(),
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
        }
    }

    /// The database's side, which both have.
    pub fn sql(&self) -> &SqlDriver {
        match self {
            Self::Prisma(driver) => &driver.sql,
            Self::Sql(driver) => driver,
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
mod tests {
    use std::fs;

    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        dir
    }

    fn evidence(project: &tempfile::TempDir) -> Evidence<'_> {
        Evidence { driver: "auto", project: Some(project.path()), ..Evidence::default() }
    }

    #[test]
    fn the_cli_is_taken_where_it_is_and_the_folder_where_it_is_not() {
        let dir = project(&[("a/b/src/database/prisma/migrations/1_x/migration.sql", "")]);
        let folder = dir.path().join("a/b/src/database/prisma/migrations");
        assert_eq!(
            choose(&evidence(&dir)).unwrap(),
            Choice::Sql { layout: Layout::Prisma, folder: folder.clone() }
        );
        let with = Evidence { cli_in: Some("app"), ..evidence(&dir) };
        assert_eq!(choose(&with).unwrap(), Choice::Prisma);
        let sql = Evidence { driver: "sql", ..with.clone() };
        assert_eq!(choose(&sql).unwrap(), Choice::Sql { layout: Layout::Prisma, folder });
    }

    #[test]
    fn two_that_fit_are_listed() {
        let dir = project(&[("db/migrations/1_a.sql", "-- migrate:up\n"), ("x/1_a/migration.sql", "")]);
        let error = choose(&evidence(&dir)).unwrap_err();
        assert!(error.message().contains("dbmate in") && error.message().contains("prisma in"), "{error}");
        let with = Evidence { cli_in: Some("app"), ..evidence(&dir) };
        assert!(choose(&with).unwrap_err().message().contains("the CLI in container app"));
        let named = Evidence { dir: Some("x"), ..evidence(&dir) };
        assert!(matches!(choose(&named).unwrap(), Choice::Sql { layout: Layout::Prisma, .. }));
    }

    #[test]
    fn nothing_is_told_with_the_setting() {
        let dir = project(&[("sql/report.sql", "select 1"), ("node_modules/x/migrations/1_a.up.sql", "")]);
        let error = choose(&evidence(&dir)).unwrap_err();
        assert!(error.hints()[0].contains("[migrations] dir"), "{error}");
        let gone = Evidence { dir: Some("nowhere"), ..evidence(&dir) };
        assert!(choose(&gone).unwrap_err().message().contains("is not there"));
        let prisma = Evidence { driver: "prisma", ..evidence(&dir) };
        assert!(choose(&prisma).unwrap_err().hints()[0].contains("driver = \"sql\""));
    }
}
