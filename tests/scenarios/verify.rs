//! `backup verify`: what is equal passes, a single changed value fails and is named, and what cannot be verified is
//! neither.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::rig::{Wanted, docker, eventually};
use crate::support::timing::is_long;
use crate::support::{Project, Running, Server};

const CONTENTS: &str = "create table public.users (id int primary key, name text); \
    insert into public.users select n, 'name ' || n from generate_series(1, 500) n; \
    create table public.odd (a text, b float8, c bytea, d jsonb, e timestamptz, f numeric[]); \
    insert into public.odd values (null, 'NaN', '\\x00ff', '{\"a\": [1, null]}', 'infinity', '{1.50,NULL}'), \
      (E'tab\\tline\\nback\\\\slash', 0.1, '', '\"\\\\u0001\"', '2020-02-29 12:00+03', '{}'); \
    create table public.empty (a int); create sequence public.counter; select setval('public.counter', 41); \
    create view public.named as select id from public.users where name in ('a', 'b'); \
    create table public.parts (id int, at date) partition by range (at); \
    create table public.parts_2020 partition of public.parts for values from ('2020-01-01') to ('2021-01-01'); \
    insert into public.parts values (1, '2020-05-05'); \
    select lo_from_bytea(90001, '\\x0102'); create index on public.users (lower(name))";

fn manifest_of(backup: &Path) -> (PathBuf, Value) {
    let path = PathBuf::from(format!("{}.json", backup.display()));
    let text = std::fs::read_to_string(&path).unwrap();
    (path, serde_json::from_str(&text).unwrap())
}

/// Makes a backup and gives its path.
fn backup(project: &Project, options: &[&str]) -> PathBuf {
    let made = project.run(&[&["backup", "-q"], options].concat()).code(0).out();
    PathBuf::from(made.trim())
}

#[test]
fn a_backup_in_every_format_gives_back_its_contents() {
    for server in Server::each() {
        let project = Project::new(server, "verify");
        project.sql(CONTENTS);
        for options in [&[][..], &["--compress", "zstd"], &["--format", "custom"], &["--format", "directory"]]
        {
            let made = backup(&project, options);
            let name = made.to_str().unwrap();
            for depth in ["--quick", "--json"] {
                project.run(&["backup", "verify", name, depth]).code(0);
            }
            let run = project.run(&["backup", "verify", name, "--restore", "--json"]).code(0).out();
            let answer: Value = serde_json::from_str(&run).unwrap();
            let row = &answer["backups"][0];
            assert_eq!(
                (&row["verified"], &row["rows"]),
                (&"contents".into(), &503.into()),
                "{options:?}: {run}"
            );
            assert_eq!(row["notes"], serde_json::json!([]), "{options:?}");
            let (_, manifest) = manifest_of(&made);
            assert_eq!(manifest["verified"]["level"], "contents");
            assert_eq!(manifest["verified"]["restored_in_ms"], row["restored_in_ms"]);
            // The manifest is authentic as before.
            let shown = project.run(&["backup", "show", name]).code(0).out();
            assert!(shown.contains("authenticated") && shown.contains("contents"), "{shown}");
        }
    }
}

#[test]
fn one_changed_value_fails_and_is_named() {
    let server = Server::shared(15);
    let project = Project::new(server, "changed");
    project.sql(CONTENTS);
    let first = backup(&project, &[]);
    let (_, truth) = manifest_of(&first);
    let lie = |change: &str, undo: &str, words: &str| {
        project.sql(change);
        let other = backup(&project, &[]);
        project.sql(undo);
        let (path, mut manifest) = manifest_of(&other);
        // The bytes are those of the other backup, and it claims to hold what the first one holds.
        for field in ["tables", "entries"] {
            manifest[field] = truth[field].clone();
        }
        manifest.as_object_mut().unwrap().remove("mac");
        std::fs::write(path, manifest.to_string()).unwrap();
        let failed = project.run(&["backup", "verify", other.to_str().unwrap(), "--restore"]).code(8);
        failed.says("the manifest").says(words);
    };
    lie(
        "update public.users set name = 'name 8' where id = 7",
        "update public.users set name = 'name 7' where id = 7",
        "public.users: the rows are not those of the backup",
    );
    lie(
        "select setval('public.counter', 42)",
        "select setval('public.counter', 41)",
        "sequence set counter is not that of the backup",
    );
    lie(
        "insert into public.empty values (1); delete from public.users where id = 1",
        "truncate public.empty; insert into public.users values (1, 'name 1')",
        "the row counts in the manifest",
    );
    lie("select lo_put(90001, 0, '\\x03')", "select lo_put(90001, 0, '\\x01')", "is not that of the backup");
    lie("drop view public.named", "", "view named is missing");
}

