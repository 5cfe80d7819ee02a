//! `envctl backup show`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::app::encryption::keyring;
use crate::commands::shared::context::CommandContext;
use crate::commands::shared::find_catalog;
use crate::commands::shared::find_catalog::SelectedBackups;
use crate::config::store_url::StoreUrl;
use crate::error::{self, Error, ErrorKind, Result};
use crate::postgres::database_info::DatabaseInfo;
use crate::repository::authenticity::Authenticity;
use crate::repository::catalog::Backup;
use crate::repository::identity::Identity;
use crate::repository::manifest::{Manifest, Verification};
use crate::repository::pin::{self, BackupPin};
use crate::repository::remote_backups::{RemoteBackup, RemoteBackups};
use crate::repository::store::Patience;
use crate::text::escape::escape;
use crate::text::units::{age, bytes, count, counted, duration, moment};

/// Arguments of `backup show`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupShowArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP", default_value = "latest")]
    backup: PathBuf,
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL")]
    store: Option<StoreUrl>,
    /// Private keys that open an encrypted backup: a file of age-keygen, or a private key of ssh
    #[arg(short, long, value_name = "FILE")]
    identity: Option<PathBuf>,
}

/// The manifest as it is, and whether it vouches for the backup.
#[derive(Serialize)]
struct BackupShowAnswer<'a> {
    #[serde(flatten)]
    manifest: serde_json::Value,
    authenticity: &'static str,
    pin: Option<&'a BackupPin>,
}

/// # Errors
/// Kind `Target`: no such backup. `Integrity`: its manifest is missing or damaged.
pub(crate) async fn run(args: &BackupShowArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup show", "name it: `-s STACK`; the last backup of every stack: `envctl status`")?;
    if let Some(url) = &args.store {
        let (remote, manifest, authenticity) = Box::pin(read_remote(args, url, ctx)).await?;
        let manifest = open(args, ctx, &remote.path, manifest).await?;
        show(ctx, &remote.path, (&manifest, &authenticity), remote.pin.as_ref());
        return Ok(());
    }
    let path = find(&args.backup, ctx).await?;
    let (manifest, authenticity) = Manifest::authenticated_of(&path, &ctx.manifest_keys(&ctx.settings)?)?;
    let manifest = manifest.ok_or_else(|| {
        error::integrity(format!("{} has no manifest", path.display()))
            .note("it can still be restored: its own structure is checked then")
    })?;
    let manifest = open(args, ctx, &path, manifest).await?;
    show(ctx, &path, (&manifest, &authenticity), pin::read(&path).as_ref());
    Ok(())
}

/// Opens the encrypted part of a manifest, where an identity is here. One of the settings that does not open it is told
/// and no obstacle: the part in clear is shown then.
async fn open(
    args: &BackupShowArgs,
    ctx: &CommandContext,
    path: &Path,
    manifest: Manifest,
) -> Result<Manifest> {
    let identities = keyring(&ctx.settings, args.identity.as_deref());
    if identities.is_empty() || !manifest.is_sealed() {
        return Ok(manifest);
    }
    let (name, sealed) = (path.display().to_string(), manifest.clone());
    // A command may wait for somebody.
    match ctx.cancel.blocking(move || sealed.open(&name, &identities)).await {
        Ok(opened) => Ok(opened),
        Err(error) if args.identity.is_some() || matches!(error.kind(), ErrorKind::Cancelled(_)) => {
            Err(error)
        }
        Err(error) => {
            ctx.ui.warn(&error.full_message());
            Ok(manifest)
        }
    }
}

fn show(
    ctx: &CommandContext,
    path: &Path,
    (manifest, authenticity): (&Manifest, &Authenticity),
    pin: Option<&BackupPin>,
) {
    let now = ctx.now();
    let answer =
        BackupShowAnswer { manifest: manifest.document(), authenticity: authenticity.keyword(), pin };
    let shown = path.display().to_string();
    ctx.ui.show(&answer, |ui| {
        let mut text = text(&shown, manifest, authenticity, now);
        text.extend(pin.map(pinned));
        ui.folded(&text)
    });
}

