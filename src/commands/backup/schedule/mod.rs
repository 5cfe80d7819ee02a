//! `envctl backup schedule`: prints a schedule that can be installed; `run` is the main process of a service.

mod once;
mod options;
mod print;
mod service;

use clap::Subcommand;

use crate::commands::shared::context::CommandContext;
use crate::error::Result;
use options::ScheduleRunArgs;

/// Help text behind the options.
pub(crate) const AFTER_HELP: &str = "\
Examples:
  envctl backup schedule --prod --for systemd
  envctl backup schedule --prod --for systemd --unit timer > envctl-backup.timer
  (crontab -l; envctl backup schedule --prod --for cron) | crontab -
  envctl backup schedule --all-stacks --all-databases --for compose > compose.yml";

/// Arguments of `backup schedule`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub(crate) struct BackupScheduleArgs {
    #[command(flatten)]
    print: print::SchedulePrintArgs,
    #[command(subcommand)]
    verb: Option<ScheduleVerb>,
}

#[derive(Debug, Subcommand)]
enum ScheduleVerb {
    /// Make a backup, verify it and prune, each time that the schedule says: the main process of a service
    Run(ScheduleRunArgs),
}

/// # Errors
/// Errors of the verb.
pub(crate) async fn run(args: &BackupScheduleArgs, ctx: &CommandContext) -> Result<()> {
    match &args.verb {
        None => print::run(&args.print, ctx),
        Some(ScheduleVerb::Run(args)) if ctx.global.dry_run => dry_run(args, ctx),
        Some(ScheduleVerb::Run(args)) if args.once => once::run(args, ctx).await,
        Some(ScheduleVerb::Run(args)) => service::run(args, ctx).await,
    }
}

/// Shows what would be done, and when.
fn dry_run(args: &ScheduleRunArgs, ctx: &CommandContext) -> Result<()> {
    let about = args.options.selection(&ctx.settings).shown();
    let plan = if args.once {
        format!("would back up {about} now")
    } else {
        let times = args.options.times(&ctx.settings, ctx)?;
        let next = times.next_run(ctx.now()).map(|next| options::shown(next, &times));
        format!("would back up {about}, next at {}", next.unwrap_or_default())
    };
    ctx.ui.say(&plan);
    ctx.show_dry_run(&plan);
    Ok(())
}
