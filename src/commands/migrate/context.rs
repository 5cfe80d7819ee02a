//! Preparation of the verbs about migrations: finds the database, the backend if one runs, and the driver.

use std::path::{Path, PathBuf};

use crate::app::{App, Daemon};
use crate::commands::connect;
use crate::commands::connect::ConnectedDatabase;
use crate::config::Settings;
use crate::environment::selector::ContainerSelector;
use crate::environment::{Environment, Target};
use crate::error::{self, Error, Result};
use crate::migrations::command::{self as tools, CommandDriver, ResolvedTool};
use crate::migrations::driver::{DriverChoice, DriverInputs, choose, has_any};
use crate::migrations::layout::Layout;
use crate::migrations::prisma::{GUARD, PrismaCli, PrismaDriver, PrismaSettings, fetch};
use crate::migrations::sql::SqlDriver;
use crate::migrations::{Driver, History};
use crate::postgres::{Access, Session};
use crate::random::nonce;

/// The database and who migrates it.
pub(crate) struct MigrationContext {
    pub(crate) found: ConnectedDatabase,
    pub(crate) driver: Driver,
    pub(crate) project: Option<PathBuf>,
    /// Said where the stack was started from another directory than the files lie in.
    pub(crate) place: Option<String>,
}

/// Driver that migrates a database, with the project of its files.
pub(crate) struct ChosenDriver {
    pub(crate) driver: Driver,
    pub(crate) project: Option<PathBuf>,
    pub(crate) place: Option<String>,
}

