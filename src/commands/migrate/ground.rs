//! What the verbs about migrations stand on: the database, the backend if one runs, and the driver.

use std::path::{Path, PathBuf};

use crate::app::{App, Daemon};
use crate::commands::database::{self, Database};
use crate::config::Settings;
use crate::docker::proof::nonce;
use crate::environment::request::Wanted;
use crate::environment::{Environment, Target};
use crate::error::{self, Error, Result};
use crate::migrations::command::{self as tools, CommandDriver, Tool};
use crate::migrations::detect::{Choice, Evidence, choose};
use crate::migrations::layout::Layout;
use crate::migrations::prisma::{Cli, GUARD, PrismaDriver, Wishes, fetch};
use crate::migrations::sql::SqlDriver;
use crate::migrations::{Driver, History};
use crate::postgres::{Access, Session};

/// The database and who migrates it.
pub(in crate::commands) struct Migrations {
    pub(in crate::commands) found: Database,
    pub(in crate::commands) driver: Driver,
    pub(in crate::commands) project: Option<PathBuf>,
}

/// Reaches the database, says so on the target line, and finds the driver.
///
/// # Errors
/// Kind `Target`, `Docker`; kind `Usage`: no driver, or several that fit.
pub(in crate::commands) async fn open(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<Migrations> {
    let (migrations, session) = open_with_session(app, daemon, settings, environment).await?;
    session.close().await;
    Ok(migrations)
}

/// As [`open`], with the session in which the database was reached.
///
/// # Errors
/// As [`open`].
pub(in crate::commands) async fn open_with_session(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<(Migrations, Session)> {
    let (found, session) = database::reach_open(app, daemon, settings, environment).await?;
    let (driver, project) = driver(app, daemon, settings, environment, &found.target, &found.access).await?;
    Ok((Migrations { found, driver, project }, session))
}

/// The driver for a database that is reached already, and the project.
///
/// # Errors
/// As [`open`].
pub(in crate::commands) async fn driver(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
    target: &Target,
    access: &Access,
) -> Result<(Driver, Option<PathBuf>)> {
    let project = project_of(settings, target);
    let wishes = &settings.migrations;
    let mut evidence = Evidence {
        driver: &wishes.driver,
        dir: wishes.dir.as_deref(),
        layout: wishes.layout.as_deref(),
        project: project.as_deref(),
        preset: wishes.preset.as_deref(),
        own: wishes.commands.apply.is_some(),
        ..Evidence::default()
    };
    let wanted = evidence.wanted().to_owned();
    let backend = match wanted.as_str() {
        "sql" => None,
        "prisma" | "command" => Some(environment.pick(&Wanted::Backend, settings.target.index)?),
        _ => environment.pick(&Wanted::Backend, settings.target.index).ok(),
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
    let side = |layout, folder| sql(app, daemon, settings, (target, access), layout, folder, project.clone());
    let driver = match (choose(&evidence)?, backend, cli) {
        (Choice::Prisma, Some(backend), Some(cli)) => {
            let files = tempfile::tempdir().map_err(no_room)?;
            let from = format!("{}/{}", cli.dir, cli.migrations);
            app.interrupt.or(fetch(&daemon.engine, &backend.container, &from, files.path())).await??;
            let sql = side(Layout::Prisma, files.path().to_owned());
            let guard = GUARD.iter().filter_map(|name| app.set_variable(name)).collect();
            Driver::Prisma(Box::new(PrismaDriver { sql, backend: backend.container, cli, guard, files }))
        }
        (Choice::Sql { layout, folder }, _, _) => Driver::Sql(Box::new(side(layout, folder))),
        (Choice::Command(pick), Some(backend), _) => {
            let tool = Tool::new(pick, &commands(settings), &ground)?;
            let sql = side(Layout::Flat, PathBuf::new());
            Driver::Command(Box::new(CommandDriver { sql, backend: backend.container, tool }))
        }
        (Choice::Prisma | Choice::Command(_), _, _) => {
            return Err(error::target("the backend of this stack does not run"));
        }
    };
    Ok((driver, project))
}

/// What the backend's container has: the Prisma CLI, and the files of other tools, each looked for where it counts.
///
/// # Errors
/// As [`Cli::find`]; kind `Usage`: `migrations.dir` is no directory in the container.
async fn look(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
    wanted: &str,
) -> Result<(Option<Cli>, Option<tools::Ground>)> {
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
) -> Result<Option<tools::Ground>> {
    let named = wanted == "command";
    let dir = settings.migrations.dir.as_deref().filter(|_| named);
    let looking = tools::Ground::look(&daemon.engine, &backend.container, dir);
    let ground = app.interrupt.or(looking).await??;
    if ground.is_none() && named {
        let container = &backend.container.name;
        let what = dir.map_or_else(
            || format!("container {container} has no shell to look for a tool with"),
            |dir| format!("there is no directory {dir} in container {container}"),
        );
        return Err(error::usage(what)
            .hint("`[migrations] dir` names the directory in the container in which the tool runs"));
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

/// Who is called for the verbs that only pass on.
pub(in crate::commands) enum Caller {
    /// The Prisma CLI.
    Prisma(Cli),
    /// Another tool.
    Command(Box<Tool>),
}

/// The schema tool of a backend, found as the driver of migrations is, but without a database.
///
/// # Errors
/// As [`driver`].
pub(in crate::commands) async fn caller(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
) -> Result<Option<Caller>> {
    let wishes = &settings.migrations;
    let mut evidence = Evidence {
        // Files of this machine have no verbs to pass on to.
        driver: if wishes.driver == "sql" { "auto" } else { &wishes.driver },
        preset: wishes.preset.as_deref(),
        own: wishes.commands.apply.is_some(),
        backend: Some(&backend.container.name),
        ..Evidence::default()
    };
    let wanted = evidence.wanted().to_owned();
    let (cli, ground) = look(app, daemon, settings, backend, &wanted).await?;
    let ground = ground.unwrap_or_default();
    evidence.cli_in = cli.as_ref().map(|_| backend.container.name.as_str());
    evidence.tools = &ground.found;
    if wanted != "command" && ground.found.is_empty() {
        return Ok(cli.map(Caller::Prisma));
    }
    Ok(match (choose(&evidence)?, cli) {
        (Choice::Command(pick), _) => {
            Some(Caller::Command(Box::new(Tool::new(pick, &commands(settings), &ground)?)))
        }
        (_, cli) => cli.map(Caller::Prisma),
    })
}

/// The Prisma CLI of a backend. An ambiguity counts only where Prisma is asked for by name.
///
/// # Errors
/// As [`Cli::find`].
pub(in crate::commands) async fn find_cli(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    backend: &Target,
) -> Result<Option<Cli>> {
    let wishes = Wishes {
        schema: settings.migrations.schema.clone(),
        dir: settings.migrations.dir.clone().filter(|_| settings.migrations.driver != "sql"),
    };
    app.interrupt.or(Cli::find(&daemon.engine, &backend.container, &wishes)).await?
}

/// What another database of the stack has seen: who else has applied these migrations? `None`: nobody can tell there.
///
/// # Errors
/// The driver's own.
pub(super) async fn history_beside(
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    ours: &Driver,
    other: &Environment,
    (target, access): (&Target, &Access),
) -> Result<Option<History>> {
    if let Driver::Command(_) = ours {
        // Its own tool in its own container has to say; one that does not run there has tested nothing.
        let Ok((theirs, _)) = driver(app, daemon, settings, other, target, access).await else {
            return Ok(None);
        };
        return Ok(theirs.history().await.ok());
    }
    let side =
        SqlDriver { container: target.container.clone(), access: access.clone(), ..ours.sql().clone() };
    side.history().await.map(Some)
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
        engine: daemon.engine.clone(),
        container: target.container.clone(),
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

/// The project on this machine: where the stack was started from, else where we are.
fn project_of(settings: &Settings, target: &Target) -> Option<PathBuf> {
    let started = target.directory.as_deref().map(Path::new).filter(|path| path.is_dir());
    let here = settings.target.project_dir.as_deref();
    // Inside the project its own directory is meant, even where compose was started from a folder of it.
    match (here, started) {
        (Some(here), Some(started)) if started.starts_with(here) => Some(here.to_owned()),
        (_, Some(started)) => Some(started.to_owned()),
        (here, None) => here.map(Path::to_owned),
    }
}

fn no_room(cause: std::io::Error) -> Error {
    error::failed("a temporary directory cannot be made").because(cause)
}
