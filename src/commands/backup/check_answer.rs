//! Answer of `backup check` for one database: its fields in JSON, its line, and what to type about it.

use jiff::Timestamp;
use serde::Serialize;

use crate::environment::profile::Profile;
use crate::repository::check::{BackupProblem, CheckedDatabase};
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes};
use crate::ui::{Item, Tone};

/// Judgment of one database of a stack and profile.
#[derive(Debug, Default, Serialize)]
pub(super) struct DatabaseCheckAnswer {
    pub(super) stack: String,
    pub(super) profile: Option<String>,
    /// Empty for a backup of all databases; `None` where there is no backup.
    pub(super) database: Option<String>,
    pub(super) service: Option<String>,
    pub(super) directory: String,
    pub(super) ok: bool,
    pub(super) newest: Option<CheckedBackup>,
    pub(super) restored_at: Option<Timestamp>,
    pub(super) problems: Vec<CheckProblem>,
    pub(super) notes: Vec<String>,
    #[serde(skip)]
    pub(super) is_of_all: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct CheckedBackup {
    path: String,
    pub(super) started: Timestamp,
    pub(super) stored_bytes: u64,
    pub(super) duration_ms: u64,
    pub(super) rows: Option<u64>,
    verified: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct CheckProblem {
    code: &'static str,
    message: String,
    hint: String,
}

/// Owner of the backups that are judged.
#[derive(Clone, Debug)]
pub(super) struct CheckOwner {
    pub(super) stack: String,
    pub(super) profile: Option<String>,
    pub(super) directory: String,
    /// Address of the store that they are in.
    pub(super) store: Option<String>,
}

impl CheckOwner {
    /// Returns the stack and the profile as a person reads them.
    pub(super) fn shown(&self) -> String {
        format!("{} {}", self.stack, self.profile.as_deref().unwrap_or("unknown"))
    }
}

/// Returns the answer for one database; the service is named where there are `several`.
pub(super) fn target(owner: &CheckOwner, judged: CheckedDatabase, several: bool) -> DatabaseCheckAnswer {
    let CheckedDatabase { database, service, newest, restored_at, problems, notes } = judged;
    // Without a service nothing was found, and a database is one that was typed.
    let is_of_all = database.is_none() && service.is_some();
    let hint = |problem: &BackupProblem| hint(owner, problem, database.as_deref(), is_of_all);
    DatabaseCheckAnswer {
        stack: owner.stack.clone(),
        profile: owner.profile.clone(),
        directory: owner.directory.clone(),
        ok: problems.is_empty(),
        problems: problems
            .iter()
            .map(|problem| CheckProblem {
                code: problem.keyword(),
                message: problem.to_string(),
                hint: hint(problem),
            })
            .collect(),
        newest: newest.map(|item| CheckedBackup {
            path: item.path.display().to_string(),
            started: item.started,
            stored_bytes: item.stored_bytes,
            duration_ms: item.duration_ms,
            rows: item.rows,
            verified: item.verified.keyword(),
        }),
        service: service.filter(|_| several),
        database: if is_of_all { Some(String::new()) } else { database },
        restored_at,
        notes,
        is_of_all,
    }
}

/// Returns what to type about a problem.
fn hint(owner: &CheckOwner, problem: &BackupProblem, database: Option<&str>, is_of_all: bool) -> String {
    let profile = match owner.profile.as_deref() {
        Some(name) => Profile::known(name, Vec::new()).flag(),
        None => Profile::unknown(Vec::new()).flag(),
    };
    let store = owner.store.as_ref().map(|url| format!("--store {} ", shell_word(url))).unwrap_or_default();
    let of_stack = format!("-s {} {profile}", shell_word(&owner.stack));
    let stack = format!("{store}{of_stack}");
    match problem {
        BackupProblem::NotRestored { .. } if is_of_all => {
            format!("restore one in a test: `envctl backup verify --next --restore {stack}`")
        }
        BackupProblem::NotRestored { .. } => {
            let database = database.map(|name| format!(" -d {}", shell_word(name))).unwrap_or_default();
            format!("restore it in a test: `envctl backup verify --restore {stack}{database}`")
        }
        BackupProblem::Small { .. } => format!("compare them: `envctl backup list {stack}`"),
        // Copied into the stores of the settings: it is not made in one.
        _ if is_of_all => format!("make one: `envctl backup --all-databases {of_stack}`"),
        _ => {
            let database = database.map(|name| format!(" -d {}", shell_word(name))).unwrap_or_default();
            format!("make one: `envctl backup {stack}{database}`")
        }
    }
}

/// Returns the line of one database.
pub(super) fn item(target: &DatabaseCheckAnswer, now: Timestamp) -> Item {
    let mut about = vec![target.stack.as_str(), target.profile.as_deref().unwrap_or("unknown")];
    about.extend(target.service.as_deref());
    about.push(if target.is_of_all {
        "all databases"
    } else {
        target.database.as_deref().unwrap_or_default()
    });
    about.retain(|part| !part.is_empty());
    let text = match &target.newest {
        Some(newest) if target.ok => {
            let test = target.restored_at.map(|at| format!(", restore test {}", age(at, now)));
            let size = bytes(newest.stored_bytes);
            format!("{}, {size}, {}{}", age(newest.started, now), newest.verified, test.unwrap_or_default())
        }
        _ => target.problems.iter().map(|problem| problem.message.as_str()).collect::<Vec<_>>().join("; "),
    };
    let mut next: Vec<String> = Vec::new();
    for problem in &target.problems {
        if !next.contains(&problem.hint) {
            next.push(problem.hint.clone());
        }
    }
    let (label, tone) = if target.ok { ("ok", Tone::Good) } else { ("problem", Tone::Bad) };
    Item { label, tone, about: about.join(" "), text, notes: target.notes.clone(), next }
}
