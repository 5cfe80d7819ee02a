//! `envctl migrate`: apply what is pending, look, create, resolve, reset.

mod apply;
pub(crate) mod context;
mod create;
pub(crate) mod multi_stack;
mod reset;
mod resolve;
mod status;

use clap::Subcommand;

use crate::commands::shared::context::CommandContext;
use crate::error::Result;

/// Arguments of `migrate`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    apply: apply::ApplyArgs,
    #[command(subcommand)]
    verb: Option<MigrateVerb>,
}

#[derive(Debug, Subcommand)]
enum MigrateVerb {
    /// Apply what is pending (the default)
    #[command(visible_aliases = ["up", "deploy"])]
    Apply(apply::ApplyArgs),
    /// Which migrations are applied, pending, failed, edited since
    Status(status::MigrateStatusArgs),
    /// Write a new migration: from the schema (Prisma), or an empty file
    #[command(visible_alias = "new")]
    Create(create::MigrateCreateArgs),
    /// Drop everything, apply all migrations, seed; backs up first
    Reset(reset::MigrateResetArgs),
    /// Say of a migration that it is applied, or rolled back
    Resolve(resolve::MigrateResolveArgs),
}

/// # Errors
/// The verb's own.
pub(crate) async fn run(args: MigrateArgs, ctx: &CommandContext) -> Result<()> {
    match args.verb.unwrap_or(MigrateVerb::Apply(args.apply)) {
        MigrateVerb::Apply(args) if args.many.wanted(&ctx.settings)? => multi_stack::apply(&args, ctx).await,
        MigrateVerb::Apply(args) => Box::pin(apply::run(args, ctx)).await,
        MigrateVerb::Status(args) => status::run(&args, ctx).await,
        MigrateVerb::Create(args) => create::run(&args, ctx).await,
        MigrateVerb::Reset(args) => reset::run(&args, ctx).await,
        MigrateVerb::Resolve(args) => resolve::run(&args, ctx).await,
    }
}
