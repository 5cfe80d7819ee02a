//! `envctl backup verify`: bytes, structure, or a restore into a throwaway server.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::app::encryption::keyring;
use crate::codec::Digest;
use crate::codec::age::Keyring;
use crate::commands::backup::show;
use crate::commands::shared::context::CommandContext;
use crate::commands::shared::download::download;
use crate::commands::shared::find_catalog;
use crate::commands::shared::transport_args::TransportArgs;
use crate::config::duration;
use crate::config::store_url::StoreUrl;
use crate::docker::worker::worker_spec::ResourceLimits;
use crate::dump::sql::Rules;
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::read_lock::ReadLock;
use crate::postgres::tools::runner::TransportOptions;
use crate::repository::attempt;
use crate::repository::authenticity::{Authenticity, Doubt, ManifestKeys};
use crate::repository::catalog::{Backup, Catalog};
use crate::repository::manifest::{Manifest, Verification, VerificationLevel};
use crate::repository::store::Patience;
use crate::restore::all_databases::{Roles, UnpackedDatabase, is_cluster, unpack};
use crate::restore::examine::{DumpSource, InputOptions, examine, stored_sha256};
use crate::restore::piped_dump::PrivateCopy;
use crate::text::escape::escape;
use crate::text::shell_word::quoted;
use crate::text::units::{counted, duration as in_words};
use crate::verify::assertions::Assertions;
use crate::verify::image;
use crate::verify::image::RestoreImage;
use crate::verify::restore_test::{RestoreTest, RestoreTestResult};
use crate::verify::server::ThrowawayServer;

/// Arguments of `backup verify`.
#[derive(clap::Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct VerifyArgs {
    /// A file, a name from `backup list`, or `latest`
    #[arg(value_name = "BACKUP", conflicts_with_all = ["next", "all", "since"])]
    backup: Option<PathBuf>,
    /// The oldest backup without a restore test, else the one whose test is the longest ago
    #[arg(long, requires = "restore", conflicts_with_all = ["all", "since"])]
    next: bool,
    /// Every backup
    #[arg(long, conflicts_with = "since")]
    all: bool,
    /// Verify the backups of the last days or hours: 7d, 12h
    #[arg(long, value_name = "TIME", value_parser = duration::parse_days)]
    since: Option<Duration>,
    /// The backup is in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL", conflicts_with_all = ["next", "all", "since"])]
    store: Option<StoreUrl>,
    /// Private keys that open an encrypted backup: a file of age-keygen, or a private key of ssh
    #[arg(short, long, value_name = "FILE", conflicts_with = "quick")]
    identity: Option<PathBuf>,
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
    /// Number of sessions that load
    #[arg(short, long, value_name = "N", requires = "restore", value_parser = clap::value_parser!(u8).range(1..=6))]
    jobs: Option<u8>,
    /// Memory limit of the throwaway server
    #[arg(long, value_name = "SIZE", requires = "restore", default_value = "2g", value_parser = crate::config::memory)]
    memory: u64,
    /// CPU limit of the throwaway server: 1.5; usually half of the processors
    #[arg(long, value_name = "N", requires = "restore", value_parser = crate::config::cpus)]
    cpus: Option<f64>,
}

/// Depth of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Depth {
    Quick,
    Structure,
    Restore,
}

impl Depth {
    /// Returns the depth that `backup.schedule.verify` means; `None` for `off`.
    pub(super) fn of_schedule(value: &str) -> Option<Self> {
        match value {
            "off" => None,
            "quick" => Some(Self::Quick),
            "restore" => Some(Self::Restore),
            _ => Some(Self::Structure),
        }
    }
}

/// Memory limit of the throwaway server, where no option says another.
const MEMORY: u64 = 2 << 30;

