//! The list of keys, the files, the settings, the example and the manual agree.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::super::keys::{GUARDS, KEYS};
use super::*;
use crate::config::origin::Origin;
use crate::config::parsed_file::{FileTrust, ParsedFile};

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

fn known() -> BTreeSet<String> {
    KEYS.iter().map(|key| key.path.to_owned()).collect()
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

#[test]
fn the_example_holds_every_key() {
    let mut shown = BTreeSet::new();
    for text in [EXAMPLE.to_owned(), alternatives()] {
        ParsedFile::parse(Path::new("envctl.example.toml"), &text, FileTrust::Project).unwrap();
        let table: toml::Table = toml::from_str(&text).unwrap();
        paths(&serde_json::to_value(table).unwrap(), "", &mut shown);
    }
    let shown: BTreeSet<String> = shown
        .iter()
        .map(|path| path.replace("profiles.dev.", "profiles.*.").replace("profiles.prod.", "profiles.*."))
        .collect();
    assert_eq!(shown, known());
}

#[test]
fn the_example_names_every_variable() {
    for key in KEYS {
        if let Some(variable) = key.variable {
            assert!(EXAMPLE.contains(variable), "{variable}");
        }
    }
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
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
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
    let in_words = ["backup.dir", "backup.exclude_table_data"];
    for key in KEYS.iter().filter(|key| !key.path.contains('*') && !in_words.contains(&key.path)) {
        let Some(row) = settings.table().iter().find(|row| row.key == key.path) else { continue };
        let Some(value) = &row.value else { continue };
        assert_eq!(value, key.default, "{}", key.path);
        if let Some(variable) = key.variable {
            assert!(EXAMPLE.contains(&format!("[{variable}, default {value}]")), "{variable}");
        }
    }
}

#[test]
fn no_key_lifts_a_guard() {
    for key in KEYS {
        let word = key.path.rsplit('.').next().unwrap();
        assert!(!GUARDS.contains(&word), "{word}");
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
