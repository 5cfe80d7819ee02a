//! Source of a restore: a file or a pipe, identified by its content and verified before it is trusted.
//!
//! Promises: a file is read to its end before the server hears of it: hashed, where a manifest of ours knows the
//! rest, else unpacked and scanned; with a manifest its hash and its row counts have to agree; a file of others
//! needs pg_dump's own trailer.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::open_dump::{self, OpenDump};
use super::piped_dump::{self, PipedDump, PrivateCopy};
use crate::cancel::CancelToken;
use crate::codec::age::{EncryptedFor, Keyring, is_encrypted};
use crate::codec::{BLOCK, DecompressReader, Digest, Hasher, Hashing};
use crate::dump::archive::CustomStream;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::dump::sql::{
    Completeness, Finding, FindingKind, LeftOut, MOST_GLOBALS, NO_TRAILER, Rules, SpecialStatements,
    SqlToken, SqlTokens, Summary, qualified_name,
};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::atomic_file::home_of;
use crate::postgres::version::ServerVersion;
use crate::progress::{Event, Progress};
use crate::repository::authenticity::{Authenticity, ManifestKeys, allowed};
use crate::repository::manifest::{Manifest, VerificationLevel};
use crate::repository::manifest_comparison::{ManifestComparison, compare};
use crate::restore::all_databases::{Roles, roles_of};
use crate::restore::filtered_dump::FilteredDump;
use crate::sync::lock;
use crate::text::encoding::Text;
use crate::text::shell_word::quoted;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DumpSource {
    File(PathBuf),
    /// Our stdin: it can be read once, so it is verified after the load and before the swap.
    Stdin(PipedDump),
    /// Private file with a copy of our stdin, or of a backup in a store.
    Copy(PrivateCopy),
}

impl DumpSource {
    /// Returns the name for messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Stdin(_) => piped_dump::STDIN.to_owned(),
            Self::Copy(copy) => copy.name().to_owned(),
        }
    }

    /// Returns the file to read, where it is one.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Copy(copy) => Some(copy.path()),
            Self::Stdin(_) => None,
        }
    }

    /// Returns the directory for other files of its size, where it is a file.
    ///
    /// # Errors
    /// The working directory is gone.
    pub(crate) fn home(&self) -> Result<Option<PathBuf>> {
        match self {
            Self::File(path) => home_of(path).map(Some),
            Self::Copy(copy) => Ok(Some(copy.home().to_owned())),
            Self::Stdin(_) => Ok(None),
        }
    }

    /// Opens it, unpacking on so many threads; also what it is. A directory or tar archive comes as a custom one.
    ///
    /// # Errors
    /// Kind `Usage`: no such file. `Integrity`, `Refused`: not a dump that can be restored.
    pub(crate) fn open(
        &self,
        threads: usize,
        rules: &Rules,
        keyring: &Keyring,
    ) -> Result<(Format, DecompressReader)> {
        let open_path = |path: &Path| {
            let reader: Box<dyn Read + Send> = if is_archive_of_files(path)? {
                Box::new(CustomStream::open(path)?)
            } else {
                Box::new(open_file(path)?)
            };
            let what = EncryptedFor { name: self.name(), recipients: Vec::new() };
            open_dump::open(reader, &what, threads, rules.skip_leading_text, keyring)
        };
        let dump = match self {
            Self::Stdin(pipe) => pipe.take()?,
            Self::File(path) => open_path(path)?,
            Self::Copy(copy) => open_path(copy.path())?,
        };
        Ok((dump.format, dump.decompressor))
    }
}

/// Reports whether the path is a directory or a tar, whose entries are read out of order.
fn is_archive_of_files(path: &Path) -> Result<bool> {
    if path.is_dir() {
        return Ok(true);
    }
    let mut head = Vec::new();
    let read = open_file(path)?.take(512).read_to_end(&mut head);
    read.map_err(|e| error::failed(format!("cannot read {}", path.display())).because(e))?;
    Ok(head.get(257..262) == Some(b"ustar"))
}

/// Reports whether a file is encrypted. Returns false for an unreadable file, because the next reader of the file
/// reports the error.
pub(crate) fn is_encrypted_file(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(64).read_to_end(&mut head));
    read.is_ok() && is_encrypted(&head)
}

