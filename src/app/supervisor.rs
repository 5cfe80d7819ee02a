//! Supervisor of a child that is envctl itself: a run of its own process may crash and takes nobody along.
//!
//! Promises: the child gets a signal once, and ends by itself; as process 1 of a container every orphan is reaped. The
//! process has no other children: whoever waits for one would lose its status to the reaping.

use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};

use super::App;
use crate::cancel::{CancelToken, cancelled};
use crate::error::{self, Result};

/// End of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChildEnd {
    Exited(u8),
    Killed(i32),
}

/// Starts children and waits for them.
pub(crate) struct Supervisor {
    ended: SignalStream,
    cancel: CancelToken,
}

#[expect(clippy::unused_self, reason = "what the process gives is asked of the App")]
impl App {
    /// Begins to reap children.
    ///
    /// # Errors
    /// Kind `Failed`: the signal of an ended child cannot be caught.
    pub(crate) fn supervisor(&self) -> Result<Supervisor> {
        let ended = signal(SignalKind::child())
            .map_err(|cause| error::failed("signals cannot be handled").because(cause))?;
        Ok(Supervisor { ended, cancel: self.cancel.clone() })
    }

    /// Returns this command again, with more arguments, in a process group of its own: Ctrl-C at a terminal reaches the
    /// supervisor alone, and a child that got it twice would not clean up.
    ///
    /// # Errors
    /// Kind `Failed`: the path of envctl is not known.
    pub(crate) fn own_command(&self, more: &[String]) -> Result<Command> {
        let mut command = Command::new(own_path()?);
        command.args(std::env::args_os().skip(1)).args(more).process_group(0);
        Ok(command)
    }

    /// Returns the path of this program.
    ///
    /// # Errors
    /// Kind `Failed`: it is not known.
    pub(crate) fn own_path(&self) -> Result<std::path::PathBuf> {
        own_path()
    }

    /// Lets this process end with its supervisor, whatever ends that one.
    pub(crate) fn end_with_supervisor(&self) {
        #[cfg(target_os = "linux")]
        let _ = rustix::process::set_parent_process_death_signal(Some(Signal::TERM));
    }
}

fn own_path() -> Result<std::path::PathBuf> {
    std::env::current_exe().map_err(|cause| error::failed("the path of envctl is not known").because(cause))
}

impl Supervisor {
    /// Waits; orphans are reaped meanwhile.
    ///
    /// # Errors
    /// Kind `Cancelled`.
    pub(crate) async fn sleep(&mut self, duration: Duration) -> Result<()> {
        let until = tokio::time::sleep(duration);
        tokio::pin!(until);
        loop {
            tokio::select! {
                biased;
                signal = self.cancel.wait() => return Err(cancelled(signal)),
                () = &mut until => return Ok(()),
                _ = self.ended.recv() => drop(reap(None)),
            }
        }
    }

    /// Runs a child to its end. A signal that cancels this process is sent to the child, which is waited for.
    ///
    /// # Errors
    /// Kind `Failed`: the child cannot be started. `Cancelled`: it was ended.
    pub(crate) async fn run(&mut self, mut command: Command) -> Result<ChildEnd> {
        let child =
            command.spawn().map_err(|cause| error::failed("the run cannot be started").because(cause))?;
        let id = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let id = id.ok_or_else(|| error::failed("the run has no process"))?;
        let mut sent = None;
        loop {
            if let Some(end) = reap(Some(id)) {
                return match sent {
                    Some(signal) => Err(cancelled(signal)),
                    None => Ok(end),
                };
            }
            tokio::select! {
                _ = self.ended.recv() => {}
                signal = self.cancel.wait(), if sent.is_none() => {
                    sent = Some(signal);
                    let as_sent = match signal {
                        1 => Signal::HUP,
                        2 => Signal::INT,
                        _ => Signal::TERM,
                    };
                    let _ = rustix::process::kill_process(id, as_sent);
                }
            }
        }
    }
}

/// Takes the status of every child that has ended; returns the end of the one that is meant.
fn reap(meant: Option<Pid>) -> Option<ChildEnd> {
    let mut end = None;
    while let Ok(Some((id, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if Some(id) == meant {
            end = Some(end_of(status));
        }
    }
    end
}

fn end_of(status: WaitStatus) -> ChildEnd {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => ChildEnd::Exited(u8::try_from(code).unwrap_or(u8::MAX)),
        (None, Some(signal)) => ChildEnd::Killed(signal),
        (None, None) => ChildEnd::Exited(u8::MAX),
    }
}
