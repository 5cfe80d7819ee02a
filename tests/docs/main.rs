//! Documents compared with the binary and the tree: commands, options, keys, exit codes, JSON, links, terms, length.
//!
//! Promise: needs no Docker and takes a second. A transcript is not repeated here; its commands are checked.

mod command;
mod page;
mod promises;

use std::collections::BTreeSet;

use command::{commands_in, envctl, fault};
use page::{Page, page, pages};
use serde_json::Value;

#[track_caller]
fn none(what: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{what}:\n  {}", faults.join("\n  "));
}

#[test]
fn every_command_is_one_that_the_binary_takes() {
    let (mut faults, mut seen) = (Vec::new(), 0);
    for page in pages() {
        let code = page.fences().into_iter().map(|fence| fence.body).chain(page.spans());
        for arguments in code.flat_map(|code| commands_in(&code)) {
            seen += 1;
            let fault = fault(&arguments);
            faults.extend(
                fault.map(|fault| format!("{}: `envctl {}`: {fault}", page.name, arguments.join(" "))),
            );
        }
    }
    none("commands in the documents", &faults);
    assert!(seen > 100, "only {seen} commands were found");
}

#[test]
fn the_exit_codes_are_those_of_the_binary() {
    let table: Vec<(u64, String)> = answer(&["help", "exit-codes", "--json"])["exit_codes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["code"].as_u64().unwrap(), row["meaning"].as_str().unwrap().to_owned()))
        .collect();
    let written: Vec<(u64, String)> = page("docs/scripting.md")
        .rows(2)
        .into_iter()
        .filter_map(|cells| Some((cells[0].parse().ok()?, cells[1].clone())))
        .collect();
    assert_eq!(written, table);
}

#[test]
fn links_lead_somewhere() {
    let mut faults = Vec::new();
    for page in pages() {
        for link in page.links().into_iter().filter(|link| !link.starts_with("https://")) {
            let file = link.split('#').next().unwrap_or_default();
            if link.contains('#') || !page.beside(file).exists() {
                faults.push(format!("{}: {link}", page.name));
            }
        }
        for script in page.spans().iter().filter_map(|span| span.strip_prefix("./")) {
            if !page::root().join(script).exists() {
                faults.push(format!("{}: ./{script}", page.name));
            }
        }
    }
    none("links to nowhere (anchors are not used)", &faults);
}

#[test]
fn the_folders_of_the_map_are_there() {
    let fences = page("ARCHITECTURE.md");
    let map = fences.fences().into_iter().find(|fence| fence.body.starts_with("src/")).unwrap().body;
    let mut faults = Vec::new();
    for line in map.lines() {
        let (inside, line) = match line.strip_prefix("├── ").or_else(|| line.strip_prefix("└── "))
        {
            Some(line) => ("src/", line),
            None => ("", line),
        };
        let names = line
            .split_whitespace()
            .take_while(|word| word.ends_with(['/', 's']) && word.contains(['/', '.']));
        faults.extend(
            names.map(|name| format!("{inside}{name}")).filter(|name| !page::root().join(name).exists()),
        );
    }
    none("the map of ARCHITECTURE.md names", &faults);
    for entry in std::fs::read_dir(page::root().join("src")).unwrap().map(Result::unwrap) {
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(map.contains(&format!(" {name}")), "the map of ARCHITECTURE.md leaves out src/{name}");
    }
}

#[test]
fn no_machine_is_named() {
    let places =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let faults: Vec<String> = pages()
        .iter()
        .flat_map(|page| page.text.lines().map(move |line| format!("{}: {line}", page.name)))
        .filter(|line| places.iter().any(|place| line.contains(place)))
        .collect();
    none("paths of a machine", &faults);
}

/// Sections of the pages on JSON.
fn json_sections() -> Vec<(String, Page)> {
    ["docs/json.md", "docs/json-backups.md", "docs/json-changes.md"]
        .iter()
        .flat_map(|name| page(name).sections())
        .collect()
}

/// The example of each section and its table name the same fields.
#[test]
fn json_examples_and_their_tables_agree() {
    let mut examples = 0;
    for (heading, section) in json_sections() {
        let Some(example) = example(&section) else { continue };
        examples += 1;
        assert_eq!(example["schema"], 1, "{heading}");
        let mut fields = fields_of(&example);
        fields.remove("schema");
        // What another page describes in full is shortened here.
        fields.retain(|field| !field.starts_with("manifest.") && !field.starts_with("stacks[].databases[]"));
        assert_eq!(fields, documented(&section), "{heading}: fields of the example and of the table");
    }
    assert!(examples >= 8, "only {examples} examples");
}

#[test]
fn real_answers_hold_only_documented_fields() {
    for (section, arguments) in [
        ("config", &["config", "--json"][..]),
        ("help exit-codes", &["help", "exit-codes", "--json"]),
        ("Errors", &["status", "--json", "--host", "unix:///no/such/socket"]),
        ("Errors", &["status", "--no-such-option", "--json"]),
    ] {
        let mut fields = fields_of(&answer(arguments));
        assert!(fields.remove("schema"), "{arguments:?}: no schema");
        let sections = json_sections();
        let (_, text) = sections.iter().find(|(heading, _)| heading == section).unwrap();
        let unknown: Vec<_> = fields.difference(&documented(text)).cloned().collect();
        none(&format!("fields of {arguments:?} that docs/json.md does not name"), &unknown);
    }
}

#[test]
fn the_classes_of_errors_have_the_exit_codes_of_the_table() {
    let sections = json_sections();
    let rows = sections.iter().find(|(heading, _)| heading == "Errors").unwrap().1.rows(3);
    for (class, arguments) in [
        ("docker", &["status", "--json", "--host", "unix:///no/such/socket"][..]),
        ("usage", &["status", "--no-such-option", "--json"]),
    ] {
        let row = rows.iter().find(|cells| cells[0] == class).unwrap();
        let output = envctl(arguments);
        assert_eq!(output.status.code().map(|code| code.to_string()).as_ref(), Some(&row[1]), "{class}");
        assert_eq!(answer(arguments)["error"]["code"], class);
    }
}

fn answer(arguments: &[&str]) -> Value {
    let output = envctl(arguments);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {output:?}"))
}

fn example(section: &Page) -> Option<Value> {
    let fence = section.fences().into_iter().find(|fence| fence.language == "json")?.body;
    Some(serde_json::from_str(&fence).unwrap_or_else(|e| panic!("{}: {e}", section.name)))
}

/// The fields that the section's table names.
fn documented(section: &Page) -> BTreeSet<String> {
    section.rows(2).into_iter().map(|cells| cells[0].clone()).filter(|name| name != "field").collect()
}

/// Every field of a document: `stacks[].database.name`.
fn fields_of(value: &Value) -> BTreeSet<String> {
    fn walk(value: &Value, at: &str, fields: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    let path = if at.is_empty() { name.clone() } else { format!("{at}.{name}") };
                    fields.insert(path.clone());
                    walk(member, &path, fields);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| walk(item, &format!("{at}[]"), fields)),
            _ => {}
        }
    }
    let mut fields = BTreeSet::new();
    walk(value, "", &mut fields);
    fields
}
