//! `envctl restore undo`.

use serde::Serialize;

use crate::app::global_args::option;
use crate::commands::shared::context::CommandContext;
use crate::databases::previous::kept;
use crate::databases::swap::not_copied;
use crate::databases::undo::{UndoPlan, undo};
use crate::error::{self, Result};
use crate::postgres::connections::ConnectionGroup;
use crate::postgres::{maintenance_database, preflight};

/// Arguments of `restore undo`.
#[derive(clap::Args, Debug)]
pub(crate) struct UndoArgs {}

#[derive(Serialize)]
struct UndoAnswer<'a> {
    database: &'a str,
    previous_database: &'a str,
}

/// # Errors
/// Kind `Target`: no restore has kept anything. Otherwise as for the swap; nothing changed then.
pub(crate) async fn run(_args: &UndoArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack(
        "restore undo",
        "name it: `-s STACK`; for each of several: `for s in a b; do envctl restore undo -s \"$s\" …; done`",
    )?;
    let stack = ctx.stack().await?.with_own_settings()?;
    let found = stack.server().await?;
    let name = found.facts.database.clone();
    let container = &found.container;
    let looking = async {
        let mut session =
            maintenance_database::outside(container, &found.access, Some(&name), "envctl undo").await?;
        let newest = kept(&mut session, &name).await?.into_iter().next();
        let back = newest.ok_or_else(|| {
            error::target(format!("there is no previous database of {name:?}"))
                .hint("restore a backup instead: `envctl backup list`")
        })?;
        preflight::may_swap(&mut session, &name).await?;
        preflight::may_swap(&mut session, &back.name).await?;
        preflight::replaceable(&mut session, &name).await?;
        preflight::renamable(&mut session, &back.name).await?;
        let warnings = preflight::beyond_reach(&mut session, &name, &found.facts.version).await?;
        let sessions = ConnectionGroup::of(&mut session, &name).await?;
        session.close().await;
        Ok::<_, error::Error>((back, warnings, sessions))
    };
    let (back, warnings, sessions) = ctx.cancel.run_until_cancelled(looking).await??;
    let plan = UndoPlan {
        operation: ctx.operation(),
        database: name.clone(),
        back,
        sessions,
        warnings,
        access: found.access.clone(),
        version: found.facts.version.clone(),
        lock_limit: stack.settings.timeouts.lock,
    };
    let Some(plan) = ctx.confirm(plan, &found.target)? else { return Ok(()) };
    let (kept, left_out) = undo(&found.container, plan).await?;
    for statement in left_out {
        ctx.ui.warn(&not_copied(&statement));
    }
    ctx.ui.show(&UndoAnswer { database: &name, previous_database: &kept }, |_| {
        format!("{} is the previous database again\n", crate::text::escape::escape(&name))
    });
    ctx.ui.say(&format!("the replaced one is {kept:?} now; the same command swaps again"));
    Ok(())
}

/// Returns the command that takes a restore of this database back, in backticks. It names the database: a command
/// without a name may mean another one by the time it is typed.
pub(super) fn undo_command(database: &str) -> String {
    format!("`envctl restore undo {}`", option("-d", "--database", database))
}
