//! `envctl migrate`: apply what is pending, look, create, resolve, reset.

mod apply;
pub(crate) mod context;
mod create;
pub(crate) mod multi_stack;
mod reset;
mod resolve;
mod status;

use clap::Subcommand;

use crate::app::App;
use crate::app::global_args::GlobalArgs;
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
pub(crate) async fn run(args: MigrateArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    match args.verb.unwrap_or(MigrateVerb::Apply(args.apply)) {
        MigrateVerb::Apply(args) => apply::run(args, global, app).await,
        MigrateVerb::Status(args) => status::run(&args, global, app).await,
        MigrateVerb::Create(args) => create::run(&args, global, app).await,
        MigrateVerb::Reset(args) => reset::run(&args, global, app).await,
        MigrateVerb::Resolve(args) => resolve::run(&args, global, app).await,
    }
}
