//! A command in a container of the fake engine: a function with an argv, a stdin, a stdout and a stderr.

use std::io::{self, BufRead as _, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde::Deserialize;

use super::http::Connection;
use super::{Engine, lock};

/// What a program does; gives its exit code.
pub(crate) type Program = Arc<dyn Fn(&mut Process<'_>) -> i64 + Send + Sync>;

/// An exec from its creation on.
pub(super) struct Execution {
    pub(super) id: String,
    pub(super) argv: Vec<String>,
    container: String,
    env: Vec<String>,
    user: Option<String>,
    workdir: Option<String>,
    tty: bool,
    code: Mutex<Option<i64>>,
    killed: AtomicBool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Asked {
    cmd: Vec<String>,
    #[serde(default)]
    env: Vec<String>,
    user: Option<String>,
    working_dir: Option<String>,
    #[serde(default)]
    tty: bool,
}

/// A running program's surroundings.
pub(crate) struct Process<'a> {
    /// The program and its arguments.
    pub(crate) argv: Vec<String>,
    /// `NAME=value` of this exec.
    pub(crate) env: &'a [String],
    /// The user that was asked for.
    pub(crate) user: Option<&'a str>,
    /// The directory that was asked for.
    pub(crate) workdir: Option<&'a str>,
    tty: bool,
    connection: &'a mut Connection,
    killed: &'a AtomicBool,
}

impl Process<'_> {
    /// Prints to stdout.
    pub(crate) fn out(&mut self, bytes: impl AsRef<[u8]>) {
        self.frame(1, bytes.as_ref());
    }

    /// Prints to stderr.
    pub(crate) fn err(&mut self, bytes: impl AsRef<[u8]>) {
        self.frame(2, bytes.as_ref());
    }

    /// Reads one line of stdin without its end; `None` at the end of it.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        match self.connection.reader.read_line(&mut line) {
            Ok(1..) => Some(line.trim_end_matches('\n').to_owned()),
            _ => None,
        }
    }

    /// Reads stdin to its end.
    pub(crate) fn all(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let _ = self.connection.reader.read_to_end(&mut bytes);
        bytes
    }

    /// Whether an argument is there.
    pub(crate) fn has(&self, argument: &str) -> bool {
        self.argv.iter().any(|word| word == argument)
    }

    /// The value of a variable of this exec.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
    }

    /// Sleeps until a signal ends the program; gives the exit code of that.
    pub(crate) fn sleep(&self) -> i64 {
        while !self.killed.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_millis(5));
        }
        130
    }

    fn frame(&mut self, output: u8, bytes: &[u8]) {
        let write = |writer: &mut dyn io::Write| -> io::Result<()> {
            if self.tty {
                return writer.write_all(bytes);
            }
            for chunk in bytes.chunks(32 << 10) {
                writer.write_all(&[output, 0, 0, 0])?;
                writer.write_all(&(chunk.len() as u32).to_be_bytes())?;
                writer.write_all(chunk)?;
            }
            Ok(())
        };
        // A reader that has left is seen by the program's own end, as with a real one.
        let _ = write(&mut *self.connection.writer).and_then(|()| self.connection.writer.flush());
    }
}

impl Execution {
    pub(super) fn read(number: usize, container: &str, body: &[u8]) -> Self {
        let mut asked: Asked = serde_json::from_slice(body).expect("an exec configuration");
        // Below a reaper the command is an argument of perl's.
        if asked.cmd.starts_with(&["/usr/bin/perl", "-C0", "-e"].map(str::to_owned)) {
            asked.cmd.drain(..5);
        }
        Self {
            id: format!("{:064x}", number + 1),
            argv: asked.cmd,
            container: container.to_owned(),
            env: asked.env,
            user: asked.user,
            workdir: asked.working_dir,
            tty: asked.tty,
            code: Mutex::new(None),
            killed: AtomicBool::new(false),
        }
    }

    pub(super) fn exit_code(&self) -> Option<i64> {
        *lock(&self.code)
    }

    /// Runs to the end; the code is known before the stream ends, as with Docker.
    pub(super) fn run(&self, engine: &Arc<Engine>, connection: &mut Connection) {
        let mut process = Process {
            argv: self.argv.clone(),
            env: &self.env,
            user: self.user.as_deref(),
            workdir: self.workdir.as_deref(),
            tty: self.tty,
            connection,
            killed: &self.killed,
        };
        let code = match self.start_failure(engine) {
            Some(words) => {
                process.out(words + "\r\n");
                126
            }
            None => invoke(engine, &self.container, &mut process),
        };
        *lock(&self.code) = Some(code);
    }

    /// The engine's own words where it cannot start the command, as Docker 20.10 with runc 1.1 says them.
    fn start_failure(&self, engine: &Engine) -> Option<String> {
        const RUNC: &str = "OCI runtime exec failed: exec failed: unable to start container process: ";
        let container = engine.container(&self.container)?;
        let program = self.argv.first()?;
        if let Some(user) = self.user.as_deref().filter(|user| !container.users.iter().any(|u| u == user)) {
            return Some(format!("unable to find user {user}: no matching entries in passwd file"));
        }
        if let Some(dir) = self.workdir.as_deref().filter(|dir| dir.starts_with("/no")) {
            return Some(format!(
                "{RUNC}chdir to cwd (\"{dir}\") set in config.json failed: no such file or directory: unknown"
            ));
        }
        if program.starts_with("/etc/") {
            return Some(format!("{RUNC}exec: \"{program}\": permission denied: unknown"));
        }
        let missing = container.missing.iter().any(|name| name == program)
            || (program != "sh" && engine.program(&self.container, program).is_none());
        missing.then(|| format!("{RUNC}exec: \"{program}\": executable file not found in $PATH: unknown"))
    }
}

/// Runs a program that is there. `sh` knows the two scripts that envctl sends, and nothing else.
fn invoke(engine: &Arc<Engine>, container: &str, process: &mut Process<'_>) -> i64 {
    let argv: Vec<&str> = process.argv.iter().map(String::as_str).collect();
    match argv.as_slice() {
        ["sh", "-c", script, "envctl", word] if script.contains("ENVCTL_OP=") => {
            let mark = format!("ENVCTL_OP={word}");
            for execution in lock(&engine.executions).iter().filter(|e| e.env.contains(&mark)) {
                execution.killed.store(true, Ordering::SeqCst);
            }
            0
        }
        ["sh", "-c", script, "envctl", nonce, tool @ ..] if script.contains("ENVCTL-EOF") => {
            let nonce = (*nonce).to_owned();
            process.argv = tool.iter().map(|&word| word.to_owned()).collect();
            proven(engine, container, process, &nonce)
        }
        [program, ..] => {
            if let Some(run) = engine.program(container, program) {
                return run(process);
            }
            process.err(format!("{program}: the fake engine has no such program: {argv:?}\n"));
            127
        }
        [] => 126,
    }
}

/// What the wrapper script does: the tool, the trailer with its exit code, one line from us.
fn proven(engine: &Arc<Engine>, container: &str, process: &mut Process<'_>, nonce: &str) -> i64 {
    let program = process.argv.first().cloned().unwrap_or_default();
    let missing = engine.container(container).is_some_and(|c| c.missing.contains(&program));
    let code = if let Some(run) = engine.program(container, &program).filter(|_| !missing) {
        run(process)
    } else {
        process.err(format!("envctl: 1: {program}: not found\n"));
        127
    };
    process.out(format!("\nENVCTL-EOF {nonce} rc={code:03}\n"));
    let _ = process.line();
    code
}
