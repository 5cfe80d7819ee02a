//! Asks several stacks the same question at the same time.
//!
//! Promises: answers come in the order of the stacks; one that fails or hangs fails alone; at most so many are
//! asked at a time, since every question costs the daemon an exec.

use std::time::{Duration, Instant};

use futures::StreamExt as _;

use crate::cancel::CancelToken;
use crate::environment::Environment;
use crate::error::Result;
use crate::multi_stack::per_stack_timeout::StackTimeout;

/// Number of stacks asked at a time. With all of 20, a stack that hangs does not hold up the others.
pub(crate) const AT_ONCE: usize = 20;

/// One stack's answer.
#[derive(Debug)]
pub(crate) struct PlanResult<T> {
    /// The stack.
    pub(crate) environment: Environment,
    /// Answer of the stack.
    pub(crate) answer: Result<T>,
    /// Time that the answer took.
    pub(crate) took: Duration,
}

/// Asks every stack; each has its time limit to answer.
pub(crate) async fn collect_plans<T, F>(
    environments: Vec<Environment>,
    timeout: StackTimeout<'_>,
    ask: impl Fn(Environment, CancelToken) -> F,
) -> Vec<PlanResult<T>>
where
    F: Future<Output = Result<T>>,
{
    let ask = &ask;
    let answers = environments.into_iter().map(|environment| async move {
        let began = Instant::now();
        let meant = environment.clone();
        let answer = timeout.run(Duration::ZERO, |stop| ask(meant, stop)).await;
        PlanResult { environment, answer, took: began.elapsed() }
    });
    futures::stream::iter(answers).buffered(AT_ONCE).collect().await
}
