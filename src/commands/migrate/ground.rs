//! What the verbs about migrations stand on: the database, the backend if one runs, and the driver.

use std::path::{Path, PathBuf};

use crate::app::{App, Daemon};
use crate::commands::database::{self, Database};
use crate::config::Settings;
use crate::docker::proof::nonce;
use crate::environment::request::Wanted;
use crate::environment::{Environment, Target};
use crate::error::{self, Error, Result};
use crate::migrations::Driver;
use crate::migrations::detect::{Choice, Evidence, choose};
use crate::migrations::layout::Layout;
use crate::migrations::prisma::{Cli, GUARD, PrismaDriver, Wishes, fetch};
use crate::migrations::sql::SqlDriver;
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
    let backend = match wishes.driver.as_str() {
        "sql" => None,
        "prisma" => Some(environment.pick(&Wanted::Backend, settings.target.index)?),
        _ => environment.pick(&Wanted::Backend, settings.target.index).ok(),
    };
    let cli = match &backend {
        Some(backend) => find_cli(app, daemon, settings, backend).await?,
        None => None,
    };
    let evidence = Evidence {
        driver: &wishes.driver,
        dir: wishes.dir.as_deref(),
        layout: wishes.layout.as_deref(),
        project: project.as_deref(),
        cli_in: cli.as_ref().and(backend.as_ref()).map(|backend| backend.container.name.as_str()),
    };
    let driver = match (choose(&evidence)?, backend, cli) {
        (Choice::Prisma, Some(backend), Some(cli)) => {
            let files = tempfile::tempdir().map_err(no_room)?;
            let from = format!("{}/{}", cli.dir, cli.migrations);
            app.interrupt.or(fetch(&daemon.engine, &backend.container, &from, files.path())).await??;
            let folder = files.path().to_owned();
            let sql = sql(app, daemon, settings, (target, access), Layout::Prisma, folder, project.clone());
            let guard = GUARD.iter().filter_map(|name| app.set_variable(name)).collect();
            Driver::Prisma(Box::new(PrismaDriver { sql, backend: backend.container, cli, guard, files }))
        }
        (Choice::Sql { layout, folder }, _, _) => Driver::Sql(Box::new(sql(
            app,
            daemon,
            settings,
            (target, access),
            layout,
            folder,
            project.clone(),
        ))),
        (Choice::Prisma, _, _) => return Err(error::target("the backend of this stack does not run")),
    };
    Ok((driver, project))
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

/// The same driver's database side, for another database: who else has applied these files?
pub(in crate::commands) fn beside(driver: &Driver, other: &Database) -> SqlDriver {
    SqlDriver {
        container: other.target.container.clone(),
        access: other.access.clone(),
        ..driver.sql().clone()
    }
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
