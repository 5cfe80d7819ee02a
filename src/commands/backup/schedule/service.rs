//! `envctl backup schedule run`: waits for the time of each run, and makes it in a process of its own.
//!
//! Promises: a run that fails or crashes does not end the service; a signal ends the run first, which cleans up.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::options::{ScheduleRunArgs, shown};
use crate::app::supervisor::{ChildEnd, Supervisor};
use crate::commands::backup::prune;
use crate::commands::shared::context::CommandContext;
use crate::error::{self, Result};
use crate::random::nonce;
use crate::schedule::state::{ScheduleFile, ScheduleState};
use crate::schedule::times::RunTimes;

/// Longest time without a look at the clock, which may be set anew.
const LOOK: Duration = Duration::from_secs(30);

/// # Errors
/// Kind `Usage`: a setting cannot be used. `Failed`: the directory of backups cannot be written. `Cancelled`.
pub(super) async fn run(args: &ScheduleRunArgs, ctx: &CommandContext) -> Result<()> {
    // The limit is that of each run.
    ctx.limit_for_each();
    let times = args.options.times(&ctx.settings, ctx)?;
    if !ctx.settings.target.names_several() {
        prune::check_rules(&ctx.settings)?;
    }
    let file = args.options.file(&ctx.settings);
    let mut supervisor = ctx.supervisor()?;
    begin(args, ctx, &file, &times)?;
    let mut told = None;
    loop {
        let now = ctx.now();
        let state = known(args, ctx, &file, &times)?;
        let due = times
            .next_run(state.after)
            .ok_or_else(|| error::usage(format!("`{}` has no next time", times.cron)))?;
        let begins = match told {
            Some((known, begins)) if known == due => begins,
            _ => {
                let begins = due + delay(times.jitter);
                tell_next(ctx, &times, due, now);
                told = Some((due, begins));
                begins
            }
        };
        let missed = times.is_missed(due, now);
        if begins > now && !missed {
            let wait = begins.duration_since(now).unsigned_abs().min(LOOK);
            supervisor.sleep(wait).await?;
            continue;
        }
        make_run(ctx, &mut supervisor, &file, &state).await?;
        told = None;
    }
}

/// Writes the state of a schedule that is new or was changed: runs before now were not missed.
fn begin(args: &ScheduleRunArgs, ctx: &CommandContext, file: &ScheduleFile, times: &RunTimes) -> Result<()> {
    let new = fresh(args, ctx, times);
    let state = match file.load()? {
        None => new,
        Some(known) if known.is_same_schedule(&new) => return Ok(()),
        Some(known) => known.changed_to(new),
    };
    file.save(&state)
}

/// Returns the state as it is now; one that is gone, or of a clock that was set back, is written anew.
fn known(
    args: &ScheduleRunArgs,
    ctx: &CommandContext,
    file: &ScheduleFile,
    times: &RunTimes,
) -> Result<ScheduleState> {
    let new = match file.load()? {
        None => {
            ctx.ui.warn(&format!("{} is gone; the schedule begins anew", file.path.display()));
            fresh(args, ctx, times)
        }
        Some(state) => {
            let Some(corrected) = state.corrected(ctx.now()) else { return Ok(state) };
            ctx.ui.warn("the clock was set back since the last run");
            corrected
        }
    };
    file.save(&new)?;
    Ok(new)
}

fn fresh(args: &ScheduleRunArgs, ctx: &CommandContext, times: &RunTimes) -> ScheduleState {
    let selection = args.options.selection(&ctx.settings);
    ScheduleState::new(selection, ctx.now()).with_times(times)
}

fn tell_next(ctx: &CommandContext, times: &RunTimes, due: Timestamp, now: Timestamp) {
    if times.is_missed(due, now) {
        ctx.ui.say(&format!("the run of {} was missed; it is made now", shown(due, times)));
    } else if due > now {
        ctx.ui.say(&format!("next run: {}", shown(due, times)));
    }
}

/// Returns a delay of up to this time.
fn delay(most: Duration) -> SignedDuration {
    let random = u32::from_str_radix(&nonce()[..8], 16).unwrap_or(0);
    let share = f64::from(random) / f64::from(u32::MAX);
    SignedDuration::try_from(most.mul_f64(share)).unwrap_or(SignedDuration::ZERO)
}

/// Makes one run in a child, which tells by itself what became of it; notes where it could not.
async fn make_run(
    ctx: &CommandContext,
    supervisor: &mut Supervisor,
    file: &ScheduleFile,
    before: &ScheduleState,
) -> Result<()> {
    let command = ctx.own_command(&["--once".to_owned(), "--supervised".to_owned()])?;
    let end = supervisor.run(command).await?;
    let (code, error) = match end {
        ChildEnd::Exited(code) => (code, format!("the run ended with exit code {code}")),
        ChildEnd::Killed(signal) => (u8::MAX, format!("the run was killed by signal {signal}")),
    };
    let mut state = file.load()?.unwrap_or_else(|| before.clone());
    let begin = |state: &ScheduleState| state.last.as_ref().map(|last| last.started);
    let has_begun = begin(&state) != begin(before);
    if has_begun && state.last.as_ref().is_some_and(|last| last.ended.is_some()) {
        return Ok(());
    }
    ctx.ui.warn(&error);
    if !has_begun {
        // One that did not come as far as to begin must not be begun again and again.
        state.begin(ctx.now());
    }
    state.end(ctx.now(), code, Some(error));
    file.save(&state)
}
