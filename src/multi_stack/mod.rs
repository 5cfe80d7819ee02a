//! One verb over several stacks: a plan, then a run.
//!
//! The way through: [`crate::multi_stack::collect_plans`] asks every stack at the same time for its plan, [`plan`] puts them into one table
//! that one confirmation covers, [`run`] carries them out as [`schedule`] says (how many at a time, one first,
//! stop or go on), [`crate::multi_stack::resume_file`] remembers which ones are done, [`report`] tells how each one ended.
//!
//! Promises: a verb is two functions, one that plans for a stack and one that carries its plan out, and knows nothing of
//! other stacks; a stack that hangs costs its own time limit and nobody else's; what was not begun is said to be not begun.

pub(crate) mod collect_plans;
pub(crate) mod per_stack_timeout;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod resume_file;
pub(crate) mod run;
pub(crate) mod schedule;

pub(crate) use collect_plans::collect_plans;
pub(crate) use plan::{MultiStackPlan, StackPlan};
pub(crate) use report::{End, Report, StackResult};