/// Reads the manifest of a backup in a store.
async fn read_remote(
    args: &BackupShowArgs,
    url: &StoreUrl,
    ctx: &CommandContext,
) -> Result<(Backup, Manifest, Authenticity)> {
    let (backups, remote) = find_remote(&args.backup, url, ctx).await?;
    let text = ctx.cancel.run_until_cancelled(backups.manifest_text(&remote)).await??;
    let (manifest, authenticity) = Manifest::authenticate(&text, &ctx.manifest_keys(&ctx.settings)?)
        .map_err(|error| error.context(remote.backup.path.display()))?;
    Ok((remote.backup, manifest, authenticity))
}

/// Finds a backup in a store: a name of its list, an address, or `latest`.
///
/// # Errors
/// Kind `Target`: no such backup. Otherwise errors of the store.
pub(super) async fn find_remote(
    asked: &Path,
    url: &StoreUrl,
    ctx: &CommandContext,
) -> Result<(RemoteBackups, RemoteBackup)> {
    let selected = find_catalog::select_backups(ctx).await?;
    let backups = selected.in_store(ctx.open_store(&ctx.settings, url, Patience::Short).await?);
    let finding = async {
        if asked.as_os_str() == "latest" {
            let target = target(ctx, &selected).await?;
            backups.latest_of(&backups.list().await?, &target)
        } else {
            backups.find(asked).await
        }
    };
    let found = ctx.cancel.run_until_cancelled(Box::pin(finding)).await??;
    Ok((backups, found))
}

/// Returns the path of a backup: a file, a name of the catalog, or `latest`.
///
/// # Errors
/// Kind `Target`: no such backup.
pub(super) async fn find(asked: &Path, ctx: &CommandContext) -> Result<PathBuf> {
    let path = if asked.exists() {
        asked.to_owned()
    } else {
        let selected = find_catalog::select_backups(ctx).await?;
        if asked.as_os_str() == "latest" {
            let target = target(ctx, &selected).await?;
            selected.catalog.latest(&target)?.path
        } else {
            selected.catalog.find(asked)
        }
    };
    if !path.exists() {
        return Err(error::target(format!("there is no backup {}", path.display()))
            .hint("list all of them: `envctl backup list`"));
    }
    Ok(path)
}

/// Time limit for reading the identity of the database.
const LIMIT: Duration = Duration::from_secs(5);

/// The target whose newest backup is meant. A database that does not answer leaves open what it alone could tell:
/// the backups may be all that is left.
pub(super) async fn target(ctx: &CommandContext, selected: &SelectedBackups) -> Result<Identity> {
    let asking = async {
        let stack = ctx.stack().await?;
        let (target, mut session) = stack.connect().await?;
        let facts = DatabaseInfo::read(&mut session).await?;
        let only_service = stack.environment.database_services().len() < 2;
        let context = &stack.daemon.context;
        Ok::<_, Error>(crate::commands::shared::database::identity(
            &target,
            only_service,
            context,
            Some(&facts.database),
        ))
    };
    match tokio::time::timeout(LIMIT, asking).await {
        Ok(Ok(identity)) => Ok(identity),
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled(_)) => Err(error),
        Ok(Err(_)) | Err(_) => Ok(Identity {
            stack: selected.stack.clone(),
            profile: selected.profile.clone(),
            database: ctx.settings.database(selected.profile.as_deref()).name.clone(),
            ..Identity::default()
        }),
    }
}

/// The verification as one line.
fn verification(verified: &Verification) -> String {
    let by = verified.by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let took = verified.restored_in_ms.map(|took| duration(Duration::from_millis(took)));
    let took = took.map(|took| format!(", restored in {took}")).unwrap_or_default();
    format!("{} ({}{by}{took})", verified.level.keyword(), moment(verified.at))
}

