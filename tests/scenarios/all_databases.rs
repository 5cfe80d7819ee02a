//! `backup --all-databases` and its restore: roles, odd names and properties come back; what is cut or bent does nothing.
//!
//! Each test has a server of its own: all its databases are meant, `postgres` too.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use crate::support::rig::{Wanted, docker, eventually};
use crate::support::{Project, Server, Snapshot};

const ODD: &str = "a b/ü";
const QUOTED: &str = "qu\"oted";

fn fill(server: &Server) {
    server.sql(
        "postgres",
        r#"create role "Owner; x"; create role member login password 'a word'; grant "Owner; x" to member;
           alter role member set search_path to 'a', 'b c';
           create database "a b/ü" owner "Owner; x" template template0 lc_collate 'C' lc_ctype 'C' connection limit 7;
           alter database "a b/ü" set work_mem to '5MB'; comment on database "a b/ü" is 'it''s odd';
           alter role member in database "a b/ü" set statement_timeout to '1h';
           revoke connect on database "a b/ü" from public; grant connect on database "a b/ü" to member;
           create database "qu""oted" template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'"#,
    );
    for database in [ODD, QUOTED] {
        server.sql(
            database,
            r#"create table item as select n as id, md5(n::text) as words from generate_series(1, 500) n;
               insert into item values (501, chr(252));
               alter table item owner to "Owner; x"; grant select on item to member"#,
        );
    }
}

fn contents(server: &Server, database: &str) -> String {
    server.sql(
        database,
        "select count(*), md5(string_agg(i::text, ',' order by id)), \
                (select relowner::regrole || coalesce(relacl::text, '') from pg_class where oid = 'item'::regclass) from item i",
    )
}

fn properties(server: &Server, database: &str) -> String {
    server.sql(
        "postgres",
        &format!(
            "select pg_get_userbyid(datdba), pg_encoding_to_char(encoding), datcollate, datctype, datconnlimit, \
                    (select array_agg(a order by a) from unnest(coalesce(datacl, acldefault('d', datdba))::text[]) a), shobj_description(oid, 'pg_database'), \
                    (select array_agg(setrole::regrole || setconfig::text order by 1) from pg_db_role_setting where setdatabase = d.oid) \
             from pg_database d where datname = '{database}'"
        ),
    )
}

fn roles(server: &Server) -> String {
    server.sql(
        "postgres",
        "select rolname, rolcanlogin, rolpassword, (select setconfig from pg_db_role_setting where setrole = a.oid and setdatabase = 0), \
                (select array_agg(roleid::regrole::text order by 1) from pg_auth_members where member = a.oid) \
         from pg_authid a where rolname in ('Owner; x', 'member') order by 1",
    )
}

