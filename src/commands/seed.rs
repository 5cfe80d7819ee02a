//! `envctl seed`: test data, as the project says.

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands::multi_stack::ManyArgs;
use crate::commands::schema_tool::SchemaTool;
use crate::commands::schema_tool::multi_stack::{ToolVerb, over_several};
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
pub(crate) async fn run(args: &SeedArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let verb = ToolVerb { name: "seed", action: "seed the database of", words: &["db", "seed"] };
    if over_several(verb, &args.many, global, app).await? {
        return Ok(());
    }
    let tool = SchemaTool::find("seed", global, app).await?;
    let call = tool.call("seed", format!("seed the database of {}", tool.place()), &["db", "seed"])?;
    tool.carry_out(app, global, call, Guard::Change).await
}
