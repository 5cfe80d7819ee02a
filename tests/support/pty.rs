//! A terminal with envctl in it, for what only a person at a keyboard meets.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use std::os::unix::process::ExitStatusExt as _;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::run;

/// A terminal and the program that has it as its controlling one.
pub struct Pty {
    master: File,
    slave: File,
    child: Option<Child>,
    screen: Arc<(Mutex<Vec<u8>>, Condvar)>,
    before: Termios,
}

impl Pty {
    /// Starts `command` in a terminal of 24 by 80.
    pub fn start(command: &Command) -> Self {
        let master: OwnedFd = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
        grantpt(&master).expect("granted");
        unlockpt(&master).expect("unlocked");
        let name = ptsname(&master, Vec::new()).expect("its name").into_string().expect("a path");
        let slave = File::options().read(true).write(true).open(name).expect("its other side");
        let before = tcgetattr(&slave).expect("its settings");
        let master = File::from(master);
        tcsetwinsize(&master, size(24, 80)).expect("sized");
        // `setsid --ctty` makes the terminal the controlling one, then becomes the program.
        let mut with_terminal = Command::new("setsid");
        with_terminal.arg("--ctty").arg(command.get_program()).args(command.get_args()).env_clear();
        for (name, value) in command.get_envs() {
            with_terminal.env(name, value.unwrap_or_default());
        }
        with_terminal.env("TERM", "xterm").current_dir(command.get_current_dir().expect("a directory"));
        let side = || Stdio::from(slave.try_clone().expect("a copy"));
        let child = with_terminal.stdin(side()).stdout(side()).stderr(side()).spawn().expect("envctl starts");
        let screen: Arc<(Mutex<Vec<u8>>, Condvar)> = Arc::default();
        let (writing, mut reader) = (screen.clone(), master.try_clone().expect("a copy"));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = reader.read(&mut buffer) {
                writing.0.lock().unwrap().extend_from_slice(&buffer[..len]);
                writing.1.notify_all();
            }
        });
        Self { master, slave, child: Some(child), screen, before }
    }

    pub fn type_in(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("the terminal takes keys");
    }

    pub fn resize(&self, rows: u16, columns: u16) {
        tcsetwinsize(&self.master, size(rows, columns)).expect("resized");
    }

    /// Everything that was shown so far.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.0.lock().unwrap()).into_owned()
    }

    /// Waits until `words` have been shown, and forgets everything up to them.
    #[track_caller]
    pub fn expect(&self, words: &str) -> String {
        let (screen, changed) = &*self.screen;
        let find = |screen: &[u8]| memchr::memmem::find(screen, words.as_bytes());
        let guard = screen.lock().unwrap();
        let limit = super::rig::patient(Duration::from_secs(20));
        let (mut guard, _) =
            changed.wait_timeout_while(guard, limit, |screen| find(screen).is_none()).unwrap();
        let Some(at) = find(&guard) else {
            panic!("{words:?} was not shown:\n{}", String::from_utf8_lossy(&guard));
        };
        let shown = guard.drain(..at + words.len()).collect::<Vec<_>>();
        String::from_utf8_lossy(&shown).into_owned()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let child = self.child.as_ref().expect("it runs");
        rustix::process::kill_process(rustix::process::Pid::from_child(child), signal).expect("it runs");
    }

    /// Waits for the end and gives the exit code, after looking that the terminal is as it was.
    #[track_caller]
    pub fn finish(&mut self) -> i32 {
        let child = self.child.take().expect("it runs");
        let (status, in_time) = run::wait(child, Duration::from_secs(30));
        assert!(in_time, "it did not end; the terminal shows\n{}", self.shown());
        let after = tcgetattr(&self.slave).expect("its settings");
        let modes = |t: &Termios| (t.input_modes, t.output_modes, t.control_modes, t.local_modes);
        assert_eq!(modes(&after), modes(&self.before), "the terminal was not given back as it was");
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }
}

impl Drop for Pty {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}
