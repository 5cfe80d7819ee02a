//! Retention: policies over one fixed history (`tests/retention/*.txt`), the calendar, and properties of any history.
//!
//! `SNAPSHOTS=overwrite cargo test --lib retention` writes the files anew; read the diff as somebody whose backups they are.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp, ToSpan as _};
use proptest::prelude::*;

use super::retention::*;
use crate::config::calendar_duration::CalendarDuration;

fn group() -> RetentionGroup {
    RetentionGroup {
        context: "default".into(),
        stack: "acme".into(),
        profile: Some("prod".into()),
        service: "db".into(),
        database: Some("acme".into()),
        whole: true,
    }
}

fn backup(rows: u64) -> VerifiedBackup {
    VerifiedBackup {
        group: group(),
        safety: false,
        empty: false,
        rows: Some(rows),
        size: Some(("plain".into(), rows * 100)),
        rows_accepted: false,
    }
}

fn item(at: Timestamp, backup: VerifiedBackup) -> RetentionItem {
    let name = at.strftime("backup_%Y%m%d_%H%M%S").to_string();
    RetentionItem { name, at, pinned: false, uncopied: None, state: RetentionState::Verified(backup) }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap()
}

fn age(text: &str) -> CalendarDuration {
    CalendarDuration::parse(text).unwrap()
}

/// A policy from options as they are typed: `--keep-daily 7 --keep-within-weekly 2mo`.
fn policy(options: &str) -> RetentionPolicy {
    let mut policy = RetentionPolicy { counts: [0; 6], within: [None; 6], safety: age("30d") };
    let tokens: Vec<&str> = options.split_whitespace().collect();
    for pair in tokens.chunks(2) {
        let (option, value) = (pair[0].strip_prefix("--keep-").unwrap(), pair[1]);
        let place = |name: &str| Period::EACH.iter().position(|period| period.keyword() == name).unwrap();
        match (option, option.strip_prefix("within-")) {
            ("safety", _) => policy.safety = age(value),
            ("within", _) => policy.within[0] = Some(age(value)),
            (_, Some(name)) => policy.within[place(name)] = Some(age(value)),
            (name, None) => {
                policy.counts[place(name)] = if value == "all" { ALL } else { value.parse().unwrap() };
            }
        }
    }
    policy
}

const NOW: &str = "2026-11-30T12:00:00Z";

/// Two and a half years of backups of one database: every six hours for two days, nightly for a month with a gap of
/// five nights, then weekly, then monthly. Rows grow slowly. Beside them one of each kind that has a rule of its own.
fn history() -> Vec<RetentionItem> {
    let midnight = at("2026-11-30T01:30:00Z").to_zoned(TimeZone::UTC);
    let before = |span: Span| midnight.checked_sub(span).unwrap().timestamp();
    let mut moments: Vec<Timestamp> = (0..8).map(|n| before((6 * n).hours())).collect();
    moments.extend((2..30).filter(|n| !(10..15).contains(n)).map(|n| before(n.days())));
    moments.extend((5..14).map(|n| before(n.weeks())));
    moments.extend((4..30).step_by(2).map(|n| before(n.months())));
    let rows = |at: Timestamp| 1000 + (at.as_second() - 1_700_000_000).unsigned_abs() / 1_000_000;
    let mut items: Vec<RetentionItem> = moments.iter().map(|at| item(*at, backup(rows(*at)))).collect();
    let special = |text: &str, change: &dyn Fn(&mut VerifiedBackup)| {
        let mut backup = backup(rows(at(text)));
        change(&mut backup);
        item(at(text), backup)
    };
    items.extend([
        special("2027-06-01T00:00:00Z", &|_| ()),
        special("2026-11-29T23:00:00Z", &|backup| backup.rows = Some(12)),
        special("2026-11-25T23:00:00Z", &|backup| backup.empty = true),
        special("2026-11-28T15:00:00Z", &|backup| backup.safety = true),
        special("2026-11-02T15:00:00Z", &|backup| backup.safety = true),
        special("2026-08-02T15:00:00Z", &|backup| backup.safety = true),
        special("2026-11-27T08:00:00Z", &|backup| backup.group.database = Some("audit".into())),
        special("2026-10-27T08:00:00Z", &|backup| backup.group.database = Some("audit".into())),
        special("2026-11-27T09:00:00Z", &|backup| backup.group.whole = false),
    ]);
    let pinned = special("2026-03-03T03:00:00Z", &|_| ());
    items.push(RetentionItem { pinned: true, ..pinned });
    let untouched = |text: &str, reason: &str| RetentionItem {
        state: RetentionState::Untouched(reason.to_owned()),
        ..special(text, &|_| ())
    };
    items.push(untouched("2026-11-24T12:00:00Z", "no manifest"));
    items.push(untouched("2026-11-23T12:00:00Z", "not verified"));
    items.sort_by_key(|item| std::cmp::Reverse(item.at));
    items
}