/// Settings that change how rows are written, objects that only a superuser may own, and a child table whose columns
/// change their order when it is restored.
#[test]
fn good_backups_of_unusual_databases_pass() {
    for server in Server::each() {
        let project = Project::new(server, "unusual");
        project.sql(CONTENTS);
        let database = &project.database;
        project.sql(&format!(
            "alter database {database} set timezone = 'Europe/Berlin'; \
             alter database {database} set bytea_output = 'escape'; \
             create function public.quiet() returns event_trigger language plpgsql as 'begin end'; \
             create event trigger verify_{database} on ddl_command_end execute function public.quiet(); \
             create publication verify_{database} for all tables; \
             create materialized view public.kept as select count(*) from public.users"
        ));
        let made = backup(&project, &[]);
        let run = project.run(&["backup", "verify", made.to_str().unwrap(), "--restore"]).code(0).out();
        assert!(run.contains("contents"), "{run}");
        project.sql(
            "create table public.p (a int); create table public.c (x int) inherits (public.p); \
             alter table public.p add b int; insert into public.c values (1, 2, 3)",
        );
        let made = backup(&project, &[]);
        let run = project.run(&["backup", "verify", made.to_str().unwrap(), "--restore"]).code(0).out();
        assert!(
            run.contains(": restored") && run.contains("public.c has its columns in another order"),
            "{run}"
        );
    }
}

#[test]
fn a_damaged_backup_counts_no_more_and_an_altered_manifest_verifies_nothing() {
    let project = Project::new(Server::shared(15), "damaged");
    project.sql(CONTENTS);
    let older = backup(&project, &[]);
    let newer = backup(&project, &[]);
    let mut bytes = std::fs::read(&newer).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&newer, &bytes).unwrap();
    project.run(&["backup", "verify", newer.to_str().unwrap()]).code(8);
    let (_, manifest) = manifest_of(&newer);
    assert_eq!(manifest["verified"]["level"], "none");
    let latest = project.run(&["backup", "show"]).code(0).out();
    assert!(latest.contains(older.file_name().unwrap().to_str().unwrap()), "{latest}");
    let (path, _) = manifest_of(&older);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"rows\": 500", "\"rows\": 501", 1)).unwrap();
    project
        .run(&["backup", "verify", older.to_str().unwrap(), "--quick"])
        .code(8)
        .says("was changed after it was written");
}

#[test]
fn a_flipped_bit_a_cut_and_a_missing_manifest_fail_at_every_depth() {
    let project = Project::new(Server::shared(15), "flipped");
    project.sql("create table public.t (a text); insert into public.t select repeat('x', 1000) from generate_series(1, 50)");
    for damage in ["flip", "cut", "no manifest"] {
        let made = backup(&project, &[]);
        let mut bytes = std::fs::read(&made).unwrap();
        match damage {
            "flip" => {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }
            "cut" => bytes.truncate(bytes.len() - 1),
            _ => std::fs::remove_file(format!("{}.json", made.display())).unwrap(),
        }
        std::fs::write(&made, bytes).unwrap();
        for depth in [&["--quick"][..], &[], &["--restore"]] {
            project.run(&[&["backup", "verify", made.to_str().unwrap()], depth].concat()).code(8);
        }
    }
}

