//! One run of envctl that works on something: its id, who asked for it, how it is cancelled, and where its progress goes.
//!
//! Every session of an operation bears a name in `pg_stat_activity`. Those names, and the SQL conditions that look for
//! them, are made here alone.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cancel::CancelToken;
use crate::progress::Progress;
use crate::random::nonce;

/// Identity of an operation: 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct OperationId(String);

impl OperationId {
    /// Makes a new one.
    pub(crate) fn new() -> Self {
        Self(nonce())
    }

    /// Returns the eight digits that names of databases, roles, files and sessions contain.
    pub(crate) fn short(&self) -> &str {
        self.0.get(..SHORT).unwrap_or(&self.0)
    }
}

/// Digits of a short id.
const SHORT: usize = 8;

impl<S: Into<String>> From<S> for OperationId {
    /// An id that was noted elsewhere: in a manifest, on a label.
    fn from(id: S) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operation, begun.
#[derive(Clone)]
pub(crate) struct Operation {
    /// Identity of the operation.
    pub(crate) id: OperationId,
    /// User and host that asked for it: `user@host`.
    pub(crate) actor: String,
    /// Start time.
    pub(crate) started: Timestamp,
    /// Ctrl-C, or the time limit.
    pub(crate) cancel: CancelToken,
    /// Receiver of progress events.
    pub(crate) progress: Arc<dyn Progress>,
}

impl Operation {
    /// Returns the same operation under another id. What an operation makes is named after its id, so each database has one.
    #[must_use]
    pub(crate) fn with_new_id(&self) -> Self {
        Self { id: OperationId::new(), ..self.clone() }
    }

    /// Returns the application name of this operation's sessions with a role.
    pub(crate) fn application_name(&self, role: SessionRole) -> String {
        let actor = role.names_actor().then(|| self.actor.clone());
        ApplicationName { operation: self.id.short().to_owned(), role, actor }.to_string()
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("id", &self.id).field("actor", &self.actor).finish_non_exhaustive()
    }
}

/// Work of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SessionRole {
    /// Holds the lock of a backup.
    Backup,
    /// Reads what a backup contains.
    Dump,
    /// Reads roles and tablespaces.
    Globals,
    /// Holds the lock of a restore.
    Restore,
    /// Writes what a restore loads.
    Load,
    /// Renames databases.
    Swap,
    /// Holds the lock of an undo.
    Undo,
    /// Holds the lock of migrations, and runs them.
    Migrate,
}

impl SessionRole {
    const ALL: [Self; 8] = [
        Self::Backup,
        Self::Dump,
        Self::Globals,
        Self::Restore,
        Self::Load,
        Self::Swap,
        Self::Undo,
        Self::Migrate,
    ];

    fn keyword(self) -> &'static str {
        match self {
            Self::Backup => "backup",
            Self::Dump => "dump",
            Self::Globals => "globals",
            Self::Restore => "restore",
            Self::Load => "load",
            Self::Swap => "swap",
            Self::Undo => "undo",
            Self::Migrate => "migrate",
        }
    }

    /// Reports whether the name tells who asked: those whose locks others wait for.
    fn names_actor(self) -> bool {
        matches!(self, Self::Backup | Self::Restore | Self::Undo | Self::Migrate)
    }
}

/// Name of an operation's session in `pg_stat_activity`: `envctl/1a2b3c4d backup user@host`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApplicationName {
    /// Short id of the operation.
    operation: String,
    role: SessionRole,
    actor: Option<String>,
}

/// Beginning of every application name of an operation.
const PREFIX: &str = "envctl/";

impl fmt::Display for ApplicationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{} {}", self.operation, self.role.keyword())?;
        self.actor.iter().try_for_each(|actor| write!(f, " {actor}"))
    }
}

impl FromStr for ApplicationName {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let (operation, rest) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once(' ')).ok_or(())?;
        let (name, actor) = rest.split_once(' ').map_or((rest, None), |(name, actor)| (name, Some(actor)));
        let role = SessionRole::ALL.into_iter().find(|role| role.keyword() == name).ok_or(())?;
        let is_short = operation.len() == SHORT && operation.bytes().all(|byte| byte.is_ascii_hexdigit());
        let actor = actor.map(str::to_owned);
        is_short.then(|| Self { operation: operation.to_owned(), role, actor }).ok_or(())
    }
}

/// Returns a regular expression, as PostgreSQL writes them, for the beginning of the names of sessions with these roles.
pub(crate) fn pattern(roles: &[SessionRole]) -> String {
    format!("^{PREFIX}[0-9a-f]{{{SHORT}}} {}", alternatives(roles))
}

/// Returns the part of [`pattern`] behind the operation.
pub(crate) fn alternatives(roles: &[SessionRole]) -> String {
    let names: Vec<&str> = roles.iter().map(|role| role.keyword()).collect();
    format!("({})", names.join("|"))
}

/// Returns the SQL condition that session `a` of `pg_stat_activity` belongs to the operation with a short id.
/// `short` is an SQL expression.
pub(crate) fn is_session_of(short: &str) -> String {
    format!("a.application_name like '{PREFIX}' || {short} || ' %'")
}

/// SQL condition that session `a` of `pg_stat_activity` is one of envctl, of an operation or not: `envctl`,
/// `envctl restore`, `envctl/1a2b3c4d dump`. A name that cannot be seen is of somebody else.
pub(crate) const IS_OURS: &str = "coalesce(a.application_name, '') ~ '^envctl($|[ /])'";

/// Returns the SQL condition that session `a` of `pg_stat_activity` belongs to an operation.
pub(crate) fn is_session_of_any() -> String {
    format!("a.application_name like '{PREFIX}%'")
}

#[cfg(test)]
impl Operation {
    /// Operation that nobody cancels or watches.
    pub(crate) fn for_test(id: &str) -> Self {
        Self {
            id: id.into(),
            actor: "ann@host".to_owned(),
            started: Timestamp::UNIX_EPOCH,
            cancel: CancelToken::never(),
            progress: Arc::new(crate::progress::NoProgress),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn application_names_read_back() {
        let operation = Operation::for_test("0123456789abcdef");
        for role in SessionRole::ALL {
            let name = operation.application_name(role);
            assert_eq!(name.parse::<ApplicationName>().unwrap().to_string(), name);
            assert!(name.starts_with(&format!("envctl/01234567 {}", role.keyword())), "{name}");
        }
        assert_eq!(operation.application_name(SessionRole::Undo), "envctl/01234567 undo ann@host");
        assert_eq!(operation.application_name(SessionRole::Load), "envctl/01234567 load");
        for other in
            ["", "envctl", "envctl cleanup", "envctl/01234567", "envctl/0123 dump", "envctl/01234567 sing"]
        {
            assert_eq!(other.parse::<ApplicationName>(), Err(()), "{other}");
        }
    }

    #[test]
    fn patterns_are_of_the_names() {
        assert_eq!(pattern(&[SessionRole::Dump, SessionRole::Load]), "^envctl/[0-9a-f]{8} (dump|load)");
        assert_eq!(is_session_of("'01234567'"), "a.application_name like 'envctl/' || '01234567' || ' %'");
    }

    #[test]
    fn an_id_that_is_too_short_is_left_as_it_is() {
        assert_eq!(OperationId::from("op").short(), "op");
        assert_eq!(OperationId::new().short().len(), SHORT);
    }
}