fn text(path: &str, manifest: &Manifest, authenticity: &Authenticity, now: jiff::Timestamp) -> String {
    let mut text = String::new();
    let mut line = |key: &str, value: String| text.push_str(&format!("{key:<11}{}\n", escape(&value)));
    let profile = manifest.source.profile.as_deref().unwrap_or("unknown profile");
    line("file", path.to_owned());
    line(
        "of",
        format!(
            "{} {profile}, {}, {}container {}",
            manifest.source.stack,
            if manifest.is_of_all() {
                match manifest.databases.len() {
                    0 => "all databases".to_owned(),
                    1 => "all of 1 database".to_owned(),
                    n => format!("all {n} databases"),
                }
            } else {
                format!("database {}", manifest.database)
            },
            manifest.source.service.as_ref().map(|name| format!("service {name}, ")).unwrap_or_default(),
            manifest.source.container
        ),
    );
    line(
        "made",
        format!(
            "{} ({}), in {}",
            moment(manifest.started),
            age(manifest.started, now),
            duration(std::time::Duration::from_millis(manifest.duration_ms))
        ),
    );
    if !manifest.is_sealed() {
        let pg_dump = manifest.pg_dump_version.as_deref().unwrap_or("unknown");
        line("server", format!("PostgreSQL {}, pg_dump {pg_dump}", manifest.server_version));
    }
    line(
        "size",
        match manifest.format.as_str() {
            "plain" => format!(
                "{} of SQL, {} stored ({})",
                bytes(manifest.plain_bytes),
                bytes(manifest.stored_bytes),
                manifest.compression
            ),
            _ if manifest.is_of_all() => format!(
                "{} as a tar of globals.sql and plain dumps ({})",
                bytes(manifest.stored_bytes),
                manifest.compression
            ),
            other => {
                format!(
                    "{} stored as a {other} archive ({})",
                    bytes(manifest.stored_bytes),
                    manifest.compression
                )
            }
        },
    );
    line("sha256", manifest.stored_sha256.to_string());
    line("verified", verification(&manifest.verified));
    line("manifest", authenticity.doubt().unwrap_or_else(|| "authenticated".to_owned()));
    for (key, value) in encryption(manifest, now) {
        line(key, value);
    }
    if manifest.is_sealed() {
        return text;
    }
    line(
        "content",
        format!(
            "{}{}{}, {}",
            if manifest.is_empty() { "EMPTY: " } else { "" },
            if manifest.whole { "" } else { "partial: " },
            counted(manifest.table_count() as u64, "table", "tables"),
            counted(manifest.rows(), "row", "rows")
        ),
    );
    if let Some(migration) = &manifest.last_migration {
        line("migration", migration.clone());
    }
    if !manifest.extensions.is_empty() {
        line("extensions", manifest.extensions.join(", "));
    }
    for database in &manifest.databases {
        line(
            "",
            format!(
                "{}: {}, {}, {} ({})",
                database.name,
                counted(database.tables as u64, "table", "tables"),
                counted(database.rows, "row", "rows"),
                bytes(database.stored_bytes),
                database.file
            ),
        );
    }
    for table in &manifest.tables {
        line("", format!("{} {}", count(table.rows), table.table));
    }
    text
}

/// The lines of an encrypted backup.
fn encryption(manifest: &Manifest, now: jiff::Timestamp) -> Vec<(&'static str, String)> {
    let Some(encryption) = &manifest.encryption else { return Vec::new() };
    let opened = manifest.verified.opened_at.map(|at| format!("{} ({})", moment(at), age(at, now)));
    let mut lines = vec![
        ("encrypted", format!("to {}", encryption.recipients.join(", "))),
        (
            "opened",
            opened.unwrap_or_else(|| "never; run `envctl backup verify` where the private key is".to_owned()),
        ),
    ];
    if manifest.is_sealed() {
        let how = "only an identity of these recipients shows it: `--identity FILE`";
        lines.push(("content", how.to_owned()));
    }
    lines
}

/// The line of a pin.
fn pinned(pin: &BackupPin) -> String {
    let parts = [
        pin.at.map(moment),
        pin.by.as_ref().map(|by| format!("by {by}")),
        pin.accept_rows.then(|| "its rows are right".to_owned()),
        pin.reason.clone(),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let value = if parts.is_empty() { "yes".to_owned() } else { parts.join(", ") };
    format!("{:<11}{}\n", "pinned", escape(&value))
}
