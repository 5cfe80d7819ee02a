//! Forms of values: reading from a file or a variable, and the text in `envctl config`.
//!
//! Promise: a fault of a command line does not quote it, for it may hold a secret.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use jiff::tz::TimeZone;
use toml::Value;

use super::calendar_duration::CalendarDuration;
use super::cron_schedule::CronSchedule;
use super::duration;
use super::ping_url::PingUrl;
use crate::codec::age::AgeRecipients;
use crate::config::color::Color;
use crate::config::store_url::StoreUrl;

/// Docker refuses a smaller limit.
const LEAST_MEMORY: u64 = 6 << 20;

/// A value as somebody wrote it.
#[derive(Clone, Copy)]
pub(crate) enum RawValue<'a> {
    /// In an environment variable.
    Variable { text: &'a str, cwd: &'a Path },
    /// In a file of the directory `dir`.
    File { value: &'a Value, dir: &'a Path, home: Option<&'a Path> },
}

impl RawValue<'_> {
    /// Returns the text of a string.
    fn text(&self) -> Result<&str, String> {
        match self {
            Self::Variable { text, .. } => Ok(text),
            Self::File { value: Value::String(text), .. } => Ok(text),
            Self::File { .. } => Err("expected a string".to_owned()),
        }
    }

    /// Returns the text of a string or a number.
    fn scalar(&self, expected: &str) -> Result<String, String> {
        match self {
            Self::File { value: Value::Integer(number), .. } => Ok(number.to_string()),
            Self::File { value: Value::Float(number), .. } => Ok(number.to_string()),
            _ => self.text().map(str::to_owned).map_err(|_| format!("expected {expected}")),
        }
    }

    fn strings(&self, expected: &str) -> Result<Vec<String>, String> {
        let Self::File { value: Value::Array(items), .. } = self else {
            return Err(format!("expected {expected}"));
        };
        let items: Option<Vec<&str>> = items.iter().map(Value::as_str).collect();
        let items = items.ok_or_else(|| format!("expected {expected}"))?;
        Ok(items.into_iter().map(str::to_owned).collect())
    }
}

/// A form of values.
pub(crate) trait ValueType {
    /// The value that is read.
    type Value: Clone;

