//! `envctl seed`: test data, as the project says.

use crate::commands::multi_stack::ManyArgs;
use crate::commands::schema_tool::SchemaTool;
use crate::commands::schema_tool::multi_stack::{ToolVerb, over_several};
use crate::commands::shared::context::CommandContext;
use crate::consent::Guard;
use crate::error::Result;

/// Arguments of `seed`.
#[derive(clap::Args, Debug)]
pub(crate) struct SeedArgs {
    #[command(flatten)]
    many: ManyArgs,
}

/// # Errors
/// See [`SchemaTool`].
pub(crate) async fn run(args: &SeedArgs, ctx: &CommandContext) -> Result<()> {
    let verb = ToolVerb { name: "seed", action: "seed the database of", arguments: &["db", "seed"] };
    if over_several(verb, &args.many, ctx).await? {
        return Ok(());
    }
    let tool = SchemaTool::find("seed", ctx).await?;
    let call =
        tool.call("seed", Guard::Change, format!("seed the database of {}", tool.place()), &["db", "seed"])?;
    tool.carry_out(call).await
}
