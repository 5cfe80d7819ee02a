//! Tests of the printer: output on stdout and on stderr.

use super::super::capture::{captured, terminal};
use super::*;
use crate::error;

#[test]
fn stdout_is_the_answer_and_stderr_is_talk() {
    let (ui, out, err) = captured(UiOptions { verbose: 1, ..terminal(80) }, "");
    ui.answer("one");
    ui.say("two \x1b[2J");
    ui.detail("three");
    ui.warn("four");
    assert_eq!(out.text(), "one\n");
    assert_eq!(err.text(), "two \\u{1b}[2J\nthree\nwarning: four\n");
}

#[test]
fn quiet_keeps_warnings_and_errors() {
    let (ui, out, err) = captured(UiOptions { quiet: true, verbose: 2, ..terminal(80) }, "");
    ui.answer("one");
    ui.say("two");
    ui.detail("three");
    ui.warn("four");
    ui.error(&error::failed("five"));
    assert_eq!((out.text().as_str(), err.text().as_str()), ("one\n", "warning: four\nerror: five\n"));
}

#[test]
fn documents_begin_with_their_schema() {
    #[derive(Serialize)]
    struct Answer {
        stack: &'static str,
    }
    let (ui, out, _) = captured(UiOptions { json: true, ..UiOptions::default() }, "");
    ui.show(&Answer { stack: "ac\u{202e}me" }, |_| unreachable!());
    ui.json(&[1, 2]);
    ui.error(&error::target("no stack runs").hint("run `envctl status`").hint("name one"));
    assert_eq!(
        out.text(),
        "{\"schema\":1,\"stack\":\"ac\\u202eme\"}\n{\"schema\":1,\"items\":[1,2]}\n\
         {\"schema\":1,\"error\":{\"code\":\"target\",\"message\":\"no stack runs\",\
         \"hint\":\"run `envctl status`\\nname one\"}}\n"
    );
}

#[test]
fn documents_stay_out_of_a_stream() {
    let (ui, out, err) = captured(UiOptions { json: true, ..UiOptions::default() }, "");
    std::io::Write::write_all(&mut ui.raw_stdout(), b"\x1b\x00").unwrap();
    ui.error(&error::integrity("cut"));
    assert_eq!(out.text(), "\x1b\0");
    assert!(err.text().starts_with("{\"schema\":1,\"error\""));
}

#[test]
fn a_childs_code_is_passed_without_a_word_and_our_own_failures_name_their_class() {
    let (ui, out, err) = captured(terminal(80), "");
    ui.error(&Error::new(ErrorKind::Child(3), "child"));
    assert_eq!(out.text() + &err.text(), "");
    ui.error_beside_a_child(&error::docker("no daemon"));
    assert_eq!(err.text(), "error (docker): no daemon\n");
}

#[test]
fn a_reader_that_went_away_is_noted() {
    struct Gone;
    impl std::io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let streams = Streams { out: Box::new(Gone), err: Box::new(Gone), input: Box::new(std::io::empty()) };
    let ui = Ui::with_streams(UiOptions { progress: true, ..terminal(80) }, streams);
    assert!(!ui.broken_pipe());
    let _progress = ui.progress();
    ui.warn("nobody hears this");
    ui.answer("nor this");
    assert!(ui.broken_pipe());
}

#[test]
fn the_end_of_input_is_no_answer() {
    let (ui, _, err) = captured(terminal(80), "yes\r\n");
    assert_eq!(ui.ask("sure? ").as_deref(), Some("yes"));
    assert_eq!(ui.ask("sure? "), None);
    assert_eq!(err.text(), "sure? sure? \n");
}
