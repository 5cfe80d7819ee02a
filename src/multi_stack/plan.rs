//! The plan over several stacks: one leg for each, one table, one confirmation.
//!
//! Promise: what is confirmed is every leg as it is shown, and every leg that is shown is confirmed.

use std::fmt;
use std::time::Duration;

use crate::consent::{Guard, GuardTarget, Parts, Plan};
use crate::environment::Environment;

/// Plan for one stack.
#[derive(Debug)]
pub(crate) struct StackPlan<P> {
    /// The stack.
    pub(crate) environment: Environment,
    /// Plan of the verb.
    pub(crate) plan: P,
    /// Part of the stack's time limit that planning has used.
    pub(crate) spent: Duration,
}

/// Everything that would be done.
#[derive(Debug)]
pub(crate) struct MultiStackPlan<P> {
    /// The verb, as it is typed.
    pub(crate) verb: &'static str,
    /// Order and rules of the run: `one at a time, acme first, stopping at the first failure`.
    pub(crate) manner: String,
    /// One for each stack.
    pub(crate) legs: Vec<StackPlan<P>>,
}

impl<P> MultiStackPlan<P> {
    /// Returns each stack that would be changed, as the guards need it.
    pub(crate) fn targets(&self, changes: impl Fn(&P) -> bool) -> Vec<GuardTarget> {
        self.legs
            .iter()
            .filter(|leg| changes(&leg.plan))
            .map(|leg| GuardTarget {
                stack: leg.environment.stack.clone(),
                profile: leg.environment.profile.name.clone(),
                prod: leg.environment.profile.counts_as_prod(),
                protected: leg.environment.protected,
                unlike: None,
            })
            .collect()
    }
}

impl<P: Plan> Plan for MultiStackPlan<P> {
    fn guard(&self) -> Guard {
        self.legs.iter().map(|leg| leg.plan.guard()).max().unwrap_or(Guard::Read)
    }
}

impl<P: Plan> Parts for MultiStackPlan<P> {
    type Key = (Environment, Duration);
    type Part = P;

    fn parts(self) -> Vec<(Self::Key, P)> {
        self.legs.into_iter().map(|leg| ((leg.environment, leg.spent), leg.plan)).collect()
    }
}

impl<P: fmt::Display> fmt::Display for MultiStackPlan<P> {
    /// A heading, then a line for each stack; what a plan says beyond its first line stands below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.legs.len();
        let stacks = if count == 1 { "stack" } else { "stacks" };
        write!(f, "{} on {count} {stacks}, {}", self.verb, self.manner)?;
        let named =
            |leg: &StackPlan<P>| format!("{} [{}]", leg.environment.stack, leg.environment.profile.word());
        let width = self.legs.iter().map(|leg| named(leg).chars().count()).max().unwrap_or(0);
        for leg in &self.legs {
            let shown = leg.plan.to_string();
            let mut lines = shown.lines();
            write!(f, "\n  {:width$}  {}", named(leg), lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n      {line}")?;
            }
        }
        Ok(())
    }
}
