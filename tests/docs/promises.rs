//! What is promised in lists, held against the code: each key is acted upon, each fault that was seen has its test.

use std::collections::BTreeSet;

use crate::none;
use crate::page::root;

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

/// Where each key of `envctl.toml` is acted upon: a key that nobody reads is a promise that nobody keeps.
const READ_BY: &[(&str, &str, &str)] = &[
    ("stack", "src/environment/choose.rs", "request.rules.stack"),
    ("timeout", "src/app/mod.rs", "timeouts.overall"),
    ("lock_timeout", "src/commands/restore/mod.rs", "timeouts.lock"),
    ("stall_timeout", "src/commands/backup/create.rs", "timeouts.stall"),
    ("profiles.*.project", "src/environment/unit.rs", "rule.project"),
    ("profiles.*.backend", "src/environment/role.rs", "rule.backend"),
    ("profiles.*.db", "src/environment/role.rs", "rule.db"),
    ("profiles.*.protected", "src/environment/discover.rs", "rule.protected"),
    ("profiles.*.context", "src/app/mod.rs", "wish.context"),
    ("profiles.*.host", "src/app/mod.rs", "wish.host"),
    ("profiles.*.database.name", "src/app/mod.rs", "database.name"),
    ("profiles.*.database.user", "src/app/mod.rs", "database.user"),
    ("profiles.*.database.host", "src/app/mod.rs", "database.host"),
    ("profiles.*.database.port", "src/app/mod.rs", "database.port"),
    ("profiles.*.database.os_user", "src/app/mod.rs", "database.os_user"),
    ("profiles.*.database.password_file", "src/app/mod.rs", "database.password"),
    ("profiles.*.database.password_command", "src/app/mod.rs", "database.password"),
    ("database.name", "src/app/mod.rs", "database.name"),
    ("database.user", "src/app/mod.rs", "database.user"),
    ("database.host", "src/app/mod.rs", "database.host"),
    ("database.port", "src/app/mod.rs", "database.port"),
    ("database.os_user", "src/app/mod.rs", "database.os_user"),
    ("database.password_file", "src/app/mod.rs", "database.password"),
    ("database.password_command", "src/app/mod.rs", "database.password"),
    ("docker.context", "src/app/mod.rs", "wish.context"),
    ("docker.host", "src/app/mod.rs", "wish.host"),
    ("docker.transport", "src/commands/ways.rs", "usual.transport"),
    ("docker.worker_memory", "src/commands/ways.rs", "usual.memory"),
    ("docker.worker_cpus", "src/commands/ways.rs", "usual.cpus"),
    ("backup.dir", "src/commands/catalogs.rs", "backups_of"),
    ("backup.format", "src/commands/backup/create.rs", "backup.format"),
    ("backup.compress", "src/commands/backup/create.rs", "backup.compress"),
    ("backup.jobs", "src/commands/backup/create.rs", "backup.jobs"),
    ("backup.exclude_table_data", "src/commands/backup/create.rs", "backup.exclude_table_data"),
    ("backup.manifest_key_file", "src/app/keys.rs", "backup.manifest_key"),
    ("backup.manifest_key_command", "src/app/keys.rs", "backup.manifest_key"),
    ("restore.jobs", "src/commands/restore/mod.rs", "restore.jobs"),
    ("migrations.driver", "src/commands/migrate/ground.rs", "migrations.driver"),
    ("migrations.preset", "src/commands/migrate/ground.rs", "wishes.preset"),
    ("migrations.commands.status", "src/migrations/command/tool.rs", "commands.status"),
    ("migrations.commands.apply", "src/migrations/command/tool.rs", "commands.apply"),
    ("migrations.commands.create", "src/migrations/command/tool.rs", "commands.create"),
    ("migrations.commands.reset", "src/migrations/command/tool.rs", "commands.reset"),
    ("migrations.commands.seed", "src/migrations/command/tool.rs", "commands.seed"),
    ("migrations.dir", "src/commands/migrate/ground.rs", "migrations.dir"),
    ("migrations.layout", "src/commands/migrate/ground.rs", "wishes.layout"),
    ("migrations.schema", "src/commands/migrate/ground.rs", "migrations.schema"),
    ("migrations.studio", "src/commands/studio.rs", "migrations.studio"),
    ("migrations.studio_image", "src/commands/studio.rs", "migrations.studio_image"),
    ("migrations.backup_age", "src/commands/migrate/apply.rs", "migrations.backup_age"),
    ("output.color", "src/app/mod.rs", "settings.color"),
];

#[test]
fn every_key_of_the_configuration_is_acted_upon() {
    let keys: BTreeSet<&str> = envctl::config::keys::KEYS.iter().map(|key| key.path).collect();
    let read: BTreeSet<&str> = READ_BY.iter().map(|(key, ..)| *key).collect();
    assert_eq!(keys, read, "the keys, and those of which it is known who reads them");
    let broken: Vec<String> = READ_BY
        .iter()
        .filter(|(_, path, words)| {
            let text = std::fs::read_to_string(root().join(path)).unwrap_or_default();
            !text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(words))
        })
        .map(|(key, path, words)| format!("`{key}`: {path} has no `{words}`"))
        .collect();
    none("keys that the code they decide does not read", &broken);
}
