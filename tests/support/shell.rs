//! Shells that stay open in the containers: an exec costs many times what a command in one of them does.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{LazyLock, Mutex};

/// How a command in a container ended.
pub struct Ended {
    pub success: bool,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Runs a script in the container, as root.
///
/// # Panics
/// The script's output holds a NUL byte.
pub fn run(container: &str, script: &str) -> Ended {
    let mut shell = Shell::idle(container).unwrap_or_else(|| Shell::open(container));
    let ended = shell.run(script);
    if shell.is_open() {
        IDLE.lock().unwrap().entry(container.to_owned()).or_default().push(shell);
    }
    ended
}

/// Quotes a word for the scripts of [`run`].
pub fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Shells by container that no test uses now.
static IDLE: LazyLock<Mutex<HashMap<String, Vec<Shell>>>> = LazyLock::new(Mutex::default);

struct Shell {
    child: Child,
    stdin: ChildStdin,
    stdout: Receiver<Vec<u8>>,
    stderr: Receiver<Vec<u8>>,
}

impl Shell {
    fn open(container: &str) -> Self {
        let mut child = Command::new("docker")
            .args(["exec", "--interactive", "--user=0", container, "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("docker exec starts");
        let stdin = child.stdin.take().expect("a pipe");
        let stdout = parts(child.stdout.take().expect("a pipe"));
        let stderr = parts(child.stderr.take().expect("a pipe"));
        Self { child, stdin, stdout, stderr }
    }

    /// A shell that answers; one whose container was stopped meanwhile does not.
    fn idle(container: &str) -> Option<Self> {
        loop {
            let mut shell = IDLE.lock().unwrap().get_mut(container)?.pop()?;
            if shell.is_open() && shell.run(":").success {
                return Some(shell);
            }
        }
    }

    fn is_open(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    fn run(&mut self, script: &str) -> Ended {
        // A subshell may change its directory and exit. A NUL ends stdout, the exit status and stderr.
        let script = format!("(\n{script}\n) </dev/null; printf '\\0%s\\0' $?; printf '\\0' >&2\n");
        let _ = self.stdin.write_all(script.as_bytes());
        let stdout = self.stdout.recv().unwrap_or_default();
        let status = self.stdout.recv().unwrap_or_default();
        Ended { success: status == b"0", stdout, stderr: self.stderr.recv().unwrap_or_default() }
    }
}

/// Reads a pipe to its end; each part is what came before a NUL, or before the end.
fn parts(pipe: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for part in BufReader::new(pipe).split(0).map_while(Result::ok) {
            let _ = sender.send(part);
        }
    });
    receiver
}
