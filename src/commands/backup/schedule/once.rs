//! `envctl backup schedule run --once`: a backup of each database service that is meant, its verification, then prune.
//!
//! Promises: one run at a time; nothing is pruned where a backup of the stack or its verification failed; the result is
//! in the state of the schedule, whatever it is.

use std::time::{Duration, Instant};

use super::options::ScheduleRunArgs;
use crate::commands::backup::create::CreateArgs;
use crate::commands::backup::notifications::{report_missing_stack, with_notifications};
use crate::commands::backup::{all_databases, create, prune, verify};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::status;
use crate::environment::Environment;
use crate::error::{self, Error, ErrorKind, Result};
use crate::exit;
use crate::fsutil::read_lock::SoleLock;
use crate::multi_stack::per_stack_timeout::StackTimeout;
use crate::schedule::state::{ScheduleFile, ScheduleState, ScheduledBackup, ScheduledRunRow};
use crate::text::units::counted;

/// Interval between two looks at a lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

/// Backup of one database service, with its error.
struct BackupOutcome {
    backup: ScheduledBackup,
    error: Option<Error>,
}

/// # Errors
/// Kind `Busy`: another run is at work. Of one backup its own error. `Partial`: some of several failed.
pub(super) async fn run(args: &ScheduleRunArgs, ctx: &CommandContext) -> Result<()> {
    if args.supervised {
        ctx.end_with_supervisor();
    }
    let times = args.options.times(&ctx.settings, ctx)?;
    if !ctx.settings.target.names_several() {
        prune::check_rules(&ctx.settings)?;
    }
    let file = args.options.file(&ctx.settings);
    let _lock = lock(ctx, &file).await?;
    let selection = args.options.selection(&ctx.settings);
    let mut state = match file.load() {
        Ok(known) => known.unwrap_or_else(|| ScheduleState::new(selection.clone(), ctx.now())),
        Err(error) => {
            ctx.ui.warn(&error.full_message());
            ScheduleState::new(selection.clone(), ctx.now())
        }
    };
    state.selection = selection;
    // A timer of the system may have other times than the settings.
    if args.supervised || args.options.says_when(&ctx.settings) {
        state = state.with_times(&times);
    }
    state.begin(ctx.now());
    file.save(&state)?;
    let outcomes = Box::pin(back_up_all(args, ctx)).await;
    let (backups, result) = match outcomes {
        Err(error) => (Vec::new(), Err(error)),
        Ok(mut outcomes) => {
            let backups = outcomes.iter().map(|outcome| outcome.backup.clone()).collect();
            (backups, conclude(ctx, &mut outcomes))
        }
    };
    if let Some(last) = &mut state.last {
        last.backups = backups;
    }
    let (code, error) = match &result {
        Ok(()) => (0, None),
        Err(error) => (exit::code(error.kind()), Some(error.full_message())),
    };
    state.end(ctx.now(), code, error);
    if let Err(error) = file.save(&state) {
        ctx.ui.warn(&error.full_message());
    }
    if let Some(run) = state.last.as_ref().filter(|_| result.is_ok()).map(ScheduledRunRow::from) {
        ctx.ui.show(&run, |_| {
            let paths = run.backups.iter().filter_map(|backup| backup.path.as_deref());
            paths.fold(String::new(), |text, path| text + &crate::text::escape::escape(path) + "\n")
        });
    }
    result
}

async fn lock(ctx: &CommandContext, file: &ScheduleFile) -> Result<SoleLock> {
    let started = Instant::now();
    loop {
        if let Some(lock) = file.try_lock()? {
            return Ok(lock);
        }
        if started.elapsed() >= ctx.settings.timeouts.lock {
            return Err(error::busy("another run of this schedule is at work")
                .hint("wait longer with `--lock-timeout 1h`, or try again later"));
        }
        ctx.cancel.run_until_cancelled(tokio::time::sleep(LOCK_INTERVAL)).await?;
    }
}

/// Backs up each database service that is meant. One that fails does not keep the others from theirs.
async fn back_up_all(args: &ScheduleRunArgs, ctx: &CommandContext) -> Result<Vec<BackupOutcome>> {
    let environments = environments(ctx).await?;
    let timeout = StackTimeout { limit: ctx.limit_for_each(), cancel: &ctx.cancel };
    let mut outcomes = Vec::new();
    for environment in environments {
        let services = environment.database_services();
        let only = services.len() < 2;
        let first = outcomes.len();
        // Without a service the error says what was looked for.
        let targets: Vec<Environment> = match services.as_slice() {
            [] => vec![environment.clone()],
            services => services.iter().map(|service| environment.with_database(service)).collect(),
        };
        for (at, target) in targets.iter().enumerate() {
            if ctx.cancel.signal().is_some() {
                return Ok(outcomes);
            }
            let mut backup = ScheduledBackup {
                stack: target.stack.clone(),
                profile: target.profile.name.clone(),
                service: services.get(at).filter(|_| !only).map(|&service| service.to_owned()),
                ..ScheduledBackup::default()
            };
            let work = async |stop| back_up(args, &ctx.at(target, stop)?, &mut backup).await;
            let error = timeout.run(Duration::ZERO, work).await.err();
            backup.error = error.as_ref().map(Error::full_message);
            outcomes.push(BackupOutcome { backup, error });
        }
        let of_stack = &mut outcomes[first..];
        if of_stack.iter().all(|outcome| outcome.error.is_none()) {
            prune_stack(ctx, &environment, of_stack).await;
        }
    }
    Ok(outcomes)
}

