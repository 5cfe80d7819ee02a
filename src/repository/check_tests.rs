//! Judgments of `backup check`, as a table.

use jiff::Timestamp;

use super::check::{CheckItem, CheckLimits, CheckedDatabase, judge};
use super::manifest::VerificationLevel;
use crate::config::check_limits::{AgeLimit, SizeLimit};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-11-30T12:00:00Z")
}

/// A backup of database `app` that can be relied on.
fn item(started: &str) -> CheckItem {
    let name = format!("backup_{}.sql.gz", started.replace(['-', ':'], ""));
    CheckItem {
        path: name.clone().into(),
        name,
        started: at(started),
        duration_ms: 1000,
        service: "db".into(),
        database: Some("app".into()),
        databases: Vec::new(),
        kind: "plain gzip:4".into(),
        counts: true,
        verified: VerificationLevel::Complete,
        verified_at: at(started),
        rows: Some(3),
        stored_bytes: 1000,
        file_bytes: Some(1000),
        altered: false,
    }
}

fn with(started: &str, change: impl FnOnce(&mut CheckItem)) -> CheckItem {
    let mut item = item(started);
    change(&mut item);
    item
}

fn limits() -> CheckLimits {
    CheckLimits { max_age: AgeLimit::parse("26h").unwrap(), min_size: None, verified_within: None }
}

fn shown(judged: &[CheckedDatabase]) -> Vec<String> {
    let keywords = |target: &CheckedDatabase| {
        target.problems.iter().map(|problem| problem.keyword().to_owned()).collect::<Vec<_>>().join("+")
    };
    judged
        .iter()
        .map(|target| format!("{}:{}", target.database.as_deref().unwrap_or("*"), keywords(target)))
        .collect()
}