/// SHA-256 of a file as it is now.
///
/// # Errors
/// Kind `Usage`: the file cannot be opened. `Failed`: reading the file fails.
pub(crate) fn stored_sha256(path: &Path, cancel: &CancelToken) -> Result<Digest> {
    Ok(hash(path, cancel)?.finish())
}

fn hash(path: &Path, cancel: &CancelToken) -> Result<Hasher> {
    let mut file = Hashing::new(cancel.cancellable(open_file(path)?));
    let mut block = vec![0; BLOCK];
    loop {
        let read = file.read(&mut block);
        if read.as_ref().is_err_and(|cause| cause.kind() == std::io::ErrorKind::Interrupted) {
            continue;
        }
        if read.map_err(|e| error::failed(format!("cannot read {}", path.display())).because(e))? == 0 {
            return Ok(file.into_parts().1);
        }
    }
}

pub(crate) fn open_file(path: &Path) -> Result<File> {
    File::open(path).map_err(|e| {
        error::usage(format!("cannot read {}", path.display()))
            .because(e)
            .hint("see those that are there: `envctl backup list`")
    })
}

/// Result of reading a dump to its end.
#[derive(Clone, Debug)]
pub(crate) struct ExaminedDump {
    pub(crate) format: Format,
    /// Summary of the dump, from the scanner.
    pub(crate) summary: Summary,
    /// Hash of the SQL, before any rule.
    pub sha256: Digest,
    /// Count of the statements that the rules left out.
    pub(crate) left_out: LeftOut,
    /// Changes made to the bytes of the file before the scan, for the plan.
    pub(crate) notes: Vec<String>,
    /// The stored file is what `pg_restore` reads by itself: not packed, converted or with text in front.
    pub(crate) as_stored: bool,
    /// The manifest, where there is one and it agrees. It describes the file; only an authenticated one vouches for it.
    pub(crate) manifest: Option<Manifest>,
    /// Authenticity of that manifest.
    pub(crate) authenticity: Authenticity,
    /// Statements that make roles, of a file that holds them. Password hashes are in it: for nobody's eyes.
    pub(crate) globals: Globals,
    /// The database that was taken out of several, or out of its CREATE DATABASE.
    pub(crate) taken: Option<String>,
}

impl ExaminedDump {
    /// Returns the database that the dump is of, by the file itself or by its manifest.
    pub(crate) fn of_database(&self) -> Option<&str> {
        self.taken.as_deref().or_else(|| Some(self.manifest.as_ref()?.database.as_str()))
    }

    /// Describes a file that is, to the last bit, the one that an authenticated manifest was written with.
    fn of_manifest(manifest: Manifest, authenticity: Authenticity, summary: Summary) -> Self {
        Self {
            format: Format::Plain,
            summary,
            sha256: manifest.plain_sha256,
            left_out: LeftOut::default(),
            notes: Vec::new(),
            as_stored: true,
            manifest: Some(manifest),
            authenticity,
            globals: Globals::default(),
            taken: None,
        }
    }

    /// Takes the roles out of what the dump needs that the file itself can make on a server that has `existing`.
    pub(crate) fn take_roles(&mut self, existing: &[String], trust: bool) -> Roles {
        let roles = roles_of(&self.globals.0, existing, &self.summary.roles, trust);
        self.summary.roles.retain(|role| !roles.missing.contains(role));
        roles
    }
}

/// Statements that make roles.
#[derive(Clone, Default)]
pub(crate) struct Globals(pub(crate) String);

impl Globals {
    /// Reports that the file makes no roles.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Globals {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Globals({} bytes)", self.0.len())
    }
}

/// Options of a restore that decide how its file is read.
#[derive(Clone, Debug)]
pub(crate) struct InputOptions {
    /// `--trust`.
    pub(crate) trust: bool,
    /// Keys that authenticate manifests.
    pub(crate) keys: ManifestKeys,
    /// Identities that open what is encrypted.
    pub(crate) keyring: Keyring,
    /// Statements that are left out or changed.
    pub(crate) rules: Rules,
    /// The command as it was typed, for a hint that adds to it.
    pub(crate) command: String,
    /// Options of that command.
    pub(crate) options: String,
    /// `-d`: the database that is meant where the file holds several.
    pub(crate) database: Option<String>,
    /// `--into`: the database that is restored, whatever the part of the file is called.
    pub(crate) into: Option<String>,
}

