//! Carrying out a confirmed plan over several stacks.
//!
//! Promises: the schedule is kept; every stack that was begun is waited for, up to its limit; each end is told to
//! `ended` at once, and to the resume_file by it.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;

use super::plan::MultiStackPlan;
use super::report::{End, StackResult};
use super::schedule::Schedule;
use crate::cancel::CancelToken;
use crate::consent::{Confirmed, Plan};
use crate::environment::Environment;
use crate::error::Result;
use crate::multi_stack::per_stack_timeout::StackTimeout;

/// Event that the runner reports while it works.
pub(crate) enum RunEvent<'a, O> {
    /// This stack is begun.
    Begun(&'a Environment),
    /// This stack has ended.
    Ended(usize, &'a StackResult<O>),
}

/// Carries the plan out by `work`; the ends are in the order of its stacks, `NotBegun` for what the schedule left.
pub(crate) async fn run<P: Plan, O, F>(
    plan: Confirmed<MultiStackPlan<P>>,
    mut schedule: Schedule,
    timeout: StackTimeout<'_>,
    work: impl Fn(Environment, CancelToken, Confirmed<P>) -> F,
    mut tell: impl FnMut(RunEvent<'_, O>),
) -> Vec<StackResult<O>>
where
    F: Future<Output = Result<O>>,
{
    let work = &work;
    let (mut stack_plans, mut ends) = (Vec::new(), Vec::new());
    for stack_plan in plan.each() {
        ends.push(StackResult::new(&stack_plan.0.0, End::NotBegun, Duration::ZERO));
        stack_plans.push(Some(stack_plan));
    }
    let mut under_way = FuturesUnordered::new();
    loop {
        if timeout.cancel.signal().is_some() {
            schedule.stop();
        }
        while let Some(at) = schedule.begin() {
            let Some(((environment, spent), plan)) = stack_plans.get_mut(at).and_then(Option::take) else {
                continue;
            };
            tell(RunEvent::Begun(&environment));
            under_way.push(async move {
                let began = Instant::now();
                let meant = environment.clone();
                let result = timeout.run(spent, |stop| work(meant, stop, plan)).await;
                let end = result.map_or_else(End::Failed, End::Done);
                (at, StackResult::new(&environment, end, began.elapsed()))
            });
        }
        let Some((at, ended)) = under_way.next().await else { break };
        schedule.ended(at, ended.is_done());
        tell(RunEvent::Ended(at, &ended));
        if let Some(place) = ends.get_mut(at) {
            *place = ended;
        }
    }
    ends
}
