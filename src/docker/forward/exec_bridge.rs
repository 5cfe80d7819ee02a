//! A connection through an exec: the tools that can join their own streams to a port.
//!
//! Promises: one process each, no child of its own, so nothing is left to PID 1 (reliability §0.6); constant
//! programs, the port as an argument; what cannot pass on one side's end is taken last.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::super::container::Container;
use super::super::exec::Exec;
use crate::docker::exec::demux::Output;
use crate::docker::exec::kill_tree::TAG;
use crate::docker::exec::spec::ExecSpec;
use crate::docker::exec::start_failure::start_failure;
use crate::docker::exec::stderr_tail::StderrTail;
use crate::error::{self, Result};

/// Buffer size in bytes, that of a pipe, for fewer system calls than with the usual 8 KiB.
pub(crate) const BUFFER: usize = 64 << 10;

/// A program that images have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BridgeTool {
    /// Made for it.
    Socat,
    /// Any version 3.
    Python,
    /// With its own modules only; in every Debian image.
    Perl,
    /// Any version.
    Node,
    /// OpenBSD's or busybox's.
    Netcat,
    /// By /dev/tcp; it cannot tell the port that nothing more will come.
    Bash,
}

/// In the order of preference.
const TOOLS: &[(BridgeTool, &str)] = &[
    (BridgeTool::Socat, "socat"),
    (BridgeTool::Python, "python3"),
    (BridgeTool::Perl, "perl"),
    (BridgeTool::Node, "node"),
    (BridgeTool::Netcat, "nc"),
    (BridgeTool::Bash, "bash"),
];

const LOOK: &str =
    "for tool; do command -v \"$tool\" >/dev/null 2>&1 && { echo \"$tool\"; exit 0; }; done; exit 0";

const PYTHON: &str = "
import os, select, socket, sys
s = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
reading = [0, s]
while s in reading:
    for r in select.select(reading, [], [])[0]:
        if r == 0:
            data = os.read(0, 65536)
            if data: s.sendall(data)
            else:
                reading.remove(0)
                s.shutdown(socket.SHUT_WR)
        else:
            data = s.recv(65536)
            if not data: reading.remove(s)
            while data: data = data[os.write(1, data):]
";

const PERL: &str = "
use strict; use Socket;
socket(my $s, PF_INET, SOCK_STREAM, 0) or die \"$!\\n\";
connect($s, pack_sockaddr_in($ARGV[0], inet_aton('127.0.0.1'))) or die \"$!\\n\";
sub out { my ($to, $data) = @_; while (length $data) { my $n = syswrite($to, $data); exit 1 unless defined $n; substr($data, 0, $n) = ''; } }
my ($in, $there) = (1, 1);
while ($there) {
  my $set = ''; vec($set, fileno(STDIN), 1) = 1 if $in; vec($set, fileno($s), 1) = 1;
  select(my $ready = $set, undef, undef, undef) > 0 or next;
  if ($in && vec($ready, fileno(STDIN), 1)) {
    if (sysread(STDIN, my $data, 65536)) { out($s, $data) } else { $in = 0; shutdown($s, 1) }
  }
  if (vec($ready, fileno($s), 1)) {
    if (sysread($s, my $data, 65536)) { out(*STDOUT, $data) } else { $there = 0 }
  }
}
";

const NODE: &str = "
const s = require('net').connect({ host: '127.0.0.1', port: +process.argv[1], allowHalfOpen: true });
s.on('error', (e) => { console.error(e.message); process.exit(1); });
process.stdin.pipe(s); s.pipe(process.stdout);
s.on('end', () => process.stdout.write('', () => process.exit(0)));
";

/// Both directions in one process are beyond a shell; the reader is a child that ends with the connection.
const BASH: &str = "exec 3<>/dev/tcp/127.0.0.1/$0 || exit 1; cat <&3 & cat >&3; wait";

impl BridgeTool {
    /// The command line.
    pub(crate) fn argv(self, port: u16) -> Vec<String> {
        let port = port.to_string();
        let reply: &[&str] = match self {
            Self::Socat => {
                return vec![
                    "socat".into(),
                    "-t".into(),
                    "3600".into(),
                    "-".into(),
                    format!("TCP:127.0.0.1:{port}"),
                ];
            }
            Self::Python => &["python3", "-u", "-c", PYTHON, &port],
            Self::Perl => &["perl", "-e", PERL, &port],
            // Its options are not those of the container's own programs.
            Self::Node => &["node", "-e", NODE, &port],
            Self::Netcat => &["nc", "127.0.0.1", &port],
            Self::Bash => &["bash", "-c", BASH, &port],
        };
        reply.iter().map(|value| (*value).to_owned()).collect()
    }

    /// Name of the tool, for messages.
    pub(crate) fn name(self) -> &'static str {
        TOOLS.iter().find(|(tool, _)| *tool == self).map_or("", |(_, name)| name)
    }
}

/// The names of all.
pub(crate) fn names() -> String {
    TOOLS.iter().map(|(_, name)| *name).collect::<Vec<_>>().join(", ")
}

/// The first that the image has.
pub(crate) async fn find(container: &Container) -> Result<Option<BridgeTool>> {
    let mut argv = vec!["sh", "-c", LOOK, "sh"];
    argv.extend(TOOLS.iter().map(|(_, name)| *name));
    let found = container.capture(&ExecSpec::new(argv), None).await?;
    let name = found.text();
    Ok(TOOLS.iter().find(|(_, known)| *known == name).map(|(tool, _)| *tool))
}

