//! `envctl backup verify`: bytes, structure, or a restore into a throwaway server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::commands::backup::show;
use crate::commands::context::CommandContext;
use crate::commands::download::download;
use crate::commands::find_catalog;
use crate::commands::transport_args::WayArgs;
use crate::config::duration;
use crate::config::store_url::StoreUrl;
use crate::dump::sql::Rules;
use crate::error::{self, Error, ErrorKind, Result};
use crate::postgres::tools::runner::TransportOptions;
use crate::repository::authenticity::ManifestKeys;
use crate::repository::catalog::{Backup, Catalog};
use crate::repository::manifest::{Manifest, Verification, VerificationLevel};
use crate::repository::store::Patience;
use crate::restore::all_databases::{is_cluster, unpack};
use crate::restore::input::{DumpSource, InputOptions, examine, stored_sha256};
use crate::restore::pipe::PrivateCopy;
use crate::text::escape::escape;
use crate::text::shell_word::quoted;
use crate::text::units::{counted, duration as in_words};
use crate::verify::assertions::Assertions;
use crate::verify::image;
use crate::verify::restore_test::{Passed, RestoreTest};

/// Arguments of `backup verify`.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct VerifyArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP", conflicts_with_all = ["next", "all", "since"])]
    backup: Option<PathBuf>,
    /// The one whose verification is the oldest: a nightly job covers all of them
    #[arg(long, conflicts_with_all = ["all", "since"])]
    next: bool,
    /// Every backup
    #[arg(long, conflicts_with = "since")]
    all: bool,
    /// Those of the last so many days or hours: 7d, 12h
    #[arg(long, value_name = "TIME", value_parser = duration::parse_days)]
    since: Option<Duration>,
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL", conflicts_with_all = ["next", "all", "since"])]
    store: Option<StoreUrl>,
    /// Compare the stored bytes with their hash, and read no more
    #[arg(long, conflicts_with = "restore")]
    quick: bool,
    /// Restore into a throwaway server of the same image, without network, and compare contents
    #[arg(long)]
    restore: bool,
    /// SQL that has to run on the restored database; a statement that answers false fails; repeatable
    #[arg(long, value_name = "FILE", requires = "restore")]
    sql: Vec<PathBuf>,
    /// The longest time that the restore may take: 15m
    #[arg(long, value_name = "TIME", requires = "restore", value_parser = duration::parse)]
    rto: Option<Duration>,
    /// Restore over so many sessions
    #[arg(short, long, value_name = "N", requires = "restore", value_parser = clap::value_parser!(u8).range(1..=6))]
    jobs: Option<u8>,
    #[command(flatten)]
    ways: WayArgs,
}

/// Depth of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Depth {
    Quick,
    Structure,
    Restore,
}

#[derive(Serialize)]
struct VerifyAnswer {
    depth: Depth,
    backups: Vec<VerifyRow>,
}

/// A backup that was verified, or the reason why not.
#[derive(Serialize)]
struct VerifyRow {
    path: String,
    /// Level in the manifest from now on; null where the verification failed.
    verified: Option<&'static str>,
    tables: Option<usize>,
    rows: Option<u64>,
    restored_in_ms: Option<u64>,
    notes: Vec<String>,
    error: Option<serde_json::Value>,
}

/// Everything that verifying one backup takes.
struct Verifier<'a> {
    ctx: &'a CommandContext,
    depth: Depth,
    keys: ManifestKeys,
    ways: TransportOptions,
    assertions: Assertions,
    jobs: Option<u8>,
    rto: Option<Duration>,
}

/// # Errors
/// Kind `Integrity`: a backup failed. `Unverified`: none failed, and one could not be verified. `Target`: there is none.
pub(crate) async fn run(args: &VerifyArgs, ctx: &CommandContext) -> Result<()> {
    ctx.one_stack("backup verify", "name it: `-s STACK`")?;
    let sources = chosen(args, ctx).await?;
    let verifier = Verifier::new(args, ctx)?;
    let mut outcomes = Vec::new();
    for source in sources {
        let outcome = Box::pin(verifier.verify(&source)).await;
        ctx.ui.end_progress();
        match &outcome {
            Err(cancelled) if matches!(cancelled.kind(), ErrorKind::Cancelled(_)) => {
                return outcome.map(drop);
            }
            _ => outcomes.push((source.name(), outcome)),
        }
    }
    // One alone fails with its own error.
    if let [(_, Err(_))] = outcomes.as_slice()
        && let Some((_, Err(error))) = outcomes.pop()
    {
        return Err(error);
    }
    let failures = failures(&outcomes);
    let answer = VerifyAnswer { depth: verifier.depth, backups: outcomes.into_iter().map(row).collect() };
    ctx.ui.show(&answer, |_| answer.backups.iter().map(line).collect());
    failures.map_or(Ok(()), Err)
}

