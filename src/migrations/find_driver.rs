//! Search for the driver of a database's migrations: settings, files of this machine, tools in the backend's container.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::config::Settings;
use crate::docker::{Container, Engine};
use crate::environment::selector::ContainerSelector;
use crate::environment::{Environment, Target};
use crate::error::{self, Error, Result};
use crate::migrations::Driver;
use crate::migrations::command::{self as tools, CommandDriver, ResolvedTool};
use crate::migrations::driver::{DriverChoice, choose, has_any};
use crate::migrations::driver_inputs::DriverInputs;
use crate::migrations::layout::Layout;
use crate::migrations::prisma::{PrismaCli, PrismaDriver, PrismaSettings, fetch};
use crate::migrations::sql::SqlDriver;

/// Driver that migrates a database, with the project of its files.
pub(crate) struct ChosenDriver {
    pub(crate) driver: Driver,
    pub(crate) project: Option<PathBuf>,
    /// Said where the stack was started from another directory than the files lie in.
    pub(crate) place: Option<String>,
}

/// A stack whose driver is looked for.
pub(crate) struct DriverSearch<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) environment: &'a Environment,
    /// The database that is migrated.
    pub(crate) target: &'a Target,
    /// Driver for SQL files, without layout, folder and project.
    pub(crate) sql: SqlDriver,
    /// Variables that a command of Prisma gets.
    pub(crate) guard: Vec<(String, String)>,
}

impl DriverSearch<'_> {
    /// Finds the driver.
    ///
    /// # Errors
    /// Kind `Usage`: no driver, or several that fit. `Target`: the backend that it needs does not run.
    pub(crate) async fn find(self) -> Result<ChosenDriver> {
        let Self { settings, environment, target, .. } = self;
        let own = &settings.migrations;
        let base = settings.directory_of("migrations.dir");
        let mut evidence = DriverInputs {
            driver: &own.driver,
            dir: own.dir.as_deref(),
            layout: own.layout.as_deref(),
            base,
            preset: own.preset.as_deref(),
            own: own.commands.apply.is_some(),
            ..DriverInputs::default()
        };
        let wanted = evidence.wanted().to_owned();
        let backend = match wanted.as_str() {
            "sql" => None,
            "prisma" | "command" => {
                Some(environment.pick(&ContainerSelector::Backend, settings.target.index)?)
            }
            _ => environment.pick(&ContainerSelector::Backend, settings.target.index).ok(),
        };
        let engine = self.sql.container.engine();
        let backend =
            backend.map(|target| BackendSearch::new(settings, engine, &target, &self.sql.operation.cancel));
        let (cli, tool_files) = match &backend {
            Some(backend) => backend.look(&wanted).await?,
            None => (None, None),
        };
        let name = backend.as_ref().map(|backend| backend.container.name.as_str());
        let tool_files = tool_files.unwrap_or_default();
        evidence.backend = name;
        evidence.cli_in = cli.as_ref().and(name);
        evidence.tools = &tool_files.found;
        let projects = projects(settings, target);
        // Where nothing says a directory, the one that holds migrations is meant.
        let here = projects
            .iter()
            .find(|project| has_any(&DriverInputs { project: Some(project.as_path()), ..evidence.clone() }));
        let project = here.or(projects.first()).cloned();
        evidence.project = project.as_deref();
        let side =
            |layout, folder| SqlDriver { layout, folder, project: project.clone(), ..self.sql.clone() };
        let mut place = None;
        let choice =
            choose(&evidence).map_err(|error| from_elsewhere(error, settings, target, project.is_none()))?;
        let driver = match (choice, &backend, cli) {
            (DriverChoice::Prisma, Some(backend), Some(cli)) => {
                let files = tempfile::tempdir().map_err(no_temporary_dir)?;
                let from = format!("{}/{}", cli.dir, cli.migrations);
                self.sql
                    .operation
                    .cancel
                    .run_until_cancelled(fetch(&backend.container, &from, files.path()))
                    .await??;
                let sql = side(Layout::Prisma, files.path().to_owned());
                let (backend, guard) = (backend.container.clone(), self.guard);
                Driver::Prisma(Box::new(PrismaDriver { sql, backend, cli, guard, _files: files }))
            }
            (DriverChoice::Sql { layout, folder }, _, _) => {
                place = place_note(target, &folder);
                Driver::Sql(Box::new(side(layout, folder)))
            }
            (DriverChoice::Command(pick), Some(backend), _) => {
                let tool = ResolvedTool::new(pick, &commands(settings), &tool_files)?;
                let sql = side(Layout::Flat, PathBuf::new());
                let backend = backend.container.clone();
                Driver::Command(Box::new(CommandDriver { sql, backend, tool }))
            }
            (DriverChoice::Prisma | DriverChoice::Command(_), _, _) => {
                return Err(error::target("the backend of this stack does not run"));
            }
        };
        Ok(ChosenDriver { driver, project, place })
    }
}

/// Schema tool that is called by the verbs that pass its output through.
pub(crate) enum SchemaToolKind {
    Prisma(PrismaCli),
    /// Another tool.
    Command(Box<ResolvedTool>),
}

/// A backend whose schema tool is looked for.
pub(crate) struct BackendSearch<'a> {
    settings: &'a Settings,
    container: Container,
    cancel: &'a CancelToken,
}

impl<'a> BackendSearch<'a> {
    /// Looks in the container of `backend`.
    pub(crate) fn new(
        settings: &'a Settings,
        engine: &Arc<dyn Engine>,
        backend: &Target,
        cancel: &'a CancelToken,
    ) -> Self {
        Self { settings, container: Container::new(engine, backend.container.clone()), cancel }
    }

