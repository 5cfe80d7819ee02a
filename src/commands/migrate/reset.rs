//! `envctl migrate reset`: everything goes, and the migrations make it anew.

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands::migrate::context::open;
use crate::commands::multi_stack::one_stack;
use crate::consent::{Decision, Guard};
use crate::error::{self, Result};
use crate::migrations::{Driver, ResetPlan};
use crate::text::units::counted;

/// Arguments of `migrate reset`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct MigrateResetArgs {
    /// Do not back up what is there now
    #[arg(long)]
    no_backup: bool,
    /// Do not seed afterwards
    #[arg(long)]
    skip_seed: bool,
    /// Also where the target is production
    #[arg(long)]
    allow_prod: bool,
}

/// # Errors
/// Kind `Refused`: production, a guard. `Tool`: the reset failed; the backup is named.
pub(crate) async fn run(args: &MigrateResetArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    one_stack(&settings, "migrate reset", "name it with `-s STACK`")?;
    let daemon = app.connect(&settings, global)?;
    let environment = app.environment(&daemon, &settings).await?;
    if environment.profile.is_prod() && !args.allow_prod {
        return Err(error::refused("a reset deletes all data, and this is production")
            .hint("reset development: `envctl migrate reset --dev`; if you mean it, add `--allow-prod`"));
    }
    let migrations = open(app, &daemon, &settings, &environment).await?;
    let (count, seeds) = match &migrations.driver {
        Driver::Prisma(driver) => (Some(driver.sql.scripts()?.len()), true),
        Driver::Sql(driver) => (Some(driver.scripts()?.len()), false),
        Driver::Command(driver) => (None, driver.tool.seed.is_some()),
    };
    let plan = ResetPlan {
        driver: migrations.driver.name(),
        database: migrations.found.facts.database.clone(),
        size: migrations.found.facts.size,
        migrations: count,
        place: migrations.place.clone(),
        backup_first: !args.no_backup,
        seed: seeds && !args.skip_seed,
    };
    let plan = match app.confirm(plan, Guard::Destroy, &migrations.found.target, &global.consent())? {
        Decision::Go(plan) => plan,
        Decision::DryRun(plan) => {
            app.show_dry_run(&plan);
            return Ok(());
        }
    };
    let mut backup = None;
    if plan.plan().backup_first {
        let path = crate::commands::backup::safety(app, &daemon, &settings, &migrations.found).await?;
        app.ui.say(&format!("what is there now is backed up in {}", path.display()));
        backup = Some(path);
    }
    let reset = migrations.driver.reset(&plan).await;
    app.ui.end_progress();
    reset.map_err(|error| match &backup {
        Some(path) => error
            .hint(format!("put back what was there, which is in {}: `envctl restore FILE`", path.display())),
        None => error,
    })?;
    app.ui.show(plan.plan(), |_| format!("{} is new\n", crate::text::escape::escape(&plan.plan().database)));
    app.ui.say(&match plan.plan().migrations {
        Some(count) => format!("{} applied", counted(count as u64, "migration", "migrations")),
        None => "all migrations applied".to_owned(),
    });
    Ok(())
}
