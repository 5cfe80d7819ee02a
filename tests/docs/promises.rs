//! Lists in the documents compared with the code: options, keys, variables, terms; and the faults that have a test.

use std::collections::BTreeSet;

use crate::command::envctl;
use crate::none;
use crate::page::{page, pages, root};

/// The text of every Rust file below a folder.
fn sources(folder: &str) -> Vec<String> {
    let mut folders = vec![root().join(folder)];
    let mut texts = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                texts.push(std::fs::read_to_string(path).expect("source is text"));
            }
        }
    }
    texts
}

/// The list of faults that were seen (reliability §2), as far as what exists can meet them: each has a test that bears its number.
#[test]
fn every_fault_that_was_seen_has_its_test() {
    let single = [21, 25, 35, 50, 97].into_iter();
    let ranges = [3..=10, 15..=17, 28..=33, 37..=41, 90..=94];
    let wanted: BTreeSet<u32> = ranges.into_iter().flatten().chain(single).collect();
    let mut tested = BTreeSet::new();
    for text in sources("tests") {
        for line in text.lines().filter_map(|line| line.strip_prefix("fn f")) {
            // `fn f08_f09_f22_what_…` stands for three.
            let words = line.split('_').map(|word| word.trim_start_matches('f'));
            tested.extend(words.map_while(|word| word.parse::<u32>().ok()));
        }
    }
    let missing: Vec<String> = wanted.difference(&tested).map(|number| format!("F{number:02}")).collect();
    assert!(missing.is_empty(), "faults without a test that bears their number: {}", missing.join(", "));
}

/// Names of environment variables in the code of the binary, those of its settings and of its options.
fn variables() -> BTreeSet<String> {
    let keys = envctl::KEYS.iter().chain(envctl::OPTIONS);
    let mut found: BTreeSet<String> = keys.filter_map(|key| key.variable).map(str::to_owned).collect();
    for text in sources("src") {
        for rest in text.split("env = \"ENVCTL_").skip(1) {
            let name = rest.split('"').next().unwrap_or_default();
            found.insert(format!("ENVCTL_{name}"));
        }
    }
    found
}

/// Names that begin with `ENVCTL_` in a text; `ENVCTL_…` stands for any.
fn named_variables(text: &str) -> impl Iterator<Item = String> {
    let name =
        |rest: &str| rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect::<String>();
    let names: Vec<String> =
        text.split("ENVCTL_").skip(1).map(name).filter(|name| !name.is_empty()).collect();
    names.into_iter().map(|name| format!("ENVCTL_{name}"))
}

#[test]
fn every_variable_is_documented_and_every_documented_one_exists() {
    let documented: BTreeSet<String> = pages().iter().flat_map(|page| named_variables(&page.text)).collect();
    assert_eq!(documented, variables());
}

#[test]
fn every_option_is_documented() {
    fn walk(command: &clap::Command, path: &str, text: &str, missing: &mut Vec<String>) {
        for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
            let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long)) else {
                continue;
            };
            let (long, short) = (format!("--{long}"), argument.get_short().map(|short| format!("-{short}")));
            let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
            let mut tokens = text.split(|c| !is_name(c));
            if !tokens.any(|token| token == long || Some(token) == short.as_deref()) {
                missing.push(format!("{path} {long}"));
            }
        }
        for subcommand in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            walk(subcommand, &format!("{path} {}", subcommand.get_name()), text, missing);
        }
    }
    let pages = pages();
    let manual = pages.iter().filter(|page| page.name.starts_with("docs/"));
    let text = manual.map(|page| page.text.as_str()).collect::<Vec<_>>().join("\n");
    let mut missing = Vec::new();
    walk(&envctl::cli::definition(), "envctl", &text, &mut missing);
    none("options that no page in docs/ names", &missing);
}

#[test]
fn every_command_has_its_place_in_the_manual() {
    let pages = pages();
    let definition = envctl::cli::definition();
    let shown = definition.get_subcommands().filter(|command| !command.is_hide_set());
    let missing: Vec<String> = shown
        .map(|command| format!("envctl {}", command.get_name()))
        .filter(|command| {
            !pages.iter().any(|page| page.name == "docs/commands.md" && page.text.contains(command))
        })
        .collect();
    none("commands that docs/commands.md does not show", &missing);
}

