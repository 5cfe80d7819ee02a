//! `envctl migrate reset`: everything goes, and the migrations make it anew.

use crate::commands::shared::context::CommandContext;
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
pub(crate) async fn run(args: &MigrateResetArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("migrate reset", "name it with `-s STACK`")?;
    let stack = ctx.stack().await?;
    if stack.environment.profile.is_prod() && !args.allow_prod {
        return Err(error::refused("a reset deletes all data, and this is production")
            .hint("reset development: `envctl migrate reset --dev`; if you mean it, add `--allow-prod`"));
    }
    let migrations = stack.migrations().await?;
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
    let Some(plan) = ctx.confirm(plan, &migrations.found.target)? else { return Ok(()) };
    let mut backup = None;
    if plan.plan().backup_first {
        let path = crate::commands::backup::safety(&stack, &migrations.found).await?;
        ctx.ui.say(&format!("what is there now is backed up in {}", path.display()));
        backup = Some(path);
    }
    let reset = migrations.driver.reset(&plan).await;
    ctx.ui.end_progress();
    reset.map_err(|error| match &backup {
        Some(path) => error
            .hint(format!("put back what was there, which is in {}: `envctl restore FILE`", path.display())),
        None => error,
    })?;
    ctx.ui.show(plan.plan(), |_| format!("{} is new\n", crate::text::escape::escape(&plan.plan().database)));
    ctx.ui.say(&match plan.plan().migrations {
        Some(count) => format!("{} applied", counted(count as u64, "migration", "migrations")),
        None => "all migrations applied".to_owned(),
    });
    Ok(())
}
