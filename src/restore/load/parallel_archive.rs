//! An archive over several sessions: the server's own `pg_restore -j` in a worker, reading the file itself.
//!
//! Promises: only an archive that was read to its end and judged before; success is pg_restore's exit code as the engine
//! reports it, then every relation and every row count as the server answers, and a file that is still the same.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use crate::cancel::CancelToken;
use crate::codec::Digest;
use crate::codec::age::Keyring;
use crate::docker::worker::WorkerError;
use crate::dump::archive::ListFilter;
use crate::dump::archive::files::Members;
use crate::dump::format::Format;
use crate::dump::sql::{Rules, Summary};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::private_dir::PrivateDir;
use crate::operation::Operation;
use crate::postgres::Access;
use crate::postgres::tools::load_runner::{ArchiveLoad, LoadRunner};
use crate::postgres::tools::pg_restore;
use crate::postgres::tools::statement_error::LoadFailure;
use crate::progress::Event;
use crate::restore::examine::{DumpSource, ExaminedDump, changed, stored_sha256};
use crate::restore::load::archive::{check, refused};
use crate::sync::lock;

/// Entries of an archive that the rules of a restore leave, and statements for later.
#[derive(Default)]
struct Filtered {
    /// The entries that are restored; none where every entry is.
    list: Option<String>,
    /// Owners and rights that are set later.
    deferred: Vec<String>,
    /// Options of `pg_restore` that leave out what is set later, or not at all.
    options: &'static [&'static str],
    /// Reports that a part of an entry is left out or changed, which no list tells.
    partial: bool,
}

/// Remainder of a load that came to its end.
pub(crate) struct LoadRemainder {
    /// Notes of the comparison with the dump.
    pub(crate) notes: Vec<String>,
    /// Statements about owners and privileges that are still to be run.
    pub(crate) deferred: Vec<String>,
}

/// An examined archive, and how many sessions load it.
#[derive(Debug)]
pub(crate) struct ParallelArchive {
    path: PathBuf,
    jobs: u8,
    summary: Summary,
    stored: Option<Digest>,
    /// Private directory that a tar is unpacked into for `pg_restore`, removed when this value is dropped.
    unpacked: Mutex<Option<PrivateDir>>,
}

