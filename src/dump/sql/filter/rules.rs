//! Rules for statements that a restore leaves out or changes, and the count of what was left out.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::dump::sql::special_statements::{Beginning, Needless, SpecialStatements};
use crate::dump::sql::statement_head::Head;
use crate::dump::sql::statement_state::KeptToken;
use crate::text::shell_word::quoted;

/// Statements that a restore leaves out or changes on their way to psql.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option or a rule of its own")]
pub(crate) struct Rules {
    /// Leaves out statements that set an owner (`--no-owner`).
    pub(crate) no_owner: bool,
    /// Leaves out GRANT, REVOKE and default privileges (`--no-privileges`).
    pub(crate) no_privileges: bool,
    /// Writes another role in place of a role of the dump (`--role-map`).
    pub(crate) roles: BTreeMap<String, String>,
    /// Leaves out these extensions (`--skip-extension`).
    pub(crate) extensions: BTreeSet<String>,
    /// Leaves out event triggers (`--skip-event-triggers`).
    pub(crate) event_triggers: bool,
    /// Leaves out text in front of the dump (`--skip-leading-text`).
    pub(crate) skip_leading_text: bool,
    /// Leaves out SET of these settings, which the server does not know.
    pub(crate) settings: BTreeSet<String>,
    /// Leaves out DROP of what a new database has not, before anything is created.
    pub(crate) drops: bool,
    /// Leaves out CREATE SCHEMA public, which a new database has, where the dump has not dropped it.
    pub(crate) public: bool,
    /// Leaves out `\restrict` and `\unrestrict`: psql runs under a `\restrict` of our own.
    pub(crate) restricted: bool,
    /// Takes out for later what the role that loads the dump may not do.
    pub(crate) apart: Option<Apart>,
    /// Takes only the part of this database out of the output of `pg_dumpall` or `pg_dump --create`.
    pub(crate) database: Option<String>,
    /// Takes a text without pg_dump's trailer (`--sql-script`).
    pub(crate) script: bool,
    /// Leaves out DISABLE TRIGGER and ENABLE TRIGGER: where rows are loaded no trigger is made yet.
    pub(crate) triggers: bool,
}

/// Statements of a dump that is loaded by a role of its own, which may not do all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Apart {
    /// Extensions that are there already.
    pub(crate) extensions: BTreeSet<String>,
    /// Schemas that are there already.
    pub(crate) schemas: BTreeSet<String>,
}

/// Treatment of a statement that the loading role may not run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Treatment {
    /// An owner or a right: set after the load, if the statement is nothing else.
    Later,
    /// A statement about an extension or schema that exists already: left out.
    LeftOut,
}

impl Rules {
    /// Reports that no statement is touched.
    pub(crate) fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Reports that neither owners nor rights are set, so that no role of the dump is needed.
    pub(crate) fn needs_no_roles(&self) -> bool {
        self.no_owner && self.no_privileges
    }

    /// Adds the rules that this dump needs on a server that does not know these settings, and returns the count of
    /// what they leave out; without notes the dump was not read, and all that may be needed are added.
    pub(crate) fn adapt(&mut self, notes: Option<&SpecialStatements>, unknown: &[String]) -> LeftOut {
        let mut left_out = LeftOut::default();
        self.settings.extend(unknown.iter().cloned());
        self.drops |= notes.is_none_or(|notes| notes.drops > 0);
        self.public |= notes.is_none_or(|notes| notes.public > 0);
        if let Some(notes) = notes {
            for name in unknown {
                left_out
                    .add_all(Reason::Setting(name.clone()), notes.settings.get(name).copied().unwrap_or(1));
            }
            left_out.add_all(Reason::Drop, notes.drops);
            left_out.add_all(Reason::Public, notes.public);
            if self.triggers {
                left_out.add_all(Reason::Trigger, notes.rows.triggers);
            }
        }
        left_out
    }

    /// Options that ask for these rules, as they are typed.
    pub(crate) fn options(&self) -> Vec<String> {
        let mut options = Vec::new();
        for (asked, option) in [
            (self.no_owner, "--no-owner"),
            (self.no_privileges, "--no-privileges"),
            (self.event_triggers, "--skip-event-triggers"),
            (self.script, "--sql-script"),
            (self.skip_leading_text, "--skip-leading-text"),
        ] {
            if asked {
                options.push(option.to_owned());
            }
        }
        let pairs =
            self.roles.iter().map(|(old, new)| format!("--role-map {}", quoted(&format!("{old}={new}"))));
        options.extend(pairs);
        options.extend(self.extensions.iter().map(|name| format!("--skip-extension {}", quoted(name))));
        options
    }

