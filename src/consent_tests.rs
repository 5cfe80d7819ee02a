//! The guards' table, whole: act × profile × terminal × flags, and what is said on the way.

use super::*;
use crate::error::ErrorKind;
use crate::ui::capture::{Captured, captured, terminal};
use crate::ui::{ColorChoice, UiOptions};

/// For plans of which a test says itself what is asked.
impl Plan for &str {
    fn guard(&self) -> Guard {
        Guard::Read
    }
}

/// A plan that drops something, alone or as a part.
#[derive(Debug)]
struct Drops;

impl Display for Drops {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("drops shop")
    }
}

impl Plan for Drops {
    fn guard(&self) -> Guard {
        Guard::Destroy
    }
}

#[derive(Debug)]
struct Whole(Guard);

impl Display for Whole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a look")
    }
}

impl Plan for Whole {
    fn guard(&self) -> Guard {
        self.0
    }
}

impl Parts for Whole {
    type Key = ();
    type Part = Drops;

    fn parts(self) -> Vec<((), Drops)> {
        vec![((), Drops)]
    }
}

#[test]
fn no_plan_is_confirmed_for_less_than_it_does() {
    let (ui, _, _) = captured(UiOptions::default(), "");
    let ask = |guard| confirm(&ui, Drops, guard, &target(Some("prod")), &Consent::default());
    for guard in [Guard::Read, Guard::Change, Guard::Open, Guard::Destroy] {
        assert_eq!(ask(guard).unwrap_err().kind(), ErrorKind::Refused, "{guard:?}");
    }
    let protected = GuardTarget { protected: true, ..target(Some("dev")) };
    assert!(confirm(&ui, Drops, Guard::Read, &protected, &consent("--yes")).is_err());
}

#[test]
fn the_parts_of_a_plan_are_confirmed_for_what_was_asked_and_no_more() {
    let (ui, _, _) = captured(UiOptions::default(), "");
    let ask = |guard| confirm(&ui, Whole(guard), Guard::Read, &target(Some("dev")), &consent("--yes"));
    assert_eq!(ask(Guard::Destroy).unwrap().confirmed().unwrap().each().len(), 1);
    let looked = ask(Guard::Read).unwrap().confirmed().unwrap();
    let minted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| looked.each()));
    assert!(minted.is_err(), "a look lets nothing be dropped");
}

fn target(profile: Option<&str>) -> GuardTarget {
    GuardTarget {
        stack: "acme".to_owned(),
        profile: profile.map(str::to_owned),
        prod: matches!(profile, None | Some("prod")),
        protected: false,
        unlike: None,
    }
}

fn consent(flags: &str) -> Consent {
    let mut consent = Consent::default();
    let mut arguments = flags.split_whitespace();
    while let Some(argument) = arguments.next() {
        match argument {
            "--yes" => consent.yes = true,
            "--dry-run" => consent.dry_run = true,
            "--confirm" => consent.confirm.push(arguments.next().unwrap().to_owned()),
            other => panic!("no such flag {other}"),
        }
    }
    consent
}

/// Runs one question with an answer typed; the outcome and what stderr and stdout show.
fn run(
    guard: Guard,
    targets: &[GuardTarget],
    flags: &str,
    typed: Option<&str>,
) -> (Result<Decision<&'static str>>, Captured, Captured) {
    let options = if typed.is_some() { terminal(80) } else { UiOptions::default() };
    let (ui, out, err) = captured(options, typed.unwrap_or_default());
    (confirm_each(&ui, "the plan", guard, targets, &consent(flags)), out, err)
}

/// Returns the outcome of a confirmation as a short text.
fn outcome(guard: Guard, profile: Option<&str>, flags: &str, typed: Option<&str>) -> &'static str {
    let (result, out, err) = run(guard, &[target(profile)], flags, typed);
    let asked = err.text().contains("[y/N]") || err.text().contains("Type the stack's name");
    match result {
        Ok(Decision::DryRun(_)) => {
            assert_eq!((out.text().as_str(), err.text().as_str()), ("the plan\n", ""));
            "dry"
        }
        Ok(Decision::Go(_)) if asked => "asked, went",
        Ok(Decision::Go(_)) => "went",
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Refused);
            assert!(error.message().contains("nothing was changed"), "{error}");
            if asked { "asked, refused" } else { "refused" }
        }
    }
}