/// Decisions as text, newest first, with the local time.
fn shown(options: &str, items: &[RetentionItem], now: Timestamp, zone: &TimeZone) -> String {
    let decisions = decide(items, &policy(options), now, zone);
    let kept = decisions.iter().filter(|decision| decision.is_keep()).count();
    let mut text = format!("{options}\nkeeps {kept} of {}\n\n", items.len());
    for (item, decision) in items.iter().zip(&decisions) {
        let action = if decision.is_keep() { "keep  " } else { "remove" };
        let local = item.at.to_zoned(zone.clone()).strftime("%a %Y-%m-%d %H:%M").to_string();
        let group = match &item.state {
            RetentionState::Verified(backup) if !backup.group.whole => "acme, partial",
            RetentionState::Verified(backup) => backup.group.database.as_deref().unwrap_or("all"),
            RetentionState::Untouched(_) => "-",
        };
        text.push_str(&format!("{action} {local}  {group:<13}  {}\n", decision.reasons().join(", ")));
    }
    text
}

/// The policies of the golden files.
const POLICIES: &[(&str, &str)] = &[
    ("last-1", "--keep-last 1"),
    ("last-5", "--keep-last 5"),
    ("last-all", "--keep-last all"),
    ("hourly-10", "--keep-hourly 10"),
    ("daily-7", "--keep-daily 7"),
    ("daily-30", "--keep-daily 30"),
    ("weekly-4", "--keep-weekly 4"),
    ("monthly-12", "--keep-monthly 12"),
    ("yearly-2", "--keep-yearly 2"),
    ("yearly-10", "--keep-yearly 10"),
    ("grandfather", "--keep-daily 7 --keep-weekly 4 --keep-monthly 6 --keep-yearly 2"),
    ("last-and-monthly", "--keep-last 2 --keep-monthly all"),
    ("within-3d", "--keep-within 3d"),
    ("within-1y6mo", "--keep-within 1y6mo"),
    ("within-daily-2w", "--keep-within-daily 2w"),
    (
        "within-tiers",
        "--keep-within 2d --keep-within-daily 2w --keep-within-weekly 2mo --keep-within-monthly 1y",
    ),
    ("within-hourly-1d", "--keep-within-hourly 1d --keep-daily 2"),
    ("safety-1d", "--keep-last 3 --keep-safety 1d"),
    ("safety-1y", "--keep-last 3 --keep-safety 1y"),
];

#[test]
fn policies_over_the_fixed_history_decide_as_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/retention");
    let items = history();
    for (name, options) in POLICIES {
        let text = shown(options, &items, at(NOW), &zone("Europe/Berlin"));
        let expected = snapbox::Data::read_from(&folder.join(format!("{name}.txt")), None);
        snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected);
    }
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, POLICIES.len(), "every file is of a policy");
}

/// The moments that a policy keeps, of ordinary backups.
fn kept_of(options: &str, moments: &[&str], zone: &TimeZone) -> Vec<String> {
    let items: Vec<RetentionItem> = moments.iter().map(|text| item(at(text), backup(100))).collect();
    let decisions = decide(&items, &policy(options), at("2100-01-01T00:00:00Z"), zone);
    let kept = moments.iter().zip(decisions).filter(|(_, decision)| decision.is_keep());
    kept.map(|(moment, _)| (*moment).to_owned()).collect()
}