    /// Returns the reason to leave a statement out; `head` holds its tokens outside parentheses.
    pub(crate) fn leave_out(&self, head: &[KeptToken], beginning: &mut Beginning) -> Option<Reason> {
        let keywords = Head(head);
        if self.database.is_some() && keywords.is_of_server() {
            return Some(Reason::Database);
        }
        match beginning.judge(&keywords) {
            Some(Needless::Drop) if self.drops => return Some(Reason::Drop),
            Some(Needless::Public) if self.public => return Some(Reason::Public),
            _ => {}
        }
        if keywords.are(0, &["set"]) {
            return self.setting(&keywords);
        }
        if self.no_owner && (keywords.sets_owner() || keywords.sets_session_role()) {
            return Some(Reason::Owner);
        }
        if self.no_privileges && keywords.sets_privileges() {
            return Some(Reason::Privileges);
        }
        if self.triggers && keywords.switches_triggers() {
            return Some(Reason::Trigger);
        }
        if self.event_triggers && keywords.is_about(&["event", "trigger"]).is_some() {
            return Some(Reason::EventTrigger);
        }
        if !self.extensions.is_empty()
            && let Some(name) = keywords.is_about(&["extension"]).and_then(|at| keywords.name(at))
            && self.extensions.contains(&name)
        {
            return Some(Reason::Extension(name));
        }
        None
    }

    /// Returns the treatment of a statement that the loading role may not run.
    pub(crate) fn treatment(&self, head: &[KeptToken]) -> Option<Treatment> {
        let apart = self.apart.as_ref()?;
        let keywords = Head(head);
        let end = head.len();
        let forced = keywords.are(0, &["alter", "table"])
            && end > 6
            && keywords.are(end - 4, &["force", "row", "level", "security"]);
        if keywords.sets_owner() || keywords.sets_privileges() || forced {
            return Some(Treatment::Later);
        }
        if keywords.are(0, &["comment", "on", "extension"]) {
            // The loading role owns none; the comment that comes with the extension stays.
            return Some(Treatment::LeftOut);
        }
        let there = |kind: &str, names: &BTreeSet<String>| {
            keywords.are(0, &["create", kind])
                && keywords
                    .is_about(&[kind])
                    .and_then(|at| keywords.name(at))
                    .is_some_and(|name| names.contains(&name))
        };
        let left_out = there("extension", &apart.extensions) || there("schema", &apart.schemas);
        left_out.then_some(Treatment::LeftOut)
    }

    fn setting(&self, keywords: &Head<'_>) -> Option<Reason> {
        if self.no_owner && keywords.sets_session_role() {
            return Some(Reason::Owner);
        }
        keywords.plain_setting().filter(|name| self.settings.contains(name)).map(Reason::Setting)
    }
}

/// Reason to leave a statement out.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    Owner,
    /// GRANT, REVOKE, ALTER DEFAULT PRIVILEGES.
    Privileges,
    EventTrigger,
    Extension(String),
    /// A setting that the server does not know.
    Setting(String),
    /// DROP of something that is not there.
    Drop,
    /// CREATE SCHEMA public, which is there.
    Public,
    /// The database itself or the whole server.
    Database,
    /// DISABLE TRIGGER and ENABLE TRIGGER.
    Trigger,
}

/// Count of the statements that were left out, for each reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LeftOut {
    counts: BTreeMap<Reason, u64>,
    /// Owners and rights that are set after the load, written anew, in the dump's order.
    pub(crate) deferred: Vec<String>,
}

impl LeftOut {
    /// Reports that every statement passed.
    pub(crate) fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Counts an owner that an archive names outside its statements.
    pub(crate) fn owner(&mut self) {
        self.add(Reason::Owner);
    }

    /// Counts one statement.
    pub(crate) fn add(&mut self, reason: Reason) {
        *self.counts.entry(reason).or_default() += 1;
    }

    fn add_all(&mut self, reason: Reason, count: u64) {
        if count > 0 {
            *self.counts.entry(reason).or_default() += count;
        }
    }

    /// Adds the counts of another part of the same dump.
    pub(crate) fn merge(&mut self, other: Self) {
        for (reason, count) in other.counts {
            self.add_all(reason, count);
        }
        self.deferred.extend(other.deferred);
    }
}

impl fmt::Display for LeftOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (reason, count)) in self.counts.iter().enumerate() {
            if at > 0 {
                f.write_str(", ")?;
            }
            let statements = if *count == 1 { "statement" } else { "statements" };
            match reason {
                Reason::Owner => write!(f, "{count} OWNER {statements}")?,
                Reason::Privileges => write!(f, "{count} GRANT and REVOKE {statements}")?,
                Reason::EventTrigger => write!(f, "{count} {statements} on event triggers")?,
                Reason::Extension(name) => write!(f, "extension {name:?}")?,
                Reason::Setting(name) => write!(f, "SET {name} (not known to the server)")?,
                Reason::Drop => write!(f, "{count} DROP {statements} of what is not there")?,
                Reason::Database => write!(f, "{count} {statements} on the database itself")?,
                Reason::Trigger => write!(f, "{count} {statements} that switch triggers")?,
                Reason::Public => f.write_str("CREATE SCHEMA public (it is there)")?,
            }
        }
        Ok(())
    }
}
