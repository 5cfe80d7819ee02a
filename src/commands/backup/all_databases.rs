//! `envctl backup --all-databases`: every database and the roles, in one tar.

use super::create::{CreateArgs, destination, request, show};
use super::notifications::{CreatedWithCopies, report_missing_stack, with_notifications};
use super::store_copies::copy_to_stores;
use crate::backup::all_databases::create_all;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::dump::format::Format;
use crate::error::{self, Result};
use crate::postgres::find_primary::FirstSession;
use crate::repository::manifest::Purpose;

/// # Errors
/// Kind `Usage`: what a tar of plain dumps cannot be. Otherwise as [`create_all`].
pub(crate) async fn run(args: &CreateArgs, ctx: &CommandContext) -> Result<()> {
    fits(args, args.many.wanted(&ctx.settings)?)?;
    if ctx.global.dry_run {
        let stack = ctx.stack().await?;
        let (found, session) = stack.server_with_session(FirstSession::Configured).await?;
        let request = request(args, Purpose::Backup, &stack, &found).await?;
        session.close().await;
        ctx.ui.say(&format!("would back up all databases to {}", destination(&request)));
        return Ok(());
    }
    let stack = report_missing_stack(ctx, ctx.stack().await).await?;
    let (created, copies) = with_notifications(&stack, Box::pin(back_up(args, &stack))).await?;
    show(ctx, &created, &copies);
    Ok(())
}

/// Backs up every database of a stack's server, and copies the backup into the stores.
///
/// # Errors
/// See [`create_all`].
pub(super) async fn back_up(args: &CreateArgs, stack: &StackContext) -> Result<CreatedWithCopies> {
    let (found, session) = stack.server_with_session(FirstSession::Configured).await?;
    let request = request(args, Purpose::Backup, stack, &found).await?;
    let created = create_all(&found.container, &request, session).await;
    stack.ui.end_progress();
    let created = created?;
    let copies = copy_to_stores(stack, &found, &request, &created).await?;
    Ok((created, copies))
}

/// Checks that the other options can be used with `--all-databases`.
fn fits(args: &CreateArgs, several: bool) -> Result<()> {
    if several {
        return Err(error::usage("`--all-databases` is of one stack, and several are meant")
            .hint("name it: `-s STACK`; for each of several: `for s in a b; do envctl backup --all-databases -s \"$s\"; done`"));
    }
    if args.format.as_deref().is_some_and(|format| format != Format::Plain.keyword()) {
        return Err(error::usage("`--all-databases` holds plain dumps, which any psql reads").hint(
            "leave `--format` out; an archive of one database: `envctl backup --format custom -d NAME`",
        ));
    }
    if args.store.is_some() {
        return Err(error::usage("`--all-databases` needs a disk while it is made")
            .hint("leave `--store` out and set `backup.stores`: the file is copied there"));
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
