//! `envctl restore undo`.

use serde::Serialize;

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands::connect;
use crate::commands::multi_stack::one_stack;
use crate::consent::{Decision, Guard};
use crate::databases::previous::kept;
use crate::databases::swap::not_copied;
use crate::databases::undo::{UndoPlan, undo};
use crate::error::{self, Result};
use crate::postgres::connections::ConnectionGroup;
use crate::postgres::{preflight, standing};
use crate::random::nonce;

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
pub(crate) async fn run(_args: &UndoArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    one_stack(
        &settings,
        "restore undo",
        "name it: `-s STACK`; for each of several: `for s in a b; do envctl restore undo -s \"$s\" …; done`",
    )?;
    let daemon = app.connect(&settings, global)?;
    let environment = app.environment(&daemon, &settings).await?;
    let settings = settings.for_stack(&environment)?;
    let found = connect::reach(app, &daemon, &settings, &environment).await?;
    let name = found.facts.database.clone();
    let container = &found.container;
    let looking = async {
        let mut session = standing::outside(container, &found.access, Some(&name), "envctl undo").await?;
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
    let (back, warnings, sessions) = app.interrupt.or(looking).await??;
    let plan = UndoPlan {
        operation: nonce(),
        who: app.who(),
        database: name.clone(),
        back,
        sessions,
        warnings,
        access: found.access.clone(),
        version: found.facts.version.clone(),
        at: app.now().to_string(),
        lock_limit: settings.timeouts.lock,
    };
    let plan = match app.confirm(plan, Guard::Destroy, &found.target, &global.consent())? {
        Decision::Go(plan) => plan,
        Decision::DryRun(plan) => {
            app.show_dry_run(&plan);
            return Ok(());
        }
    };
    let (kept, left_out) = undo(&found.container, plan, &app.interrupt).await?;
    for statement in left_out {
        app.ui.warn(&not_copied(&statement));
    }
    app.ui.show(&UndoAnswer { database: &name, previous_database: &kept }, |_| {
        format!("{} is the previous database again\n", crate::text::escape::escape(&name))
    });
    app.ui.say(&format!("the replaced one is {kept:?} now; the same command swaps again"));
    Ok(())
}
