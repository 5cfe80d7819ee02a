//! `envctl backup check`: judges files and manifests, and needs no engine where stack and profile are named.

use std::fs;
use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::container::stack;
use crate::prune::{add, beside, stage};
use crate::stage::{Ran, Stage};

/// A stage with the backups of a stack whose engine is gone: so many hours old, newest last.
struct Nights {
    stage: Stage,
    directory: PathBuf,
    template: String,
}

impl Nights {
    fn new(hours_ago: &[i64]) -> Self {
        let (stage, directory) = stage(stack("acme-prod"), "prod");
        let mut template = String::new();
        for file in fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if file.extension().is_some_and(|extension| extension == "json") {
                template = fs::read_to_string(&file).unwrap();
            }
            fs::remove_file(file).unwrap();
        }
        let nights = Self { stage, directory, template };
        for hours in hours_ago {
            nights.add(*hours, |_| ());
        }
        nights
    }

    fn add(&self, hours_ago: i64, change: impl Fn(&mut Value)) -> PathBuf {
        let at = Timestamp::now() - SignedDuration::from_hours(hours_ago);
        add(&self.directory, &at.strftime("%Y%m%d_%H%M%S").to_string(), &self.template, |manifest| {
            manifest["started"] = json!(at.to_string());
            change(manifest);
        })
    }

    fn check(&self, more: &[&str]) -> Ran {
        let check = ["backup", "check", "-s", "acme", "--prod"];
        let gone = format!("unix://{}", self.stage.path("gone.sock").display());
        self.stage.envctl([&check, more].concat()).env("DOCKER_HOST", gone).run()
    }

    fn answer(&self, more: &[&str]) -> (Option<i32>, Value) {
        let ran = self.check(&[&["--json"], more].concat());
        let text = ran.out();
        let answer = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}{}", ran.err()));
        (ran.code, answer)
    }
}

#[test]
fn a_recent_backup_passes_without_an_engine() {
    let nights = Nights::new(&[30, 3]);
    let ran = nights.check(&[]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out(), ran.err());
    assert_eq!(ran.out(), "ok       acme prod acme: 3 h ago, 10 B, complete\n");
    assert_eq!(nights.check(&["-q"]).out(), "");
}

#[test]
fn an_old_backup_fails_with_exit_8_and_the_command_that_helps() {
    let nights = Nights::new(&[30]);
    let ran = nights.check(&[]);
    assert_eq!(ran.code, Some(8), "{}{}", ran.out(), ran.err());
    let lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
    assert!(lines[0].starts_with("problem  acme prod acme: the newest backup, backup_"), "{}", lines[0]);
    assert!(lines[0].ends_with("was made 30 h ago; the limit is 26h"), "{}", lines[0]);
    assert_eq!(lines[1].trim(), "hint: make one: `envctl backup -s acme --prod -d acme`");
    assert!(ran.err().contains("1 of 1 target breaks its limits"), "{}", ran.err());
    assert_eq!(nights.check(&["--max-age", "2d"]).code, Some(0));
    assert_eq!(nights.check(&["--max-age", "0"]).code, Some(2));
}

#[test]
fn no_backup_at_all_fails() {
    let (code, answer) = Nights::new(&[]).answer(&[]);
    assert_eq!((code, &answer["ok"]), (Some(8), &json!(false)));
    let target = &answer["targets"][0];
    assert_eq!((&target["problems"][0]["code"], &target["database"]), (&json!("no_backup"), &json!(null)));
    assert!(answer.get("error").is_none(), "the document tells the failure once");
}

