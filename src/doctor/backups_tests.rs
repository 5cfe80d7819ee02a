//! Backup directories, and what is said of them.

use super::*;
use crate::doctor::Severity;
use crate::repository::manifest::path_for;
use crate::repository::manifest::tests::sample;
use crate::repository::name::Label;

const NOW: &str = "2026-01-02T06:00:00Z";
const DAY: Duration = Duration::from_hours(24);

/// A directory with backups of these names, each with a manifest that `change` may bend.
fn seen(names: &[&str], change: impl Fn(&mut Manifest)) -> (tempfile::TempDir, Catalog) {
    let home = tempfile::tempdir().unwrap();
    let catalog = Catalog::new(home.path(), "acme", Some("prod"));
    std::fs::create_dir_all(catalog.directory()).unwrap();
    for name in names {
        let path = catalog.directory().join(name);
        std::fs::write(&path, "0123456789").unwrap();
        let mut manifest = sample();
        manifest.started = Label::of_file(name).unwrap().timestamp();
        change(&mut manifest);
        std::fs::write(path_for(&path), manifest.to_json()).unwrap();
    }
    (home, catalog)
}

fn target() -> Identity {
    Identity {
        stack: "acme".into(),
        profile: Some("prod".into()),
        database: Some("acme".into()),
        ..Identity::default()
    }
}

fn found(seen: &BackupReport, prod: bool) -> Vec<CheckFinding> {
    judge(seen, &StackPlace::sample(prod), true, Some(DAY), NOW.parse().unwrap())
}

#[test]
fn the_age_of_the_last_one_counts_in_production() {
    for (name, prod, severity, text) in [
        ("backup_20260102_030000.sql.gz", true, Severity::Ok, "3 h ago (10 B)"),
        ("backup_20251230_030000.sql.gz", true, Severity::Warning, "`migrations.backup_age`"),
        ("backup_20251230_030000.sql.gz", false, Severity::Ok, "3 d ago"),
    ] {
        let (_home, catalog) = seen(&[name], |_| ());
        let findings = found(&look(&catalog, target(), true).unwrap(), prod);
        let [one] = &findings[..] else { panic!("{findings:?}") };
        assert_eq!(one.severity, severity, "{one:?}");
        assert!(one.what.contains(text), "{one:?}");
    }
}

#[test]
fn none_is_a_problem_in_production_and_a_note_elsewhere() {
    let (_home, catalog) = seen(&[], |_| ());
    for (prod, severity, command) in
        [(true, Severity::Problem, "`envctl backup -s acme --prod`"), (false, Severity::Note, "--dev`")]
    {
        let findings = found(&look(&catalog, target(), true).unwrap(), prod);
        assert_eq!(findings[0].severity, severity);
        assert!(findings[0].what.contains("there is no backup in"), "{findings:?}");
        assert!(findings[0].next[0].contains(command), "{findings:?}");
    }
    let nothing_to_back_up = judge(
        &look(&catalog, target(), true).unwrap(),
        &StackPlace::sample(true),
        false,
        None,
        NOW.parse().unwrap(),
    );
    assert_eq!(nothing_to_back_up, []);
}

#[test]
fn one_that_a_restore_made_or_that_is_partial_is_none() {
    for change in [
        (|m: &mut Manifest| m.purpose = Purpose::PreRestore) as fn(&mut Manifest),
        |m| m.whole = false,
        |m| m.verified.level = VerificationLevel::None,
    ] {
        let (_home, catalog) = seen(&["backup_20260102_030000.sql.gz"], change);
        let findings = found(&look(&catalog, target(), true).unwrap(), true);
        assert!(findings[0].what.contains("there is no backup of database acme besides 1 "), "{findings:?}");
    }
}