/// Verifies a backup that was just made, and returns the level in its manifest. Without an identity the bytes of an
/// encrypted one are compared with their hash, and no more.
///
/// # Errors
/// Kind `Integrity`: the backup failed. `Unverified`: it could not be verified.
pub(super) async fn verify_backup(
    ctx: &CommandContext,
    (path, manifest): (&Path, &Manifest),
    depth: Depth,
) -> Result<VerificationLevel> {
    let keyring = keyring(&ctx.settings, None);
    let is_closed = manifest.is_encrypted() && keyring.is_empty();
    let depth = if is_closed { Depth::Quick } else { depth };
    let verifier = Verifier {
        ctx,
        depth,
        keys: ctx.manifest_keys(&ctx.settings)?,
        keyring,
        transport_options: TransportArgs::default().options(ctx, &ctx.settings)?,
        limits: ResourceLimits { memory: Some(MEMORY), cpus: Some(half_of_the_processors(ctx)) },
        assertions: Assertions { checks: ctx.settings.verify.checks.clone(), scripts: Vec::new() },
        jobs: None,
        rto: ctx.settings.verify.rto,
    };
    let verified = verifier.verify(&DumpSource::File(path.to_owned())).await;
    ctx.ui.end_progress();
    verified.map(|(level, _)| level)
}

fn half_of_the_processors(ctx: &CommandContext) -> f64 {
    (ctx.threads() as f64 / 2.0).max(1.0)
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
    keyring: Keyring,
    transport_options: TransportOptions,
    /// Limits of the throwaway server.
    limits: ResourceLimits,
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
    failures.map_or(Ok(()), |error| Err(error.answered()))
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
    let catalog = find_catalog::select_backups(ctx).await?.catalog;
    let chosen = select(args, &catalog.list()?, ctx.now());
    if chosen.is_empty() {
        return Err(nothing(&catalog));
    }
    Ok(chosen.into_iter().map(DumpSource::File).collect())
}