fn drop_all(server: &Server) {
    for database in [ODD, QUOTED] {
        let name = database.replace('"', "\"\"");
        server.sql("postgres", &format!("drop database \"{name}\" with (force)"));
    }
    server.sql("postgres", r#"drop role member; drop role "Owner; x""#);
}

/// What `tar`, `gunzip` and `psql` make of it.
fn readable_by_others(server: &Server, tar: &Path) {
    docker(&["cp", tar.to_str().unwrap(), &format!("{}:/tmp/all.tar", server.container)]);
    server.sh(
        "rm -rf /tmp/all && mkdir /tmp/all && tar -C /tmp/all -xf /tmp/all.tar && chmod -R a+rX /tmp/all",
    );
    server.sql("postgres", "create database by_hand");
    server.sh(
        "tail -n 4 /tmp/all/globals.sql | grep -q 'cluster dump complete' && \
         gunzip -c '/tmp/all/databases/a%20b%2F%C3%BC.sql.gz' | psql -XqU postgres -v ON_ERROR_STOP=1 -d by_hand >/dev/null",
    );
    assert_eq!(contents(server, "by_hand"), contents(server, ODD));
    server.sql("postgres", "drop database by_hand");
}

/// Somebody's test database may go while the others are dumped: they shall have their backup all the same.
#[test]
fn a_database_that_is_dropped_while_the_others_are_dumped_is_told_and_left_out() {
    let server = Wanted::postgres(15, "dropped").start().ready();
    for database in ["aaa", "zzz"] {
        server.sql("postgres", &format!("create database {database}"));
        server.sql(database, "create table t as select n from generate_series(1, 5) n");
    }
    server.install(
        "pg_dump",
        "#!/bin/sh\npsql -XqU postgres -c 'drop database if exists zzz' >/dev/null 2>&1\n\
         exec /usr/lib/postgresql/15/bin/pg_dump \"$@\"\n",
    );
    let project = Project::of(&server, "postgres");
    let made = project.run(&["backup", "--all-databases", "-o", "all.tar", "--transport", "exec"]).code(0);
    let made = made.says("database \"zzz\" was dropped meanwhile and is not in the backup");
    assert!(!made.err().contains("\"aaa\" was dropped"), "{}", made.err());
    server.sql("postgres", "drop database aaa");
    project.run(&["restore", "all.tar", "--yes", "--no-backup"]).code(0);
    assert_eq!(server.sql("aaa", "select count(*) from t"), "5");
    assert_eq!(server.sql("postgres", "select count(*) from pg_database where datname = 'zzz'"), "0");
}

fn comes_back(major: u8) {
    let server = Wanted::postgres(major, &format!("all{major}")).start().ready();
    fill(&server);
    let project = Project::new(&server, "own");
    let before: Vec<_> = [ODD, QUOTED].map(|d| (contents(&server, d), properties(&server, d))).into();
    let roles_before = roles(&server);
    assert!(roles_before.contains("SCRAM"), "{roles_before}");

    for unfit in
        [&["-o", "-"][..], &["-o", "x.sql.gz"], &["--format", "custom"], &["--all-stacks"], &["-j", "2"]]
    {
        project.run(&[&["backup", "--all-databases"], unfit].concat()).code(2);
    }
    project.run(&["backup", "--all-databases", "-o", "all.tar"]).code(0).says("all databases");
    project.run(&["backup", "--all-databases", "-o", "all.tar"]).code(6).says("--force");
    let tar = project.path().join("all.tar");
    assert_eq!(tar.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let manifest = std::fs::read_to_string(project.path().join("all.tar.json")).unwrap();
    assert!(manifest.contains("\"cluster\"") && manifest.contains("a b/ü") && !manifest.contains("SCRAM"));
    readable_by_others(&server, &tar);

    // Only the two are gone; the others are replaced.
    drop_all(&server);
    let plan = project.run(&["restore", "all.tar", "--dry-run"]).code(0);
    let plan = String::from_utf8_lossy(&[plan.stdout, plan.stderr].concat()).into_owned();
    for line in [
        "creates  roles \"Owner; x\", \"member\"",
        "creates  database \"a b/ü\"",
        "replaces database \"postgres\"",
    ] {
        assert!(plan.contains(line), "{line}\n{plan}");
    }
    assert_eq!(roles(&server), "", "only shown");
    project.run(&["restore", "all.tar"]).code(6);
    let restored = project.run(&["restore", "all.tar", "--yes", "--no-backup"]).code(0);
    let said = String::from_utf8_lossy(&[restored.stdout, restored.stderr].concat()).into_owned();
    assert!(
        said.contains("\"Owner; x\", \"member\"") && said.contains("role \"postgres\" as on the server"),
        "{said}"
    );
    assert!(!said.contains("SCRAM"), "{said}");
    assert_eq!(roles(&server), roles_before);
    for (database, (content, property)) in [ODD, QUOTED].iter().zip(&before) {
        assert_eq!(&contents(&server, database), content, "{database}");
        assert_eq!(&properties(&server, database), property, "{database}");
    }

    // One of them alone, with what was there backed up, and back again.
    for database in [ODD, QUOTED] {
        server.sql(database, "delete from item where id > 10");
    }
    let changed = [ODD, QUOTED].map(|d| contents(&server, d));
    project.run(&["restore", "all.tar", "-d", ODD, "--yes"]).code(0);
    assert_eq!((contents(&server, ODD), properties(&server, ODD)), before[0]);
    assert_eq!(contents(&server, QUOTED), changed[1], "not asked for");
    assert_eq!(Snapshot::of(&project).dumps().len(), 1, "the safety backup");
    project.run(&["restore", "undo", "-d", ODD, "--yes"]).code(0);
    assert_eq!(contents(&server, ODD), changed[0]);
    project.run(&["restore", "all.tar", "-d", QUOTED, "--into", "else where", "--yes"]).code(0);
    assert_eq!(contents(&server, "else where"), before[1].0);
    let piped = ["restore", "-", "-d", QUOTED, "--into", "else where", "--no-backup", "--yes"];
    let bytes = std::fs::read(&tar).unwrap();
    server.sql("else where", "delete from item where id > 10");
    project.run_with(&bytes, &piped).code(6).says("add `--trust`");
    project.run_with(&bytes, &[&piped[..], &["--trust"]].concat()).code(0);
    assert_eq!(contents(&server, "else where"), before[1].0, "by a pipe");
    project.run(&["restore", "all.tar", "--into", "x", "--yes"]).code(2).says("-d NAME --into OTHER");
    project.run(&["restore", "all.tar", "-d", "nobody", "--yes"]).code(3).says("it holds");

    what_is_cut_or_bent_changes_nothing(&project, &tar, &changed);
    let left = std::fs::read_dir(project.path()).unwrap().flatten();
    let left: Vec<_> =
        left.filter(|e| e.file_name().to_string_lossy().starts_with("envctl-worker")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn what_is_cut_or_bent_changes_nothing(project: &Project, tar: &Path, state: &[String; 2]) {
    let server = &project.server;
    let list = || server.sql("postgres", "select string_agg(datname, ',' order by datname) from pg_database");
    let databases = list();
    let whole = std::fs::read(tar).unwrap();
    let mut bent = whole.clone();
    bent[whole.len() / 2] ^= 1;
    for (name, bytes) in [("cut.tar", &whole[..whole.len() / 2]), ("bent.tar", &bent[..])] {
        let path = project.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        // Without a manifest the tar's own structure, and that of each dump, has to tell.
        project.run(&["restore", name, "--trust", "--yes", "--no-backup"]).code(8);
        std::fs::copy(format!("{}.json", tar.display()), format!("{}.json", path.display())).unwrap();
        project.run(&["restore", name, "--yes", "--no-backup"]).code(8);
    }
    std::fs::write(project.path().join("foreign.tar"), &whole).unwrap();
    project.run(&["restore", "foreign.tar", "--yes"]).code(6).says("were not written by envctl");
    assert_eq!([ODD, QUOTED].map(|d| contents(server, d)), *state);
    assert_eq!(list(), databases);
}

#[test]
fn all_databases_and_their_roles_come_back_15() {
    comes_back(15);
}

#[test]
fn all_databases_and_their_roles_come_back_17() {
    comes_back(17);
}

#[test]
fn a_failure_at_one_says_which_are_done_and_which_are_as_they_were() {
    let server = Wanted::postgres(15, "allfail").start().ready();
    let project = Project::new(&server, "own");
    let other = Project::of(&server, "zz");
    server.sql("postgres", "create database zz");
    for one in [&project, &other] {
        one.fill(50);
    }
    let digest = project.digest();
    project.run(&["backup", "--all-databases", "-o", "all.tar"]).code(0);
    for one in [&project, &other] {
        one.sql("delete from item where id > 5");
    }
    let changed = other.digest();
    // Every restore before it succeeds.
    let psql = server.sh("command -v psql");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *envctl_new_*_zz*) echo no >&2; exit 3;; esac\nexec {psql} \"$@\"\n"
    );
    server.install("psql", &script);
    let failed = project.run(&["restore", "all.tar", "--yes", "--no-backup"]).code(7).err();
    assert!(failed.contains("database \"zz\""), "{failed}");
    let done = format!("in place: {:?}, \"postgres\"", project.database);
    let text = failed.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&done) && text.contains("as they were: \"zz\""), "{failed}");
    assert_eq!(project.digest(), digest);
    assert_eq!(other.digest(), changed);
    assert!(!server.siblings("zz").iter().any(|name| name.starts_with("envctl_new")));
}