/// The backups that the arguments mean, the newest first.
async fn chosen(args: &VerifyArgs, ctx: &CommandContext) -> Result<Vec<DumpSource>> {
    let latest = PathBuf::from("latest");
    let asked = args.backup.as_ref().unwrap_or(&latest);
    if let Some(url) = &args.store {
        return Ok(vec![DumpSource::Copy(fetch(asked, url, ctx).await?)]);
    }
    if !args.next && !args.all && args.since.is_none() {
        return Ok(vec![DumpSource::File(show::find(asked, ctx).await?)]);
    }
    let catalog = find_catalog::meant(ctx).await?.catalog;
    let chosen = select(args, &catalog.list()?, ctx.now());
    if chosen.is_empty() {
        return Err(nothing(&catalog));
    }
    Ok(chosen.into_iter().map(DumpSource::File).collect())
}

/// Fetches a backup of a store into a private directory.
async fn fetch(asked: &Path, url: &StoreUrl, ctx: &CommandContext) -> Result<PrivateCopy> {
    let meant = find_catalog::meant(ctx).await?;
    let backups = meant.in_store(ctx.open_store(&ctx.settings, url, Patience::Long).await?);
    let fetching = async {
        let remote = if asked.as_os_str() == "latest" {
            let target = show::target(ctx, &meant).await?;
            backups.latest_of(&backups.list().await?, &target)?
        } else {
            backups.find(asked).await?
        };
        download(ctx, &backups, &remote).await
    };
    ctx.cancel.run_until_cancelled(Box::pin(fetching)).await?
}

fn nothing(catalog: &Catalog) -> Error {
    error::target(format!("there is no backup to verify in {}", catalog.directory().display()))
        .hint("list all of them: `envctl backup list`")
        .hint("make one: `envctl backup`")
}

/// Selects the backups that `--next`, `--all` and `--since` mean.
fn select(args: &VerifyArgs, backups: &[Backup], now: jiff::Timestamp) -> Vec<PathBuf> {
    let since = args.since.and_then(|ago| now.checked_sub(ago).ok());
    let wanted = backups.iter().filter(|backup| since.is_none_or(|since| backup.label.timestamp() >= since));
    if !args.next {
        return wanted.map(|backup| backup.path.clone()).collect();
    }
    // One that was never restored is older than all that were.
    let last_restored = |backup: &&Backup| {
        let verified = backup.manifest.as_ref().ok().map(|manifest| &manifest.verified);
        let deep = verified.filter(|verified| !args.restore || verified.level >= VerificationLevel::Restored);
        (deep.map(|verified| verified.at), std::cmp::Reverse(backup.label))
    };
    let whole = wanted.filter(|backup| backup.manifest.as_ref().is_ok_and(|manifest| manifest.whole));
    whole.min_by_key(last_restored).map(|backup| backup.path.clone()).into_iter().collect()
}

impl<'a> Verifier<'a> {
    fn new(args: &VerifyArgs, ctx: &'a CommandContext) -> Result<Self> {
        let read = |path: &PathBuf| {
            std::fs::read_to_string(path)
                .map_err(|cause| error::usage(format!("cannot read {}", path.display())).because(cause))
        };
        let scripts: Result<Vec<String>> = args.sql.iter().map(read).collect();
        Ok(Self {
            ctx,
            depth: match (args.quick, args.restore) {
                (true, _) => Depth::Quick,
                (_, true) => Depth::Restore,
                _ => Depth::Structure,
            },
            keys: ctx.manifest_keys(&ctx.settings)?,
            ways: args.ways.ways(ctx, &ctx.settings)?,
            assertions: Assertions { checks: ctx.settings.verify.checks.clone(), scripts: scripts? },
            jobs: args.jobs,
            rto: args.rto.or(ctx.settings.verify.rto),
        })
    }

