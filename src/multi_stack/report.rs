//! Result of each stack of a multi-stack operation, for people and for programs.
//!
//! Promises: one entry for each stack, in the order of the plan, whatever happened; `exit` is the code that the
//! verb would have ended with had it been run on this stack alone.

use std::time::Duration;

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use crate::environment::Environment;
use crate::error::{Error, ErrorKind};
use crate::exit;

/// Result of the verb on one stack.
#[derive(Debug)]
pub(crate) enum End<O> {
    /// Well.
    Done(O),
    /// Not well; a plan that could not be made counts.
    Failed(Error),
    /// Stack that was never begun, because the run stopped earlier.
    NotBegun,
    /// A dry run: this is what would be done.
    Planned(O),
}

#[derive(Debug)]
pub(crate) struct StackResult<O> {
    pub(crate) stack: String,
    /// Profile of the stack, where it is known.
    pub(crate) profile: Option<String>,
    /// True where the stack counts as production.
    pub(crate) prod: bool,
    /// Result of the verb on the stack.
    pub(crate) end: End<O>,
    /// Time that the stack took.
    pub(crate) took: Duration,
}

impl<O> StackResult<O> {
    pub(crate) fn new(environment: &Environment, end: End<O>, took: Duration) -> Self {
        Self {
            stack: environment.stack.clone(),
            profile: environment.profile.name.clone(),
            prod: environment.profile.counts_as_prod(),
            end,
            took,
        }
    }

    /// Reports whether the verb succeeded on the stack.
    pub(crate) fn is_done(&self) -> bool {
        matches!(self.end, End::Done(_))
    }

    /// Returns the failure under another type of outcome; `None` for every other end.
    pub(crate) fn failed<Other>(self) -> Option<StackResult<Other>> {
        let End::Failed(error) = self.end else { return None };
        let Self { stack, profile, prod, took, .. } = self;
        Some(StackResult { stack, profile, prod, end: End::Failed(error), took })
    }

    fn keyword(&self) -> &'static str {
        match &self.end {
            End::Done(_) => "done",
            End::Failed(_) => "failed",
            End::NotBegun => "not_begun",
            End::Planned(_) => "planned",
        }
    }
}

impl<O: Serialize> Serialize for StackResult<O> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (result, error, exit) = match &self.end {
            End::Done(outcome) | End::Planned(outcome) => (Some(outcome), None, Some(0)),
            End::Failed(error) => (None, Some(crate::error::fields(error)), Some(exit::code(error.kind()))),
            End::NotBegun => (None, None, None),
        };
        let mut entry = serializer.serialize_struct("Ended", 7)?;
        entry.serialize_field("stack", &self.stack)?;
        entry.serialize_field("profile", &self.profile)?;
        entry.serialize_field("outcome", self.keyword())?;
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
pub(crate) struct Report<O> {
    /// The verb, as it is typed.
    pub(crate) verb: &'static str,
    /// The Docker context.
    pub(crate) context: String,
    /// True for a dry run: the report is the plan.
    pub(crate) dry_run: bool,
    /// One for each stack.
    pub(crate) stacks: Vec<StackResult<O>>,
}

impl<O> Report<O> {
    /// The names of those that failed.
    pub(crate) fn failed(&self) -> Vec<&str> {
        self.named(|end| matches!(end, End::Failed(_)))
    }

    /// The names of those that were never begun.
    pub(crate) fn not_begun(&self) -> Vec<&str> {
        self.named(|end| matches!(end, End::NotBegun))
    }

    fn named(&self, fits: impl Fn(&End<O>) -> bool) -> Vec<&str> {
        self.stacks.iter().filter(|ended| fits(&ended.end)).map(|ended| ended.stack.as_str()).collect()
    }

    /// `None` when all is done; else kind `Partial`, or the cancellation.
    pub(crate) fn error(&self, cancelled: Option<Error>) -> Option<Error> {
        let (failed, left) = (self.failed(), self.not_begun());
        if failed.is_empty() && left.is_empty() {
            return None;
        }
        if cancelled.is_some() {
            return cancelled;
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
pub(crate) fn resume(verb: &str) -> String {
    format!("`envctl {verb} --resume` goes on with those that are not done")
}

fn listed(names: &[&str]) -> String {
    names.join(", ")
}