    /// Reads a value; `allowed` are the values that the key allows, none: all.
    fn read(written: &RawValue<'_>, allowed: &[&str]) -> Result<Self::Value, String>;

    /// Writes a value for `envctl config`.
    fn show(value: &Self::Value) -> String;
}

/// Declares forms: the type of the value, its reader, its text.
macro_rules! forms {
    ($($(#[$doc:meta])* $form:ident($value:ty): $read:expr, $show:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $form;

        impl ValueType for $form {
            type Value = $value;

            fn read(written: &RawValue<'_>, allowed: &[&str]) -> Result<$value, String> {
                let read: fn(&RawValue<'_>, &[&str]) -> Result<$value, String> = $read;
                read(written, allowed)
            }

            fn show(value: &$value) -> String {
                let show: fn(&$value) -> String = $show;
                show(value)
            }
        }
    )*};
}

forms! {
    /// A string.
    Text(String): |written, allowed| one_of(written.text()?, |text| text, allowed), Clone::clone;
    /// An allowed name, perhaps with a level after a colon: `zstd:9`.
    WithLevel(String): |written, allowed| {
        one_of(written.text()?, |text| text.split_once(':').map_or(text, |(name, _)| name), allowed)
    }, Clone::clone;
    /// Name of a stack or a profile.
    Name(String): |written, _| {
        let name = written.text()?;
        check_name(name).map(|()| name.to_owned())
    }, Clone::clone;
    /// Names between commas.
    NameList(Vec<String>): |written, _| {
        let names = written.text()?.split(',').map(str::trim).filter(|name| !name.is_empty());
        Ok(names.map(str::to_owned).collect())
    }, |names| names.join(", ");
    /// True or false.
    Switch(bool): |written, _| match written {
        RawValue::File { value: Value::Boolean(value), .. } => Ok(*value),
        RawValue::File { .. } => Err("expected true or false".to_owned()),
        RawValue::Variable { text, .. } => match text.to_ascii_lowercase().as_str() {
            "1" | "true" | "yes" | "on" => Ok(true),
            "0" | "false" | "no" | "off" => Ok(false),
            _ => Err(format!("`{}` is neither true nor false", text.escape_debug())),
        },
    }, bool::to_string;
    /// A whole number.
    Number(u32): |written, _| whole(written, "a whole number"), u32::to_string;
    /// A whole number from 1.
    Count(u32): |written, _| match whole(written, "a whole number")? {
        0 => Err("at least 1".to_owned()),
        number => Ok(number),
    }, u32::to_string;
    /// A TCP port.
    Port(u16): |written, _| whole(written, "the number of a port"), u16::to_string;
    /// A number of sessions from 1, or `auto`: `None`.
    Jobs(Option<u32>): |written, _| match written.scalar("`auto` or a number of sessions")?.as_str() {
        "auto" => Ok(None),
        text => match text.parse() {
            Ok(0) => Err("at least 1".to_owned()),
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(format!("`{}` is neither `auto` nor a whole number", text.escape_debug())),
        },
    }, |jobs| jobs.map_or_else(|| "auto".to_owned(), |jobs| jobs.to_string());
    /// A duration, as text or as a number of seconds.
    Time(Duration): |written, _| {
        duration::parse(&written.scalar("a duration such as \"10s\" or a number of seconds")?)
    }, |limit| duration::format(*limit);
    /// A number of backups, or `all`.
    KeepCount(u32): |written, _| keep_count(&written.scalar("`all` or a whole number")?),
        |number| shown_count(*number);
    /// A duration of the calendar.
    CalendarAge(CalendarDuration): |written, _| {
        CalendarDuration::parse(&written.scalar("a duration such as \"14d\" or \"6mo\"")?)
    }, CalendarDuration::to_string;
    /// Name of a time zone.
    ZoneName(String): |written, _| {
        let name = written.text()?;
        zone(name).map(|_| name.to_owned())
    }, Clone::clone;
    /// A cron expression.
    CronText(CronSchedule): |written, _| CronSchedule::parse(written.text()?), CronSchedule::to_string;
    /// A size in bytes.
    Size(u64): |written, _| size(&written.scalar("a number, or a text such as \"512m\"")?), |bytes| shown_size(*bytes);
    /// Bytes of memory for a container.
    Memory(u64): |written, _| {
        memory(&written.scalar("a number, or a text such as \"512m\"")?)
    }, |bytes| shown_size(*bytes);
    /// A number of processors.
    Cpus(f64): |written, _| cpus(&written.scalar("a number such as 1.5")?), f64::to_string;
    /// A path: in a file relative to it, or below home after `~/`; in a variable relative to the working directory.
    FilePath(PathBuf): |written, _| {
        let path = Path::new(written.text()?);
        Ok(match written {
            RawValue::Variable { cwd, .. } => cwd.join(path),
            RawValue::File { dir, home, .. } => match (path.strip_prefix("~"), home) {
                (Ok(below), Some(home)) => home.join(below),
                _ => dir.join(path),
            },
        })
    }, |path| path.display().to_string();
    /// A list of patterns.
    Patterns(Vec<String>): |written, _| written.strings("a list of patterns"), |patterns| patterns.join(", ");
    /// Addresses of stores; in a variable between commas.
    StoreUrls(Vec<StoreUrl>): |written, _| {
        let urls = match written {
            RawValue::Variable { text, .. } => {
                text.split(',').map(str::trim).filter(|url| !url.is_empty()).map(str::to_owned).collect()
            }
            RawValue::File { .. } => written.strings("a list of addresses such as [\"s3://bucket/backups\"]")?,
        };
        urls.iter().map(|url| url.parse()).collect()
    }, |urls| urls.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    /// Public keys of recipients; in a variable between commas.
    RecipientKeys(Vec<String>): |written, _| {
        let keys: Vec<String> = match written {
            RawValue::Variable { text, .. } => text.split(',').map(|key| key.trim().to_owned()).collect(),
            RawValue::File { .. } => written.strings("a list of public keys such as [\"age1…\"]")?,
        };
        if keys.is_empty() {
            return Err("at least one public key; without encryption the key is left out".to_owned());
        }
        for (number, key) in keys.iter().enumerate() {
            AgeRecipients::check(key).map_err(|fault| format!("number {}: {fault}", number + 1))?;
        }
        Ok(keys)
    }, |keys| keys.join(", ");
    /// Address of an HTTP server, without credentials.
    HttpUrl(String): |written, _| {
        let url = written.text()?;
        let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        match host {
            Some(host) if !host.is_empty() && !host.contains(['@', '?', '#']) => {
                Ok(url.trim_end_matches('/').to_owned())
            }
            _ => Err("expected http://HOST:PORT or https://HOST, without credentials".to_owned()),
        }
    }, Clone::clone;
    /// Address of a ping, shown without its path.
    PingAddress(PingUrl): |written, _| PingUrl::parse(written.text()?), PingUrl::to_string;
    /// A command: the program and its arguments.
    CommandLine(Vec<String>): |written, _| {
        let argv = written.strings("a list of arguments such as [\"pass\", \"show\", \"db\"]")?;
        match argv.first() {
            Some(program) if !program.is_empty() => Ok(argv),
            _ => Err("the command is empty".to_owned()),
        }
    }, |argv| argv.join(" ");
}

impl ValueType for Color {
    type Value = Self;

    fn read(written: &RawValue<'_>, _: &[&str]) -> Result<Self, String> {
        written.text()?.parse()
    }

    fn show(value: &Self) -> String {
        value.keyword().to_owned()
    }
}

fn one_of(text: &str, name: fn(&str) -> &str, allowed: &[&str]) -> Result<String, String> {
    if allowed.is_empty() || allowed.contains(&name(text)) {
        return Ok(text.to_owned());
    }
    Err(format!("`{}` is not one of {}", text.escape_debug(), allowed.join(", ")))
}

fn whole<T: FromStr>(written: &RawValue<'_>, expected: &str) -> Result<T, String> {
    let text = written.scalar(expected)?;
    text.parse().map_err(|_| format!("`{}` is not {expected}", text.escape_debug()))
}

/// Number of backups to keep; `all` is the largest number.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn keep_count(text: &str) -> Result<u32, String> {
    match text.trim() {
        "all" => Ok(u32::MAX),
        number => number
            .parse()
            .map_err(|_| format!("`{}` is neither `all` nor a whole number", text.escape_debug())),
    }
}

/// Writes a number of backups as [`keep_count`] reads it.
pub(crate) fn shown_count(number: u32) -> String {
    if number == u32::MAX { "all".to_owned() } else { number.to_string() }
}

/// Time zone of a name.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("`{}` is no time zone; write a name such as `Europe/Berlin` or `UTC`", name.escape_debug())
    })
}

