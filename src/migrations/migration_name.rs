//! The name of a new migration: what a person types, and nothing that could leave the folder.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;

use crate::error::{self, Error};

/// Prisma refuses longer folder names (P3010): 200 bytes with the date before it.
const LONGEST: usize = 180;

/// A name of letters, digits, `_` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MigrationName(String);

impl MigrationName {
    /// The name as typed.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// With the time before it, as Prisma, dbmate and sqlx name theirs: `20241201143022_add_user`.
    pub(crate) fn dated(&self, at: Timestamp) -> String {
        format!("{}_{}", at.strftime("%Y%m%d%H%M%S"), self.0)
    }
}

impl fmt::Display for MigrationName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MigrationName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why: &str| {
            let better: String = text
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' })
                .collect();
            let better: Vec<&str> = better.split('_').filter(|name| !name.is_empty()).collect();
            let error = error::usage(format!("`{}` is no name for a migration: {why}", text.escape_debug()));
            match better.join("_") {
                better if better.is_empty() => error.hint("write for example `add_user_table`"),
                better => error.hint(format!("write for example `{better}`")),
            }
        };
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if text.len() > LONGEST {
            return Err(wrong("it is longer than 180 characters"));
        }
        if text.starts_with('-') {
            return Err(wrong("it begins with a dash"));
        }
        if !text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-') {
            return Err(wrong("letters, digits, `_` and `-` only"));
        }
        Ok(Self(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_leave_its_folder_and_the_better_one_is_told() {
        for (typed, better) in [
            ("add user table", "`add_user_table`"),
            ("../../etc/passwd", "`etc_passwd`"),
            ("a/b", "`a_b`"),
            ("--rm", "`rm`"),
            ("..", "`add_user_table`"),
            ("", "`add_user_table`"),
        ] {
            let error = typed.parse::<MigrationName>().unwrap_err();
            assert!(error.hints()[0].contains(better), "{typed}: {:?}", error.hints());
        }
        let name: MigrationName = "add_User-2".parse().unwrap();
        let at = "2024-12-01T14:30:22Z".parse().unwrap();
        assert_eq!(name.dated(at), "20241201143022_add_User-2");
    }
}
