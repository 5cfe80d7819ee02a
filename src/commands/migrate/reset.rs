//! `envctl migrate reset`: everything goes, and the migrations make it anew.

use std::fmt;

use serde::Serialize;

use super::ground::open;
use crate::app::App;
use crate::commands::GlobalArgs;
use crate::commands::many::one_stack;
use crate::error::{self, Result};
use crate::migrations::Driver;
use crate::ui::format::bytes;
use crate::ui::{Decision, Guard};

/// Arguments of `migrate reset`.
#[derive(clap::Args, Clone, Debug)]
pub(super) struct Args {
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

#[derive(Serialize)]
struct ResetPlan {
    driver: String,
    database: String,
    size: u64,
    /// None where only the tool knows.
    migrations: Option<usize>,
    /// The stack was started from another directory than the files lie in.
    #[serde(skip)]
    place: Option<String>,
    backup_first: bool,
    seed: bool,
}

impl fmt::Display for ResetPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "reset database {:?} ({} now)", self.database, bytes(self.size))?;
        writeln!(f, "  drops    every table, with all rows")?;
        match self.migrations {
            Some(count) => writeln!(f, "  applies  all {count} migrations, by {}", self.driver)?,
            None => writeln!(f, "  applies  all migrations, by {}", self.driver)?,
        }
        if self.seed {
            writeln!(f, "  seeds    as the project says")?;
        }
        let first = if self.backup_first { "backed up first" } else { "NOT backed up first (--no-backup)" };
        writeln!(f, "  old one  {first}")?;
        self.place.iter().try_for_each(|place| writeln!(f, "  note: {place}"))
    }
}

/// # Errors
/// Kind `Refused`: production, a guard. `Tool`: the reset failed; the backup is named.
pub(super) async fn run(args: &Args, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    one_stack(&settings, "migrate reset", "name it with `-s STACK`")?;
    let daemon = app.connect(&settings, global)?;
    let environment = app.environment(&daemon, &settings).await?;
    if environment.profile.is_prod() && !args.allow_prod {
        return Err(error::refused("a reset deletes all data, and this is production")
            .hint("`envctl migrate reset --dev`; if you mean it, `--allow-prod`"));
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
    let reset = match &migrations.driver {
        Driver::Prisma(driver) => driver.reset(args.skip_seed).await,
        Driver::Sql(driver) => driver.reset().await,
        Driver::Command(driver) => driver.reset(args.skip_seed).await,
    };
    app.ui.end_progress();
    reset.map_err(|error| match &backup {
        Some(path) => error.hint(format!("what was there is in {}: `envctl restore FILE`", path.display())),
        None => error,
    })?;
    app.ui.show(plan.plan(), |_| format!("{} is new\n", crate::ui::escape::escape(&plan.plan().database)));
    app.ui.say(&match plan.plan().migrations {
        Some(count) => format!("{count} migrations applied"),
        None => "all migrations applied".to_owned(),
    });
    Ok(())
}
