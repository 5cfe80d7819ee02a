//! The recipe of a verb over several stacks: select, gather plans, ask once, run, tell.
//!
//! Promises: a verb takes part by two functions and by flattening [`ManyArgs`] into its own arguments; every
//! stack that was asked for is in the final table and in the JSON answer, whatever became of it.

use std::fmt::Display;
use std::time::Duration;

use serde::Serialize;

use crate::app::App;
use crate::cancel::cancelled;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::multi_stack_table::table;
use crate::config::Settings;
use crate::consent::{Confirmed, Decision, Plan};
use crate::environment::selector::TargetRequest;
use crate::environment::{Environment, Inventory};
use crate::error::{self, Error, ErrorKind, Result};
use crate::multi_stack::collect_plans::PlanResult;
use crate::multi_stack::per_stack_timeout::StackTimeout;
use crate::multi_stack::report::resume;
use crate::multi_stack::resume_file;
use crate::multi_stack::resume_file::{ResumeFile, ResumeRecord};
use crate::multi_stack::run::{RunEvent, run as carry_out};
use crate::multi_stack::schedule::{OnFailure, Schedule};
use crate::multi_stack::{End, MultiStackPlan, Report, StackPlan, StackResult, collect_plans};
use crate::text::units::duration;

/// Options of the verbs that work on several stacks.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct ManyArgs {
    /// How many stacks are worked on at a time
    #[arg(long, value_name = "N", help_heading = "Several stacks", default_value = "1", value_parser = clap::value_parser!(u16).range(1..))]
    parallel: u16,
    /// This stack first and alone; the others only once it is done
    #[arg(long, value_name = "STACK", help_heading = "Several stacks")]
    canary: Option<String>,
    /// When one fails: stop, or continue with the others
    #[arg(long, value_name = "WHAT", help_heading = "Several stacks", value_parser = on_failure)]
    on_failure: Option<OnFailure>,
    /// Only the stacks that the last run of this command has not done
    #[arg(long, help_heading = "Several stacks")]
    resume: bool,
}

fn on_failure(argument: &str) -> Result<OnFailure, String> {
    OnFailure::parse(argument).ok_or_else(|| "expected stop or continue".to_owned())
}

impl ManyArgs {
    /// Reports whether this call is a multi-stack operation.
    ///
    /// # Errors
    /// Kind `Usage`: options for several stacks, and only one is meant.
    pub(crate) fn wanted(&self, settings: &Settings) -> Result<bool> {
        if self.resume || settings.target.names_several() {
            return Ok(true);
        }
        let argument = match (&self.canary, self.on_failure) {
            (Some(_), _) => "--canary",
            (_, Some(_)) => "--on-failure",
            _ if self.parallel > 1 => "--parallel",
            _ => return Ok(false),
        };
        Err(error::usage(format!("{argument} is for several stacks, and one is meant here"))
            .hint("name them: `-s GLOB` (repeatable) or `--all-stacks`"))
    }
}

/// A verb over several stacks.
pub(crate) struct MultiStackVerb<'a, P> {
    /// The verb as typed behind `envctl`: `migrate reset`.
    pub(crate) name: &'static str,
    pub(crate) args: &'a ManyArgs,
    /// Effect of a failure, unless an option says otherwise.
    pub(crate) on_failure: OnFailure,
    /// Reports whether a plan would change anything. A stack without changes needs no confirmation.
    pub(crate) changes: fn(&P) -> bool,
}

