//! `envctl migrate resolve`.

use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::error::Result;
use crate::migrations::Driver;
use crate::migrations::sql::{Resolution, ResolvePlan};

/// Arguments of `migrate resolve`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct MigrateResolveArgs {
    /// The migration, as `migrate status` calls it
    #[arg(value_name = "NAME")]
    name: String,
    /// All of it is in the database
    #[arg(long, required_unless_present = "rolled_back", conflicts_with = "rolled_back")]
    applied: bool,
    /// Nothing of it is in the database
    #[arg(long)]
    rolled_back: bool,
}

#[derive(Serialize)]
struct MigrateResolveAnswer<'a> {
    name: &'a str,
    resolution: Resolution,
    database: &'a str,
}

/// # Errors
/// Kind `Usage`: no such migration. `Refused`: the history says otherwise.
pub(crate) async fn run(args: &MigrateResolveArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("migrate resolve", "name it with `-s STACK`")?;
    let stack = ctx.stack().await?;
    let migrations = stack.migrations().await?;
    if let Driver::Command(driver) = &migrations.driver {
        return Err(driver.tool.resolves_nothing());
    }
    let resolution = if args.applied { Resolution::Applied } else { Resolution::RolledBack };
    let database = migrations.found.facts.database.clone();
    let plan = ResolvePlan { name: args.name.clone(), resolution, database: database.clone() };
    let Some(plan) = ctx.confirm(plan, &migrations.found.target)? else { return Ok(()) };
    migrations.driver.resolve(&plan).await?;
    ctx.ui.end_progress();
    ctx.ui.show(&MigrateResolveAnswer { name: &args.name, resolution, database: &database }, |_| {
        let argument = if args.applied { "applied" } else { "rolled back" };
        format!("{} is marked as {argument}\n", crate::text::escape::escape(&args.name))
    });
    Ok(())
}
