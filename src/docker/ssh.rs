//! A connection to a daemon on another host: `ssh … docker system dial-stdio`, as the docker CLI does it, so that the
//! user's ssh configuration, agent and jump hosts apply.
//!
//! One connection to the host carries the sessions (ControlMaster). sshd allows 10 sessions in a connection by default
//! (MaxSessions); a client that asks for more gets `mux_client_request_session: session request failed` and connects
//! anew, which is slow. So at most [`MOST_SESSIONS`] are open, and the first one is established before others begin:
//! several first ones at once would each make a connection of their own.
//!
//! Promise: nothing that ssh says reaches the terminal, unless the connection fails; then its message is in the error.
//! A question for a password or a host key still does: ssh asks at /dev/tty.

use std::pin::Pin;
use std::process::Stdio;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};
use tokio::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use crate::error::{self, Result};

/// Most sessions in one connection; two are left for the user's own of the ten that sshd allows.
const MOST_SESSIONS: usize = 8;
/// Longest wait for a session of the shared connection. Streams that last (a restore with many sessions) may hold all of
/// them: then a connection of its own is opened.
const SESSION_LIMIT: Duration = Duration::from_secs(5);
/// Bytes of ssh's messages that are kept for an error.
const MESSAGE_LIMIT: u64 = 8 << 10;
/// Longest wait for ssh's message once its output has ended.
const MESSAGE_WAIT: Duration = Duration::from_secs(1);

/// Address of a daemon behind ssh.
pub(super) struct Remote<'a> {
    /// Login name; `None` is what ssh's configuration says.
    pub(super) user: Option<&'a str>,
    /// Host name or alias.
    pub(super) host: &'a str,
    /// Port; `None` is what ssh's configuration says.
    pub(super) port: Option<u16>,
    /// Path of the daemon's socket on that host; `None` is the default.
    pub(super) path: Option<&'a str>,
}

/// Sessions that share a connection to one host.
#[derive(Clone, Debug)]
pub(super) struct Sessions {
    free: Arc<Semaphore>,
    /// Reports whether the shared connection stands; locked while the first session establishes it.
    established: Arc<Mutex<bool>>,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { free: Arc::new(Semaphore::new(MOST_SESSIONS)), established: Arc::default() }
    }
}

/// Opens a session.
///
/// # Errors
/// Kind `Docker`: `ssh` cannot be started. A host that cannot be reached is an error of the first read.
pub(super) async fn connect(remote: &Remote<'_>, sessions: &Sessions) -> Result<SshIo> {
    let waiting = tokio::time::timeout(SESSION_LIMIT, sessions.free.clone().acquire_owned());
    let permit = waiting.await.ok().and_then(std::result::Result::ok);
    let first = match &permit {
        Some(_) => Some(sessions.established.clone().lock_owned().await).filter(|established| !**established),
        None => None,
    };
    let mut child = command(remote, permit.is_some())
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
        message: Message::Reading(tokio::spawn(read_message(stderr))),
        has_answered: false,
        first,
        child: Some(child),
        permit,
    })
}

fn command(remote: &Remote<'_>, shared: bool) -> Command {
    let mut command = Command::new("ssh");
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
            "ControlPersist=60",
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
enum Message {
    Reading(JoinHandle<String>),
    Awaited(BoxFuture<'static, String>),
    Taken,
}

/// Pipes of an `ssh` child as one stream.
pub(super) struct SshIo {
    stdin: Option<ChildStdin>,
    stdout: ChildStdout,
    message: Message,
    /// Bytes have come: the connection stands.
    has_answered: bool,
    /// Held by the session that establishes the shared connection, until its first byte.
    first: Option<OwnedMutexGuard<bool>>,
    child: Option<Child>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Drop for SshIo {
    /// Ends ssh, and gives its session away only once it has ended: until then the host counts it.
    fn drop(&mut self) {
        let (Some(mut child), permit) = (self.child.take(), self.permit.take()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                let _ = child.kill().await;
                drop(permit);
            });
        }
    }
}

impl SshIo {
    /// The end of a connection that never answered: ssh's message as an error.
    fn poll_failure(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        if let Message::Reading(_) = self.message
            && let Message::Reading(reading) = std::mem::replace(&mut self.message, Message::Taken)
        {
            let awaited = async {
                tokio::time::timeout(MESSAGE_WAIT, reading)
                    .await
                    .ok()
                    .and_then(std::result::Result::ok)
                    .unwrap_or_default()
            };
            self.message = Message::Awaited(awaited.boxed());
        }
        let Message::Awaited(awaited) = &mut self.message else { return Poll::Ready(Ok(())) };
        let message = std::task::ready!(awaited.as_mut().poll(cx));
        self.message = Message::Taken;
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
            if let Some(mut established) = self.first.take() {
                *established = true;
            }
            return Poll::Ready(Ok(()));
        }
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