#[test]
fn the_teams_own_checks_decide_and_a_slow_restore_is_told() {
    let project = Project::new(Server::shared(15), "checks");
    project.sql(CONTENTS);
    let made = backup(&project, &[]);
    let name = made.to_str().unwrap();
    let config = project.path().join("envctl.toml");
    let before = std::fs::read_to_string(&config).unwrap_or_default();
    let with =
        |checks: &str| std::fs::write(&config, format!("{before}\n[verify]\nchecks = [{checks}]\n")).unwrap();
    with("\"select count(*) > 400 from users\", \"select true\"");
    project.run(&["backup", "verify", name, "--restore"]).code(0);
    with("\"select count(*) > 600 from users\"");
    project.run(&["backup", "verify", name, "--restore"]).code(8).says("answered false");
    with("\"select count(*) from users\"");
    project.run(&["backup", "verify", name, "--restore"]).code(8).says("not true");
    with("\"select 1 from nowhere\"");
    project.run(&["backup", "verify", name, "--restore"]).code(8).says("nowhere");
    std::fs::write(&config, before).unwrap();
    let sql = project.path().join("smoke.sql");
    std::fs::write(&sql, "-- smoke\nselect count(*) = 500 from users;\nselect count(*) from named;\n")
        .unwrap();
    project.run(&["backup", "verify", name, "--restore", "--sql", sql.to_str().unwrap()]).code(0);
    std::fs::write(&sql, "select count(*) = 501 from users;").unwrap();
    project.run(&["backup", "verify", name, "--restore", "--sql", sql.to_str().unwrap()]).code(8);
    project.run(&["backup", "verify", name, "--restore", "--rto", "1ms"]).code(8).says("longer than");
    project.run(&["backup", "verify", name, "--sql", "x"]).code(2);
}

#[test]
fn what_cannot_be_verified_is_neither_passed_nor_failed() {
    let project = Project::new(Server::shared(15), "unverified");
    project.sql(CONTENTS);
    let made = backup(&project, &[]);
    let (path, truth) = manifest_of(&made);
    let mut manifest = truth.clone();
    manifest["source"]["image"] = "no.such/image:1".into();
    manifest["source"]["image_id"] = "sha256:00".into();
    manifest["server_version"] = "9.6.24".into();
    manifest.as_object_mut().unwrap().remove("mac");
    std::fs::write(&path, manifest.to_string()).unwrap();
    let name = made.to_str().unwrap();
    project.run(&["backup", "verify", name, "--restore"]).code(12).says("no image of PostgreSQL 9");
    // An image of the same major version serves, and it is said.
    manifest["server_version"] = truth["server_version"].clone();
    std::fs::write(&path, manifest.to_string()).unwrap();
    let shown = project.run(&["backup", "verify", name, "--restore"]).code(0).out();
    assert!(shown.contains("the one the backup was made from is gone"), "{shown}");
    // A part of a database cannot be restored alone.
    let part = backup(&project, &["--schema-only"]);
    project.run(&["backup", "verify", part.to_str().unwrap(), "--restore"]).code(12).says("only a part");
    project.run(&["backup", "verify", part.to_str().unwrap()]).code(0);
    // No memory to start with.
    let starved = project.run(&["backup", "verify", name, "--restore", "--memory", "6m"]);
    starved.code(12);
}

#[test]
fn next_takes_the_one_whose_restore_is_the_longest_ago() {
    let project = Project::new(Server::shared(15), "next");
    project.sql("create table public.t (a int); insert into public.t values (1)");
    let made: Vec<PathBuf> = (0..3).map(|_| backup(&project, &[])).collect();
    let mut seen = Vec::new();
    for _ in 0..3 {
        let run = project.run(&["backup", "verify", "--next", "--restore", "--json"]).code(0).out();
        let answer: Value = serde_json::from_str(&run).unwrap();
        seen.push(PathBuf::from(answer["backups"][0]["path"].as_str().unwrap()));
    }
    seen.sort();
    let mut all = made.clone();
    all.sort();
    assert_eq!(seen, all, "each was taken once");
    let run = project.run(&["backup", "verify", "--all", "--json"]).code(0).out();
    let answer: Value = serde_json::from_str(&run).unwrap();
    assert_eq!(answer["backups"].as_array().unwrap().len(), 3);
    project.run(&["backup", "verify", "--since", "1h", "--quick"]).code(0);
    project.run(&["backup", "verify", "--next"]).code(2);
    // One of several that fails is named, and the others are verified all the same.
    std::fs::write(&made[1], "x").unwrap();
    let run = project.run(&["backup", "verify", "--all", "--quick"]).code(8);
    run.says("1 of 3 backups failed");
}

