//! `envctl migrate [apply]`.

use std::fmt;

use serde::Serialize;

use crate::app::global_args::GlobalArgs;
use crate::app::{App, Daemon};
use crate::commands::migrate::context::{MigrationContext, history_beside, open_with_session};
use crate::commands::multi_stack::{ManyArgs, MultiStackContext};
use crate::commands::{connect, find_catalog};
use crate::config::Settings;
use crate::consent::{Decision, Guard};
use crate::environment::Environment;
use crate::environment::selector::ContainerSelector;
use crate::error::{self, ErrorKind, Result};
use crate::migrations::{Applied, MigrationPlan};
use crate::text::units::age;

/// Arguments of `migrate apply`.
#[derive(clap::Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a word that can be typed")]
pub(crate) struct ApplyArgs {
    /// Apply to production what no other profile of the stack has applied
    #[arg(long)]
    untested: bool,
    /// Make a backup first
    #[arg(long, conflicts_with = "no_backup")]
    pub(crate) backup: bool,
    /// Offer no backup
    #[arg(long)]
    no_backup: bool,
    /// Refuse what comes before a migration that is applied already
    #[arg(long)]
    strict_order: bool,
    #[command(flatten)]
    pub(crate) many: ManyArgs,
}

#[derive(Serialize)]
struct DryRun<'a> {
    dry_run: bool,
    #[serde(flatten)]
    plan: &'a MigrationPlan,
}

/// # Errors
/// Kind `Refused`: a guard, an edited or failed history. `Busy`: a lock, a dump. `Tool`: a migration failed.
pub(crate) async fn run(args: ApplyArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    let daemon = app.connect(&settings, global)?;
    if args.many.wanted(&settings)? {
        let ground = MultiStackContext { app, daemon: &daemon, settings: &settings };
        return crate::commands::migrate::multi_stack::apply(&args, global, &ground).await;
    }
    let environment = app.environment(&daemon, &settings).await?;
    let PreparedRun { migrations, plan, backup_is_due } =
        prepare(&args, app, &daemon, &settings, &environment).await?;
    if plan.pending.is_empty() {
        nothing(app, global, &plan);
        return Ok(());
    }
    let plan = match app.confirm(plan, Guard::Change, &migrations.found.target, &global.consent())? {
        Decision::Go(plan) => plan,
        Decision::DryRun(plan) => {
            if app.ui.is_json() {
                app.ui.json(&DryRun { dry_run: true, plan: &plan });
            }
            return Ok(());
        }
    };
    if args.backup || backup_is_due && app.offer("Make a backup first?", &global.consent()) {
        let path = crate::commands::backup::safety(app, &daemon, &settings, &migrations.found).await?;
        app.ui.say(&format!("what is there now is backed up in {}", path.display()));
    }
    let applied = migrations.driver.apply(&plan).await;
    app.ui.end_progress();
    show(app, &applied?);
    Ok(())
}

/// A plan, and what it was made from.
pub(crate) struct PreparedRun {
    pub(crate) migrations: MigrationContext,
    pub(crate) plan: MigrationPlan,
    /// The last backup of production is too old; the plan says so.
    pub(crate) backup_is_due: bool,
}

/// The plan for one environment, with what production asks of it.
///
/// # Errors
/// Kind `Refused`: edited, failed, out of order, or untested in production.
pub(crate) async fn prepare(
    args: &ApplyArgs,
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
) -> Result<PreparedRun> {
    let (migrations, mut session) = open_with_session(app, daemon, settings, environment).await?;
    let settings = &settings.for_stack(environment)?;
    // Not waited for at the end: its end of input ends it.
    let mut plan = migrations.driver.plan(&mut session).await?;
    drop(session);
    plan.remarks.extend(migrations.place.clone());
    if let Some(words) = plan.out_of_order.as_ref().filter(|_| args.strict_order) {
        return Err(error::refused(format!("out of order: {words}")).hint(
            "give it a name that sorts behind the applied ones, or apply it without `--strict-order`",
        ));
    }
    let mut backup_is_due = false;
    if !plan.pending.is_empty() && environment.profile.counts_as_prod() {
        tested(args, app, daemon, settings, environment, &migrations, &mut plan).await?;
        let remark = backup_remark(args, app, settings, &migrations);
        backup_is_due = remark.is_some() && !args.backup;
        plan.remarks.extend(remark);
    }
    Ok(PreparedRun { migrations, plan, backup_is_due })
}

