//! The house rules that a compiler does not hold: who may import whom, and what no file may contain.
//!
//! Promise: reads the source as text, so that a rule is broken by the line that breaks it, whatever builds.
//! Facts behind the rules: [`LAYERS`].

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A source file.
struct File {
    /// From the project's root, with slashes: `src/docker/client.rs`.
    path: String,
    text: String,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder.
fn rust_files(folder: &str) -> Vec<File> {
    let mut folders = vec![root().join(folder)];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the project").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(File {
                    path: relative(&path),
                    text: std::fs::read_to_string(&path).expect("source is text"),
                });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!files.is_empty(), "no file below {folder}");
    files
}

fn relative(path: &Path) -> String {
    path.strip_prefix(root()).expect("a file of the project").to_string_lossy().replace('\\', "/")
}

impl File {
    /// The folder below `src` it belongs to, `main` for `src/main.rs`.
    fn layer(&self) -> &str {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.split(['/', '.']).next().unwrap_or_default()
    }

    /// Returns true where a line belongs to the tests at the end of the file.
    fn in_tests(&self, number: usize) -> bool {
        let tests = self.text.lines().position(|line| line.starts_with("mod tests {"));
        tests.is_some_and(|first| number > first)
    }

    /// The lines of code with their numbers: comments and the text in quotes are blanked.
    fn code(&self) -> Vec<(usize, String)> {
        self.text.lines().enumerate().map(|(number, line)| (number + 1, code_of(line))).collect()
    }

    /// Every path that starts at one of the crate's own folders, from `use` lines and from the code.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut imports = Vec::new();
        let mut statement = String::new();
        let mut from = 0;
        for (number, line) in self.code() {
            if statement.is_empty() && !line.trim_start().trim_start_matches("pub ").starts_with("use ") {
                imports.extend(paths_in(&line).map(|path| (number, path)));
                continue;
            }
            if statement.is_empty() {
                from = number;
            }
            statement.push_str(line.trim());
            if line.contains(';') {
                imports.extend(leaves(&statement).into_iter().map(|path| (from, path)));
                statement.clear();
            }
        }
        imports
    }
}

/// A line without its comment and without what stands in quotes.
fn code_of(line: &str) -> String {
    let (mut code, mut quoted, mut before) = (String::new(), false, ' ');
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => drop(chars.next()),
            '"' if before != '\'' => {
                quoted = !quoted;
                code.push(c);
            }
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            c if !quoted => code.push(c),
            _ => {}
        }
        before = c;
    }
    code
}

