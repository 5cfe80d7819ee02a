//! Backups that others watch: pings before and after, hooks with the result.
//!
//! Promise: what is told is the result of the backup; neither a ping nor a hook changes it.

use std::path::PathBuf;

use serde::Serialize;

use crate::app::App;
use crate::app::ping::PingEvent;
use crate::backup::create::Created;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::config::Settings;
use crate::error::{Error, Result};
use crate::repository::manifest::Manifest;
use crate::ui::Ui;

/// A backup and the addresses of its copies.
pub(super) type CreatedWithCopies = (Created, Vec<PathBuf>);

#[derive(Serialize)]
pub(super) struct BackupCreateAnswer<'a> {
    pub(super) path: Option<&'a PathBuf>,
    /// Addresses of its copies in stores.
    pub(super) copies: &'a [PathBuf],
    pub(super) manifest: &'a Manifest,
}

/// Makes a backup of a stack between its pings, and runs the hook of its result.
///
/// # Errors
/// Error of the backup.
pub(super) async fn with_notifications(
    stack: &StackContext,
    backup: impl Future<Output = Result<CreatedWithCopies>>,
) -> Result<CreatedWithCopies> {
    let settings = stack.settings.for_stack(&stack.environment)?;
    if let Some(url) = &settings.backup.ping {
        stack.ping(url, PingEvent::Start).await;
    }
    let result = backup.await;
    stack.ui.end_progress();
    tell(stack, &settings, &result).await;
    result
}

/// Tells the failure of a backup of a stack that was not begun.
pub(super) async fn report_failure<T>(stack: &StackContext, result: Result<T>) -> Result<T> {
    if let (Err(error), Ok(settings)) = (&result, stack.settings.for_stack(&stack.environment)) {
        tell_failure(stack, &settings, error).await;
    }
    result
}

/// Tells that the stack that is meant was not found, where the settings of this directory are about it.
pub(super) async fn report_missing_stack(
    ctx: &CommandContext,
    stack: Result<StackContext>,
) -> Result<StackContext> {
    let named = &ctx.settings.target.stacks;
    if let Err(error) = &stack
        && named.iter().all(|name| ctx.settings.is_about(name))
    {
        tell_failure(ctx, &ctx.settings, error).await;
    }
    stack
}

async fn tell(app: &App, settings: &Settings, result: &Result<CreatedWithCopies>) {
    let (created, copies) = match result {
        Ok(done) => done,
        Err(error) => return tell_failure(app, settings, error).await,
    };
    if let Some(url) = &settings.backup.ping {
        app.ping(url, PingEvent::Success).await;
    }
    if let Some(argv) = &settings.hooks.on_success {
        let answer = BackupCreateAnswer { path: created.path.as_ref(), copies, manifest: &created.manifest };
        app.run_hook("hooks.on_success", argv, Ui::document_text(&answer)).await;
    }
}

async fn tell_failure(app: &App, settings: &Settings, error: &Error) {
    if let Some(url) = &settings.backup.ping {
        app.ping(url, PingEvent::Failure).await;
    }
    if let Some(argv) = &settings.hooks.on_failure {
        app.run_hook("hooks.on_failure", argv, app.ui.error_document_text(error)).await;
    }
}
