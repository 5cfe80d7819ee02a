//! `envctl backup prune`, `pin` and `unpin`: what is shown, what is asked, what is removed and what is left.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::container::{Container, stack};
use crate::dumps::{DUMP, pg_dump};
use crate::postgres::Server;
use crate::stage::{Ran, Stage};

const NIGHTS: [&str; 5] =
    ["20260101_020000", "20260102_020000", "20260103_020000", "20260104_020000", "20260105_020000"];

/// A stage with one backup for each of the nights, and the directory in which they lie.
pub(crate) fn stage(containers: Vec<Container>, profile: &str) -> (Stage, PathBuf) {
    let stage = Stage::with(containers);
    stage.engine.install("*", "psql", Server::new().psql());
    stage.engine.install("*", "pg_dump", pg_dump(DUMP));
    let directory = stage.path(&format!(".local/share/envctl/backups/acme/{profile}"));
    let template = stage.run(["backup", "-q", "-s", "acme"]);
    assert_eq!(template.code, Some(0), "{}", template.err());
    let made = PathBuf::from(template.out().trim().replace('~', &stage.path("").display().to_string()));
    let manifest = fs::read_to_string(beside(&made, ".json")).unwrap();
    for file in [made.clone(), beside(&made, ".json")] {
        fs::remove_file(file).unwrap();
    }
    for night in NIGHTS {
        add(&directory, night, &manifest, |_| ());
    }
    (stage, directory)
}

fn dev() -> (Stage, PathBuf) {
    stage(stack("acme-dev"), "dev")
}

pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    format!("{}{ending}", path.display()).into()
}

/// Writes a backup whose manifest is that of another one, for another moment. A changed manifest has no valid MAC.
pub(crate) fn add(directory: &Path, night: &str, template: &str, change: impl Fn(&mut Value)) -> PathBuf {
    let path = directory.join(name(night));
    fs::write(&path, "0123456789").unwrap();
    let mut manifest: Value = serde_json::from_str(template).unwrap();
    manifest.as_object_mut().unwrap().remove("mac");
    manifest["stored_bytes"] = json!(10);
    let (day, time) = night.split_once('_').unwrap();
    let moment = format!("{}-{}-{}T{}:00:00Z", &day[..4], &day[4..6], &day[6..], &time[..2]);
    manifest["started"] = json!(moment);
    manifest["operation"] = json!(format!("{night:0<16}").replace('_', "0"));
    change(&mut manifest);
    fs::write(beside(&path, ".json"), serde_json::to_string_pretty(&manifest).unwrap()).unwrap();
    path
}

fn name(night: &str) -> String {
    format!("backup_{night}.sql.gz")
}

/// Names of the backups that have a manifest.
fn pairs(directory: &Path) -> Vec<String> {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let described = names.filter_map(|name| name.strip_suffix(".json").map(str::to_owned));
    let mut names: Vec<String> = described.filter(|name| directory.join(name).exists()).collect();
    names.sort();
    names
}

fn named(nights: &[&str]) -> Vec<String> {
    nights.iter().map(|night| name(night)).collect()
}

fn answer(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out()).unwrap_or_else(|_| panic!("a document: {}{}", ran.out(), ran.err()))
}

