//! The plan over several stacks: one leg for each, one table, one confirmation.
//!
//! Promise: what is confirmed is every leg as it is shown, and every leg that is shown is confirmed.

use std::fmt;
use std::time::Duration;

use crate::consent::{Guard, GuardTarget, Parts, Plan};
use crate::environment::Environment;

#[derive(Debug)]
pub(crate) struct StackPlan<P> {
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
    pub(crate) stack_plans: Vec<StackPlan<P>>,
}

impl<P> MultiStackPlan<P> {
    /// Returns each stack that would be changed, as the guards need it.
    pub(crate) fn targets(&self, changes: impl Fn(&P) -> bool) -> Vec<GuardTarget> {
        self.stack_plans
            .iter()
            .filter(|stack_plan| changes(&stack_plan.plan))
            .map(|stack_plan| GuardTarget {
                stack: stack_plan.environment.stack.clone(),
                profile: stack_plan.environment.profile.name.clone(),
                prod: stack_plan.environment.profile.counts_as_prod(),
                protected: stack_plan.environment.protected,
                unlike: None,
            })
            .collect()
    }
}

impl<P: Plan> Plan for MultiStackPlan<P> {
    fn guard(&self) -> Guard {
        self.stack_plans.iter().map(|stack_plan| stack_plan.plan.guard()).max().unwrap_or(Guard::Read)
    }
}

impl<P: Plan> Parts for MultiStackPlan<P> {
    type Key = (Environment, Duration);
    type Part = P;

    fn parts(self) -> Vec<(Self::Key, P)> {
        self.stack_plans
            .into_iter()
            .map(|stack_plan| ((stack_plan.environment, stack_plan.spent), stack_plan.plan))
            .collect()
    }
}

impl<P: fmt::Display> fmt::Display for MultiStackPlan<P> {
    /// A heading, then a line for each stack; what a plan says beyond its first line stands below it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.stack_plans.len();
        let stacks = if count == 1 { "stack" } else { "stacks" };
        write!(f, "{} on {count} {stacks}, {}", self.verb, self.manner)?;
        let named = |stack_plan: &StackPlan<P>| {
            format!("{} [{}]", stack_plan.environment.stack, stack_plan.environment.profile.keyword())
        };
        let width =
            self.stack_plans.iter().map(|stack_plan| named(stack_plan).chars().count()).max().unwrap_or(0);
        for stack_plan in &self.stack_plans {
            let shown = stack_plan.plan.to_string();
            let mut lines = shown.lines();
            write!(f, "\n  {:width$}  {}", named(stack_plan), lines.next().unwrap_or_default())?;
            for line in lines {
                write!(f, "\n      {line}")?;
            }
        }
        Ok(())
    }
}
