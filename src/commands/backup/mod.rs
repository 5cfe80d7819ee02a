//! `envctl backup`: make a verified backup, or look at the ones there are.

pub(crate) mod all_databases;
mod create;
mod format;
mod list;
pub(crate) mod multi_stack;
mod show;

use clap::Subcommand;

use crate::commands::context::CommandContext;
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
    /// The backups of this stack: age, size, trend, verification
    #[command(visible_alias = "ls")]
    List(list::BackupListArgs),
    /// One backup: its manifest as text
    Show(show::BackupShowArgs),
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
    }
}