/// A key of `[section]` in a text in backticks: `backup.jobs`.
fn is_key(span: &str) -> bool {
    let sections: BTreeSet<&str> =
        envctl::KEYS.iter().filter_map(|key| key.path.split_once('.')).map(|(section, _)| section).collect();
    let is_name = |c: char| c.is_ascii_lowercase() || c == '_' || c == '.';
    span.split_once('.').is_some_and(|(section, _)| sections.contains(section)) && span.chars().all(is_name)
}

#[test]
fn every_documented_key_exists() {
    let keys: BTreeSet<&str> = envctl::KEYS.iter().map(|key| key.path).collect();
    let known =
        |span: &str| keys.contains(span) || keys.iter().any(|key| key.starts_with(&format!("{span}.")));
    // The changelog names keys that were removed; documents of JSON and of the manifest have fields of these names.
    let mut faults = Vec::new();
    let fields = ["CHANGELOG.md", "docs/json.md", "docs/json-backups.md", "docs/json-changes.md"];
    for page in pages().iter().filter(|page| !fields.contains(&page.name.as_str())) {
        let spans = page.spans();
        let unknown = spans.iter().filter(|span| is_key(span) && !known(span));
        faults.extend(unknown.map(|span| format!("{}: {span}", page.name)));
    }
    none("keys in the documents", &faults);
}

#[test]
fn every_toml_example_is_a_configuration_that_the_binary_takes() {
    let mut seen = 0;
    for page in pages() {
        for fence in page.fences().into_iter().filter(|fence| fence.language == "toml") {
            seen += 1;
            let dir = tempfile::tempdir().unwrap();
            let file = dir.path().join("envctl.toml");
            std::fs::write(&file, &fence.body).unwrap();
            let output = envctl(&["config", "--config", file.to_str().unwrap()]);
            assert!(output.status.success(), "{}: {}\n{output:?}", page.name, fence.body);
        }
    }
    assert!(seen > 0);
}

/// Terms that a row of the glossary forbids everywhere: those in backticks in its third column.
fn forbidden_terms() -> Vec<String> {
    let glossary = page("docs/glossary.md").prose();
    let rows = glossary.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// The help of a command and of those below it, by their names.
fn help_pages(command: &clap::Command, path: &str) -> Vec<(String, String)> {
    let mut pages = vec![(format!("{path} --help"), command.clone().render_long_help().to_string())];
    for subcommand in command.get_subcommands() {
        pages.extend(help_pages(subcommand, &format!("{path} {}", subcommand.get_name())));
    }
    pages
}

#[test]
fn no_prose_uses_a_term_that_the_glossary_forbids() {
    let terms = forbidden_terms();
    assert!(terms.len() > 10, "{terms:?}");
    let mut faults = Vec::new();
    let mut definition = envctl::cli::definition();
    definition.build();
    let mut texts = help_pages(&definition, "envctl");
    let pages = pages();
    let pages =
        pages.iter().filter(|page| !["CHANGELOG.md", "docs/glossary.md"].contains(&page.name.as_str()));
    texts.extend(pages.map(|page| (page.name.clone(), page.prose())));
    for (name, text) in texts {
        // Names and output of programs stand in backticks.
        let prose: String = text.split('`').step_by(2).collect::<Vec<_>>().join("`");
        let prose = format!(" {} ", prose.to_lowercase().replace(|c: char| !c.is_alphanumeric(), " "));
        for term in &terms {
            for form in [term.clone(), format!("{term}s")] {
                if prose.contains(&format!(" {form} ")) {
                    faults.push(format!("{name}: {form}"));
                }
            }
        }
    }
    none("words for which the glossary has a term", &faults);
}

#[test]
fn the_readme_is_one_screen_and_a_topic_is_one_page() {
    let mut faults = Vec::new();
    for page in pages().iter().filter(|page| page.name != "CHANGELOG.md") {
        let (lines, limit) = (page.text.lines().count(), if page.name == "README.md" { 80 } else { 200 });
        if lines > limit {
            faults.push(format!("{}: {lines} lines, at most {limit}", page.name));
        }
    }
    none("documents that are too long", &faults);
}