    /// Finds the schema tool as [`DriverSearch`] finds the driver of migrations, but without a database.
    pub(crate) async fn schema_tool(&self) -> Result<Option<SchemaToolKind>> {
        let own = &self.settings.migrations;
        let mut evidence = DriverInputs {
            // Files of this machine have no verbs to pass on to.
            driver: if own.driver == "sql" { "auto" } else { &own.driver },
            preset: own.preset.as_deref(),
            own: own.commands.apply.is_some(),
            backend: Some(&self.container.name),
            ..DriverInputs::default()
        };
        let wanted = evidence.wanted().to_owned();
        let (cli, tool_files) = self.look(&wanted).await?;
        let tool_files = tool_files.unwrap_or_default();
        evidence.cli_in = cli.as_ref().map(|_| self.container.name.as_str());
        evidence.tools = &tool_files.found;
        if wanted != "command" && tool_files.found.is_empty() {
            return Ok(cli.map(SchemaToolKind::Prisma));
        }
        Ok(match (choose(&evidence)?, cli) {
            (DriverChoice::Command(pick), _) => {
                let tool = ResolvedTool::new(pick, &commands(self.settings), &tool_files)?;
                Some(SchemaToolKind::Command(Box::new(tool)))
            }
            (_, cli) => cli.map(SchemaToolKind::Prisma),
        })
    }

    /// Looks in the backend's container for the Prisma CLI and for the files of other tools.
    /// A driver that is configured limits the search.
    ///
    /// # Errors
    /// Errors of [`PrismaCli::find`]; kind `Usage`: `migrations.dir` is no directory in the container.
    async fn look(&self, wanted: &str) -> Result<(Option<PrismaCli>, Option<tools::ToolFiles>)> {
        let prisma = async { if wanted == "command" { Ok(None) } else { self.find_cli().await } };
        let others = async { if wanted == "prisma" { Ok(None) } else { self.find_tools(wanted).await } };
        // Side by side: two execs, the time of one.
        let (cli, tool_files) = tokio::join!(prisma, others);
        Ok((cli?, tool_files?))
    }

    async fn find_tools(&self, wanted: &str) -> Result<Option<tools::ToolFiles>> {
        let named = wanted == "command";
        let dir = self.settings.migrations.dir.as_deref().filter(|_| named);
        let tool_files =
            self.cancel.run_until_cancelled(tools::ToolFiles::look(&self.container, dir)).await??;
        if tool_files.is_none() && named {
            let container = &self.container.name;
            let what = dir.map_or_else(
                || format!("container {container} has no shell to look for a tool with"),
                |dir| format!("there is no directory {dir} in container {container}"),
            );
            return Err(error::usage(what)
                .hint("name the directory in the container in which the tool runs: `[migrations] dir`"));
        }
        Ok(tool_files)
    }

    /// Finds the Prisma CLI. An ambiguity counts only where Prisma is asked for by name.
    async fn find_cli(&self) -> Result<Option<PrismaCli>> {
        let settings = &self.settings.migrations;
        let own = PrismaSettings {
            schema: settings.schema.clone(),
            dir: settings.dir.clone().filter(|_| settings.driver != "sql"),
        };
        self.cancel.run_until_cancelled(PrismaCli::find(&self.container, &own)).await?
    }
}

fn commands(settings: &Settings) -> tools::Commands {
    let given = settings.migrations.commands.clone();
    tools::Commands {
        status: given.status,
        apply: given.apply,
        create: given.create,
        reset: given.reset,
        seed: given.seed,
    }
}

/// The directories of this machine in which the stack's migrations may lie, the one that is meant first: the one that the
/// configuration or an option says, the one we stand in, the one that the stack was started from.
fn projects(settings: &Settings, target: &Target) -> Vec<PathBuf> {
    let started = target.directory.as_deref().map(Path::new).filter(|path| path.is_dir());
    let here = settings.target.project_dir.as_deref();
    let said = settings.is_project_named() || settings.directory_of("migrations.dir").is_some();
    match (here, started) {
        (Some(here), _) if said => vec![here.to_owned()],
        // Without a file here the directory that Compose was started in, further up, is the project.
        (Some(here), Some(started)) if settings.project_file.is_none() && !started.starts_with(here) => {
            vec![started.to_owned()]
        }
        (here, started) => {
            let mut all: Vec<PathBuf> = here.into_iter().chain(started).map(Path::to_owned).collect();
            all.dedup();
            all
        }
    }
}

/// Note for the plan if the files do not belong to the directory that the stack was started from.
fn place_note(target: &Target, folder: &Path) -> Option<String> {
    let started = Path::new(target.directory.as_deref()?);
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let (started, folder) = (real(started), real(folder));
    let related = folder.starts_with(&started)
        || folder.ancestors().any(|above| started.starts_with(above) && above.join("envctl.toml").is_file());
    (!related).then(|| {
        format!(
            "the stack was started from {}, and these files are in {}",
            started.display(),
            folder.display()
        )
    })
}

/// Adds where the stack's own project is, where that is not on this machine.
fn from_elsewhere(error: Error, settings: &Settings, target: &Target, nowhere: bool) -> Error {
    match &target.directory {
        Some(directory) if nowhere && !Path::new(directory).is_dir() => error.hint(format!(
            "name the project of stack `{}`, which was started from {directory}, not on this machine: `envctl migrate -C DIR`",
            target.stack
        )),
        _ if nowhere && settings.target.project_dir.is_none() => error.hint(format!(
            "name the project of stack `{}`, of which nothing says where it was started: `envctl migrate -C DIR`",
            target.stack
        )),
        _ => error,
    }
}

fn no_temporary_dir(cause: std::io::Error) -> Error {
    error::failed("a temporary directory cannot be made").because(cause)
}
