//! The command lines in a document, and what the binary itself says about their words.
//!
//! Promise: a verb or an option that the binary does not know is found; values and quoted text are left alone.

use std::collections::BTreeMap;
use std::process::{Command, Output};

/// Runs the binary without any of the reader's own settings.
pub(crate) fn envctl(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_envctl"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ENVCTL_")) {
        command.env_remove(name);
    }
    command.args(arguments).stdin(std::process::Stdio::null()).output().expect("the binary starts")
}

/// Every `envctl …` in a text, each as its words, up to the end of the command.
pub(crate) fn commands_in(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for line in text.lines() {
        for (at, name) in line.match_indices("envctl ") {
            // `~/bin/envctl`, `my-envctl` and the like are other words.
            let before = line[..at].chars().next_back();
            if !before.is_some_and(|c| c.is_alphanumeric() || "_-/.".contains(c)) {
                found.push(words(&line[at + name.len()..]));
            }
        }
    }
    found
}

/// The words of a command up to `|`, `;`, `>`, `)`, a comment or a backtick; quoted text is one word, without its quotes.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
    for c in text.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('|' | ';' | '>' | ')' | '#' | '`', None) => break,
            (' ', None) if word.is_empty() => {}
            (' ', None) => words.push(std::mem::take(&mut word)),
            (c, _) => word.push(c),
        }
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// What `--help` says, asked once for each verb.
#[derive(Default)]
pub(crate) struct Help {
    known: BTreeMap<Vec<String>, Option<String>>,
}

impl Help {
    /// What is wrong with a command, if anything is.
    pub(crate) fn fault(&mut self, words: &[String]) -> Option<String> {
        let verb = words.iter().find(|word| !word.starts_with('-'));
        let Some(verb) = verb else {
            let known = self.of(&[])?.to_owned();
            return words.iter().find(|word| !names(&known, word)).map(|word| format!("no option `{word}`"));
        };
        if verb == "help" {
            return (words.get(1).map(String::as_str) != Some("exit-codes"))
                .then(|| "no such help".to_owned());
        }
        let mut path = vec![verb.clone()];
        let Some(first) = self.of(&path).map(str::to_owned) else {
            return Some(format!("no verb `{verb}`"));
        };
        let next = words.iter().skip_while(|word| *word != verb).nth(1);
        match next.filter(|word| !word.starts_with('-')) {
            Some(sub) if subcommands(&first).any(|known| known == sub) => path.push(sub.clone()),
            Some(sub) if !first.contains("\nArguments:") => {
                return Some(format!("`{verb}` takes no `{sub}`"));
            }
            _ => {}
        }
        let help = self.of(&path)?.to_owned();
        let ours = words.iter().take_while(|word| *word != "--");
        ours.filter(|word| word.starts_with('-') && *word != "-")
            .find(|word| !names(&help, word))
            .map(|word| format!("no option `{word}` of `{}`", path.join(" ")))
    }

    fn of(&mut self, path: &[String]) -> Option<&str> {
        let help = self.known.entry(path.to_owned()).or_insert_with(|| {
            let arguments: Vec<&str> = path.iter().map(String::as_str).chain(["--help"]).collect();
            let output = envctl(&arguments);
            output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
        });
        help.as_deref()
    }
}

/// Whether a help text names an option.
fn names(help: &str, option: &str) -> bool {
    let option = option.split('=').next().unwrap_or(option);
    help.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).any(|word| word == option)
}

/// The verbs under `Commands:`, with their other names.
fn subcommands(help: &str) -> impl Iterator<Item = &str> {
    let lines =
        help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    lines.flat_map(|line| {
        let aliases = line.split_once("[alias").map_or("", |(_, names)| names);
        let aliases = aliases.trim_start_matches("es").trim_matches([':', ']', ' ']).split(", ");
        line.split_whitespace().take(1).chain(aliases)
    })
}

#[test]
fn a_command_ends_where_the_shell_ends_it() {
    let found =
        commands_in("F=$(envctl backup -q --prod) # then `envctl psql -c 'a; b' -- -At` or my-envctl x");
    assert_eq!(found, [vec!["backup", "-q", "--prod"], vec!["psql", "-c", "a; b", "--", "-At"]]);
}

#[test]
fn what_the_binary_does_not_know_is_found() {
    let mut help = Help::default();
    let mut fault = |line: &str| help.fault(&words(line));
    assert_eq!(fault("backup ls --prod"), None);
    assert_eq!(fault("exec db -- sh --no-such"), None);
    assert_eq!(fault("--version"), None);
    assert_eq!(fault("fly --fast").as_deref(), Some("no verb `fly`"));
    assert_eq!(fault("backup lst").as_deref(), Some("`backup` takes no `lst`"));
    assert_eq!(fault("backup list --fast").as_deref(), Some("no option `--fast` of `backup list`"));
    assert_eq!(fault("restore undo --trust").as_deref(), Some("no option `--trust` of `restore undo`"));
    assert!(fault("help everything").is_some());
}