/// Plans for each stack, asks once, carries the plans out and tells. `plan` looks at one stack and decides; it changes
/// nothing.
///
/// # Errors
/// Kind `Partial`: some stacks failed or were not begun. `Refused`, `Cancelled` as for one stack.
pub(crate) async fn for_each_stack<P, O>(
    ctx: &CommandContext,
    verb: MultiStackVerb<'_, P>,
    plan: impl AsyncFn(StackContext) -> Result<P>,
    run: impl AsyncFn(StackContext, Confirmed<P>) -> Result<O>,
) -> Result<()>
where
    P: Plan + Serialize,
    O: Display + Serialize,
{
    let MultiStackVerb { name, args, on_failure, changes } = verb;
    let context = &ctx.daemon()?.context;
    let timeout = StackTimeout { limit: ctx.limit_for_each(), cancel: &ctx.cancel };
    let on_failure = args.on_failure.unwrap_or(on_failure);
    let last = || resume_file::last(&ctx.resume_dir()?, name, context);
    let earlier = args.resume.then(last).transpose()?;
    let report =
        |stacks| Report { verb: name, context: context.clone(), dry_run: ctx.global.dry_run, stacks };
    let Some(asked) = select(ctx, args, earlier.as_ref()).await? else {
        ctx.ui.say(&format!("every stack of the last `{name}` is done: nothing to resume"));
        ctx.ui.show(&report(Vec::<StackResult<O>>::new()), |_| String::new());
        return Ok(());
    };
    let ask = async |environment, stop| plan(ctx.at(&environment, stop)?).await;
    let (stack_plans, broken) = parted(collect_plans(asked.clone(), timeout, ask).await);
    for ended in &broken {
        tell_failure(ctx, ended);
    }
    if let Some(signal) = ctx.cancel.signal() {
        return Err(cancelled(signal));
    }
    if let Some(error) = too_broken(&stack_plans, &broken, on_failure) {
        let rest = stack_plans
            .iter()
            .map(|stack_plan| StackResult::new(&stack_plan.environment, End::NotBegun, Duration::ZERO))
            .collect();
        let report = report(in_order(&asked, rest, broken));
        ctx.ui.show(&report, |ui| ui.render(&table(&report)));
        return Err(error);
    }
    let plan =
        MultiStackPlan { verb: name, manner: manner(args, on_failure, stack_plans.len()), stack_plans };
    let targets = plan.targets(changes);
    let plan = match ctx.confirm_each(plan, &targets, &ctx.global.consent())? {
        Decision::DryRun(plan) => return dry_run(ctx, plan, broken, context),
        Decision::Go(plan) => plan,
    };
    let record = ResumeRecord::new(name, context, ctx.now().to_string(), &asked);
    let record = earlier.map_or(record.clone(), |earlier| earlier.taken_up(record));
    let resume_file = ResumeFile::begin(&ctx.resume_dir()?, record)?;
    let stack_plans = &plan.plan().stack_plans;
    let canary = args
        .canary
        .as_ref()
        .and_then(|name| stack_plans.iter().position(|stack_plan| stack_plan.environment.stack == *name));
    let schedule = Schedule::new(stack_plans.len(), args.parallel.into(), canary, on_failure);
    let profiles =
        stack_plans.iter().map(|stack_plan| stack_plan.environment.profile.keyword().to_owned()).collect();
    let work = async |environment, stop, plan| run(ctx.at(&environment, stop)?, plan).await;
    let ends = carry_out(plan, schedule, timeout, work, told(ctx, profiles, resume_file)).await;
    finish(ctx, &report(in_order(&asked, ends, broken)))
}

/// Asks every stack that is named, and shows what they say: nothing is changed.
///
/// # Errors
/// Kind `Partial`: some did not answer; it is shown which, and why.
pub(crate) async fn look<T: Display + Serialize>(
    verb: &'static str,
    ctx: &CommandContext,
    ask: impl AsyncFn(StackContext) -> Result<T>,
) -> Result<Report<T>> {
    let timeout = StackTimeout { limit: ctx.limit_for_each(), cancel: &ctx.cancel };
    let asked = select(ctx, &ManyArgs::default(), None).await?.unwrap_or_default();
    let ask = async |environment, stop| ask(ctx.at(&environment, stop)?).await;
    let answers = collect_plans(asked, timeout, ask).await;
    let ended = |one: PlanResult<T>| {
        StackResult::new(&one.environment, one.answer.map_or_else(End::Failed, End::Done), one.took)
    };
    let stacks: Vec<StackResult<T>> = answers.into_iter().map(ended).collect();
    for failed in &stacks {
        tell_failure(ctx, failed);
    }
    let context = ctx.daemon()?.context.clone();
    let report = Report { verb, context, dry_run: ctx.global.dry_run, stacks };
    ctx.ui.show(&report, |ui| ui.render(&table(&report)));
    match report.error(ctx.cancel.signal().map(cancelled)) {
        Some(error) => Err(error),
        None => Ok(report),
    }
}