impl ParallelArchive {
    /// Shares an archive out, or says why one session has to do.
    ///
    /// # Errors
    /// The file cannot be read any more.
    pub(crate) async fn of(
        path: &Path,
        examined: &ExaminedDump,
        jobs: u8,
        cancel: &CancelToken,
    ) -> Result<std::result::Result<Self, &'static str>> {
        if examined.format == Format::Plain {
            return Ok(Err("it is no archive"));
        }
        if !examined.as_stored {
            return Ok(Err("pg_restore cannot read the file as it is"));
        }
        let absolute = std::path::absolute(path)
            .map_err(|e| error::failed(format!("cannot resolve {}", path.display())).because(e))?;
        let stored = match &examined.manifest {
            Some(manifest) => Some(manifest.stored_sha256),
            // A directory has no bytes of its own; its tables are counted all the same.
            None if path.is_dir() => None,
            None => Some(hash(path, cancel).await?),
        };
        let summary = examined.summary.clone();
        Ok(Ok(Self { path: absolute, jobs, summary, stored, unpacked: Mutex::default() }))
    }

    /// Returns the number of load sessions.
    pub(crate) fn jobs(&self) -> u8 {
        self.jobs
    }

    /// Everything that is known of it.
    pub(crate) fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Loads into `access.database` over `jobs` sessions by these rules; `None` where no worker can serve, with the reason
    /// told.
    ///
    /// # Errors
    /// Errors of a load with one session, see [`crate::restore::load::archive`].
    pub(crate) async fn load(
        &self,
        loaders: &LoadRunner<'_>,
        access: &Access,
        rules: &Rules,
        jobs: u8,
    ) -> Result<Option<LoadRemainder>, LoadFailure> {
        let Operation { cancel, progress, .. } = loaders.operation();
        let aside = |why: &dyn std::fmt::Display| {
            let loads = "one session loads it through the daemon";
            progress.on(Event::Detail(format!("ignoring -j {jobs}, {loads}: {why}")));
        };
        let archive = match self.readable(cancel).await {
            Ok(path) => path,
            Err(error) if loaders.needs_worker() || matches!(error.kind(), ErrorKind::Cancelled(_)) => {
                return Err(error.into());
            }
            Err(error) => {
                aside(&error.full_message());
                return Ok(None);
            }
        };
        let Filtered { list, deferred, options, partial } = self.filtered(rules, cancel).await?;
        if partial && loaders.needs_worker() {
            return Err(error::refused(format!(
                "a worker's pg_restore reads {} itself, and parts of its statements have to be changed",
                self.path.display()
            ))
            .hint("let it pass through envctl: `--transport exec`")
            .into());
        }
        if partial {
            let why = "parts of its statements are changed";
            progress.on(Event::Warning(format!("ignoring -j {jobs}, one session loads it: {why}")));
            return Ok(None);
        }
        let over = if jobs == 1 { "one session".to_owned() } else { format!("{jobs} sessions") };
        progress.step(&format!("loading {} by pg_restore over {over}", self.path.display()));
        let archive = ArchiveLoad { path: &archive, list: list.as_deref(), options, jobs };
        let end = match loaders.pg_restore(access, archive).await {
            Ok(end) => end,
            Err(WorkerError::Failed(error)) => return Err(error.into()),
            Err(WorkerError::Unfit(unfit)) if loaders.needs_worker() => return Err(Error::from(unfit).into()),
            Err(WorkerError::Unfit(unfit)) => {
                aside(&unfit);
                return Ok(None);
            }
        };
        let name = self.path.display().to_string();
        if end.exit_code != 0 {
            return Err(refused(&end.stderr, Some(end.exit_code), &name));
        }
        progress.step("counting what was loaded");
        let notes = check(loaders.container(), access, loaders.application(), &self.summary).await?;
        let remainder = LoadRemainder { notes, deferred };
        let Some(stored) = self.stored else { return Ok(Some(remainder)) };
        if hash(&self.path, cancel).await? == stored {
            Ok(Some(remainder))
        } else {
            Err(changed(&name).into())
        }
    }

    /// Returns the list of the entries that are restored by these rules, and what is left for later.
    async fn filtered(&self, rules: &Rules, cancel: &CancelToken) -> Result<Filtered> {
        if !touches_archive(rules) {
            return Ok(Filtered::default());
        }
        let (path, rules, mut filter) = (self.path.clone(), rules.clone(), ListFilter::new(rules.clone()));
        let reading = move || {
            let (_, mut decompressor) = DumpSource::File(path).open(1, &rules, &Keyring::default())?;
            while !filter.is_done() {
                let Some(block) = decompressor.next_block()? else { break };
                filter.feed(block);
            }
            filter.check_owners()?;
            let options = match (&rules.apart, rules.no_owner) {
                (Some(_), _) => pg_restore::WITHOUT_OWNERS_AND_RIGHTS,
                (None, true) => pg_restore::WITHOUT_OWNERS,
                (None, false) => &[],
            };
            let (list, partial) = (Some(filter.list()), filter.is_partial());
            Ok(Filtered { list, deferred: filter.finish().1.deferred, options, partial })
        };
        cancel.blocking(reading).await
    }

    /// Returns a path that `pg_restore` can read: the file, the directory, or a directory with the tar's files.
    async fn readable(&self, cancel: &CancelToken) -> Result<PathBuf> {
        let (path, stop) = (self.path.clone(), cancel.clone());
        let unpacking = move || {
            let Ok(members @ Members::Tar { .. }) = Members::open(&path) else { return Ok(None) };
            let cannot = |e| error::failed("the tar cannot be unpacked beside itself").because(e);
            let private_dir = PrivateDir::make(path.parent().unwrap_or(Path::new("/"))).map_err(cannot)?;
            let directory = private_dir.directory("archive").map_err(cannot)?;
            members.unpack(&directory, &stop).map_err(cannot)?;
            Ok(Some((private_dir, directory)))
        };
        let Some((private_dir, directory)) = cancel.blocking(unpacking).await? else {
            return Ok(self.path.clone());
        };
        *lock(&self.unpacked) = Some(private_dir);
        Ok(directory)
    }
}

/// Reports that the rules may leave out or change something in an archive: psql's own commands are in none.
fn touches_archive(rules: &Rules) -> bool {
    !Rules { restricted: false, ..rules.clone() }.is_empty()
}

async fn hash(path: &Path, cancel: &CancelToken) -> Result<Digest> {
    let (path, stop) = (path.to_owned(), cancel.clone());
    cancel.blocking(move || stored_sha256(&path, &stop)).await
}
