//! `envctl restore previous`: the databases that restores have replaced, seen and dropped.

use serde::Serialize;

use crate::app::App;
use crate::commands::shared::context::CommandContext;
use crate::databases::previous::{DropPreviousPlan, PreviousDatabase, all, drop_kept};
use crate::error::{self, Result};
use crate::postgres::maintenance_database;
use crate::text::units::{age, bytes};
use crate::ui::{Cell, Column, Table};

/// Arguments of `restore previous`.
#[derive(clap::Args, Debug)]
pub(crate) struct PreviousArgs {
    /// Drop the previous database of this name, or `all` of this database; repeatable
    #[arg(long, value_name = "NAME|all")]
    drop: Vec<String>,
}

#[derive(Serialize)]
struct PreviousRow<'a> {
    name: &'a str,
    database: &'a str,
    replaced: &'a str,
    size: u64,
}

impl<'a> PreviousRow<'a> {
    fn of(kept: &'a PreviousDatabase) -> Self {
        Self { name: &kept.name, database: &kept.note.replaced, replaced: &kept.note.at, size: kept.size }
    }
}

#[derive(Serialize)]
struct ListedDatabase<'a> {
    database: &'a str,
    previous: Vec<PreviousRow<'a>>,
}

#[derive(Serialize)]
struct Dropped {
    dropped: Vec<String>,
}

/// # Errors
/// Kind `Target`: there is none of that name. `Refused`, `Busy`: nothing more was dropped.
pub(crate) async fn run(args: &PreviousArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("restore previous",
        "name it: `-s STACK`; for each of several: `for s in a b; do envctl restore previous -s \"$s\"; done`",
    )?;
    let stack = ctx.stack().await?;
    let found = stack.server().await?;
    let name = &found.facts.database;
    let container = &found.container;
    let mut session = ctx
        .cancel
        .run_until_cancelled(maintenance_database::outside(
            container,
            &found.access,
            Some(name),
            "envctl kept",
        ))
        .await??;
    let kept = ctx.cancel.run_until_cancelled(all(&mut session)).await??;
    session.close().await;
    if args.drop.is_empty() {
        list(ctx, name, &kept);
        return Ok(());
    }
    let plan = DropPreviousPlan { kept: chosen(&args.drop, kept, name)?, access: found.access.clone() };
    let Some(plan) = ctx.confirm(plan, &found.target)? else { return Ok(()) };
    let dropped = drop_kept(&found.container, plan, &ctx.cancel).await?;
    ctx.ui.show(&Dropped { dropped: dropped.clone() }, |_| {
        dropped.iter().fold(String::new(), |text, name| text + &crate::text::escape::escape(name) + "\n")
    });
    ctx.ui.say(if dropped.len() == 1 { "dropped" } else { "all of them dropped" });
    Ok(())
}

/// Returns the previous databases that are named; `all` means each one that was replaced under the name `database`.
fn chosen(named: &[String], kept: Vec<PreviousDatabase>, database: &str) -> Result<Vec<PreviousDatabase>> {
    let all = named.iter().any(|name| name == "all");
    for name in named.iter().filter(|name| *name != "all") {
        if !kept.iter().any(|kept| kept.name == *name) {
            return Err(error::target(format!("there is no previous database {name:?}"))
                .hint("list them: `envctl restore previous`"));
        }
    }
    let chosen: Vec<PreviousDatabase> = kept
        .into_iter()
        .filter(|kept| named.contains(&kept.name) || (all && kept.note.replaced == database))
        .collect();
    if chosen.is_empty() {
        return Err(error::target(format!("there is no previous database of {database:?}"))
            .hint("list those of every database of this server: `envctl restore previous`"));
    }
    Ok(chosen)
}

fn list(app: &App, database: &str, kept: &[PreviousDatabase]) {
    if kept.is_empty() {
        app.ui.say("there is no previous database on this server");
    }
    let answer = ListedDatabase { database, previous: kept.iter().map(PreviousRow::of).collect() };
    let now = app.now();
    app.ui.show(&answer, |ui| if kept.is_empty() { String::new() } else { ui.render(&table(kept, now)) });
    for replaced in replaced_names(kept) {
        app.ui.say(&format!("{} swaps the newest {replaced:?} back in", super::undo::undo_command(replaced)));
    }
    if !kept.is_empty() {
        app.ui.say("`envctl restore previous --drop NAME` drops one");
    }
}

/// Names of the databases that were replaced, each once, the last replaced first.
fn replaced_names(kept: &[PreviousDatabase]) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for database in kept {
        if !names.contains(&database.note.replaced.as_str()) {
            names.push(&database.note.replaced);
        }
    }
    names
}

fn table(kept: &[PreviousDatabase], now: jiff::Timestamp) -> Table {
    let mut table = Table::new([
        Column::text("previous"),
        Column::text("database"),
        Column::text("replaced"),
        Column::number("size"),
    ]);
    for kept in kept {
        let replaced = match kept.note.at.parse::<jiff::Timestamp>() {
            Ok(at) => age(at, now),
            Err(_) => kept.note.at.clone(),
        };
        table.row([
            Cell::from(kept.name.clone()),
            Cell::from(kept.note.replaced.clone()),
            Cell::from(replaced),
            Cell::from(bytes(kept.size)),
        ]);
    }
    table
}
