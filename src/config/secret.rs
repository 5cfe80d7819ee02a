//! Sources of secrets.
//!
//! Promise: a source is read late, when the value is needed, and no message quotes what it gave.

use std::fmt;
use std::path::PathBuf;

use crate::error::{self, Result};
use crate::secret::Secret;

/// Source of a secret: the `*_file` and `*_command` forms of a key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum SecretSource {
    /// The file's first and only line.
    File(PathBuf),
    /// Output of a command; program and arguments, no shell.
    Command(Vec<String>),
}

impl fmt::Debug for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretSource({self})")
    }
}

/// Names the source without the command's arguments, which may hold a token.
impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file {}", path.display()),
            Self::Command(argv) => write!(f, "command {}", argv.first().map_or("", String::as_str)),
        }
    }
}

impl SecretSource {
    /// Fetches the secret; one line end at its end is not part of it. `run` starts a command (argv) and
    /// answers with what it printed to stdout, or an error when it did not succeed.
    ///
    /// # Errors
    /// Usage: the file cannot be read, or the value is empty, is not text, or has several lines. Whatever
    /// `run` says otherwise.
    pub(crate) fn read(&self, run: impl FnOnce(&[String]) -> Result<Vec<u8>>) -> Result<Secret> {
        let mut text = self.fetch("password", run)?;
        if text.ends_with('\n') {
            text.pop();
            if text.ends_with('\r') {
                text.pop();
            }
        }
        let secret = Secret::new(text);
        let reason = if secret.expose().is_empty() {
            "gave no password"
        } else if secret.expose().contains(['\n', '\r']) {
            "gave more than one line"
        } else if secret.expose().contains('\0') {
            "gave a NUL byte"
        } else {
            return Ok(secret);
        };
        Err(error::usage(format!("{self} {reason}")))
    }

    /// Fetches a secret of several lines, as it is; `what` names it in messages.
    ///
    /// # Errors
    /// Usage: the file cannot be read, or the value is not text. The error of `run` otherwise.
    pub(crate) fn read_lines(
        &self,
        what: &str,
        run: impl FnOnce(&[String]) -> Result<Vec<u8>>,
    ) -> Result<Secret> {
        self.fetch(what, run).map(Secret::new)
    }

    fn fetch(&self, what: &str, run: impl FnOnce(&[String]) -> Result<Vec<u8>>) -> Result<String> {
        let bytes = match self {
            Self::File(path) => std::fs::read(path).map_err(|e| {
                error::usage(format!("cannot read the {what} file {}", path.display())).because(e)
            })?,
            Self::Command(argv) => run(argv).map_err(|error| error.context(format!("{what} {self}")))?,
        };
        // The faulty bytes would be quoted by FromUtf8Error, so it is not kept as a cause.
        String::from_utf8(bytes).map_err(|_| error::usage(format!("{self} is not text")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(bytes: &'static [u8]) -> Result<Secret> {
        SecretSource::Command(vec!["pass".into(), "hunter2".into()]).read(|argv| {
            assert_eq!(argv, ["pass", "hunter2"]);
            Ok(bytes.to_vec())
        })
    }

    #[test]
    fn a_command_is_named_without_its_arguments() {
        let source = SecretSource::Command(vec!["pass".into(), "hunter2".into()]);
        assert_eq!(format!("{source} {source:?}"), "command pass SecretSource(command pass)");
    }

    #[test]
    fn one_line_end_is_not_part_of_it() {
        for (bytes, text) in [(&b"a b"[..], "a b"), (b"x\n", "x"), (b"x\r\n", "x"), (b" x ", " x ")] {
            assert_eq!(printed(bytes).unwrap().expose(), text);
        }
    }

    #[test]
    fn what_cannot_be_a_password_is_refused_without_being_quoted() {
        for bytes in [&b""[..], b"\n", b"hunter2\nsecond", b"hunter2\n\n", b"hunter2\0", b"hunter2\xff"] {
            let error = printed(bytes).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
        }
    }

    #[test]
    fn a_file_is_read_when_asked_and_named_when_missing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pw");
        let source = SecretSource::File(path.clone());
        let never = |_: &[String]| -> Result<Vec<u8>> { panic!("no command here") };
        assert!(source.read(never).unwrap_err().message().contains(&path.display().to_string()));
        std::fs::write(&path, "s3cret\n").unwrap();
        assert_eq!(source.read(never).unwrap().expose(), "s3cret");
    }
}