fn nothing(app: &App, global: &GlobalArgs, plan: &MigrationPlan) {
    for remark in &plan.remarks {
        app.ui.warn(remark);
    }
    let (driver, database) = (plan.driver.clone(), plan.database.clone());
    if global.dry_run {
        app.ui.show(&DryRun { dry_run: true, plan }, |_| "nothing to apply\n".to_owned());
    } else {
        let done = Applied { driver, database, ..Applied::default() };
        app.ui.show(&done, |_| "nothing to apply\n".to_owned());
    }
}

/// Refuses migrations that no other profile of the stack has applied, unless `--untested` is given.
async fn tested(
    args: &ApplyArgs,
    app: &App,
    daemon: &Daemon,
    settings: &Settings,
    environment: &Environment,
    migrations: &MigrationContext,
    plan: &mut MigrationPlan,
) -> Result<()> {
    let landscape = app.landscape(daemon, settings).await?;
    let stacks = landscape.stacks();
    let others = stacks
        .iter()
        .filter(|stack| stack.name == environment.stack)
        .flat_map(|stack| stack.environments.iter())
        .filter(|other| other.profile != environment.profile);
    let (mut seen, mut looked, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for other in others {
        let quiet = app.of_stack(other, app.interrupt.clone());
        // A profile that does not run has tested nothing.
        if other.pick(&ContainerSelector::Db, settings.target.index).is_err() {
            continue;
        }
        let asking = async {
            let (target, access, session) = connect::connect(&quiet, daemon, settings, other).await?;
            session.close().await;
            history_beside(&quiet, daemon, settings, &migrations.driver, other, (&target, &access)).await
        };
        let history = match asking.await {
            Ok(history) => history,
            Err(stopped) if matches!(stopped.kind(), ErrorKind::Interrupted(_) | ErrorKind::Timeout) => {
                return Err(stopped);
            }
            // One that runs and cannot be asked may have tried it: the reason is told.
            Err(cause) => {
                silent.push(format!("{} could not be asked: {}", other.profile.word(), cause.full_message()));
                continue;
            }
        };
        looked.push(other.profile.word().to_owned());
        seen.extend(history.applied().into_iter().map(|one| one.name.clone()));
    }
    let untested: Vec<String> = plan
        .pending
        .iter()
        .filter(|planned| !seen.contains(&planned.name))
        .map(|planned| planned.name.clone())
        .collect();
    if untested.is_empty() {
        plan.remarks.push(format!("applied in {} already", looked.join(", ")));
        return Ok(());
    }
    let nowhere = (!looked.is_empty()).then(|| format!("not applied in {}", looked.join(", ")));
    let reasons: Vec<String> = nowhere.into_iter().chain(silent).collect();
    let where_ = match reasons.as_slice() {
        [] => "no other profile of the stack runs here to have tried it".to_owned(),
        reasons => reasons.join("; "),
    };
    if args.untested {
        plan.remarks.push(format!("untested ({where_}): {}", untested.join(", ")));
        return Ok(());
    }
    Err(error::refused(format!("{where_}: {}", untested.join(", ")))
        .hint("apply it to development first: `envctl migrate --dev`")
        .hint("apply it all the same, if you mean it: `envctl migrate --prod --untested`"))
}

/// Remark for the plan on the last backup, if that backup is too old or missing.
fn backup_remark(
    args: &ApplyArgs,
    app: &App,
    settings: &Settings,
    migrations: &MigrationContext,
) -> Option<String> {
    if args.backup {
        return Some("a backup is made first".to_owned());
    }
    let limit = settings.migrations.backup_age.filter(|_| !args.no_backup)?;
    let now = app.now();
    // One that was made before another migration or a reset is as good.
    let last = find_catalog::of_found(settings, &migrations.found)
        .and_then(|catalog| catalog.last_proven(&migrations.found.identity()));
    let last = match last {
        Ok(last) => last,
        Err(cause) => {
            return Some(format!(
                "how old the last backup is cannot be told: {}; `--backup` makes one first",
                cause.full_message()
            ));
        }
    };
    match last {
        Some(at) if now.duration_since(at).unsigned_abs() <= limit => None,
        Some(at) => Some(format!("the last backup is of {}; `--backup` makes one first", age(at, now))),
        None => Some("there is no backup yet; `--backup` makes one first".to_owned()),
    }
}

fn show(app: &App, applied: &Applied) {
    for remark in &applied.remarks {
        app.ui.warn(remark);
    }
    app.ui.show(applied, |_| {
        applied
            .applied
            .iter()
            .fold(String::new(), |text, name| text + &crate::text::escape::escape(name) + "\n")
    });
    let count = applied.applied.len();
    let noun = if count == 1 { "migration" } else { "migrations" };
    app.ui.say(&format!("{count} {noun} applied to {}", applied.database));
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} applied", self.applied.len())
    }
}
