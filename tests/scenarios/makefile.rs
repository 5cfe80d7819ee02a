//! Every name of the old manual, by make, on a project in its layout: a backend with the Prisma CLI and a database,
//! in development and in production.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::project::ENVCTL;
use crate::support::rig::{CANARY, Wanted, docker, try_docker};
use crate::support::{Project, Server};

/// A stack in both profiles, its source tree bound into the backends, and the Makefile in its directory.
struct Old {
    project: Project,
    source: PathBuf,
    dev: Server,
    prod: Server,
    backends: Vec<String>,
}

impl Old {
    fn new() -> Self {
        let start = |profile: &str| {
            let wanted = Wanted { profile: profile.to_owned(), ..Wanted::postgres(15, "mkf") };
            wanted.start()
        };
        let (dev, prod) = (start("dev"), start("prod"));
        let (dev, prod) = (dev.ready(), prod.ready());
        let project = Project::of(&dev, "postgres");
        // As the manual has it: the schema is at no usual place, and names have two forms.
        let source = project.path().join("applications/techmage-backend/src");
        let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("compose/techmage/backend/src");
        fs::create_dir_all(source.parent().unwrap()).unwrap();
        assert!(Command::new("cp").arg("-r").args([&demo, &source]).status().unwrap().success());
        let backends = [&dev, &prod].map(|server| backend(server, &source)).into();
        let old = Self { project, source, dev, prod, backends };
        old.project.run(&["init", "--makefile"]).code(0);
        old
    }

