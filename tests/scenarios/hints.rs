//! Commands that a run prints as its next step, typed as they stand: each does what it says to the same target.

use crate::support::hints::commands;
use crate::support::{Finished, Project, Running, Server};

/// A directory that belongs to no project, and the options that name the target from there.
struct Elsewhere<'a> {
    project: &'a Project,
    directory: tempfile::TempDir,
}

impl<'a> Elsewhere<'a> {
    fn of(project: &'a Project) -> Self {
        Self { project, directory: tempfile::tempdir().unwrap() }
    }

    /// envctl without variables or files that name the target.
    fn run(&self, args: &[&str]) -> Finished {
        let mut command = self.project.bare();
        command.current_dir(self.directory.path()).env("XDG_DATA_HOME", self.data()).args(args);
        Running::start(command, None).finish()
    }

    fn data(&self) -> std::path::PathBuf {
        self.directory.path().join("data")
    }

    /// The options of the target: stack, profile, database.
    fn target(&self) -> Vec<String> {
        let server = &self.project.server;
        ["-s", &server.stack, "--profile", &server.profile, "-d", &self.project.database]
            .map(str::to_owned)
            .into()
    }

    /// Runs with the target's options behind the verb.
    fn aimed(&self, args: &[&str]) -> Finished {
        let target = self.target();
        let args: Vec<&str> = args.iter().copied().chain(target.iter().map(String::as_str)).collect();
        self.run(&args)
    }
}

/// Words that a person has to replace.
fn is_placeholder(word: &str) -> bool {
    word.len() > 1 && word.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// Stack, profile and database of the target line; none where a command prints no such line.
fn target_line(finished: &Finished) -> Option<String> {
    let err = finished.err();
    let line = err.lines().find(|line| line.contains(" · "))?;
    Some(line.split(", PostgreSQL").next().unwrap_or(line).to_owned())
}

/// Types every command that a run has printed; what would change something is typed with `--dry-run`.
#[track_caller]
fn follow(place: &Elsewhere<'_>, finished: &Finished) -> usize {
    let said = finished.err();
    let mut followed = 0;
    for command in commands(&said).iter().filter(|words| !words.iter().any(|word| is_placeholder(word))) {
        let mut words: Vec<&str> = command.iter().map(String::as_str).collect();
        if matches!(words[0], "restore" | "backup" | "migrate") && !words.contains(&"list") {
            words.push("--dry-run");
        }
        let typed = place.run(&words);
        assert!(
            !matches!(typed.code, 2 | 3 | 125),
            "`envctl {}`: {}\nsaid by:\n{said}",
            words.join(" "),
            typed.err()
        );
        if let (Some(now), Some(then)) = (target_line(&typed), target_line(finished)) {
            assert_eq!(now, then, "`envctl {}` means another target", words.join(" "));
        }
        followed += 1;
    }
    followed
}

#[test]
fn every_command_in_a_hint_means_the_target_of_the_run() {
    let project = Project::new(Server::shared(15), "hint");
    project.fill(50);
    let place = Elsewhere::of(&project);
    let mut followed = 0;
    // No backup yet.
    followed += follow(&place, &place.aimed(&["backup", "list"]));
    followed += follow(&place, &place.aimed(&["restore", "latest"]).code(3));
    place.aimed(&["backup"]).code(0);
    // A file that is not there, and one that is empty.
    std::fs::write(place.directory.path().join("empty.sql"), "").unwrap();
    followed += follow(&place, &place.aimed(&["restore", "nosuch.sql"]));
    followed += follow(&place, &place.aimed(&["restore", "empty.sql"]).code(8));
    // Nothing to undo.
    followed += follow(&place, &place.aimed(&["restore", "undo"]).code(3));
    assert!(followed >= 4, "{followed} commands were printed");
}

#[test]
fn the_undo_of_a_restore_takes_back_the_database_that_was_restored() {
    let project = Project::new(Server::shared(15), "back");
    project.fill(30);
    let place = Elsewhere::of(&project);
    place.aimed(&["backup"]).code(0);
    project.sql("update item set words = 'changed' where id = 1");
    let changed = project.digest();
    let restored = place.aimed(&["restore", "latest", "--yes", "--no-backup"]).code(0);
    assert_ne!(project.digest(), changed);
    let undo = commands(&restored.err()).into_iter().find(|words| words.contains(&"undo".to_owned()));
    let undo = undo.expect("the undo is printed");
    let words: Vec<&str> = undo.iter().map(String::as_str).chain(["--yes"]).collect();
    place.run(&words).code(0);
    assert_eq!(project.digest(), changed, "{words:?}");
    project.drop_siblings();
}

#[test]
fn the_session_that_holds_a_lock_is_ended_by_the_command_in_the_hint() {
    let project = Project::new(Server::shared(15), "held");
    project.fill(10);
    let place = Elsewhere::of(&project);
    // As a restore holds it: the lock's two numbers are those of `postgres::lock`.
    let holder = project.server.session(
        &project.database,
        "set application_name = 'envctl/00000000 restore'; select pg_advisory_lock(1701738083, 1); select 1",
    );
    let refused = place.aimed(&["backup", "--lock-timeout", "1s"]).code(5);
    let end = commands(&refused.err()).into_iter().find(|words| words[0] == "psql").expect("the way out");
    place.run(&end.iter().map(String::as_str).collect::<Vec<_>>()).code(0);
    place.aimed(&["backup", "--lock-timeout", "10s"]).code(0);
    drop(holder);
}
