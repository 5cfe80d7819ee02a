//! `envctl backup list`.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::commands::shared::find_catalog;
use crate::config::store_url::StoreUrl;
use crate::error::Result;
use crate::repository::catalog::{Backup, Catalog};
use crate::repository::identity::service_of;
use crate::repository::manifest::{Manifest, Purpose};
use crate::repository::store::Patience;
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes, count, duration};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `backup list`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupListArgs {
    /// The backups in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
}

#[derive(Serialize)]
struct BackupListRow {
    path: String,
    started: jiff::Timestamp,
    stored_bytes: u64,
    plain_bytes: Option<u64>,
    database: Option<String>,
    service: Option<String>,
    rows: Option<u64>,
    verified: &'static str,
    restored_in_ms: Option<u64>,
    encrypted: bool,
    opened_at: Option<jiff::Timestamp>,
    purpose: Option<Purpose>,
    problem: Option<String>,
    pinned: bool,
}

#[derive(Serialize)]
struct BackupListAnswer {
    directory: String,
    backups: Vec<BackupListRow>,
}

/// # Errors
/// Kind `Target`: no stack is meant. `Failed`: the directory cannot be read.
pub(crate) async fn run(args: &BackupListArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup list", "name it: `-s STACK`; the last backup of every stack: `envctl status`")?;
    let selected = find_catalog::select_backups(ctx).await?;
    let (catalog, backups, make) = match &args.store {
        None => {
            let backups = selected.catalog.list()?;
            (selected.catalog, backups, "envctl backup".to_owned())
        }
        Some(url) => {
            let remote = selected.in_store(ctx.open_store(&ctx.settings, url, Patience::Short).await?);
            let listed = ctx.cancel.run_until_cancelled(remote.list()).await??;
            let backups = listed.into_iter().map(|remote| remote.backup).collect();
            (
                remote.catalog().clone(),
                backups,
                format!("envctl backup --store {}", shell_word(&url.to_string())),
            )
        }
    };
    if backups.is_empty() {
        ctx.ui.say(&format!("no backups in {} yet; make one: `{make}`", catalog.directory().display()));
    }
    let answer = BackupListAnswer {
        directory: catalog.directory().display().to_string(),
        backups: backups.iter().map(row).collect(),
    };
    let now = ctx.now();
    ctx.ui.show(&answer, |ui| {
        if backups.is_empty() { String::new() } else { ui.render(&table(&catalog, &backups, now)) }
    });
    Ok(())
}

fn row(backup: &Backup) -> BackupListRow {
    let manifest = backup.manifest.as_ref().ok();
    BackupListRow {
        path: backup.path.display().to_string(),
        started: backup.label.timestamp(),
        stored_bytes: backup.stored_bytes,
        plain_bytes: manifest.map(|m| m.plain_bytes),
        database: manifest.map(|m| m.database.clone()),
        service: manifest.and_then(|m| m.source.service.clone()),
        rows: manifest.and_then(Manifest::known_rows),
        verified: backup.verification().keyword(),
        restored_in_ms: manifest.and_then(|m| m.verified.restored_in_ms),
        encrypted: manifest.is_some_and(Manifest::is_encrypted),
        opened_at: manifest.and_then(|m| m.verified.opened_at),
        purpose: manifest.map(|m| m.purpose),
        problem: backup.manifest.as_ref().err().cloned(),
        pinned: backup.pin.is_some(),
    }
}

fn table(catalog: &Catalog, backups: &[Backup], now: jiff::Timestamp) -> Table {
    let services: BTreeSet<&str> =
        backups.iter().filter_map(|backup| Some(service_of(backup.manifest.as_ref().ok()?))).collect();
    let several = services.len() > 1;
    let mut columns = vec![
        Column::text("backup"),
        Column::text("age"),
        Column::number("size"),
        Column::number("trend").spare(),
        Column::number("rows").spare(),
        Column::text("database").spare(),
        Column::text("verified"),
    ];
    if several {
        columns.insert(6, Column::text("service"));
    }
    let restored = |backup: &Backup| backup.manifest.as_ref().ok()?.verified.restored_in_ms;
    let timed = backups.iter().any(|backup| restored(backup).is_some());
    if timed {
        columns.push(Column::text("restores in").spare());
    }
    let is_encrypted = |backup: &Backup| backup.manifest.as_ref().is_ok_and(Manifest::is_encrypted);
    let any_encrypted = backups.iter().any(is_encrypted);
    if any_encrypted {
        columns.push(Column::text("opened"));
    }
    let mut table = Table::new(columns);
    for (at, backup) in backups.iter().enumerate() {
        let manifest = backup.manifest.as_ref().ok();
        let pinned = if backup.pin.is_some() { ", pinned" } else { "" };
        let verified = match &backup.manifest {
            Ok(manifest) if manifest.purpose == Purpose::PreRestore => {
                Cell::from(format!("{}, before a restore{pinned}", manifest.verified.level.keyword()))
            }
            Ok(manifest) if manifest.whole => {
                Cell::toned(format!("{}{pinned}", manifest.verified.level.keyword()), Tone::Good)
            }
            Ok(manifest) => {
                Cell::toned(format!("{}, partial{pinned}", manifest.verified.level.keyword()), Tone::Warn)
            }
            Err(problem) => Cell::toned(format!("{problem}{pinned}"), Tone::Bad),
        };
        let mut cells = vec![
            Cell::from(catalog.name_of(backup)),
            Cell::from(age(backup.label.timestamp(), now)),
            Cell::from(bytes(backup.stored_bytes)),
            Cell::from(trend(backup, backups.get(at + 1))),
            Cell::from(manifest.and_then(Manifest::known_rows).map_or_else(|| "-".to_owned(), count)),
            Cell::from(manifest.map_or_else(|| "-".to_owned(), |m| m.of_what().to_owned())),
            verified,
        ];
        if several {
            cells.insert(6, Cell::from(manifest.map_or("-", service_of).to_owned()));
        }
        if timed {
            let took = restored(backup).map(|took| duration(Duration::from_millis(took)));
            cells.push(Cell::from(took.unwrap_or_default()));
        }
        if any_encrypted {
            cells.push(match manifest.and_then(|manifest| manifest.verified.opened_at) {
                Some(at) => Cell::from(age(at, now)),
                None if is_encrypted(backup) => Cell::toned("never", Tone::Warn),
                None => Cell::from("-"),
            });
        }
        table.row(cells);
    }
    table
}

/// Change of the size since the backup before, in percent.
fn trend(backup: &Backup, before: Option<&Backup>) -> String {
    let Some(before) = before.filter(|before| before.stored_bytes > 0) else { return "-".to_owned() };
    let change = (backup.stored_bytes as f64 / before.stored_bytes as f64 - 1.0) * 100.0;
    if change.abs() < 0.5 { "=".to_owned() } else { format!("{change:+.0} %") }
}