    fn output(&self, words: &[&str]) -> Output {
        let bare = self.project.bare();
        let mut command = Command::new("make");
        command.env_clear().current_dir(self.project.path());
        command.envs(bare.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.arg("-s").arg(format!("ENVCTL={ENVCTL}")).args(words).output().expect("make starts")
    }

    /// make with these words ends well; what it says on stdout.
    #[track_caller]
    fn make(&self, words: &[&str]) -> String {
        let output = self.output(words);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{words:?}: {}{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    }

    /// make with these words, for a verb that goes on until Ctrl-C.
    #[track_caller]
    fn make_until_it_listens(&self, words: &[&str]) -> String {
        let script = self.project.path().join("until-it-listens");
        fs::write(&script, UNTIL_IT_LISTENS.replace("$ENVCTL_UNDER_TEST", ENVCTL)).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        let envctl = format!("ENVCTL={}", script.display());
        self.make(&[&[envctl.as_str()], words].concat())
    }

    /// make with these words fails, and says this.
    #[track_caller]
    fn refuses(&self, words: &[&str], says: &str) {
        let output = self.output(words);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains(says), "{words:?}: {said}");
    }
}

/// envctl for a verb that goes on until Ctrl-C: it gets one as soon as it has said where it listens.
const UNTIL_IT_LISTENS: &str = r#"#!/bin/sh
# What an earlier one has said is no sign of this one: a signal before it hears signals would be lost.
rm -f listens
: >listens
"$ENVCTL_UNDER_TEST" "$@" >>listens & pid=$!
until grep -q http listens; do kill -0 "$pid" || break; sleep 0.2; done
kill -INT "$pid"; wait "$pid"; code=$?
cat listens; exit "$code"
"#;

impl Drop for Old {
    fn drop(&mut self) {
        for name in self.backends.iter().chain([&self.dev.container, &self.prod.container]) {
            let _ = try_docker(&["rm", "-fv", name]);
        }
    }
}

/// The backend of a profile, in its database's network.
fn backend(server: &Server, source: &Path) -> String {
    let project = format!("{}-{}", server.stack, server.profile);
    let name = format!("{project}-backend-1");
    let label = |key: &str, value: &str| format!("--label=com.docker.compose.{key}={value}");
    docker(&[
        "run".to_owned(),
        "--detach".to_owned(),
        format!("--name={name}"),
        format!("--network=container:{}", server.container),
        "--user=root".to_owned(),
        label("project", &project),
        label("service", "backend"),
        label("container-number", "1"),
        label("oneoff", "False"),
        format!("--label=rig.run={}", std::process::id()),
        format!("--env=DATABASE_URL=postgresql://postgres:{CANARY}@127.0.0.1:5432/postgres"),
        format!("--volume={}:/app/src", source.display()),
        "envctl-backend:20".to_owned(),
        "sleep".to_owned(),
        "1000".to_owned(),
    ]);
    name
}

fn count(server: &Server, table: &str) -> String {
    server.sql("postgres", &format!("select count(*) from {table}"))
}

#[test]
fn every_old_name_does_its_work() {
    let old = Old::new();
    assert!(old.make(&["help"]).contains("db-migrate-create"));

    // Development first, as the manual's own scenario has it.
    old.make(&["db-migrate-dev"]);
    old.make(&["db-generate"]);
    old.make(&["db-seed"]);
    assert_ne!(count(&old.dev, "users"), "0");
    let schema = old.source.join("database/prisma/schema.prisma");
    let before = fs::read_to_string(&schema).unwrap();
    fs::write(&schema, format!("{before}\nmodel Gadget {{\n  id Int @id\n}}\n")).unwrap();
    old.refuses(&["db-migrate-create"], "MIGRATION_NAME is missing");
    old.refuses(&["db-migrate-create", "MIGRATION_NAME=add gadget"], "add_gadget");
    old.make(&["db-migrate-create", "MIGRATION_NAME=add_gadget"]);
    assert!(old.make(&["db-migrate-status"]).contains("add_gadget"));
    old.make(&["db-migrate"]);
    assert_eq!(count(&old.dev, "\"Gadget\""), "0");

    // Production says what it would do and waits for a yes.
    old.refuses(&["db-migrate-prod"], "nothing was changed");
    old.make(&["db-migrate-prod", "ARGS=--yes"]);
    assert_eq!(count(&old.prod, "\"Gadget\""), "0");

    // A backup, a mistake, and the way back; the file's name has a space.
    let file = old.make(&["db-backup", "ARGS=-q"]);
    let spaced = old.project.path().join("before the mistake.sql.gz");
    fs::copy(old.project.path().join(file.trim()), &spaced).unwrap();
    old.dev.sql("postgres", "delete from users");
    old.refuses(&["db-restore"], "BACKUP_FILE is missing");
    old.make(&["db-restore", "BACKUP_FILE=before the mistake.sql.gz", "ARGS=--yes"]);
    assert_ne!(count(&old.dev, "users"), "0");

    // Prototypes.
    fs::write(&schema, format!("{before}\nmodel Gadget {{\n  id Int @id\n  word String?\n}}\n")).unwrap();
    old.make(&["db-push"]);
    assert_eq!(old.dev.sql("postgres", "select count(word) from \"Gadget\""), "0");
    old.make(&["db-pull"]);
    assert!(fs::read_to_string(&schema).unwrap().contains("word"));

    // Everything anew: asks first, backs up first.
    old.refuses(&["db-migrate-reset"], "nothing was changed");
    old.make(&["db-migrate-reset", "ARGS=--yes"]);
    assert_eq!(
        old.dev.sql("postgres", "select count(*) from information_schema.columns where column_name = 'word'"),
        "0"
    );

    // Studio, ended by a signal.
    assert!(old.make_until_it_listens(&["db-studio", "ARGS=--no-open"]).contains("http://127.0.0.1:"));
    old.refuses(&["db-studio-prod", "ARGS=--no-open"], "nothing was changed");
    let named = format!("ARGS=--no-open --confirm {}", old.prod.stack);
    assert!(old.make_until_it_listens(&["db-studio-prod", &named]).contains("http://127.0.0.1:"));

    // Shells.
    assert!(old.make(&["dev-shell", "ARGS=-- node --version"]).starts_with("v20"));
    assert!(old.make(&["dev-shell-prod", "ARGS=-- node --version"]).starts_with("v20"));
    assert_eq!(old.make(&["dev-shell-db", "ARGS=-q -c 'select 40+2' -- -At"]).trim(), "42");
}