/// Says whether a file may be restored: by its authenticated manifest where the file is still what that was written
/// for, else read to its end and scanned.
///
/// # Errors
/// Kind `Integrity`: truncated, damaged, not what its manifest says. `Refused`: it would run code or
/// leave its database, and nobody vouches for it. `Cancelled`.
pub(crate) async fn examine(
    source: &DumpSource,
    asked: &InputOptions,
    threads: usize,
    progress: &Arc<dyn Progress>,
    cancel: &CancelToken,
) -> Result<ExaminedDump> {
    let (source, progress, stop) = (source.clone(), progress.clone(), cancel.clone());
    let asked = asked.clone();
    let read = move || {
        let path = source.path().ok_or_else(|| error::failed("a pipe is not read before its load"))?;
        let name = source.name();
        read_to_its_end((path, &name), &asked, threads, &progress, &stop)
            .map_err(|error| error.map_hints(|hint| asked.complete(hint, &name)))
    };
    cancel.blocking(read).await
}

impl InputOptions {
    /// Adds the options of the command to a hint that repeats it without them: the same file into another database is
    /// another restore.
    pub(crate) fn complete(&self, hint: &str, name: &str) -> String {
        let file = quoted(name);
        let option = " --skip-leading-text`";
        hint.replace("envctl restore -`", &format!("envctl restore -{}`", self.options))
            .replace(&format!("`envctl restore {file}{option}"), &format!("`{}{option}", self.command))
    }
}

fn read_to_its_end(
    (path, name): (&Path, &str),
    asked: &InputOptions,
    threads: usize,
    progress: &Arc<dyn Progress>,
    cancel: &CancelToken,
) -> Result<ExaminedDump> {
    let InputOptions { trust, keys, keyring, rules, command, .. } = asked;
    let (manifest, authenticity) = Manifest::authenticated_of(path, keys)?;
    let manifest = manifest.map(|manifest| manifest.open(name, keyring)).transpose()?;
    let recipients = manifest.iter().filter_map(|manifest| manifest.encryption.as_ref());
    let recipients = recipients.flat_map(|encryption| encryption.recipients.clone()).collect();
    let what = EncryptedFor { name: name.to_owned(), recipients };
    // A manifest knows the dump as it is, not as the rules make it.
    if let Some(manifest) = manifest.as_ref().filter(|_| authenticity.is_authenticated() && rules.is_empty())
        && let Some(summary) = foreknown(path, manifest, cancel)?
    {
        return Ok(ExaminedDump::of_manifest(manifest.clone(), authenticity, summary));
    }
    let mut stored = Arc::default();
    let of_files = is_archive_of_files(path)?;
    let skip = rules.skip_leading_text;
    let opened = if of_files {
        if manifest.is_some() && path.is_file() {
            // Its members are read out of order.
            stored = Arc::new(Mutex::new(hash(path, cancel)?));
        }
        open_dump::open(cancel.cancellable(CustomStream::open(path)?), &what, threads, skip, keyring)?
    } else {
        let file = Hashing::new(cancel.cancellable(open_file(path)?));
        stored = file.hasher();
        let opened = open_dump::open(file, &what, threads, skip, keyring);
        // The same identity has opened the manifest.
        opened
            .map_err(|error| if what.recipients.is_empty() { error } else { not_of_manifest(error, name) })?
    };
    let trailing = opened.trailing();
    let OpenDump { format, decompressor, mut notes, as_stored, was_utf16, .. } = opened;
    let mut scanner = AnyScanner::new(format);
    let mut dump = FilteredDump::new(decompressor, format, rules);
    let total = manifest.as_ref().map(|manifest| manifest.plain_bytes);
    while let Some(block) = dump.next_block().map_err(|e| e.context(name))? {
        scanner.feed(&block);
        dump.recycle(block);
        progress.on(Event::Bytes { done: dump.bytes(), total });
    }
    let mut summary = scanner.finish();
    let globals = Globals(dump.take_globals().ok_or_else(|| too_many_roles(name, command))?);
    let (sha256, left_out) = dump.finish();
    if rules.script {
        summary.completeness = summary.script.clone();
    }
    if let Some(manifest) = &manifest {
        let stored = lock(&stored).clone().finish();
        agree(manifest, &summary, sha256, stored, name)?;
        if rules.is_empty() {
            same_contents(manifest, &summary, name)?;
        }
    }
    notes.extend(OpenDump::trailing_note(&trailing));
    if format != Format::Plain && summary.completeness() != Completeness::Trailer && passed_a_terminal(path) {
        return Err(bent_by_a_terminal(path));
    }
    if was_utf16 && summary.encoding.as_deref().is_some_and(|name| name != "UTF8") {
        return Err(error::refused(format!(
            "{name} is text in UTF-16, but says that it is in {}: its characters cannot be trusted",
            summary.encoding.as_deref().unwrap_or_default()
        ))
        .hint("make the dump again without a shell in between: `pg_dump -f FILE`"));
    }
    whole(&summary, &authenticity, name).map_err(|error| as_script(error, &summary, format, command))?;
    if rules.database.is_none() && !summary.notes.databases.is_empty() && !summary.notes.astray {
        // The whole file has its end: now the part of one database, which has its own.
        let chosen = choose(&summary, asked, name)?;
        let asked =
            InputOptions { rules: Rules { database: Some(chosen), ..rules.clone() }, ..asked.clone() };
        let mut part = read_to_its_end((path, name), &asked, threads, progress, cancel)?;
        part.summary.server_version = part.summary.server_version.or(summary.server_version);
        part.summary.pg_dump_version = part.summary.pg_dump_version.or(summary.pg_dump_version);
        return Ok(part);
    }
    permitted(&summary, &authenticity, *trust, name)
        .map_err(|error| way_through(error, &summary, command))?;
    let as_stored = as_stored || of_files;
    let taken = rules.database.clone();
    Ok(ExaminedDump {
        format,
        summary,
        sha256,
        left_out,
        notes,
        as_stored,
        manifest,
        authenticity,
        globals,
        taken,
    })
}

