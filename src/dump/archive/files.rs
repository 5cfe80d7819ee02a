//! The files of an archive that is a directory, or a tar of one.
//!
//! Promises: nothing is unpacked to disk; only plain files are read, by names without a path, so that no
//! link, device, `..` or absolute name of a hostile tar leads anywhere; every size is checked against the file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::cancel::CancelToken;
use crate::error::{self, Error, Result};

/// The list of entries.
const LIST: &str = "toc.dat";
/// The longest file that is read whole: the list.
const LARGEST_LIST: u64 = 256 << 20;

/// Location of the archive's files.
pub(crate) enum Members {
    Directory(PathBuf),
    Tar { file: Arc<File>, index: HashMap<String, (u64, u64)> },
}

impl Members {
    /// Of a directory, or of a tar whose members are one directory's files.
    ///
    /// # Errors
    /// Kind `Integrity`: no `toc.dat`. `Refused`: a tar with what no archive of pg_dump holds.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let cannot = |e| error::usage(format!("cannot read {}", path.display())).because(e);
        if path.is_dir() {
            return Self::Directory(path.to_owned()).with_list().map_err(|e| e.context(path.display()));
        }
        let file = File::open(path).map_err(cannot)?;
        Self::of_tar(file).map_err(|e| e.context(path.display()))
    }

    /// Of a tar whose members are one directory's files.
    pub(crate) fn of_tar(file: File) -> Result<Self> {
        Self::tar(file)?.with_list()
    }

    fn with_list(self) -> Result<Self> {
        if self.has(LIST) {
            return Ok(self);
        }
        let error = error::integrity("it holds no toc.dat, which every archive of pg_dump has");
        Err(if self.has("PG_VERSION") {
            error.hint("copy it back with the server stopped: it is a data directory, and no dump")
        } else {
            error.hint("look what is in it: is it something else than an archive of pg_dump?")
        })
    }

    fn tar(mut file: File) -> Result<Self> {
        let broken = |e: io::Error| error::integrity("the tar is damaged").because(e);
        let len = file.metadata().map_err(broken)?.len();
        file.seek(SeekFrom::Start(0)).map_err(broken)?;
        let mut index = HashMap::new();
        let mut archive = tar::Archive::new(&file);
        for member in archive.entries_with_seek().map_err(broken)? {
            let member = member.map_err(broken)?;
            let kind = member.header().entry_type();
            let name = member.path().map_err(broken)?.into_owned();
            if kind.is_dir() {
                continue;
            }
            let shown = name.display();
            if !kind.is_file() {
                return Err(error::refused(format!("the tar holds {shown}, which is no plain file"))
                    .note("nothing was read from it")
                    .note("a tar of pg_dump's holds files alone"));
            }
            let plain =
                name.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
            let base = name.file_name().and_then(|base| base.to_str()).filter(|_| plain);
            let Some(base) = base else {
                return Err(error::refused(format!("the tar holds the name {shown}, which leads elsewhere"))
                    .note("nothing was read from it"));
            };
            let (at, size) = (member.raw_file_position(), member.size());
            if at.checked_add(size).is_none_or(|end| end > len) {
                return Err(error::integrity(format!("the tar is truncated: it ends inside {shown}")));
            }
            if index.insert(base.to_owned(), (at, size)).is_some() {
                return Err(error::refused(format!("the tar holds {base} twice")));
            }
        }
        Ok(Self::Tar { file: Arc::new(file), index })
    }

    /// Reports whether a plain file of this name exists.
    pub(crate) fn has(&self, name: &str) -> bool {
        match self {
            Self::Directory(path) => {
                harmless(name) && path.join(name).symlink_metadata().is_ok_and(|meta| meta.is_file())
            }
            Self::Tar { index, .. } => index.contains_key(name),
        }
    }

    fn raw(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        if !self.has(name) {
            return Err(io::Error::other(missing(name)));
        }
        Ok(match self {
            Self::Directory(path) => Box::new(File::open(path.join(name))?),
            Self::Tar { file, index } => {
                let (at, size) = index[name];
                Box::new(Slice { file: file.clone(), at, left: size })
            }
        })
    }

    /// Writes a tar's files into a directory, under their names and nothing else.
    pub(crate) fn unpack(&self, directory: &Path, cancel: &CancelToken) -> io::Result<()> {
        let Self::Tar { index, .. } = self else { return Ok(()) };
        for name in index.keys().filter(|name| harmless(name)) {
            io::copy(&mut cancel.cancellable(self.raw(name)?), &mut File::create_new(directory.join(name))?)?;
        }
        // `pg_dump --format=tar` of PostgreSQL 16 and later names a list of large objects `blobs_ID.toc`, and says
        // `ID.dat` in its table of contents, which `pg_restore` looks for in a directory.
        for name in index.keys() {
            let id = name.strip_prefix("blobs_").and_then(|name| name.strip_suffix(".toc"));
            let Some(id) = id.filter(|id| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()))
            else {
                continue;
            };
            let listed = format!("{id}.dat");
            if !index.contains_key(&listed) {
                std::fs::hard_link(directory.join(name), directory.join(listed))?;
            }
        }
        Ok(())
    }

    /// The list of entries.
    pub(crate) fn list(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.raw(LIST).and_then(|list| list.take(LARGEST_LIST).read_to_end(&mut bytes));
        read.map_err(|e| error::integrity("toc.dat cannot be read").because(e))?;
        Ok(bytes)
    }

    /// The unpacked data of an entry, whatever its file is packed with.
    pub(crate) fn data(&self, name: &str) -> io::Result<Box<dyn Read + Send>> {
        if self.has(name) {
            return self.raw(name);
        }
        let packed = format!("{name}.gz");
        if self.has(&packed) {
            return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(self.raw(&packed)?))));
        }
        #[cfg(feature = "zstd")]
        {
            let packed = format!("{name}.zst");
            if self.has(&packed) {
                return Ok(Box::new(zstd::stream::read::Decoder::new(self.raw(&packed)?)?));
            }
        }
        if self.has(&format!("{name}.lz4")) {
            return Err(io::Error::other(
                error::refused("its data are compressed by lz4, which this program does not read")
                    .hint("turn it into SQL first: `pg_restore -f dump.sql DIRECTORY`"),
            ));
        }
        Err(io::Error::other(missing(name)))
    }
}

fn missing(name: &str) -> Error {
    error::integrity(format!("its data file {} is not there", name.escape_debug()))
        .note("the directory was copied in part")
        .hint("take another backup: `envctl backup list`")
}

/// A name that stays where it is; the list of a foreign archive is free text.
fn harmless(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

/// A part of a file, read without moving the file's own position.
struct Slice {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for Slice {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..len], self.at)?;
        if read == 0 && len > 0 {
            return Err(io::Error::other(error::integrity("the tar became shorter while it was read")));
        }
        self.at += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}