/// Fetches a backup of a store into a private directory.
async fn fetch(asked: &Path, url: &StoreUrl, ctx: &CommandContext) -> Result<PrivateCopy> {
    let selected = find_catalog::select_backups(ctx).await?;
    let backups = selected.in_store(ctx.open_store(&ctx.settings, url, Patience::Long).await?);
    let fetching = async {
        let remote = if asked.as_os_str() == "latest" {
            let target = show::target(ctx, &selected).await?;
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
    next(wanted).into_iter().collect()
}

/// Selects the backup whose last restore test is the longest ago, tried or done. One without a manifest that can be read
/// has its turn too: it fails, which has to be told.
fn next<'a>(backups: impl Iterator<Item = &'a Backup>) -> Option<PathBuf> {
    let whole = backups.filter(|backup| backup.manifest.as_ref().map_or(true, |manifest| manifest.whole));
    let tested = |backup: &&Backup| {
        let recorded = backup.manifest.as_ref().ok().and_then(|manifest| manifest.verified.tested_at);
        // One that was never tested comes before all that were.
        (recorded.max(attempt::read(&backup.path)), backup.label)
    };
    whole.min_by_key(tested).map(|backup| backup.path.clone())
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
            keyring: keyring(&ctx.settings, args.identity.as_deref()),
            transport_options: TransportArgs::default().options(ctx, &ctx.settings)?,
            limits: ResourceLimits {
                memory: Some(args.memory),
                cpus: Some(args.cpus.unwrap_or_else(|| half_of_the_processors(ctx))),
            },
            assertions: Assertions { checks: ctx.settings.verify.checks.clone(), scripts: scripts? },
            jobs: args.jobs,
            rto: args.rto.or(ctx.settings.verify.rto),
        })
    }

    /// Verifies one backup and records it in the manifest.
    async fn verify(&self, source: &DumpSource) -> VerifyOutcome {
        let began = self.ctx.now();
        let outcome = Box::pin(self.verify_and_record(source)).await;
        let stopped = outcome.as_ref().is_err_and(|cause| matches!(cause.kind(), ErrorKind::Cancelled(_)));
        if let (Depth::Restore, DumpSource::File(path), false) = (self.depth, source, stopped) {
            self.note_attempt(path, began);
        }
        outcome
    }

    /// Notes a restore test that the manifest does not record: it cannot be read, has the MAC of another key, or the
    /// test could not be made. Else `--next` would take the same backup again and never reach the others.
    fn note_attempt(&self, path: &Path, began: jiff::Timestamp) {
        let manifest = Manifest::of(path).ok().flatten();
        let recorded = manifest.and_then(|manifest| manifest.verified.tested_at);
        if recorded.is_some_and(|at| at >= began) {
            return;
        }
        if let Err(cause) = attempt::write(path, self.ctx.now()) {
            self.ctx.ui.warn(&format!(
                "the test is not recorded, and `--next` takes the same backup again: {}",
                cause.full_message()
            ));
        }
    }

    async fn verify_and_record(&self, source: &DumpSource) -> VerifyOutcome {
        let name = source.name();
        let Some(path) = source.path() else { return Err(error::usage("a pipe cannot be verified")) };
        // A prune beside it has to leave the file, or has removed it by the time the lock is there.
        let wanted = path.to_owned();
        let _reading = self.ctx.cancel.blocking(move || Ok(ReadLock::wait(&wanted))).await?;
        if !path.exists() {
            return Err(Error::new(ErrorKind::Unverified, format!("{name} was removed meanwhile")));
        }
        let (manifest, authenticity) = Manifest::authenticated_of(path, &self.keys)?;
        if authenticity == Authenticity::Unauthenticated(Doubt::Altered) {
            return Err(error::integrity(format!("the manifest of {name} was changed after it was written"))
                .note("nothing that it says about the backup can be trusted")
                .hint("take another: `envctl backup list`"));
        }
        let manifest = manifest.ok_or_else(|| {
            error::integrity(format!("{name} has no manifest"))
                .note("there is nothing to compare it with; it can still be restored")
        })?;
        let operation = self.ctx.operation();
        operation.progress.step(&format!("verifying {name}"));
        let level = manifest.verified.level;
        let manifest = if self.depth == Depth::Quick {
            manifest
        } else {
            let (shown, sealed, keyring) = (name.clone(), manifest.clone(), self.keyring.clone());
            // The command of an identity may wait for somebody.
            match self.ctx.cancel.blocking(move || sealed.open(&shown, &keyring)).await {
                Ok(opened) => opened,
                Err(error) if error.kind() == ErrorKind::Usage => {
                    return Err(self
                        .without_identity(error, &Tested { source, path, manifest: &manifest })
                        .await);
                }
                Err(error) => return Err(error),
            }
        };
        let tested = Tested { source, path, manifest: &manifest };
        let passed = match self.look_into(&tested, authenticity.is_authenticated()).await {
            Ok(None) if self.depth == Depth::Quick => return Ok((level, None)),
            Ok(passed) => passed,
            Err(failed) => {
                if failed.kind() == ErrorKind::Integrity {
                    self.record_failure(&tested)?;
                }
                return Err(failed);
            }
        };
        let reached = match &passed {
            Some(passed) if passed.by_contents => VerificationLevel::Contents,
            Some(_) => VerificationLevel::Restored,
            None => VerificationLevel::Complete,
        };
        let milliseconds = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let restored_in_ms = passed.as_ref().map(|passed| milliseconds(passed.restored_in));
        let now = self.ctx.now();
        let encrypted = manifest.is_encrypted();
        self.record(&tested, |verified| {
            let tested_at = restored_in_ms.map(|_| now).max(verified.tested_at);
            // A lower level says nothing new, and its time would pass for that of the higher one.
            if reached >= verified.level {
                let by = Some(operation.actor);
                let opened_at = verified.opened_at;
                *verified =
                    Verification { level: reached, at: now, by, restored_in_ms, tested_at, opened_at };
            } else {
                verified.tested_at = tested_at;
            }
            if encrypted {
                verified.opened_at = Some(now);
            }
        })?;
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

    /// The error of an encrypted backup that no identity here opens. Damage of its stored bytes is found all the same;
    /// otherwise nothing is known about the backup, good or bad.
    async fn without_identity(&self, error: Error, tested: &Tested<'_>) -> Error {
        let compared = self.stored(tested.path).await;
        match compared.and_then(|stored| tested.manifest.matches(stored, &tested.source.name())) {
            Ok(()) => {
                error.with_kind(ErrorKind::Unverified).note("its stored bytes are those that were written")
            }
            Err(damage) => self.record_failure(tested).err().unwrap_or(damage),
        }
    }

    /// Reads or restores a backup; `trusted` tells that its manifest is authenticated.
    async fn look_into(&self, tested: &Tested<'_>, trusted: bool) -> Result<Option<RestoreTestResult>> {
        match self.depth {
            Depth::Quick => {
                let stored = self.stored(tested.path).await?;
                tested.manifest.matches(stored, &tested.source.name())?;
                Ok(None)
            }
            Depth::Structure => self.read_to_its_end(tested.source, tested.path).await.map(|()| None),
            Depth::Restore => Box::pin(self.restore(tested, trusted)).await.map(Some),
        }
    }

    async fn stored(&self, path: &Path) -> Result<Digest> {
        let (file, cancel) = (path.to_owned(), self.ctx.cancel.clone());
        let stop = cancel.clone();
        cancel.blocking(move || stored_sha256(&file, &stop)).await
    }

    /// Notes a failure in the manifest: damaged bytes verify nothing any more, so that `latest` and `backup prune` no
    /// longer count the backup.
    fn record_failure(&self, tested: &Tested<'_>) -> Result<()> {
        let now = self.ctx.now();
        let damaged = stored_sha256(tested.path, &self.ctx.cancel)? != tested.manifest.stored_sha256;
        let restored = self.depth == Depth::Restore;
        let by = Some(self.ctx.operation().actor);
        self.record(tested, |verified| {
            let tested_at = restored.then_some(now).max(verified.tested_at);
            if damaged {
                let level = VerificationLevel::None;
                let opened_at = verified.opened_at;
                *verified = Verification { level, at: now, by, restored_in_ms: None, tested_at, opened_at };
            }
            verified.tested_at = tested_at;
        })
    }

    /// Changes the verification in the manifest, where that can be done.
    fn record(&self, tested: &Tested<'_>, change: impl FnOnce(&mut Verification)) -> Result<()> {
        let name = tested.source.name();
        if let DumpSource::Copy(_) = tested.source {
            self.ctx.ui.detail(&format!("{name}: a verification is not recorded in a store"));
            return Ok(());
        }
        let key = self.ctx.signing_key(&self.ctx.settings)?;
        if let Some(why) = Manifest::record(tested.path, tested.manifest, change, key.as_ref(), &self.keys)? {
            self.ctx.ui.warn(&format!("{name}: the verification is not recorded: {why}"));
        }
        Ok(())
    }

    /// Unpacks a backup and scans it, whatever its manifest vouches for.
    async fn read_to_its_end(&self, source: &DumpSource, path: &Path) -> Result<()> {
        let operation = self.ctx.operation();
        if is_cluster(path, &self.keyring, &operation.cancel).await? {
            let keys = (&self.keys, &self.keyring);
            let unpacked = unpack(source, None, false, keys, &operation.cancel).await?;
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
            keyring: self.keyring.clone(),
            rules: Rules::default(),
            command: format!("envctl restore {}", quoted(&source.name())),
            options: String::new(),
            database: None,
            into: None,
        }
    }

    async fn restore(&self, tested: &Tested<'_>, trusted: bool) -> Result<RestoreTestResult> {
        let Tested { source, path, manifest } = *tested;
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
        if !is_cluster(path, &self.keyring, &self.ctx.cancel).await? {
            let test = self.restore_test(source, manifest, trusted, &image);
            return self.run_test(test, &image).await;
        }
        let cancel = self.ctx.operation().cancel;
        let keys = (&self.keys, &self.keyring);
        let unpacked = unpack(source, None, false, keys, &cancel).await.map_err(unverified)?;
        let globals = unpacked.roles(&[ThrowawayServer::superuser().to_owned()]);
        let asserted = self.asserted_database(&unpacked.databases);
        let mut sum: Option<RestoreTestResult> = None;
        for database in &unpacked.databases {
            let UnpackedDatabase { name, path, .. } = database;
            let manifest = Manifest::of(path)?;
            let manifest = manifest.ok_or_else(|| error::integrity(format!("{name} has no manifest")))?;
            let source = DumpSource::File(path.clone());
            // The team's assertions are about one database.
            let own = asserted.as_ref() == Some(name);
            let assertions = if own { self.assertions.clone() } else { Assertions::default() };
            let globals = globals.clone();
            let test = self.restore_test(&source, &manifest, trusted, &image);
            let test = RestoreTest { assertions, globals, ..test };
            let one = Box::pin(self.run_test(test, &image)).await;
            let mut one = one.map_err(|cause| cause.context(format!("database {name}")))?;
            for note in &mut one.notes {
                *note = format!("database {name}: {note}");
            }
            one.notes.insert(0, self.told(name, &one, asserted.as_deref()));
            sum = Some(match sum {
                None => one,
                Some(sum) => sum.and(one),
            });
        }
        sum.ok_or_else(|| error::unverified(format!("{} holds no database", source.name())))
    }

    /// Returns the database that the assertions are about: the one that the settings name, else the only one with tables.
    fn asserted_database(&self, databases: &[UnpackedDatabase]) -> Option<String> {
        let settings = &self.ctx.settings;
        let named = settings.database(settings.target.profile.as_deref()).name.clone();
        if named.is_some() {
            return named;
        }
        let holds = |database: &&UnpackedDatabase| {
            Manifest::of(&database.path).is_ok_and(|manifest| manifest.is_some_and(|m| !m.is_empty()))
        };
        let mut full = databases.iter().filter(holds);
        let first = full.next()?;
        full.next().is_none().then(|| first.name.clone())
    }

    /// Tells of one database of several what was compared and what was asserted.
    fn told(&self, name: &str, one: &RestoreTestResult, asserted: Option<&str>) -> String {
        let compared = if one.by_contents { "contents" } else { "numbers of rows" };
        let tables = counted(one.tables as u64, "table", "tables");
        let assertions = match (self.assertions.count(), asserted) {
            (0, _) => String::new(),
            (_, Some(own)) if own == name => {
                format!(", {}", counted(one.assertions as u64, "assertion", "assertions"))
            }
            (_, Some(other)) => format!(", no assertion: those are about {other}"),
            (_, None) => ", no assertion: name their database with `-d NAME`".to_owned(),
        };
        format!("database {name}: roles made, {compared} of {tables} compared{assertions}")
    }

    fn restore_test(
        &self,
        source: &DumpSource,
        manifest: &Manifest,
        trusted: bool,
        image: &RestoreImage,
    ) -> RestoreTest {
        const FOR_EVER: Duration = Duration::from_hours(24 * 365 * 30);
        RestoreTest {
            operation: self.ctx.operation(),
            source: source.clone(),
            manifest: manifest.clone(),
            trusted,
            input: self.input(source),
            image: image.name.clone(),
            limits: self.limits,
            threads: self.ctx.threads(),
            jobs: self.jobs,
            transport_options: self.transport_options.clone(),
            assertions: self.assertions.clone(),
            globals: Roles::default(),
            stall_limit: self.ctx.settings.timeouts.stall.unwrap_or(FOR_EVER),
        }
    }

    async fn run_test(&self, test: RestoreTest, image: &RestoreImage) -> Result<RestoreTestResult> {
        let mut passed = test.run(&self.ctx.daemon()?.engine).await?;
        passed.notes.extend(image.note.clone());
        Ok(passed)
    }
}

