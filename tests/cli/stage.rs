//! Where a test happens: a directory of its own, a fake engine in it, and the real binary.
//!
//! Promise: nothing of the machine reaches the binary (environment, home, terminal, other engines), and
//! what it says is compared whole: exit code, stdout and stderr together.

use std::ffi::OsStr;
use std::io::{Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use snapbox::IntoData;
use tempfile::TempDir;

use crate::container::Container;
use crate::daemon::{Engine, Manner};

/// No test waits for the binary longer than this.
const LIMIT: Duration = Duration::from_mins(1);

/// A place with a fake engine.
pub(crate) struct Stage {
    /// What runs there.
    pub(crate) engine: Arc<Engine>,
    directory: TempDir,
}

impl Stage {
    /// With these containers.
    pub(crate) fn with(containers: impl IntoIterator<Item = Container>) -> Self {
        let directory =
            tempfile::Builder::new().prefix("envctl-cli-").tempdir().expect("a directory can be made");
        let engine = Arc::new(Engine::default());
        engine.install("*", "true", |_| 0);
        engine.run(containers);
        engine.listen(&directory.path().join("docker.sock"));
        Self { engine, directory }
    }

    /// With an engine of bad manners.
    pub(crate) fn behaving(manner: Manner) -> Self {
        let stage = Self::with([]);
        stage.engine.behave(manner);
        stage
    }

    /// A path in the directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a file, and the folders above it.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it is in the directory")).expect("folders can be made");
        std::fs::write(path, text).expect("files can be written");
    }

    /// The binary with these arguments, not started yet.
    pub(crate) fn envctl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Run {
        let mut command = Command::new(env!("CARGO_BIN_EXE_envctl"));
        command.args(arguments);
        self.prepare(command)
    }

    /// Any command in the same surroundings.
    pub(crate) fn prepare(&self, mut command: Command) -> Run {
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.directory.path())
            .env("TMPDIR", self.directory.path())
            .env("DOCKER_HOST", format!("unix://{}", self.path("docker.sock").display()))
            .current_dir(self.directory.path());
        Run { command, stdin: Vec::new(), directory: self.directory.path().to_owned() }
    }

    /// Runs to the end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        self.envctl(arguments).run()
    }
}

/// A run that is being prepared.
pub(crate) struct Run {
    command: Command,
    stdin: Vec<u8>,
    directory: PathBuf,
}

impl Run {
    /// With a variable.
    pub(crate) fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Without one.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// In another directory.
    pub(crate) fn inside(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// With this on stdin; empty without.
    pub(crate) fn stdin(mut self, bytes: impl AsRef<[u8]>) -> Self {
        bytes.as_ref().clone_into(&mut self.stdin);
        self
    }

    /// Starts it and leaves it to the test; stdin ends at once.
    pub(crate) fn start(mut self) -> Child {
        self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.command.spawn().expect("the binary starts")
    }

    /// Runs it to the end.
    pub(crate) fn run(mut self) -> Ran {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let started = Instant::now();
        let mut child = self.command.spawn().expect("the binary starts");
        let mut stdin = child.stdin.take().expect("it has a stdin");
        let bytes = self.stdin;
        // A child that reads nothing is its own affair.
        std::thread::spawn(move || drop(stdin.write_all(&bytes)));
        finish(child, self.directory, started)
    }
}

/// Waits for a started binary and takes what it said on the streams that the test has left to us.
pub(crate) fn finish(mut child: Child, directory: PathBuf, started: Instant) -> Ran {
    let (stdout, stderr) = (collect(child.stdout.take()), collect(child.stderr.take()));
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if started.elapsed() > LIMIT {
            let _ = child.kill();
            panic!("still running after {LIMIT:?}");
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let ran = Ran {
        code: status.code(),
        stdout: stdout.join().expect("stdout is read"),
        stderr: stderr.join().expect("stderr is read"),
        took: started.elapsed(),
        directory,
    };
    crate::hints::assert_understood(&ran.err());
    ran
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

/// A run that has ended.
pub(crate) struct Ran {
    /// Its exit code; `None` when a signal ended it.
    pub(crate) code: Option<i32>,
    /// What it wrote to stdout.
    pub(crate) stdout: Vec<u8>,
    /// What it wrote to stderr.
    pub(crate) stderr: Vec<u8>,
    /// How long it took.
    pub(crate) took: Duration,
    directory: PathBuf,
}

impl Ran {
    /// Compares everything: `exit N`, stdout as it is, stderr with `! ` in front of each line. The test's
    /// directory is `[DIR]`, and a control character is shown as `<ESC>`: none may come from foreign text.
    #[track_caller]
    pub(crate) fn is(&self, expected: impl IntoData) {
        snapbox::assert_data_eq!(self.shown(), expected.raw());
    }

    /// Shows `to` where `from` was said: for what a test cannot know.
    pub(crate) fn replacing(mut self, from: &str, to: &str) -> Self {
        for bytes in [&mut self.stdout, &mut self.stderr] {
            *bytes = String::from_utf8_lossy(bytes).replace(from, to).into_bytes();
        }
        self
    }

    /// stdout only up to a mark.
    pub(crate) fn up_to(mut self, mark: &str) -> Self {
        let at = self.out().find(mark).expect("the mark is there");
        self.stdout.truncate(at);
        self
    }

    /// stdout as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    pub(crate) fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    fn shown(&self) -> String {
        let code = self.code.map_or("signal".to_owned(), |code| code.to_string());
        let mut shown = format!("exit {code}\n{}", visible(&self.out()));
        if !shown.ends_with('\n') {
            shown.push_str("<no line end>\n");
        }
        for line in visible(&self.err()).lines() {
            shown.push_str(if line.is_empty() { "!" } else { "! " });
            shown.push_str(line);
            shown.push('\n');
        }
        shown.replace(&*self.directory.to_string_lossy(), "[DIR]")
    }
}

/// Control characters, made visible.
fn visible(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut shown, c| {
        match c {
            '\n' => shown.push('\n'),
            '\x1b' => shown.push_str("<ESC>"),
            c if c.is_control() => shown.push_str(&format!("<{:02X}>", c as u32)),
            c if ('\u{202a}'..='\u{202e}').contains(&c) || ('\u{2066}'..='\u{2069}').contains(&c) => {
                shown.push_str(&format!("<{:04X}>", c as u32));
            }
            c => shown.push(c),
        }
        shown
    })
}
