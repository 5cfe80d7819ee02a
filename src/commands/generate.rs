//! `envctl generate`: the schema tool's client, made anew in the backend.

use crate::app::App;
use crate::commands::GlobalArgs;
use crate::commands::schema::SchemaTool;
use crate::error::Result;
use crate::ui::Guard;

/// Arguments of `generate`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// # Errors
/// See [`SchemaTool`].
pub async fn run(_args: &Args, global: &GlobalArgs, app: &App) -> Result<()> {
    let tool = SchemaTool::find("generate", global, app).await?;
    let call = tool.call(format!("generate the client of {}", tool.place()), &["generate"]);
    tool.carry_out(app, global, call, Guard::Change).await
}