#[test]
fn the_whole_table() {
    use Guard::{Change, Destroy, Open, Read};
    const FLAGS: [&str; 4] = ["", "--yes", "--confirm acme", "--confirm other"];
    // Without a terminal, one outcome for each of FLAGS.
    let without = [
        (Read, "dev", ["went", "went", "went", "went"]),
        (Read, "prod", ["went", "went", "went", "went"]),
        (Change, "dev", ["went", "went", "went", "went"]),
        (Change, "prod", ["refused", "went", "refused", "refused"]),
        (Open, "dev", ["went", "went", "went", "went"]),
        (Open, "prod", ["refused", "refused", "went", "refused"]),
        (Destroy, "dev", ["refused", "went", "refused", "refused"]),
        (Destroy, "prod", ["refused", "refused", "went", "refused"]),
    ];
    // At a terminal: the line typed and one outcome for each of FLAGS.
    let ask_yes = |typed: &str| match typed {
        "y\n" | "YES\n" => ["asked, went", "went", "asked, went", "asked, went"],
        _ => ["asked, refused", "went", "asked, refused", "asked, refused"],
    };
    let ask_name = |typed: &str| match typed {
        "acme\n" => ["asked, went", "asked, went", "went", "refused"],
        _ => ["asked, refused", "asked, refused", "went", "refused"],
    };
    for (guard, profile, expected) in without {
        // A profile that cannot be known counts as prod.
        let profiles =
            if profile == "prod" { vec![Some("prod"), None] } else { vec![Some("dev"), Some("staging")] };
        for profile in profiles {
            for (flags, expected) in FLAGS.into_iter().zip(expected) {
                let at = format!("{guard:?} {profile:?} {flags:?}");
                assert_eq!(outcome(guard, profile, flags, None), expected, "no terminal: {at}");
                assert_eq!(outcome(guard, profile, &format!("{flags} --dry-run"), None), "dry", "{at}");
                for typed in ["y\n", "YES\n", "n\n", "\n", "", "acme\n", "ACME\n", "other\n"] {
                    let prod = matches!(profile, None | Some("prod"));
                    let row = match (guard, prod) {
                        (Read, _) | (Change | Open, false) => ["went"; 4],
                        (Change, true) | (Destroy, false) => ask_yes(typed),
                        (Open | Destroy, true) => ask_name(typed),
                    };
                    let place = FLAGS.iter().position(|f| *f == flags).unwrap();
                    assert_eq!(
                        outcome(guard, profile, flags, Some(typed)),
                        row[place],
                        "typed {typed:?}: {at}"
                    );
                    assert_eq!(
                        outcome(guard, profile, &format!("{flags} --dry-run"), Some(typed)),
                        "dry",
                        "{at}"
                    );
                }
            }
        }
    }
}

#[test]
fn protected_targets_are_never_destroyed() {
    for profile in [Some("dev"), Some("prod"), None] {
        for flags in ["", "--yes", "--confirm acme", "--yes --confirm acme"] {
            for typed in [None, Some("acme\n"), Some("y\n")] {
                let protected = GuardTarget { protected: true, ..target(profile) };
                let (result, _, err) = run(Guard::Destroy, std::slice::from_ref(&protected), flags, typed);
                let error = result.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Refused);
                assert!(error.message().contains("is protected"), "{error}");
                assert_eq!(err.text(), "", "nothing is asked");
                assert!(run(Guard::Read, &[protected], flags, typed).0.is_ok());
            }
        }
    }
    let protected = GuardTarget { protected: true, ..target(Some("prod")) };
    let (result, out, err) = run(Guard::Destroy, &[protected], "--dry-run", None);
    assert!(result.unwrap().confirmed().is_none());
    assert_eq!(out.text(), "the plan\n");
    assert!(err.text().contains("would be refused: acme [prod] is protected"), "{}", err.text());
}

#[test]
fn one_terminal_end_is_not_enough_to_ask() {
    for (stdin, stderr) in [(true, false), (false, true)] {
        let options = UiOptions { stdin_is_terminal: stdin, stderr_is_terminal: stderr, ..terminal(80) };
        let (ui, _, err) = captured(options, "acme\n");
        let result = confirm(&ui, "the plan", Guard::Destroy, &target(Some("prod")), &Consent::default());
        assert!(result.is_err());
        assert_eq!(err.text(), "  the plan\n", "the plan is seen, nothing is asked");
    }
}

#[test]
fn several_prod_stacks_are_named_one_by_one() {
    let stack = |name: &str, profile| GuardTarget { stack: name.to_owned(), ..target(Some(profile)) };
    let targets = [stack("zeta", "prod"), stack("acme", "prod"), stack("bob", "dev"), stack("acme", "prod")];
    let went = |flags: &str, typed| run(Guard::Destroy, &targets, flags, typed).0.is_ok();
    assert!(went("--confirm acme --confirm zeta", None));
    assert!(!went("--confirm acme --confirm bob", None));
    assert!(!went("--confirm acme", Some("zeta\n")));
    assert!(went("", Some("acme\nzeta\n")));
    assert!(!went("", Some("acme\nacme\n")));
    assert!(!went("", Some("acme\n")));
    let error = run(Guard::Destroy, &targets, "--yes", None).0.unwrap_err();
    assert_eq!(
        error.hints(),
        ["look at the plan with `--dry-run`, then add `--confirm acme --confirm zeta`"]
    );
}

