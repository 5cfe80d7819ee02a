//! `envctl backup [create]`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::encryption::EncryptionRequest;
use super::notifications::{BackupCreateAnswer, CreatedWithCopies, report_missing_stack, with_notifications};
use super::store_copies::copy_to_stores;
use super::{choose_format, encryption};
use crate::app::App;
use crate::app::encryption::keyring;
use crate::backup::create::{Created, create};
use crate::backup::request::{BackupRequest, BackupTarget, OnExisting, StoreTarget};
use crate::commands::multi_stack::ManyArgs;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::database::ConnectedDatabase;
use crate::commands::shared::find_catalog::{self, in_store};
use crate::commands::shared::transport_args::TransportArgs;
use crate::config::Settings;
use crate::config::store_url::StoreUrl;
use crate::dump::format::Format;
use crate::error::{self, Result};
use crate::fsutil::atomic_file;
use crate::operation::Operation;
use crate::postgres::Session;
use crate::postgres::find_primary::FirstSession;
use crate::postgres::tools::pg_dump::DumpOptions;
use crate::repository::manifest::{BackupSource, Purpose};
use crate::repository::name::{ENCRYPTED, Label};
use crate::repository::store::Patience;
use crate::text::shell_word::shell_word;
use crate::text::units::{bytes, counted, duration};

/// Arguments of `backup create`.
#[derive(clap::Args, Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct CreateArgs {
    /// The file, or `-` for stdout
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Only into this store, without a file here: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL", conflicts_with_all = ["output", "force"])]
    pub(crate) store: Option<StoreUrl>,
    /// Do not encrypt, although there are recipients or the store is a remote one
    #[arg(long)]
    pub(crate) plain: bool,
    /// Replace FILE if it exists, once the new one is verified
    #[arg(long)]
    force: bool,
    /// plain (SQL for psql), custom or directory (archives for pg_restore; a directory as one tar)
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<String>,
    /// Every database and the roles, in one tar of plain dumps
    #[arg(long)]
    pub(crate) all_databases: bool,
    /// gzip, zstd or none, with a level: zstd:3
    #[arg(long, value_name = "METHOD[:LEVEL]")]
    compress: Option<String>,
    /// Dump so many tables at once (directory format)
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    jobs: Option<u8>,
    /// Definitions without rows
    #[arg(long, conflicts_with = "data_only")]
    schema_only: bool,
    /// Rows without definitions
    #[arg(long)]
    data_only: bool,
    /// Leave out the rows of tables that match; repeatable
    #[arg(long, value_name = "PATTERN")]
    exclude_table_data: Vec<String>,
    #[command(flatten)]
    transport_options: TransportArgs,
    #[command(flatten)]
    pub(crate) many: ManyArgs,
}

impl CreateArgs {
    /// Returns the options that decide about encryption.
    pub(super) fn encryption(&self, purpose: Purpose) -> EncryptionRequest<'_> {
        let (plain, output, store) = (self.plain, self.output.as_deref(), self.store.as_ref());
        EncryptionRequest { plain, output, store, purpose }
    }

    /// Arguments of a scheduled backup: the settings decide the rest.
    pub(super) fn of_schedule(all_databases: bool, plain: bool) -> Self {
        Self { plain, all_databases, ..Self::default() }
    }
}

/// No limit; a timer cannot hold more than a few centuries.
const FOR_EVER: std::time::Duration = std::time::Duration::from_hours(24 * 365 * 30);

#[derive(Serialize)]
struct BackupPlan<'a> {
    dry_run: bool,
    plan: [String; 1],
    path: Option<PathBuf>,
    database: &'a str,
    server_version: String,
    size: u64,
}

/// # Errors
/// See [`create`].
pub(crate) async fn run(args: &CreateArgs, ctx: &CommandContext) -> Result<()> {
    if ctx.global.dry_run {
        let stack = ctx.stack().await?;
        let (found, _session) = stack.server_with_session(FirstSession::Configured).await?;
        let request = request(args, Purpose::Backup, &stack, &found).await?;
        show_dry_run(ctx, &found, &request);
        return Ok(());
    }
    let stack = report_missing_stack(ctx, ctx.stack().await).await?;
    let (created, copies) = with_notifications(&stack, Box::pin(back_up(args, &stack))).await?;
    show(ctx, &created, &copies);
    Ok(())
}

/// Backs up the database of a stack, and copies the backup into the stores.
///
/// # Errors
/// See [`create`].
pub(super) async fn back_up(args: &CreateArgs, stack: &StackContext) -> Result<CreatedWithCopies> {
    let (found, session) = stack.server_with_session(FirstSession::Configured).await?;
    let request = request(args, Purpose::Backup, stack, &found).await?;
    let created = perform(stack, &found, &request, Some(session)).await?;
    let copies = copy_to_stores(stack, &found, &request, &created).await?;
    Ok((created, copies))
}