#[test]
fn without_apply_a_plan_is_shown_and_nothing_is_removed() {
    let (stage, directory) = dev();
    let ran = stage.run(["backup", "prune", "--keep-daily", "2"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(pairs(&directory), named(&NIGHTS));
    let lines: Vec<String> =
        ran.out().lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines.len(), 6, "{}", ran.out());
    assert!(lines[1].starts_with("keep backup_20260105_020000.sql.gz"), "{}", lines[1]);
    assert!(lines[1].ends_with("newest verified, daily 1 of 2"), "{}", lines[1]);
    assert!(lines[3].starts_with("remove backup_20260103") && lines[3].ends_with("no rule keeps it"));
    assert!(
        ran.err().contains(
            "would remove 3 of 5 backups, 30 B; nothing was removed: \
             `envctl backup prune --keep-daily 2 --apply --dev`"
        ),
        "{}",
        ran.err()
    );
    // Whoever says both wants to see.
    let ran = stage.run(["backup", "prune", "--keep-daily", "2", "--apply", "--yes", "--dry-run"]);
    assert_eq!((ran.code, pairs(&directory).len()), (Some(0), 5), "{}", ran.err());
}

#[test]
fn apply_removes_backups_with_their_manifests_and_a_second_run_nothing_more() {
    let (stage, directory) = dev();
    let ran = stage.run(["backup", "prune", "--keep-last", "2", "--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("3 backups removed, 30 B"), "{}", ran.err());
    assert!(ran.out().contains("removed"), "{}", ran.out());
    assert_eq!(pairs(&directory), named(&NIGHTS[3..]));
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 4, "nothing else is left");
    let ran = stage.run(["backup", "prune", "--keep-last", "2", "--apply"]);
    assert_eq!(ran.code, Some(0), "what removes nothing asks nothing: {}", ran.err());
    assert_eq!(pairs(&directory), named(&NIGHTS[3..]));
}

#[test]
fn an_empty_policy_is_refused_with_a_whole_command() {
    let (stage, directory) = dev();
    for arguments in
        [vec!["backup", "prune"], vec!["backup", "prune", "--keep-daily", "0", "--apply", "--yes"]]
    {
        let ran = stage.run(arguments);
        assert_eq!(ran.code, Some(2), "{}", ran.err());
        let hint = "`envctl backup prune --keep-daily 7 --keep-weekly 4 --keep-monthly 12 --dev`";
        assert!(ran.err().contains(hint), "{}", ran.err());
    }
    assert_eq!(pairs(&directory).len(), 5);
    let ran = stage.run(["backup", "prune", "--keep-within", "6m"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("6mo"), "{}", ran.err());
}

#[test]
fn rules_of_the_file_hold_until_an_option_says_otherwise() {
    let (stage, _) = dev();
    let file = "[backup.keep]\nlast = 4\ntime_zone = \"Europe/Berlin\"\n";
    stage.write(".config/envctl/config.toml", file);
    let kept = |arguments: &[&str]| {
        let ran = stage.run([&["backup", "prune", "--json"], arguments].concat());
        assert_eq!(ran.code, Some(0), "{}{}", ran.out(), ran.err());
        let answer = answer(&ran);
        assert_eq!(answer["applied"], false);
        (answer["kept"].as_u64().unwrap(), answer["time_zone"].as_str().unwrap().to_owned())
    };
    assert_eq!(kept(&[]), (4, "Europe/Berlin".to_owned()));
    assert_eq!(kept(&["--keep-last", "1", "--time-zone", "UTC"]), (1, "UTC".to_owned()));
    let ran = stage.envctl(["backup", "prune", "--json"]).env("ENVCTL_KEEP_LAST", "3").run();
    assert_eq!(answer(&ran)["kept"], 3);
    let backups = answer(&ran)["backups"].clone();
    assert_eq!((&backups[0]["action"], &backups[4]["action"]), (&json!("keep"), &json!("remove")));
    assert_eq!(backups[0]["reasons"], json!(["newest verified", "last 1 of 3"]));
}

#[test]
fn development_asks_and_production_wants_its_name() {
    let (stage, directory) = dev();
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--apply"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("remove 4 of 5 backups") && ran.err().contains("--yes"), "{}", ran.err());
    assert_eq!(pairs(&directory).len(), 5);

    let (stage, directory) = self::stage(stack("acme-prod"), "prod");
    let prune =
        |more: &[&str]| stage.run([&["backup", "prune", "--keep-last", "1", "--apply"], more].concat());
    let ran = prune(&["--yes"]);
    assert_eq!(ran.code, Some(6), "{}", ran.err());
    assert!(ran.err().contains("--confirm acme"), "{}", ran.err());
    assert_eq!(pairs(&directory).len(), 5);
    // Both names given: the engine is asked all the same.
    let ran = prune(&["-s", "acme", "--prod", "--confirm", "acme"]);
    assert_eq!((ran.code, pairs(&directory)), (Some(0), named(&NIGHTS[4..])), "{}", ran.err());
}

#[test]
fn backups_of_a_protected_stack_stay() {
    let mut containers = stack("acme-dev");
    let last = containers.pop().unwrap().label("envctl.protected", "true");
    containers.push(last);
    let containers: Vec<Container> =
        containers.into_iter().map(|container| container.label("envctl.protected", "true")).collect();
    let (stage, directory) = stage(containers, "dev");
    for names in [&[][..], &["-s", "acme", "--dev"]] {
        let ran = stage.run([&["backup", "prune", "--keep-last", "1", "--apply", "--yes"], names].concat());
        assert_eq!(ran.code, Some(6), "{}", ran.err());
        assert!(ran.err().contains("protected"), "{}", ran.err());
    }
    assert_eq!(pairs(&directory).len(), 5);
}

#[test]
fn files_without_a_manifest_and_files_of_others_are_not_touched() {
    let (stage, directory) = dev();
    fs::remove_file(directory.join(format!("{}.json", name(NIGHTS[0])))).unwrap();
    fs::write(directory.join(format!("{}.json", name(NIGHTS[1]))), "{").unwrap();
    fs::write(directory.join(name(NIGHTS[2])), "another size").unwrap();
    fs::write(directory.join("notes.txt"), "mine").unwrap();
    std::os::unix::fs::symlink(directory.join("notes.txt"), directory.join(name("20250101_000000"))).unwrap();
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    for night in &NIGHTS[..3] {
        assert!(directory.join(name(night)).exists(), "{night}");
    }
    assert!(!directory.join(name(NIGHTS[3])).exists());
    assert!(directory.join("notes.txt").exists() && directory.join(name("20250101_000000")).is_symlink());
    assert!(ran.out().contains("no manifest"), "{}", ran.out());
}

#[test]
fn a_pinned_backup_stays_and_is_listed_as_pinned() {
    let (stage, directory) = dev();
    let pin = stage.run(["backup", "pin", &name(NIGHTS[0]), "--reason", "before the audit"]);
    assert_eq!(pin.code, Some(0), "{}", pin.err());
    assert!(pin.out().trim().ends_with(&name(NIGHTS[0])), "{}", pin.out());
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(pairs(&directory), named(&[NIGHTS[0], NIGHTS[4]]));
    let listed = stage.run(["backup", "list"]);
    assert!(listed.out().contains("complete, pinned"), "{}", listed.out());
    let shown = stage.run(["backup", "show", &name(NIGHTS[0])]);
    assert!(shown.out().contains("pinned") && shown.out().contains("before the audit"), "{}", shown.out());
    let shown = answer(&stage.run(["backup", "show", &name(NIGHTS[0]), "--json"]));
    assert_eq!(shown["pin"]["reason"], "before the audit");
    let unpin = stage.run(["backup", "unpin", &name(NIGHTS[0])]);
    assert_eq!(unpin.code, Some(0), "{}", unpin.err());
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--apply", "--yes"]);
    assert_eq!((ran.code, pairs(&directory)), (Some(0), named(&NIGHTS[4..])), "{}", ran.err());
    assert_eq!(stage.run(["backup", "pin", "backup_nowhere"]).code, Some(3));
}

#[test]
fn a_backup_that_lost_its_rows_pushes_nothing_out_until_that_is_accepted() {
    let (stage, directory) = dev();
    let manifest = fs::read_to_string(directory.join(format!("{}.json", name(NIGHTS[0])))).unwrap();
    let fallen = "20260106_020000";
    add(&directory, fallen, &manifest, |manifest| manifest["tables"][0]["rows"] = json!(0));
    let plan = || stage.run(["backup", "prune", "--keep-last", "1", "--json"]);
    let backups = answer(&plan())["backups"].clone();
    assert_eq!(backups[0]["reasons"], json!(["does not count: rows fell from 2 to 0"]));
    assert_eq!(backups[1]["reasons"], json!(["newest verified", "last 1 of 1", "last before the rows fell"]));
    let ran = stage.run(["backup", "prune", "--keep-last", "1"]);
    assert!(
        ran.err().contains("less than half as much") && ran.err().contains("--accept-rows"),
        "{}",
        ran.err()
    );
    let pin = stage.run(["backup", "pin", &name(fallen), "--accept-rows"]);
    assert_eq!(pin.code, Some(0), "{}", pin.err());
    assert_eq!(answer(&plan())["kept"], 1);
}

#[test]
fn a_manifest_that_was_changed_counts_for_nothing() {
    let (stage, directory) = dev();
    let ran = stage.run(["backup", "-q"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let made = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path());
    let manifest = made.filter(|path| path.extension().is_some_and(|e| e == "json")).max().unwrap();
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains("\"mac\""));
    fs::write(&manifest, text.replace("\"duration_ms\": ", "\"duration_ms\": 1")).unwrap();
    let answer = answer(&stage.run(["backup", "prune", "--keep-last", "1", "--json"]));
    let reasons = answer["backups"][0]["reasons"].to_string();
    assert!(reasons.contains("changed after it was written"), "{reasons}");
    assert_eq!((&answer["kept"], &answer["removed"]), (&json!(2), &json!(4)));
}

#[test]
fn one_prune_at_a_time_works_in_a_directory() {
    let (stage, directory) = dev();
    let held = fs::File::open(&directory).unwrap();
    held.lock().unwrap();
    let prune = ["backup", "prune", "--keep-last", "1", "--apply", "--yes", "--lock-timeout", "0s"];
    let ran = stage.run(prune);
    assert_eq!(ran.code, Some(5), "{}", ran.err());
    assert_eq!(pairs(&directory).len(), 5);
    assert_eq!(stage.run(["backup", "prune", "--keep-last", "1"]).code, Some(0), "a plan needs no lock");
    drop(held);
    assert_eq!(stage.run(prune).code, Some(0));
    assert_eq!(pairs(&directory).len(), 1);
}

#[test]
fn a_backup_that_is_being_read_stays_and_the_others_go() {
    let (stage, directory) = dev();
    let reading = fs::File::open(directory.join(name(NIGHTS[1]))).unwrap();
    reading.lock_shared().unwrap();
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--apply", "--yes"]);
    assert_eq!(ran.code, Some(5), "{}", ran.err());
    assert!(ran.err().contains(&name(NIGHTS[1])) && ran.err().contains("is being read"), "{}", ran.err());
    assert_eq!(pairs(&directory), named(&[NIGHTS[1], NIGHTS[4]]));
}

#[test]
fn a_manifest_whose_backup_is_gone_is_told_and_left() {
    let (stage, directory) = dev();
    fs::remove_file(directory.join(name(NIGHTS[2]))).unwrap();
    let ran = stage.run(["backup", "prune", "--keep-last", "9"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("describes a backup that is not there"), "{}", ran.err());
    assert_eq!(stage.run(["backup", "list"]).out().lines().count(), 5);
}

#[test]
fn several_stacks_are_pruned_each_by_itself() {
    let (stage, directory) = stage(stack("acme-dev").into_iter().chain(stack("shop-dev")).collect(), "dev");
    let other = stage.path(".local/share/envctl/backups/shop/dev");
    fs::create_dir_all(&other).unwrap();
    let manifest = fs::read_to_string(directory.join(format!("{}.json", name(NIGHTS[0])))).unwrap();
    for night in &NIGHTS[..3] {
        add(&other, night, &manifest, |manifest| manifest["source"]["stack"] = json!("shop"));
    }
    let prune = |more: &[&str]| {
        stage.run([&["backup", "prune", "--all-stacks", "--dev", "--keep-last", "2"], more].concat())
    };
    let ran = prune(&[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("remove 3 of 5 backups") && ran.out().contains("remove 1 of 3 backups"));
    assert_eq!((pairs(&directory).len(), pairs(&other).len()), (5, 3));
    let ran = prune(&["--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!((pairs(&directory).len(), pairs(&other).len()), (2, 2), "{}", ran.out());
}

#[test]
fn ten_thousand_backups_are_listed_and_planned_in_moments() {
    let (stage, directory) = dev();
    let manifest = fs::read_to_string(directory.join(format!("{}.json", name(NIGHTS[0])))).unwrap();
    for number in 0..10_000 {
        let night = format!(
            "2025{:02}{:02}_{:02}{:02}00",
            number / 840 + 1,
            number / 30 % 28 + 1,
            number % 24,
            number % 60
        );
        let day = format!(
            "{}-{}-{}T{}:{}:00Z",
            &night[..4],
            &night[4..6],
            &night[6..8],
            &night[9..11],
            &night[11..13]
        );
        fs::write(directory.join(name(&night)), "0123456789").unwrap();
        fs::write(
            directory.join(format!("{}.json", name(&night))),
            manifest.replace("2026-01-01T02:00:00Z", &day),
        )
        .unwrap();
    }
    for verb in [&["backup", "list", "--json"][..], &["backup", "prune", "--keep-daily", "7", "--json"]] {
        let started = Instant::now();
        let ran = stage.run(verb);
        let took = started.elapsed();
        assert_eq!(ran.code, Some(0), "{}", ran.err());
        // A debug build on a loaded machine: the bound of a release build is a second.
        assert!(took < Duration::from_secs(20), "{verb:?}: {took:?}");
    }
}

/// The rules, pins and judgments of backups in a store.
#[test]
fn a_store_is_pruned_by_rules_of_its_own() {
    let (stage, directory) = dev();
    let store = stage.path("store");
    let url = format!("file://{}", store.display());
    let home = store.join("acme").join("dev");
    fs::create_dir_all(&home).unwrap();
    let upload = |night: &str| {
        let path = directory.join(name(night));
        let manifest = fs::read_to_string(beside(&path, ".json")).unwrap();
        let operation =
            serde_json::from_str::<Value>(&manifest).unwrap()["operation"].as_str().unwrap().to_owned();
        fs::copy(&path, home.join(format!("{}.{operation}", name(night)))).unwrap();
        fs::write(home.join(format!("{}.json", name(night))), manifest).unwrap();
    };
    for night in &NIGHTS[..4] {
        upload(night);
    }
    let in_store = || {
        let files =
            fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> =
            files.filter_map(|name| name.strip_suffix(".json").map(str::to_owned)).collect();
        names.sort();
        names
    };
    // The rules of directories would empty a store.
    stage.write(".config/envctl/config.toml", "[backup.keep]\nlast = 1\n");
    let ran = stage.run(["backup", "prune", "--store", &url, "--apply", "--yes"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("[backup.keep_in_stores]"), "{}", ran.err());
    let rules = "[backup.keep]\nlast = 1\n[backup.keep_in_stores]\nlast = 3\n";
    stage.write(".config/envctl/config.toml", rules);
    let ran = stage.run(["backup", "prune", "--store", &url]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.err().contains("would remove 1 of 4 backups"), "{}", ran.err());
    assert!(
        ran.err().contains(&format!("`envctl backup prune --store {url} --apply --dev`")),
        "{}",
        ran.err()
    );
    assert_eq!(in_store().len(), 4);

    let pin = stage.run(["backup", "pin", &name(NIGHTS[0]), "--store", &url, "--reason", "audit"]);
    assert_eq!(pin.code, Some(0), "{}", pin.err());
    assert!(pin.out().contains(&url), "{}", pin.out());
    let shown = stage.run(["backup", "show", &name(NIGHTS[0]), "--store", &url]);
    assert!(shown.out().contains("audit"), "{}", shown.out());
    let prune = ["backup", "prune", "--store", &url, "--apply", "--yes", "--keep-last", "2"];
    let ran = stage.run(prune);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(in_store(), named(&[NIGHTS[0], NIGHTS[2], NIGHTS[3]]));
    assert_eq!(pairs(&directory), named(&NIGHTS), "the directory has its own rules");
    let unpin = stage.run(["backup", "unpin", &name(NIGHTS[0]), "--store", &url]);
    assert_eq!(unpin.code, Some(0), "{}", unpin.err());
    let ran = stage.run(["backup", "prune", "--all-stacks", "--dev", "--store", &url, "--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert_eq!(in_store(), named(&[NIGHTS[0], NIGHTS[2], NIGHTS[3]]), "last = 3");
    assert_eq!(stage.run(prune).code, Some(0));
    assert_eq!(in_store(), named(&NIGHTS[2..4]));
    let files = fs::read_dir(&home).unwrap().count();
    assert_eq!(files, 4, "dumps, manifests and nothing else");

    let status = answer(&stage.run(["status", "--store", &url, "--json"]));
    let last = status["stacks"][0]["last_backup"]["path"].as_str().unwrap().to_owned();
    assert_eq!(last, format!("{url}/acme/dev/{}", name(NIGHTS[3])));
    let check = |more: &[&str]| stage.run([&["backup", "check", "--store", &url], more].concat());
    let ran = check(&["--max-age", "3000d"]);
    assert_eq!(ran.code, Some(0), "{}{}", ran.out(), ran.err());
    let ran = check(&["--max-age", "1d"]);
    assert_eq!(ran.code, Some(8), "{}", ran.err());
    assert!(ran.out().contains(&format!("envctl backup --store {url} -s acme --dev")), "{}", ran.out());
    let dump = fs::read_dir(&home).unwrap().map(|entry| entry.unwrap().path());
    let newest = dump.filter(|path| path.extension().is_some_and(|e| e != "json")).max().unwrap();
    fs::remove_file(newest).unwrap();
    let ran = check(&["--max-age", "3000d", "--json"]);
    assert_eq!(ran.code, Some(8), "{}", ran.err());
    assert_eq!(answer(&ran)["targets"][0]["problems"][0]["code"], "missing", "{}", ran.out());
    let ran = stage.run(["backup", "prune", "--store", &url, "--keep-last", "1"]);
    assert!(ran.err().contains("describes a backup that is not there"), "{}", ran.err());
}

#[test]
fn a_backup_stays_until_each_store_has_its_copy() {
    let (stage, directory) = dev();
    let store = stage.path("store");
    let prune = ["backup", "prune", "--keep-last", "1", "--apply", "--yes"];
    let rules = "[backup.keep]\nuntil_copied = true\n";
    stage.write(".config/envctl/config.toml", rules);
    let ran = stage.run(prune);
    assert_eq!(ran.code, Some(2), "{}", ran.err());
    assert!(ran.err().contains("backup.stores"), "{}", ran.err());
    stage.write(
        ".config/envctl/config.toml",
        &format!("[backup]\nstores = ['file://{}']\n{rules}", store.display()),
    );
    let ran = stage.run(["backup", "-q"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let ran = stage.run(["backup", "-q"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    let ran = stage.run(prune);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("no copy in file://"), "{}", ran.out());
    assert_eq!(pairs(&directory).len(), NIGHTS.len() + 1, "the one of the two that has a copy is gone");
    // A store that cannot be asked vouches for nothing.
    fs::remove_dir_all(&store).unwrap();
    fs::write(&store, "a file").unwrap();
    let ran = stage.run(["backup", "prune", "--keep-last", "1", "--keep-until-copied", "--apply", "--yes"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err());
    assert!(ran.out().contains("no copy confirmed in file://"), "{}", ran.out());
    assert_eq!(pairs(&directory).len(), NIGHTS.len() + 1);
}
