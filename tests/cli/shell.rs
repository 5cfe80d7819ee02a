//! `envctl shell` without a terminal: a shell that reads a script, or one command.

use snapbox::str;

use crate::container::{service, stack};
use crate::stage::Stage;

#[test]
fn a_script_on_stdin_is_the_shells() {
    let stage = Stage::with(stack("acme-dev"));
    stage.engine.install("*", "sh", |process| {
        let script = String::from_utf8(process.all()).unwrap();
        process.out(format!("the shell read {script:?}\n"));
        4
    });
    stage.envctl(["shell"]).stdin("exit 4\n").run().is(str![[r#"
exit 4
the shell read "exit 4\n"
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
    stage.envctl(["ssh", "db"]).stdin("exit 4\n").run().is(str![[r#"
exit 4
the shell read "exit 4\n"
! [dev] acme · db acme-dev-db-1 · context default

"#]]);
}

#[test]
fn one_command() {
    Stage::with(stack("acme-dev")).run(["shell", "--", "true"]).is(str![[r#"
exit 0
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
}

#[test]
fn an_image_without_a_shell() {
    let ran = Stage::with([service("acme-dev", "backend").without("sh")]).run(["shell"]);
    assert_eq!(ran.code, Some(127), "{}", ran.err());
    assert!(ran.err().contains("error") && ran.err().contains("`sh` cannot be started"), "{}", ran.err());
    assert!(ran.err().contains("\nhint: "), "nothing to do next: {}", ran.err());
}

#[test]
fn psql_is_for_the_database() {
    Stage::with(stack("acme-dev")).run(["shell", "worker", "--psql"]).is(str![[r#"
exit 125
! error (usage): `--psql` is for the database
! hint: type `envctl psql`

"#]]);
}
