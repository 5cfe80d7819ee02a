//! Z9: a project's file holds for its own stacks, wherever the command is typed.

use super::*;
use crate::config::stack::SeenStack;

fn seen<'a>(stack: &'a str, directory: Option<&'a str>) -> SeenStack<'a> {
    SeenStack { stack, project: None, directory }
}

const OURS: &str = "[migrations]\ndir = \"ours\"\n[database]\nname = \"ours\"\nuser = \"ann\"\n[backup]\nformat = \"custom\"\nexclude_table_data = [\"logs\"]\n[restore]\njobs = 3\n[docker]\nworker_memory = \"1g\"\n";
const THEIRS: &str = "[migrations]\ndir = \"theirs\"\n[profiles.dev]\nprotected = true\n";

/// A machine with our project, and another one beside it.
fn two(ours: &str) -> (Machine, String) {
    let machine = Machine::new().project(ours);
    machine.write("other/envctl.toml", THEIRS);
    let other = machine.path("other").display().to_string();
    (machine, other)
}

#[test]
fn nothing_of_our_project_holds_for_a_stack_of_another_one() {
    let (machine, other) = two(&format!("stack = \"acme\"\n{OURS}"));
    let ours = machine.settings();
    let theirs = ours.for_stack(seen("shop", Some(&other))).unwrap();
    assert_eq!(theirs.migrations.dir.as_deref(), Some("theirs"));
    assert_eq!(theirs.directory_of("migrations.dir"), Some(machine.path("other").as_path()));
    assert_eq!(*theirs.database(Some("dev")), crate::config::settings::Database::default());
    assert_eq!(
        (theirs.backup.format.as_str(), theirs.restore.jobs, theirs.workers.memory),
        ("plain", None, None)
    );
    assert!(theirs.backup.exclude_table_data.is_empty());
    assert_eq!(theirs.backup.root, machine.path("other/backups"));
    assert_eq!(theirs.target.project_dir, Some(machine.path("other")));
    assert_eq!(theirs.target.rules.profiles["dev"].protected, Some(true));
    // Asked again they are the same, and ours are ours.
    let again = theirs.for_stack(seen("shop", Some(&other))).unwrap();
    assert_eq!(again.migrations, theirs.migrations);
    assert_eq!(ours.for_stack(seen("acme", Some(&other))).unwrap().migrations.dir.as_deref(), Some("ours"));
}

#[test]
fn options_variables_and_the_users_file_hold_for_every_stack() {
    let (machine, other) = two(OURS);
    let machine = machine
        .user("[backup]\ncompress = \"zstd\"\n")
        .env("ENVCTL_DATABASE", "named")
        .env("ENVCTL_MIGRATIONS_DRIVER", "sql")
        .flags(|flags| flags.stacks = Some(Sourced::flag("--stack", vec!["shop".to_owned()])));
    let theirs = machine.settings().for_stack(seen("shop", Some(&other))).unwrap();
    assert_eq!(theirs.database(None).name.as_deref(), Some("named"));
    assert_eq!(theirs.database(None).user, None);
    assert_eq!((theirs.migrations.driver.as_str(), theirs.backup.compress.as_str()), ("sql", "zstd"));
    assert_eq!(theirs.target.stacks, ["shop"]);
}

#[test]
fn a_file_without_a_stack_is_of_the_stack_of_its_directory() {
    let (machine, other) = two(OURS);
    let settings = machine.settings();
    let holds = |stack: &str, directory: Option<&Path>| {
        settings.holds_for(&seen(stack, directory.map(|path| path.to_str().unwrap())))
    };
    assert!(holds("any", Some(&machine.path("project"))));
    assert!(holds("any", Some(&machine.path("project/deep"))), "started in a folder of the project");
    assert!(!holds("any", Some(Path::new(&other))));
    assert!(!holds("any", Some(Path::new("/gone/with/another/machine"))));
    assert!(holds("any", Some(&machine.path(""))), "started further up");
    machine.write("project/deep/envctl.toml", "");
    assert!(!holds("any", Some(&machine.path("project/deep"))), "a project of its own");
    machine.write("project/compose.yml", "");
    assert!(!holds("any", Some(&machine.path(""))), "this directory is another stack's");
    assert!(holds("any", None), "nothing else was named");
    let named = machine.flags(|flags| flags.stacks = Some(Sourced::flag("--stack", vec!["any".to_owned()])));
    assert!(!named.settings().holds_for(&seen("any", None)));
    assert!(named.settings().holds_for(&seen("project", None)), "called as its directory is");
}

#[test]
fn a_project_that_is_named_is_meant_for_one_stack() {
    let (machine, other) = two(OURS);
    let project = machine.path("project");
    let mut machine = machine.flags(|flags| {
        flags.stacks = Some(Sourced::flag("--stack", vec!["shop".to_owned()]));
        flags.project_dir = Some(Sourced::flag("--project-dir", project.clone()));
    });
    machine.inputs.cwd = machine.path("home");
    assert!(machine.settings().holds_for(&seen("shop", Some(&other))));
    let all = machine.flags(|flags| flags.stacks = Some(Sourced::flag("--stack", vec!["*".to_owned()])));
    assert!(!all.settings().holds_for(&seen("shop", Some(&other))), "not for each of several");
}

#[test]
fn a_place_for_backups_is_not_lent_to_another_stack() {
    let (machine, _) = two("stack = \"acme\"\n[backup]\ndir = \"/srv/acme\"\n");
    let settings = machine.settings();
    assert_eq!(settings.backups_of("acme", None).unwrap(), Path::new("/srv/acme"));
    assert_eq!(settings.backups_of("shop", None).unwrap(), machine.path("project/backups"));
    let theirs = settings.for_stack(seen("shop", None)).unwrap();
    assert_eq!(
        theirs.backups_of("shop", None).unwrap(),
        machine.path("project/backups"),
        "from everywhere alike"
    );
    // What lies there from before is found.
    let (machine, _) = two("stack = \"acme\"\n[backup]\ndir = \"store\"\n");
    std::fs::create_dir_all(machine.path("project/store/shop/dev")).unwrap();
    assert_eq!(machine.settings().backups_of("shop", None).unwrap(), machine.path("project/store"));
}
