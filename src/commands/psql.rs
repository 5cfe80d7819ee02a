//! `envctl psql`: psql in the database container, for a person or a pipe.

use std::path::PathBuf;

use crate::commands::shared::context::CommandContext;
use crate::commands::shared::interactive_exec::talk;
use crate::error::{self, Result};
use crate::postgres::tools::psql::{PsqlRequest, for_user};

/// Arguments of `psql`.
#[derive(clap::Args, Debug, Default)]
pub(crate) struct PsqlArgs {
    /// One command, then leave; repeatable
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,
    /// SQL from a file here, then leave (`-` is stdin)
    #[arg(short, long, value_name = "FILE", conflicts_with = "command")]
    file: Option<PathBuf>,
    /// Arguments for psql itself, after `--`: e.g. `-- -At`
    #[arg(last = true, value_name = "PSQL OPTION")]
    extra: Vec<String>,
}

impl PsqlArgs {
    /// No command, no file.
    pub(crate) fn interactive() -> Self {
        Self::default()
    }
}

/// # Errors
/// psql's own exit code as kind `Child`; otherwise what kept it from running.
pub(crate) async fn run(args: PsqlArgs, ctx: &CommandContext) -> Result<()> {
    if let Some(file) = args.file.as_ref().filter(|file| file.as_os_str() != "-") {
        ctx.stdin_from(file)
            .map_err(|e| error::usage(format!("cannot read {}", file.display())).because(e))?;
    }
    ctx.one_stack(
        "psql",
        "name it: `-s STACK`; for each of several: `for s in a b; do envctl psql -s \"$s\" …; done`",
    )?;
    let stack = ctx.stack().await?;
    let found = stack.server().await?;
    let options = ctx.ui.options();
    let from_file = args.file.is_some();
    let typed = !from_file && options.stdin_is_terminal && options.stdout_is_terminal;
    let request = PsqlRequest {
        interactive: typed && args.command.is_empty(),
        prompt: format!("{}[{}]", found.target.stack, found.target.profile.keyword()),
        commands: args.command,
        extra: args.extra,
    };
    let piped = from_file || !options.stdin_is_terminal;
    let mut spec = for_user(&found.access, &request, piped);
    // A pager needs a terminal; without one psql's own rules apply.
    spec.tty = typed;
    spec.stdin = typed || (request.commands.is_empty() && piped);
    talk(ctx, &found.container, &spec).await
}
