//! A dump that comes by a pipe. It is streamed into the load; what has to be read twice is copied into a private file
//! first: several databases in one file, rows without tables, a backup of all databases.
//!
//! Promises: only the first block is read before that is decided, and nothing of it is lost; the copy is nobody else's to
//! read, leaves the disk some space, and is removed with its value, also when the command is cancelled.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rustix::fs::statvfs;

use super::data_only::DataOnly;
use super::open_dump::{self, OpenDump};
use crate::cancel::CancelToken;
use crate::codec::age::{EncryptedFor, Keyring};
use crate::codec::{BLOCK, DecompressReader};
use crate::dump::format::Format;
use crate::dump::scanner::AnyScanner;
use crate::error::{self, Error, Result};
use crate::fsutil::private_dir::{self, PrivateDir};
use crate::repository::all_databases_layout;
use crate::sync::lock;

/// Name of a pipe in messages.
pub(crate) const STDIN: &str = "stdin";

/// A dump by pipe whose first block is read. It can be taken once.
#[derive(Clone)]
pub(crate) struct PipedDump(Arc<Mutex<Option<OpenDump>>>);

impl PipedDump {
    /// Takes it.
    ///
    /// # Errors
    /// Kind `Failed`: it was taken before.
    pub(crate) fn take(&self) -> Result<OpenDump> {
        lock(&self.0).take().ok_or_else(|| error::failed("a pipe can be read only once"))
    }
}

impl std::fmt::Debug for PipedDump {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PipedDump")
    }
}

impl PartialEq for PipedDump {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for PipedDump {}

/// A private file with a dump that came by a pipe, unpacked, or from a store.
#[derive(Clone, Debug)]
pub(crate) struct PrivateCopy {
    path: PathBuf,
    /// Name for messages.
    name: String,
    /// Parent of the private directory.
    home: PathBuf,
    _private_dir: Arc<PrivateDir>,
}

impl PrivateCopy {
    /// The copy of `name` in `path`, a file of a private directory in `home`.
    pub(crate) fn new(path: PathBuf, name: String, home: &Path, private_dir: Arc<PrivateDir>) -> Self {
        Self { path, name, home: home.to_owned(), _private_dir: private_dir }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Directory for other files of this size.
    pub(crate) fn home(&self) -> &Path {
        &self.home
    }
}

impl PartialEq for PrivateCopy {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for PrivateCopy {}

/// Content of a pipe, as far as the first block tells it.
pub(crate) enum PipeContent {
    /// A dump that is loaded while it is read.
    Stream(PipedDump),
    /// A dump that was copied to be read twice, and what was changed of its bytes.
    Copy(PrivateCopy, Vec<String>),
    /// A backup of all databases, copied.
    AllDatabases(PrivateCopy),
}

enum FirstBlock {
    Dump(OpenDump),
    AllDatabases(DecompressReader),
}

/// Opens stdin, and copies into `parent` what has to be read twice. `command` is the command as it was typed.
///
/// # Errors
/// Kind `Integrity`, `Refused`: no dump that can be restored. `Failed`: no space for a copy. `Cancelled`.
pub(crate) async fn open(
    (threads, skip_leading_text): (usize, bool),
    keyring: &Keyring,
    parent: &Path,
    command: &str,
    cancel: &CancelToken,
) -> Result<PipeContent> {
    let keyring = keyring.clone();
    let opening = move || first_block(io::stdin(), threads, skip_leading_text, &keyring);
    let first = on_a_thread(cancel, opening).await?;
    let (reader, mut notes, is_backup) = match first {
        FirstBlock::Dump(dump) if !is_read_twice(&dump) => {
            return Ok(PipeContent::Stream(PipedDump(Arc::new(Mutex::new(Some(dump))))));
        }
        FirstBlock::Dump(dump) => (dump.decompressor, dump.notes, false),
        FirstBlock::AllDatabases(reader) => (reader, Vec::new(), true),
    };
    private_dir::sweep(parent);
    let cannot = |cause: io::Error| no_copy(parent, command).because(cause);
    // Not in the thread, which a silent pipe keeps from its end.
    let private_dir = Arc::new(PrivateDir::make(parent).map_err(cannot)?);
    let path = private_dir.path().join(STDIN);
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    let (mut file, place, refusal) = (opened.map_err(cannot)?, parent.to_owned(), no_copy(parent, command));
    on_a_thread(cancel, move || copy(reader, &mut file, refusal, || has_space(&place))).await?;
    notes.push("the pipe is read from a temporary copy".to_owned());
    let copy = PrivateCopy::new(path, STDIN.to_owned(), parent, private_dir);
    Ok(if is_backup { PipeContent::AllDatabases(copy) } else { PipeContent::Copy(copy, notes) })
}

/// Opens a pipe as far as its first block.
fn first_block(
    pipe: impl Read + Send + 'static,
    threads: usize,
    skip_leading_text: bool,
    keyring: &Keyring,
) -> Result<FirstBlock> {
    let what = EncryptedFor { name: STDIN.to_owned(), recipients: Vec::new() };
    let (kind, decompressor) = open_dump::open_stored(pipe, &what, threads, keyring)?;
    if all_databases_layout::begins_one(decompressor.peek()) {
        return Ok(FirstBlock::AllDatabases(decompressor));
    }
    open_dump::of_first_block(kind, decompressor, STDIN, threads, skip_leading_text).map(FirstBlock::Dump)
}

/// Reports whether a dump has to be read to its end before its load is known.
fn is_read_twice(dump: &OpenDump) -> bool {
    let mut scanner = AnyScanner::new(dump.format);
    scanner.feed(dump.decompressor.peek());
    let summary = scanner.finish();
    summary.leads_to_databases() || DataOnly::of(&summary, dump.format != Format::Plain).is_some()
}

/// Does work that reads a pipe. A thread that waits for a pipe ends with the process when the command is cancelled.
async fn on_a_thread<T: Send + 'static>(
    cancel: &CancelToken,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, done) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(work()));
    let done = cancel.run_until_cancelled(done).await?;
    done.map_err(|_| error::failed("the reading thread failed"))?
}

