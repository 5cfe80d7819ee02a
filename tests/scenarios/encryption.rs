//! Encrypted backups: made, listed, shown, verified, restored, and opened by Debian's own age.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::{Finished, Project, Running, Server};

/// A pair of keys: the public one, and the file of the private one.
struct Keys {
    public: String,
    file: PathBuf,
}

impl Keys {
    fn age(project: &Project, name: &str) -> Self {
        let file = project.path().join(name);
        let made = Command::new("age-keygen").arg("-o").arg(&file).output().expect("age is installed");
        assert!(made.status.success(), "{made:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        let public = text.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap();
        Self { public: public.to_owned(), file }
    }

    fn ssh(project: &Project, name: &str) -> Self {
        Self::of_ssh_keygen(project, name, &["-t", "ed25519", "-N", ""])
    }

    fn of_ssh_keygen(project: &Project, name: &str, options: &[&str]) -> Self {
        let file = project.path().join(name);
        let made = Command::new("ssh-keygen").arg("-q").args(options).arg("-f").arg(&file).status();
        assert!(made.expect("ssh-keygen is installed").success());
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        Self { public: public.trim().to_owned(), file }
    }

    fn file(&self) -> &str {
        self.file.to_str().unwrap()
    }

    /// The private key's own text, which nothing may print.
    fn secret(&self) -> String {
        let text = std::fs::read_to_string(&self.file).unwrap();
        let line = text.lines().find(|line| !line.starts_with('#') && !line.starts_with('-')).unwrap();
        line.to_owned()
    }
}

fn configure(project: &Project, section: &str) {
    let stack = &project.server.stack;
    let text = format!("stack = \"{stack}\"\n[backup.encryption]\n{section}\n");
    std::fs::write(project.path().join("envctl.toml"), text).unwrap();
}

#[track_caller]
fn backup(project: &Project, options: &[&str]) -> PathBuf {
    let made = project.run(&[&["backup", "-q"], options].concat()).code(0).out();
    PathBuf::from(made.trim())
}

fn manifest_text(backup: &Path) -> String {
    std::fs::read_to_string(format!("{}.json", backup.display())).unwrap()
}

/// Bytes of a command of a shell, with these arguments.
fn shell(script: &str, arguments: &[&str]) -> Vec<u8> {
    let done =
        Command::new("sh").args(["-c", script, "sh"]).args(arguments).stderr(Stdio::inherit()).output();
    let done = done.unwrap();
    assert!(done.status.success(), "{script}");
    done.stdout
}

#[test]
fn an_encrypted_backup_lives_from_the_dump_to_the_restore() {
    for server in Server::each() {
        let project = Project::new(server, "encrypted");
        project.fill(20_000);
        let before = project.digest();
        let (age, ssh, other) =
            (Keys::age(&project, "age.key"), Keys::ssh(&project, "id"), Keys::age(&project, "other.key"));
        let recipients =
            format!("encrypt = \"required\"\nrecipients = [\"{}\", \"{}\"]", age.public, ssh.public);
        configure(&project, &recipients);
        let dry = project.run(&["backup", "--dry-run"]).code(0);
        dry.says(".sql.gz.age");
        let made =
            project.run(&["backup"]).code(0).says("encrypted (not opened: no identity on this machine)");
        let made = PathBuf::from(made.out().trim());
        let name = made.to_str().unwrap();
        assert!(name.ends_with(".sql.gz.age"), "{name}");
        assert!(std::fs::read(&made).unwrap().starts_with(b"age-encryption.org/v1\n"));

        // What is in clear names no table and counts no row.
        let text = manifest_text(&made);
        for private in ["item", "20000", "\"rows\"", "plain_sha256", "server_version", "postgres:"] {
            assert!(!text.contains(private), "{private}: {text}");
        }
        let listed = project.run(&["backup", "list"]).code(0).out();
        assert!(listed.contains("OPENED") && listed.contains("never"), "{listed}");
        let listed: Value =
            serde_json::from_str(&project.run(&["backup", "list", "--json"]).code(0).out()).unwrap();
        let row = &listed["backups"][0];
        assert_eq!(
            (&row["encrypted"], &row["rows"], &row["opened_at"]),
            (&true.into(), &Value::Null, &Value::Null)
        );
        let shown = project.run(&["backup", "show"]).code(0).out();
        assert!(shown.contains(&age.public) && shown.contains("ssh-ed25519 SHA256:"), "{shown}");
        assert!(!shown.contains("public.item") && shown.contains("--identity FILE"), "{shown}");
        let shown = project.run(&["backup", "show", "--identity", ssh.file()]).code(0).out();
        assert!(shown.contains("public.item") && !shown.contains("--identity FILE"), "{shown}");
        project
            .run(&["backup", "show", "--identity", other.file()])
            .code(2)
            .says("none of the identities here");
        project.run(&["doctor"]).says_out("nobody has yet opened a backup encrypted to");

        // Without an identity and with a wrong one nothing is known about it, good or bad.
        project.run(&["backup", "verify", "--quick"]).code(0);
        project.run(&["backup", "verify"]).code(12).says("no identity is here").says("--identity FILE");
        let wrong = project.run(&["backup", "verify", "-i", other.file()]).code(12);
        let wrong = wrong.says("none of the identities here opens").says(&age.public).says(&other.public);
        let wrong = wrong.says("ssh-ed25519 SHA256:");
        assert!(!wrong.err().contains("SECRET"), "{}", wrong.err());
        project.run(&["backup", "verify", "-i", age.file()]).code(0);
        let listed = project.run(&["backup", "list"]).code(0).out();
        assert!(listed.contains("just now") && !listed.contains("never"), "{listed}");
        project.run(&["doctor"]).says_out("one was last opened");
        let tested = project.run(&["backup", "verify", "--restore", "-i", ssh.file()]).code(0).out();
        assert!(tested.contains("contents, 1 table"), "{tested}");
        assert!(project.run(&["backup", "show"]).code(0).out().contains("authenticated"), "signed again");

        let restore = ["restore", "latest", "--yes", "--no-backup"];
        project.run(&restore).code(2).says("no identity is here");
        project
            .run(&[&restore[..], &["-i", other.file()]].concat())
            .code(2)
            .says("none of the identities here");
        for options in [&["-i", age.file()][..], &["-i", ssh.file(), "-j", "3"]] {
            project.sql("delete from item where id % 2 = 0");
            let restored = project.run(&[&restore[..], options].concat()).code(0);
            assert_eq!(project.digest(), before, "{options:?}");
            for keys in [&age, &ssh] {
                assert!(!restored.err().contains(&keys.secret()), "{}", restored.err());
            }
        }
        // From a pipe, and a file that another tool has encrypted.
        project.sql("delete from item where id % 2 = 0");
        let bytes = std::fs::read(&made).unwrap();
        project.run_with(&bytes, &["restore", "-", "--yes", "--no-backup", "-i", age.file()]).code(0);
        assert_eq!(project.digest(), before);
        let foreign = project.path().join("foreign.age");
        let decrypted = "age -d -i \"$1\" \"$2\" | gunzip";
        let script = format!("{decrypted} | xz | age -a -r \"$3\" -o \"$4\"");
        shell(&script, &[age.file(), name, &other.public, foreign.to_str().unwrap()]);
        project.sql("delete from item where id % 2 = 0");
        let foreign = ["restore", foreign.to_str().unwrap(), "--yes", "--no-backup"];
        project.run(&foreign).code(2).says("no identity is here");
        project.run(&[&foreign[..], &["-i", other.file()]].concat()).code(0);
        assert_eq!(project.digest(), before);

        // Without envctl: one file and one identity are enough.
        let sql = shell(decrypted, &[ssh.file(), name]);
        let again = Project::new(server, "by_age");
        let mut psql = server.psql(&again.database);
        let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        psql.stdin.take().unwrap().write_all(&sql).unwrap();
        assert!(psql.wait().unwrap().success());
        assert_eq!(again.digest(), before);
        let manifest: Value = serde_json::from_str(&text).unwrap();
        let private = project.path().join("private.age");
        std::fs::write(&private, manifest["encryption"]["private"].as_str().unwrap()).unwrap();
        let private = shell("age -d -i \"$1\" \"$2\"", &[age.file(), private.to_str().unwrap()]);
        let private: Value = serde_json::from_slice(&private).unwrap();
        assert_eq!(private["tables"][0]["rows"], 20_000);
    }
}

#[test]
fn every_format_is_encrypted_and_restored() {
    let server = Server::shared(15);
    let project = Project::new(server, "formats");
    project.fill(2_000);
    let before = project.digest();
    let keys = Keys::age(&project, "age.key");
    // The command is run when something encrypted is met; its output is in no message.
    let command = format!("identity_command = [\"cat\", \"{}\"]", keys.file());
    configure(&project, &format!("recipients = [\"{}\"]\n{command}", keys.public));
    for (options, extension) in [
        (&["--compress", "zstd"][..], ".sql.zst.age"),
        (&["--compress", "none"], ".sql.age"),
        (&["--format", "custom"], ".dump.age"),
        (&["--format", "directory", "-j", "2"], ".tar.age"),
    ] {
        let made = project.run(&[&["backup"], options].concat()).code(0);
        assert!(made.err().contains("an identity here opens it"), "{}", made.err());
        let made = made.out().trim().to_owned();
        assert!(made.ends_with(extension), "{made}");
        let bytes = std::fs::read(&made).unwrap();
        assert!(
            bytes.starts_with(b"age-encryption.org/v1\n") && !bytes.windows(5).any(|word| word == b"PGDMP")
        );
        project.run(&["backup", "verify", &made, "--restore"]).code(0);
        project.sql("delete from item where id % 2 = 0");
        let restored = project.run(&["restore", &made, "--yes", "--no-backup"]).code(0);
        assert_eq!(project.digest(), before, "{extension}");
        assert!(!restored.err().contains(&keys.secret()), "{}", restored.err());
    }
    let streamed = project.run(&["backup", "-o", "-"]).code(0);
    assert!(streamed.stdout.starts_with(b"age-encryption.org/v1\n"));
    // As it is, only when asked.
    let plain = backup(&project, &["--plain"]);
    assert!(plain.to_str().unwrap().ends_with(".sql.gz"));
    project.run(&["backup", "--plain", "-o", "x.sql.gz.age"]).code(2).says("name of an encrypted backup");
    let named = backup(&project, &["-o", "x.sql.zst.age"]);
    let sql = shell(
        "age -d -i \"$1\" \"$2\" | zstd -dc",
        &[keys.file(), project.path().join(named).to_str().unwrap()],
    );
    assert!(sql.starts_with(b"--\n-- PostgreSQL database dump"));
}

#[test]
fn all_databases_are_encrypted_as_one_and_restored() {
    let server = crate::support::rig::Wanted::postgres(15, "sealed").start().ready();
    let project = Project::new(&server, "one");
    let other = Project::new(&server, "other");
    project.fill(100);
    other.fill(50);
    let (before, other_before) = (project.digest(), other.digest());
    let keys = Keys::age(&project, "age.key");
    configure(&project, &format!("recipients = [\"{}\"]", keys.public));
    let made = backup(&project, &["--all-databases"]);
    let name = made.to_str().unwrap();
    assert!(name.ends_with(".tar.age"), "{name}");
    let text = manifest_text(&made);
    assert!(!text.contains(&other.database) && !text.contains("rows"), "{text}");
    project.run(&["backup", "list"]).code(0).says_out("all databases");
    project.run(&["backup", "verify", name]).code(12).says("no identity is here");
    project.run(&["backup", "verify", name, "-i", keys.file()]).code(0);
    project.sql("drop table item");
    other.sql("drop table item");
    let restore = ["restore", name, "--yes", "--no-backup"];
    project.bare_run(&restore).code(2).says("no identity is here");
    project.bare_run(&[&restore[..], &["-i", keys.file()]].concat()).code(0);
    assert_eq!((project.digest(), other.digest()), (before, other_before));
    assert_eq!(std::fs::read_dir(project.backup_dir()).unwrap().count(), 2, "the backup and its manifest");
}

#[test]
fn encryption_that_is_required_fails_closed() {
    let project = Project::new(Server::shared(15), "closed");
    project.fill(10);
    let keys = Keys::age(&project, "age.key");
    let nothing_made = || assert!(!project.backup_dir().exists(), "something was written");
    configure(&project, "encrypt = \"required\"");
    project.run(&["backup"]).code(2).says("backups have to be encrypted").says("recipients = [");
    project
        .run(&["backup", "--plain"])
        .code(2)
        .says("backups have to be encrypted")
        .says("leave `--plain` out");
    project.run(&["backup", "--all-databases"]).code(2);
    project.run(&["backup", "-o", "x.sql"]).code(2);
    project.run(&["doctor"]).code(9).says_out("no backup is made");
    nothing_made();
    // A restore would replace what it cannot back up.
    let dump = project.path().join("dump.sql");
    std::fs::write(&dump, project.server.bytes(&format!("pg_dump -U postgres {}", project.database)))
        .unwrap();
    let before = project.digest();
    project.run(&["restore", "dump.sql", "--yes"]).code(2).says("backups have to be encrypted");
    assert_eq!(project.digest(), before);

    for (section, words) in [
        ("recipient = [\"age1x\"]", "did you mean `backup.encryption.recipients`?"),
        ("encrypt = \"yes\"", "`yes` is not one of auto, required"),
        ("recipients = [\"age1x\"]", "number 1: this is no public key"),
        ("recipients_file = \"none.txt\"", "cannot read the recipients"),
    ] {
        configure(&project, section);
        project.run(&["backup"]).code(2).says(words);
        nothing_made();
    }
    configure(&project, &format!("recipients = [\"{}\"]", keys.secret()));
    let refused = project.run(&["backup"]).code(2).says("this is a private key");
    assert!(!refused.err().contains(&keys.secret()), "{}", refused.err());
    // Into a bucket nothing goes as it is, and that is said before the bucket is asked.
    configure(&project, "");
    for options in [&["--store", "s3://bucket/x"][..], &[]] {
        let mut command = project.command(&[&["backup"], options].concat());
        command.env("ENVCTL_BACKUP_STORES", "gs://bucket/x");
        Running::start(command, None).finish().code(2).says("unencrypted").says("--plain");
    }
    nothing_made();
}

#[test]
fn a_backup_is_opened_at_once_where_an_identity_is_at_hand() {
    let project = Project::new(Server::shared(15), "at_hand");
    project.fill(10);
    let ours = Keys::of_ssh_keygen(&project, "rsa", &["-t", "rsa", "-b", "2048", "-N", ""]);
    let other = Keys::age(&project, "other.key");
    let with = |identity: &Keys| {
        configure(
            &project,
            &format!("recipients = [\"{}\"]\nidentity_file = \"{}\"", ours.public, identity.file()),
        );
    };
    with(&ours);
    let made = project.run(&["backup"]).code(0).says("an identity here opens it").out();
    assert!(manifest_text(Path::new(made.trim())).contains("opened_at"));
    let listed = project.run(&["backup", "list"]).code(0).out();
    assert!(listed.contains("OPENED") && listed.contains("just now"), "{listed}");
    std::fs::set_permissions(&ours.file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    project.run(&["doctor"]).code(9).says_out("other users may read the identity");
    with(&other);
    let made = project.run(&["backup"]).code(0);
    let made = made.says("no identity here opens this backup").says("ssh-rsa SHA256:").says(&other.public);
    assert!(!manifest_text(Path::new(made.out().trim())).contains("opened_at"));
    configure(&project, &format!("recipients = [\"{}\"]\nidentity_command = [\"false\"]", ours.public));
    let made = project.run(&["backup"]).code(0).says("this backup was not opened").out();
    // A restore opens it, too.
    let restore = ["restore", made.trim(), "--yes", "--no-backup", "-i", ours.file()];
    project.run(&restore).code(0);
    assert!(manifest_text(Path::new(made.trim())).contains("opened_at"));
    assert!(project.run(&["backup", "show", made.trim()]).code(0).out().contains("authenticated"));
    // Nobody can be asked for a passphrase.
    let locked = Keys::of_ssh_keygen(&project, "locked", &["-t", "ed25519", "-N", "a phrase"]);
    with(&locked);
    let made = project.run(&["backup"]).code(0).says("is protected by a passphrase").out();
    project.run(&["backup", "verify", made.trim()]).code(12).says("is protected by a passphrase");
    project.run(&["backup", "verify", made.trim(), "-i", ours.file()]).code(0);
}

#[test]
fn a_store_takes_encrypted_backups_and_a_new_machine_needs_the_identity_alone() {
    let server = Server::shared(15);
    let project = Project::new(server, "sealed_store");
    project.fill(5_000);
    let before = project.digest();
    let keys = Keys::ssh(&project, "id");
    configure(&project, &format!("encrypt = \"required\"\nrecipients = [\"{}\"]", keys.public));
    let url = format!("file://{}", project.path().join("disk").display());
    let made = project.run(&["backup", "--store", &url]).code(0).out();
    assert!(made.trim().ends_with(".sql.gz.age"), "{made}");
    project.run(&["backup", "list", "--store", &url]).code(0).says_out("never");
    let shown = project.run(&["backup", "show", "--store", &url, "-i", keys.file()]).code(0).out();
    assert!(shown.contains("public.item"), "{shown}");
    project.run(&["backup", "verify", "--store", &url]).code(12);
    project.run(&["backup", "verify", "--store", &url, "-i", keys.file()]).code(0);

    // What watches and prunes needs no identity.
    project.run(&["backup", "--store", &url]).code(0);
    project.run(&["backup", "check", "--store", &url]).code(0);
    project.run(&["backup", "prune", "--store", &url, "--keep-last", "1", "--apply", "--yes"]).code(0);
    let listed = project.run(&["backup", "list", "--store", &url, "--json"]).code(0).out();
    assert_eq!(listed.matches("\"encrypted\":true").count(), 1, "{listed}");

    // Another home: no key of the manifests, no configuration.
    project.sql("delete from item where id % 2 = 0");
    let new = Project::of(server, &project.database);
    std::fs::remove_file(new.path().join("envctl.toml")).unwrap();
    let (stack, profile) = (server.stack.as_str(), server.profile.as_str());
    let target = ["-s", stack, "--profile", profile, "--yes", "--no-backup"];
    let restore = [&["restore", "latest", "--store", &url][..], &target].concat();
    new.run(&restore).code(2).says("no identity is here").says("ssh-ed25519 SHA256:");
    let restored = new.run(&[&restore[..], &["--identity", keys.file()]].concat()).code(0);
    restored.says("not authenticated");
    assert_eq!(project.digest(), before);
}

#[test]
fn damage_of_an_encrypted_backup_is_found_at_every_depth() {
    let project = Project::new(Server::shared(15), "damage");
    project.fill(5_000);
    let keys = Keys::age(&project, "age.key");
    configure(&project, &format!("recipients = [\"{}\"]", keys.public));
    let made = backup(&project, &[]);
    let whole = std::fs::read(&made).unwrap();
    let part = (64 << 10) + 16;
    let mac = whole.windows(5).position(|window| window == b"\n--- ").unwrap() + 1;
    let first = mac + whole[mac..].iter().position(|byte| *byte == b'\n').unwrap() + 1 + 16;
    assert!(whole.len() > first + 2 * part, "three parts");
    let mut swapped = whole.clone();
    swapped[first..first + part].copy_from_slice(&whole[first + part..first + 2 * part]);
    swapped[first + part..first + 2 * part].copy_from_slice(&whole[first..first + part]);
    let flipped = |at: usize| {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        bytes
    };
    let damaged = [
        ("cut at a part", whole[..first + part].to_vec()),
        ("the last part is gone", whole[..first + (whole.len() - first - 1) / part * part].to_vec()),
        ("one byte is gone", whole[..whole.len() - 1].to_vec()),
        ("parts are swapped", swapped),
        ("the header", flipped(mac + 5)),
        ("the key in the header", flipped(mac - 20)),
        ("a byte", flipped(first + part + 7)),
        ("the last byte", flipped(whole.len() - 1)),
    ];
    let manifest = manifest_text(&made);
    let name = made.to_str().unwrap();
    let before = project.digest();
    for (what, bytes) in damaged {
        std::fs::write(&made, bytes).unwrap();
        for options in [&["--quick"][..], &[], &["-i", keys.file()], &["--restore", "-i", keys.file()]] {
            std::fs::write(format!("{name}.json"), &manifest).unwrap();
            let verified = project.run(&[&["backup", "verify", name], options].concat());
            assert_eq!(verified.code, 8, "{what}, {options:?}: {}", verified.err());
        }
        // Also where no manifest tells the hash.
        std::fs::remove_file(format!("{name}.json")).unwrap();
        let restored = project.run(&["restore", name, "--yes", "--no-backup", "-i", keys.file()]);
        assert!(matches!(restored.code, 2 | 8), "{what}: {}", restored.err());
        assert_eq!(project.digest(), before, "{what}");
    }
}

/// Files in the directory of the backups with their sizes, also unfinished ones.
fn files(project: &Project) -> BTreeMap<PathBuf, u64> {
    let files = std::fs::read_dir(project.backup_dir()).into_iter().flatten().flatten();
    files.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?.len()))).collect()
}

