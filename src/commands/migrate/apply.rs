//! `envctl migrate [apply]`.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::commands::migrate::context::MigrationContext;
use crate::commands::multi_stack::ManyArgs;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::find_catalog;
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
pub(crate) async fn run(args: ApplyArgs, ctx: &CommandContext) -> Result<()> {
    let stack = ctx.stack().await?;
    let PreparedRun { migrations, plan, backup_is_due } = prepare(&args, &stack).await?;
    if plan.pending.is_empty() {
        nothing(ctx, &plan);
        return Ok(());
    }
    let show_plan = |plan: &MigrationPlan| {
        if ctx.ui.is_json() {
            ctx.ui.json(&DryRun { dry_run: true, plan });
        }
    };
    let target = &migrations.found.target;
    let Some(plan) = ctx.confirm_unlike(plan, target, None, show_plan)? else { return Ok(()) };
    if args.backup || backup_is_due && ctx.offer("Make a backup first?") {
        let path = crate::commands::backup::safety(&stack, &migrations.found).await?;
        ctx.ui.say(&format!("what is there now is backed up in {}", path.display()));
    }
    let applied = migrations.driver.apply(&plan).await;
    ctx.ui.end_progress();
    show(ctx, &applied?);
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
pub(crate) async fn prepare(args: &ApplyArgs, stack: &StackContext) -> Result<PreparedRun> {
    let (migrations, mut session) = stack.migrations_with_session().await?;
    let stack = &stack.clone().with_own_settings()?;
    // Not waited for at the end: its end of input ends it.
    let mut plan = migrations.driver.plan(&mut session).await?;
    drop(session);
    plan.remarks.extend(migrations.place.clone());
    if let Some(arguments) = plan.out_of_order.as_ref().filter(|_| args.strict_order) {
        return Err(error::refused(format!("out of order: {arguments}")).hint(
            "give it a name that sorts behind the applied ones, or apply it without `--strict-order`",
        ));
    }
    let mut backup_is_due = false;
    if !plan.pending.is_empty() && stack.environment.profile.counts_as_prod() {
        tested(args, stack, &migrations, &mut plan).await?;
        let remark = backup_remark(args, stack, &migrations);
        backup_is_due = remark.is_some() && !args.backup;
        plan.remarks.extend(remark);
    }
    Ok(PreparedRun { migrations, plan, backup_is_due })
}

fn nothing(ctx: &CommandContext, plan: &MigrationPlan) {
    for remark in &plan.remarks {
        ctx.ui.warn(remark);
    }
    let (driver, database) = (plan.driver.clone(), plan.database.clone());
    if ctx.global.dry_run {
        ctx.ui.show(&DryRun { dry_run: true, plan }, |_| "nothing to apply\n".to_owned());
    } else {
        let done = Applied { driver, database, ..Applied::default() };
        ctx.ui.show(&done, |_| "nothing to apply\n".to_owned());
    }
}

/// Refuses migrations that no other profile of the stack has applied, unless `--untested` is given.
async fn tested(
    args: &ApplyArgs,
    stack: &StackContext,
    migrations: &MigrationContext,
    plan: &mut MigrationPlan,
) -> Result<()> {
    let own = &stack.environment;
    let inventory = stack.inventory().await?;
    let stacks = inventory.stacks();
    let others = stacks
        .iter()
        .filter(|stack| stack.name == own.stack)
        .flat_map(|stack| stack.environments.iter())
        .filter(|other| other.profile != own.profile);
    let (mut seen, mut looked, mut silent) = (Vec::new(), Vec::new(), Vec::new());
    for other in others {
        let beside = stack.beside(other);
        // A profile that does not run has tested nothing.
        if other.pick(&ContainerSelector::Db, stack.settings.target.index).is_err() {
            continue;
        }
        let asking = async {
            let (target, session) = beside.connect().await?;
            let history = beside.history_for(&migrations.driver, &target, &session).await;
            session.close().await;
            history
        };
        let history = match asking.await {
            Ok(history) => history,
            Err(stopped) if matches!(stopped.kind(), ErrorKind::Cancelled(_) | ErrorKind::Timeout) => {
                return Err(stopped);
            }
            // One that runs and cannot be asked may have tried it: the reason is told.
            Err(cause) => {
                silent.push(format!(
                    "{} could not be asked: {}",
                    other.profile.keyword(),
                    cause.full_message()
                ));
                continue;
            }
        };
        looked.push(other.profile.keyword().to_owned());
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
fn backup_remark(args: &ApplyArgs, stack: &StackContext, migrations: &MigrationContext) -> Option<String> {
    if args.backup {
        return Some("a backup is made first".to_owned());
    }
    let limit = stack.settings.migrations.backup_age.filter(|_| !args.no_backup)?;
    let now = stack.now();
    // One that was made before another migration or a reset is as good.
    let last = find_catalog::catalog_of_database(&stack.settings, &migrations.found)
        .and_then(|catalog| catalog.last_verified(&migrations.found.identity()));
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
