//! `envctl push`: the schema into the database without a migration. For prototypes.
//!
//! Promise: the first call carries no flag that loses data; the tool's own refusal is the plan, and only a
//! confirmation repeats it with one.

use crate::commands::schema_tool::SchemaTool;
use crate::commands::shared::context::CommandContext;
use crate::consent::Guard;
use crate::docker::exec::CommandOutput;
use crate::error::{self, Result};

/// Arguments of `push`.
#[derive(clap::Args, Debug)]
pub(crate) struct PushArgs {
    /// Also where the target is production
    #[arg(long)]
    allow_prod: bool,
}

/// # Errors
/// Kind `Refused`: production, a guard. `Tool`: it failed.
pub(crate) async fn run(args: &PushArgs, ctx: &CommandContext) -> Result<()> {
    let tool = SchemaTool::find("push", ctx).await?;
    if tool.stack.environment.profile.is_prod() && !args.allow_prod {
        return Err(error::refused("`push` is for prototypes, and this is production")
            .hint("write a migration: `envctl migrate create NAME --dev`; if you mean it, `--allow-prod`"));
    }
    let mild = ["db", "push", "--skip-generate"];
    let action = format!("push the schema into the database of {}, where nothing is lost", tool.place());
    let call = tool.call("push", Guard::Change, action, &mild)?;
    let Some(call) = ctx.confirm(call, &tool.target)? else { return Ok(()) };
    let pushed = tool.capture(call.plan(), &ctx.cancel).await?;
    if pushed.exit_code == 0 {
        ctx.ui.answer(&crate::text::escape::escape_lines(&pushed.text()));
        return Ok(());
    }
    let arguments = arguments(&pushed);
    if !arguments.iter().any(|line| line.contains("--accept-data-loss")) {
        return Err(error::tool(format!("the push failed: {}", arguments.join("; "))));
    }
    let action = format!("push the schema into the database of {}, losing data", tool.place());
    let mut call =
        tool.call("push", Guard::Destroy, action, &[&mild[..], &["--accept-data-loss"]].concat())?;
    call.output = arguments;
    tool.carry_out(call).await
}

/// The tool's words, without empty lines.
fn arguments(captured: &CommandOutput) -> Vec<String> {
    let both = [&captured.stdout[..], b"\n", &captured.stderr[..]].concat();
    let text = String::from_utf8_lossy(&both).into_owned();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let ours = lines.filter(|line| !line.starts_with("Loaded Prisma config") && !line.contains("pris.ly"));
    ours.map(str::to_owned).take(20).collect()
}
