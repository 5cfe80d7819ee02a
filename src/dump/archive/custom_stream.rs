//! A directory or tar archive as one custom archive, written as it is read.
//!
//! Reason: `pg_restore` reads a custom archive from a pipe, but a directory only from a local disk.
//! The lists of entries differ only in the positions of the data. Layout: pg_backup_custom.c.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::toc::{OFFSET_BYTES, Toc, TocEntry};
use crate::dump::archive::files::Members;
use crate::error::{self, Error, Result};

/// Bytes of data in one chunk.
const CHUNK: usize = 64 << 10;
/// Longest list of large objects, in bytes: about half a million objects.
const LARGEST_OBJECT_LIST: u64 = 16 << 20;
/// First byte of an entry's data: `TABLE` for a table, `OBJECTS` for large objects.
const TABLE: u8 = 1;
const OBJECTS: u8 = 3;

/// The archive as a stream; plain inside.
pub(crate) struct CustomStream {
    members: Members,
    entries: VecDeque<TocEntry>,
    /// Steps to write before the next entry.
    steps: VecDeque<StreamStep>,
    reader: Option<Box<dyn Read + Send>>,
    out: Vec<u8>,
    at: usize,
}

enum StreamStep {
    Bytes(Vec<u8>),
    File(String),
    Objects(String),
}

impl CustomStream {
    /// Reads the list of a directory or tar; the data are read as the stream is.
    ///
    /// # Errors
    /// Kind `Integrity`: no list, or a damaged one. `Refused`: a hostile tar.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::of_members(Members::open(path)?).map_err(|e| e.context(path.display()))
    }

    /// Reads the list of a tar that has no name.
    pub(crate) fn of_tar(file: File) -> Result<Self> {
        Self::of_members(Members::of_tar(file)?)
    }

    fn of_members(members: Members) -> Result<Self> {
        let list = members.list()?;
        let toc = Toc::of_file(&list)?;
        let out = head(&toc, &list);
        let entries = toc.entries.into_iter().filter(|entry| entry.has_data).collect();
        Ok(Self { members, entries, steps: VecDeque::new(), reader: None, out, at: 0 })
    }

    /// The next bytes into `out`; false at the end.
    fn produce(&mut self) -> io::Result<bool> {
        self.out.clear();
        self.at = 0;
        if let Some(reader) = &mut self.reader {
            let mut chunk = Vec::with_capacity(CHUNK);
            reader.take(CHUNK as u64).read_to_end(&mut chunk).map_err(of_data)?;
            self.out.extend(int(chunk.len()));
            if chunk.is_empty() {
                self.reader = None;
            }
            self.out.append(&mut chunk);
            return Ok(true);
        }
        match self.steps.pop_front() {
            Some(StreamStep::Bytes(bytes)) => self.out = bytes,
            Some(StreamStep::File(name)) => self.reader = Some(self.members.data(&name)?),
            Some(StreamStep::Objects(name)) => self.objects(&name)?,
            None => {
                let Some(entry) = self.entries.pop_front() else { return Ok(false) };
                let objects = entry.kind == "BLOBS";
                self.out.push(if objects { OBJECTS } else { TABLE });
                self.out.extend(int(usize::try_from(entry.id).unwrap_or_default()));
                let step = if objects {
                    StreamStep::Objects(self.list_of(&entry))
                } else {
                    StreamStep::File(entry.file)
                };
                self.steps.push_back(step);
            }
        }
        Ok(true)
    }

    /// The file that lists an entry's large objects: `--format=tar` names it by a rule of its own.
    fn list_of(&self, entry: &TocEntry) -> String {
        let names = [entry.file.clone(), format!("blobs_{}.toc", entry.id), "blobs.toc".to_owned()];
        names.into_iter().find(|name| self.members.has(name)).unwrap_or_else(|| entry.file.clone())
    }

    /// A list of large objects: a line `OID FILE` for each.
    fn objects(&mut self, name: &str) -> io::Result<()> {
        // A hostile list must not fill the memory: neither by one endless line nor by many.
        let mut list = String::new();
        let mut reader = self.members.data(name)?.take(LARGEST_OBJECT_LIST + 1);
        reader.read_to_string(&mut list).map_err(of_data)?;
        if list.len() as u64 > LARGEST_OBJECT_LIST {
            let longest = LARGEST_OBJECT_LIST >> 20;
            return Err(io::Error::other(error::integrity(format!(
                "its list {name} is longer than {longest} MiB"
            ))));
        }
        for line in list.lines() {
            let parts = line.split_once(' ').and_then(|(oid, file)| Some((oid.parse::<u32>().ok()?, file)));
            let Some((oid, file)) = parts.filter(|(oid, _)| *oid != 0) else {
                return Err(io::Error::other(error::integrity(format!("its list {name} is damaged"))));
            };
            self.steps.push_back(StreamStep::Bytes(int(oid as usize).to_vec()));
            self.steps.push_back(StreamStep::File(file.to_owned()));
        }
        self.steps.push_back(StreamStep::Bytes(int(0).to_vec()));
        Ok(())
    }
}

/// Converts a decoder's error into an integrity error; an error of envctl stays as it is.
fn of_data(cause: io::Error) -> io::Error {
    match cause.downcast::<Error>() {
        Ok(ours) => io::Error::other(ours),
        Err(cause) => io::Error::other(
            error::integrity("a data file of the archive is truncated or damaged").because(cause),
        ),
    }
}

impl Read for CustomStream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.out.len() {
            if !self.produce()? {
                return Ok(0);
            }
        }
        let len = buffer.len().min(self.out.len() - self.at);
        buffer[..len].copy_from_slice(&self.out[self.at..self.at + len]);
        self.at += len;
        Ok(len)
    }
}

/// The list as a custom archive has it: its layout, nothing packed, and no place of the data.
fn head(toc: &Toc, list: &[u8]) -> Vec<u8> {
    const CUSTOM: u8 = 1;
    let mut head = list[..toc.layout_at].to_vec();
    head.push(CUSTOM);
    if toc.minor >= 15 {
        head.push(0);
    } else {
        head.extend(int(0));
    }
    head.extend_from_slice(&list[toc.encoding_end..toc.first_entry]);
    for entry in &toc.entries {
        const NOT_SET: u8 = 1;
        const NO_DATA: u8 = 3;
        head.extend_from_slice(&list[entry.body.clone()]);
        head.push(if entry.has_data { NOT_SET } else { NO_DATA });
        head.extend([0; OFFSET_BYTES]);
    }
    head
}

/// A number as archives write it: its sign, four bytes.
fn int(number: usize) -> [u8; 5] {
    let [a, b, c, d] = u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    [0, a, b, c, d]
}
