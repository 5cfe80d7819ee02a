//! `envctl seed`: test data, as the project says.

use crate::app::App;
use crate::commands::GlobalArgs;
use crate::commands::schema::SchemaTool;
use crate::error::Result;
use crate::ui::Guard;

/// Arguments of `seed`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// # Errors
/// See [`SchemaTool`].
pub async fn run(_args: &Args, global: &GlobalArgs, app: &App) -> Result<()> {
    let tool = SchemaTool::find("seed", global, app).await?;
    let call = tool.call(format!("seed the database of {}", tool.place()), &["db", "seed"]);
    tool.carry_out(app, global, call, Guard::Change).await
}
