//! Reading a backup of all databases: checked against its manifest, then unpacked beside itself for the restore.
//!
//! Promises: only plain files under the names that such a tar has are written, into a directory of our own, so that no
//! link, device, `..` or absolute name of a hostile tar leads anywhere; what is cut is refused; the files go with the value.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::globals::{self, Roles};

use crate::cancel::CancelToken;
use crate::codec::age::{EncryptedFor, Keyring};
use crate::codec::{BLOCK, DecompressReader};
use crate::databases::properties::Properties;
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::error::{self, Error, Result};
use crate::fsutil::atomic_file::write_failure;
use crate::fsutil::private_dir;
use crate::fsutil::private_dir::PrivateDir;
use crate::repository::all_databases_layout::GLOBALS;
use crate::repository::all_databases_layout::PROPERTIES;
use crate::repository::all_databases_layout::{self, DATABASES};
use crate::repository::authenticity::ManifestKeys;
use crate::repository::manifest;
use crate::repository::manifest::Manifest;
use crate::restore::examine::{DumpSource, is_encrypted_file, open_file, stored_sha256};
use crate::restore::open_dump::open_stored;
use crate::text::percent;

#[derive(Clone, Debug)]
pub(crate) struct UnpackedDatabase {
    pub(crate) name: String,
    /// Path of the dump, with the dump's manifest beside it.
    pub(crate) path: PathBuf,
    /// Properties of the database when the backup was made.
    pub(crate) properties: Properties,
}

/// A backup of all databases, unpacked.
pub(crate) struct UnpackedCluster {
    /// Manifest of the backup, where there is one.
    pub(crate) manifest: Option<Manifest>,
    /// Databases of the backup, or only the selected one.
    pub(crate) databases: Vec<UnpackedDatabase>,
    /// Password hashes are in it: for nobody's eyes.
    globals: String,
    /// Private directory with the unpacked files, removed when this value is dropped.
    _private_dir: PrivateDir,
}

impl UnpackedCluster {
    /// Returns which roles to create on a server that has the `existing` roles.
    pub(crate) fn roles(&self, existing: &[String]) -> Roles {
        globals::pick(&self.globals, existing)
    }
}

/// Reports whether a file is a backup of all databases, which is a tar that begins with `globals.sql`.
/// Returns false for an unreadable file, because the next reader of the file reports the error.
///
/// # Errors
/// Kind `Usage`: the file is encrypted, and no identity opens it.
pub(crate) async fn is_cluster(path: &Path, keyring: &Keyring, cancel: &CancelToken) -> Result<bool> {
    if is_encrypted_file(path) {
        // What it says wrongly the next reader finds.
        if let Ok(Some(manifest)) = Manifest::of(path)
            && manifest.is_encrypted()
        {
            return Ok(manifest.is_of_all());
        }
        let (path, keyring) = (path.to_owned(), keyring.clone());
        // The command of an identity may wait for somebody.
        let opening = move || decrypted(&path, &path.display().to_string(), &keyring);
        return Ok(all_databases_layout::begins_one(cancel.blocking(opening).await?.peek()));
    }
    let mut head = Vec::new();
    let read = File::open(path).and_then(|file| file.take(512).read_to_end(&mut head));
    Ok(read.is_ok() && all_databases_layout::begins_one(&head))
}

/// Opens an encrypted file.
fn decrypted(path: &Path, name: &str, keyring: &Keyring) -> Result<DecompressReader> {
    let manifest = Manifest::of(path).ok().flatten();
    let recipients =
        manifest.and_then(|manifest| manifest.encryption).map(|encryption| encryption.recipients);
    let what = EncryptedFor { name: name.to_owned(), recipients: recipients.unwrap_or_default() };
    open_stored(open_file(path)?, &what, 1, keyring).map(|(_, decompressor)| decompressor)
}

/// Checks one and unpacks it beside itself, with all its databases or with `only` one.
///
/// # Errors
/// Kind `Integrity`: truncated, damaged, not what its manifest says. `Refused`: it holds what no such backup does, or
/// nobody vouches for it. `Target`: `only` is not in it. `Failed`: the disk. `Cancelled`.
pub(crate) async fn unpack(
    source: &DumpSource,
    only: Option<&str>,
    trust: bool,
    (keys, keyring): (&ManifestKeys, &Keyring),
    cancel: &CancelToken,
) -> Result<UnpackedCluster> {
    let (source, only, stop) = (source.clone(), only.map(str::to_owned), cancel.clone());
    let (keys, keyring) = (keys.clone(), keyring.clone());
    cancel.blocking(move || take_apart(&source, only.as_deref(), (trust, &keys, &keyring), &stop)).await
}