const LAST_NIGHT: &str = "2026-11-30T02:00:00Z";
const NIGHT_BEFORE: &str = "2026-11-29T02:00:00Z";

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn each_fault_of_the_newest_backup_is_told() {
    let all = |item: &mut CheckItem, databases: &[&str]| {
        item.database = None;
        item.databases = databases.iter().map(|name| (*name).to_owned()).collect();
    };
    let sized = |bytes: u64| {
        with(LAST_NIGHT, |item| {
            item.stored_bytes = bytes;
            item.file_bytes = Some(bytes);
        })
    };
    let restored = |at_night: &str| {
        with(NIGHT_BEFORE, |item| {
            item.verified = VerificationLevel::Restored;
            item.verified_at = at(at_night);
        })
    };
    let percent = || CheckLimits { min_size: Some(SizeLimit::Percent(80)), ..limits() };
    let least = || CheckLimits { min_size: Some(SizeLimit::Bytes(1001)), ..limits() };
    let tested = || CheckLimits { verified_within: Some(AgeLimit::parse("7d").unwrap()), ..limits() };
    let table: Vec<(&str, Vec<CheckItem>, CheckLimits, &[&str])> = vec![
        ("recent", vec![item(LAST_NIGHT)], limits(), &["app:"]),
        ("at the limit", vec![item("2026-11-29T10:00:00Z")], limits(), &["app:"]),
        ("a second older", vec![item("2026-11-29T09:59:59Z")], limits(), &["app:old"]),
        ("nothing", vec![], limits(), &["*:no_backup"]),
        ("only a safety backup", vec![with(LAST_NIGHT, |i| i.counts = false)], limits(), &["*:no_backup"]),
        (
            "a safety backup does not hide that the nightly ones stopped",
            vec![with(LAST_NIGHT, |i| i.counts = false), item("2026-11-20T02:00:00Z")],
            limits(),
            &["app:old"],
        ),
        (
            "the file of the newest is gone",
            vec![with(LAST_NIGHT, |i| i.file_bytes = None), item(NIGHT_BEFORE)],
            limits(),
            &["app:missing+old"],
        ),
        (
            "the file of the newest was cut, and the one before is recent enough",
            vec![with(LAST_NIGHT, |i| i.file_bytes = Some(999)), item("2026-11-29T20:00:00Z")],
            limits(),
            &["app:wrong_size"],
        ),
        (
            "not verified",
            vec![with(LAST_NIGHT, |i| i.verified = VerificationLevel::None)],
            limits(),
            &["app:no_backup"],
        ),
        (
            "a changed manifest vouches for nothing",
            vec![with(LAST_NIGHT, |i| i.altered = true), item("2026-11-29T20:00:00Z")],
            limits(),
            &["app:"],
        ),
        (
            "one from the future counts for nothing",
            vec![item("2026-12-05T02:00:00Z"), item("2026-11-20T02:00:00Z")],
            limits(),
            &["app:old"],
        ),
        ("a clock that is a little ahead", vec![item("2026-11-30T12:04:00Z")], limits(), &["app:"]),
        ("80 percent", vec![sized(800), item(NIGHT_BEFORE)], percent(), &["app:"]),
        ("less than 80 percent", vec![sized(799), item(NIGHT_BEFORE)], percent(), &["app:small"]),
        ("no backup before", vec![sized(1)], percent(), &["app:"]),
        (
            "another compression is not compared",
            vec![sized(1), with(NIGHT_BEFORE, |i| i.kind = "plain none".into())],
            percent(),
            &["app:"],
        ),
        ("less than so many bytes", vec![item(LAST_NIGHT)], least(), &["app:small"]),
        ("never restored", vec![item(LAST_NIGHT)], tested(), &["app:not_restored"]),
        (
            "an older one was restored in time",
            vec![item(LAST_NIGHT), restored("2026-11-24T02:00:00Z")],
            tested(),
            &["app:"],
        ),
        (
            "restored too long ago",
            vec![item(LAST_NIGHT), restored("2026-11-22T02:00:00Z")],
            tested(),
            &["app:not_restored"],
        ),
        (
            "each database by itself",
            vec![item(LAST_NIGHT), with("2026-11-01T02:00:00Z", |i| i.database = Some("shop".into()))],
            limits(),
            &["app:", "shop:old"],
        ),
        (
            "a backup of all databases covers each",
            vec![with(LAST_NIGHT, |i| all(i, &["app", "shop"])), item("2026-11-01T02:00:00Z")],
            limits(),
            &["*:", "app:"],
        ),
        (
            "an old backup of all counts no more once each database has its own",
            vec![item(LAST_NIGHT), with("2026-11-01T02:00:00Z", |i| all(i, &["app"]))],
            limits(),
            &["app:"],
        ),
        (
            "an old backup of all is old where a database has no other",
            vec![item(LAST_NIGHT), with("2026-11-01T02:00:00Z", |i| all(i, &["app", "shop"]))],
            limits(),
            &["*:old", "app:"],
        ),
    ];
    for (case, items, limits, expected) in table {
        assert_eq!(shown(&judge(&items, None, &limits, now())), expected, "{case}");
    }
}

#[test]
fn one_database_may_be_meant() {
    let all = with(LAST_NIGHT, |item| {
        item.database = None;
        item.databases = vec!["shop".into()];
    });
    let items = [item("2026-11-01T02:00:00Z"), all];
    let of = |database| shown(&judge(&items, Some(database), &limits(), now()));
    assert_eq!(of("app"), ["app:old"]);
    assert_eq!(of("shop"), ["shop:"], "the backup of all holds it");
    assert_eq!(of("other"), ["other:no_backup"]);
}

#[test]
fn one_from_the_future_and_a_changed_one_are_told() {
    let items = [item("2026-12-05T02:00:00Z"), with(LAST_NIGHT, |item| item.altered = true)];
    let judged = judge(&items, None, &limits(), now());
    assert!(judged[0].notes[0].contains("in the future"), "{:?}", judged[0].notes);
    assert!(judged[0].notes[1].contains("changed after it was written"), "{:?}", judged[0].notes);
    assert!(judged[0].newest.is_none());
}
