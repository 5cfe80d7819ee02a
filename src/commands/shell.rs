//! `envctl shell`: an interactive shell in a container, or one command.

use crate::commands::exec::ExecArgs;
use crate::commands::shared::context::CommandContext;
use crate::commands::shared::interactive_exec::talk;
use crate::environment::selector::ContainerSelector;
use crate::error::{self, Result};

/// Arguments of `shell`.
#[derive(clap::Args, Debug)]
pub(crate) struct ShellArgs {
    /// backend, db, a service or a container
    #[arg(value_name = "ROLE|SERVICE", default_value = "backend")]
    target: String,
    /// psql instead of a shell, for db
    #[arg(long)]
    psql: bool,
    #[command(flatten)]
    exec: ExecArgs,
    /// One command instead of a shell
    #[arg(last = true, value_name = "CMD")]
    command: Vec<String>,
}

/// bash where there is one, else sh: `$0` is no name a person reads, so both are told what they are.
const SHELL: &str = "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi";

/// # Errors
/// The shell's own exit code as kind `Child`; otherwise what kept it from running.
pub(crate) async fn run(args: ShellArgs, ctx: &CommandContext) -> Result<()> {
    if args.psql {
        let (ContainerSelector::Db | ContainerSelector::Backend) = ContainerSelector::parse(&args.target)
        else {
            return Err(error::usage("`--psql` is for the database").hint("type `envctl psql`"));
        };
        return super::psql::run(super::psql::PsqlArgs::interactive(), ctx).await;
    }
    ctx.one_stack("shell", "name it: `-s STACK`")?;
    let stack = ctx.stack().await?;
    let container = stack.any_container(&args.target)?;
    let command =
        if args.command.is_empty() { ["sh", "-c", SHELL].map(str::to_owned).into() } else { args.command };
    let spec = args.exec.spec(command, ctx);
    talk(ctx, &container, &spec).await
}