/// Reports whether the tool gets an answer from the port. The connection is closed at once.
pub(crate) async fn answers(container: &Container, tool: BridgeTool, port: u16) -> bool {
    let spec = ExecSpec::new(tool.argv(port)).env("NODE_OPTIONS", "");
    let asked = container.capture(&spec, Some(b"GET / HTTP/1.0\r\n\r\n"));
    let answer = tokio::time::timeout(std::time::Duration::from_secs(5), asked).await;
    matches!(answer, Ok(Ok(answer)) if !answer.stdout.is_empty() && start_failure(&answer.stdout, answer.exit_code).is_none())
}

/// Carries one connection to its end.
///
/// # Errors
/// Kind `BridgeTool`: nothing listens on the port. `Integrity`: the stream broke.
pub(crate) async fn carry(
    container: &Container,
    tool: BridgeTool,
    port: u16,
    socket: TcpStream,
    value: &str,
) -> Result<()> {
    let spec = ExecSpec::new(tool.argv(port)).env(TAG, value).env("NODE_OPTIONS", "").with_stdin();
    let Exec { mut output, mut input, handle } = container.exec(&spec).await?;
    let (mut from, mut to) = socket.into_split();
    let there = async {
        let mut buffer = vec![0; BUFFER];
        loop {
            match from.read(&mut buffer).await {
                Ok(0) | Err(_) => break,
                Ok(len) if input.write(&buffer[..len]).await.is_err() => return,
                Ok(_) => {}
            }
        }
        let _ = input.close().await;
    };
    let back = async {
        let mut stderr = StderrTail::default();
        let mut block = Vec::with_capacity(BUFFER);
        loop {
            block.clear();
            let mut sink = |which, bytes: &[u8]| match which {
                Output::Stdout => block.extend_from_slice(bytes),
                Output::Stderr => stderr.push(bytes),
            };
            let more = output.read(&mut sink).await?;
            if to.write_all(&block).await.is_err() || !more {
                break;
            }
        }
        let _ = to.shutdown().await;
        Ok::<_, error::Error>(stderr)
    };
    // Whichever way the port's side ends, the connection is over; our side's end alone is not.
    tokio::pin!(there, back);
    let result = tokio::select! {
        result = &mut back => result,
        () = &mut there => back.await,
    };
    let stderr = result?;
    if !stderr.bytes().is_empty() || handle_failed(&handle).await {
        let said = start_failure(stderr.bytes(), 126).unwrap_or_else(|| stderr.text());
        return Err(error::tool(format!("port {port} of {} by {}: {said}", container.name, tool.name())));
    }
    Ok(())
}

/// A bridge that says nothing and fails has still failed.
async fn handle_failed(handle: &super::super::exec::ExecHandle) -> bool {
    matches!(handle.exit_code().await, Ok(Some(code)) if code != 0)
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::{Shutdown, TcpListener};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_port_is_an_argument_and_no_part_of_a_program() {
        for (tool, name) in TOOLS {
            let argv = tool.argv(5432);
            assert_eq!(argv[0], *name);
            assert!(argv.last().is_some_and(|last| last.ends_with("5432")), "{argv:?}");
            assert_eq!(argv.iter().filter(|value| value.contains("5432")).count(), 1);
        }
    }

    /// A server of one connection: reads to the end where the tool can pass it on, else one line, and answers in capitals.
    fn server(to_the_end: bool) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            let (mut socket, _) = listener.accept().unwrap();
            let mut received = Vec::new();
            if to_the_end {
                socket.read_to_end(&mut received).unwrap();
            } else {
                BufReader::new(socket.try_clone().unwrap()).read_until(b'\n', &mut received).unwrap();
            }
            socket.write_all(&received.to_ascii_uppercase()).unwrap();
            socket.shutdown(Shutdown::Both).unwrap();
        });
        port
    }

    /// Tests the tools of this machine, where `scripts/setup` installs all of them. One image for each tool would test
    /// the same.
    #[test]
    fn each_tool_carries_both_ways_and_ends_with_the_connection() {
        let mut tried = Vec::new();
        for (tool, name) in TOOLS {
            let passes_the_end_on = !matches!(tool, BridgeTool::Netcat | BridgeTool::Bash);
            let argv = tool.argv(server(passes_the_end_on));
            let mut command = Command::new(&argv[0]);
            command.args(&argv[1..]).stdin(Stdio::piped()).stdout(Stdio::piped());
            let Ok(mut child) = command.spawn() else { continue };
            let mut stdin = child.stdin.take().unwrap();
            let reply = format!("{}\n", "through a bridge ".repeat(20_000));
            let writer = std::thread::spawn({
                let reply = reply.clone();
                move || {
                    stdin.write_all(reply.as_bytes()).unwrap();
                    // Who cannot pass the end on is not told of it before the answer.
                    (!passes_the_end_on).then_some(stdin)
                }
            });
            let mut answer = vec![0; reply.len()];
            child.stdout.take().unwrap().read_exact(&mut answer).unwrap();
            // bash waits for its input's end.
            drop(writer.join().unwrap());
            child.wait().unwrap();
            assert!(answer == reply.to_uppercase().as_bytes(), "{name}");
            tried.push(*name);
        }
        assert!(tried.contains(&"perl") && tried.contains(&"bash"), "{tried:?}");
    }
}