/// Reaches the database, says so on the target line, and finds the driver.
///
/// # Errors
/// Kind `Target`, `Docker`; kind `Usage`: no driver, or several that fit.
pub(crate) async fn open(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<MigrationContext> {
    let (migrations, session) = open_with_session(app, daemon, settings, environment).await?;
    session.close().await;
    Ok(migrations)
}

/// Reaches the database like [`open`], and returns the open session too.
///
/// # Errors
/// Errors of [`open`].
pub(crate) async fn open_with_session(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(MigrationContext, Session)> {
    let (found, session) = connect::reach_open_to_write(app, daemon, settings, environment).await?;
    let ChosenDriver { driver, project, place } =
        driver(app, daemon, settings, environment, &found.target, &found.access).await?;
    Ok((MigrationContext { found, driver, project, place }, session))
}

/// The driver for a database that is reached already, and the project.
///
/// # Errors
/// Errors of [`open`].
pub(crate) async fn driver(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
    target: &Target,
    access: &Access,
) -> Result<ChosenDriver> {
    let settings = &own_settings(settings, target)?;
    let wishes = &settings.migrations;
    let base = settings.directory_of("migrations.dir");
    let mut evidence = DriverInputs {
        driver: &wishes.driver,
        dir: wishes.dir.as_deref(),
        layout: wishes.layout.as_deref(),
        base,
        preset: wishes.preset.as_deref(),
        own: wishes.commands.apply.is_some(),
        ..DriverInputs::default()
    };
    let wanted = evidence.wanted().to_owned();
    let backend = match wanted.as_str() {
        "sql" => None,
        "prisma" | "command" => Some(environment.pick(&ContainerSelector::Backend, settings.target.index)?),
        _ => environment.pick(&ContainerSelector::Backend, settings.target.index).ok(),
    };
    let (cli, ground) = match &backend {
        Some(backend) => look(app, daemon, settings, backend, &wanted).await?,
        None => (None, None),
    };
    let name = backend.as_ref().map(|backend| backend.container.name.as_str());
    let ground = ground.unwrap_or_default();
    evidence.backend = name;
    evidence.cli_in = cli.as_ref().and(name);
    evidence.tools = &ground.found;
    let projects = projects(settings, target);
    // Where nothing says a directory, the one that holds migrations is meant.
    let here = projects
        .iter()
        .find(|project| has_any(&DriverInputs { project: Some(project.as_path()), ..evidence.clone() }));
    let project = here.or(projects.first()).cloned();
    evidence.project = project.as_deref();
    let side = |layout, folder| sql(app, daemon, settings, (target, access), layout, folder, project.clone());
    let mut place = None;
    let choice =
        choose(&evidence).map_err(|error| from_elsewhere(error, settings, target, project.is_none()))?;
    let driver = match (choice, backend, cli) {
        (DriverChoice::Prisma, Some(backend), Some(cli)) => {
            let files = tempfile::tempdir().map_err(no_room)?;
            let from = format!("{}/{}", cli.dir, cli.migrations);
            let container = daemon.container(&backend.container);
            app.interrupt.or(fetch(&container, &from, files.path())).await??;
            let sql = side(Layout::Prisma, files.path().to_owned());
            let guard = GUARD.iter().filter_map(|name| app.set_variable(name)).collect();
            Driver::Prisma(Box::new(PrismaDriver { sql, backend: container, cli, guard, _files: files }))
        }
        (DriverChoice::Sql { layout, folder }, _, _) => {
            place = place_note(target, &folder);
            Driver::Sql(Box::new(side(layout, folder)))
        }
        (DriverChoice::Command(pick), Some(backend), _) => {
            let tool = ResolvedTool::new(pick, &commands(settings), &ground)?;
            let sql = side(Layout::Flat, PathBuf::new());
            let backend = daemon.container(&backend.container);
            Driver::Command(Box::new(CommandDriver { sql, backend, tool }))
        }
        (DriverChoice::Prisma | DriverChoice::Command(_), _, _) => {
            return Err(error::target("the backend of this stack does not run"));
        }
    };
    Ok(ChosenDriver { driver, project, place })
}

/// Looks in the backend's container for the Prisma CLI and for the files of other tools.
/// A driver that is configured limits the search.
///
/// # Errors
/// Errors of [`PrismaCli::find`]; kind `Usage`: `migrations.dir` is no directory in the container.
async fn look(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
    wanted: &str,
) -> Result<(Option<PrismaCli>, Option<tools::ToolFiles>)> {
    let prisma =
        async { if wanted == "command" { Ok(None) } else { find_cli(app, daemon, settings, backend).await } };
    let others = async {
        if wanted == "prisma" { Ok(None) } else { find_tools(app, daemon, settings, backend, wanted).await }
    };
    // Side by side: two execs, the time of one.
    let (cli, ground) = tokio::join!(prisma, others);
    Ok((cli?, ground?))
}

async fn find_tools(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
    wanted: &str,
) -> Result<Option<tools::ToolFiles>> {
    let named = wanted == "command";
    let dir = settings.migrations.dir.as_deref().filter(|_| named);
    let container = daemon.container(&backend.container);
    let looking = tools::ToolFiles::look(&container, dir);
    let ground = app.interrupt.or(looking).await??;
    if ground.is_none() && named {
        let container = &backend.container.name;
        let what = dir.map_or_else(
            || format!("container {container} has no shell to look for a tool with"),
            |dir| format!("there is no directory {dir} in container {container}"),
        );
        return Err(error::usage(what)
            .hint("name the directory in the container in which the tool runs: `[migrations] dir`"));
    }
    Ok(ground)
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

/// Schema tool that is called by the verbs that pass its output through.
pub(crate) enum SchemaToolKind {
    /// The Prisma CLI.
    Prisma(PrismaCli),
    /// Another tool.
    Command(Box<ResolvedTool>),
}

/// The schema tool of a backend, found as the driver of migrations is, but without a database.
///
/// # Errors
/// Errors of [`driver`].
pub(crate) async fn caller(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
) -> Result<Option<SchemaToolKind>> {
    let settings = &settings.for_stack(backend)?;
    let wishes = &settings.migrations;
    let mut evidence = DriverInputs {
        // Files of this machine have no verbs to pass on to.
        driver: if wishes.driver == "sql" { "auto" } else { &wishes.driver },
        preset: wishes.preset.as_deref(),
        own: wishes.commands.apply.is_some(),
        backend: Some(&backend.container.name),
        ..DriverInputs::default()
    };
    let wanted = evidence.wanted().to_owned();
    let (cli, ground) = look(app, daemon, settings, backend, &wanted).await?;
    let ground = ground.unwrap_or_default();
    evidence.cli_in = cli.as_ref().map(|_| backend.container.name.as_str());
    evidence.tools = &ground.found;
    if wanted != "command" && ground.found.is_empty() {
        return Ok(cli.map(SchemaToolKind::Prisma));
    }
    Ok(match (choose(&evidence)?, cli) {
        (DriverChoice::Command(pick), _) => {
            Some(SchemaToolKind::Command(Box::new(ResolvedTool::new(pick, &commands(settings), &ground)?)))
        }
        (_, cli) => cli.map(SchemaToolKind::Prisma),
    })
}

/// The Prisma CLI of a backend. An ambiguity counts only where Prisma is asked for by name.
///
/// # Errors
/// Errors of [`PrismaCli::find`].
pub(crate) async fn find_cli(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
) -> Result<Option<PrismaCli>> {
    let wishes = PrismaSettings {
        schema: settings.migrations.schema.clone(),
        dir: settings.migrations.dir.clone().filter(|_| settings.migrations.driver != "sql"),
    };
    app.interrupt.or(PrismaCli::find(&daemon.container(&backend.container), &wishes)).await?
}

/// Returns what another database of the stack has seen: who else has applied these migrations?
///
/// # Errors
/// The driver's own.
pub(crate) async fn history_beside(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    ours: &Driver,
    other: &Environment,
    (target, access): (&Target, &Access),
) -> Result<History> {
    if let Driver::Command(_) = ours {
        // Its own tool in its own container has to say.
        let theirs = driver(app, daemon, settings, other, target, access).await?;
        return theirs.driver.history().await;
    }
    let side = SqlDriver {
        container: daemon.container(&target.container),
        access: access.clone(),
        ..ours.sql().clone()
    };
    side.history().await
}

fn sql(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    (target, access): (&Target, &Access),
    layout: Layout,
    folder: PathBuf,
    project: Option<PathBuf>,
) -> SqlDriver {
    SqlDriver {
        container: daemon.container(&target.container),
        access: access.clone(),
        layout,
        folder,
        project,
        operation: nonce(),
        who: app.who(),
        lock_limit: settings.timeouts.lock,
        progress: app.ui.progress(),
        interrupt: app.interrupt.clone(),
    }
}

/// The stack's own settings; a project that is named and is another stack's is refused.
fn own_settings(settings: &Settings, target: &Target) -> Result<Settings> {
    let named = settings.is_project_named() && !settings.target.names_several();
    if let Some(project) =
        settings.target.project_dir.as_ref().filter(|_| named && !settings.holds_for(&target.into()))
    {
        let own = settings.target.rules.stack.as_deref().unwrap_or("another stack");
        return Err(error::usage(format!(
            "the project that is named, {}, is of stack `{own}`, and its migrations are not those of stack `{}`",
            project.display(),
            target.stack
        ))
        .hint("name the directory of its own project: `envctl migrate -C DIR`"));
    }
    settings.for_stack(target)
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

fn no_room(cause: std::io::Error) -> Error {
    error::failed("a temporary directory cannot be made").because(cause)
}
