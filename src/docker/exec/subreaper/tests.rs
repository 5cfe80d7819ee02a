//! The scripts on this machine, and the choice between them with a scripted engine.

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::*;
use crate::docker::fake_engine::{Scripted, ScriptedExec, container};

/// Each interpreter of this machine with the words before the command.
fn interpreters() -> Vec<Vec<String>> {
    let known = |(program, options, script): &(&str, &[&str], &LazyLock<String>)| {
        let python = program.ends_with("python3");
        // The one in PATH may be a script around it.
        let found = if python {
            Command::new("python3").args(["-c", "import sys; print(sys.executable)"]).output()
        } else {
            Command::new("sh").args(["-c", "command -v perl"]).output()
        };
        let found = found.unwrap_or_else(|e| panic!("{program} is not on this machine: {e}"));
        let mut text = vec![String::from_utf8(found.stdout).unwrap().trim().to_owned()];
        text.extend(options.iter().map(|option| (*option).to_owned()));
        text.push(script.to_string());
        text.extend((!python).then(|| "--".to_owned()));
        text
    };
    INTERPRETERS.iter().map(known).collect()
}

fn command(interpreter: &[String], argv: &[&str]) -> Command {
    // A shell starts its background jobs with SIGINT ignored, which their children inherit and cannot trap.
    let mut command = Command::new("env");
    command.arg("--default-signal").args(interpreter).args(argv).stdin(Stdio::null());
    command
}