fn take_apart(
    source: &DumpSource,
    only: Option<&str>,
    (trust, keys, keyring): (bool, &ManifestKeys, &Keyring),
    cancel: &CancelToken,
) -> Result<UnpackedCluster> {
    let (path, shown) = (source.path().unwrap_or(Path::new("")), source.name());
    let (manifest, authenticity) = Manifest::authenticated_of(path, keys)?;
    let manifest = manifest.map(|manifest| manifest.open(&shown, keyring)).transpose()?;
    if let Some(manifest) = &manifest {
        let now = stored_sha256(path, cancel)?;
        manifest.matches(now, &shown)?;
    }
    // Before a byte of it is unpacked: what nobody vouches for may fill a disk.
    if !authenticity.is_authenticated() && !trust {
        let why = authenticity.doubt().unwrap_or_else(|| "it has no manifest".to_owned());
        return Err(error::refused(format!(
            "{shown}: {why}; the roles it would create were not written by envctl"
        ))
        .hint("add `--trust` if you know where the file comes from"));
    }
    let home = source.home()?.unwrap_or_default();
    private_dir::sweep(&home);
    let cannot = |e: io::Error| {
        error::failed(format!("{shown} cannot be unpacked beside itself"))
            .because(e)
            .note("it needs its own size of disk there")
            .hint("move it to a disk with enough space")
    };
    let private_dir = PrivateDir::make(&home).map_err(cannot)?;
    let place = private_dir.directory("all").map_err(cannot)?;
    fs::create_dir(place.join(DATABASES)).map_err(cannot)?;
    let mut tar = path.to_owned();
    if is_encrypted_file(path) {
        tar = private_dir.directory("decrypted").map_err(cannot)?.join("all.tar");
        let opened = decrypted(path, &shown, keyring)?;
        decrypt(opened, &tar, cancel)?;
    }
    let names = extract(&tar, &place, only, cancel).map_err(|e| e.context(&shown))?;
    if tar != path {
        // It is unpacked; the disk may need the space.
        let _ = fs::remove_file(&tar);
    }
    let databases = databases(&place, &names, only).map_err(|e| e.context(&shown))?;
    let globals = whole_globals(&place).map_err(|e| e.context(&shown))?;
    Ok(UnpackedCluster { manifest, databases, globals, _private_dir: private_dir })
}

/// Writes what is encrypted into a private file.
fn decrypt(mut from: DecompressReader, to: &Path, cancel: &CancelToken) -> Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)
        .map_err(|e| write_failure(to, e))?;
    let mut block = vec![0; BLOCK];
    loop {
        let read = from.read(&mut block).map_err(DecompressReader::failure)?;
        if read == 0 {
            return Ok(());
        }
        cancel.cancellable(&mut file).write_all(&block[..read]).map_err(|e| write_failure(to, e))?;
    }
}

fn incomplete(what: impl std::fmt::Display) -> Error {
    error::integrity(format!("the tar is incomplete: {what}"))
        .hint("take another backup: `envctl backup list`")
}

/// Writes the files that are wanted; gives the names of all.
fn extract(path: &Path, place: &Path, only: Option<&str>, cancel: &CancelToken) -> Result<BTreeSet<String>> {
    let broken = |e: io::Error| error::integrity("the tar is damaged").because(e);
    let file = open_file(path)?;
    let len = file.metadata().map_err(broken)?.len();
    let mut names = BTreeSet::new();
    let mut archive = tar::Archive::new(&file);
    for member in archive.entries_with_seek().map_err(broken)? {
        let mut member = member.map_err(broken)?;
        let bytes = member.path_bytes().into_owned();
        let shown = String::from_utf8_lossy(&bytes).escape_debug().to_string();
        let kept = std::str::from_utf8(&bytes).ok().filter(|_| member.header().entry_type().is_file());
        let Some(what) = kept.and_then(TarMember::of) else {
            return Err(error::refused(format!(
                "the tar holds {shown}, which no backup of all databases does"
            ))
            .note("nothing of it was written under that name"));
        };
        let (at, size) = (member.raw_file_position(), member.size());
        if at.checked_add(size).is_none_or(|end| end > len) {
            return Err(incomplete(format!("it ends inside {shown}")));
        }
        let name = String::from_utf8_lossy(&bytes).into_owned();
        if only.is_none_or(|only| what.serves(only)) {
            let target = place.join(&name);
            let written = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&target);
            let mut out: File = written.map_err(|e| write_failure(&target, e))?;
            let copied = io::copy(&mut cancel.cancellable(&mut member), &mut out)
                .map_err(|e| write_failure(&target, e))?;
            if copied != size {
                return Err(incomplete(format!("it ends inside {shown}")));
            }
        }
        if !names.insert(name) {
            return Err(error::refused(format!("the tar holds {shown} twice")));
        }
    }
    Ok(names)
}