/// A backup and its manifest, as they were when its verification began.
struct Tested<'a> {
    source: &'a DumpSource,
    path: &'a Path,
    manifest: &'a Manifest,
}

/// One outcome of a verification.
type VerifyOutcome = Result<(VerificationLevel, Option<RestoreTestResult>)>;

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
            let notes = error["note"].as_str().unwrap_or_default().lines();
            let notes = notes.fold(String::new(), |text, note| text + &format!("  note: {}\n", escape(note)));
            format!("{path}: {}: {}\n{notes}", error["code"].as_str().unwrap_or_default(), escape(message))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::repository::manifest::tests::sample;
    use crate::repository::name::Label;

    #[test]
    fn a_nightly_job_takes_every_backup_in_turn() {
        let home = tempfile::tempdir().unwrap();
        let backup = |day: u8, manifest: std::result::Result<Manifest, String>| {
            let label: Label = format!("backup_202601{day:02}_020000").parse().unwrap();
            let path = home.path().join(label.file_name(".sql.gz"));
            Backup { path, label, stored_bytes: 10, manifest, pin: None }
        };
        let at = |second| jiff::Timestamp::from_second(second).unwrap();
        let tested = |second| {
            let mut manifest = sample();
            manifest.verified.tested_at = Some(at(second));
            Ok(manifest)
        };
        let backups = [
            backup(5, Ok(Manifest { whole: false, ..sample() })),
            backup(4, tested(100)),
            backup(3, Err("no manifest".to_owned())),
            // Signed with another key: nothing is recorded in it.
            backup(2, Ok(sample())),
            backup(1, tested(50)),
        ];
        let mut taken = Vec::new();
        for night in 200..204 {
            let path = next(backups.iter()).unwrap();
            attempt::write(&path, at(night)).unwrap();
            taken.push(backups.iter().find(|backup| backup.path == path).unwrap().label.to_string());
        }
        let days: Vec<&str> = taken.iter().map(|label| &label[13..15]).collect();
        assert_eq!(days, ["02", "03", "01", "04"], "each whole one, those without any test first");
    }
}