#[test]
fn what_a_killed_one_leaves_the_next_removes() {
    let server = Wanted::postgres(17, "allkill").start().ready();
    let project = Project::new(&server, "own");
    project.fill(200);
    server.sql("postgres", "create database zz");
    server.sql("zz", "create table t (a int)");
    let names = || {
        let entries = std::fs::read_dir(project.backup_dir()).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    };
    let held = server.session("zz", "begin; lock table t in access exclusive mode");
    let running = project.start(&["backup", "--all-databases", "--lock-timeout", "1m"]);
    let mut room = None;
    eventually(Duration::from_secs(30), "the first dumps lie in the room", || {
        room = names().into_iter().find(|name| name.starts_with("envctl-worker-"));
        room.as_ref().is_some_and(|room| {
            let dumps = project.backup_dir().join(room).join("all/databases");
            std::fs::read_dir(dumps)
                .into_iter()
                .flatten()
                .flatten()
                .any(|e| e.file_name().to_string_lossy().starts_with(&format!("{}.sql", project.database)))
        })
    });
    running.signal(rustix::process::Signal::KILL);
    running.finish();
    assert!(names().contains(room.as_ref().unwrap()), "a killed one cannot tidy up");
    assert!(Snapshot::of(&project).dumps().is_empty());
    drop(held);
    project.run(&["backup", "--all-databases"]).code(0);
    let names = names();
    assert!(names.len() == 2 && names[0].ends_with(".tar") && names[1].ends_with(".tar.json"), "{names:?}");
    // It is listed, and never taken for the backup of one database.
    assert!(project.run(&["backup", "list"]).code(0).out().contains("all databases"));
    assert!(project.run(&["backup", "show", &names[0]]).code(0).out().contains("globals.sql"));
    project.run(&["restore", "latest", "--yes"]).code(3);
    // A dump that fails takes the others with it.
    let before = Snapshot::of(&project);
    server.install("pg_dumpall", "#!/bin/sh\necho 'CREATE ROLE x;'\n");
    project.run(&["backup", "--all-databases"]).code(8);
    project.assert_nothing_but(&before);
}
