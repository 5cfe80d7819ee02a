//! `envctl backup --all-databases`: every database and the roles, in one tar.

use std::sync::Arc;

use super::create::{CreateArgs, destination, request, show};
use crate::app::global_args::GlobalArgs;
use crate::app::{App, Daemon};
use crate::backup::all_databases::create_all;
use crate::commands::connect;
use crate::config::Settings;
use crate::dump::format::Format;
use crate::error::{self, Result};
use crate::progress::Progress;
use crate::repository::manifest::Purpose;

/// File extension of a backup of all databases.
pub(crate) const EXTENSION: &str = ".tar";

/// # Errors
/// Kind `Usage`: what a tar of plain dumps cannot be. Otherwise as [`create_all`].
pub(crate) async fn run(
    args: &CreateArgs,
    several: bool,
    global: &GlobalArgs,
    app: &App,
    settings: &Settings,
    daemon: &Daemon,
) -> Result<()> {
    fits(args, several)?;
    let environment = app.environment(daemon, settings).await?;
    let (found, session) = connect::reach_open(app, daemon, settings, &environment).await?;
    let request = request(args, Purpose::Backup, app, settings, daemon, &found)?;
    if global.dry_run {
        session.close().await;
        app.ui.say(&format!("would back up all databases to {}", destination(&request)));
        return Ok(());
    }
    let progress: Arc<dyn Progress> = app.ui.progress();
    let container = &found.container;
    let making = create_all(container, &request, session, &progress, &app.interrupt);
    let created = making.await;
    app.ui.end_progress();
    show(app, &created?);
    Ok(())
}

/// Checks that the other options can be used with `--all-databases`.
fn fits(args: &CreateArgs, several: bool) -> Result<()> {
    if several {
        return Err(error::usage("`--all-databases` is of one stack, and several are meant")
            .hint("name it: `-s STACK`; for each of several: `for s in a b; do envctl backup --all-databases -s \"$s\"; done`"));
    }
    if args.format.as_deref().is_some_and(|format| format != Format::Plain.word()) {
        return Err(error::usage("`--all-databases` holds plain dumps, which any psql reads").hint(
            "leave `--format` out; an archive of one database: `envctl backup --format custom -d NAME`",
        ));
    }
    let Some(output) = &args.output else { return Ok(()) };
    if output.as_os_str() == "-" {
        return Err(error::usage("`--all-databases` needs a disk while it is made")
            .hint("name a file: `-o FILE.tar`"));
    }
    if output
        .extension()
        .is_some_and(|extension| ["sql", "gz", "zst", "dump"].iter().any(|e| extension == *e))
    {
        return Err(error::usage(format!("{} is not the name of a tar", output.display()))
            .hint("name it `FILE.tar`; `--compress` chooses the compression of the dumps in it"));
    }
    Ok(())
}
