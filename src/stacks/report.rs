//! Result of each stack of a multi-stack operation, for people and for programs.
//!
//! Promises: one entry for each stack, in the order of the plan, whatever happened; `exit` is the code that the
//! verb would have ended with had it been run on this stack alone.

use std::fmt::Display;
use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::exit;
use crate::ui::format::duration;
use crate::ui::{Cell, Column, Table, Tone};

/// Result of the verb on one stack.
#[derive(Debug)]
pub enum End<O> {
    /// Well.
    Done(O),
    /// Not well; a plan that could not be made counts.
    Failed(Error),
    /// Stack that was never begun, because the run stopped earlier.
    NotBegun,
    /// A dry run: this is what would be done.
    Planned(O),
}

/// One stack's end.
#[derive(Debug)]
pub struct Ended<O> {
    /// Name of the stack.
    pub stack: String,
    /// Profile of the stack, where it is known.
    pub profile: Option<String>,
    /// True where the stack counts as production.
    pub prod: bool,
    /// Result of the verb on the stack.
    pub end: End<O>,
    /// Time that the stack took.
    pub took: Duration,
}

impl<O> Ended<O> {
    /// Of this environment.
    pub fn new(environment: &Environment, end: End<O>, took: Duration) -> Self {
        Self {
            stack: environment.stack.clone(),
            profile: environment.profile.name.clone(),
            prod: environment.profile.counts_as_prod(),
            end,
            took,
        }
    }

    /// Reports whether the verb succeeded on the stack.
    pub fn is_done(&self) -> bool {
        matches!(self.end, End::Done(_))
    }

    /// Returns the failure under another type of outcome; `None` for every other end.
    pub fn failed<Other>(self) -> Option<Ended<Other>> {
        let End::Failed(error) = self.end else { return None };
        let Self { stack, profile, prod, took, .. } = self;
        Some(Ended { stack, profile, prod, end: End::Failed(error), took })
    }

    fn word(&self) -> &'static str {
        match &self.end {
            End::Done(_) => "done",
            End::Failed(_) => "failed",
            End::NotBegun => "not_begun",
            End::Planned(_) => "planned",
        }
    }
}

impl<O: Serialize> Serialize for Ended<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (result, error, exit) = match &self.end {
            End::Done(outcome) | End::Planned(outcome) => (Some(outcome), None, Some(0)),
            End::Failed(error) => {
                (None, Some(crate::ui::error_fields(error)), Some(exit::code(error.kind())))
            }
            End::NotBegun => (None, None, None),
        };
        let mut entry = serializer.serialize_struct("Ended", 7)?;
        entry.serialize_field("stack", &self.stack)?;
        entry.serialize_field("profile", &self.profile)?;
        entry.serialize_field("outcome", self.word())?;
        entry.serialize_field("exit", &exit)?;
        let took = matches!(self.end, End::Done(_) | End::Failed(_)).then(|| self.took.as_millis() as u64);
        entry.serialize_field("duration_ms", &took)?;
        entry.serialize_field("result", &result)?;
        entry.serialize_field("error", &error)?;
        entry.end()
    }
}

/// The whole answer.
#[derive(Debug, serde::Serialize)]
pub struct Report<O> {
    /// The verb, as it is typed.
    pub verb: &'static str,
    /// The Docker context.
    pub context: String,
    /// True for a dry run: the report is the plan.
    pub dry_run: bool,
    /// One for each stack.
    pub stacks: Vec<Ended<O>>,
}

impl<O> Report<O> {
    /// The names of those that failed.
    pub fn failed(&self) -> Vec<&str> {
        self.named(|end| matches!(end, End::Failed(_)))
    }

    /// The names of those that were never begun.
    pub fn not_begun(&self) -> Vec<&str> {
        self.named(|end| matches!(end, End::NotBegun))
    }

    fn named(&self, fits: impl Fn(&End<O>) -> bool) -> Vec<&str> {
        self.stacks.iter().filter(|ended| fits(&ended.end)).map(|ended| ended.stack.as_str()).collect()
    }

    /// `None` when all is done; else kind `Partial`, or the interruption.
    pub fn error(&self, interrupted: Option<Error>) -> Option<Error> {
        let (failed, left) = (self.failed(), self.not_begun());
        if failed.is_empty() && left.is_empty() {
            return None;
        }
        if interrupted.is_some() {
            return interrupted;
        }
        let mut message =
            format!("{} of {} stacks failed: {}", failed.len(), self.stacks.len(), listed(&failed));
        if !left.is_empty() {
            message.push_str(&format!("; {} not begun: {}", left.len(), listed(&left)));
        }
        Some(Error::new(ErrorKind::Partial, message))
    }
}

/// Returns the hint on how to go on with the stacks that are not done.
pub fn resume(verb: &str) -> String {
    format!("`envctl {verb} --resume` goes on with those that are not done")
}

impl<O: Display> Report<O> {
    /// The final table.
    pub fn table(&self) -> Table {
        let columns =
            [Column::text("stack"), Column::text("profile"), Column::number("time"), Column::text("result")];
        let mut table = Table::new(columns);
        for ended in &self.stacks {
            let profile = ended.profile.as_deref().unwrap_or("unknown");
            let profile = if ended.prod { Cell::toned(profile, Tone::Prod) } else { Cell::from(profile) };
            let (time, result) = match &ended.end {
                End::Done(outcome) => (duration(ended.took), Cell::from(outcome.to_string())),
                End::Planned(plan) => (String::new(), Cell::from(plan.to_string())),
                End::NotBegun => (String::new(), Cell::toned("not begun", Tone::Warn)),
                End::Failed(error) => (duration(ended.took), Cell::toned(failure(error), Tone::Bad)),
            };
            table.row([Cell::from(ended.stack.clone()), profile, Cell::from(time), result]);
        }
        table
    }
}

/// `exit 7, tool`: the words have been said when it happened.
fn failure(error: &Error) -> String {
    format!("failed: {} (exit {})", error.kind().code(), exit::code(error.kind()))
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}