/// The error of an encrypted file that the identity of its manifest does not open.
fn not_of_manifest(error: Error, name: &str) -> Error {
    if error.kind() != ErrorKind::Usage {
        return error;
    }
    error::integrity(format!("{name} is damaged: the identity opens its manifest and not the file"))
        .note("the file was damaged or replaced after it was made")
        .hint("take another: `envctl backup list`")
}

fn too_many_roles(name: &str, command: &str) -> Error {
    error::refused(format!("the statements of {name} that make roles take more than {} MiB", MOST_GLOBALS >> 20))
        .hint(format!("restore it without owners and rights, which needs none of them: `{command} --no-owner --no-privileges`"))
}

/// Bytes in which the marks of a terminal are looked for.
const TERMINAL_LOOK: u64 = 1 << 20;

/// Reports whether every line feed of a file comes behind a carriage return: a terminal has been at it (`docker exec
/// -t`).
fn passed_a_terminal(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(TERMINAL_LOOK).read_to_end(&mut head));
    let mut feeds = memchr::memchr_iter(b'\n', &head).peekable();
    read.is_ok() && feeds.peek().is_some() && feeds.all(|at| at > 0 && head[at - 1] == b'\r')
}

fn bent_by_a_terminal(path: &Path) -> Error {
    let name = crate::text::shell_word::shell_word(&path.display().to_string());
    error::integrity(format!(
        "{} was written through a terminal (`docker exec -t`), which has put a carriage return before every line feed",
        path.display()
    ))
    .hint(format!("undo that: `perl -pe 's/\\r\\n/\\n/' {name} | envctl restore -`"))
    .hint("make the next one without `-t`, or by `envctl backup --format custom`")
}