/// Bytes of memory for a container, as [`size`] reads them.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn memory(text: &str) -> Result<u64, String> {
    let bytes = size(text)?;
    if bytes < LEAST_MEMORY { Err("a container needs at least 6m".to_owned()) } else { Ok(bytes) }
}

/// Bytes from `512m`, `2g`, `1GiB` or a plain number.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{}` is no size such as 512m or 2g", text.escape_debug());
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &lower[digits.len()..] {
        "" | "b" => 1,
        "k" | "kb" | "kib" => 1 << 10,
        "m" | "mb" | "mib" => 1 << 20,
        "g" | "gb" | "gib" => 1 << 30,
        _ => return Err(wrong()),
    };
    let number: f64 = digits.trim().parse().map_err(|_| wrong())?;
    let bytes = number * f64::from(unit);
    if !bytes.is_finite() || bytes < 0.0 {
        return Err(wrong());
    }
    Ok(bytes as u64)
}

/// Writes a size in the largest unit that holds it in whole numbers.
pub(crate) fn shown_size(bytes: u64) -> String {
    let units = [(30, "g"), (20, "m"), (10, "k")];
    let unit = units.into_iter().find(|(bits, _)| bytes > 0 && bytes.trailing_zeros() >= *bits);
    unit.map_or_else(|| bytes.to_string(), |(bits, unit)| format!("{}{unit}", bytes >> bits))
}

/// Processors from `1.5`.
///
/// # Errors
/// Phrase that names the fault of the text.
pub(crate) fn cpus(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(cpus) if cpus.is_finite() && (0.01..=1024.0).contains(&cpus) => Ok(cpus),
        _ => Err(format!("`{}` is no number of processors such as 1.5", text.escape_debug())),
    }
}

/// Stack and profile names become folders of backups, so they must not lead anywhere else.
///
/// # Errors
/// Phrase that names the fault of the name.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let inner = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    if name.starts_with(char::is_alphanumeric) && name.chars().all(inner) {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(format!("`{name}` is not a name: use letters, digits, `-`, `_` and `.`, a letter or digit first"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_with_their_units() {
        for (text, bytes) in [("512m", 512 << 20), ("2G", 2 << 30), ("1.5gib", 3 << 29), ("8388608", 8 << 20)]
        {
            assert_eq!(memory(text), Ok(bytes), "{text}");
            assert_eq!(size(&shown_size(bytes)), Ok(bytes), "{text}");
        }
        for text in ["", "m", "lots", "1x", "-1g", "5m", "NaN", "é"] {
            assert!(memory(text).is_err(), "{text}");
        }
        assert_eq!((size("0"), size("20m"), shown_size(0)), (Ok(0), Ok(20 << 20), "0".to_owned()));
        assert_eq!(cpus("1.5"), Ok(1.5));
        assert!(["0", "-1", "inf", "", "two"].iter().all(|text| cpus(text).is_err()));
    }
}
