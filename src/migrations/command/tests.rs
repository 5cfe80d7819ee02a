//! The table is complete and coherent, and what the tools print is read as they mean it.

use std::path::Path;
use std::process::Command;

use super::changed_files::{Listing, differences, find};
use super::presets::{OWN, PRESETS, Preset, StatusFormat};
use super::*;
use crate::migrations::command::detect::{LOOK, questions};
use crate::migrations::command::parse_status::read;

fn tool_files(file: &str, name: &str) -> ToolFiles {
    let preset = Preset::named(name).unwrap();
    ToolFiles { dir: "/app".to_owned(), found: vec![Found { preset, file: file.to_owned() }] }
}

fn states(name: &str, text: &str) -> Vec<(String, &'static str)> {
    let row = Preset::named(name).unwrap();
    states_of(row.reading, row.none, text)
}

fn states_of(reading: StatusFormat, none: &[&str], text: &str) -> Vec<(String, &'static str)> {
    let found = read(reading, none, text).expect("something is recognised");
    found.into_iter().map(|one| (one.name.clone(), one.state.keyword())).collect()
}

fn pairs(list: &[(&str, &'static str)]) -> Vec<(String, &'static str)> {
    list.iter().map(|(name, state)| ((*name).to_owned(), *state)).collect()
}

#[test]
fn the_ten_tools_of_the_manual_are_there_and_every_row_is_whole() {
    for name in
        ["django", "alembic", "rails", "laravel", "flyway", "knex", "typeorm", "drizzle", "diesel", "goose"]
    {
        assert!(Preset::named(name).is_some(), "{name}");
    }
    for (at, row) in PRESETS.iter().enumerate() {
        assert!(PRESETS[..at].iter().all(|other| other.name != row.name), "{} twice", row.name);
        assert!(!row.signs.is_empty() && !row.writes.is_empty(), "{}", row.name);
        for sign in row.signs {
            // A pattern with a space would be two words to the shell that expands it.
            assert!(!sign.file.contains([' ', '\t', '\n']) && !sign.file.starts_with('/'), "{}", sign.file);
        }
        for (verb, argv) in row.argvs() {
            assert!(
                !argv.is_empty() && argv.iter().all(|argument| !argument.is_empty()),
                "{} {verb}",
                row.name
            );
            let named = argv.iter().any(|argument| argument.contains("{name}"));
            assert_eq!(named, verb == "create", "{} {verb}: only a new migration has a name", row.name);
            for argument in argv {
                assert!(!argument.contains([';', '|', '&', '$', '`', '\n']), "{argument} is shell text");
                let rest = argument.replace("{name}", "").replace("{file}", "").replace("{dir}", "");
                assert!(!rest.contains(['{', '}']), "{argument}: no such placeholder");
            }
        }
    }
}

#[test]
fn each_row_becomes_command_lines_without_placeholders() {
    let name: MigrationName = "add_user".parse().unwrap();
    for row in PRESETS {
        let at = tool_files("sub/the file.x", row.name);
        let tool = ResolvedTool::new(ToolChoice::Preset(row), &Commands::default(), &at).unwrap();
        let mut lines = vec![tool.apply.clone()];
        lines.extend([&tool.status, &tool.reset, &tool.seed].into_iter().flatten().cloned());
        lines.extend([tool.creating(&name, false), tool.creating(&name, true)].into_iter().flatten());
        for argument in lines.iter().flatten() {
            assert!(!argument.contains(['{', '}']), "{argument}");
        }
        assert_eq!(tool.creating(&name, false).is_ok(), row.create.is_some());
    }
    let typeorm = ToolChoice::Preset(Preset::named("typeorm").unwrap());
    let tool = ResolvedTool::new(typeorm, &Commands::default(), &tool_files("src/data source.js", "typeorm"))
        .unwrap();
    assert_eq!(tool.apply.last().unwrap(), "src/data source.js", "one word stays one word");
    assert!(tool.creating(&name, true).unwrap().contains(&"src/migrations/add_user".to_owned()));
    let lost = ResolvedTool::new(typeorm, &Commands::default(), &ToolFiles::default()).unwrap_err();
    assert!(lost.message().contains("dist/data-source.js") && lost.hints()[0].contains("dir"), "{lost}");
}

#[test]
fn the_configuration_overrides_a_row_and_defines_a_tool() {
    let arguments = |line: &str| Some(line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let commands =
        Commands { apply: arguments("bin/up --all"), seed: arguments("bin/seed"), ..Commands::default() };
    let django = ToolChoice::Preset(Preset::named("django").unwrap());
    let tool = ResolvedTool::new(django, &commands, &ToolFiles::default()).unwrap();
    assert_eq!(tool.apply, ["bin/up", "--all"]);
    assert_eq!(tool.verb("seed").unwrap(), ["bin/seed"]);
    assert_eq!(tool.status.unwrap()[2], "showmigrations");

    let own = ResolvedTool::new(ToolChoice::Own, &commands, &ToolFiles::default()).unwrap();
    assert!(own.status.is_none() && own.reset.is_none());
    let name: MigrationName = "x".parse().unwrap();
    assert!(own.creating(&name, false).unwrap_err().hints()[0].contains("[migrations.commands] create"));
    assert!(own.verb("push").unwrap_err().message().contains("no command for `push`"));
    assert!(own.resolves_nothing().message().contains("migrate resolve"));
    let nothing =
        ResolvedTool::new(ToolChoice::Own, &Commands::default(), &ToolFiles::default()).unwrap_err();
    assert!(nothing.hints()[0].contains("apply"), "{nothing}");
    let nameless = Commands { create: arguments("bin/new"), ..commands };
    assert!(
        ResolvedTool::new(ToolChoice::Own, &nameless, &ToolFiles::default()).unwrap_err().hints()[0]
            .contains("{name}")
    );
}

#[test]
fn what_the_tools_print_is_read() {
    assert_eq!(
        states("django", "[X]  contenttypes.0001_initial\n[ ]  auth.0001_initial\n"),
        pairs(&[("contenttypes.0001_initial", "applied"), ("auth.0001_initial", "pending")])
    );
    // A branch that is not applied, beside one that is; e5 is there because c3 depends on it.
    assert_eq!(
        states(
            "alembic",
            "b2 -> d4 (head), more, of it\n<base> -> e5 (head), e\na1 -> b2, (current) joke\na1 (e5) -> c3 (label) (head) (current), c\n\
             <base> -> a1 (branchpoint), a\n"
        ),
        pairs(&[
            ("a1 a", "applied"),
            ("c3 c", "applied"),
            ("b2 (current) joke", "pending"),
            ("e5 e", "applied"),
            ("d4 more, of it", "pending")
        ])
    );
    assert_eq!(
        states(
            "rails",
            "\ndatabase: app\n\n Status   Migration ID    Migration Name\n-----\n   up     20240101000000  Create users\n  down    20240102000000  Update  posts\n"
        ),
        pairs(&[("20240101000000 Create users", "applied"), ("20240102000000 Update posts", "pending")])
    );
    assert_eq!(
        states(
            "laravel",
            "\n  Migration name ........... Batch / Status\n  2014_10_12_000000_create_users_table ...... [1] Ran\n  2024_01_01_000000_x ....... Pending\n"
        ),
        pairs(&[("2014_10_12_000000_create_users_table", "applied"), ("2024_01_01_000000_x", "pending")])
    );
    assert_eq!(
        states(
            "flyway",
            "Flyway Community\nSchema version: 1\n\n+-----------+---------+\n\
             | Category  | Version | Description | Type | Installed On        | State   | Undoable |\n+---+\n\
             | Versioned | 1       | Create t    | SQL  | 2017-12-22 15:26:39 | Success | No       |\n\
             | Versioned | 2       | Add c       | SQL  |                     | Failed  | No       |\n\
             | Repeatable |        | View v      | SQL  |                     | Pending | No       |\n+---+\n"
        ),
        pairs(&[("1 Create t", "applied"), ("2 Add c", "failed"), ("View v", "pending")])
    );
    assert_eq!(
        states(
            "knex",
            "Using environment: development\n\u{1b}[32mFound 1 Completed Migration file/files.\u{1b}[39m\n\u{1b}[36m1_a.js\u{1b}[39m\nFound 1 Pending Migration file/files.\n2_b.js\n"
        ),
        pairs(&[("1_a.js", "applied"), ("2_b.js", "pending")])
    );
    assert_eq!(
        states("typeorm", " \u{1b}[4m[X] 1 Init1600000000000\u{1b}[24m\n [ ] Add1700000000000\n"),
        pairs(&[("Init1600000000000", "applied"), ("Add1700000000000", "pending")])
    );
    assert_eq!(
        states(
            "diesel",
            "Migrations:\n  [X] 00000000000000_diesel_initial_setup\n  [ ] 2024-01-01-000000_x\n"
        ),
        pairs(&[("00000000000000_diesel_initial_setup", "applied"), ("2024-01-01-000000_x", "pending")])
    );
    assert_eq!(
        states(
            "goose",
            "2025/08/17 14:26:22     Applied At                  Migration\n2025/08/17 14:26:22     =====\n\
             2025/08/17 14:26:22     Sun Aug 17 10:00:00 2025 -- 00001_a.sql\n2025/08/17 14:26:22     Pending                  -- 00002_b.sql\n"
        ),
        pairs(&[("00001_a.sql", "applied"), ("00002_b.sql", "pending")])
    );
    assert_eq!(
        states_of(OWN, &[], "looking\n[X] one thing\n[ ] another\n"),
        pairs(&[("one thing", "applied"), ("another", "pending")])
    );
}

#[test]
fn words_that_are_not_understood_are_not_nothing_to_apply() {
    for row in PRESETS.iter().filter(|row| row.status.is_some()) {
        assert!(
            read(row.reading, row.none, "| Ran? | Migration |\nsomething else\n")
                .is_none_or(|found| !found.is_empty()),
            "{}",
            row.name
        );
        assert_eq!(read(row.reading, row.none, "\n"), Some(Vec::new()), "{}", row.name);
        for arguments in row.none {
            assert_eq!(read(row.reading, row.none, arguments), Some(Vec::new()), "{} {arguments}", row.name);
        }
    }
    assert!(
        states("knex", "No Completed Migration files Found.\nNo Pending Migration files Found.\n").is_empty()
    );
}

/// Runs the script of [`ToolFiles::look`] in this machine's own shell.
fn looked(files: &[(&str, &str)], below: &str) -> Option<ToolFiles> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let output = Command::new("sh")
        .args(["-c", LOOK, "envctl", below])
        .args(questions())
        .current_dir(dir.path())
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    output.status.success().then(|| ToolFiles::read(&text))
}

#[test]
fn each_tool_is_recognised_by_each_of_its_files_and_by_no_other_tools() {
    for preset in PRESETS {
        for sign in preset.signs {
            let name = sign.file.replace('*', "00001_a b");
            let tool_files = looked(&[(&name, &format!("x\n{}\n", sign.holds))], "").unwrap();
            let found: Vec<(&str, &str)> =
                tool_files.found.iter().map(|one| (one.preset.name, one.file.as_str())).collect();
            assert_eq!(found, [(preset.name, name.as_str())]);
            if !sign.holds.is_empty() {
                assert!(looked(&[(&name, "x")], "").unwrap().found.is_empty(), "{name}");
            }
        }
    }
}

#[test]
fn the_directory_is_the_one_that_is_named_and_two_tools_are_two() {
    let files = [("api/manage.py", "import django"), ("api/alembic.ini", ""), ("artisan", "")];
    let tool_files = looked(&files, "api").unwrap();
    assert!(
        Path::new(&tool_files.dir).is_absolute() && tool_files.dir.ends_with("/api"),
        "{}",
        tool_files.dir
    );
    let names: Vec<&str> = tool_files.found.iter().map(|one| one.preset.name).collect();
    assert_eq!(names, ["django", "alembic"]);
    assert!(looked(&files, "nowhere").is_none());
    assert!(looked(&[], "").unwrap().found.is_empty());
}

#[test]
fn what_is_new_and_what_was_changed_are_told_apart() {
    let before: Listing = ["1 5 ./m/a b.py", "2 5 ./m/j.json"].map(str::to_owned).into();
    let after: Listing = ["1 5 ./m/a b.py", "3 9 ./m/j.json", "4 1 ./m/c d.py"].map(str::to_owned).into();
    assert_eq!(differences(&before, &after), [("m/c d.py".to_owned(), false), ("m/j.json".to_owned(), true)]);
}

#[test]
fn find_takes_the_patterns_of_every_row() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["app/migrations/0001_a.py", "app/models.py", "node_modules/x/migrations/1.py"] {
        let path = dir.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "x").unwrap();
    }
    let argv = find(&["*/migrations/*.py", "*.sql"]);
    let output = Command::new(&argv[0]).args(&argv[1..]).current_dir(dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.lines().count() == 1, "{text}");
    assert!(text.trim().ends_with("./app/migrations/0001_a.py"), "{text}");
}