/// Returns the summary in the manifest, if the file is exactly the one that the manifest describes.
/// Decompressing the file would give the same summary. Data sent to the server is still scanned, counted and hashed.
fn foreknown(path: &Path, manifest: &Manifest, cancel: &CancelToken) -> Result<Option<Summary>> {
    let Some(hints) = &manifest.restore_hints else { return Ok(None) };
    let verified =
        manifest.verified.level >= VerificationLevel::Complete && manifest.format == Format::Plain.keyword();
    let same_size = path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == manifest.stored_bytes);
    if !verified || !same_size || stored_sha256(path, cancel)? != manifest.stored_sha256 {
        return Ok(None);
    }
    if manifest.tables.iter().any(|table| table.data.is_none()) {
        return Ok(None);
    }
    // Rows alone go into tables that have to be found; pg_dump up to 10.2 names their schema in the search path alone.
    if !manifest.whole && manifest.tables.iter().any(|table| !has_schema(&table.table)) {
        return Ok(None);
    }
    let made_by =
        manifest.pg_dump_version.as_deref().and_then(ServerVersion::parse).map(|version| version.major());
    Ok(Some(Summary {
        completeness: Completeness::Trailer,
        script: Completeness::Trailer,
        of_pg_dump: true,
        bytes: manifest.plain_bytes,
        lines: 0,
        statements: 0,
        bom: false,
        cluster: false,
        server_version: Some(manifest.server_version.clone()),
        pg_dump_version: manifest.pg_dump_version.clone(),
        restrict_key: hints.restrict.then(String::new),
        encoding: hints.encoding.clone(),
        text: hints.text.unwrap_or(Text::Bytes),
        copies: manifest.tables.clone(),
        entries: manifest.entries.clone(),
        overflow: false,
        extensions: manifest.extensions.clone(),
        extension_places: Vec::new(),
        roles: manifest.roles.clone(),
        tablespaces: hints.tablespaces.clone(),
        notes: SpecialStatements::of_pg_dump(made_by),
        findings: Vec::new(),
        findings_left_out: 0,
    }))
}

/// Reports whether a table's name, as SQL, has a schema in front.
fn has_schema(table: &str) -> bool {
    let tokens: Vec<SqlToken<'_>> = SqlTokens::of(table).collect();
    qualified_name(&tokens) == Some(3)
}

/// The manifest's word against the file's.
fn agree(manifest: &Manifest, summary: &Summary, sha256: Digest, stored: Digest, name: &str) -> Result<()> {
    if manifest.plain_sha256 != sha256 {
        return Err(error::integrity(format!(
            "{name} is not what its manifest says: SHA-256 {sha256} instead of {} (over {} instead of {} bytes)",
            manifest.plain_sha256, summary.bytes, manifest.plain_bytes
        ))
        .note("the file was damaged or replaced after it was made").hint("take another: `envctl backup list`"));
    }
    if manifest.stored_sha256 != stored {
        return Err(error::integrity(format!(
            "the file {name} is not the one its manifest is of: SHA-256 {stored} instead of {}",
            manifest.stored_sha256
        ))
        .note("the file was damaged or replaced after it was made")
        .hint("take another: `envctl backup list`"));
    }
    let counted = summary.copies.iter().map(|c| (c.table.as_str(), c.rows));
    let stated = manifest.tables.iter().map(|t| (t.table.as_str(), t.rows));
    if !counted.eq(stated) {
        return Err(error::integrity(format!(
            "the row counts in the manifest of {name} are not those of the file"
        ))
        .note("the manifest was edited; without it the file is checked by its own structure"));
    }
    Ok(())
}

/// The manifest's word against contents that no rule has changed.
fn same_contents(manifest: &Manifest, summary: &Summary, name: &str) -> Result<()> {
    // The bytes are the same, so that not even a definition may read otherwise.
    let ManifestComparison { differences, notes, .. } = compare(manifest, summary);
    match differences.into_iter().chain(notes).next() {
        None => Ok(()),
        Some(first) => Err(error::integrity(format!("the manifest of {name} is not of this file: {first}"))
            .note("the manifest was edited; without it the file is checked by its own structure")),
    }
}

/// Checks that the end of the dump is present.
pub(crate) fn whole(summary: &Summary, authenticity: &Authenticity, name: &str) -> Result<()> {
    match summary.completeness() {
        Completeness::Trailer => Ok(()),
        Completeness::Missing(why) => {
            let error = error::integrity(format!("{name} is incomplete: {why}"));
            Err(if *authenticity == Authenticity::NoManifest {
                error.note("a plain dump ends with `-- PostgreSQL database dump complete`, an archive with the data of its last table").note("nothing was swapped in")
                    .hint("take another copy of the file, or make the dump again")
            } else {
                error.hint("take another backup: `envctl backup list`")
            })
        }
    }
}

