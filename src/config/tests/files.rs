//! Tests of what a configuration file may hold, and of the errors for anything else.

use super::super::value_type::Time;
use super::*;
use crate::config::parsed_file::{FileTrust, ParsedFile};
use crate::error::Error;
use proptest::prelude::*;
use std::time::Duration;

fn parse(text: &str) -> Result<ParsedFile, Error> {
    ParsedFile::parse(Path::new("/p/envctl.toml"), text, FileTrust::Project)
}

#[test]
fn faults_name_the_line_and_what_was_meant() {
    for (text, message, hint) in [
        ("stak = 'x'", "/p/envctl.toml:1: unknown key `stak`", "did you mean `stack`?"),
        ("\n[databse]\n", "/p/envctl.toml:2: unknown key `databse`", "did you mean `database`?"),
        (
            "[profiles.dev]\n# so\nprojct = 'x'",
            "/p/envctl.toml:3: unknown key `profiles.dev.projct`",
            "did you mean `profiles.dev.project`?",
        ),
        ("compress = 'gzip'", "/p/envctl.toml:1: unknown key `compress`", "did you mean `backup.compress`?"),
        ("[output]\nqqq = 1", "/p/envctl.toml:2: unknown key `output.qqq`", "known here: color"),
        (
            "profiles = { dev = { database = { pasword_file = 'x' } } }",
            "/p/envctl.toml:1: unknown key `profiles.dev.database.pasword_file`",
            "did you mean `profiles.dev.database.password_file`?",
        ),
        (
            "[database]\npassword = 'hunter2'",
            "/p/envctl.toml:2: a password must not stand in a configuration file",
            "use `password_file` or `password_command`",
        ),
        (
            "no-backup = true",
            "/p/envctl.toml:1: `no-backup` lifts a guard and is never read from a file",
            "give it on the command line, each time",
        ),
    ] {
        let error = parse(text).unwrap_err();
        let told = [error.notes(), error.hints()].concat();
        assert_eq!((error.message(), told), (message, vec![hint.to_owned()]));
    }
}

#[test]
fn values_of_the_wrong_kind_name_the_line() {
    for (text, line, name) in [
        ("stack = 3", 1, "expected a string"),
        ("\nlock_timeout = 'ten'", 2, "not a duration"),
        ("lock_timeout = -1", 1, "duration"),
        ("\n\n[restore]\njobs = -1", 4, "`-1` is neither `auto` nor a whole number"),
        ("[restore]\njobs = 0", 2, "at least 1"),
        ("[profiles]\ndev = 3", 2, "expected a table"),
        ("[output]\ncolor = 'blue'", 2, "`blue` is not one of auto, always, never"),
        ("stack = 'a'\nstack = 'b'", 2, "duplicate key"),
        ("stack = ", 1, ""),
        ("[docker]\ncontext = 'a'\nhost = 'b'", 3, "`context` and `host` exclude each other"),
        ("[database]\npassword_file = 'a'\npassword_command = ['b']", 3, "exclude each other"),
        ("[database]\npassword_command = []", 2, "the command is empty"),
        ("stack = '../x'", 1, "is not a name"),
        ("[profiles.'a/b']\ndb = 'x'", 1, "is not a name"),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.message().starts_with(&format!("/p/envctl.toml:{line}: ")), "{text}: {error}");
        assert!(error.message().contains(name), "{text}: {error}");
    }
}

#[test]
fn no_fault_quotes_a_command_or_the_line_it_stands_on() {
    for text in [
        "[database]\npassword_command = 'pass hunter2'",
        "[database]\npassword_command = ['pass', 'hunter2', 3]",
        "[database]\npassword = hunter2",
        "[database]\npassword_command = ['hunter2'",
    ] {
        let error = parse(text).unwrap_err();
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn durations_are_text_or_seconds() {
    let file = parse("timeout = '1m 30s'\nlock_timeout = 5").unwrap();
    let limit = |key: &str| file.get::<Time>(key, None);
    assert_eq!(limit("timeout"), Some(Duration::from_secs(90)));
    assert_eq!(limit("lock_timeout"), Some(Duration::from_secs(5)));
    assert_eq!(limit("stall_timeout"), None);
}

#[test]
fn an_editor_on_windows_may_have_written_it() {
    let loaded = parse("\u{feff}stack = 'a'\r\n[docker]\r\ncontext = 'x'\r\n").unwrap();
    assert_eq!(loaded.origin("docker.context").to_string(), "/p/envctl.toml:3");
}

#[test]
fn the_user_s_file_describes_no_project() {
    let user = |text: &str| ParsedFile::parse(Path::new("/u.toml"), text, FileTrust::User);
    assert!(user("lock_timeout = 1\n[backup]\ndir = '~/b'\n[docker]\ncontext = 'x'").is_ok());
    for text in [
        "stack = 'x'",
        "[profiles.dev]\ndb = 'x'",
        "[database]\nuser = 'x'",
        "backup.exclude_table_data = []",
    ] {
        let error = user(text).unwrap_err();
        assert!(error.message().contains("describes one project"), "{error}");
    }
    assert!(user("backup.dir = 'b'").unwrap_err().message().contains("absolute"));
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in "([a-z_.\\[\\]=\"'# 0-9{}\n]{0,60}|.{0,60})") {
        let _ = parse(&text);
    }
}