    /// Verifies one backup and records it in the manifest.
    async fn verify(&self, source: &DumpSource) -> VerifyOutcome {
        let name = source.name();
        let Some(path) = source.path() else { return Err(error::usage("a pipe cannot be verified")) };
        let (manifest, _) = Manifest::authenticated_of(path, &self.keys)?;
        let manifest = manifest.ok_or_else(|| {
            error::integrity(format!("{name} has no manifest"))
                .note("there is nothing to compare it with; it can still be restored")
        })?;
        let operation = self.ctx.operation();
        operation.progress.step(&format!("verifying {name}"));
        let level = manifest.verified.level;
        let passed = match self.depth {
            Depth::Quick => {
                let (file, cancel) = (path.to_owned(), operation.cancel.clone());
                let stop = cancel.clone();
                let stored = cancel.blocking(move || stored_sha256(&file, &stop)).await?;
                manifest.matches(stored, &name)?;
                return Ok((level, None));
            }
            Depth::Structure => {
                self.read_to_its_end(source, path).await?;
                None
            }
            Depth::Restore => Some(Box::pin(self.restore(source, path, &manifest)).await?),
        };
        let reached = match &passed {
            Some(passed) if passed.by_contents => VerificationLevel::Contents,
            Some(_) => VerificationLevel::Restored,
            None => VerificationLevel::Complete,
        };
        let milliseconds = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let restored_in_ms = passed.as_ref().map(|passed| milliseconds(passed.restored_in));
        let by = Some(operation.actor);
        let verified = Verification { level: reached, at: self.ctx.now(), by, restored_in_ms };
        let key = self.ctx.signing_key(&self.ctx.settings)?;
        if let DumpSource::Copy(_) = source {
            self.ctx.ui.detail(&format!("{name}: a verification is not recorded in a store"));
        } else if let Some(why) = Manifest::record(path, verified, key.as_ref(), &self.keys)? {
            self.ctx.ui.warn(&format!("{name}: the verification is not recorded: {why}"));
        }
        if let (Some(rto), Some(passed)) = (self.rto, &passed)
            && passed.restored_in > rto
        {
            return Err(error::integrity(format!(
                "restoring {name} took {}, longer than {}",
                in_words(passed.restored_in),
                in_words(rto)
            ))
            .note("its contents are verified"));
        }
        Ok((reached.max(level), passed))
    }

    /// Unpacks a backup and scans it, whatever its manifest vouches for.
    async fn read_to_its_end(&self, source: &DumpSource, path: &Path) -> Result<()> {
        let operation = self.ctx.operation();
        if is_cluster(path) {
            let unpacked = unpack(source, None, false, &self.keys, &operation.cancel).await?;
            for database in &unpacked.databases {
                self.examine(&DumpSource::File(database.path.clone())).await?;
            }
            return Ok(());
        }
        self.examine(source).await
    }

    async fn examine(&self, source: &DumpSource) -> Result<()> {
        let operation = self.ctx.operation();
        // Without keys nothing vouches for it, so that every byte is read.
        let input = InputOptions { trust: true, keys: ManifestKeys::default(), ..self.input(source) };
        let threads = self.ctx.threads();
        examine(source, &input, threads, &operation.progress, &operation.cancel).await.map(drop)
    }

    fn input(&self, source: &DumpSource) -> InputOptions {
        InputOptions {
            trust: false,
            keys: self.keys.clone(),
            rules: Rules::default(),
            command: format!("envctl restore {}", quoted(&source.name())),
            options: String::new(),
            database: None,
            into: None,
        }
    }

