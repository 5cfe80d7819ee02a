//! A time limit for one stack of several, and its own cancel token.
//!
//! Promises: at its limit a stack is asked to stop as by Ctrl-C, so that what runs in its container is ended; one
//! that does not come back then is given up after [`GRACE`], and nobody else has waited for it meanwhile.

use std::time::Duration;

use crate::cancel::{CancelToken, pair};
use crate::error::{self, ErrorKind, Result};
use crate::text::units::duration;

/// Longest time that a stack may take to stop after it was asked to, before envctl gives up on it.
pub(crate) const GRACE: Duration = Duration::from_secs(2);

/// Time limit of each stack, and the cancel token of the whole command.
#[derive(Clone, Copy)]
pub(crate) struct StackTimeout<'a> {
    /// `None` is without limit.
    pub(crate) limit: Option<Duration>,
    pub(crate) cancel: &'a CancelToken,
}

impl StackTimeout<'_> {
    /// Runs `work` with a cancel token of its own, that comes with that of the command or when what is left of the
    /// limit has passed: `spent` of it is over.
    ///
    /// # Errors
    /// Kind `Timeout` at the limit; otherwise the work's own.
    pub(crate) async fn run<T, F>(self, spent: Duration, work: impl FnOnce(CancelToken) -> F) -> Result<T>
    where
        F: Future<Output = Result<T>>,
    {
        let (trigger, own) = pair();
        let work = work(own);
        tokio::pin!(work);
        let patience = async {
            match self.limit {
                Some(limit) => tokio::time::sleep(limit.saturating_sub(spent)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            result = &mut work => result,
            signal = self.cancel.wait() => {
                // A second Ctrl-C ends the process, should this not come back.
                trigger.fire(signal);
                work.await
            }
            () = patience => {
                trigger.fire(15);
                let shown = duration(self.limit.unwrap_or_default());
                match tokio::time::timeout(GRACE, work).await {
                    Ok(Err(e)) if matches!(e.kind(), ErrorKind::Cancelled(_)) => {
                        Err(error::timeout(format!("not done within {shown} (--timeout); it was ended")))
                    }
                    Ok(other) => other,
                    Err(_) => Err(error::timeout(format!(
                        "not done within {shown} (--timeout), and it does not react to being stopped; it was given up"
                    ))
                    .hint("look at the container: `envctl status`, `docker ps`")),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(work)
    }

    async fn limited<T, F: Future<Output = Result<T>>>(
        limit: Option<Duration>,
        cancel: &CancelToken,
        work: impl FnOnce(CancelToken) -> F,
    ) -> Result<T> {
        StackTimeout { limit, cancel }.run(Duration::ZERO, work).await
    }

    const SHORT: Option<Duration> = Some(Duration::from_millis(20));

    #[test]
    fn work_in_time_is_what_it_is() {
        let done = block_on(limited(SHORT, &CancelToken::never(), async |_| Ok(7)));
        assert_eq!(done.unwrap(), 7);
    }

    #[test]
    fn work_that_follows_the_cancel_token_ends_at_the_limit() {
        let work = async |stop: CancelToken| stop.run_until_cancelled(std::future::pending::<()>()).await;
        let error = block_on(limited(SHORT, &CancelToken::never(), work)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("it was ended"), "{error}");
    }

    #[test]
    fn work_that_ends_well_when_asked_to_stop_has_ended_well() {
        let work = async |stop: CancelToken| {
            stop.wait().await;
            Ok("kept")
        };
        assert_eq!(block_on(limited(SHORT, &CancelToken::never(), work)).unwrap(), "kept");
    }

    #[test]
    fn work_that_heeds_nothing_is_given_up() {
        let began = Instant::now();
        let error = block_on(limited(SHORT, &CancelToken::never(), async |_| {
            std::future::pending::<Result<()>>().await
        }))
        .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("given up"), "{error}");
        assert!(began.elapsed() < GRACE + Duration::from_secs(1));
    }

    #[test]
    fn ctrl_c_is_passed_on() {
        let (trigger, outer) = pair();
        trigger.fire(2);
        let work = async |stop: CancelToken| stop.run_until_cancelled(std::future::pending::<()>()).await;
        let error = block_on(limited(None, &outer, work)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled(2));
    }
}
