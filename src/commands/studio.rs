//! `envctl studio`: Prisma Studio in the container, tunnelled to this machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::app::App;
use crate::commands::GlobalArgs;
use crate::commands::database::{self, Database};
use crate::commands::many::one_stack;
use crate::docker::forward::{Forward, Way, answers, find_way, listen, serve};
use crate::docker::{Container, Engine};
use crate::environment::request::Wanted;
use crate::error::{self, ErrorKind, Result};
use crate::migrations::prisma::{Studio, StudioCli};
use crate::progress::Progress;
use crate::secret::Secret;
use crate::ui::{Decision, Guard};

/// Arguments of `studio`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The local port; 0 takes a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
}

/// Where Studio is usually met.
const USUAL: u16 = 5555;
/// How long it may take to come up.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct Answer<'a> {
    url: &'a str,
    container: &'a str,
    database: &'a str,
}

/// # Errors
/// Kind `Refused`: production without the typed name. `Usage`: no Studio in the backend, the port is in use.
/// `Tool`: it did not come up.
pub async fn run(args: Args, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    one_stack(&settings, "studio", "name it with `-s STACK`")?;
    let daemon = app.connect(&settings, global)?;
    let environment = app.environment(&daemon, &settings).await?;
    let found = database::reach(app, &daemon, &settings, &environment).await?;
    let backend = environment.pick(&Wanted::Backend, settings.target.index)?.container;
    let finding = StudioCli::find(&daemon.engine, &backend, settings.migrations.studio.as_deref());
    let cli = app.interrupt.or(finding).await??.ok_or_else(|| no_studio(&backend))?;
    let plan = format!("open database {:?} in Prisma Studio, for reading and writing", found.facts.database);
    if let Decision::DryRun(plan) = app.confirm(plan, Guard::Open, &found.target, &global.consent())? {
        app.show_dry_run(&plan);
        return Ok(());
    }
    let listener = match args.port {
        Some(port) => listen(port).await?,
        // Somebody's other Studio has the usual one.
        None => match listen(USUAL).await {
            Ok(listener) => listener,
            Err(_) => listen(0).await?,
        },
    };
    let progress: Arc<dyn Progress> = app.ui.progress();
    progress.step("starting Studio");
    let url = address_for(&daemon.engine, &backend, &found).await?;
    // Studio answers pages of its own address alone, so it has to have the port that the browser sees.
    let port = listener.local_addr().map_or(USUAL, |at| at.port());
    let mut studio = Studio::start(&daemon.engine, &backend, &cli, port, &url).await?;
    let served = async {
        let is_local = daemon.engine.address().starts_with("unix://");
        let way = tokio::select! {
            way = come_up(&daemon.engine, &backend, port, is_local) => way?,
            why = studio.ended() => return Err(why),
            signal = app.interrupt.wait() => return Err(crate::interrupt::interrupted(signal)),
        };
        app.ui.end_progress();
        let here = format!("http://127.0.0.1:{port}");
        let answer = Answer { url: &here, container: &backend.name, database: &found.facts.database };
        app.ui.show(&answer, |_| format!("{here}\n"));
        app.ui.say("Prisma Studio; Ctrl-C ends it");
        if !args.no_open && !app.open(&here) {
            app.ui.detail("no browser was opened: there is no display, or no `xdg-open`");
        }
        let forward = Forward { engine: daemon.engine.clone(), container: backend.clone(), port, way };
        tokio::select! {
            result = serve(forward, listener, &progress, &app.interrupt) => result,
            why = studio.ended() => Err(why),
        }
    }
    .await;
    studio.end().await;
    app.ui.end_progress();
    match served {
        Err(ended) if ended.kind() == ErrorKind::Interrupted(2) => Ok(()),
        other => other,
    }
}

fn no_studio(backend: &Container) -> error::Error {
    error::usage(format!("container {} has no Prisma CLI, so no Studio", backend.name)).hint(
        "name one that it has in envctl.toml: `[migrations] studio = \"/path/node_modules/.bin/prisma\"`; version 7 and later need nothing but the database",
    )
}

/// Tries until Studio answers.
async fn come_up(engine: &Arc<dyn Engine>, backend: &Container, port: u16, local: bool) -> Result<Way> {
    let begun = Instant::now();
    // Looked for again each time: it may listen on the loopback alone, or on every address.
    loop {
        let way = find_way(engine, backend, port, local).await?;
        if answers(engine, backend, way, port).await {
            return Ok(way);
        }
        if begun.elapsed() > LIMIT {
            return Err(error::tool(format!(
                "Studio in {} did not come up within {} s",
                backend.name,
                LIMIT.as_secs()
            )));
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

/// The database as the backend's container reaches it.
async fn address_for(engine: &Arc<dyn Engine>, backend: &Container, found: &Database) -> Result<Secret> {
    let database = &found.target.container;
    let shared = backend.addresses.keys().find_map(|network| database.addresses.get(network));
    let host = match shared {
        Some(address) => address.clone(),
        // One network namespace for both, or the host's.
        None if backend.addresses.is_empty() => "127.0.0.1".to_owned(),
        None => {
            return Err(error::tool(format!("{} and {} share no network", backend.name, database.name))
                .hint("Studio in the backend has to reach the database: put both on one network"));
        }
    };
    found.access.url(engine, database, &host, 5432).await
}
