//! `envctl store check`.

use clap::Subcommand;
use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::config::store_url::{StoreKind, StoreUrl};
use crate::error::{Error, ErrorKind, Result};
use crate::repository::store::Patience;
use crate::repository::store::permissions::{TriedRight, try_rights};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `store`.
#[derive(clap::Args, Debug)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    verb: StoreVerb,
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Write, read back, list and delete a probe; say which permission is missing
    Check(StoreCheckArgs),
}

#[derive(clap::Args, Debug)]
struct StoreCheckArgs {
    /// s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///DIRECTORY
    #[arg(value_name = "URL")]
    url: StoreUrl,
}

#[derive(Serialize)]
struct StoreCheckRow {
    step: &'static str,
    ok: bool,
    needed: bool,
    permission: &'static str,
    problem: Option<String>,
}

#[derive(Serialize)]
struct StoreCheckAnswer {
    store: String,
    checks: Vec<StoreCheckRow>,
}

/// # Errors
/// Kind `Found`: backups or restores would not work. `Usage`: there are no credentials.
pub(crate) async fn run(args: &StoreArgs, ctx: &CommandContext) -> Result<()> {
    let StoreVerb::Check(StoreCheckArgs { url }) = &args.verb;
    let store = ctx.open_store(&ctx.settings, url, Patience::Short).await?;
    let tried = ctx.cancel.run_until_cancelled(try_rights(store.as_ref())).await?;
    let answer = StoreCheckAnswer {
        store: url.to_string(),
        checks: tried.iter().map(|tried| row(tried, url.kind)).collect(),
    };
    ctx.ui.show(&answer, |ui| ui.render(&table(&answer.checks)));
    let missing: Vec<&TriedRight> = tried.iter().filter(|tried| tried.failure.is_some()).collect();
    let Some(first) = missing.iter().find(|tried| tried.right.is_needed()) else {
        if !missing.is_empty() {
            ctx.ui.say("backups and restores work; nothing can be deleted with these credentials");
        }
        return Ok(());
    };
    let steps: Vec<&str> = missing.iter().map(|tried| tried.right.step()).collect();
    let error = Error::new(ErrorKind::Found, format!("{url} does not allow to {}", steps.join(", ")));
    let hints = first.failure.iter().flat_map(|failure| failure.hints().to_vec());
    Err(hints.fold(error, Error::hint))
}

fn row(tried: &TriedRight, kind: StoreKind) -> StoreCheckRow {
    StoreCheckRow {
        step: tried.right.step(),
        ok: tried.failure.is_none(),
        needed: tried.right.is_needed(),
        permission: tried.right.permission(kind),
        problem: tried.failure.as_ref().map(Error::full_message),
    }
}

fn table(rows: &[StoreCheckRow]) -> Table {
    let mut table = Table::new(vec![Column::text("may"), Column::text("result"), Column::text("permission")]);
    for row in rows {
        let result = match &row.problem {
            None => Cell::toned("yes", Tone::Good),
            Some(problem) if row.needed => Cell::toned(problem.clone(), Tone::Bad),
            Some(problem) => Cell::toned(problem.clone(), Tone::Warn),
        };
        table.row(vec![Cell::from(row.step.to_owned()), result, Cell::from(row.permission.to_owned())]);
    }
    table
}
