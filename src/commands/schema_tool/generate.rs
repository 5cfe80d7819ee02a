//! `envctl generate`: the schema tool's client, made anew in the backend.

use crate::commands::multi_stack::ManyArgs;
use crate::commands::schema_tool::SchemaTool;
use crate::commands::schema_tool::multi_stack::{ToolVerb, over_several};
use crate::commands::shared::context::CommandContext;
use crate::consent::Guard;
use crate::error::Result;

/// Arguments of `generate`.
#[derive(clap::Args, Debug)]
pub(crate) struct GenerateArgs {
    #[command(flatten)]
    many: ManyArgs,
}

/// # Errors
/// See [`SchemaTool`].
pub(crate) async fn run(args: &GenerateArgs, ctx: &CommandContext) -> Result<()> {
    let verb = ToolVerb { name: "generate", action: "generate the client of", arguments: &["generate"] };
    if over_several(verb, &args.many, ctx).await? {
        return Ok(());
    }
    let tool = SchemaTool::find("generate", ctx).await?;
    let call = tool.call(
        "generate",
        Guard::Change,
        format!("generate the client of {}", tool.place()),
        &["generate"],
    )?;
    tool.carry_out(call).await
}