#[test]
fn files_that_are_not_to_be_trusted_are_named() {
    let names = ["01", "02", "03", "04"].map(|hour| format!("backup_20260102_{hour}0000.sql.gz"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (_home, catalog) = seen(&names, |m| m.stored_bytes = 11);
    let findings = found(&look(&catalog, target(), true).unwrap(), true);
    assert_eq!(findings[0].severity, Severity::Warning);
    let what = &findings[0].what;
    assert!(what.contains("backup_20260102_040000.sql.gz: 10 bytes where the manifest says 11"), "{what}");
    assert!(what.contains("and 1 more"), "{what}");
}

#[test]
fn an_unfinished_file_of_the_dead_is_removed_and_one_that_is_written_stays() {
    let (_home, catalog) = seen(&[], |_| ());
    let dead = catalog.directory().join(".backup_20260102_030000.sql.gz.0123abcd.partial");
    let alive = catalog.directory().join(".backup_20260102_040000.sql.gz.4567abcd.partial");
    std::fs::write(&dead, "x").unwrap();
    let writer = std::fs::File::create(&alive).unwrap();
    writer.lock().unwrap();
    let only_seen = look(&catalog, target(), true).unwrap();
    let finding = &found(&only_seen, true)[0];
    assert_eq!(
        (finding.severity, finding.next[0].as_str()),
        (Severity::Warning, "remove it: `envctl doctor`")
    );
    assert!(dead.exists());
    let removed = look(&catalog, target(), false).unwrap();
    assert_eq!(removed.partial, [dead.as_path()]);
    assert_eq!(found(&removed, true)[0].severity, Severity::Note);
    assert!(!dead.exists() && alive.exists());
}

#[test]
fn a_disk_that_the_next_backup_may_not_fit_on_is_told() {
    let (_home, catalog) = seen(&["backup_20260102_030000.sql.gz"], |_| ());
    let mut seen = look(&catalog, target(), true).unwrap();
    for (free, severity) in [
        (Some(9), Some(Severity::Problem)),
        (Some(19), Some(Severity::Warning)),
        (Some(20), None),
        (None, None),
    ] {
        seen.free = free;
        let findings = found(&seen, true);
        assert_eq!(findings.get(1).map(|finding| finding.severity), severity, "{free:?}: {findings:?}");
    }
}

#[test]
fn the_backup_of_another_database_is_not_the_last_one() {
    let (_home, catalog) = seen(&["backup_20260102_030000.sql.gz"], |m| m.database = "h1".into());
    let finding = &found(&look(&catalog, target(), true).unwrap(), true)[0];
    assert_eq!(finding.severity, Severity::Problem);
    assert!(finding.what.contains("of database acme besides 1 other backup"), "{}", finding.what);
}

#[test]
fn an_empty_newest_backup_of_a_database_that_is_not_empty_is_found() {
    let (_home, catalog) = seen(&["backup_20260102_030000.sql.gz"], |m| {
        m.tables.clear();
        m.entries.clear();
    });
    let mut seen = look(&catalog, target(), true).unwrap();
    assert_eq!(found(&seen, true)[0].severity, Severity::Ok, "an empty database has an empty backup");
    seen.about.holds = true;
    let findings = found(&seen, true);
    let finding = findings.iter().find(|finding| finding.what.contains("is empty, and the database is not"));
    assert_eq!(finding.unwrap().severity, Severity::Problem, "{findings:?}");
}

#[test]
fn production_backups_on_the_disk_of_the_data_are_told() {
    let (_home, catalog) = seen(&["backup_20260102_030000.sql.gz"], |_| ());
    let mut seen = look(&catalog, target(), true).unwrap();
    let own = seen.device;
    assert!(own.is_some());
    let told = |seen: &BackupReport, prod| {
        let findings = found(seen, prod);
        let same = findings.iter().find(|finding| finding.what.contains("on the same disk as the data"));
        same.map(|finding| finding.severity)
    };
    assert_eq!(told(&seen, true), None, "where the data lies is not known");
    seen.about.device = own.map(|device| device + 1);
    assert_eq!(told(&seen, true), None, "on another disk");
    seen.about.device = own;
    assert_eq!(told(&seen, true), Some(Severity::Warning));
    assert_eq!(told(&seen, false), None, "in development");
    seen.about.has_stores = true;
    assert_eq!(told(&seen, true), None, "stores have copies");
    seen.about.has_stores = false;
    seen.backups.clear();
    assert_eq!(told(&seen, true), None, "no backup at all is told, and that is enough");
}

#[test]
fn an_opening_counts_for_the_recipients_of_the_last_backup_alone() {
    use crate::repository::private_part::Encryption;
    let names = ["backup_20260101_030000.sql.gz", "backup_20260102_030000.sql.gz"];
    for (last_to, severity) in [("age1old", Severity::Ok), ("age1new", Severity::Warning)] {
        let (_home, catalog) = seen(&names, |manifest| {
            let is_last = manifest.started == Label::of_file(names[1]).unwrap().timestamp();
            let to = if is_last { last_to } else { "age1old" };
            manifest.verified.opened_at = (!is_last).then(|| NOW.parse().unwrap());
            manifest.encryption =
                Some(Encryption { recipients: vec![to.into()], private: String::new(), opened: true });
        });
        let findings = found(&look(&catalog, target(), true).unwrap(), true);
        let told = findings.iter().find(|one| one.check == "encryption").unwrap();
        assert_eq!(told.severity, severity, "{told:?}");
    }
}