/// Prints the plan of `--dry-run`: a line, and a document with `--json`.
fn show_dry_run(app: &App, found: &ConnectedDatabase, request: &BackupRequest) {
    let line = format!("would back up {} to {}", found.facts.database, destination(request));
    app.ui.say(&line);
    if app.ui.is_json() {
        app.ui.json(&BackupPlan {
            dry_run: true,
            plan: [line],
            path: match &request.destination {
                BackupTarget::File { path, .. } => Some(path.clone()),
                BackupTarget::Store(target) => Some(target.address()),
                BackupTarget::Stdout => None,
            },
            database: &found.facts.database,
            server_version: found.facts.version.to_string(),
            size: found.facts.size,
        });
    }
}

/// The folder into which backups of this database go.
///
/// # Errors
/// Kind `Usage`: the project's file cannot be understood.
pub(crate) fn destination_directory(settings: &Settings, found: &ConnectedDatabase) -> Result<String> {
    Ok(find_catalog::catalog_of_database(settings, found)?.directory().display().to_string())
}

/// The backup of what is there now, before something replaces it.
///
/// # Errors
/// See [`create`].
pub(crate) async fn safety(stack: &StackContext, found: &ConnectedDatabase) -> Result<PathBuf> {
    let request = request(&CreateArgs::default(), Purpose::PreRestore, stack, found).await?;
    let created = perform(stack, found, &request, None).await?;
    created.path.ok_or_else(|| error::failed("the safety backup has no file"))
}

pub(crate) async fn perform(
    app: &App,
    found: &ConnectedDatabase,
    request: &BackupRequest,
    open: Option<Session>,
) -> Result<Created> {
    let stdout: Option<Box<dyn std::io::Write + Send>> =
        (request.destination == BackupTarget::Stdout).then(|| Box::new(app.ui.raw_stdout()) as _);
    let container = &found.container;
    let created = Box::pin(create(container, request, open, stdout)).await;
    if let BackupTarget::Store(target) = &request.destination {
        // An upload that failed is aborted before the process ends.
        target.backups.settle().await;
    }
    app.ui.end_progress();
    created
}

pub(crate) async fn request(
    args: &CreateArgs,
    purpose: Purpose,
    stack: &StackContext,
    found: &ConnectedDatabase,
) -> Result<BackupRequest> {
    let settings = &stack.settings.for_stack(&found.target)?;
    let recipients = encryption::recipients(&args.encryption(purpose), settings)?;
    let asked = choose_format::FormatRequest {
        format: match (&args.format, args.all_databases) {
            (Some(format), _) => format,
            (None, true) => Format::Plain.keyword(),
            (None, false) => &settings.backup.format,
        },
        compress: args.compress.as_deref(),
        usual: &settings.backup.compress,
        // Of a tar of dumps the name says nothing about these.
        output: args.output.as_deref().filter(|path| path.as_os_str() != "-" && !args.all_databases),
    };
    let form = choose_format::decide(&asked, &found.facts.version)?;
    let inner = if args.all_databases { choose_format::EXTENSION.to_owned() } else { form.extension() };
    let extension = if recipients.is_some() { inner + ENCRYPTED } else { inner };
    let target = &found.target;
    let operation = stack.operation();
    let destination = Box::pin(target_of(args, stack, settings, found, (&operation, extension))).await?;
    if let (Some(path), BackupTarget::File { .. }) = (&args.output, &destination) {
        directory_exists(path)?;
    }
    if let BackupTarget::File { path, .. } = &destination {
        for orphan in atomic_file::sweep_beside(path) {
            stack.ui.warn(&format!("removed {}, orphan of a backup that was killed", orphan.display()));
        }
    }
    let jobs = jobs(args, settings, form.format)?;
    let mut transport_options = args.transport_options.options(stack, settings)?;
    match &destination {
        BackupTarget::Stdout if form.format == Format::Directory => {
            return Err(error::usage("the directory format needs a disk while it is dumped")
                .hint("name a file: `-o FILE.tar`"));
        }
        BackupTarget::Store(_) if form.format == Format::Directory => {
            return Err(error::usage("the directory format needs a disk while it is dumped")
                .hint("leave `--store` out and set `backup.stores`: the file is copied there"));
        }
        BackupTarget::Stdout | BackupTarget::Store(_) => {}
        BackupTarget::File { path, .. } => transport_options.disk = Some(atomic_file::home_of(path)?),
    }
    if destination == BackupTarget::Stdout && stack.ui.options().stdout_is_terminal {
        return Err(error::usage("refusing to write a backup to the terminal")
            .hint("send it to a file: `envctl backup -o - > FILE`, or leave `-o` out"));
    }
    let key = match &destination {
        BackupTarget::File { .. } | BackupTarget::Store(_) => stack.signing_key(settings)?,
        BackupTarget::Stdout => None,
    };
    let container = &target.container;
    // What a restore replaces is copied whole, whatever the setting leaves out of other backups.
    let exclude = if args.exclude_table_data.is_empty() && purpose != Purpose::PreRestore {
        &settings.backup.exclude_table_data
    } else {
        &args.exclude_table_data
    };
    Ok(BackupRequest {
        operation,
        purpose,
        source: BackupSource {
            stack: target.stack.clone(),
            profile: target.profile.name.clone(),
            context: stack.daemon.context.clone(),
            container: container.name.clone(),
            container_id: container.id.clone(),
            image: container.image.clone(),
            image_id: container.image_id.clone(),
            service: found.identity().service,
        },
        access: found.access.clone(),
        dump: DumpOptions {
            format: form.format,
            compress: form.inside,
            jobs,
            schema_only: args.schema_only,
            data_only: args.data_only,
            exclude_table_data: exclude.clone(),
            lock_wait_ms: u64::try_from(settings.timeouts.lock.as_millis()).unwrap_or(u64::MAX).max(1),
        },
        compression: form.outside,
        threads: stack.threads(),
        destination,
        lock_limit: settings.timeouts.lock,
        stall_limit: settings.timeouts.stall.unwrap_or(FOR_EVER),
        transport_options,
        key,
        recipients,
        keyring: keyring(settings, None),
    })
}

