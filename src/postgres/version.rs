//! Capabilities of a server by its version. No other module holds version numbers.

use std::fmt;

/// `server_version_num` with the words the server uses for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServerVersion {
    num: u32,
    text: String,
}

impl ServerVersion {
    /// From `server_version_num` (150018) and `server_version` ("15.18 (Debian …)").
    pub(crate) fn new(num: u32, text: &str) -> Self {
        Self { num, text: text.split_whitespace().next().unwrap_or(text).to_owned() }
    }

    /// From the header of a dump or the output of a tool: the first word that reads like a version.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|token| {
            let token = token.trim_matches(|c: char| !c.is_ascii_digit());
            let mut parts = token.split('.');
            let major: u32 = parts.next()?.parse().ok()?;
            let minor: u32 = parts.next().map_or(Some(0), |part| part.parse().ok())?;
            (major >= 9).then(|| Self { num: major * 10_000 + minor, text: token.to_owned() })
        })
    }

    /// 15 of 15.18.
    pub(crate) fn major(&self) -> u32 {
        self.num / 10_000
    }

    /// Reports whether the server's psql knows `\restrict` (CVE-2025-8714: 17.6, 16.10, 15.14, 14.19, 13.22 and
    /// later).
    pub(crate) fn psql_knows_restrict(&self) -> bool {
        let minor = self.num % 10_000;
        match self.major() {
            13 => minor >= 22,
            14 => minor >= 19,
            15 => minor >= 14,
            16 => minor >= 10,
            17 => minor >= 6,
            major => major >= 18,
        }
    }

    /// Reports whether the server's pg_dump may have been built with Zstandard (16).
    pub(crate) fn pg_dump_may_know_zstd(&self) -> bool {
        self.major() >= 16
    }

    /// Reports whether databases have a locale provider (`datlocprovider`, 15).
    pub(crate) fn has_locale_provider(&self) -> bool {
        self.major() >= 15
    }

    /// Reports whether a database stores the version of the collation that built its indexes (15).
    pub(crate) fn remembers_collation_version(&self) -> bool {
        self.major() >= 15
    }

    /// The column with the ICU or builtin locale: `daticulocale` in 15 and 16, `datlocale` from 17.
    pub(crate) fn locale_column(&self) -> Option<&'static str> {
        match self.major() {
            0..=14 => None,
            15..=16 => Some("daticulocale"),
            _ => Some("datlocale"),
        }
    }

    /// Reports whether single settings can be granted to a role (`GRANT SET ON PARAMETER`, 15).
    pub(crate) fn grants_parameters(&self) -> bool {
        self.major() >= 15
    }

    /// Reports whether databases have ICU rules (16).
    pub(crate) fn has_icu_rules(&self) -> bool {
        self.major() >= 16
    }
}

impl fmt::Display for ServerVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restrict_came_with_the_august_2025_releases() {
        let knows = |num| ServerVersion::new(num, "").psql_knows_restrict();
        assert!(!knows(150_013) && knows(150_014) && knows(150_018));
        assert!(!knows(170_005) && knows(170_006) && knows(180_000) && !knows(120_020));
    }

    #[test]
    fn versions_are_read_from_what_tools_print() {
        let parsed = |text| ServerVersion::parse(text).map(|v| v.num);
        assert_eq!(parsed("15.18 (Debian 15.18-0+deb12u1)"), Some(150_018));
        assert_eq!(parsed("pg_dump (PostgreSQL) 17.5"), Some(170_005));
        assert_eq!(parsed("18beta1"), None, "a beta is no release anybody restores from");
        assert_eq!(parsed("none"), None);
    }
}
