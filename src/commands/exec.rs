//! `envctl exec`: one command in a container, byte-clean, its exit code passed through.

use crate::app::App;
use crate::commands::shared::context::CommandContext;
use crate::commands::shared::interactive_exec::talk;
use crate::docker::ExecSpec;
use crate::error::Result;

/// Options of `exec` and `shell`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct ExecArgs {
    /// User in the container
    #[arg(short, long, value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Working directory in the container
    #[arg(short, long, value_name = "DIR")]
    pub(crate) workdir: Option<String>,
    /// A variable for the command: NAME=VALUE, or NAME to pass ours on; repeatable
    #[arg(short, long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,
    /// No terminal in the container, even when this is one
    #[arg(short = 'T', long)]
    pub(crate) no_tty: bool,
    /// Hand our stdin on, even when it is a terminal
    #[arg(short, long)]
    pub(crate) interactive: bool,
}

/// Arguments of `exec`.
#[derive(clap::Args, Debug)]
pub(crate) struct ExecCommandArgs {
    /// backend, db, a service or a container
    #[arg(value_name = "ROLE|SERVICE")]
    target: String,
    #[command(flatten)]
    exec: ExecArgs,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

/// # Errors
/// The command's own exit code as kind `Child`; otherwise what kept it from running.
pub(crate) async fn run(args: ExecCommandArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack(
        "exec",
        "name it: `-s STACK`; for each of several: `for s in a b; do envctl exec -s \"$s\" …; done`",
    )?;
    let stack = ctx.stack().await?;
    let container = stack.any_container(&args.target)?;
    let spec = args.exec.spec(args.command, ctx);
    talk(ctx, &container, &spec).await
}

impl ExecArgs {
    /// The command with these options. A terminal only if both our ends are; stdin when it is not the
    /// keyboard: `envctl exec … | less` must leave the keys to less.
    pub(crate) fn spec(&self, command: Vec<String>, app: &App) -> ExecSpec {
        let options = app.ui.options();
        let tty = !self.no_tty && options.stdin_is_terminal && options.stdout_is_terminal;
        ExecSpec {
            argv: command,
            reaper: Vec::new(),
            env: self.env.iter().filter_map(|pair| app.variable(pair)).collect(),
            user: self.user.clone(),
            workdir: self.workdir.clone(),
            tty,
            stdin: tty || self.interactive || !options.stdin_is_terminal,
        }
    }
}