/// The stacks that are meant; `None` when a resumed run has nothing left to do.
async fn select(
    ctx: &CommandContext,
    args: &ManyArgs,
    earlier: Option<&ResumeRecord>,
) -> Result<Option<Vec<Environment>>> {
    let inventory = ctx.inventory().await?;
    let environments = match earlier {
        None => inventory.environments(&ctx.settings.target)?,
        Some(earlier) if earlier.unfinished().next().is_none() => return Ok(None),
        Some(earlier) => unfinished(&inventory, &ctx.settings.target, earlier)?,
    };
    let own = |environment| ctx.protected_by_its_own(environment);
    let environments = environments.into_iter().map(own).collect::<Result<Vec<_>>>()?;
    if environments.is_empty() {
        return Err(error::usage("none of the stacks that are named is unfinished in the last run")
            .hint("leave the names out to resume it as it was"));
    }
    if let Some(canary) = &args.canary
        && !environments.iter().any(|environment| environment.stack == *canary)
    {
        let names: Vec<_> = environments.iter().map(|environment| environment.stack.as_str()).collect();
        return Err(error::usage(format!(
            "the canary `{canary}` is none of the stacks: {}",
            names.join(", ")
        )));
    }
    Ok(Some(environments))
}

/// The environments of a run that are not done, each exactly the one it was; what is named now narrows them.
fn unfinished(
    inventory: &Inventory,
    request: &TargetRequest,
    earlier: &ResumeRecord,
) -> Result<Vec<Environment>> {
    let mut found = Vec::new();
    for line in earlier.unfinished() {
        // Without a selection of its own a resumed run means that of the last one.
        let named = !request.names_several() || fits(&request.stacks, request.all_stacks, &line.stack);
        if !named || request.profile.as_ref().is_some_and(|profile| *profile != line.profile) {
            continue;
        }
        let stacks = inventory.stacks();
        let all = stacks.iter().flat_map(|stack| &stack.environments);
        let same: Vec<_> = all.filter(|environment| line.is(environment)).collect();
        match same.as_slice() {
            [only] => found.push((**only).clone()),
            [] => {
                return Err(error::target(format!(
                    "{} {} of the last run is not there any more",
                    line.stack, line.profile
                ))
                .hint("start it, or name the others: `--resume -s STACK`"));
            }
            _ => {
                return Err(error::target(format!("{} {} runs more than once", line.stack, line.profile))
                    .hint("run the command in the directory of the one that is meant"));
            }
        }
    }
    Ok(found)
}

fn fits(patterns: &[String], all: bool, name: &str) -> bool {
    all || patterns.iter().any(|pattern| {
        pattern == name || globset::Glob::new(pattern).is_ok_and(|glob| glob.compile_matcher().is_match(name))
    })
}

/// Plans that could be made, and those that could not.
fn parted<P, O>(answers: Vec<PlanResult<P>>) -> (Vec<StackPlan<P>>, Vec<StackResult<O>>) {
    let (mut stack_plans, mut broken) = (Vec::new(), Vec::new());
    for PlanResult { environment, answer, took } in answers {
        match answer {
            Ok(plan) => stack_plans.push(StackPlan { environment, plan, spent: took }),
            Err(error) => broken.push(StackResult::new(&environment, End::Failed(error), took)),
        }
    }
    (stack_plans, broken)
}

