//! A run of the binary: started with an environment of its own, watched, never waited for endlessly.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::{Pid, Signal, kill_process};

use super::rig::{assert_no_canary, patient};

/// No single run takes longer, unless envctl hangs.
pub const LIMIT: Duration = Duration::from_secs(90);

/// How a run ended.
#[derive(Debug)]
pub struct Finished {
    /// The exit code; 128 and the signal's number when a signal ended it.
    pub code: i32,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Finished {
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Panics unless it ended with this code.
    #[track_caller]
    pub fn code(self, code: i32) -> Self {
        assert_eq!(
            self.code,
            code,
            "exit code\n--- stdout\n{}\n--- stderr\n{}",
            shortened(&self.out()),
            self.err()
        );
        self
    }

    /// Panics unless stderr has one of these words, whatever the case. Lines may be wrapped anywhere.
    #[track_caller]
    pub fn says(self, words: &str) -> Self {
        let said = self.err().to_lowercase().split_whitespace().collect::<Vec<_>>().join(" ");
        let found = words.to_lowercase().split('|').any(|words| said.contains(words));
        assert!(found, "stderr does not say {words:?}:\n{}", self.err());
        self
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(2000).collect()
}

/// A run that goes on.
pub struct Running {
    child: Child,
    stdout: JoinHandle<Vec<u8>>,
    stderr: JoinHandle<Vec<u8>>,
}

impl Running {
    /// Starts `command`, with `stdin` as its input; `None` is /dev/null.
    pub fn start(mut command: Command, stdin: Option<Vec<u8>>) -> Self {
        let (mut running, pipe) =
            Self::open(command.stdin(if stdin.is_some() { Stdio::piped() } else { Stdio::null() }));
        if let (Some(mut pipe), Some(bytes)) = (pipe, stdin) {
            std::thread::spawn(move || {
                let _ = pipe.write_all(&bytes);
            });
        }
        running.child.stdin = None;
        running
    }

    /// Starts `command` and gives its stdin to the caller, if it is a pipe.
    pub fn open(command: &mut Command) -> (Self, Option<ChildStdin>) {
        super::timing::begin();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("envctl starts");
        let stdout = child.stdout.take().expect("a pipe");
        let stderr = child.stderr.take().expect("a pipe");
        let stdin = child.stdin.take();
        (Self { child, stdout: collect(stdout), stderr: collect(stderr) }, stdin)
    }

    /// Starts `command` without an input and gives the first line of its answer, once it has come.
    pub fn first_line(command: &mut Command) -> (Self, String) {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("envctl starts");
        let stderr = collect(child.stderr.take().expect("a pipe"));
        let mut stdout = child.stdout.take().expect("a pipe");
        let line = read_until(&mut stdout, b"\n");
        let line = String::from_utf8_lossy(&line).trim().to_owned();
        (Self { child, stdout: collect(stdout), stderr }, line)
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory it has had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        peak_memory(self.child.id()).expect("it runs")
    }

    /// Watches it to its end, and gives the most memory it has had.
    #[track_caller]
    pub fn watch(mut self) -> (Finished, u64) {
        let (started, mut peak) = (Instant::now(), 0);
        // What a parent is told of its child counts what the parent itself had when it forked.
        while self.runs() && started.elapsed() < LIMIT {
            peak = peak.max(peak_memory(self.child.id()).unwrap_or(0));
            std::thread::sleep(Duration::from_millis(5));
        }
        (self.finish_within(Duration::from_secs(1)), peak)
    }

    /// Whether it has not ended yet.
    pub fn runs(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_none()
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("it runs");
    }

    /// Waits for its end.
    #[track_caller]
    pub fn finish(self) -> Finished {
        self.finish_within(LIMIT)
    }

    /// Waits for its end; kills it and panics when that takes longer.
    #[track_caller]
    pub fn finish_within(self, limit: Duration) -> Finished {
        let Self { child, stdout, stderr } = self;
        let (status, in_time) = wait(child, limit);
        let finished = Finished {
            code: status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
            stdout: stdout.join().expect("stdout is read"),
            stderr: stderr.join().expect("stderr is read"),
        };
        assert!(in_time, "envctl did not end within {limit:?}\n--- stderr\n{}", finished.err());
        assert_no_canary(&finished);
        super::hints::assert_understood(&finished.err());
        finished
    }
}

/// The most memory a process has had so far, in bytes; `None` once it has ended.
pub fn peak_memory(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10)
}

/// Waits for a child; after the [`patient`] limit it is killed and the second value is false.
pub fn wait(mut child: Child, limit: Duration) -> (ExitStatus, bool) {
    let pid = Pid::from_child(&child);
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let status = child.wait().expect("it can be waited for");
        let _ = sender.send(());
        status
    });
    let in_time = receiver.recv_timeout(patient(limit)).is_ok();
    if !in_time {
        let _ = kill_process(pid, Signal::KILL);
    }
    (waiter.join().expect("the waiter ends"), in_time)
}

fn collect(mut pipe: impl std::io::Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}

/// Reads a pipe until `word` has come; gives what was read. Panics when the pipe ends before.
pub fn read_until(pipe: &mut impl std::io::Read, word: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(word) {
        match pipe.by_ref().read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => panic!(
                "ended before {:?}: {}",
                String::from_utf8_lossy(word),
                String::from_utf8_lossy(&bytes)
            ),
        }
    }
    bytes
}
