//! `envctl pull`: the schema as the database has it, into the project's file or onto stdout.

use crate::commands::schema_tool::SchemaTool;
use crate::commands::shared::context::CommandContext;
use crate::consent::Guard;
use crate::error::Result;

/// Arguments of `pull`.
#[derive(clap::Args, Debug)]
pub(crate) struct PullArgs {
    /// Print it, and write no file
    #[arg(long)]
    print: bool,
}

/// # Errors
/// See [`SchemaTool`].
pub(crate) async fn run(args: &PullArgs, ctx: &CommandContext) -> Result<()> {
    let tool = SchemaTool::find("pull", ctx).await?;
    if args.print {
        let call = tool.call(
            "pull",
            Guard::Read,
            format!("print the schema of {}", tool.place()),
            &["db", "pull", "--print"],
        )?;
        return tool.carry_out(call).await;
    }
    let action =
        format!("write the schema of {} into the project's schema file, over what it says now", tool.place());
    let call = tool.call("pull", Guard::Change, action, &["db", "pull"])?;
    tool.carry_out(call).await
}