#[test]
fn next_reaches_every_backup_also_where_nothing_can_be_recorded() {
    let project = Project::new(Server::shared(15), "nextall");
    project.sql("create table public.t (a int); insert into public.t values (1)");
    let made: Vec<PathBuf> = (0..3).map(|_| backup(&project, &[])).collect();
    // Made with a key that is not here, and without a manifest.
    let other = project.path().join("other.key");
    std::fs::write(&other, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n").unwrap();
    let mut command = project.command(&["backup", "-q"]);
    command.env("ENVCTL_MANIFEST_KEY_FILE", &other);
    let foreign = PathBuf::from(Running::start(command, None).finish().code(0).out().trim());
    std::fs::remove_file(format!("{}.json", made[1].display())).unwrap();
    let next = ["backup", "verify", "--next", "--restore"];
    let mut codes = Vec::new();
    for _ in 0..4 {
        let ran = project.run(&next);
        codes.push(ran.code);
    }
    codes.sort_unstable();
    assert_eq!(codes, [0, 0, 0, 8], "each once, and the one without a manifest fails");
    for path in [&made[0], &made[2]] {
        let (_, manifest) = manifest_of(path);
        assert_eq!(manifest["verified"]["level"], "contents", "{}", path.display());
    }
    for path in [&made[1], &foreign] {
        assert!(Path::new(&format!("{}.tested", path.display())).exists(), "{}", path.display());
    }
}

#[test]
fn a_backup_of_all_databases_is_restored_with_its_roles_and_each_database_is_told() {
    for major in [15, 17] {
        let server = Wanted::postgres(major, &format!("verifyall{major}")).start().ready();
        let project = Project::of(&server, "postgres");
        project.sql("create role clerk login password 'x'");
        project.sql("create role readers; grant readers to clerk");
        project.sql("create database shop owner clerk");
        let shop = Project::of(&server, "shop");
        shop.sql(CONTENTS);
        shop.sql("grant select on public.users to readers");
        let made = project.run(&["backup", "-q", "--all-databases"]).code(0).out();
        let config = project.path().join("envctl.toml");
        let before = std::fs::read_to_string(&config).unwrap_or_default();
        let check = "select pg_has_role('clerk', 'readers', 'member') and \
            (select rolcanlogin from pg_roles where rolname = 'clerk')";
        std::fs::write(&config, format!("{before}\n[verify]\nchecks = [\"{check}\"]\n")).unwrap();
        let verify = ["backup", "verify", made.trim(), "--restore"];
        let told = project.run(&[&verify[..], &["-d", "shop"]].concat()).code(0).out();
        assert!(
            told.contains("database shop: roles made, contents of 4 tables compared, 1 assertion"),
            "{told}"
        );
        assert!(told.contains("database postgres: roles made"), "{told}");
        assert!(told.contains("no assertion: those are about shop"), "{told}");
        std::fs::write(&config, format!("{before}\n[verify]\nchecks = [\"select false\"]\n")).unwrap();
        project
            .run(&[&verify[..], &["-d", "shop"]].concat())
            .code(8)
            .says("database shop")
            .says("answered false");
    }
}

#[test]
fn libraries_that_the_server_preloads_are_loaded_in_the_test_or_named() {
    for major in [15, 17] {
        let mut wanted = Wanted::postgres(major, &format!("preload{major}"));
        wanted.command.extend(["-c", "shared_preload_libraries=pg_stat_statements"].map(str::to_owned));
        let server = wanted.start().ready();
        let project = Project::new(&server, "preload");
        project.sql("create extension pg_stat_statements; create table t (a int); insert into t values (1)");
        let made = backup(&project, &[]);
        let (path, mut manifest) = manifest_of(&made);
        assert_eq!(manifest["preload_libraries"], serde_json::json!(["pg_stat_statements"]));
        // The view answers only where its library was loaded at the start.
        let sql = project.path().join("smoke.sql");
        std::fs::write(&sql, "select count(*) >= 0 from pg_stat_statements;").unwrap();
        let verify = ["backup", "verify", made.to_str().unwrap(), "--restore"];
        project.run(&[&verify[..], &["--sql", sql.to_str().unwrap()]].concat()).code(0);
        manifest["preload_libraries"] = serde_json::json!(["pg_stat_statements", "no_such_library"]);
        manifest.as_object_mut().unwrap().remove("mac");
        std::fs::write(&path, manifest.to_string()).unwrap();
        project.run(&verify).code(12).says("the image has not the library no_such_library");
    }
}

/// A number that the next ones are made of: the same damage in every run.
struct Seed(u64);

impl Seed {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }

    /// Flips a bit, or cuts the end off.
    fn damage(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut damaged = bytes.to_vec();
        let at = self.below(bytes.len());
        if self.below(4) == 0 {
            damaged.truncate(at);
        } else {
            damaged[at] ^= 1 << self.below(8);
        }
        damaged
    }
}

