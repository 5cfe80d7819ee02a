//! Which of a stack's lives this is: dev, prod or another name, and what says so.
//!
//! Promises: one spelling (`development` is `dev`, `production` is `prod`); what cannot be known is
//! unknown, never dev, and counts as prod wherever something is guarded.

use std::fmt;

use super::evidence::Evidence;

/// The words a name or a compose file's name may carry, with the profile each means.
const NAMES: [(&str, &str); 5] = [
    ("dev", "dev"),
    ("development", "dev"),
    ("prod", "prod"),
    ("production", "prod"),
    ("staging", "staging"),
];

/// A profile, with the reasons for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Profile {
    /// The normalised name; `None` where it cannot be known.
    pub(crate) name: Option<String>,
    /// Evidence for the name; for an unknown profile, the evidence that disagrees.
    pub(crate) evidence: Vec<Evidence>,
}

impl Profile {
    pub(crate) fn known(name: &str, evidence: Vec<Evidence>) -> Self {
        Self { name: normalise(name), evidence }
    }

    pub(crate) fn unknown(evidence: Vec<Evidence>) -> Self {
        Self { name: None, evidence }
    }

    /// Reports whether the profile is known to be production.
    pub(crate) fn is_prod(&self) -> bool {
        self.name.as_deref() == Some("prod")
    }

    /// Reports whether the profile is known to be development.
    pub(crate) fn is_dev(&self) -> bool {
        self.name.as_deref() == Some("dev")
    }

    /// Reports whether the profile has no evidence, or evidence that disagrees.
    pub(crate) fn is_unknown(&self) -> bool {
        self.name.is_none()
    }

    /// Reports whether guards treat the profile as production: a production profile or an unknown one.
    pub(crate) fn counts_as_prod(&self) -> bool {
        self.is_prod() || self.is_unknown()
    }

    /// Reports whether the profile has evidence that disagrees.
    pub(crate) fn is_disputed(&self) -> bool {
        self.is_unknown() && !self.evidence.is_empty()
    }

    /// The name, or `unknown`.
    pub(crate) fn keyword(&self) -> &str {
        self.name.as_deref().unwrap_or("unknown")
    }

    /// The flag that picks this profile: `--dev`, `--prod` or `--profile NAME`.
    pub(crate) fn flag(&self) -> String {
        match self.keyword() {
            "dev" => "--dev".to_owned(),
            "prod" => "--prod".to_owned(),
            other => format!("--profile {}", crate::text::shell_word::shell_word(other)),
        }
    }

    /// The reasons in one phrase.
    pub(crate) fn because(&self) -> String {
        if self.evidence.is_empty() {
            return "nothing says which profile it is".to_owned();
        }
        self.evidence.iter().map(|evidence| evidence.text.as_str()).collect::<Vec<_>>().join(", ")
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::text::escape::escape(self.keyword()))
    }
}

/// The one spelling of a profile's name; `None` for `unknown` and for nothing.
pub(crate) fn normalise(name: &str) -> Option<String> {
    let name = name.trim();
    match named(name) {
        Some(profile) => Some(profile.to_owned()),
        None if name.is_empty() || name.eq_ignore_ascii_case("unknown") => None,
        None => Some(name.to_owned()),
    }
}

/// The profile that a single word means by convention.
pub(crate) fn named(part: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| part.eq_ignore_ascii_case(known)).map(|(_, profile)| *profile)
}

/// Splits `acme-prod` into `acme` and `prod`. A name that is nothing but the word is stack and profile in
/// one: the project of a directory called `prod`.
pub(crate) fn split_suffix(name: &str) -> (&str, Option<&'static str>) {
    if let Some(profile) = named(name) {
        return (name, Some(profile));
    }
    match name.rsplit_once(['-', '_']) {
        Some((stem, part)) if !stem.trim_matches(['-', '_']).is_empty() => match named(part) {
            Some(profile) => (stem.trim_end_matches(['-', '_']), Some(profile)),
            None => (name, None),
        },
        _ => (name, None),
    }
}

/// The profiles that a compose file's name speaks of: `docker-compose.prod.yml`, `compose-dev.yaml`.
/// Only the file's own name counts: every file below `/srv/dev/` would be one otherwise.
pub(crate) fn of_file(path: &str) -> impl Iterator<Item = &'static str> {
    let name = path.rsplit(['/', '\\']).next().unwrap_or(path);
    name.split(['.', '-', '_']).filter_map(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes_split() {
        for (name, stem, profile) in [
            ("acme-prod", "acme", Some("prod")),
            ("acme_production", "acme", Some("prod")),
            ("acme-development", "acme", Some("dev")),
            ("my-shop-staging", "my-shop", Some("staging")),
            ("ACME-PROD", "ACME", Some("prod")),
            ("acme__dev", "acme", Some("dev")),
            ("acme", "acme", None),
            ("acmedev", "acmedev", None),
            ("acme-devel", "acme-devel", None),
            ("prod", "prod", Some("prod")),
            ("-prod", "-prod", None),
            ("", "", None),
        ] {
            assert_eq!(split_suffix(name), (stem, profile), "{name}");
        }
    }

    #[test]
    fn files_speak_by_their_own_name() {
        for (path, said) in [
            ("/srv/acme/docker-compose.prod.yml", vec!["prod"]),
            ("compose.dev.yaml", vec!["dev"]),
            ("docker-compose-production.yml", vec!["prod"]),
            ("/srv/dev/compose.yml", vec![]),
            ("C:\\acme\\compose.staging.yml", vec!["staging"]),
            ("compose.dev.prod.yml", vec!["dev", "prod"]),
            ("compose.product.yml", vec![]),
        ] {
            assert_eq!(of_file(path).collect::<Vec<_>>(), said, "{path}");
        }
    }

    #[test]
    fn only_prod_and_unknown_are_guarded_as_prod() {
        for (name, prod, guarded) in [
            ("prod", true, true),
            ("Production", true, true),
            ("dev", false, false),
            ("DEVELOPMENT", false, false),
            ("staging", false, false),
            ("eu-west", false, false),
            ("unknown", false, true),
            (" ", false, true),
        ] {
            let profile = Profile::known(name, Vec::new());
            assert_eq!((profile.is_prod(), profile.counts_as_prod()), (prod, guarded), "{name}");
        }
    }
}
