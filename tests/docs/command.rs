//! Command lines in a document, each parsed by the command line of the binary.
//!
//! Promise: a command, option or value that the binary does not take is found; `N` stands for a number.

use std::process::{Command, Output};

use clap::error::ErrorKind;

/// Runs the binary without any of the reader's own settings.
pub(crate) fn envctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_envctl"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENVCTL_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(std::process::Stdio::null()).output().expect("the binary starts")
}

/// Every `envctl …` in a text, each as its arguments, up to the end of the command.
pub(crate) fn commands_in(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, name) in line.match_indices("envctl ") {
            // `~/bin/envctl`, `my-envctl` and the like are other names.
            let before = line[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_-/.".contains(c)) {
                found.push(arguments(&line[at + name.len()..]));
            }
        }
    }
    found
}

/// Arguments up to a shell operator, a comment or a backtick; quoted text is one argument, without its quotes.
fn arguments(text: &str) -> Vec<String> {
    let (mut arguments, mut argument, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('|' | ';' | '<' | '>' | '&' | ')' | '#' | '`', None) => break,
            (' ', None) if argument.is_empty() => {}
            (' ', None) => arguments.push(std::mem::take(&mut argument)),
            (c, _) => argument.push(c),
        }
    }
    arguments.extend(Some(argument).filter(|argument| !argument.is_empty()));
    arguments
}

/// Returns the error of a command that the binary does not take. A command may be named without its arguments.
pub(crate) fn fault(arguments: &[String]) -> Option<String> {
    if arguments.first().is_some_and(|verb| verb == "help") {
        return (arguments.get(1).map(String::as_str) != Some("exit-codes"))
            .then(|| "no such help".to_owned());
    }
    let numbered = arguments.iter().map(|argument| if argument == "N" { "2" } else { argument });
    let line = std::iter::once("envctl").chain(numbered);
    let error = envctl::cli::definition().try_get_matches_from(line).err()?;
    let named_only = matches!(
        error.kind(),
        ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    );
    (error.use_stderr() && !named_only)
        .then(|| error.to_string().lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_command_ends_where_the_shell_ends_it() {
    let found =
        commands_in("F=$(envctl backup -q --prod) # then `envctl psql -c 'a; b' -- -At` or my-envctl x");
    assert_eq!(found, [vec!["backup", "-q", "--prod"], vec!["psql", "-c", "a; b", "--", "-At"]]);
}

#[test]
fn a_command_that_the_binary_does_not_take_is_found() {
    let fault = |line: &str| fault(&arguments(line));
    for good in [
        "backup ls --prod",
        "exec db -- sh --no-such",
        "--version",
        "forward",
        "restore x -j N",
        "help exit-codes",
    ] {
        assert_eq!(fault(good), None, "{good}");
    }
    for bad in [
        "fly --fast",
        "backup lst",
        "backup list --fast",
        "restore undo --trust",
        "restore x -j many",
        "help everything",
    ] {
        assert!(fault(bad).is_some(), "{bad}");
    }
}