#[test]
fn refusals_say_the_exact_flag() {
    let message = |guard, profile, flags| {
        let error = run(guard, &[target(profile)], flags, None).0.unwrap_err();
        format!("{}\n{}", error.message(), [error.notes(), error.hints()].concat().join("\n"))
    };
    assert_eq!(
        message(Guard::Change, Some("prod"), ""),
        "this needs a yes, and there is no terminal to ask at: nothing was changed\n\
         look at the plan with `--dry-run`, then add `--yes`"
    );
    assert_eq!(
        message(Guard::Destroy, Some("prod"), "--yes"),
        "`--yes` is not enough for production, the stack has to be named (`acme`): nothing was changed\n\
         look at the plan with `--dry-run`, then add `--confirm acme`"
    );
    assert_eq!(
        message(Guard::Destroy, None, "--confirm other"),
        "`--confirm` names `other`, but the target is `acme`: nothing was changed\n\
         look at the plan with `--dry-run`, then add `--confirm acme`"
    );
    assert_eq!(shell_word("it's; rm"), "'it'\\''s; rm'");
}

#[test]
fn the_plan_is_shown_before_the_question_and_escaped() {
    let (ui, _, err) = captured(UiOptions { quiet: true, ..terminal(80) }, "acme\n");
    let plan = "drops shop\n\x1b[2J";
    let done = confirm(&ui, plan, Guard::Destroy, &target(Some("prod")), &Consent::default()).unwrap();
    assert_eq!(done.confirmed().unwrap().into_plan(), plan);
    assert_eq!(
        err.text(),
        "  drops shop\n  \\u{1b}[2J\nThis may lose data of acme [prod].\nType the stack's name to go on: "
    );
}

#[test]
fn prod_is_a_red_band_in_the_question() {
    let (ui, _, err) = captured(UiOptions { color: ColorChoice::Always, ..terminal(40) }, "y\n");
    confirm(&ui, "applies 2", Guard::Change, &target(None), &consent("")).unwrap();
    assert_eq!(
        err.text(),
        "  applies 2\nGo on with \x1b[1;97;41macme [profile unknown: counts as prod]\x1b[0m? [y/N] "
    );
}

#[test]
fn a_plan_agreed_to_by_flags_is_said_and_a_reader_gets_none() {
    assert_eq!(run(Guard::Change, &[target(Some("prod"))], "--yes", None).2.text(), "  the plan\n");
    assert_eq!(run(Guard::Change, &[target(Some("dev"))], "", None).2.text(), "");
}

fn of_something_else() -> IdentityMismatch {
    IdentityMismatch { command: "envctl restore x.sql --into acme".to_owned() }
}

#[test]
fn a_backup_of_something_else_goes_into_production_only_where_the_command_names_it() {
    for profile in [Some("prod"), None] {
        let unlike = GuardTarget { unlike: Some(of_something_else()), ..target(profile) };
        let targets = std::slice::from_ref(&unlike);
        // Neither the flag nor the typed name says that something else is meant.
        for (flags, typed) in [("--confirm acme", None), ("--confirm acme --yes", None), ("", Some("acme\n"))]
        {
            let (result, _, err) = run(Guard::Destroy, targets, flags, typed);
            let refused = result.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Refused);
            assert!(refused.message().contains("is of something else than acme"), "{refused}");
            assert!(
                refused.hints()[0].contains("`envctl restore x.sql --into acme"),
                "{:?}",
                refused.hints()
            );
            assert!(err.text().contains("the plan"), "the difference stands in the plan: {}", err.text());
        }
        let (result, _, err) = run(Guard::Destroy, targets, "--dry-run", None);
        assert!(matches!(result, Ok(Decision::DryRun(_))));
        assert!(err.text().contains("without `--dry-run` this would be refused"), "{}", err.text());
        assert!(run(Guard::Change, targets, "--yes", None).0.is_ok(), "nothing comes in");
    }
}

#[test]
fn a_backup_of_something_else_has_the_stack_named_in_development_too() {
    let unlike = GuardTarget { unlike: Some(of_something_else()), ..target(Some("dev")) };
    let targets = std::slice::from_ref(&unlike);
    let refused = run(Guard::Destroy, targets, "--yes", None).0.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused);
    assert!(refused.message().contains("`--yes` is not enough for a backup of something else"), "{refused}");
    assert!(refused.hints()[0].contains("--confirm acme"), "{:?}", refused.hints());
    let silent = run(Guard::Destroy, targets, "", None).0.unwrap_err();
    assert!(silent.message().starts_with("for a backup of something else the stack has to be named"));
    assert!(run(Guard::Destroy, targets, "--confirm acme", None).0.is_ok());
    assert!(run(Guard::Destroy, targets, "", Some("acme\n")).0.is_ok());
    assert!(run(Guard::Destroy, targets, "", Some("y\n")).0.is_err());
    assert!(run(Guard::Change, targets, "", None).0.is_ok(), "nothing comes in");
}
