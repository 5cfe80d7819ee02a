//! `envctl generate`: the schema tool's client, made anew in the backend.

use crate::app::App;
use crate::commands::GlobalArgs;
use crate::commands::many::ManyArgs;
use crate::commands::schema::SchemaTool;
use crate::commands::schema_many::{ToolVerb, over_several};
use crate::error::Result;
use crate::ui::Guard;

/// Arguments of `generate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    #[command(flatten)]
    many: ManyArgs,
}

/// # Errors
/// See [`SchemaTool`].
pub async fn run(args: &Args, global: &GlobalArgs, app: &App) -> Result<()> {
    let verb = ToolVerb { name: "generate", does: "generate the client of", words: &["generate"] };
    if over_several(verb, &args.many, global, app).await? {
        return Ok(());
    }
    let tool = SchemaTool::find("generate", global, app).await?;
    let call = tool.call("generate", format!("generate the client of {}", tool.place()), &["generate"])?;
    tool.carry_out(app, global, call, Guard::Change).await
}