/// Bytes of a copy after which the space of its disk is looked at again.
const LOOK_AGAIN: usize = 16 * BLOCK;

/// Copies a pipe while there is space for it; `refusal` is the error where there is none.
fn copy(
    mut pipe: impl Read,
    file: &mut impl io::Write,
    refusal: Error,
    has_space: impl Fn() -> bool,
) -> Result<()> {
    let mut block = vec![0; BLOCK];
    let mut since = LOOK_AGAIN;
    loop {
        let read = match pipe.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => continue,
            Err(cause) => return Err(DecompressReader::failure(cause).context(STDIN)),
        };
        if since >= LOOK_AGAIN {
            if !has_space() {
                return Err(refusal.note("the disk would be nearly full"));
            }
            since = 0;
        }
        since += read;
        if let Err(cause) = file.write_all(&block[..read]) {
            return Err(refusal.because(cause));
        }
    }
}

/// Bytes that a copy leaves free, on a disk that is large.
const RESERVE: u64 = 512 << 20;

/// Reports whether the disk has space for more than others need: at least a sixteenth of it, or [`RESERVE`].
fn has_space(directory: &Path) -> bool {
    let Ok(stat) = statvfs(directory) else { return true };
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    stat.f_bavail.saturating_mul(stat.f_frsize) > RESERVE.min(total / 16)
}

fn no_copy(parent: &Path, command: &str) -> Error {
    error::failed(format!("the dump by pipe cannot be copied into {}", parent.display()))
        .note("it holds several databases or only rows, so it is read twice")
        .hint(format!("name a directory with space for all of it, unpacked: `TMPDIR=/var/tmp {command}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    const END: &str = "\n--\n-- PostgreSQL database dump complete\n--\n\n";

    fn twice(text: &str) -> bool {
        match first_block(io::Cursor::new(text.to_owned()), 1, false, &Keyring::default()).unwrap() {
            FirstBlock::Dump(dump) => is_read_twice(&dump),
            FirstBlock::AllDatabases(_) => panic!("a dump"),
        }
    }

    #[test]
    fn what_holds_databases_or_rows_alone_is_read_twice_and_the_rest_is_streamed() {
        let head = "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\n";
        let table = "CREATE TABLE public.t (a integer);\n";
        let rows = "COPY public.t (a) FROM stdin;\n1\n\\.\n";
        for (text, expected) in [
            (format!("{head}{table}{rows}{END}"), false),
            (format!("{head}{END}"), false),
            (format!("{head}{rows}{END}"), true),
            (format!("{head}INSERT INTO public.t VALUES (1);\n{END}"), true),
            (format!("{head}CREATE DATABASE shop;\n\\connect shop\n{table}{END}"), true),
            ("--\n-- PostgreSQL database cluster dump\n--\n\nCREATE ROLE a;\n".to_owned(), true),
            // A first block that ends inside of the rows.
            (format!("{head}COPY public.t (a) FROM stdin;\n{}", "1\n".repeat(BLOCK)), true),
        ] {
            assert_eq!(twice(&text), expected, "{}", &text[..text.len().min(300)]);
        }
    }

    #[test]
    fn a_backup_of_all_databases_is_known_by_its_first_member() {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        tar.append_data(&mut header, all_databases_layout::GLOBALS, &b"x"[..]).unwrap();
        let tar = tar.into_inner().unwrap();
        let first = first_block(io::Cursor::new(tar), 1, false, &Keyring::default());
        assert!(matches!(first, Ok(FirstBlock::AllDatabases(_))));
    }

    #[test]
    fn a_copy_stops_while_the_disk_still_has_space_and_tells_the_way_out() {
        let refusal = || no_copy(Path::new("/tmp"), "envctl restore - -d shop");
        let mut whole = Vec::new();
        copy(&b"abc"[..], &mut whole, refusal(), || true).unwrap();
        assert_eq!(whole, b"abc");
        let looked = std::cell::Cell::new(0);
        let twice = || looked.replace(looked.get() + 1) == 0;
        let mut some = io::sink();
        let error = copy(io::repeat(b'x'), &mut some, refusal(), twice).unwrap_err();
        assert_eq!((error.kind(), looked.get()), (ErrorKind::Failed, 2));
        assert!(error.hints()[0].contains("`TMPDIR=/var/tmp envctl restore - -d shop`"), "{error}");
    }

    #[tokio::test]
    async fn a_silent_pipe_keeps_no_cancelled_command() {
        let (source, cancel) = crate::cancel::pair();
        let (reader, writer) = std::io::pipe().unwrap();
        source.fire(2);
        let error =
            on_a_thread(&cancel, move || first_block(reader, 1, false, &Keyring::default()).map(|_| ()))
                .await
                .unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Cancelled(2)), "{error}");
        drop(writer);
    }
}