#[test]
fn a_file_that_is_gone_or_cut_is_found_by_its_manifest() {
    let nights = Nights::new(&[3]);
    let cut = nights.add(1, |_| ());
    fs::write(&cut, "012345").unwrap();
    let (code, answer) = nights.answer(&[]);
    assert_eq!(code, Some(8));
    assert_eq!(answer["targets"][0]["problems"][0]["code"], "wrong_size", "{answer}");
    fs::remove_file(&cut).unwrap();
    let (code, answer) = nights.answer(&[]);
    assert_eq!(code, Some(8));
    assert_eq!(answer["targets"][0]["problems"][0]["code"], "missing", "{answer}");
    fs::remove_file(beside(&cut, ".json")).unwrap();
    assert_eq!(nights.check(&[]).code, Some(0));
}

#[test]
fn size_and_restore_test_are_judged_where_that_is_asked_for() {
    let nights = Nights::new(&[]);
    let older = nights.add(30, |manifest| manifest["stored_bytes"] = json!(20));
    fs::write(older, "0123456789".repeat(2)).unwrap();
    nights.add(3, |_| ());
    assert_eq!(nights.check(&["--min-size", "50%"]).code, Some(0));
    let small = nights.check(&["--min-size", "80%"]);
    assert_eq!(small.code, Some(8), "{}", small.out());
    assert!(small.out().contains("less than 80% of the 20 B of the backup before"), "{}", small.out());
    assert_eq!(nights.check(&["--min-size", "1k"]).code, Some(8));
    let never = nights.check(&["--verified-within", "7d"]);
    assert_eq!(never.code, Some(8), "{}", never.out());
    assert!(never.out().contains("no backup was ever restored in a test"), "{}", never.out());
    let hint = "hint: restore it in a test: `envctl backup verify --restore -s acme --prod -d acme`";
    assert!(never.out().contains(hint), "{}", never.out());
    nights.add(5, |manifest| manifest["verified"]["level"] = json!("restored"));
    let (code, answer) = nights.answer(&["--verified-within", "7d", "--min-size", "50%"]);
    assert_eq!(
        (code, &answer["verified_within"], &answer["min_size"]),
        (Some(0), &json!("7d"), &json!("50%"))
    );
}

#[test]
fn a_backup_from_the_future_is_told_and_does_not_count() {
    let nights = Nights::new(&[30, -48]);
    let ran = nights.check(&[]);
    assert_eq!(ran.code, Some(8), "{}", ran.out());
    assert!(ran.out().contains("in the future and does not count"), "{}", ran.out());
}

#[test]
fn a_file_without_a_manifest_that_is_newer_is_told() {
    let nights = Nights::new(&[3]);
    let bare = nights.add(1, |_| ());
    fs::remove_file(beside(&bare, ".json")).unwrap();
    let ran = nights.check(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("does not count: no manifest"), "{}", ran.err());
}

#[test]
fn metrics_are_printed_whatever_the_exit_code() {
    let nights = Nights::new(&[30]);
    let ran = nights.check(&["--prometheus"]);
    assert_eq!(ran.code, Some(8), "{}", ran.err());
    let labels = "{stack=\"acme\",profile=\"prod\",service=\"\",database=\"acme\"}";
    assert!(ran.out().contains(&format!("\nenvctl_backup_healthy{labels} 0\n")), "{}", ran.out());
    assert!(ran.out().contains(&format!("\nenvctl_backup_newest_size_bytes{labels} 10\n")), "{}", ran.out());
    assert!(ran.out().ends_with('\n') && ran.out().starts_with("# HELP envctl_backup_healthy "));
    assert_eq!(nights.check(&["--prometheus", "--json"]).code, Some(2));
}

#[test]
fn every_stack_is_checked_where_several_are_meant() {
    let nights = Nights::new(&[3]);
    let ran = nights.stage.run(["backup", "check", "--all-stacks", "--json"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out(), ran.err());
    let other: &Path = &nights.stage.path("elsewhere");
    let empty =
        nights.stage.envctl(["backup", "check", "--all-stacks"]).env("ENVCTL_BACKUP_DIR", other).run();
    assert_eq!(empty.code, Some(8), "{}{}", empty.out(), empty.err());
    assert!(empty.out().contains("hint: make one: `envctl backup -s acme --prod`"), "{}", empty.out());
}