/// `crate::a::b` in the middle of code.
fn paths_in(line: &str) -> impl Iterator<Item = String> {
    line.match_indices("crate::").map(|(at, _)| {
        line[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect()
    })
}

/// `super::a` and `a::b` in the middle of code.
fn relative_paths_in(line: &str) -> impl Iterator<Item = String> {
    let words = line.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'));
    words
        .filter(|word| word.contains("::") && word.starts_with(|c: char| c.is_ascii_lowercase()))
        .filter(|word| !word.starts_with("crate::"))
        .map(|word| word.trim_end_matches(':').to_owned())
}

/// The full paths of a `use` statement: `use a::{b, c::{self, D}};` is `a::b`, `a::c`, `a::c::D`.
fn leaves(statement: &str) -> Vec<String> {
    let mut stack = Vec::new();
    let (mut prefix, mut word, mut leaves) = (String::new(), String::new(), Vec::new());
    let body = statement.split_once("use ").map_or("", |(_, body)| body);
    let body = body.trim_end_matches(';');
    for c in body.chars().chain([',']) {
        match c {
            '{' => {
                stack.push(prefix.clone());
                prefix.push_str(&std::mem::take(&mut word));
            }
            ',' | '}' => {
                let leaf = std::mem::take(&mut word);
                let leaf = leaf.split(" as ").next().unwrap_or_default().trim();
                if leaf == "self" {
                    leaves.push(prefix.trim_end_matches("::").to_owned());
                } else if !leaf.is_empty() {
                    leaves.push(format!("{prefix}{leaf}"));
                }
                if c == '}' {
                    prefix = stack.pop().unwrap_or_default();
                }
            }
            ' ' if word.is_empty() => {}
            c => word.push(c),
        }
    }
    leaves
}

/// Fails with every line that breaks the rule.
#[track_caller]
fn hold(rule: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// Every line of code outside some layers that holds one of these words as a word.
fn naming(words: &[&str], allowed: impl Fn(&File) -> bool) -> Vec<String> {
    let mut broken = Vec::new();
    for file in rust_files("src").iter().filter(|file| !allowed(file)) {
        for (number, line) in file.code() {
            if words.iter().any(|word| holds_word(&line, word)) {
                broken.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    broken
}

fn holds_word(line: &str, word: &str) -> bool {
    let inside = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    line.match_indices(word).any(|(at, _)| {
        !inside(line[..at].chars().next_back()) && !inside(line[at + word.len()..].chars().next())
    })
}

#[test]
fn only_docker_names_bollard() {
    hold("bollard is named in src/docker only", &naming(&["bollard"], |file| file.layer() == "docker"));
}

#[test]
fn only_the_ui_prints() {
    let macros = ["print!", "println!", "eprint!", "eprintln!"].map(|name| name.trim_end_matches('!'));
    let broken: Vec<String> = naming(&macros, |file| file.layer() == "ui")
        .into_iter()
        .filter(|line| macros.iter().any(|name| line.contains(&format!("{name}!"))))
        .collect();
    hold("print macros are for src/ui only", &broken);
}

#[test]
fn only_what_is_typed_names_clap() {
    let above = |file: &File| ["cli", "commands", "app", "main"].contains(&file.layer());
    hold("clap is named by cli and commands only", &naming(&["clap", "clap_complete", "clap_mangen"], above));
}

/// Nothing below `app/` reads the clock or the environment by itself; waits and timers are no clock.
#[test]
fn only_the_app_reads_the_clock_and_the_environment() {
    let reads = [
        "env::var",
        "env::vars",
        "env::var_os",
        "env::vars_os",
        "current_dir",
        "Timestamp::now",
        "SystemTime::now",
        "Zoned::now",
    ];
    let above = |file: &File| ["app", "cli", "main"].contains(&file.layer()) || is_test(file);
    hold("the clock, the environment and the directory are parameters below app", &naming(&reads, above));
}

fn is_test(file: &File) -> bool {
    file.path.contains("/tests/") || file.path.ends_with("tests.rs") || file.path.ends_with("fake_engine.rs")
}

/// Folders and files below `src/`, from the top down: each may import what stands in a later row, and itself.
const LAYERS: &[&[&str]] = &[
    &["main"],
    &["lib"],
    &["cli"],
    &["commands"],
    &["app"],
    &["ui"],
    &["doctor"],
    &["multi_stack"],
    &["schedule"],
    &["verify"],
    &["backup", "restore", "migrations"],
    &["repository", "databases"],
    &["postgres"],
    &["config"],
    &["environment"],
    &["docker"],
    &["dump", "codec"],
    &["consent", "operation"],
    &["fsutil", "text"],
    &["cancel", "progress", "secret", "random", "exit", "sync"],
    &["error"],
];

fn row(layer: &str) -> Option<usize> {
    LAYERS.iter().position(|row| row.contains(&layer))
}

#[test]
fn layers_are_imported_downwards() {
    let mut broken = Vec::new();
    for file in rust_files("src").into_iter().filter(|file| !is_test(file)) {
        let Some(own) = row(file.layer()) else {
            broken.push(format!("{}: its folder has no row in LAYERS", file.path));
            continue;
        };
        for (number, path) in file.imports() {
            let target = path.strip_prefix("crate::").and_then(|rest| rest.split("::").next());
            let upwards = target.is_some_and(|target| {
                target != file.layer() && row(target).is_some_and(|below| below <= own)
            });
            // A test may look at whatever it compares with.
            if upwards && !file.in_tests(number) {
                broken.push(format!("{}:{number}: {path}", file.path));
            }
        }
    }
    hold("a layer imports what lies below it, and nothing else", &broken);
}

/// The module that a path in `module` leads into: the longest beginning of it that is a file.
fn module_of<'a>(path: &str, module: &str, files: &'a BTreeMap<String, File>) -> Option<&'a str> {
    let mut base: Vec<&str> = module.split('/').collect();
    let mut parts: Vec<&str> = path.split("::").collect();
    if parts[0] == "crate" {
        base.clear();
        parts.remove(0);
    } else if !["super", "self"].contains(&parts[0]) && !files.contains_key(&format!("{module}/{}", parts[0]))
    {
        return None;
    }
    while ["super", "self"].contains(&parts.first().copied().unwrap_or_default()) {
        if parts.remove(0) == "super" {
            base.pop();
        }
    }
    base.extend(parts);
    while !base.is_empty() {
        if let Some((found, _)) = files.get_key_value(&base.join("/")) {
            return Some(found);
        }
        base.pop();
    }
    None
}

/// A parent that declares its children and re-exports what they hold imports nothing; one that uses it does.
#[test]
fn no_files_import_each_other_in_a_circle() {
    let module = |file: &File| {
        let path = file.path.trim_start_matches("src/").trim_end_matches(".rs");
        path.trim_end_matches("/mod").to_owned()
    };
    let files: BTreeMap<String, File> = rust_files("src")
        .into_iter()
        .filter(|file| !is_test(file))
        .map(|file| (module(&file), file))
        .collect();
    let mut imports: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (module, file) in &files {
        let code = file.imports().into_iter().filter(|(number, _)| {
            let line = file.text.lines().nth(number - 1).unwrap_or_default();
            !file.in_tests(*number) && !line.trim_start().starts_with("pub")
        });
        let mut others: BTreeSet<&str> =
            code.filter_map(|(_, path)| module_of(&path, module, &files)).collect();
        for (_, line) in file.code().into_iter().filter(|(number, _)| !file.in_tests(*number)) {
            let declaration = line.trim_start();
            if !["use ", "pub", "mod "].iter().any(|word| declaration.starts_with(word)) {
                others.extend(relative_paths_in(&line).filter_map(|path| module_of(&path, module, &files)));
            }
        }
        others.remove(module.as_str());
        imports.insert(module, others);
    }
    // Whoever imports nothing, or is imported by nobody, is in no circle.
    loop {
        let before = imports.len();
        imports.retain(|_, others| !others.is_empty());
        let left: BTreeSet<&str> = imports.keys().copied().collect();
        let imported: BTreeSet<&str> = imports.values().flatten().copied().collect();
        imports.retain(|module, _| imported.contains(module));
        for others in imports.values_mut() {
            others.retain(|other| left.contains(other));
        }
        if imports.len() == before {
            break;
        }
    }
    let circles: Vec<String> =
        imports.iter().map(|(module, others)| format!("{module} imports {others:?}")).collect();
    hold("no file imports one that leads back to it", &circles);
}

#[test]
fn the_ui_shows_values_and_knows_no_engine() {
    let broken: Vec<String> = rust_files("src/ui")
        .iter()
        .flat_map(|file| file.imports().into_iter().map(|(number, path)| (file.path.clone(), number, path)))
        .filter(|(_, _, path)| {
            ["docker", "postgres", "restore", "backup", "migrations", "databases", "repository"]
                .iter()
                .any(|layer| path.starts_with(&format!("crate::{layer}::")))
        })
        .map(|(file, number, path)| format!("{file}:{number}: {path}"))
        .collect();
    hold("the ui is given what it shows", &broken);
}

#[test]
fn the_environment_is_found_from_values_and_without_an_engine() {
    let mut broken = Vec::new();
    for file in rust_files("src/environment") {
        for (number, path) in file.imports() {
            let Some(inside) = path.strip_prefix("crate::docker::") else { continue };
            // A `Container` carries its engine.
            let value =
                ["ContainerInfo", "ContainerSummary"].contains(&inside) || inside.starts_with("container_");
            if !value {
                broken.push(format!("{}:{number}: {path}", file.path));
            }
        }
    }
    hold("environment imports docker's values and never its engine", &broken);
}

#[test]
fn every_file_says_what_it_is_for() {
    let broken: Vec<String> = ["src", "tests"]
        .iter()
        .flat_map(|folder| rust_files(folder))
        .filter(|file| !file.text.starts_with("//! "))
        .map(|file| file.path)
        .collect();
    hold("a file begins with `//! ` and what it is for", &broken);
}

#[test]
fn nothing_is_left_for_later() {
    let mut broken = Vec::new();
    // Spelled in two parts, or this file would hold them itself.
    let words = [
        concat!("to", "do!("),
        concat!("unimple", "mented!("),
        concat!("db", "g!("),
        concat!("#[ig", "nore"),
    ];
    for file in ["src", "tests"].iter().flat_map(|folder| rust_files(folder)) {
        for (number, line) in file.code() {
            if words.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{number}: {}", file.path, line.trim()));
            }
        }
    }
    hold("no unfinished code, no debugging, no test that is left out", &broken);
}

/// Verbs that a hint begins with: whoever reads it is told what to do.
const VERBS: &str = "add apply decompress decrypt list repair select ask begin build call change check choose compare copy create drop dump edit end free get give go \
    install keep label leave let load look make mend move name pick publish put read remove rename replace reset restore \
    resume repair revert run save say see send set start stop take try turn type undo unpack update upgrade use vacuum wait write";

/// Beginnings of hints that are no verbs: a verb that a value holds, and what is still to be written anew.
const NO_VERBS: &[&str] = &["{next}: ", "did you mean `"];

/// Every text that is given to `.hint(…)` or `.next(…)` as a literal or a format, with its line.
fn hints(file: &File) -> Vec<(usize, &str)> {
    let code = file.text.split("\n#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for call in [".hint(", ".next("] {
        for (at, _) in code.match_indices(call) {
            let argument = code[at + call.len()..].trim_start();
            let literal = argument.strip_prefix("format!(").unwrap_or(argument).trim_start();
            if let Some(text) = literal.strip_prefix('"') {
                found.push((code[..at].lines().count(), text.split('"').next().unwrap_or_default()));
            }
        }
    }
    found
}

#[test]
fn a_hint_begins_with_an_imperative_verb() {
    let verbs: BTreeSet<&str> = VERBS.split_whitespace().collect();
    let mut seen = 0;
    let mut broken = Vec::new();
    for file in rust_files("src").iter().filter(|file| !is_test(file)) {
        for (line, text) in hints(file) {
            seen += 1;
            let first = text.split_whitespace().next().unwrap_or_default();
            let is_verb = verbs.contains(first.trim_end_matches([',', ':']));
            if !is_verb && !NO_VERBS.iter().any(|known| text.starts_with(known)) {
                broken.push(format!("{}:{line}: {text}", file.path));
            }
        }
    }
    assert!(seen > 300, "only {seen} hints are found: are they written in another way?");
    hold("a hint begins with an imperative verb; a statement is a note", &broken);
}

/// Openings that make a reader compute the noun: see the rules in CONTRIBUTING.md.
const OPENINGS: &[&str] = &[
    "What", "Whether", "How", "Who", "Where", "When", "Why", "The same", "As", "Its", "It", "Those",
    "Nothing",
];

#[test]
fn a_comment_begins_with_a_verb_or_a_noun() {
    let mut broken = Vec::new();
    for file in rust_files("src") {
        let lines: Vec<&str> = file.text.lines().map(str::trim_start).collect();
        for (at, line) in lines.iter().enumerate() {
            let Some(text) = line.strip_prefix("/// ").or_else(|| line.strip_prefix("//! ")) else {
                continue;
            };
            let opens = OPENINGS.iter().any(|opening| {
                text.strip_prefix(opening).is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
            });
            // The text of an option's help is for its reader.
            let is_help = lines
                .get(at + 1)
                .is_some_and(|next| next.starts_with("#[arg") || next.starts_with("#[command"));
            if opens && !is_help {
                broken.push(format!("{}:{}: {line}", file.path, at + 1));
            }
        }
    }
    hold("a comment begins with a verb or a noun of the field", &broken);
}

/// Terms that a row of the glossary forbids everywhere: those in backticks in its third column.
fn forbidden_terms() -> Vec<String> {
    let glossary = std::fs::read_to_string(root().join("docs/glossary.md")).expect("the glossary");
    let rows = glossary.lines().filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cells = rows.filter_map(|row| row.split('|').nth(2));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

/// Forbidden terms that a file may contain, with the reason. An empty path is any file.
const ALLOWED_TERMS: &[(&str, &str)] = &[
    // `SignalKind::interrupt()` of tokio.
    ("interrupt", "src/app/signals.rs"),
    // Drizzle keeps its history in `meta/_journal.json`.
    ("journal", "src/migrations/"),
];

/// The words of a line in lower case: of `BlockingSession` and `blocking_session` there are two.
fn words_of(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for c in line.chars() {
        if !c.is_alphanumeric() || (c.is_uppercase() && before.is_lowercase()) {
            words.push(String::new());
        }
        if c.is_alphanumeric() {
            words.last_mut().expect("there is one").extend(c.to_lowercase());
        }
        before = c;
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Returns true if a line contains the words of a term one after another; the last one may be a plural.
fn contains_term(words: &[String], term: &[&str]) -> bool {
    words.windows(term.len()).any(|window| {
        window.iter().zip(term).enumerate().all(|(at, (word, expected))| {
            word == expected || (at + 1 == term.len() && word.strip_suffix('s') == Some(expected))
        })
    })
}

#[test]
fn no_source_uses_a_term_that_the_glossary_forbids() {
    let terms = forbidden_terms();
    assert!(terms.len() > 10, "{terms:?}");
    let mut broken = Vec::new();
    for file in rust_files("src") {
        let allowed = |term: &str| {
            ALLOWED_TERMS.iter().any(|(name, path)| *name == term && file.path.starts_with(path))
        };
        for (number, line) in file.text.lines().enumerate() {
            let words = words_of(line);
            for term in terms.iter().filter(|term| !allowed(term)) {
                if contains_term(&words, &term.split(' ').collect::<Vec<_>>()) {
                    broken.push(format!("{}:{}: {term}: {}", file.path, number + 1, line.trim()));
                }
            }
        }
    }
    hold("docs/glossary.md has another term for this, in names, comments and messages", &broken);
}

#[test]
fn word_is_no_identifier() {
    // Where words of a text are cut, wrapped and masked.
    let allowed = |file: &File| ["text", "ui"].contains(&file.layer()) || is_test(file);
    let broken = naming(&["word", "words"], allowed);
    hold("a word is a message, an argument, a token, a keyword or a name", &broken);
}

#[test]
fn a_type_name_means_one_thing() {
    let mut places: std::collections::BTreeMap<String, Vec<String>> = std::collections::BTreeMap::new();
    for file in rust_files("src").iter().filter(|file| !is_test(file)) {
        for (number, line) in file.code().into_iter().filter(|(number, _)| !file.in_tests(*number)) {
            // Items of a module; types inside of functions and traits are indented.
            let item =
                line.strip_prefix("pub(crate) ").or_else(|| line.strip_prefix("pub ")).unwrap_or(&line);
            let name = ["struct ", "enum ", "trait ", "type ", "union "]
                .iter()
                .find_map(|keyword| item.strip_prefix(keyword))
                .map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect::<String>());
            if let Some(name) = name {
                places.entry(name).or_default().push(format!("{}:{number}", file.path));
            }
        }
    }
    assert!(places.len() > 300, "only {} types are found", places.len());
    let broken: Vec<String> = places
        .into_iter()
        .filter(|(_, places)| places.len() > 1)
        .map(|(name, places)| format!("{name}: {}", places.join(", ")))
        .collect();
    hold("the name of a type occurs once in the crate", &broken);
}

#[test]
fn no_folder_of_odds_and_ends() {
    let broken: Vec<String> = rust_files("src")
        .into_iter()
        .map(|file| file.path)
        .filter(|path| {
            ["utils", "util", "helpers", "common", "misc"].iter().any(|name| holds_word(path, name))
        })
        .collect();
    hold("a file is named after what it is for", &broken);
}

/// The files that belong to the project, or `None` outside a checkout.
fn tracked() -> Option<Vec<PathBuf>> {
    let listed = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().ok()?;
    let names = String::from_utf8(listed.stdout).ok().filter(|_| listed.status.success())?;
    Some(names.split('\0').filter(|name| !name.is_empty()).map(|name| root().join(name)).collect())
}

#[test]
fn no_file_knows_the_machine_it_was_written_on() {
    let Some(files) = tracked() else { return };
    let places =
        [concat!("/wo", "rk/"), concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    // Whose homes stand in examples and fixtures.
    let nobody = ["ana", "ben", "me", "you", "user"];
    let mut broken = Vec::new();
    for file in files {
        // Links, folders of other repositories, and what is no text hold no lines.
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        for (number, line) in text.lines().enumerate() {
            for place in places {
                for (at, _) in line.match_indices(place) {
                    let before = line[..at].chars().next_back();
                    let inside = before.is_some_and(|c| c.is_alphanumeric() || "_$}.~-/*".contains(c));
                    let rest = &line[at + place.len()..];
                    let owner: String = rest.chars().take_while(|c| c.is_alphanumeric()).collect();
                    let made_up = place.starts_with(concat!("/ho", "m")) || place.starts_with("/U");
                    let example = made_up && nobody.contains(&owner.as_str());
                    if !inside && !example {
                        let mut shown = String::new();
                        let _ = write!(
                            shown,
                            "{}:{}: …{}",
                            relative(&file),
                            number + 1,
                            &line[at..line.len().min(at + 40)]
                        );
                        broken.push(shown);
                    }
                }
            }
        }
    }
    hold("no path of a machine in a file of the project", &broken);
}

#[test]
fn the_reader_of_these_rules_reads_code() {
    assert_eq!(code_of(r#"let a = "bollard // x"; // clap"#), r#"let a = ""; "#);
    assert_eq!(leaves("use a::{b, c::{self, D as E}, f};"), ["a::b", "a::c", "a::c::D", "a::f"]);
    assert_eq!(leaves("pub use crate::x::Y;"), ["crate::x::Y"]);
    assert!(holds_word("use bollard::Docker", "bollard") && !holds_word("collar", "olla"));
    assert_eq!(
        paths_in("fn f() -> crate::error::Result<()> {").collect::<Vec<_>>(),
        ["crate::error::Result"]
    );
}
