//! How things are said: colours, quiet, and names that want to be more than names.

use snapbox::str;

use crate::container::{db, plain, service, stack};
use crate::stage::Stage;

#[test]
fn production_is_a_red_band_where_colours_are_wanted() {
    let stage = Stage::with(stack("acme-prod"));
    stage.run(["exec", "backend", "--color", "always", "--", "true"]).is(str![[r#"
exit 0
! <ESC>[1;97;41m[prod]<ESC>[0m <ESC>[1;97;41macme<ESC>[0m · backend acme-prod-backend-1 · context default

"#]]);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 0
! [prod] acme · backend acme-prod-backend-1 · context default

"#]]);
    stage.envctl(["exec", "backend", "--", "true"]).env("NO_COLOR", "1").run().is(str![[r#"
exit 0
! [prod] acme · backend acme-prod-backend-1 · context default

"#]]);
    stage.envctl(["exec", "backend", "--", "true"]).env("ENVCTL_COLOR", "always").run().is(str![[r#"
exit 0
! <ESC>[1;97;41m[prod]<ESC>[0m <ESC>[1;97;41macme<ESC>[0m · backend acme-prod-backend-1 · context default

"#]]);
}

#[test]
fn no_color_wins_over_nothing_and_the_flag_over_no_color() {
    let stage = Stage::with(stack("acme-prod"));
    let run = |color: &str, no_color: &str| {
        stage
            .envctl(["exec", "backend", "--color", color, "--", "true"])
            .env("NO_COLOR", no_color)
            .run()
            .err()
    };
    assert!(!run("auto", "1").contains('\x1b'));
    assert!(run("always", "1").contains('\x1b'));
    assert!(!run("never", "").contains('\x1b'));
}

#[test]
fn errors_are_coloured_too() {
    Stage::with([]).run(["logs", "--color", "always"]).is(str![[r#"
exit 3
! <ESC>[1;31merror:<ESC>[0m the daemon has no containers
! <ESC>[36mhint:<ESC>[0m start the stack with `docker compose up -d`
! <ESC>[36mhint:<ESC>[0m name its daemon if it runs on another one: `--context NAME` or `--host URL`

"#]]);
}

#[test]
fn quiet_leaves_the_answer_and_errors() {
    let stage = Stage::with([service("acme-prod", "backend").printed("a line"), db("acme-prod")]);
    stage.run(["logs", "-q"]).is(str![[r#"
exit 0
a line

"#]]);
    stage.run(["logs", "-q", "--dev"]).is(str![[r#"
exit 3
! error: acme has no profile `dev`
!     acme prod: project acme-prod, in /srv/acme, container acme-prod-db-1 running  --prod
! hint: add the flag at the end of a line, such as `--prod`

"#]]);
}

#[test]
fn verbose_names_the_daemon() {
    Stage::with(stack("acme-dev")).run(["logs", "-v"]).is(str![[r#"
exit 0
! Docker: unix://[DIR]/docker.sock (DOCKER_HOST)
! [dev] acme · backend acme-dev-backend-1 · context default

"#]]);
}

#[test]
fn a_profile_that_cannot_be_known_counts_as_prod() {
    Stage::with(stack("acme")).run(["exec", "backend", "--color", "always", "--", "true"]).is(str![[r#"
exit 0
! <ESC>[1;97;41m[profile unknown: counts as prod]<ESC>[0m <ESC>[1;97;41macme<ESC>[0m · backend acme-backend-1 · context default

"#]]);
}

const HOSTILE: &str = "ac\x1b]0;owned\x07me\x1b[2J\u{202e}dorp\r\nerror: forged";

#[test]
fn f91_hostile_labels_are_shown_escaped() {
    let stage = Stage::with([plain("one")
        .label("envctl.stack", HOSTILE)
        .label("envctl.profile", "dev")
        .label("envctl.role", "backend")]);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 0
! [dev] ac\u{1b}]0;owned\u{7}me\u{1b}[2J\u{202e}dorp\r\nerror: forged · one one · context default

"#]]);
    stage.run(["exec", "db", "--", "true"]).is(str![[r#"
exit 125
! error (target): ac\u{1b}]0;owned\u{7}me\u{1b}[2J\u{202e}dorp\r\nerror: forged dev has no database; its services: one
! hint: name the container with `--container NAME`
! hint: label the service `envctl.role: db`, or name it in envctl.toml

"#]]);
}

#[test]
fn f91_hostile_names_among_candidates_are_shown_escaped() {
    let stage = Stage::with([
        plain("one")
            .label("com.docker.compose.project", HOSTILE)
            .label("com.docker.compose.service", "backend"),
        plain("two").label("com.docker.compose.project", "shop").label("com.docker.compose.service", HOSTILE),
    ]);
    stage.run(["exec", "backend", "--", "true"]).is(str![[r#"
exit 0
! [profile unknown: counts as prod] ac\u{1b}]0;owned\u{7}me\u{1b}[2J\u{202e}dorp\r\nerror: forged · backend one · context default

"#]]);
    stage.run(["exec", "nosuch", "-s", "shop", "--", "true"]).is(str![[r#"
exit 125
! error (target): shop unknown has no service or container `nosuch`; its services: ac\u{1b}]0;owned\u{7}me\u{1b}[2J\u{202e}dorp\r\nerror: forged

"#]]);
}

#[test]
fn f91_nothing_hostile_reaches_the_terminal_whatever_is_asked() {
    let stage = Stage::with([
        plain("one")
            .label("envctl.stack", HOSTILE)
            .label("envctl.profile", HOSTILE)
            .label("envctl.role", HOSTILE)
            .label("com.docker.compose.project", HOSTILE)
            .label("com.docker.compose.service", HOSTILE)
            .label("com.docker.compose.project.working_dir", HOSTILE)
            .label("com.docker.compose.project.config_files", HOSTILE),
        plain("two").postgres().label("com.docker.compose.project", HOSTILE).exited(1),
    ]);
    for arguments in [
        &["logs"][..],
        &["logs", "db"],
        &["logs", "-v"],
        &["logs", "--json"],
        &["exec", "db", "--", "true"],
        &["exec", "one", "--", "nosuch"],
        &["psql", "-c", "select 1"],
        &["logs", "--prod"],
        &["logs", "--all-stacks"],
    ] {
        let ran = stage.run(arguments);
        for text in [ran.out(), ran.err()] {
            let foul = |c: char| (c.is_control() && c != '\n') || ('\u{202a}'..='\u{202e}').contains(&c);
            assert!(!text.contains(foul), "{arguments:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("error: forged")), "{arguments:?}: {text}");
        }
    }
}

#[test]
fn f91_an_engines_words_are_escaped() {
    use crate::daemon::Manner;
    Stage::behaving(Manner::Refusing(500, "disk full\n\x1b[2Jerror: forged")).run(["logs"]).is(str![[r#"
exit 4
! error: listing containers: disk full
!   \u{1b}[2Jerror: forged
! hint: read the daemon's log: `journalctl -u docker`

"#]]);
}
