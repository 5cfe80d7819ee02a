//! A connection to a daemon on another host: `ssh … docker system dial-stdio`, as the docker CLI does it, so that the
//! user's ssh configuration, agent and jump hosts apply.
//!
//! One connection to the host carries the sessions (ControlMaster). sshd allows 10 sessions in a connection by default
//! (MaxSessions); a client that asks for more gets `mux_client_request_session: session request failed` and connects
//! anew, which is slow. So at most [`MOST_SESSIONS`] are open, and the first one is established before others begin:
//! several first ones at once would each make a connection of their own. A first one that is silent does not keep the
//! others waiting for ever, and one is first again when the connection is lost or has stood idle for too long.
//!
//! Promise: nothing that ssh says reaches the terminal, unless the connection fails; then its message is in the error.
//! A question for a password or a host key still does: ssh asks at /dev/tty.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::error::{self, Result};
use crate::sync::lock;

/// Most sessions in one connection; two are left for the user's own of the ten that sshd allows.
const MOST_SESSIONS: usize = 8;
/// Longest wait for a session of the shared connection. Streams that last (a restore with many sessions) may hold all of
/// them: then a connection of its own is opened.
const SESSION_LIMIT: Duration = Duration::from_secs(5);
/// Longest wait for the first session to establish the connection; ssh itself gives up a host that is silent for 30 s. What
/// waits no longer makes a connection of its own.
const FIRST_LIMIT: Duration = Duration::from_secs(40);
/// Seconds for which ssh keeps the shared connection without a session (ControlPersist).
const PERSIST: u64 = 60;
/// Exit code by which ssh tells that the connection failed or was lost; other codes are those of the command there.
const CONNECTION_FAILED: i32 = 255;
/// Bytes of ssh's messages that are kept for an error.
const MESSAGE_LIMIT: u64 = 8 << 10;
/// Longest wait for ssh's message once its output has ended.
const MESSAGE_WAIT: Duration = Duration::from_secs(1);

/// Address of a daemon behind ssh.
pub(crate) struct Remote<'a> {
    /// Login name; `None` is what ssh's configuration says.
    pub(crate) user: Option<&'a str>,
    /// Host name or alias.
    pub(crate) host: &'a str,
    /// Port; `None` is what ssh's configuration says.
    pub(crate) port: Option<u16>,
    /// Path of the daemon's socket on that host; `None` is the default.
    pub(crate) path: Option<&'a str>,
}

/// Sessions that share a connection to one host.
#[derive(Clone, Debug)]
pub(crate) struct SshSessions {
    free: Arc<Semaphore>,
    /// Held by the session that establishes the shared connection.
    first: Arc<Mutex<()>>,
    state: Arc<ConnectionState>,
    /// Program that is run.
    program: PathBuf,
    /// See [`FIRST_LIMIT`].
    first_limit: Duration,
}

/// State of the shared connection.
#[derive(Debug)]
struct ConnectionState {
    established: AtomicBool,
    /// End of the last session.
    last_end: std::sync::Mutex<Instant>,
}

impl ConnectionState {
    fn is_established(&self) -> bool {
        self.established.load(Ordering::SeqCst)
    }

    fn set_established(&self, established: bool) {
        self.established.store(established, Ordering::SeqCst);
    }

    fn ended(&self) {
        *lock(&self.last_end) = Instant::now();
    }

    fn idle(&self) -> Duration {
        lock(&self.last_end).elapsed()
    }
}

impl Default for SshSessions {
    fn default() -> Self {
        let state = ConnectionState { established: AtomicBool::new(false), last_end: Instant::now().into() };
        Self {
            free: Arc::new(Semaphore::new(MOST_SESSIONS)),
            first: Arc::default(),
            state: Arc::new(state),
            program: PathBuf::from("ssh"),
            first_limit: FIRST_LIMIT,
        }
    }
}

/// Place of a session.
enum Admission {
    /// In the shared connection, which stands.
    Shared(OwnedSemaphorePermit),
    /// In the shared connection, which this session establishes: others wait until it has answered.
    First(OwnedSemaphorePermit, OwnedMutexGuard<()>),
    /// In a connection of its own.
    Alone,
}

impl SshSessions {
    /// Waits for a place.
    async fn admit(&self) -> Admission {
        let waiting = tokio::time::timeout(SESSION_LIMIT, self.free.clone().acquire_owned());
        let Some(permit) = waiting.await.ok().and_then(std::result::Result::ok) else {
            return Admission::Alone;
        };
        // ssh has closed a connection that no session has used for so long.
        let is_only_one = self.free.available_permits() + 1 == MOST_SESSIONS;
        if is_only_one && self.state.idle() >= Duration::from_secs(PERSIST) {
            self.state.set_established(false);
        }
        if self.state.is_established() {
            return Admission::Shared(permit);
        }
        match tokio::time::timeout(self.first_limit, self.first.clone().lock_owned()).await {
            Ok(_) if self.state.is_established() => Admission::Shared(permit),
            Ok(first) => Admission::First(permit, first),
            Err(_) => Admission::Alone,
        }
    }
}