/// Kind of a member of the tar.
#[derive(Debug, PartialEq, Eq)]
enum TarMember {
    /// `globals.sql`, `properties.json`.
    OfAll,
    /// The dump of a database.
    Dump(String),
    Manifest(String),
}

impl TarMember {
    /// Returns the kind of the member with this name, or `None` where such a tar has no member of this name.
    fn of(name: &str) -> Option<Self> {
        if name == GLOBALS || name == PROPERTIES {
            return Some(Self::OfAll);
        }
        let file = name.strip_prefix(DATABASES)?.strip_prefix('/')?;
        let (stem, extension) = file.split_once('.')?;
        let database = percent::decode(stem)?;
        match extension {
            "sql" | "sql.gz" | "sql.zst" => Some(Self::Dump(database)),
            "sql.json" | "sql.gz.json" | "sql.zst.json" => Some(Self::Manifest(database)),
            _ => None,
        }
    }

    /// Reports whether the member is needed for the database `only`.
    fn serves(&self, only: &str) -> bool {
        match self {
            Self::OfAll => true,
            Self::Dump(database) | Self::Manifest(database) => database == only,
        }
    }
}

/// Returns the databases that `properties.json` describes, or the database `only`, each with its dump.
fn databases(place: &Path, names: &BTreeSet<String>, only: Option<&str>) -> Result<Vec<UnpackedDatabase>> {
    let text = read_small(place, PROPERTIES)?;
    let described: BTreeMap<String, Properties> = serde_json::from_str(&text)
        .map_err(|e| error::integrity(format!("{PROPERTIES} cannot be understood")).because(e))?;
    let mut databases = Vec::new();
    for (database, properties) in described {
        let wanted = Some(TarMember::Dump(database.clone()));
        let dump = names.iter().find(|name| TarMember::of(name) == wanted);
        let dump = dump.ok_or_else(|| incomplete(format!("the dump of {database:?} is missing")))?;
        let path = place.join(dump);
        let json = manifest::path_for(Path::new(dump));
        if !names.contains(&*json.to_string_lossy()) {
            return Err(incomplete(format!("the manifest of {database:?} is missing")));
        }
        databases.push(UnpackedDatabase { name: database, path, properties });
    }
    let Some(only) = only else { return Ok(databases) };
    let there: Vec<String> = databases.iter().map(|held| format!("{:?}", held.name)).collect();
    databases.retain(|held| held.name == only);
    if databases.is_empty() {
        return Err(error::target(format!("the backup holds no database {only:?}"))
            .note(format!("it holds {}", there.join(", "))));
    }
    Ok(databases)
}

/// Largest of the files that are read whole, in bytes: the roles of a hundred thousand people.
const LARGEST_TEXT: u64 = 64 << 20;

/// A file that describes all databases, read whole.
fn read_small(place: &Path, name: &str) -> Result<String> {
    let mut text = String::new();
    File::open(place.join(name))
        .and_then(|file| file.take(LARGEST_TEXT + 1).read_to_string(&mut text))
        .map_err(|e| incomplete(format!("{name} cannot be read")).because(e))?;
    if text.len() as u64 > LARGEST_TEXT {
        return Err(error::integrity(format!("{name} is larger than {} MiB", LARGEST_TEXT >> 20)));
    }
    Ok(text)
}

