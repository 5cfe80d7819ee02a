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
pub(crate) struct Args {
    #[command(flatten)]
    apply: apply::ApplyArgs,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Apply what is pending (the default)
    #[command(visible_aliases = ["up", "deploy"])]
    Apply(apply::ApplyArgs),
    /// Which migrations are applied, pending, failed, edited since
    Status(status::Args),
    /// Write a new migration: from the schema (Prisma), or an empty file
    #[command(visible_alias = "new")]
    Create(create::Args),
    /// Drop everything, apply all migrations, seed; backs up first
    Reset(reset::Args),
    /// Say of a migration that it is applied, or rolled back
    Resolve(resolve::Args),
}

/// # Errors
/// The verb's own.
pub(crate) async fn run(args: Args, global: &GlobalArgs, app: &App) -> Result<()> {
    match args.verb.unwrap_or(Verb::Apply(args.apply)) {
        Verb::Apply(args) => apply::run(args, global, app).await,
        Verb::Status(args) => status::run(&args, global, app).await,
        Verb::Create(args) => create::run(&args, global, app).await,
        Verb::Reset(args) => reset::run(&args, global, app).await,
        Verb::Resolve(args) => resolve::run(&args, global, app).await,
    }
}
