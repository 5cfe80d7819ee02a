//! Packs a stream as it is stored, and unpacks what is read back, on several threads, in constant memory.
//!
//! Promises: what is written as gzip any gzip can read (independent members of 1 MiB, see `member`);
//! what is read is known by its content and never by its name, is read to the very end, and damage or
//! a missing end is an [`Integrity`](crate::error::ErrorKind::Integrity) error and never a shorter stream.
//! The hashes of both sides are taken where the bytes pass anyway.

pub(crate) mod age;
pub(crate) mod buffer_pool;
pub(crate) mod compressor;
pub(crate) mod decompressor;
pub(crate) mod detect;
mod digest;
pub(crate) mod gzip_member;
pub(crate) mod random_access;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub(crate) use compressor::{Stored, StreamCompressor};
pub(crate) use decompressor::DecompressReader;
pub(crate) use detect::{ContentType, DetectedType, FileEncoding, ForeignFormat};
pub(crate) use digest::{Digest, Hasher, Hashing};
pub(crate) use random_access::RandomAccessReader;

use crate::error::{Error, usage};

/// Bytes in one block: the unit of work of a thread and the plain size of one gzip member.
pub(crate) const BLOCK: usize = 1 << 20;

/// Compression of a stored stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    /// gzip at libdeflate's level 1 to 12.
    Gzip(u8),
    /// Zstandard at level 1 to 19.
    Zstd(u8),
    /// No compression.
    None,
}

impl Compression {
    /// The fastest level whose output is no larger than that of `gzip -6`. Measured on two dumps of JSON,
    /// text and numbers (506 and 319 MB), `gzip -6`: 143.4 and 90.3 MB; level 1: 146 and 88.6; level 2:
    /// 141.6 and 84.8; level 4: 139.9 and 83.2. Short random words are level 4's worst case, 0.3 % larger.
    pub(crate) const DEFAULT_GZIP: Self = Self::Gzip(5);
    /// Level that keeps up with the dump, with smaller output than `gzip -6`.
    pub(crate) const DEFAULT_ZSTD: Self = Self::Zstd(1);

    /// Returns the suffix to add to `.sql`: `.gz`, `.zst` or an empty string.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Gzip(_) => ".gz",
            Self::Zstd(_) => ".zst",
            Self::None => "",
        }
    }

    /// The method without its level, as in the manifest.
    pub(crate) fn method(self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
            Self::None => "none",
        }
    }
}

impl Default for Compression {
    fn default() -> Self {
        Self::DEFAULT_GZIP
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gzip(level) | Self::Zstd(level) => write!(f, "{}:{level}", self.method()),
            Self::None => f.write_str("none"),
        }
    }
}

impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let (method, level) = match text.split_once(':') {
            Some((method, level)) => (method, Some(level)),
            None => (text, None),
        };
        let within = |highest: u8, default: u8| match level.map(str::parse::<u8>) {
            None => Ok(default),
            Some(Ok(level)) if (1..=highest).contains(&level) => Ok(level),
            Some(_) => {
                Err(usage(format!("{method} knows the levels 1 to {highest}, not `{}`", level.unwrap_or(""))))
            }
        };
        match method {
            "gzip" => Ok(Self::Gzip(within(12, 5)?)),
            "zstd" if cfg!(feature = "zstd") => Ok(Self::Zstd(within(19, 1)?)),
            "zstd" => Err(no_zstd()),
            "none" if level.is_none() => Ok(Self::None),
            _ => Err(usage(format!("unknown compression `{text}`"))
                .hint("use `gzip`, `zstd` or `none`, with `:LEVEL` where wanted")),
        }
    }
}

/// This build cannot do zstd.
fn no_zstd() -> Error {
    usage("this build of envctl cannot read or write zstd")
        .hint("build with `--features zstd`, or use `gzip`")
}
