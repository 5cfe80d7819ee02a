//! `envctl migrate status`.

use crate::app::App;
use crate::commands::shared::context::CommandContext;
use crate::error::{Error, ErrorKind, Result};
use crate::migrations::{History, MigrationState};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `migrate status`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct MigrateStatusArgs {
    /// Exit with 11 when something is pending, failed or edited
    #[arg(long)]
    exit_code: bool,
}

/// # Errors
/// Kind `Pending` with `--exit-code`; the driver's own.
pub(crate) async fn run(args: &MigrateStatusArgs, ctx: &CommandContext) -> Result<()> {
    if ctx.settings.target.names_several() {
        return crate::commands::migrate::multi_stack::status(args.exit_code, ctx).await;
    }
    let (migrations, mut session) = ctx.stack().await?.migrations_with_session().await?;
    let mut history = migrations.driver.history_in(&mut session).await?;
    history.remarks.extend(migrations.place);
    ctx.ui.show(&history, |ui| ui.render(&table(&history)));
    for remark in &history.remarks {
        ctx.ui.warn(remark);
    }
    ctx.ui.say(&format!("{history} ({}, {})", history.driver, history.folder));
    next(ctx, &history);
    if args.exit_code && !history.is_settled() {
        return Err(Error::new(ErrorKind::Pending, history.to_string()));
    }
    Ok(())
}

fn table(history: &History) -> Table {
    let mut table = Table::new([Column::text("migration"), Column::text("state"), Column::text("applied")]);
    for migration in &history.migrations {
        let tone = match migration.state {
            MigrationState::Applied => Tone::Good,
            MigrationState::Pending => Tone::Warn,
            _ => Tone::Bad,
        };
        let at = migration.applied_at.as_deref().map_or("", |at| at.get(..19).unwrap_or(at));
        table.row([
            Cell::from(migration.name.clone()),
            Cell::toned(migration.state.keyword(), tone),
            Cell::from(at.to_owned()),
        ]);
    }
    table
}

/// Prints the next command to type for failed or pending migrations.
fn next(app: &App, history: &History) {
    if let Some(failed) = history.failed().first() {
        let name = &failed.name;
        app.ui.say(&format!(
            "{name} failed: `envctl migrate resolve {name} --rolled-back` once nothing of it is left, or `--applied`"
        ));
    } else if !history.pending().is_empty() {
        app.ui.say("apply them with `envctl migrate`; `--dry-run` shows what each statement risks");
    }
}
