//! Finding of a check: its severity, its subject, what was seen, and what to type next.

use serde::Serialize;

use crate::environment::Environment;
use crate::text::shell_word::shell_word;

/// Severity of a finding. From [`Severity::Warning`] on a person has to decide something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    /// Expected state.
    Ok,
    /// Good to know.
    Note,
    /// Risk of a later failure.
    Warning,
    /// Failure that has an effect now.
    Problem,
}

impl Severity {
    /// The word that is shown.
    pub(crate) fn keyword(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// A profile of a stack, and the options that mean it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StackPlace {
    pub(crate) stack: String,
    /// The profile; `None` where it cannot be known.
    pub(crate) profile: Option<String>,
    /// True where the profile counts as production.
    pub(crate) prod: bool,
    /// `-s acme --prod`
    pub(crate) flags: String,
}

impl StackPlace {
    pub(crate) fn of(environment: &Environment) -> Self {
        Self {
            stack: environment.stack.clone(),
            profile: environment.profile.name.clone(),
            prod: environment.profile.counts_as_prod(),
            flags: format!("-s {} {}", shell_word(&environment.stack), environment.profile.flag()),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct CheckFinding {
    pub(crate) severity: Severity,
    /// Which check: `docker`, `workers`, `configuration`, `containers`, `database`, `storage`, `access`, `image`,
    /// `migrations`, `backups`, `stores`, `schedule`, `orphans`.
    pub(crate) check: &'static str,
    /// The stack that it is about, if it is about one.
    pub(crate) stack: Option<String>,
    /// Profile of the stack, where known.
    pub(crate) profile: Option<String>,
    /// Observation, with the name of the thing that was seen.
    pub(crate) what: String,
    /// Statements about the finding, of the error that it reports.
    pub(crate) notes: Vec<String>,
    /// Hints: phrases with the commands to type.
    pub(crate) next: Vec<String>,
}

impl CheckFinding {
    fn new(severity: Severity, check: &'static str, what: impl Into<String>) -> Self {
        Self {
            severity,
            check,
            stack: None,
            profile: None,
            what: what.into(),
            notes: Vec::new(),
            next: Vec::new(),
        }
    }

    /// All is well.
    pub(crate) fn ok(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Ok, check, what)
    }

    /// Good to know.
    pub(crate) fn note(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Note, check, what)
    }

    /// Makes a finding of severity [`Severity::Warning`].
    pub(crate) fn warning(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Warning, check, what)
    }

    /// Makes a finding of severity [`Severity::Problem`].
    pub(crate) fn problem(check: &'static str, what: impl Into<String>) -> Self {
        Self::new(Severity::Problem, check, what)
    }

    /// Makes a problem in production, and a note elsewhere.
    pub(crate) fn problem_in_production(
        place: &StackPlace,
        check: &'static str,
        what: impl Into<String>,
    ) -> Self {
        Self::new(if place.prod { Severity::Problem } else { Severity::Note }, check, what)
    }

    /// About a stack's profile.
    #[must_use]
    pub(crate) fn at(mut self, place: &StackPlace) -> Self {
        self.stack = Some(place.stack.clone());
        self.profile.clone_from(&place.profile);
        self
    }

    #[must_use]
    pub(crate) fn next(mut self, step: impl Into<String>) -> Self {
        self.next.push(step.into());
        self
    }

    /// With the notes and the next steps of an error.
    #[must_use]
    pub(crate) fn explained_by(mut self, error: &crate::error::Error) -> Self {
        self.notes.extend(error.notes().iter().cloned());
        self.next.extend(error.hints().iter().cloned());
        self
    }

    /// Returns the subject of the finding: `acme prod`, or the check.
    pub(crate) fn about(&self) -> String {
        match &self.stack {
            Some(stack) => format!("{stack} {}", self.profile.as_deref().unwrap_or("unknown")),
            None => self.check.to_owned(),
        }
    }
}

#[cfg(test)]
impl StackPlace {
    /// `acme` in development or production.
    pub(crate) fn sample(prod: bool) -> Self {
        let profile = if prod { "prod" } else { "dev" };
        Self {
            stack: "acme".into(),
            profile: Some(profile.into()),
            prod,
            flags: format!("-s acme --{profile}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_has_the_notes_and_the_hints_of_its_error() {
        let error = crate::error::target("down").note("between two starts").hint("see why: `envctl logs`");
        let finding = CheckFinding::problem("database", error.full_message()).explained_by(&error);
        assert_eq!((finding.notes.as_slice(), finding.next.as_slice()), (error.notes(), error.hints()));
    }
}
