//! `envctl restore previous`: what restores have replaced, seen and dropped under the guards.

use snapbox::str;

use crate::container::{Container, stack};
use crate::postgres::Server;
use crate::stage::Stage;

fn kept(name: &str, was: &str, at: &str) -> String {
    format!(
        "{name},\"{{\"\"envctl\"\":\"\"kept\"\",\"\"replaced\"\":\"\"{was}\"\",\"\"operation\"\":\"\"0\"\",\"\"at\"\":\"\"{at}\"\"}}\",7654321\n"
    )
}

fn server() -> Server {
    let rows = [
        kept("envctl_old_aaaa1111_acme", "acme", "2001-01-02T03:04:05Z"),
        kept("envctl_old_bbbb2222_shop", "shop", "2001-01-03T03:04:05Z"),
        kept("envctl_old_cccc3333_acme", "acme", "2001-01-04T03:04:05Z"),
        // Somebody's own database of such a name, without our note.
        "envctl_old_mine,,1\n".to_owned(),
    ];
    Server::new().answer("shobj_description", &rows.concat())
}

fn stage(containers: Vec<Container>, server: Server) -> Stage {
    let stage = Stage::with(containers);
    stage.engine.install("*", "psql", server.psql());
    stage
}

#[test]
fn they_are_listed_newest_first() {
    let stage = stage(stack("acme-dev"), server());
    let ran = stage.run(["restore", "previous"]);
    let names: Vec<String> =
        ran.out().lines().skip(1).map(|line| line.split_whitespace().next().unwrap().to_owned()).collect();
    assert_eq!(
        names,
        ["envctl_old_cccc3333_acme", "envctl_old_bbbb2222_shop", "envctl_old_aaaa1111_acme"],
        "{}",
        ran.out()
    );
    for database in ["acme", "shop"] {
        let undo = format!("`envctl restore undo -d {database} --dev`");
        assert!(ran.err().contains(&undo), "{undo}: {}", ran.err());
    }
    assert!(ran.out().contains("7.7 MB") && ran.err().contains("--drop NAME"), "{} {}", ran.out(), ran.err());
}

#[test]
fn there_may_be_none() {
    let stage = stage(stack("acme-dev"), Server::new());
    stage.run(["restore", "previous", "-q"]).is(str![[r#"
exit 0

"#]]);
    let ran = stage.run(["restore", "previous", "--drop", "all", "--yes"]);
    assert_eq!(ran.code, Some(3), "{}", ran.err());
}

#[test]
fn all_are_those_of_this_database_and_the_plan_names_each() {
    let stage = stage(stack("acme-dev"), server());
    stage.run(["restore", "previous", "--drop", "all", "--yes"]).is(str![[r#"
exit 0
envctl_old_cccc3333_acme
envctl_old_aaaa1111_acme
! [dev] acme · db acme-dev-db-1 · database acme, PostgreSQL 15.18 · context default · (the only one that runs, the only profile that runs)
!   drop 2 previous databases
!     "envctl_old_cccc3333_acme", which was "acme" until 2001-01-04 03:04:05 UTC (7.7 MB)
!     "envctl_old_aaaa1111_acme", which was "acme" until 2001-01-02 03:04:05 UTC (7.7 MB)
!     `restore undo` cannot bring them back then
! all of them dropped

"#]]);
}

#[test]
fn what_is_not_kept_is_not_dropped() {
    let stage = stage(stack("acme-dev"), server());
    for name in ["acme", "envctl_old_mine", "envctl_old_dddd4444_acme"] {
        let ran = stage.run(["restore", "previous", "--drop", name, "--yes"]);
        assert_eq!(ran.code, Some(3), "{name}: {}", ran.err());
        assert!(ran.err().contains("envctl restore previous"), "{name}: {}", ran.err());
    }
}

#[test]
fn dropping_is_guarded_as_restoring_is() {
    let one = ["restore", "previous", "--drop", "envctl_old_aaaa1111_acme"];
    let dev = stage(stack("acme-dev"), server()).run(one);
    assert_eq!(dev.code, Some(6), "{}", dev.err());
    let prod = stage(stack("acme-prod"), server());
    let yes = prod.run(one.iter().chain(&["--prod", "--yes"]));
    assert_eq!(yes.code, Some(6), "{}", yes.err());
    assert!(yes.err().contains("--confirm acme"), "{}", yes.err());
    let named = prod.run(one.iter().chain(&["--prod", "--confirm", "acme"]));
    assert_eq!(named.code, Some(0), "{}", named.err());
    let protected = stack("acme-dev").into_iter().map(|c| c.label("envctl.protected", "true")).collect();
    let refused = stage(protected, server()).run(one.iter().chain(&["--yes"]));
    assert_eq!(refused.code, Some(6), "{}", refused.err());
}

#[test]
fn one_that_is_in_use_stays() {
    let busy = server().error("DROP DATABASE", "55006", "database is being accessed by other users");
    let ran = stage(stack("acme-dev"), busy).run(["restore", "previous", "--drop", "all", "--yes"]);
    assert_eq!(ran.code, Some(5), "{}", ran.err());
    assert!(ran.err().contains("envctl_old_cccc3333_acme"), "{}", ran.err());
}
