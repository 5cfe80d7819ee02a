//! `envctl backup`: make a verified backup, look at the ones there are, and remove those that no rule keeps.

pub(crate) mod all_databases;
mod check;
mod check_answer;
mod check_metrics;
mod choose_format;
mod create;
mod encryption;
mod keep_args;
mod list;
pub(crate) mod multi_stack;
mod notifications;
mod pin;
mod prune;
mod schedule;
mod show;
mod store_copies;
mod verify;

use clap::Subcommand;

use crate::commands::shared::context::CommandContext;
use crate::error::Result;

pub(crate) use create::safety;

/// Arguments of `backup`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct BackupArgs {
    #[command(flatten)]
    create: create::CreateArgs,
    #[command(subcommand)]
    verb: Option<BackupVerb>,
}

#[derive(Debug, Subcommand)]
enum BackupVerb {
    /// Make a backup (the default)
    Create(create::CreateArgs),
    /// List the backups of a stack: age, size, trend, verification
    #[command(visible_alias = "ls")]
    List(list::BackupListArgs),
    /// Show the manifest of one backup
    Show(show::BackupShowArgs),
    /// Check that the newest backup of each database is recent, present and large enough
    Check(check::BackupCheckArgs),
    /// Check backups: their bytes, their structure, or by restoring them into a throwaway server
    Verify(verify::VerifyArgs),
    /// Remove the backups that no rule keeps; shows the plan, `--apply` removes
    Prune(Box<prune::BackupPruneArgs>),
    /// Print a systemd timer, a cron line or a compose service; `schedule run` is the service's main process
    Schedule(Box<schedule::BackupScheduleArgs>),
    /// Protect a backup from `backup prune`
    Pin(pin::BackupPinArgs),
    /// Remove the pin of a backup
    Unpin(pin::BackupUnpinArgs),
}

/// # Errors
/// The verb's own.
pub(crate) async fn run(args: BackupArgs, ctx: &CommandContext) -> Result<()> {
    match args.verb.unwrap_or(BackupVerb::Create(args.create)) {
        BackupVerb::Create(args) if args.all_databases => all_databases::run(&args, ctx).await,
        BackupVerb::Create(args) if args.many.wanted(&ctx.settings)? => multi_stack::run(&args, ctx).await,
        BackupVerb::Create(args) => create::run(&args, ctx).await,
        BackupVerb::List(args) => list::run(&args, ctx).await,
        BackupVerb::Show(args) => show::run(&args, ctx).await,
        BackupVerb::Check(args) => check::run(&args, ctx).await,
        BackupVerb::Verify(args) => verify::run(&args, ctx).await,
        BackupVerb::Prune(args) => prune::run(&args, ctx).await,
        BackupVerb::Schedule(args) => Box::pin(schedule::run(&args, ctx)).await,
        BackupVerb::Pin(args) => pin::set(&args, ctx).await,
        BackupVerb::Unpin(args) => pin::clear(&args, ctx).await,
    }
}
