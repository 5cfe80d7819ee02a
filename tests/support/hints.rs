//! Commands in backticks that a run has printed: each has to be one that envctl understands.
//!
//! Promise: reads the text as a person does who copies what stands between two backticks into a shell.

/// Commands of envctl in a text, each split into words as a POSIX shell does, without `envctl` itself.
pub fn commands(text: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find("`envctl ") {
        rest = &rest[at + 1..];
        let Some(len) = rest.find('`') else { break };
        found.push(words(&rest[..len]).split_off(1));
        rest = &rest[len + 1..];
    }
    found
}

/// Splits a command line at blanks; quotes keep a word together, a backslash takes the next character as it is.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(chars.next()),
            (None, ' ' | '\n') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

/// Panics where a command in a hint is none that the command line takes.
#[track_caller]
pub fn assert_understood(text: &str) {
    for command in commands(text) {
        let line = std::iter::once("envctl").chain(command.iter().map(String::as_str));
        if let Err(error) = envctl::cli::definition().try_get_matches_from(line) {
            let asks_for_help = !error.use_stderr();
            assert!(asks_for_help, "`envctl {}` is no command:\n{error}\nin:\n{text}", command.join(" "));
        }
    }
}

#[test]
fn a_command_is_split_as_a_shell_splits_it() {
    let text = r#"see `envctl psql -c 'select "a b"'` or `envctl restore undo -d "it's"`, not `docker ps`"#;
    assert_eq!(commands(text), [vec!["psql", "-c", "select \"a b\""], vec!["restore", "undo", "-d", "it's"]]);
    assert_understood(text);
    let unknown = std::panic::catch_unwind(|| assert_understood("`envctl restroe`"));
    assert!(unknown.is_err());
}
