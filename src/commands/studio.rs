//! `envctl studio`: Prisma Studio in the backend's container, or beside a database whose project has none, tunnelled to this machine.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::database::ConnectedDatabase;
use crate::commands::shared::transport_args::TransportArgs;
use crate::consent::{Guard, Plan};
use crate::docker::forward::{Forward, ForwardMethod, answers, find_method, listen, serve};
use crate::docker::worker::Unfit;
use crate::docker::{Container, ContainerInfo};
use crate::environment::Role;
use crate::environment::selector::ContainerSelector;
use crate::error::{self, ErrorKind, Result};
use crate::migrations::prisma::{Studio, StudioCli, StudioImage};
use crate::postgres::find_primary::FirstSession;
use crate::postgres::tools::runner::DumpKind;
use crate::postgres::tools::worker_access::ListenAddress;
use crate::progress::Progress;
use crate::secret::Secret;

/// Arguments of `studio`.
#[derive(clap::Args, Debug)]
pub(crate) struct StudioArgs {
    /// The local port; 0 takes a free one
    #[arg(long, value_name = "N")]
    port: Option<u16>,
    /// Open no browser
    #[arg(long)]
    no_open: bool,
}

/// Usual port of Studio.
const USUAL: u16 = 5555;
/// Time limit for learning whether a Studio that cannot be reached has ended.
const STDERR_TAIL: Duration = Duration::from_secs(1);
/// Time limit for the start of Studio.
const LIMIT: Duration = Duration::from_mins(1);

#[derive(Serialize)]
struct StudioAnswer<'a> {
    url: &'a str,
    container: &'a str,
    database: &'a str,
}

/// # Errors
/// Kind `Refused`: production without the typed name. `Usage`: no Studio in the backend, the port is in use.
/// `Tool`: it did not come up.
pub(crate) async fn run(args: StudioArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("studio", "name it with `-s STACK`")?;
    let stack = ctx.stack().await?.with_own_settings()?;
    let (found, mut session) = stack.server_with_session(FirstSession::Configured).await?;
    let listens = ListenAddress::of(&mut session).await;
    session.close().await;
    let home = home(&stack).await?;
    let plan = StudioPlan { database: found.facts.database.clone(), place: home.arguments() };
    if ctx.confirm(plan, &found.target)?.is_none() {
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
    let progress: Arc<dyn Progress> = ctx.ui.progress();
    progress.step(&format!("starting Studio{}", home.arguments()));
    // Studio answers pages of its own address alone, so it has to have the port that the browser sees.
    let port = listener.local_addr().map_or(USUAL, |at| at.port());
    let mut studio = match &home {
        StudioHost::Backend(backend, cli) => {
            let url = address_for(backend, &found).await?;
            Studio::start(backend, cli, port, &url).await?
        }
        StudioHost::OwnImage(image) => beside(&stack, &found, listens?, image, port).await?,
    };
    let container = studio.container().clone();
    let served = async {
        let method = tokio::select! {
            method = come_up(&container, port) => method,
            why = studio.ended() => return Err(why),
            signal = ctx.cancel.wait() => return Err(crate::cancel::cancelled(signal)),
        };
        let method = match method {
            Ok(method) => method,
            // Where it has ended in the meantime its own words say more than ours.
            Err(error) => {
                return Err(tokio::time::timeout(STDERR_TAIL, studio.ended()).await.unwrap_or(error));
            }
        };
        ctx.ui.end_progress();
        let here = format!("http://127.0.0.1:{port}");
        let answer = StudioAnswer { url: &here, container: &container.name, database: &found.facts.database };
        ctx.ui.show(&answer, |_| format!("{here}\n"));
        ctx.ui.say("Prisma Studio; Ctrl-C ends it");
        if !args.no_open && !ctx.open(&here) {
            ctx.ui.detail("no browser was opened: there is no display, or no `xdg-open`");
        }
        let forward = Forward { container: container.clone(), port, method };
        tokio::select! {
            result = serve(forward, listener, &progress, &ctx.cancel) => result,
            why = studio.ended() => Err(why),
        }
    }
    .await;
    let ended = studio.end().await;
    ctx.ui.end_progress();
    if let Err(left) = ended {
        ctx.ui.warn(&left.to_string());
    }
    match served {
        Err(ended) if ended.kind() == ErrorKind::Cancelled(2) => Ok(()),
        other => other,
    }
}

/// Plan of Studio: what it opens, and where it runs.
struct StudioPlan {
    database: String,
    place: String,
}

impl Plan for StudioPlan {
    fn guard(&self) -> Guard {
        Guard::Open
    }
}

impl fmt::Display for StudioPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, place } = self;
        write!(f, "open database {database:?} in Prisma Studio, for reading and writing{place}")
    }
}