/// Returns the environments that are meant. Of several stacks those without a database have nothing to back up.
async fn environments(ctx: &CommandContext) -> Result<Vec<Environment>> {
    if !ctx.settings.target.names_several() {
        return Ok(vec![report_missing_stack(ctx, ctx.stack().await).await?.environment]);
    }
    let found = status::each_profile(&ctx.inventory().await?, &ctx.settings)?;
    let with_database = found.into_iter().filter(|environment| {
        let has = !environment.database_services().is_empty();
        if !has {
            ctx.ui.detail(&format!("{environment} has no database service"));
        }
        has
    });
    let own = |environment| ctx.protected_by_its_own(environment);
    let environments = with_database.map(own).collect::<Result<Vec<_>>>()?;
    if environments.is_empty() {
        return Err(error::target("none of the stacks has a database").hint("see what runs: `envctl status`"));
    }
    Ok(environments)
}

/// Backs up one database service and verifies the backup, between its pings.
async fn back_up(args: &ScheduleRunArgs, stack: &StackContext, backup: &mut ScheduledBackup) -> Result<()> {
    let create = CreateArgs::of_schedule(args.options.all_databases, args.options.plain);
    let settings = stack.settings.for_stack(&stack.environment)?;
    let depth = args.options.verify.as_ref().unwrap_or(&settings.backup.schedule.verify);
    let depth = verify::Depth::of_schedule(depth);
    let mut verified = None;
    let work = async {
        let (created, copies) = if create.all_databases {
            Box::pin(all_databases::back_up(&create, stack)).await?
        } else {
            Box::pin(create::back_up(&create, stack)).await?
        };
        if let (Some(depth), Some(path)) = (depth, &created.path) {
            let own = stack.clone().with_own_settings()?;
            verified = Some(Box::pin(verify::verify_backup(&own, (path, &created.manifest), depth)).await?);
        }
        Ok((created, copies))
    };
    let (created, copies) = with_notifications(stack, Box::pin(work)).await?;
    let path = created.path.as_ref().map(|path| path.display().to_string());
    stack.ui.say(&format!(
        "backup of {}: {}{}",
        created.manifest.of_what(),
        path.as_deref().unwrap_or_default(),
        if verified.is_some() { ", verified" } else { "" }
    ));
    backup.path = path;
    backup.copies = copies.iter().map(|copy| copy.display().to_string()).collect();
    backup.verified = verified.map(|level| level.keyword().to_owned());
    Ok(())
}

/// Prunes the backups of a stack where its settings say so; an error is that of its first backup.
async fn prune_stack(ctx: &CommandContext, environment: &Environment, of_stack: &mut [BackupOutcome]) {
    let Some(first) = of_stack.first_mut() else { return };
    let pruning = async {
        let stack = ctx.at(environment, ctx.cancel.clone())?;
        if !stack.settings.for_stack(environment)?.backup.schedule.prune {
            return Ok(None);
        }
        prune::as_configured(&stack).await
    };
    match pruning.await {
        Ok(removed) => first.backup.removed = removed.map(|removed| removed as u64),
        Err(error) => {
            let error = error.context("the backup is made and verified, but pruning failed");
            first.backup.error = Some(error.full_message());
            first.error = Some(error);
        }
    }
}

/// Tells each failure; returns the error of the run.
fn conclude(ctx: &CommandContext, outcomes: &mut Vec<BackupOutcome>) -> Result<()> {
    if let Some(signal) = ctx.cancel.signal() {
        return Err(crate::cancel::cancelled(signal));
    }
    let all = outcomes.len();
    if let [_] = outcomes.as_slice()
        && let Some(BackupOutcome { error: Some(error), .. }) = outcomes.pop()
    {
        return Err(error);
    }
    let mut failed = 0;
    for outcome in outcomes.iter() {
        let Some(error) = &outcome.error else { continue };
        failed += 1;
        let mut text = error.full_message();
        text.extend(error.notes().iter().map(|note| format!("\nnote: {note}")));
        text.extend(error.hints().iter().map(|hint| format!("\nhint: {hint}")));
        ctx.ui.of_stack(&outcome.backup.stack).warn(&text);
    }
    if failed == 0 {
        return Ok(());
    }
    let all = counted(all as u64, "backup", "backups");
    Err(Error::new(ErrorKind::Partial, format!("{failed} of {all} failed")))
}