/// Every format, here and in a store, as it is and in a size of its own after a cut: none is ever good.
#[test]
fn a_random_bit_flip_or_cut_never_verifies() {
    let project = Project::new(Server::shared(15), "random");
    project.sql(CONTENTS);
    let rounds = if is_long() { 250 } else { 6 };
    let mut seed = Seed(0x9e37_79b9_7f4a_7c15);
    for options in [&[][..], &["--compress", "zstd"], &["--format", "custom"], &["--format", "directory"]] {
        let made = backup(&project, options);
        let name = made.to_str().unwrap();
        let manifest = PathBuf::from(format!("{name}.json"));
        let (whole, text) = (std::fs::read(&made).unwrap(), std::fs::read(&manifest).unwrap());
        for round in 0..rounds {
            std::fs::write(&made, seed.damage(&whole)).unwrap();
            let depth = if round % 2 == 0 { &["--quick"][..] } else { &[] };
            project.run(&[&["backup", "verify", name], depth].concat()).code(8);
            // A size that is another is seen by every list, and damaged bytes count no more.
            let listed = project.run(&["backup", "list", "--json"]).code(0).out();
            let answer: Value = serde_json::from_str(&listed).unwrap();
            let row = answer["backups"].as_array().unwrap().iter().find(|row| row["path"] == name).unwrap();
            assert_eq!(row["verified"], "none", "{options:?} {round}: {row}");
            std::fs::write(&manifest, &text).unwrap();
        }
        std::fs::write(&made, &whole).unwrap();
        project.run(&["backup", "verify", name]).code(0);
    }
    let store = project.path().join("elsewhere");
    let url = format!("file://{}", store.display());
    for options in [&[][..], &["--compress", "zstd"], &["--format", "custom"]] {
        project.run(&[&["backup", "-q", "--store", &url], options].concat()).code(0);
        let objects = files_below(&store);
        let dump = objects.iter().find(|path| path.extension().is_none_or(|end| end != "json")).unwrap();
        let whole = std::fs::read(dump).unwrap();
        for round in 0..rounds {
            std::fs::write(dump, seed.damage(&whole)).unwrap();
            let depth = if round % 2 == 0 { &["--quick"][..] } else { &[] };
            let ran = project.run(&[&["backup", "verify", "latest", "--store", &url], depth].concat());
            // One of another size is not even the latest.
            assert!(ran.code == 8 || ran.code == 3, "{options:?} {round}: {} {}", ran.code, ran.err());
        }
        std::fs::write(dump, &whole).unwrap();
        project.run(&["backup", "verify", "latest", "--store", &url]).code(0);
        std::fs::remove_dir_all(&store).unwrap();
    }
}

