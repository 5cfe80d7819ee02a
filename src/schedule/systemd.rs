//! A systemd timer and its service.
//!
//! Promise: every argument reaches envctl as it was given; systemd expands `%`, `$` and `\` in a command line.

use std::collections::BTreeSet;

use super::installation::Installation;
use crate::config::cron_schedule::CronTimes;

const WEEKDAYS: [&str; 7] = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];

/// Returns the text of the service.
pub(crate) fn service(installation: &Installation) -> String {
    let program = quoted(&installation.program, false);
    let arguments = installation.run_once().iter().map(|argument| quoted(argument, true)).collect::<Vec<_>>();
    let mut unit = format!(
        "[Unit]\nDescription=Backup of {} by envctl\nWants=network-online.target\n\
         After=network-online.target docker.service\n\n[Service]\nType=oneshot\n",
        specifiers(&installation.about)
    );
    if let Some(user) = installation.user.name.as_ref().filter(|_| installation.user.uid != 0) {
        unit.push_str(&format!("User={}\n", specifiers(user)));
    }
    for (name, value) in &installation.environment {
        unit.push_str(&format!("Environment={}\n", quoted(&format!("{name}={value}"), false)));
    }
    unit.push_str(&format!("ExecStart={program} {}\n", arguments.join(" ")));
    // A backup that is ended cleans up first.
    unit.push_str("TimeoutStopSec=1min\n");
    unit
}

/// Returns the text of the timer.
pub(crate) fn timer(installation: &Installation) -> String {
    let mut unit = format!(
        "[Unit]\nDescription=Schedule of the backup of {} by envctl\n\n[Timer]\n",
        specifiers(&installation.about)
    );
    for calendar in calendars(installation.times.cron.times(), installation.time_zone.as_deref()) {
        unit.push_str(&format!("OnCalendar={calendar}\n"));
    }
    let jitter = installation.times.jitter.as_secs();
    if jitter > 0 {
        unit.push_str(&format!("RandomizedDelaySec={jitter}s\n"));
    }
    unit.push_str("Persistent=true\n\n[Install]\nWantedBy=timers.target\n");
    unit
}

/// Returns the times as calendar events. Two are needed where one of both day fields is enough.
fn calendars(times: &CronTimes, zone: Option<&str>) -> Vec<String> {
    let zone = zone.map(|zone| format!(" {zone}")).unwrap_or_default();
    let clock = format!("{}:{}:00", list(&times.hours, 24, 2), list(&times.minutes, 60, 2));
    let months = list(&times.months, 12, 2);
    let weekdays: Vec<&str> = times.weekdays.iter().map(|day| WEEKDAYS[usize::from(*day)]).collect();
    let weekdays =
        if weekdays.len() == WEEKDAYS.len() { String::new() } else { format!("{} ", weekdays.join(",")) };
    let days = list(&times.days, 31, 2);
    if times.either_day {
        return vec![
            format!("*-{months}-{days} {clock}{zone}"),
            format!("{weekdays}*-{months}-* {clock}{zone}"),
        ];
    }
    vec![format!("{weekdays}*-{months}-{days} {clock}{zone}")]
}

fn list(values: &BTreeSet<u8>, all: usize, width: usize) -> String {
    if values.len() == all {
        return "*".to_owned();
    }
    values.iter().map(|value| format!("{value:0width$}")).collect::<Vec<_>>().join(",")
}

/// Escapes the specifiers of a value.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%").replace(['\n', '\r'], " ")
}

/// Returns an item of a command line or an environment; `variables` are expanded in all but the program's path.
fn quoted(text: &str, variables: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out.push_str("%%"),
            '$' if variables => out.push_str("$$"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use jiff::Timestamp;
    use jiff::tz::TimeZone;

    use super::*;
    use crate::config::cron_schedule::CronSchedule;

    #[test]
    fn the_units_say_everything() {
        let installation = Installation::sample("30 1 * * *");
        let text = service(&installation);
        let command = "ExecStart=/usr/local/bin/envctl backup schedule run --once -s shop --prod -C \
             \"/srv/my shop/100%% \\\"a\\\\b\\\" $$HOME\"\n";
        assert!(text.contains(command), "{text}");
        assert!(text.contains("User=ana\nEnvironment=\"ENVCTL_BACKUP_DIR=/srv/back ups/50%%\"\n"), "{text}");
        let text = timer(&installation);
        assert!(text.contains("OnCalendar=*-*-* 01:30:00\nPersistent=true\n"), "{text}");
    }

    #[test]
    fn every_expression_has_its_calendar_event() {
        let calendars = |cron: &str, zone| calendars(CronSchedule::parse(cron).unwrap().times(), zone);
        assert_eq!(calendars("*/15 * * * *", None), ["*-*-* *:00,15,30,45:00"]);
        assert_eq!(
            calendars("0 4 * * 1-5", Some("Europe/Berlin")),
            ["Mon,Tue,Wed,Thu,Fri *-*-* 04:00:00 Europe/Berlin"]
        );
        assert_eq!(
            calendars("0 0 13 * 5", None),
            ["*-*-13 00:00:00", "Fri *-*-* 00:00:00"],
            "one of both days is enough"
        );
    }

    /// Asks systemd itself, where it is there, for the next times of an event.
    fn of_systemd(calendar: &str, base: Timestamp) -> Option<Vec<Timestamp>> {
        let base = base.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        let asked = Command::new("systemd-analyze")
            .args(["calendar", "--iterations=5", &format!("--base-time={base}"), calendar])
            .env("TZ", "UTC")
            .env("LC_ALL", "C")
            .output()
            .ok()?;
        let text = String::from_utf8_lossy(&asked.stdout).into_owned();
        assert!(asked.status.success(), "{calendar}: {}", String::from_utf8_lossy(&asked.stderr));
        let times = text.lines().filter_map(|line| {
            let (label, time) = line.trim().split_once(": ")?;
            (label.starts_with("Next elapse") || label.starts_with("Iter")).then_some(time)
        });
        let read = |time: &str| {
            // `Fri 2026-05-01 01:30:00 UTC`
            let mut parts = time.split(' ').skip(1);
            let (date, clock) = (parts.next()?, parts.next()?);
            format!("{date}T{clock}Z").parse().ok()
        };
        Some(times.filter_map(read).collect())
    }

    #[test]
    fn systemd_and_cron_agree_on_the_times() {
        let base: Timestamp = "2026-05-01T12:34:56Z".parse().unwrap();
        for cron in [
            "30 1 * * *",
            "*/15 * * * *",
            "7 3,15 * * 1-5",
            "0 0 1,15 */2 *",
            "5 4 31 * *",
            "0 0 13 * 5",
            "0 0 */10 * 1",
        ] {
            let schedule = CronSchedule::parse(cron).unwrap();
            let next = |at: &Timestamp| schedule.next_after(*at, &TimeZone::UTC);
            let expected: Vec<Timestamp> = std::iter::successors(next(&base), next).take(5).collect();
            let mut seen = Vec::new();
            for calendar in calendars(schedule.times(), None) {
                let Some(times) = of_systemd(&calendar, base) else { return };
                seen.extend(times);
            }
            seen.sort_unstable();
            seen.dedup();
            seen.truncate(5);
            assert_eq!(seen, expected, "{cron}");
        }
    }
}