/// `globals.sql`, with its own end.
fn whole_globals(place: &Path) -> Result<String> {
    let text = read_small(place, GLOBALS)?;
    let mut contents = AnyScanner::new(Format::Plain);
    contents.feed(text.as_bytes());
    let summary = contents.finish();
    if !summary.cluster || !summary.completeness().is_complete() {
        return Err(incomplete(format!("{GLOBALS} has no end")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const WHOLE: &str = "--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE a;\n\n--\n\
                         -- PostgreSQL database cluster dump complete\n--\n\n";

    fn tar_of(home: &Path, members: &[(&str, &str)]) -> PathBuf {
        let path = home.join("x.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        for (name, content) in members {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            // Past the builder's own checks of names.
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap();
        path
    }

    fn described() -> String {
        serde_json::to_string(&BTreeMap::from([("a/b".to_owned(), Properties::default())])).unwrap()
    }

    #[tokio::test]
    async fn a_whole_one_is_unpacked_and_gone_with_its_value() {
        let home = tempfile::tempdir().unwrap();
        let properties = described();
        let members = [
            (GLOBALS, WHOLE),
            (PROPERTIES, &*properties),
            ("databases/a%2Fb.sql", "x"),
            ("databases/a%2Fb.sql.json", "{}"),
        ];
        let path = tar_of(home.path(), &members);
        assert!(is_cluster(&path, &Keyring::default(), &CancelToken::never()).await.unwrap());
        let error = take_apart(
            &DumpSource::File(path.clone()),
            None,
            (false, &ManifestKeys::default(), &Keyring::default()),
            &CancelToken::never(),
        )
        .err()
        .unwrap();
        assert_eq!(error.kind(), ErrorKind::Refused, "nobody vouches for it");
        let unpacked = take_apart(
            &DumpSource::File(path.clone()),
            None,
            (true, &ManifestKeys::default(), &Keyring::default()),
            &CancelToken::never(),
        )
        .unwrap();
        assert_eq!(unpacked.databases[0].name, "a/b");
        assert_eq!(fs::read_to_string(&unpacked.databases[0].path).unwrap(), "x");
        assert_eq!(unpacked.roles(&[]).missing, ["a"]);
        drop(unpacked);
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
        assert_eq!(
            take_apart(
                &DumpSource::File(path.clone()),
                Some("c"),
                (true, &ManifestKeys::default(), &Keyring::default()),
                &CancelToken::never()
            )
            .err()
            .unwrap()
            .kind(),
            ErrorKind::Target
        );
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(512 * 6 + 10).unwrap();
        assert_eq!(
            take_apart(
                &DumpSource::File(path.clone()),
                None,
                (true, &ManifestKeys::default(), &Keyring::default()),
                &CancelToken::never()
            )
            .err()
            .unwrap()
            .kind(),
            ErrorKind::Integrity,
            "cut"
        );
        for missing in 1..4 {
            let mut fewer = members.to_vec();
            fewer.remove(missing);
            let path = tar_of(home.path(), &fewer);
            assert_eq!(
                take_apart(
                    &DumpSource::File(path.clone()),
                    None,
                    (true, &ManifestKeys::default(), &Keyring::default()),
                    &CancelToken::never()
                )
                .err()
                .unwrap()
                .kind(),
                ErrorKind::Integrity,
                "{missing}"
            );
        }
    }

    #[test]
    fn no_name_of_a_hostile_tar_is_written() {
        let home = tempfile::tempdir().unwrap();
        for name in [
            "../evil",
            "/tmp/evil",
            "databases/../../evil.sql",
            "databases/.sql/x",
            "databases/a b.sql",
            "databases/%2fa.sql",
            "lock",
            "databases/a.sh",
        ] {
            let path = tar_of(home.path(), &[(GLOBALS, WHOLE), (name, "x")]);
            assert_eq!(
                take_apart(
                    &DumpSource::File(path.clone()),
                    None,
                    (true, &ManifestKeys::default(), &Keyring::default()),
                    &CancelToken::never()
                )
                .err()
                .unwrap()
                .kind(),
                ErrorKind::Refused,
                "{name}"
            );
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "{name}");
        }
        let path = home.path().join("x.tar");
        let mut tar = tar::Builder::new(File::create(&path).unwrap());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, GLOBALS, "/etc/passwd").unwrap();
        tar.into_inner().unwrap();
        assert_eq!(
            take_apart(
                &DumpSource::File(path.clone()),
                None,
                (true, &ManifestKeys::default(), &Keyring::default()),
                &CancelToken::never()
            )
            .err()
            .unwrap()
            .kind(),
            ErrorKind::Refused
        );
    }
}