/// Container in which Studio will run.
enum StudioHost {
    /// In the backend, by this CLI.
    Backend(Container, StudioCli),
    /// In a worker from this image.
    OwnImage(StudioImage),
}

impl StudioHost {
    fn arguments(&self) -> String {
        match self {
            Self::Backend(..) => String::new(),
            Self::OwnImage(own) => format!(", in a container of its own from {}", own.image),
        }
    }
}

/// The backend where it has a CLI, else the image that was named.
async fn home(stack: &StackContext) -> Result<StudioHost> {
    let (environment, settings) = (&stack.environment, &stack.settings);
    let (program, image) = (&settings.migrations.studio, &settings.migrations.studio_image);
    let own_image =
        |image: &String| StudioHost::OwnImage(StudioImage { image: image.clone(), program: program.clone() });
    let has_backend = environment.members.iter().any(|member| member.role == Some(Role::Backend));
    let picked = environment.pick(&ContainerSelector::Backend, settings.target.index);
    let backend = match (picked, image) {
        (Ok(target), _) => stack.daemon.container(&target.container),
        // One that is stopped, or one of several, is not replaced in silence.
        (Err(error), _) if has_backend => return Err(error),
        (Err(_), Some(image)) => return Ok(own_image(image)),
        (Err(error), None) => return Err(error.hint(HINT)),
    };
    // What is named may be meant for the image.
    let named = program.as_deref().filter(|_| image.is_none());
    let finding = StudioCli::find(&backend, named);
    match (stack.cancel.run_until_cancelled(finding).await??, image) {
        (Some(cli), _) => Ok(StudioHost::Backend(backend, cli)),
        (None, Some(image)) => Ok(own_image(image)),
        (None, None) => Err(no_studio(&backend)),
    }
}

const HINT: &str = "or name an image that has Node and Prisma 7 or later: `[migrations] studio_image = \"IMAGE\"` in envctl.toml; Studio then runs beside the database";

fn no_studio(backend: &ContainerInfo) -> error::Error {
    error::usage(format!("container {} has no Prisma CLI, so no Studio", backend.name)).hint(
        "name one that it has in envctl.toml: `[migrations] studio = \"/path/node_modules/.bin/prisma\"`; version 7 and later need nothing but the database",
    )
    .hint(HINT)
}

/// Starts Studio in a worker, from which the database is on its own loopback.
async fn beside(
    stack: &StackContext,
    found: &ConnectedDatabase,
    listens: std::result::Result<ListenAddress, Unfit>,
    image: &StudioImage,
    port: u16,
) -> Result<Studio> {
    let (database, operation) = (&found.container, stack.operation());
    let transport_options = TransportArgs::default().options(stack, &stack.settings)?;
    transport_options.remove_orphans(database, &operation).await?;
    let workers = transport_options.workers(database, &operation.id, listens, DumpKind::Files).await;
    let workers =
        workers.map_err(|unfit| error::tool(format!("Studio cannot run beside the database: {unfit}")))?;
    let (host, number) = workers.server().parts();
    let url = found.access.url(database, host, number.unwrap_or(5432)).await?;
    Studio::start_beside(&workers, image, port, &url, &operation.cancel).await
}

/// Tries until Studio answers.
async fn come_up(backend: &Container, port: u16) -> Result<ForwardMethod> {
    let begun = Instant::now();
    // Looked for again each time: it may listen on the loopback alone, or on every address.
    loop {
        let method = find_method(backend, port).await?;
        if answers(backend, method, port).await {
            return Ok(method);
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
async fn address_for(backend: &Container, found: &ConnectedDatabase) -> Result<Secret> {
    let database = &found.container;
    let shared = backend.addresses.keys().find_map(|network| database.addresses.get(network));
    let host = match shared {
        Some(address) => address.clone(),
        // One network namespace for both, or the host's.
        None if backend.addresses.is_empty() => "127.0.0.1".to_owned(),
        None => {
            return Err(error::tool(format!("{} and {} share no network", backend.name, database.name))
                .note("Studio in the backend has to reach the database")
                .hint("put both on one network"));
        }
    };
    found.access.url(database, &host, 5432).await
}