#[test]
fn a_killed_backup_leaves_nothing_that_is_taken_for_one() {
    let project = Project::new(Server::shared(15), "killed");
    project.fill(60_000);
    let keys = Keys::age(&project, "age.key");
    configure(&project, &format!("recipients = [\"{}\"]", keys.public));
    // Before anything is written, at each of these sizes, and whenever the last one comes.
    for size in [0, 1, 64 << 10, 256 << 10, 1 << 20, 2 << 20] {
        let before = files(&project);
        let written = || -> u64 {
            let new = files(&project).into_iter().filter(|(path, _)| !before.contains_key(path));
            new.map(|(_, bytes)| bytes).sum()
        };
        let mut running = project.start(&["backup", "-q"]);
        while running.runs() && written() < size {
            std::thread::yield_now();
        }
        assert!(running.runs(), "{size}: the backup is larger than that");
        running.signal(rustix::process::Signal::KILL);
        running.finish();
        let names = std::fs::read_dir(project.backup_dir()).into_iter().flatten();
        let names = names
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "age"));
        for made in names.filter(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('.')) {
            let name = made.to_str().unwrap();
            project.run(&["backup", "verify", name, "-i", keys.file()]).code(0);
        }
    }
    let made = backup(&project, &[]);
    project.run(&["backup", "verify", made.to_str().unwrap(), "-i", keys.file()]).code(0);
    let left = std::fs::read_dir(project.backup_dir()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<String> = left.map(|name| name.into_string().unwrap()).collect();
    assert!(left.iter().all(|name| name.starts_with("backup_")), "the next backup swept: {left:?}");
}

/// More of what a run says and does, for these tests.
trait More {
    fn says_out(self, words: &str) -> Finished;
}

impl More for Finished {
    #[track_caller]
    fn says_out(self, words: &str) -> Finished {
        assert!(self.out().contains(words), "{words}: {}", self.out());
        self
    }
}

impl Project {
    /// Runs envctl without naming this project's database.
    #[track_caller]
    fn bare_run(&self, args: &[&str]) -> Finished {
        let mut command = self.bare();
        command.args(args);
        Running::start(command, None).finish()
    }
}
