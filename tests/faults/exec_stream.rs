//! The stream of an exec is cut, damaged, slowed down or chopped: `envctl exec` and `psql`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::proxy::frame;
use crate::support::rig::eventually;
use crate::support::run::read_until;
use crate::support::{Down, Fault, On, Project, Proxy, Rule, Running, Server};

fn project() -> Project {
    Project::of(Server::shared(15), "postgres")
}

/// One write, one frame.
const ONE_FRAME: [&str; 5] = ["exec", "db", "--", "echo", "framed"];

#[test]
fn f05_cut_inside_a_header_is_an_integrity_error() {
    let project = project();
    for offset in 1..8 {
        let cut = Fault::Down(Down::CutInHeader { frame: 0, offset });
        let proxy = Proxy::with(On::ExecStart("framed"), cut);
        let finished = project.through(&proxy, &ONE_FRAME).code(125).says("inside a frame header");
        assert_eq!(finished.out(), "", "offset {offset}");
    }
}

#[test]
fn f05_json_names_the_kind_of_the_failure() {
    let project = project();
    let proxy = Proxy::with(On::ExecStart("framed"), Fault::Down(Down::CutInHeader { frame: 0, offset: 3 }));
    let finished = project.through(&proxy, &["exec", "--json", "db", "--", "echo", "framed"]).code(125);
    let said = finished.out() + &finished.err();
    assert!(said.contains(r#""code""#) && said.contains("integrity"), "{said}");
}

#[test]
fn f05_cut_inside_a_payload_is_an_integrity_error() {
    let project = project();
    for offset in 0.."framed\n".len() {
        let cut = Fault::Down(Down::CutInPayload { frame: 0, offset });
        let proxy = Proxy::with(On::ExecStart("framed"), cut);
        project.through(&proxy, &ONE_FRAME).code(125).says("before the end of a frame");
    }
}

#[test]
fn f05_a_cut_in_the_middle_of_much_output_is_an_integrity_error() {
    let project = project();
    let args = ["exec", "db", "--", "seq", "1", "100000"];
    let whole = project.run(&args).code(0).stdout;
    let proxy = Proxy::with(On::ExecStart("100000"), Fault::Down(Down::CutInHeader { frame: 3, offset: 4 }));
    let finished = project.through(&proxy, &args).code(125).says("inside a frame header");
    assert!(finished.stdout.len() < whole.len() && whole.starts_with(&finished.stdout));
}

#[test]
fn f05_psql_cut_inside_a_header_is_an_integrity_error() {
    let project = project();
    let proxy =
        Proxy::with(On::ExecStart("f05-here"), Fault::Down(Down::CutInHeader { frame: 0, offset: 5 }));
    project.through(&proxy, &["psql", "-c", "select 'f05-here'"]).code(125).says("inside a frame header");
    project.assert_no_sessions();
}

#[test]
fn f06_an_error_frame_of_the_daemon_is_told_with_its_text_escaped() {
    let project = project();
    let words = b"error from daemon in stream: \x1b]0;title\x07 no space\n";
    let inject = Down::Inject { frame: 0, bytes: frame(3, words) };
    let proxy = Proxy::with(On::ExecStart("framed"), Fault::Down(inject));
    let finished = project.through(&proxy, &ONE_FRAME).code(125).says("error from daemon in stream");
    assert!(!finished.stderr.contains(&0x1b), "raw escape in {:?}", finished.err());
    assert_eq!(finished.out(), "");
}

#[test]
fn f06_a_frame_of_unknown_type_is_an_integrity_error_and_not_output() {
    let project = project();
    let inject = Down::Inject { frame: 0, bytes: frame(9, b"poison") };
    let proxy = Proxy::with(On::ExecStart("framed"), Fault::Down(inject));
    let finished = project.through(&proxy, &ONE_FRAME).code(125).says("unknown type 9");
    assert_eq!(finished.out(), "");
}

#[test]
fn f07_an_exec_still_running_for_a_while_is_asked_again() {
    let project = project();
    let running = r#"{"ID":"x","Running":true,"ExitCode":null}"#;
    let rule = Rule::new(On::ExecInspect("exit 42"), Fault::Answer(200, running)).times(4);
    let proxy = Proxy::start(vec![rule]);
    project.through(&proxy, &["exec", "db", "--", "sh", "-c", "exit 42"]).code(42);
}

#[test]
fn f07_an_exec_that_runs_for_ever_by_the_engines_books_is_given_up() {
    let project = project();
    let running = r#"{"ID":"x","Running":true,"ExitCode":null}"#;
    let proxy = Proxy::with(On::ExecInspect("echo whole"), Fault::Answer(200, running));
    let started = std::time::Instant::now();
    let finished = project.through(&proxy, &["exec", "db", "--", "sh", "-c", "echo whole"]).code(125);
    // It is asked for five seconds in all.
    assert!(started.elapsed() < Duration::from_secs(12), "took {:?}", started.elapsed());
    assert_eq!(finished.out(), "whole\n");
    finished.says("note: its output above is complete");
}

#[test]
fn f07_an_exec_that_is_forgotten_has_no_known_outcome() {
    let project = project();
    for fault in [
        Fault::Answer(404, r#"{"message":"No such exec instance: x"}"#),
        Fault::Answer(500, r#"{"message":"boom"}"#),
        Fault::Silence,
    ] {
        let proxy = Proxy::with(On::ExecInspect("echo whole"), fault);
        let finished = project.through(&proxy, &["exec", "db", "--", "sh", "-c", "echo whole"]).code(125);
        assert_eq!(finished.out(), "whole\n");
        assert!(!finished.err().trim().is_empty());
    }
}

#[test]
fn f10_a_command_that_is_not_there_is_127_and_no_output() {
    let finished = project().run(&["exec", "db", "--", "no-such-program"]).code(127);
    assert_eq!(finished.out(), "", "the engine's words are not the command's output");
    finished.says("no-such-program");
}

#[test]
fn f10_a_command_that_may_not_be_run_is_126() {
    let finished = project().run(&["exec", "db", "--", "/etc/passwd"]).code(126);
    assert_eq!(finished.out(), "");
    finished.says("permission denied");
}

#[test]
fn f10_a_command_that_talks_like_the_engine_is_still_a_command() {
    let script = "printf 'OCI runtime exec failed: not really'; exit 3";
    let finished = project().run(&["exec", "db", "--", "sh", "-c", script]).code(3);
    assert_eq!(finished.out(), "OCI runtime exec failed: not really");
}

#[test]
fn f21_output_without_a_terminal_keeps_its_line_ends() {
    let project = project();
    let finished = project.run(&["exec", "db", "--", "printf", r"a\nb\r\nc\000\377"]).code(0);
    assert_eq!(finished.stdout, b"a\nb\r\nc\0\xff");
    let finished = project.run(&["psql", "-c", "select 1 as one", "--", "-At"]).code(0);
    assert_eq!(finished.stdout, b"1\n");
}

#[test]
fn the_framing_of_the_stream_never_shows_in_the_output() {
    let project = project();
    let script = "seq 1 3000; seq 1 30 >&2; seq 3001 6000";
    let args = ["exec", "db", "--", "sh", "-c", script];
    let expected = project.run(&args).code(0);
    assert!(expected.out().ends_with("\n6000\n"));
    let bends =
        [Down::Chop(1), Down::Chop(7), Down::Chop(9), Down::Reframe(1), Down::Reframe(5), Down::Coalesce];
    for bend in bends {
        let proxy = Proxy::with(On::ExecStart("3001"), Fault::Down(bend));
        let finished = project.through(&proxy, &args).code(0);
        assert_eq!(finished.stdout, expected.stdout);
        assert!(finished.err().ends_with("29\n30\n"), "{}", finished.err());
    }
}

#[test]
fn f94_a_megabyte_goes_in_and_comes_out_at_once() {
    let project = project();
    let mut bytes: Vec<u8> =
        (0..3_000_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    bytes.extend(b"end");
    let finished = project.run_with(&bytes, &["exec", "db", "--", "cat"]).code(0);
    assert!(finished.stdout == bytes, "{} bytes of {} came back", finished.stdout.len(), bytes.len());
}

#[test]
fn f94_the_end_of_our_input_is_the_end_of_the_commands_input() {
    let project = project();
    assert_eq!(project.run_with(b"", &["exec", "db", "--", "wc", "-c"]).code(0).out().trim(), "0");
    let script = "cat >/dev/null; sleep 0.3; echo after the end; exit 5";
    let finished = project.run_with(b"x", &["exec", "db", "--", "sh", "-c", script]).code(5);
    assert_eq!(finished.out(), "after the end\n");
}

#[test]
fn f94_a_command_that_does_not_read_its_input_ends_all_the_same() {
    let project = project();
    let much = vec![b'x'; 8 << 20];
    assert_eq!(project.run_with(&much, &["exec", "db", "--", "echo", "done"]).code(0).out(), "done\n");
}

#[test]
fn f97_a_reader_that_leaves_ends_the_command_quietly() {
    let project = project();
    let mut command = project.command(&["exec", "db", "--", "sh", "-c", "while :; do echo f97-line; done"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    read_until(&mut stdout, b"f97-line\n");
    drop(stdout);
    let mut stderr = child.stderr.take().unwrap();
    let (status, in_time) = crate::support::run::wait(child, Duration::from_secs(20));
    let mut words = String::new();
    std::io::Read::read_to_string(&mut stderr, &mut words).unwrap();
    assert!(in_time, "it goes on without a reader");
    assert_eq!(status.code(), Some(141), "{words}");
    assert!(!words.contains("panic") && !words.to_lowercase().contains("broken pipe"), "{words}");
    project.server.wait_without_process("f97-line", Duration::from_secs(20));
}

#[test]
fn f97_a_slow_reader_gets_everything() {
    let project = project();
    let mut command = project.command(&["exec", "db", "--", "seq", "1", "3000000"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    read_until(&mut stdout, b"\n");
    // More than is kept in memory. The daemon throws away what is not taken two seconds after the command's end.
    project.server.wait_without_process("seq 1 3000000", Duration::from_secs(20));
    std::thread::sleep(Duration::from_millis(3500));
    let mut rest = Vec::new();
    std::io::Read::read_to_end(&mut stdout, &mut rest).unwrap();
    let (status, _) = crate::support::run::wait(child, Duration::from_secs(20));
    assert_eq!(status.code(), Some(0));
    assert!(rest.ends_with(b"\n3000000\n"), "the end is missing");
    assert_eq!(memchr::memchr_iter(b'\n', &rest).count(), 2_999_999);
}

#[test]
fn f97_a_slow_reader_on_a_full_disk_gets_what_came_before_in_order() {
    let project = project();
    std::fs::create_dir(project.path().join("full")).unwrap();
    let mut command = Command::new("unshare");
    command.arg(if rustix::process::getuid().is_root() { "-m" } else { "-rm" }).arg("bash");
    // The reader begins when the file cannot take more, or it would keep up.
    let script = "mount -t tmpfs -o size=1m none full && export TMPDIR=$PWD/full && \
                  \"$@\" | (sleep 4; cat >out); exit ${PIPESTATUS[0]}";
    project.wrap(&mut command, script, &["exec", "db", "--", "seq", "1", "5000000"]);
    let finished = Running::start(command, None).finish_within(Duration::from_secs(40));
    finished.code(125).says("temporary file").says("no space left").says("TMPDIR=");
    let out = std::fs::read_to_string(project.path().join("out")).unwrap();
    assert!(out.len() > 8 << 20, "{} bytes of what was held", out.len());
    let whole = out.lines().count() - 1;
    assert!(out.lines().take(whole).enumerate().all(|(at, line)| line.parse() == Ok(at + 1)), "a hole");
    project.server.wait_without_process("seq 1 5000000", Duration::from_secs(10));
}

#[test]
fn f97_an_output_that_is_full_is_no_reader_that_left() {
    let project = project();
    let mut command = Command::new("sh");
    project.wrap(&mut command, "exec \"$@\" >/dev/full", &["exec", "db", "--", "seq", "1", "4000000"]);
    let finished = Running::start(command, None).finish_within(Duration::from_secs(20));
    finished.code(125).says("cannot write the command's output").says("no space left");
    project.server.wait_without_process("seq 1 4000000", Duration::from_secs(10));
}

#[test]
fn f94_input_that_comes_slowly_is_not_held_back() {
    let project = project();
    let mut command = project.command(&["exec", "db", "--", "cat"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    for word in ["one\n", "two\n"] {
        stdin.write_all(word.as_bytes()).unwrap();
        assert_eq!(read_until(&mut stdout, b"\n"), word.as_bytes());
    }
    drop(stdin);
    let (status, in_time) = crate::support::run::wait(child, Duration::from_secs(20));
    assert!(in_time && status.code() == Some(0));
}

#[test]
fn a_stream_that_the_daemon_refuses_to_open_is_told() {
    let project = project();
    let proxy = Proxy::with(On::ExecStart("never"), Fault::Answer(200, ""));
    project.through(&proxy, &["exec", "db", "--", "echo", "never"]).code(125).says("upgrade");
    let proxy = Proxy::with(On::ExecStart("never"), Fault::Silence);
    project.through(&proxy, &["exec", "db", "--", "echo", "never"]).code(125).says("broke|connection");
}

#[test]
fn f17_an_interrupt_ends_the_command_in_the_container() {
    let project = project();
    for (signal, code) in [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
        (rustix::process::Signal::HUP, 129),
    ] {
        let word = format!("f17-{code}");
        let script = format!("echo {word}; while :; do sleep 1; done");
        let mut command = project.command(&["exec", "db", "--", "sh", "-c", &script]);
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut stdout = child.stdout.take().unwrap();
        read_until(&mut stdout, b"\n");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let (status, in_time) = crate::support::run::wait(child, Duration::from_secs(20));
        assert!(in_time, "not within twenty seconds of {signal:?}");
        assert_eq!(status.code(), Some(code));
        assert!(project.server.processes(&word).is_empty(), "{word} goes on in the container");
    }
}

#[test]
fn f17_an_interrupted_query_ends_in_the_server() {
    let project = project();
    let running = project.start(&["psql", "-c", "select 'f17-query', pg_sleep(60)"]);
    let alive =
        "select count(*) from pg_stat_activity where query like '%f17-query%' and pid <> pg_backend_pid()";
    eventually(Duration::from_secs(10), "the query runs", || project.sql(alive) == "1");
    running.signal(rustix::process::Signal::INT);
    running.finish_within(Duration::from_secs(20)).code(130);
    eventually(Duration::from_secs(20), "the query is gone", || project.sql(alive) == "0");
}

#[test]
fn timeout_ends_the_command_in_the_container() {
    let project = project();
    let args = ["exec", "db", "--timeout", "1s", "--", "sh", "-c", "while :; do sleep 1; done # f-timeout"];
    Running::start(project.command(&args), None)
        .finish_within(Duration::from_secs(20))
        .code(124)
        .says("1s|1 s");
    assert!(project.server.processes("f-timeout").is_empty());
}
