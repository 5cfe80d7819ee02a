//! The name of a backup: `backup_20241201_143022.sql.gz`, in UTC, so that names sort by time.
//!
//! Promise: one formatter, one parser, and they agree.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A backup's name without its extension: a second, and a number where one second has several.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Label {
    /// The second it was begun, UTC.
    pub(crate) at: DateTime,
    /// 1, or more for the later ones of one second.
    pub(crate) number: u32,
}

/// Every extension a backup of ours may have.
const EXTENSIONS: &[&str] = &[
    ".sql",
    ".sql.gz",
    ".sql.zst",
    ".dump",
    ".tar",
    ".sql.age",
    ".sql.gz.age",
    ".sql.zst.age",
    ".dump.age",
    ".tar.age",
];

/// Extension behind that of an encrypted backup.
pub(crate) const ENCRYPTED: &str = ".age";

impl Label {
    /// For a backup begun now.
    pub(crate) fn new(now: Timestamp) -> Self {
        let at = now.to_zoned(TimeZone::UTC).datetime();
        Self { at: at.with().subsec_nanosecond(0).build().unwrap_or(at), number: 1 }
    }

    /// The next name within the same second.
    #[must_use]
    pub(crate) fn next(self) -> Self {
        Self { number: self.number + 1, ..self }
    }

    /// The file's name with this extension: `.sql.gz`, `.dump`.
    pub(crate) fn file_name(self, extension: &str) -> String {
        format!("{self}{extension}")
    }

    /// Returns the start time as a timestamp.
    pub(crate) fn timestamp(self) -> Timestamp {
        self.at.to_zoned(TimeZone::UTC).map_or(Timestamp::UNIX_EPOCH, |zoned| zoned.timestamp())
    }

    /// Tells that a backup under this name was not begun at its moment: one of another time has been put in its place.
    pub(crate) fn problem(self, started: Timestamp) -> Option<String> {
        let apart = self.timestamp().as_second() != started.as_second();
        apart.then(|| format!("its manifest is that of {}", Self::new(started)))
    }

    /// The label of a file of ours; `None` for any other name.
    pub(crate) fn of_file(name: &str) -> Option<Self> {
        Self::split(name).map(|(label, _)| label)
    }

    /// The label and the extension of a file of ours.
    pub(crate) fn split(name: &str) -> Option<(Self, &'static str)> {
        let extension = EXTENSIONS.iter().filter(|e| name.ends_with(**e)).max_by_key(|e| e.len())?;
        Some((name.strip_suffix(extension)?.parse().ok()?, extension))
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "backup_{}", self.at.strftime("%Y%m%d_%H%M%S"))?;
        if self.number > 1 { write!(f, "_{}", self.number) } else { Ok(()) }
    }
}

impl FromStr for Label {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let rest = text.strip_prefix("backup_").ok_or(())?;
        let (stamp, number) = match rest.char_indices().nth(15) {
            None => (rest, 1),
            Some((at, '_')) => (&rest[..at], rest[at + 1..].parse().map_err(|_| ())?),
            Some(_) => return Err(()),
        };
        let at = DateTime::strptime("%Y%m%d_%H%M%S", stamp).map_err(|_| ())?;
        let label = Self { at, number };
        // Only the one spelling: no signs, no leading zeros, no `_1`.
        if label.to_string() == text { Ok(label) } else { Err(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_others_are_not_ours() {
        for name in [
            "backup_20241301_000000.sql",
            "backup_20241201_143022.sql.bz2",
            "backup_20241201_143022_1.sql",
            "x.sql",
            "backup_20241201_143022_02.sql",
            "backup_20241201_143022.sql.gz.json",
            ".backup_20241201_143022.sql",
        ] {
            assert_eq!(Label::of_file(name), None, "{name}");
        }
        assert_eq!(Label::of_file("backup_20241201_143022_2.sql.gz").unwrap().number, 2);
    }

    proptest! {
        #[test]
        fn every_label_reads_back(seconds in 0i64..253_402_300_799, number in 1u32..1000) {
            let label = Label { number, ..Label::new(Timestamp::from_second(seconds).unwrap()) };
            for extension in EXTENSIONS {
                prop_assert_eq!(Label::split(&label.file_name(extension)), Some((label, *extension)));
            }
            prop_assert_eq!(label.timestamp().as_second(), seconds);
        }
    }
}
