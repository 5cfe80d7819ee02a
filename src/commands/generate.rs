//! `envctl generate`: the schema tool's client, made anew in the backend.

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands::multi_stack::ManyArgs;
use crate::commands::schema_tool::SchemaTool;
use crate::commands::schema_tool::multi_stack::{ToolVerb, over_several};
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
pub(crate) async fn run(args: &GenerateArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let verb = ToolVerb { name: "generate", action: "generate the client of", words: &["generate"] };
    if over_several(verb, &args.many, global, app).await? {
        return Ok(());
    }
    let tool = SchemaTool::find("generate", global, app).await?;
    let call = tool.call("generate", format!("generate the client of {}", tool.place()), &["generate"])?;
    tool.carry_out(app, global, call, Guard::Change).await
}