    async fn restore(&self, source: &DumpSource, path: &Path, manifest: &Manifest) -> Result<Passed> {
        let unverified = |cause: Error| match cause.kind() {
            ErrorKind::Cancelled(_) | ErrorKind::Unverified | ErrorKind::Integrity => cause,
            _ => cause.with_kind(ErrorKind::Unverified).context("could not verify"),
        };
        let engine = &self.ctx.daemon().map_err(unverified)?.engine;
        let listed = engine.list().await.map_err(unverified)?;
        let mut images: Vec<String> = listed.into_iter().filter_map(|container| container.image_id).collect();
        images.sort();
        images.dedup();
        let image = image::find(engine, manifest, &images).await.map_err(unverified)?;
        if !is_cluster(path) {
            return self.restore_one(source, manifest, &image).await;
        }
        let cancel = self.ctx.operation().cancel;
        let unpacked = unpack(source, None, false, &self.keys, &cancel).await.map_err(unverified)?;
        let mut sum: Option<Passed> = None;
        for database in &unpacked.databases {
            let manifest = Manifest::of(&database.path)?;
            let manifest =
                manifest.ok_or_else(|| error::integrity(format!("{} has no manifest", database.name)))?;
            let one =
                Box::pin(self.restore_one(&DumpSource::File(database.path.clone()), &manifest, &image)).await;
            let one = one.map_err(|cause| cause.context(format!("database {}", database.name)))?;
            sum = Some(match sum {
                None => one,
                Some(sum) => sum.and(one),
            });
        }
        sum.ok_or_else(|| error::unverified(format!("{} holds no database", source.name())))
    }

    async fn restore_one(
        &self,
        source: &DumpSource,
        manifest: &Manifest,
        image: &image::RestoreImage,
    ) -> Result<Passed> {
        const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);
        let test = RestoreTest {
            operation: self.ctx.operation(),
            source: source.clone(),
            manifest: manifest.clone(),
            input: self.input(source),
            image: image.name.clone(),
            limits: self.ways.limits,
            threads: self.ctx.threads(),
            jobs: self.jobs,
            ways: self.ways.clone(),
            assertions: self.assertions.clone(),
            stall_limit: self.ctx.settings.timeouts.stall.unwrap_or(FOR_EVER),
        };
        let mut passed = test.run(&self.ctx.daemon()?.engine).await?;
        passed.notes.extend(image.note.clone());
        Ok(passed)
    }
}

/// One outcome of a verification.
type VerifyOutcome = Result<(VerificationLevel, Option<Passed>)>;

/// The error of several backups, where one failed or could not be verified.
fn failures(outcomes: &[(String, VerifyOutcome)]) -> Option<Error> {
    let errors: Vec<&Error> = outcomes.iter().filter_map(|(_, outcome)| outcome.as_ref().err()).collect();
    let failed = errors.iter().filter(|error| error.kind() == ErrorKind::Integrity).count();
    let all = outcomes.len();
    match (failed, errors.len() - failed) {
        (0, 0) => None,
        (0, open) => Some(error::unverified(format!("{open} of {all} backups could not be verified"))),
        (failed, _) => Some(error::integrity(format!("{failed} of {all} backups failed the verification"))),
    }
}

fn row((path, outcome): (String, VerifyOutcome)) -> VerifyRow {
    match outcome {
        Err(error) => VerifyRow {
            path,
            verified: None,
            tables: None,
            rows: None,
            restored_in_ms: None,
            notes: Vec::new(),
            error: Some(error::fields(&error)),
        },
        Ok((level, passed)) => VerifyRow {
            path,
            verified: Some(level.keyword()),
            tables: passed.as_ref().map(|passed| passed.tables),
            rows: passed.as_ref().map(|passed| passed.rows),
            restored_in_ms: passed
                .as_ref()
                .map(|passed| u64::try_from(passed.restored_in.as_millis()).unwrap_or(u64::MAX)),
            notes: passed.map(|passed| passed.notes).unwrap_or_default(),
            error: None,
        },
    }
}

/// A backup as one line, and a line for each note.
fn line(backup: &VerifyRow) -> String {
    let path = escape(&backup.path);
    let mut text = match (&backup.error, backup.verified) {
        (Some(error), _) => {
            let message = error["message"].as_str().unwrap_or_default();
            format!("{path}: {}: {}\n", error["code"].as_str().unwrap_or_default(), escape(message))
        }
        (None, level) => format!("{path}: {}", level.unwrap_or_default()),
    };
    if backup.error.is_none() {
        if let (Some(tables), Some(rows)) = (backup.tables, backup.rows) {
            let tables = counted(tables as u64, "table", "tables");
            text.push_str(&format!(", {tables}, {}", counted(rows, "row", "rows")));
        }
        if let Some(took) = backup.restored_in_ms {
            text.push_str(&format!(", restored in {}", in_words(Duration::from_millis(took))));
        }
        text.push('\n');
    }
    for note in &backup.notes {
        text.push_str(&format!("  note: {}\n", escape(note)));
    }
    text
}
