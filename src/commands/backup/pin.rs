//! `envctl backup pin` and `unpin`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::show::{find, find_remote};
use crate::commands::shared::context::CommandContext;
use crate::config::store_url::StoreUrl;
use crate::error::Result;
use crate::repository::pin::{self, BackupPin};
use crate::repository::remote_backups::{RemoteBackup, RemoteBackups};
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

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
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
}

/// Arguments of `backup unpin`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupUnpinArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
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

/// A backup that was found, in a directory or in a store.
enum Pinnable {
    File(PathBuf),
    Remote(Box<(RemoteBackups, RemoteBackup)>),
}

impl Pinnable {
    async fn find(asked: &Path, store: Option<&StoreUrl>, ctx: &CommandContext) -> Result<Self> {
        match store {
            None => Ok(Self::File(find(asked, ctx).await?)),
            Some(url) => Ok(Self::Remote(Box::new(find_remote(asked, url, ctx).await?))),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Remote(found) => found.1.backup.path.display().to_string(),
        }
    }
}

/// # Errors
/// Kind `Target`: no such backup. `Failed`: the pin cannot be written.
pub(crate) async fn set(args: &BackupPinArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup pin", "name it: `-s STACK`")?;
    let found = Pinnable::find(&args.backup, args.store.as_ref(), ctx).await?;
    let shown = found.shown();
    if ctx.global.dry_run {
        dry_run(ctx, &format!("would pin {shown}"));
        return Ok(());
    }
    let (reason, operation) = (args.reason.clone(), ctx.operation());
    let set = match &found {
        Pinnable::File(path) => pin::set(path, reason, args.accept_rows, &operation)?,
        Pinnable::Remote(found) => {
            let (backups, remote) = found.as_ref();
            backups.set_pin(remote, reason, args.accept_rows, &operation).await?
        }
    };
    let store = args.store.as_ref().map(|url| format!(" --store {}", shell_word(&url.to_string())));
    ctx.ui.say(&format!("pinned: `envctl backup prune{}` does not remove it", store.unwrap_or_default()));
    PinAnswer { path: shown, pin: Some(set) }.show(ctx);
    Ok(())
}

/// # Errors
/// Kind `Target`: no such backup. `Failed`: the pin cannot be removed.
pub(crate) async fn clear(args: &BackupUnpinArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup unpin", "name it: `-s STACK`")?;
    let found = Pinnable::find(&args.backup, args.store.as_ref(), ctx).await?;
    let shown = found.shown();
    if ctx.global.dry_run {
        dry_run(ctx, &format!("would unpin {shown}"));
        return Ok(());
    }
    let was = match &found {
        Pinnable::File(path) => pin::clear(path)?,
        Pinnable::Remote(found) => found.0.clear_pin(&found.1).await?,
    };
    ctx.ui.say(if was { "no longer pinned" } else { "it was not pinned" });
    PinAnswer { path: shown, pin: None }.show(ctx);
    Ok(())
}
