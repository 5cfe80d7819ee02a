//! The one error type: what failed, with which thing, and what to type next.
//!
//! Promises: an error carries its exit code in its kind, is reported once, at the top, and keeps the
//! errors that caused it. Small enums live inside modules where code branches on them; everything
//! that reaches a user is this.

use std::fmt;

/// Shorthand used across the crate.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;

/// Class of a failure. Each class is one exit code (`exit.rs`) and one word in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ErrorKind {
    /// Anything that has no class of its own (exit 1).
    Failed,
    /// Wrong words on the command line or in a configuration file (exit 2).
    Usage,
    /// The target was not found, is not in a usable state, or is ambiguous (exit 3).
    Target,
    /// Docker cannot be reached or refuses us (exit 4).
    Docker,
    /// Somebody holds the lock; the same command may work later (exit 5).
    Busy,
    /// A guard said no; nothing was changed (exit 6).
    Refused,
    /// A tool in the container failed (exit 7).
    Tool,
    /// Data is not what it has to be: truncated, checksum, verification (exit 8).
    Integrity,
    /// The outcome is unknown or needs a person's decision (exit 9).
    Unknown,
    /// Some of several targets failed (exit 10).
    Partial,
    /// Something is pending, asked for by `--exit-code` (exit 11).
    Pending,
    /// Findings need the user's decision; the output lists them (exit 9).
    Found,
    /// A verification could not be made: it says nothing about what was to be verified (exit 12).
    Unverified,
    /// A time limit passed (exit 124).
    Timeout,
    /// Ended by the user or by a signal: the signal's number (exit 128 + n).
    Cancelled(u8),
    /// The child's own exit code, passed through without a word of ours.
    Child(u8),
    /// The child could not be started: 126 or 127, as a shell and docker have it.
    NotStarted(u8),
}

impl ErrorKind {
    /// The stable word for this class in `--json` errors.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Target => "target",
            Self::Docker => "docker",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::Tool => "tool",
            Self::Integrity => "integrity",
            Self::Unknown => "unknown",
            Self::Partial => "partial",
            Self::Pending => "pending",
            Self::Found => "found",
            Self::Unverified => "unverified",
            Self::Timeout => "timeout",
            Self::Cancelled(_) => "cancelled",
            Self::Child(_) => "child",
            Self::NotStarted(_) => "not_started",
        }
    }
}

/// A failure as it is told to the user.
#[derive(Debug)]
pub(crate) struct Error {
    kind: ErrorKind,
    message: String,
    notes: Vec<String>,
    hints: Vec<String>,
    answered: bool,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of a class. The message is lower case, without a period, and names the thing concerned.
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            notes: Vec::new(),
            hints: Vec::new(),
            answered: false,
            source: None,
        }
    }

    /// Adds a fact about the state of things after the failure, such as "nothing was swapped in".
    #[must_use]
    pub(crate) fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    /// Adds a next step that begins with a verb, a full phrase such as ``run `envctl status` ``.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Marks the error as told by the command's own document: with `--json` no second one follows.
    #[must_use]
    pub(crate) fn answered(self) -> Self {
        Self { answered: true, ..self }
    }

    /// Reports whether the command's own document has told the error.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered
    }

    /// Keeps the error that caused this one; it is printed after the message.
    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts words in front of the message: what was being done when it failed.
    #[must_use]
    pub(crate) fn context(mut self, doing: impl fmt::Display) -> Self {
        self.message = format!("{doing}: {}", self.message);
        self
    }

    /// Returns the error with another class, for a caller that knows the meaning better.
    #[must_use]
    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    /// Replaces each hint and note by what `change` makes of it.
    #[must_use]
    pub(crate) fn map_hints(mut self, change: impl Fn(&str) -> String) -> Self {
        self.notes = self.notes.iter().map(|note| change(note)).collect();
        self.hints = self.hints.iter().map(|hint| change(hint)).collect();
        self
    }

    /// The class.
    pub(crate) fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message alone, without causes and hints.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Facts about the state of things after the failure, in order.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The next steps, in order.
    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The message followed by its chain of causes, on one line, each said once.
    pub(crate) fn full_message(&self) -> String {
        let mut text = self.message.clone();
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many libraries repeat their cause in their own Display.
            if !text.contains(&cause_text) {
                text.push_str(": ");
                text.push_str(&cause_text);
            }
            source = cause.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),+ $(,)?) => {
        $($(#[$doc])* pub(crate) fn $name(message: impl Into<String>) -> Error { Error::new(ErrorKind::$kind, message) })+
    };
}

constructors! {
    /// An error without a class of its own.
    failed => Failed,
    /// Wrong usage or configuration.
    usage => Usage,
    /// Target not found, unusable or ambiguous.
    target => Target,
    /// Docker unreachable or refusing.
    docker => Docker,
    /// A lock is held elsewhere.
    busy => Busy,
    /// A guard refused; nothing changed.
    refused => Refused,
    /// A tool failed in the container.
    tool => Tool,
    /// Data is incomplete or damaged.
    integrity => Integrity,
    /// The outcome is not known.
    unknown => Unknown,
    /// A verification could not be made.
    unverified => Unverified,
    /// A time limit passed.
    timeout => Timeout,
}

/// `{"code", "message", "hint"}`: an error inside of an answer.
pub(crate) fn fields(error: &Error) -> serde_json::Value {
    fields_with(error, error.hints(), error.notes())
}

/// See [`fields`], with these hints in the place of the error's own.
pub(crate) fn fields_with(error: &Error, hints: &[String], notes: &[String]) -> serde_json::Value {
    let hint = if hints.is_empty() { serde_json::Value::Null } else { hints.join("\n").into() };
    let mut fields =
        serde_json::json!({"code": error.kind().code(), "message": error.full_message(), "hint": hint});
    if !notes.is_empty() {
        fields["note"] = notes.join("\n").into();
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        let inner = std::io::Error::other("no route");
        let error = docker("cannot connect to unix:///x.sock: no route").because(inner);
        assert_eq!(error.full_message(), "cannot connect to unix:///x.sock: no route");
        let error = docker("cannot connect").because(std::io::Error::other("no route"));
        assert_eq!(error.full_message(), "cannot connect: no route");
    }
}