#[test]
fn a_day_of_25_hours_is_one_day_and_its_doubled_hour_is_two_hours() {
    // 02:30 comes twice in Berlin on 25 October 2026.
    let moments =
        ["2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "2026-10-24T22:30:00Z", "2026-10-24T20:00:00Z"];
    let berlin = zone("Europe/Berlin");
    assert_eq!(kept_of("--keep-daily 1", &moments, &berlin), [moments[0]]);
    assert_eq!(kept_of("--keep-hourly 2", &moments, &berlin), moments[..2]);
    // Without the two clocks there would be an oldest one in addition.
    assert_eq!(kept_of("--keep-daily 2", &moments, &berlin), [moments[0], moments[3]]);
    assert_eq!(kept_of("--keep-daily 2", &moments, &TimeZone::UTC), [moments[0], moments[2]]);
}

#[test]
fn a_clock_that_goes_back_by_half_an_hour_doubles_that_half_hour() {
    // Lord Howe goes from UTC+11 to UTC+10:30 at 02:00 on 5 April 2026.
    let moments =
        ["2026-04-04T15:15:00Z", "2026-04-04T14:45:00Z", "2026-04-04T13:45:00Z", "2026-04-03T14:00:00Z"];
    let lord_howe = zone("Australia/Lord_Howe");
    let local = |text: &str| at(text).to_zoned(lord_howe.clone()).strftime("%H:%M").to_string();
    assert_eq!(moments.map(local), ["01:45", "01:45", "00:45", "01:00"]);
    assert_eq!(kept_of("--keep-hourly 2", &moments, &lord_howe), moments[..2]);
    assert_eq!(kept_of("--keep-daily 1", &moments, &lord_howe), [moments[0]]);
}

#[test]
fn a_day_without_midnight_and_a_midnight_that_comes_twice_are_days() {
    let sao_paulo = zone("America/Sao_Paulo");
    // 4 November 2018 began at 01:00; 17 February 2018 had 23:30 twice.
    let spring = ["2018-11-04T03:10:00Z", "2018-11-04T02:50:00Z", "2018-11-03T04:00:00Z"];
    assert_eq!(kept_of("--keep-daily 2", &spring, &sao_paulo), spring[..2]);
    let autumn =
        ["2018-02-18T03:10:00Z", "2018-02-18T02:30:00Z", "2018-02-18T01:30:00Z", "2018-02-17T10:00:00Z"];
    assert_eq!(kept_of("--keep-daily 1", &autumn, &sao_paulo), [autumn[0]]);
    assert_eq!(kept_of("--keep-daily 2", &autumn, &sao_paulo), autumn[..2]);
}

#[test]
fn a_day_that_comes_in_two_parts_is_one_day() {
    // Newfoundland went from 00:01 on 7 November 2010 back to 23:01 on the 6th.
    let st_johns = zone("America/St_Johns");
    let moments = [
        "2010-11-07T12:00:00Z",
        "2010-11-07T03:00:00Z",
        "2010-11-07T02:30:30Z",
        "2010-11-07T02:00:00Z",
        "2010-11-05T12:00:00Z",
    ];
    let local = |text: &str| at(text).to_zoned(st_johns.clone()).strftime("%d %H:%M").to_string();
    assert_eq!(moments.map(local), ["07 08:30", "06 23:30", "07 00:00", "06 23:30", "05 09:30"]);
    assert_eq!(kept_of("--keep-daily 3", &moments, &st_johns), [moments[0], moments[1], moments[4]]);
}

#[test]
fn a_day_that_the_calendar_left_out_is_an_empty_period() {
    // Samoa had no 30 December 2011.
    let moments = ["2011-12-31T00:00:00Z", "2011-12-30T09:30:00Z", "2011-12-29T20:00:00Z"];
    let apia = zone("Pacific/Apia");
    let local = |text: &str| at(text).to_zoned(apia.clone()).strftime("%d").to_string();
    assert_eq!(moments.map(local), ["31", "29", "29"]);
    assert_eq!(kept_of("--keep-daily 2", &moments, &apia), moments[..2]);
}

#[test]
fn week_53_and_a_leap_day_are_in_the_year_the_calendar_says() {
    // Thursday 31 December 2020 and Sunday 3 January 2021 are both in week 53 of 2020.
    let week =
        ["2021-01-04T12:00:00Z", "2021-01-03T12:00:00Z", "2020-12-31T12:00:00Z", "2020-12-20T12:00:00Z"];
    assert_eq!(kept_of("--keep-weekly 2", &week, &TimeZone::UTC), week[..2]);
    assert_eq!(kept_of("--keep-yearly 2", &week, &TimeZone::UTC), [week[0], week[2]]);
    let leap =
        ["2024-02-29T12:00:00Z", "2023-02-28T12:00:00Z", "2023-02-28T11:59:59Z", "2023-02-27T12:00:00Z"];
    assert_eq!(kept_of("--keep-within 1y", &leap, &TimeZone::UTC), leap[..2]);
    let after = ["2025-02-28T12:00:00Z", "2024-02-29T11:00:00Z", "2024-02-28T11:00:00Z"];
    assert_eq!(kept_of("--keep-within 1y", &after, &TimeZone::UTC), after[..2]);
}

#[test]
fn nightly_backups_of_a_database_that_lost_its_rows_evict_nothing() {
    let night = |day: i8, rows| item(at(&format!("2026-11-{day:02}T02:00:00Z")), backup(rows));
    let mut items: Vec<RetentionItem> = (1..=7).map(|day| night(day, 1000)).collect();
    items.extend((8..=28).map(|day| night(day, 3)));
    let daily = policy("--keep-daily 7");
    let decisions = decide(&items, &daily, at(NOW), &TimeZone::UTC);
    assert!(decisions.iter().all(RetentionDecision::is_keep), "{decisions:?}");
    assert_eq!(decisions[7].reasons(), ["does not count: rows fell from 1000 to 3"]);
    assert!(decisions[6].reasons().contains(&"last before the rows fell".to_owned()));
    // The user says that it is right: from there on they count.
    let RetentionState::Verified(backup) = &mut items[7].state else { unreachable!("it is verified") };
    backup.rows_accepted = true;
    let kept: Vec<bool> =
        decide(&items, &daily, at(NOW), &TimeZone::UTC).iter().map(RetentionDecision::is_keep).collect();
    assert_eq!(kept, [vec![false; 21], vec![true; 7]].concat());
}

#[test]
fn rows_that_are_not_known_are_compared_with_nothing() {
    let unknown = VerifiedBackup { rows: None, size: None, ..backup(0) };
    let items = [
        item(at("2026-11-03T02:00:00Z"), backup(10)),
        item(at("2026-11-02T02:00:00Z"), unknown),
        item(at("2026-11-01T02:00:00Z"), backup(1000)),
    ];
    let decisions = decide(&items, &policy("--keep-last 1"), at(NOW), &TimeZone::UTC);
    assert_eq!(decisions[0].reasons(), ["does not count: rows fell from 1000 to 10"]);
    assert!(decisions[1].reasons().contains(&"newest verified".to_owned()));
}

#[test]
fn encrypted_backups_are_compared_by_their_bytes() {
    let sealed = |bytes| VerifiedBackup { rows: None, size: Some(("plain".into(), bytes)), ..backup(0) };
    let items = [
        item(at("2026-11-04T02:00:00Z"), VerifiedBackup { size: Some(("custom".into(), 9)), ..sealed(0) }),
        item(at("2026-11-03T02:00:00Z"), sealed(49_999)),
        item(at("2026-11-02T02:00:00Z"), sealed(50_000)),
        item(at("2026-11-01T02:00:00Z"), backup(1000)),
    ];
    let decisions = decide(&items, &policy("--keep-last 1"), at(NOW), &TimeZone::UTC);
    assert!(decisions[0].reasons().contains(&"newest verified".to_owned()), "another format says nothing");
    let decisions = decide(&items[1..], &policy("--keep-last 1"), at(NOW), &TimeZone::UTC);
    assert!(decisions[0].reasons().contains(&"newest verified".to_owned()), "half of the one before");
    let items = [item(at("2026-11-05T02:00:00Z"), sealed(24_999)), items[2].clone()];
    let decisions = decide(&items, &policy("--keep-last 1"), at(NOW), &TimeZone::UTC);
    assert_eq!(decisions[0].reasons(), ["does not count: its dump shrank from 50.0 kB to 25.0 kB"]);
    assert!(decisions[1].reasons().contains(&"last before the rows fell".to_owned()));
}

#[test]
fn a_database_that_was_always_empty_has_backups_like_any_other() {
    let empty = || VerifiedBackup { empty: true, ..backup(0) };
    let items: Vec<RetentionItem> =
        (1..=9).map(|day| item(at(&format!("2026-11-0{day}T02:00:00Z")), empty())).collect();
    let decisions = decide(&items, &policy("--keep-last 2"), at(NOW), &TimeZone::UTC);
    assert_eq!(decisions.iter().filter(|decision| decision.is_keep()).count(), 2);
}

#[test]
fn safety_backups_stay_while_nothing_newer_counts() {
    let safety = || VerifiedBackup { safety: true, ..backup(5) };
    let moments = ["2026-01-01T00:00:00Z", "2025-06-01T00:00:00Z"];
    let items: Vec<RetentionItem> = moments.iter().map(|text| item(at(text), safety())).collect();
    let last = policy("--keep-last 1 --keep-safety 7d");
    assert!(decide(&items, &last, at(NOW), &TimeZone::UTC).iter().all(RetentionDecision::is_keep));
    let with_newer = [&items[..], &[item(at("2026-11-01T00:00:00Z"), backup(5))]].concat();
    let decisions = decide(&with_newer, &last, at(NOW), &TimeZone::UTC);
    let kept: Vec<bool> = decisions.iter().map(RetentionDecision::is_keep).collect();
    assert_eq!(kept, [true, false, true], "the newest safety backup stays: {decisions:?}");
}

#[test]
fn a_backup_without_its_copy_stays_for_that_reason_alone() {
    let night = |day: u8| item(at(&format!("2026-03-0{day}T02:00:00Z")), backup(10));
    let mut items = vec![night(3), night(2), night(1)];
    for at in [0, 1] {
        items[at].uncopied = Some("no copy in s3://b".into());
    }
    let decisions = decide(&items, &policy("--keep-last 1"), at("2026-03-04T00:00:00Z"), &zone("UTC"));
    let reasons: Vec<_> = decisions.iter().map(RetentionDecision::reasons).collect();
    assert_eq!(reasons[0], ["newest verified", "last 1 of 1"]);
    assert_eq!(reasons[1], ["no copy in s3://b"]);
    assert!(decisions[1].is_keep() && !decisions[2].is_keep());
}

#[test]
fn a_policy_without_a_rule_is_empty() {
    for options in ["", "--keep-daily 0", "--keep-within 0d --keep-safety 1y"] {
        assert!(policy(options).is_empty(), "{options}");
    }
    for options in ["--keep-last 1", "--keep-within-yearly 1y"] {
        assert!(!policy(options).is_empty(), "{options}");
    }
}

const ZONES: [&str; 6] =
    ["UTC", "Europe/Berlin", "America/Sao_Paulo", "Australia/Lord_Howe", "Pacific/Apia", "America/St_Johns"];

fn any_item() -> impl Strategy<Value = RetentionItem> {
    let hours = prop_oneof![0i64..400, 0i64..30_000];
    let rows = prop_oneof![Just(None), (0u64..200).prop_map(Some)];
    let flags = (0u8..8, 0u8..12, 0u8..10, 0u8..10, 0u8..10, 0u8..10);
    (hours, rows, flags).prop_map(|(hours, rows, (safety, empty, accepted, pinned, other, untouched))| {
        let mut backup = backup(0);
        backup.rows = rows;
        backup.safety = safety == 0;
        backup.empty = empty == 0;
        backup.rows_accepted = accepted == 0;
        if other == 0 {
            backup.group.whole = false;
        }
        // From before a leap day over several switches of the clocks; some lie in the future.
        let at = at("2015-11-01T00:00:00Z") + Span::new().hours(hours);
        let mut item = item(at, backup);
        item.pinned = pinned == 0;
        item.uncopied = (pinned == 1).then(|| "no copy".to_owned());
        if untouched == 0 {
            item.state = RetentionState::Untouched("no manifest".to_owned());
        }
        item
    })
}

fn any_history() -> impl Strategy<Value = Vec<RetentionItem>> {
    prop::collection::vec(any_item(), 0..40).prop_map(|mut items| {
        for (number, item) in items.iter_mut().enumerate() {
            item.name.push_str(&format!("_{number}"));
        }
        items
    })
}

fn any_age() -> impl Strategy<Value = CalendarDuration> {
    (0i32..2, 0i32..8, 0i32..40, 0i32..60)
        .prop_map(|(years, months, days, hours)| age(&format!("{years}y {months}mo {days}d {hours}h")))
}

fn any_policy() -> impl Strategy<Value = RetentionPolicy> {
    let counts = prop::array::uniform6(prop_oneof![3 => Just(0u32), 2 => 1u32..6, 1 => Just(ALL)]);
    let within = prop::array::uniform6(prop_oneof![3 => Just(None), 1 => any_age().prop_map(Some)]);
    (counts, within, any_age()).prop_map(|(counts, within, safety)| RetentionPolicy {
        counts,
        within,
        safety,
    })
}

/// Now lies in the last third of the random histories.
const SOME_NOW: &str = "2018-06-01T00:00:00Z";

fn keeps(items: &[RetentionItem], policy: &RetentionPolicy, zone: &TimeZone) -> Vec<String> {
    let decisions = decide(items, policy, at(SOME_NOW), zone);
    let kept = items.iter().zip(decisions).filter(|(_, decision)| decision.is_keep());
    let mut names: Vec<String> = kept.map(|(item, _)| item.name.clone()).collect();
    names.sort();
    names
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("TEST_LONG").is_some() { 20_000 } else { 1000 }))]

    #[test]
    fn a_higher_number_never_removes_more(
        items in any_history(), policy in any_policy(), raised in any_policy(), zone_at in 0..ZONES.len(),
    ) {
        let zone = zone(ZONES[zone_at]);
        let higher = |a: Option<CalendarDuration>, b: Option<CalendarDuration>| {
            let since = |duration: Option<CalendarDuration>| duration.map(|d| d.before(at(SOME_NOW), &zone));
            // Months and days have no order of their own: the longer one is longer from every anchor.
            match (a, b) {
                (Some(a), Some(b)) if !a.is_zero() => {
                    let sum = format!("{a} {b}");
                    if since(Some(b)) < since(Some(a)) { CalendarDuration::parse(&sum).ok().or(Some(a)) } else { Some(a) }
                }
                (_, b @ Some(_)) => b,
                (a, None) => a,
            }
        };
        let mut more = policy.clone();
        for n in 0..6 {
            more.counts[n] = policy.counts[n].max(raised.counts[n]);
            more.within[n] = higher(policy.within[n], raised.within[n]);
        }
        let (few, many) = (keeps(&items, &policy, &zone), keeps(&items, &more, &zone));
        prop_assert!(few.iter().all(|name| many.contains(name)), "{few:?} {many:?}");
        let no_safety = RetentionPolicy { safety: age("0"), ..policy.clone() };
        let fewer = keeps(&items, &no_safety, &zone);
        prop_assert!(fewer.iter().all(|name| few.contains(name)));
    }

    #[test]
    fn the_order_of_the_input_does_not_matter(
        (items, shuffled) in any_history().prop_flat_map(|items| (Just(items.clone()), Just(items).prop_shuffle())),
        policy in any_policy(), zone_at in 0..ZONES.len(),
    ) {
        let zone = zone(ZONES[zone_at]);
        prop_assert_eq!(keeps(&items, &policy, &zone), keeps(&shuffled, &policy, &zone));
    }

    #[test]
    fn a_second_run_removes_nothing_more(
        items in any_history(), policy in any_policy(), zone_at in 0..ZONES.len(),
    ) {
        let zone = zone(ZONES[zone_at]);
        let kept = keeps(&items, &policy, &zone);
        let left: Vec<RetentionItem> = items.into_iter().filter(|item| kept.contains(&item.name)).collect();
        prop_assert_eq!(keeps(&left, &policy, &zone), kept);
    }

    #[test]
    fn what_may_never_go_stays(items in any_history(), policy in any_policy(), zone_at in 0..ZONES.len()) {
        let zone = zone(ZONES[zone_at]);
        let kept = keeps(&items, &policy, &zone);
        let verified = |item: &&RetentionItem| matches!(&item.state, RetentionState::Verified(backup) if !backup.safety);
        for item in &items {
            let untouchable =
                item.pinned || item.uncopied.is_some() || item.at > at(SOME_NOW) || !matches!(item.state, RetentionState::Verified(_));
            prop_assert!(!untouchable || kept.contains(&item.name), "{item:?}");
        }
        let present = || items.iter().filter(verified).filter(|item| item.at <= at(SOME_NOW));
        prop_assert!(present().next().is_none() || present().any(|item| kept.contains(&item.name)));
    }

    #[test]
    fn a_rule_keeps_as_many_days_as_there_are(hours in prop::collection::btree_set(0i64..4000, 1..60), days in 1u32..30) {
        let zone = zone("Europe/Berlin");
        let moment = |hours: i64| at("2016-01-01T00:00:00Z") + Span::new().hours(hours);
        let items: Vec<RetentionItem> = hours.iter().map(|hours| item(moment(*hours), backup(10))).collect();
        let there: std::collections::BTreeSet<_> =
            hours.iter().map(|hours| moment(*hours).to_zoned(zone.clone()).date()).collect();
        let kept = keeps(&items, &policy(&format!("--keep-daily {days}")), &zone).len();
        let buckets = there.len().min(days as usize);
        prop_assert!(kept == buckets || kept == buckets + 1, "{kept} of {buckets}");
    }
}
