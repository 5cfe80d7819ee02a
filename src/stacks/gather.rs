//! The same question to several stacks at the same time.
//!
//! Promises: answers come in the order of the stacks; one that fails or hangs fails alone; at most so many are
//! asked at a time, since every question costs the daemon an exec.

use std::time::{Duration, Instant};

use futures::StreamExt as _;

use super::limit::limited;
use crate::environment::Environment;
use crate::error::Result;
use crate::interrupt::Interrupt;

/// How many stacks are asked at a time. All of 20: one that hangs shall not hold up those behind it.
pub const AT_ONCE: usize = 20;

/// One stack's answer.
#[derive(Debug)]
pub struct Gathered<T> {
    /// Which stack.
    pub environment: Environment,
    /// What it said.
    pub answer: Result<T>,
    /// How long that took.
    pub took: Duration,
}

/// Asks every stack; each has `limit` to answer.
pub async fn gather<'a, T, F>(
    environments: Vec<Environment>,
    limit: Option<Duration>,
    interrupt: &Interrupt,
    ask: impl Fn(Environment, Interrupt) -> F + 'a,
) -> Vec<Gathered<T>>
where
    F: Future<Output = Result<T>>,
{
    let ask = &ask;
    let answers = environments.into_iter().map(|environment| async move {
        let began = Instant::now();
        let meant = environment.clone();
        let answer = limited(limit, Duration::ZERO, interrupt, |stop| ask(meant, stop)).await;
        Gathered { environment, answer, took: began.elapsed() }
    });
    futures::stream::iter(answers).buffered(AT_ONCE).collect().await
}
