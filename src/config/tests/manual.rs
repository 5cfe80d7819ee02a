//! The list of keys, the files, the settings, the example and the manual agree.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::keys::{GUARDS, KEYS, Key};
use super::*;
use crate::config::origin::Origin;

const EXAMPLE: &str = include_str!("../../../envctl.example.toml");
const MANUAL: &str = include_str!("../../../docs/configuration.md");

fn paths(value: &serde_json::Value, prefix: &str, into: &mut BTreeSet<String>) {
    let serde_json::Value::Object(table) = value else {
        into.insert(prefix.to_owned());
        return;
    };
    for (name, value) in table {
        let path = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
        paths(value, &path, into);
    }
}

/// The example with every alternative (`#key = …`) in the place of the key above it.
fn alternatives() -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut last_key = 0;
    for line in EXAMPLE.lines() {
        if let Some(alternative) =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        {
            lines[last_key] = String::new();
            lines.push(alternative.to_owned());
            continue;
        }
        if line.contains(" = ") && !line.starts_with('#') {
            last_key = lines.len();
        }
        lines.push(line.to_owned());
    }
    lines.join("\n")
}

/// Appends text as comments of a width that fits a terminal.
fn comment(text: &str, into: &mut String) {
    // What stands in backticks stays on one line.
    let spans = text.split('`').enumerate();
    let joined = spans.map(|(n, span)| if n % 2 == 1 { span.replace(' ', "\t") } else { span.to_owned() });
    let joined = joined.collect::<Vec<_>>().join("`");
    let mut line = String::from("#");
    for token in joined.split(' ') {
        if line.len() + token.len() >= 118 {
            let _ = writeln!(into, "{line}");
            line = String::from("#");
        }
        let _ = write!(line, " {}", token.replace('\t', " "));
    }
    let _ = writeln!(into, "{line}");
}

/// The example, from the list of keys: tables in the order of the list, each with all of its keys.
fn example() -> String {
    let split = |key: &'static Key| key.path.rsplit_once('.').unwrap_or(("", key.path));
    let mut tables: Vec<&str> = KEYS.iter().map(|key| split(key).0).collect();
    let mut seen = BTreeSet::new();
    tables.retain(|table| seen.insert(*table));
    let mut text = String::from(HEAD);
    for table in tables {
        if !table.is_empty() {
            let _ = writeln!(text, "\n[{}]", table.replace('*', "prod"));
        }
        for key in KEYS.iter().filter(|key| split(key).0 == table) {
            let variable = key.variable.map_or_else(String::new, |name| format!(" [{name}]"));
            comment(&format!("{} Default: {}.{variable}", key.what, key.default), &mut text);
            let alternative = if key.excludes.is_some() { "#" } else { "" };
            let _ = writeln!(text, "{alternative}{} = {}", split(key).1, key.example);
        }
    }
    text
}

const HEAD: &str = "\
# Every setting of envctl, with an example value. All of them are optional.
#
# As `envctl.toml` in a project it describes that project: envctl finds it upwards from the working
# directory, `--config FILE` names another one. As `$XDG_CONFIG_HOME/envctl/config.toml` (usually
# ~/.config/envctl/config.toml) it holds for all projects of a user; there, `stack`, `[profiles]`,
# `[database]`, `[migrations]` and `backup.exclude_table_data` have no place.
#
# Precedence, strongest first: an option, its ENVCTL_… variable, the project's file, the user's file.
# `envctl config` shows every setting and where it came from.
#
# Durations are written \"10s\", \"2m\", \"1h 30m\", or as a number of seconds. A file or directory of this machine is
# relative to this file, or below home with `~/`. A command is a list: program and arguments, no shell.
#
# A line that begins with `#` and no space is an alternative to the key above it.

";

#[test]
fn the_example_is_made_of_the_list_of_keys() {
    let example = example();
    assert!(EXAMPLE == example, "envctl.example.toml has to hold this text:\n{example}");
}

#[test]
fn every_key_of_the_example_has_an_effect() {
    for text in [EXAMPLE.to_owned(), alternatives()] {
        let machine = Machine::new().project(&text);
        let settings = machine.settings();
        let table: toml::Table = toml::from_str(&text).unwrap();
        let mut written = BTreeSet::new();
        paths(&serde_json::to_value(table).unwrap(), "", &mut written);
        for key in written {
            assert!(matches!(row(&settings, &key).origin, Origin::File { line: Some(_), .. }), "{key}");
        }
    }
}

#[test]
fn every_variable_has_an_effect() {
    let tree = |text: &str| serde_json::to_value(toml::from_str::<toml::Table>(text).unwrap()).unwrap();
    let trees = [tree(EXAMPLE), tree(&alternatives())];
    for key in KEYS {
        let Some(variable) = key.variable else { continue };
        let pointer = format!("/{}", key.path.replace('.', "/"));
        let value = trees.iter().find_map(|tree| tree.pointer(&pointer)).unwrap();
        let text = match value {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(items) => {
                items.iter().filter_map(serde_json::Value::as_str).collect::<Vec<_>>().join(",")
            }
            other => other.to_string(),
        };
        let settings = Machine::new().project(EXAMPLE).env(variable, &text).settings();
        assert_eq!(row(&settings, key.path).origin, Origin::Env { name: variable.to_owned() });
    }
}

#[test]
fn every_key_is_a_row_even_when_nothing_is_set() {
    let settings = Machine::new().settings();
    // The two forms of a secret are one question.
    let one_row = |path: &str| path.contains('*') || path.ends_with("_command");
    for key in KEYS.iter().filter(|key| !one_row(key.path)) {
        assert_eq!(row(&settings, key.path).origin, Origin::Default);
    }
    let mut seen = BTreeSet::new();
    for row in settings.table() {
        assert!(seen.insert(&row.key), "{} is there twice", row.key);
    }
}

#[test]
fn the_defaults_that_are_documented_are_the_ones_that_hold() {
    let settings = Machine::new().settings();
    // Said in words, because it depends on the place, or because nothing is nothing.
    let in_words = [
        "backup.dir",
        "backup.exclude_table_data",
        "backup.encryption.recipients",
        "backup.stores",
        "verify.checks",
    ];
    for key in KEYS.iter().filter(|key| !key.path.contains('*') && !in_words.contains(&key.path)) {
        let Some(row) = settings.table().iter().find(|row| row.key == key.path) else { continue };
        let Some(value) = &row.value else { continue };
        assert_eq!(value, key.default, "{}", key.path);
    }
}

#[test]
fn no_key_lifts_a_guard() {
    for key in KEYS {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(!GUARDS.contains(&name), "{name}");
        let variable = key.variable.unwrap_or_default().trim_start_matches("ENVCTL_").to_lowercase();
        assert!(!GUARDS.contains(&variable.as_str()), "{variable}");
    }
}

/// The table of the manual, from the list of keys.
fn manual_table() -> String {
    let mut table =
        String::from("| key | what it decides | default | variable | user's file |\n|---|---|---|---|---|\n");
    for key in KEYS {
        let path = key.path.replace('*', "NAME");
        let variable = key.variable.map_or(String::new(), |name| format!("`{name}`"));
        let user = if key.user_wide { "yes" } else { "" };
        let _ = writeln!(table, "| `{path}` | {} | {} | {variable} | {user} |", key.what, key.default);
    }
    table
}

#[test]
fn the_manual_holds_the_list_of_keys() {
    let table = manual_table();
    assert!(MANUAL.contains(&table), "docs/configuration.md has to hold this table:\n{table}");
}