/// Decides where a backup goes.
async fn target_of(
    args: &CreateArgs,
    stack: &StackContext,
    settings: &Settings,
    found: &ConnectedDatabase,
    (operation, extension): (&Operation, String),
) -> Result<BackupTarget> {
    Ok(match (&args.output, &args.store) {
        (None, Some(url)) => BackupTarget::Store(StoreTarget {
            backups: in_store(stack.open_store(settings, url, Patience::Long).await?, found),
            label: Label::new(operation.started),
            extension,
        }),
        (Some(path), _) if path.as_os_str() == "-" => BackupTarget::Stdout,
        (Some(path), _) => BackupTarget::File {
            path: path.clone(),
            taken: if args.force { OnExisting::Replace } else { OnExisting::Refuse },
        },
        (None, None) => BackupTarget::File {
            path: find_catalog::catalog_of_database(settings, found)?
                .free_name(Label::new(operation.started), &extension),
            taken: OnExisting::Next,
        },
    })
}

/// Refuses a file in a directory that is not there: more often mistyped than meant.
fn directory_exists(path: &Path) -> Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => return Ok(()),
    };
    if directory.exists() {
        return Ok(());
    }
    let shown = directory.display().to_string();
    Err(error::usage(format!("cannot write {}: there is no directory {shown}", path.display()))
        .hint(format!("make it first: `mkdir -p {}`", shell_word(&shown))))
}

/// Number of tables that are dumped at once.
fn jobs(args: &CreateArgs, settings: &Settings, format: Format) -> Result<u8> {
    match args.jobs {
        Some(jobs) if jobs > 1 && format != Format::Directory => {
            Err(error::usage(format!("pg_dump writes the {} format one table at a time", format.keyword()))
                .hint(
                    "use `--format directory -j N`, which dumps N at once; a plain dump is compressed on all cores anyway",
                ))
        }
        Some(jobs) => Ok(jobs),
        None => Ok(u8::try_from(settings.backup.jobs).unwrap_or(u8::MAX)),
    }
}

pub(crate) fn destination(request: &BackupRequest) -> String {
    match &request.destination {
        BackupTarget::Stdout => "stdout".to_owned(),
        BackupTarget::Store(target) => target.address().display().to_string(),
        BackupTarget::File { path, .. } => path.display().to_string(),
    }
}

pub(crate) fn show(app: &App, created: &Created, copies: &[PathBuf]) {
    let manifest = &created.manifest;
    let Some(path) = &created.path else { return };
    let took = std::time::Duration::from_millis(manifest.duration_ms);
    app.ui.say(&format!(
        "{} in {}: {}, {}, {}; verified{}{}",
        manifest.of_what(),
        duration(took),
        counted(manifest.table_count() as u64, "table", "tables"),
        counted(manifest.rows(), "row", "rows"),
        match manifest.format.as_str() {
            "plain" => {
                format!("{} of SQL as {}", bytes(manifest.plain_bytes), bytes(manifest.stored_bytes))
            }
            _ if manifest.is_of_all() => {
                let databases = counted(manifest.databases.len() as u64, "database", "databases");
                format!("{databases} in a tar of {}", bytes(manifest.stored_bytes))
            }
            other => format!("a {other} archive of {}", bytes(manifest.stored_bytes)),
        },
        if manifest.is_empty() { ", of an empty database" } else { "" },
        encryption::told(manifest)
    ));
    if manifest.is_empty() {
        app.ui.warn(&format!("{} is EMPTY: there is nothing in this backup", manifest.of_what()));
    }
    for copy in copies {
        app.ui.say(&format!("copied to {}", copy.display()));
    }
    // The path is the answer: `FILE=$(envctl backup -q)`.
    app.ui.show(&BackupCreateAnswer { path: Some(path), copies, manifest }, |_| {
        format!("{}\n", crate::text::escape::escape(&path.display().to_string()))
    });
}