/// A plan that could not be made is a failure like any other, and the first one stops where that is wanted:
/// before anything has changed.
fn too_broken<P, O>(
    stack_plans: &[StackPlan<P>],
    broken: &[StackResult<O>],
    on_failure: OnFailure,
) -> Option<Error> {
    if broken.is_empty() || (on_failure == OnFailure::Continue && !stack_plans.is_empty()) {
        return None;
    }
    let names: Vec<_> = broken.iter().map(|ended| ended.stack.as_str()).collect();
    let all = broken.len() + stack_plans.len();
    let error = Error::new(
        ErrorKind::Partial,
        format!(
            "{} of {all} stacks cannot be worked on ({}): nothing was changed",
            names.len(),
            names.join(", ")
        ),
    );
    let others = "`--on-failure continue` does the others; or name those that you mean with `-s`";
    Some(if stack_plans.is_empty() { error } else { error.hint(others) })
}

fn manner(args: &ManyArgs, on_failure: OnFailure, count: usize) -> String {
    let pace = match args.parallel {
        1 => "one at a time".to_owned(),
        n => format!("{n} at a time"),
    };
    let first = args.canary.as_ref().map(|canary| format!(", {canary} first and alone")).unwrap_or_default();
    let then = match on_failure {
        _ if count < 2 => "",
        OnFailure::Stop => ", stopping at the first failure",
        OnFailure::Continue => ", going on when one fails",
    };
    format!("{pace}{first}{then}:")
}

/// Tells each event of a run; what is done goes into the resume file.
fn told<O>(app: &App, profiles: Vec<String>, mut resume_file: ResumeFile) -> impl FnMut(RunEvent<'_, O>) {
    move |event| match event {
        RunEvent::Begun(environment) => app.ui.detail(&format!("{}: begun", environment.stack)),
        RunEvent::Ended(at, ended) if ended.is_done() => {
            app.ui.say(&format!("{}: done in {}", ended.stack, duration(ended.took)));
            let profile = profiles.get(at).map_or("unknown", String::as_str);
            if let Err(error) = resume_file.done(&ended.stack, profile) {
                app.ui.warn(&error.full_message());
            }
        }
        RunEvent::Ended(_, ended) => tell_failure(app, ended),
    }
}

/// The words of a failure when it happens: the table at the end holds its class only.
fn tell_failure<O>(app: &App, ended: &StackResult<O>) {
    if let End::Failed(error) = &ended.end {
        let mut text = error.full_message();
        for note in error.notes() {
            text.push_str(&format!("\nnote: {note}"));
        }
        for hint in error.hints() {
            text.push_str(&format!("\nhint: {hint}"));
        }
        app.ui.of_stack(&ended.stack).warn(&text);
    }
}

/// The ends in the order in which the stacks were asked for.
fn in_order<O>(
    asked: &[Environment],
    ends: Vec<StackResult<O>>,
    broken: Vec<StackResult<O>>,
) -> Vec<StackResult<O>> {
    let place = |ended: &StackResult<O>| {
        asked.iter().position(|other| other.stack == ended.stack && other.profile.name == ended.profile)
    };
    let mut all: Vec<_> = ends.into_iter().chain(broken).collect();
    all.sort_by_key(place);
    all
}

fn finish<O: Display + Serialize>(app: &App, report: &Report<O>) -> Result<()> {
    app.ui.show(report, |ui| ui.render(&table(report)));
    let stopped = app.cancel.signal().map(cancelled);
    match report.error(stopped) {
        Some(error) => Err(error.hint(resume(report.verb))),
        None => Ok(()),
    }
}

fn dry_run<P: Display + Serialize, O>(
    app: &App,
    plan: MultiStackPlan<P>,
    broken: Vec<StackResult<O>>,
    context: &str,
) -> Result<()> {
    let planned = plan.stack_plans.into_iter().map(|stack_plan| {
        StackResult::new(&stack_plan.environment, End::Planned(stack_plan.plan), stack_plan.spent)
    });
    let broken = broken.into_iter().filter_map(StackResult::failed);
    let stacks = planned.chain(broken).collect();
    let report = Report { verb: plan.verb, context: context.to_owned(), dry_run: true, stacks };
    if app.ui.is_json() {
        app.ui.json(&report);
    }
    report.error(None).map_or(Ok(()), Err)
}
