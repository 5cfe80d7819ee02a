//! `envctl backup pin` and `unpin`.

use std::path::PathBuf;

use serde::Serialize;

use super::show::find;
use crate::commands::context::CommandContext;
use crate::error::Result;
use crate::repository::pin::{self, BackupPin};
use crate::text::escape::escape;

/// Arguments of `backup pin`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupPinArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The reason, for `backup show`
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Say that its rows are right, although more than half of those before are gone
    #[arg(long)]
    accept_rows: bool,
}

/// Arguments of `backup unpin`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupUnpinArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
}

#[derive(Serialize)]
struct PinAnswer {
    path: String,
    pin: Option<BackupPin>,
}

impl PinAnswer {
    fn show(self, ctx: &CommandContext) {
        ctx.ui.show(&self, |_| format!("{}\n", escape(&self.path)));
    }
}

fn dry_run(ctx: &CommandContext, plan: &str) {
    ctx.ui.say(plan);
    ctx.show_dry_run(&plan);
}

/// # Errors
/// Kind `Target`: no such backup. `Failed`: the pin cannot be written.
pub(crate) async fn set(args: &BackupPinArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup pin", "name it: `-s STACK`")?;
    let path = find(&args.backup, ctx).await?;
    let shown = path.display().to_string();
    if ctx.global.dry_run {
        dry_run(ctx, &format!("would pin {shown}"));
        return Ok(());
    }
    let set = pin::set(&path, args.reason.clone(), args.accept_rows, &ctx.operation())?;
    ctx.ui.say("pinned: `envctl backup prune` does not remove it");
    PinAnswer { path: shown, pin: Some(set) }.show(ctx);
    Ok(())
}

/// # Errors
/// Kind `Target`: no such backup. `Failed`: the pin cannot be removed.
pub(crate) async fn clear(args: &BackupUnpinArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup unpin", "name it: `-s STACK`")?;
    let path = find(&args.backup, ctx).await?;
    let shown = path.display().to_string();
    if ctx.global.dry_run {
        dry_run(ctx, &format!("would unpin {shown}"));
        return Ok(());
    }
    let was = pin::clear(&path)?;
    ctx.ui.say(if was { "no longer pinned" } else { "it was not pinned" });
    PinAnswer { path: shown, pin: None }.show(ctx);
    Ok(())
}