/// Opens a session.
///
/// # Errors
/// Kind `Docker`: `ssh` cannot be started. A host that cannot be reached is an error of the first read.
pub(crate) async fn connect(remote: &Remote<'_>, sessions: &SshSessions) -> Result<SshIo> {
    let (permit, first) = match sessions.admit().await {
        Admission::Shared(permit) => (Some(permit), None),
        Admission::First(permit, first) => (Some(permit), Some(first)),
        Admission::Alone => (None, None),
    };
    let mut child = command(&sessions.program, remote, permit.is_some())
        .spawn()
        .map_err(|e| error::docker("cannot start `ssh`").because(e).hint("install the OpenSSH client"))?;
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(error::docker("ssh gave no pipes"));
    };
    Ok(SshIo {
        stdin: Some(stdin),
        stdout,
        message: SshMessage::Reading(tokio::spawn(read_message(stderr))),
        has_answered: false,
        first,
        state: sessions.state.clone(),
        child: Some(child),
        ending: None,
        has_ended: false,
        permit,
    })
}

fn command(program: &Path, remote: &Remote<'_>, shared: bool) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = remote.user {
        command.args(["-l", user]);
    }
    if let Some(port) = remote.port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["-o", "ConnectTimeout=30"]);
    if shared {
        command.args([
            "-o",
            "ControlMaster=auto",
            "-o",
            &format!("ControlPersist={PERSIST}"),
            "-o",
            "ControlPath=~/.ssh/envctl-%C",
        ]);
    } else {
        command.args(["-o", "ControlMaster=no", "-o", "ControlPath=none"]);
    }
    command.args(["-T", "--", remote.host, "docker"]);
    if let Some(path) = remote.path {
        command.arg(format!("--host=unix://{path}"));
    }
    command.args(["system", "dial-stdio"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Reads what ssh says to its end, and keeps the beginning: it must never wait for a reader.
async fn read_message(mut stderr: ChildStderr) -> String {
    let mut kept = Vec::new();
    let _ = (&mut stderr).take(MESSAGE_LIMIT).read_to_end(&mut kept).await;
    let _ = tokio::io::copy(&mut stderr, &mut tokio::io::sink()).await;
    String::from_utf8_lossy(&kept).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// ssh's message, as far as it is known.
enum SshMessage {
    Reading(JoinHandle<String>),
    Awaited(BoxFuture<'static, String>),
    Taken,
}

/// Pipes of an `ssh` child as one stream.
pub(crate) struct SshIo {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    message: SshMessage,
    /// Bytes have come: the connection stands.
    has_answered: bool,
    /// Held by the session that establishes the shared connection, until its first byte.
    first: Option<OwnedMutexGuard<()>>,
    state: Arc<ConnectionState>,
    child: Option<Child>,
    /// Wait for its exit code.
    ending: Option<BoxFuture<'static, (Child, Option<ExitStatus>)>>,
    /// The exit code was waited for.
    has_ended: bool,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for SshIo {
    /// Ends ssh, and gives its session away only once it has ended: until then the host counts it.
    fn drop(&mut self) {
        // A wait for the end holds the child, which dies with it.
        self.state.ended();
        let (Some(mut child), permit) = (self.child.take(), self.permit.take()) else { return };
        let state = self.state.clone();
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = child.kill().await;
                state.ended();
                drop(permit);
            });
        }
    }
}

impl SshIo {
    /// Waits for the exit code of ssh, once its output has ended: it tells whether the connection was lost.
    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(mut child) = self.child.take().filter(|_| !self.has_ended) {
            let ended = async move {
                let status = tokio::time::timeout(MESSAGE_WAIT, child.wait()).await;
                (child, status.ok().and_then(std::result::Result::ok))
            };
            self.ending = Some(ended.boxed());
        }
        if let Some(ending) = &mut self.ending {
            let (child, status) = std::task::ready!(ending.as_mut().poll(cx));
            self.ending = None;
            self.has_ended = true;
            // It may still be fed: only its output has ended.
            self.child = Some(child);
            if self.permit.is_some() && status.is_some_and(|status| status.code() == Some(CONNECTION_FAILED))
            {
                self.state.set_established(false);
            }
        }
        Poll::Ready(())
    }

    /// The end of a connection that never answered: ssh's message as an error.
    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if let SshMessage::Reading(_) = self.message
            && let SshMessage::Reading(reading) = std::mem::replace(&mut self.message, SshMessage::Taken)
        {
            let awaited = async {
                tokio::time::timeout(MESSAGE_WAIT, reading)
                    .await
                    .ok()
                    .and_then(std::result::Result::ok)
                    .unwrap_or_default()
            };
            self.message = SshMessage::Awaited(awaited.boxed());
        }
        let SshMessage::Awaited(awaited) = &mut self.message else { return Poll::Ready(Ok(())) };
        let message = std::task::ready!(awaited.as_mut().poll(cx));
        self.message = SshMessage::Taken;
        if message.is_empty() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Ready(Err(std::io::Error::other(message)))
        }
    }
}

