//! `envctl migrate resolve`.

use serde::Serialize;

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands::multi_stack::one_stack;
use crate::consent::{Decision, Guard};
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
pub(crate) async fn run(args: &MigrateResolveArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    one_stack(&settings, "migrate resolve", "name it with `-s STACK`")?;
    let daemon = app.connect(&settings, global)?;
    let environment = app.environment(&daemon, &settings).await?;
    let migrations = crate::commands::migrate::context::open(app, &daemon, &settings, &environment).await?;
    if let Driver::Command(driver) = &migrations.driver {
        return Err(driver.tool.resolves_nothing());
    }
    let resolution = if args.applied { Resolution::Applied } else { Resolution::RolledBack };
    let database = migrations.found.facts.database.clone();
    let plan = ResolvePlan { name: args.name.clone(), resolution, database: database.clone() };
    let plan = match app.confirm(plan, Guard::Change, &migrations.found.target, &global.consent())? {
        Decision::Go(plan) => plan,
        Decision::DryRun(plan) => {
            app.show_dry_run(&plan);
            return Ok(());
        }
    };
    migrations.driver.resolve(&plan).await?;
    app.ui.end_progress();
    app.ui.show(&MigrateResolveAnswer { name: &args.name, resolution, database: &database }, |_| {
        let word = if args.applied { "applied" } else { "rolled back" };
        format!("{} is marked as {word}\n", crate::text::escape::escape(&args.name))
    });
    Ok(())
}