fn run(interpreter: &[String], argv: &[&str]) -> Output {
    command(interpreter, argv).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

/// Processes of this user whose parent is `parent`, as pid and name.
fn children(parent: u32) -> Vec<(u32, String)> {
    let number = |entry: std::fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
    let of = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let (head, tail) = stat.rsplit_once(')')?;
        let above: u32 = tail.split_whitespace().nth(1)?.parse().ok()?;
        (above == parent).then(|| (pid, head.split_once('(').unwrap().1.to_owned()))
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(number).filter_map(of).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let text: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if text[0] == "Z" { None } else { text[1].parse().ok() }
}

fn name_of(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim().to_owned()
}

#[track_caller]
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn exit_codes_and_deaths_by_a_signal_are_those_of_the_command() {
    for interpreter in interpreters() {
        for (script, expected) in
            [("exit 0", 0), ("exit 1", 1), ("exit 77", 77), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
        {
            assert_eq!(
                code(&run(&interpreter, &["sh", "-c", script])),
                expected,
                "{} {script}",
                interpreter[0]
            );
        }
    }
}

#[test]
fn a_command_that_cannot_be_started_is_reported_as_the_engine_reports_it() {
    let directory = tempfile::tempdir().unwrap();
    let broken = directory.path().join("broken");
    std::fs::write(&broken, "").unwrap();
    for interpreter in interpreters() {
        for (program, expected, why) in [
            ("nosuch-program", 127, "executable file not found in $PATH"),
            ("/no/such/program", 127, "no such file or directory"),
            (broken.to_str().unwrap(), 126, "permission denied"),
        ] {
            let output = run(&interpreter, &[program]);
            let told = start_failure(&output.stdout, code(&output).into()).unwrap_or_default();
            assert_eq!(code(&output), expected, "{} {program}", interpreter[0]);
            assert!(told.contains(why) && told.contains(program), "{} {program}: {told}", interpreter[0]);
            assert!(output.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn arguments_streams_directory_and_environment_are_untouched() {
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path().canonicalize().unwrap();
    let bytes: Vec<u8> = (0..=255).cycle().take(300_000).collect();
    for interpreter in interpreters() {
        let mut child = command(&interpreter, &["sh", "-c", "cat; printf 'an error\\n' >&2"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (mut stdin, sent) = (child.stdin.take().unwrap(), bytes.clone());
        let writer = std::thread::spawn(move || stdin.write_all(&sent).unwrap());
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        assert!(output.stdout == bytes, "{}", interpreter[0]);
        assert_eq!(output.stderr, b"an error\n");
        let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"\xff\xfe '\"$(x)\n");
        let mut odd_one = command(&interpreter, &["printf", "<%s>", "", "a b", "-e", "--"]);
        let shown = odd_one.arg(odd).output().unwrap().stdout;
        assert_eq!(shown, b"<><a b><-e><--><\xff\xfe '\"$(x)\n>", "{}", interpreter[0]);
        let path = std::env::var_os("PATH").unwrap();
        let environment = [("LC_ALL", "xx_XX.nosuch"), ("a-name.of", "odd"), ("PYTHONSTARTUP", "x")];
        let sorted = |mut command: Command| {
            command.current_dir(&here).env_clear().env("PATH", &path).envs(environment);
            let output = command.output().unwrap();
            assert!(output.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&output.stderr));
            let mut lines: Vec<String> =
                String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        let mut below = command(&interpreter, &["env"]);
        let direct = sorted(Command::new("env"));
        // Set as `below` sets it.
        if interpreter[0].ends_with("perl") {
            below = {
                let mut perl = Command::new("env");
                perl.args(["PERL_BADLANG=0", &interpreter[0]]).args(&interpreter[1..]).arg("env");
                perl
            };
        }
        assert_eq!(sorted(below), direct, "{}", interpreter[0]);
        let mut place = command(&interpreter, &["sh", "-c", "pwd -P; umask"]);
        let mut plain = Command::new("sh");
        plain.args(["-c", "pwd -P; umask"]);
        assert_eq!(
            place.current_dir(&here).output().unwrap().stdout,
            plain.current_dir(&here).output().unwrap().stdout
        );
    }
}

/// Starts a shell that leaves `sleep NUMBER` behind and ends with `code`; gives the pid of the sleep.
fn leave(interpreter: &[String], number: &str, file: &Path) -> (Child, u32) {
    let script = format!("sleep {number} & echo $! >{}; exit 5", file.display());
    let mut child = command(interpreter, &["bash", "-c", &script]).process_group(0).spawn().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(5), "it ends with the command");
    let pid = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
    (child, pid)
}

#[test]
fn an_orphan_gets_the_reaper_as_its_parent_and_the_reaper_ends_with_the_last_one() {
    let directory = tempfile::tempdir().unwrap();
    for interpreter in interpreters() {
        let (_, orphan) = leave(&interpreter, "4791", &directory.path().join("pid"));
        let reaper = parent_of(orphan).expect("the orphan lives on");
        assert_eq!(name_of(reaper), COMM, "{}", interpreter[0]);
        // Neither a terminal's end nor a polite signal ends it: it would leave its own to process 1.
        for signal in [Signal::HUP, Signal::INT, Signal::TERM] {
            kill_process(Pid::from_raw(reaper.try_into().unwrap()).unwrap(), signal).unwrap();
        }
        assert_eq!(parent_of(orphan), Some(reaper));
        kill_process(Pid::from_raw(orphan.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        eventually("the reaper ends", || parent_of(reaper).is_none());
    }
}

#[test]
fn a_signal_to_what_the_engine_started_reaches_the_command() {
    for interpreter in interpreters() {
        for (signal, expected) in
            [(Signal::TERM, 43), (Signal::HUP, 44), (Signal::INT, 45), (Signal::USR1, 46)]
        {
            let script = "trap 'exit 43' TERM; trap 'exit 44' HUP; trap 'exit 45' INT; trap 'exit 46' USR1; \
                          echo ready; while :; do sleep 0.01; done";
            let mut child =
                command(&interpreter, &["bash", "-c", script]).stdout(Stdio::piped()).spawn().unwrap();
            let mut line = String::new();
            let mut reader = std::io::BufReader::new(child.stdout.take().unwrap());
            std::io::BufRead::read_line(&mut reader, &mut line).unwrap();
            // The pid of the command may reach the first process after the command's first output.
            let mut tries = 0;
            while child.try_wait().unwrap().is_none() {
                kill_process(Pid::from_child(&child), signal).unwrap();
                tries += 1;
                assert!(tries < 500, "{} does not pass on {signal:?}", interpreter[0]);
                std::thread::sleep(Duration::from_millis(10));
            }
            assert_eq!(child.wait().unwrap().code(), Some(expected), "{}", interpreter[0]);
        }
    }
}

#[test]
fn the_reaper_holds_no_stream_of_the_command() {
    let directory = tempfile::tempdir().unwrap();
    for interpreter in interpreters() {
        let file = directory.path().join("pid");
        let script =
            format!("sleep 4792 </dev/null >/dev/null 2>&1 & echo $! >{}; echo told", file.display());
        // Ends at the end of stdout, which a reaper that held it would put off.
        let output = run(&interpreter, &["bash", "-c", &script]);
        assert_eq!((code(&output), output.stdout.as_slice()), (0, &b"told\n"[..]));
        let orphan: i32 = std::fs::read_to_string(&file).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(orphan).unwrap(), Signal::KILL).unwrap();
    }
}

#[test]
fn the_first_process_killed_leaves_the_command_to_the_reaper() {
    for interpreter in interpreters() {
        let mut child = command(&interpreter, &["sleep", "4793"]).spawn().unwrap();
        let first = child.id();
        let below = |pid| children(pid).first().map(|(pid, _)| *pid);
        eventually("the command runs", || {
            below(first).and_then(below).is_some_and(|pid| name_of(pid) == "sleep")
        });
        let reaper = below(first).unwrap();
        let command = below(reaper).unwrap();
        assert_eq!((name_of(first).as_str(), name_of(reaper).as_str()), (COMM, COMM), "{}", interpreter[0]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(parent_of(command), Some(reaper));
        kill_process(Pid::from_raw(command.try_into().unwrap()).unwrap(), Signal::KILL).unwrap();
        eventually("the reaper ends", || parent_of(reaper).is_none());
    }
}

#[test]
fn a_reaper_is_for_postgres_without_an_init() {
    let with = |change: fn(&mut ContainerInfo)| {
        let mut container = container("db");
        change(&mut container);
        is_needed(&container)
    };
    assert!(with(|_| ()));
    assert!(with(
        |c| c.command = ["docker-entrypoint.sh", "postgres", "-c", "fsync=off"].map(str::to_owned).into()
    ));
    assert!(with(|c| c.command = vec!["/usr/lib/postgresql/15/bin/postgres".to_owned()]));
    assert!(with(|c| {
        c.command = vec!["/start.sh".to_owned()];
        c.env = vec!["PGDATA=/data".to_owned()];
    }));
    assert!(!with(|c| c.init = true));
    assert!(!with(|c| c.command = vec!["node".to_owned(), "server.js".to_owned()]));
}

/// The script of each interpreter with one part of it replaced, as if the machine or the kernel were another.
fn changed(changes: [(&str, &str); 2]) -> Vec<Vec<String>> {
    let mut interpreters = interpreters();
    for (interpreter, (from, to)) in interpreters.iter_mut().zip(changes) {
        let script = interpreter.iter_mut().find(|item| item.contains("envctl-reaper")).unwrap();
        assert!(script.contains(from), "{from}");
        *script = script.replace(from, to);
    }
    interpreters
}

#[test]
fn a_command_runs_where_no_reaper_can_be_and_the_script_tells_why_when_it_is_asked() {
    let forks = [
        ("my $reaper = fork;", "my $reaper; $! = 11;"),
        ("return os.fork()", "raise OSError(11, os.strerror(11))"),
    ];
    for (changes, why) in [
        (
            [("62 => [157, 112],", ""), ("import ctypes", "raise ImportError('no module')")],
            ["machine 62 ", "ctypes: "],
        ),
        ([("$prctl, 36, 1", "$prctl, 9999, 1"), ("prctl(36, 1", "prctl(9999, 1")], ["prctl: Invalid"; 2]),
        (forks, ["fork: Resource"; 2]),
    ] {
        for (interpreter, why) in changed(changes).iter().zip(why) {
            let ran = run(interpreter, &["sh", "-c", "echo ran; exit 7"]);
            assert_eq!((code(&ran), ran.stdout.as_slice()), (7, &b"ran\n"[..]), "{why} {}", interpreter[0]);
            assert!(ran.stderr.is_empty(), "{:?}", String::from_utf8_lossy(&ran.stderr));
            let asked = command(interpreter, &["echo", "ran"]).env(PROBE, "1").output().unwrap();
            let told = String::from_utf8_lossy(&asked.stdout).into_owned();
            assert!(told.starts_with(why) && REASONS.iter().any(|known| told.starts_with(known)), "{told}");
            assert_eq!(code(&asked), 1, "{told}");
        }
    }
    for interpreter in interpreters() {
        let asked = command(&interpreter, &["true"]).env(PROBE, "1").output().unwrap();
        assert_eq!((code(&asked), asked.stdout.as_slice()), (0, &b""[..]), "{}", interpreter[0]);
    }
}

const NO_PERL: &str = "OCI runtime exec failed: exec failed: unable to start container process: exec: \
                       \"/usr/bin/perl\": stat /usr/bin/perl: no such file or directory: unknown\r\n";

#[tokio::test]
async fn without_perl_python_serves_and_without_both_the_command_runs_directly() {
    let no_python = NO_PERL.replace("perl", "python3");
    let script = Scripted::new([
        ScriptedExec::not_started("tool", NO_PERL),
        ScriptedExec::prints("tool", "one\n", 0),
        ScriptedExec::prints("tool", "two\n", 0),
        ScriptedExec::not_started("tool", NO_PERL),
        ScriptedExec::not_started("tool", &no_python),
        ScriptedExec::prints("tool", "three\n", 3),
        ScriptedExec::prints("tool", "four\n", 0),
    ]);
    let [python, bare] = ["python", "bare"].map(|name| script.container(container(name)));
    let spec = ExecSpec::new(["tool"]);
    let mut said = Vec::new();
    for container in [&python, &python, &bare, &bare] {
        let captured = container.capture(&spec, None).await.unwrap();
        said.push((captured.text(), captured.exit_code));
    }
    assert_eq!(said, [("one".into(), 0), ("two".into(), 0), ("three".into(), 3), ("four".into(), 0)]);
    let below: Vec<String> =
        script.asked().iter().map(|spec| spec.reaper.first().cloned().unwrap_or_default()).collect();
    let (perl, py) = ("/usr/bin/perl", "/usr/bin/python3");
    assert_eq!(below, [perl, py, py, perl, py, "", ""]);
    assert_eq!(shortcoming(&bare).await.as_deref(), Some("has neither perl nor python3"));
    script.is_over().await;
}

#[tokio::test]
async fn a_command_that_fails_like_a_missing_interpreter_runs_once() {
    // It did run: the engine knows its process.
    let script = Scripted::new([ScriptedExec::prints("tool", NO_PERL, 127)]);
    let captured = script.container(container("db")).capture(&ExecSpec::new(["tool"]), None).await.unwrap();
    assert_eq!((captured.exit_code, captured.text()), (127, NO_PERL.trim_end().to_owned()));
    script.is_over().await;
}

#[tokio::test]
async fn a_user_who_is_not_there_is_reported_once() {
    let text = "unable to find user nosuch: no matching entries in passwd file\r\n";
    let script = Scripted::new([ScriptedExec::not_started("tool", text)]);
    let captured = script.container(container("db")).capture(&ExecSpec::new(["tool"]), None).await.unwrap();
    assert_eq!((captured.exit_code, captured.text()), (127, text.trim_end().to_owned()));
    script.is_over().await;
}

#[tokio::test]
async fn the_official_image_on_alpine_is_known_to_have_neither() {
    let script = Scripted::new([ScriptedExec::prints("tool", "", 0)]);
    let mut alpine = container("alpine");
    alpine.env = vec!["PG_SHA256=00".to_owned()];
    let alpine = script.container(alpine);
    alpine.capture(&ExecSpec::new(["tool"]), None).await.unwrap();
    assert!(script.asked()[0].reaper.is_empty());
    assert_eq!(shortcoming(&alpine).await.as_deref(), Some("has neither perl nor python3"));
}

#[test]
fn the_command_gets_the_values_of_the_container_for_what_perl_reads() {
    let mut db = container("db");
    db.env = vec!["PERL5OPT=-Mstrict".to_owned()];
    let spec = ExecSpec::new(["tool"]).env("PERL_BADLANG", "1").env("SECRET", "s");
    let below = below(0, &db, &spec);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        below.env,
        [
            pair("SECRET", "s"),
            pair("ENVCTL_KEPT_PERL_BADLANG", "1"),
            pair("PERL_BADLANG", "0"),
            pair("ENVCTL_KEPT_PERL5OPT", "-Mstrict"),
            pair("PERL5OPT", "")
        ]
    );
    assert_eq!(super::below(1, &db, &spec).env, spec.env);
    assert!(!below.reaper.iter().any(|item| item.contains("Mstrict")));
}