impl AsyncRead for SshIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buf.filled().len();
        std::task::ready!(Pin::new(&mut self.stdout).poll_read(cx, buf))?;
        if buf.filled().len() > before {
            self.has_answered = true;
            if self.first.is_some() {
                self.state.set_established(true);
                self.first = None;
            }
            return Poll::Ready(Ok(()));
        }
        std::task::ready!(self.poll_end(cx));
        if self.has_answered { Poll::Ready(Ok(())) } else { self.poll_failure(cx) }
    }
}

impl AsyncWrite for SshIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match &mut self.stdin {
            // ssh that has ended closes its input: the read that follows has the reason.
            Some(stdin) => match std::task::ready!(Pin::new(stdin).poll_write(cx, buf)) {
                Err(_) if !self.has_answered => Poll::Ready(Ok(buf.len())),
                result => Poll::Ready(result),
            },
            None => Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match &mut self.stdin {
            Some(stdin) => Pin::new(stdin).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        // Only a closed pipe is an end of input for the child; `ChildStdin::shutdown` does not close it.
        self.stdin = None;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const REMOTE: Remote<'_> = Remote { user: None, host: "far.example", port: None, path: None };

    /// Sessions whose ssh is this script. It is written before any child is started: a file that is open for writing
    /// in a child cannot be run.
    fn sessions(directory: &Path, script: &str) -> SshSessions {
        let program = directory.join("ssh");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        SshSessions { program, ..SshSessions::default() }
    }

    fn is_first(session: &SshIo) -> bool {
        session.first.is_some()
    }

    #[tokio::test]
    async fn a_first_session_that_never_answers_does_not_keep_the_others_waiting() {
        let sessions = SshSessions { first_limit: Duration::from_millis(20), ..SshSessions::default() };
        let silent = sessions.admit().await;
        assert!(matches!(silent, Admission::First(..)));
        assert!(matches!(sessions.admit().await, Admission::Alone), "in a connection of its own");
        drop(silent);
        assert!(matches!(sessions.admit().await, Admission::First(..)), "the next one establishes it");
    }

    #[tokio::test]
    async fn a_connection_that_ssh_has_closed_for_idleness_is_established_by_one_session_again() {
        let sessions = SshSessions::default();
        let idle_for = |seconds| {
            let end = Instant::now().checked_sub(Duration::from_secs(seconds)).unwrap();
            *sessions.state.last_end.lock().unwrap() = end;
        };
        sessions.state.set_established(true);
        idle_for(PERSIST / 2);
        let held = sessions.admit().await;
        assert!(matches!(held, Admission::Shared(_)));
        idle_for(PERSIST);
        assert!(matches!(sessions.admit().await, Admission::Shared(_)), "a session keeps it");
        drop(held);
        assert!(matches!(sessions.admit().await, Admission::First(..)));
    }

    #[tokio::test]
    async fn after_the_connection_is_lost_one_session_establishes_it_before_others_begin() {
        let directory = tempfile::tempdir().unwrap();
        let sessions = sessions(directory.path(), "echo answer; read line; exit $line");
        let mut byte = [0; 7];
        let mut one = connect(&REMOTE, &sessions).await.unwrap();
        assert!(is_first(&one));
        one.read_exact(&mut byte).await.unwrap();
        let mut two = connect(&REMOTE, &sessions).await.unwrap();
        assert!(!is_first(&two), "the connection stands");
        two.read_exact(&mut byte).await.unwrap();
        // The command there has ended: the connection stands.
        tokio::io::AsyncWriteExt::write_all(&mut two, b"1\n").await.unwrap();
        assert_eq!(two.read(&mut byte).await.unwrap(), 0);
        assert!(sessions.state.is_established());
        // ssh itself has lost the host.
        tokio::io::AsyncWriteExt::write_all(&mut one, b"255\n").await.unwrap();
        assert_eq!(one.read(&mut byte).await.unwrap(), 0);
        let three = connect(&REMOTE, &sessions).await.unwrap();
        assert!(is_first(&three), "the next one establishes it anew");
    }
}
