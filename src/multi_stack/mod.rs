//! One verb over several stacks: a plan, then a run.
//!
//! The way through: [`crate::multi_stack::collect_plans`] asks every stack at the same time for its plan, [`plan`] puts them into one table
//! that one confirmation covers, [`run`] carries them out as [`schedule`] says (how many at a time, one first,
//! stop or go on), [`crate::multi_stack::resume_file`] remembers which ones are done, [`report`] tells how each one ended.
//!
//! Promises: a verb is an implementation of [`StackOperation`] and knows nothing of other stacks; a stack that hangs
//! costs its own time limit and nobody else's; what was not begun is said to be not begun.

pub(crate) mod collect_plans;
pub(crate) mod per_stack_timeout;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod resume_file;
pub(crate) mod run;
pub(crate) mod schedule;

use std::fmt::Display;

use serde::Serialize;

use crate::cancel::CancelToken;
use crate::consent::{Confirmed, Plan};
use crate::environment::Environment;
use crate::error::Result;

pub(crate) use collect_plans::collect_plans;
pub(crate) use plan::{MultiStackPlan, StackPlan};
pub(crate) use report::{End, Report, StackResult};

/// Something that is done to one stack, as the runner sees it.
pub(crate) trait StackOperation {
    /// Plan for one stack; its `Display` is what a person confirms.
    type Plan: Plan + Serialize;
    /// Result for one stack; its `Display` is one line of the final table.
    type Outcome: Display + Serialize;

    /// Returns the verb as typed behind `envctl`: `migrate reset`.
    fn name(&self) -> &'static str;

    /// Reports whether a plan would change anything. A stack without changes needs no confirmation.
    fn changes(&self, _plan: &Self::Plan) -> bool {
        true
    }

    /// Looks at one stack and decides; changes nothing. `stop` is this stack's own wish to stop: Ctrl-C or its
    /// time limit.
    ///
    /// # Errors
    /// Reason why the verb cannot run there.
    fn plan(&self, environment: &Environment, stop: CancelToken) -> impl Future<Output = Result<Self::Plan>>;

    /// Does it.
    ///
    /// # Errors
    /// The verb's own.
    fn run(
        &self,
        environment: &Environment,
        stop: CancelToken,
        plan: Confirmed<Self::Plan>,
    ) -> impl Future<Output = Result<Self::Outcome>>;
}
