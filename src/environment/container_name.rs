//! Stack, service and profile in the name of a container started by hand: `acme-prod-db`, `acme_db_dev`.
//!
//! Promise: a name always gives a stack and a service; a profile only where one word says one.

use super::profile;

/// Final parts that name a container's job, not its application.
const JOBS: [&str; 10] =
    ["db", "database", "postgres", "postgresql", "pg", "backend", "api", "app", "web", "server"];

/// A container's name taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ParsedName {
    pub(crate) stack: String,
    pub(crate) service: String,
    pub(crate) number: Option<u32>,
    /// The profiles that words of the name mean: none, one, or several that disagree.
    pub(crate) profiles: Vec<&'static str>,
}

impl ParsedName {
    /// Reads a container's name.
    pub(crate) fn parse(name: &str) -> Self {
        let mut parts: Vec<&str> = name.split(['-', '_', '.']).filter(|part| !part.is_empty()).collect();
        let number = parts.last().and_then(|part| part.parse().ok()).filter(|n| *n > 0 && parts.len() > 1);
        if number.is_some() {
            parts.pop();
        }
        let mut profiles: Vec<_> = parts.iter().filter_map(|part| profile::named(part)).collect();
        profiles.sort_unstable();
        profiles.dedup();
        let (stack, service) = split(&parts).unwrap_or_else(|| (name.to_owned(), name.to_owned()));
        Self { stack, service, number, profiles }
    }
}

/// The stack is what stands before the profile, or before the final parts that name a job; `None` where the
/// whole name has to be both.
fn split(parts: &[&str]) -> Option<(String, String)> {
    let join = |parts: &[&str]| parts.join("-");
    let spoken = |part: &&str| profile::named(part).is_none();
    let rest: Vec<&str> = parts.iter().copied().filter(spoken).collect();
    let at = parts.iter().position(|part| profile::named(part).is_some());
    if let Some(at) = at.filter(|at| *at > 0) {
        let after: Vec<&str> = parts[at..].iter().copied().filter(spoken).collect();
        if !after.is_empty() {
            return Some((join(&parts[..at]), join(&after)));
        }
    }
    let jobs = rest.iter().rev().take_while(|part| is_job(part)).count();
    let (stack, service) = rest.split_at(rest.len() - jobs);
    match (stack.is_empty(), service.is_empty()) {
        (false, false) => Some((join(stack), join(service))),
        (false, true) => at.map(|_| (join(stack), join(stack))),
        (true, false) if at == Some(0) => Some((parts[0].to_owned(), join(service))),
        (true, false) => at.map(|_| (join(service), join(service))),
        (true, true) => parts.first().map(|part| ((*part).to_owned(), (*part).to_owned())),
    }
}

fn is_job(part: &str) -> bool {
    JOBS.iter().any(|job| part.eq_ignore_ascii_case(job))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_come_apart() {
        for (name, stack, service, number, profiles) in [
            ("acme-prod-db", "acme", "db", None, vec!["prod"]),
            ("acme_db_dev", "acme", "db", None, vec!["dev"]),
            ("acme-db", "acme", "db", None, vec![]),
            ("acme-prod-db-2", "acme", "db", Some(2), vec!["prod"]),
            ("my-shop-api-server", "my-shop", "api-server", None, vec![]),
            ("my_shop_staging_api", "my-shop", "api", None, vec!["staging"]),
            ("prod-db", "prod", "db", None, vec!["prod"]),
            ("db-prod", "db", "db", None, vec!["prod"]),
            ("prod-acme-db", "acme", "db", None, vec!["prod"]),
            ("acme-prod", "acme", "acme", None, vec!["prod"]),
            ("postgres", "postgres", "postgres", None, vec![]),
            ("traefik", "traefik", "traefik", None, vec![]),
            ("acme-dev-prod-db", "acme", "db", None, vec!["dev", "prod"]),
            ("acme-redis", "acme-redis", "acme-redis", None, vec![]),
            ("prod", "prod", "prod", None, vec!["prod"]),
            ("acme-prod-dev", "acme", "acme", None, vec!["dev", "prod"]),
            ("7", "7", "7", None, vec![]),
            ("", "", "", None, vec![]),
        ] {
            let expected = ParsedName { stack: stack.into(), service: service.into(), number, profiles };
            assert_eq!(ParsedName::parse(name), expected, "{name}");
        }
    }

    proptest! {
        #[test]
        fn every_name_has_a_stack_and_a_service(name in "[a-z0-9_.-]{1,30}|.{1,30}") {
            let plain = ParsedName::parse(&name);
            prop_assert!(!plain.stack.is_empty() && !plain.service.is_empty(), "{plain:?}");
        }
    }
}
