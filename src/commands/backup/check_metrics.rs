//! Result of `backup check` in the text format of Prometheus, for the textfile collector of node_exporter.
//!
//! Promises: a series occurs once, or the collector would refuse the whole file; label values are escaped.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::check_answer::DatabaseCheckAnswer;

/// Metrics with their help, in the order of the text.
const METRICS: [(&str, &str); 6] = [
    ("envctl_backup_healthy", "1 where every limit of the check is kept, else 0."),
    ("envctl_backup_newest_timestamp_seconds", "Start of the newest verified backup, in seconds since 1970."),
    ("envctl_backup_newest_size_bytes", "Size of the newest verified backup."),
    ("envctl_backup_newest_duration_seconds", "Time that the newest verified backup took."),
    ("envctl_backup_newest_rows", "Rows in the newest verified backup."),
    (
        "envctl_backup_restore_test_timestamp_seconds",
        "Time of the newest restore test, in seconds since 1970.",
    ),
];

/// Renders the targets; a value that is not known has no series.
pub(super) fn render(targets: &[DatabaseCheckAnswer], now: Timestamp) -> String {
    // Two directories may hold the same stack, profile and database: the worse one is told.
    let mut series: BTreeMap<String, &DatabaseCheckAnswer> = BTreeMap::new();
    for target in targets {
        let kept = series.entry(labels(target)).or_insert(target);
        if kept.ok && !target.ok {
            *kept = target;
        }
    }
    let mut text = String::new();
    for (at, (name, help)) in METRICS.into_iter().enumerate() {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, target) in &series {
            if let Some(value) = values(target)[at] {
                let _ = writeln!(text, "{name}{{{labels}}} {value}");
            }
        }
    }
    let name = "envctl_backup_check_timestamp_seconds";
    let _ = writeln!(text, "# HELP {name} Time of this check, in seconds since 1970.\n# TYPE {name} gauge");
    let _ = writeln!(text, "{name} {}", now.as_second());
    text
}

fn values(target: &DatabaseCheckAnswer) -> [Option<f64>; 6] {
    let newest = target.newest.as_ref();
    [
        Some(f64::from(u8::from(target.ok))),
        newest.map(|newest| newest.started.as_second() as f64),
        newest.map(|newest| newest.stored_bytes as f64),
        newest.map(|newest| newest.duration_ms as f64 / 1000.0),
        newest.and_then(|newest| newest.rows).map(|rows| rows as f64),
        target.restored_at.map(|at| at.as_second() as f64),
    ]
}

fn labels(target: &DatabaseCheckAnswer) -> String {
    let database = match &target.database {
        Some(database) if database.is_empty() => "*",
        Some(database) => database,
        None => "",
    };
    [
        ("stack", target.stack.as_str()),
        ("profile", target.profile.as_deref().unwrap_or("unknown")),
        ("service", target.service.as_deref().unwrap_or("")),
        ("database", database),
    ]
    .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
    .join(",")
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn label_values_are_escaped_and_a_series_occurs_once() {
        let target = |ok| DatabaseCheckAnswer {
            stack: "acme".into(),
            profile: Some("prod".into()),
            database: Some("a\"b\\c\nd".into()),
            ok,
            ..DatabaseCheckAnswer::default()
        };
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let text = render(&[target(true), target(false)], now);
        let series: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        assert_eq!(
            series,
            [
                "envctl_backup_healthy{stack=\"acme\",profile=\"prod\",service=\"\",database=\"a\\\"b\\\\c\\nd\"} 0",
                "envctl_backup_check_timestamp_seconds 1700000000",
            ]
        );
        assert!(text.ends_with('\n') && text.matches("# TYPE").count() == 7);
    }
}