/// Checks that the findings allow the dump to be sent. A dump that leads to another database is always refused.
///
/// # Errors
/// Kind `Refused`, listing the places.
pub(crate) fn permitted(
    summary: &Summary,
    authenticity: &Authenticity,
    trust: bool,
    name: &str,
) -> Result<()> {
    let stops: Vec<&Finding> =
        summary.refusals().filter(|finding| !allowed(finding.kind, authenticity, trust)).collect();
    let Some(first) = stops.first() else { return Ok(()) };
    let mut message = format!("{name} {}", first.kind.describe());
    for finding in stops.iter().take(8) {
        message.push_str(&format!("\n  line {}: {}", finding.line, finding.excerpt));
    }
    if stops.len() > 8 {
        message.push_str(&format!("\n  and {} more", stops.len() - 8));
    }
    if let Some(doubt) = authenticity.doubt() {
        message.push_str(&format!("\n  and {doubt}"));
    }
    let error = error::refused(message);
    Err(if first.kind.leaves_database() {
        error
            .note("it was made with `pg_dump -C` or `pg_dumpall`")
            .hint("dump one database without `-C` and restore that")
    } else {
        error.hint("add `--trust` if you know where the file comes from")
    })
}

/// Chooses the database that is taken out of a file that holds several, or one with its CREATE DATABASE.
fn choose(summary: &Summary, asked: &InputOptions, name: &str) -> Result<String> {
    let databases: Vec<_> = summary.notes.databases.iter().filter(|database| database.connected).collect();
    let filled: Vec<_> = databases.iter().copied().filter(|database| database.filled).collect();
    let names =
        || databases.iter().map(|database| format!("{:?}", database.name)).collect::<Vec<_>>().join(", ");
    let mut error = match (&asked.database, filled.as_slice(), databases.as_slice()) {
        (Some(named), _, all) if all.iter().any(|database| database.name == *named) => {
            return Ok(named.clone());
        }
        (Some(named), _, _) => {
            error::refused(format!("{name} holds no database {named:?}, only {}", names()))
        }
        (None, [one], _) | (None, [], [one]) => return Ok(one.name.clone()),
        (None, _, all) => error::refused(format!("{name} holds {} databases: {}", all.len(), names())),
    };
    // The one database of a file is taken without being named: so it may go into another one.
    let [one] = (if filled.is_empty() { &databases } else { &filled }).as_slice() else {
        return Err(filled.iter().take(20).fold(error, |error, database| {
            let value = quoted(&database.name);
            error.hint(format!("restore {:?} alone: `{} -d {value}`", database.name, asked.command))
        }));
    };
    error = match (&asked.database, &asked.into) {
        (_, Some(into)) => error.hint(format!("put {:?} into {into:?}: `{}`", one.name, asked.command)),
        (Some(named), None) => {
            let into = quoted(named);
            error.hint(format!("put {:?} into {named:?}: `{} --into {into}`", one.name, asked.command))
        }
        (None, None) => error,
    };
    Err(error.hint(format!("restore {:?}: `{} -d {}`", one.name, asked.command, quoted(&one.name))))
}

/// Adds the command that takes a text without a trailer.
fn as_script(error: Error, summary: &Summary, format: Format, command: &str) -> Error {
    let ends_well = summary.completeness() == Completeness::Missing(NO_TRAILER.to_owned())
        && summary.script == Completeness::Trailer;
    if !ends_well || format != Format::Plain {
        error
    } else if summary.of_pg_dump {
        error.note("it begins as pg_dump writes it and its end is not there, so tables and rows are probably missing").hint(format!(
            "load it all the same, only if you know that nothing is missing: `{command} --sql-script`"
        ))
    } else {
        error.hint(format!("load a script that no pg_dump wrote: `{command} --sql-script`"))
    }
}

/// Adds the command that leaves out what the dump is refused for, where an option does.
fn way_through(error: Error, summary: &Summary, command: &str) -> Error {
    if summary.refusals().all(|finding| finding.kind == FindingKind::EventTrigger) {
        error.hint(format!("leave event triggers out: `{command} --skip-event-triggers`"))
    } else {
        error
    }
}

/// Returns the hint that writes a pipe to a file and restores that, with every option of the command as it was typed.
pub(crate) fn from_a_file(command: &str) -> String {
    let restore = command.replacen("envctl restore -", "envctl restore dump.sql", 1);
    format!("write it to a file and restore that: `cat > dump.sql`, then `{restore}`")
}

/// The error of a dump that changed between the look and the load.
pub(crate) fn changed(name: &str) -> Error {
    error::integrity(format!("{name} changed while it was being restored; nothing was swapped in"))
        .hint("run the same command again once nobody writes to it")
}