/// The dump of the older backup in the place of the newer one's, in a store; both have the same size.
#[test]
fn an_older_dump_in_the_place_of_a_newer_one_fails() {
    let project = Project::new(Server::shared(15), "swapped");
    project.sql("create table public.t (a text); insert into public.t values ('old')");
    let store = project.path().join("elsewhere");
    let url = format!("file://{}", store.display());
    let made = |value: &str| {
        project.sql(&format!("update public.t set a = '{value}'"));
        let before = if store.exists() { files_below(&store) } else { Vec::new() };
        project.run(&["backup", "-q", "--store", &url, "--compress", "none"]).code(0);
        let new = files_below(&store).into_iter().filter(|path| !before.contains(path));
        let mut new: Vec<PathBuf> =
            new.filter(|path| path.extension().is_none_or(|end| end != "json")).collect();
        new.pop().unwrap()
    };
    let (old, new) = (made("old"), made("new"));
    std::fs::copy(&old, &new).unwrap();
    for depth in [&["--quick"][..], &[]] {
        let ran = project.run(&[&["backup", "verify", "latest", "--store", &url], depth].concat());
        ran.code(8);
    }
    project.run(&["restore", "latest", "--store", &url, "--yes", "--no-backup"]).code(8);
    assert_eq!(project.server.sql(&project.database, "select a from public.t").trim(), "new");
}

#[test]
fn ctrl_c_and_kill_leave_no_throwaway_server() {
    let project = Project::new(Server::shared(15), "ended");
    project.sql(CONTENTS);
    let made = backup(&project, &[]);
    let name = made.to_str().unwrap();
    // Private directories of its own: no other test removes what this one leaves.
    let place = project.path().join("run");
    std::fs::create_dir(&place).unwrap();
    let start = |args: &[&str]| {
        let mut command = project.command(args);
        command.env("XDG_RUNTIME_DIR", &place);
        Running::start(command, None)
    };
    let mine = || {
        let names = docker(&[
            "ps",
            "--filter",
            "name=-throwaway",
            "--format",
            "{{.Names}} {{.Label \"envctl.worker.dir\"}}",
        ]);
        names
            .lines()
            .filter(|line| line.contains(place.to_str().unwrap()))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    for signal in [Signal::INT, Signal::KILL] {
        let running = start(&["backup", "verify", name, "--restore"]);
        eventually(Duration::from_secs(60), "a throwaway server runs", || !mine().is_empty());
        running.signal(signal);
        let ended = running.finish();
        if signal == Signal::INT {
            ended.code(130);
        }
    }
    assert_eq!(mine().len(), 1, "the killed one has left its server");
    start(&["backup"]).finish().code(0);
    assert_eq!(mine(), [""; 0], "the next run removes it");
}

#[test]
fn a_copy_in_a_store_is_verified_from_there() {
    let project = Project::new(Server::shared(15), "stored");
    project.sql(CONTENTS);
    let store = project.path().join("elsewhere");
    std::fs::create_dir(&store).unwrap();
    let url = format!("file://{}", store.display());
    project.run(&["backup", "-q", "--store", &url]).code(0);
    let shown = project.run(&["backup", "verify", "--store", &url, "--restore"]).code(0).out();
    assert!(shown.contains("contents") && shown.contains(&url), "{shown}");
    project.run(&["backup", "verify", "latest", "--store", &url]).code(0);
    project.run(&["backup", "verify", "backup_20200101_000000.sql.gz", "--store", &url]).code(3);
    let objects = files_below(&store);
    let dump = objects.iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(dump, bytes).unwrap();
    project.run(&["backup", "verify", "--store", &url, "--quick"]).code(8);
}

/// Every file below a directory.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() { files.extend(files_below(&path)) } else { files.push(path) }
    }
    files
}
