//! An `envctl.toml` written from what is running: a beginning that says only what is known.
//!
//! Promises: what is known stands as settings, everything else as comments that show how it would be written; the
//! text reads back as a file of settings, whatever the stack and its services are called.

use std::collections::BTreeMap;

use crate::environment::{Environment, Role};
use crate::text::escape::is_hostile;

/// The text for a stack, from all of its environments (one for each profile and directory).
pub(crate) fn draft(stack: &str, environments: &[&Environment]) -> String {
    let mut text = format!(
        "\
# envctl.toml: what envctl cannot find out by itself, or shall not have to guess. Every key is optional;
# `envctl config` shows every setting and where it comes from.

# The name of this project's stack.
stack = {}
",
        quoted(stack)
    );
    let mut profiles: BTreeMap<&str, Vec<&Environment>> = BTreeMap::new();
    for environment in environments {
        if let Some(name) = environment.profile.name.as_deref() {
            profiles.entry(name).or_default().push(environment);
        }
    }
    for (name, found) in &profiles {
        text.push_str(&profile(name, found));
    }
    for environment in environments.iter().filter(|environment| environment.profile.name.is_none()) {
        let project = environment.project.as_deref().map_or_else(|| "…".to_owned(), quoted);
        text.push_str(&format!(
            "
# Runs, and nothing says which profile it is; until then it counts as production. Give it its name:
#[profiles.dev]
#project = {project}
"
        ));
    }
    for name in ["dev", "prod"].iter().filter(|name| !profiles.contains_key(*name)) {
        text.push_str(&format!("\n# No {name} of it is running.\n#[profiles.{name}]\n#project = \"…\"\n"));
    }
    text.push_str(REST);
    text
}

/// One profile. Several checkouts that run as one profile are all named, and none of them chosen.
fn profile(name: &str, found: &[&Environment]) -> String {
    let mut text = format!("\n[profiles.{}]\n", key(name));
    match found {
        [only] => {
            match &only.project {
                Some(project) => {
                    text.push_str(&format!("# The compose project.\nproject = {}\n", quoted(project)));
                }
                None => text.push_str("#project = \"…\"\n"),
            }
            for (role, role_name) in [(Role::Backend, "backend"), (Role::Db, "db")] {
                text.push_str(&service(only, role, role_name));
            }
        }
        several => {
            text.push_str("# Several compose projects run as this profile; name the one that is meant:\n");
            for project in several.iter().filter_map(|environment| environment.project.as_deref()) {
                text.push_str(&format!("#project = {}\n", quoted(project)));
            }
        }
    }
    if found.iter().any(|environment| environment.protected) {
        text.push_str("# `envctl.protected` is set on its database, so nothing is destroyed here.\n");
    } else if name == "prod" {
        text.push_str("# Refuse to destroy anything here, whatever the options.\n#protected = true\n");
    }
    if name == "prod" {
        text.push_str(
            "# The Docker context in which it runs, where that is another machine.\n#context = \"…\"\n",
        );
    }
    text
}

fn service(environment: &Environment, role: Role, role_name: &str) -> String {
    let mut services: Vec<&str> = environment.with_role(role).map(|member| member.service.as_str()).collect();
    services.dedup();
    match services.as_slice() {
        [only] => format!("{role_name} = {}\n", quoted(only)),
        [] => format!(
            "# No {role_name} was found: the service or container that is it.\n#{role_name} = \"…\"\n"
        ),
        several => {
            let mut text = format!("# Several look like the {role_name}; name the one that is meant:\n");
            for service in several {
                text.push_str(&format!("#{role_name} = {}\n", quoted(service)));
            }
            text
        }
    }
}

const REST: &str = "
# How to reach the database, where the container's own settings (POSTGRES_DB, POSTGRES_USER) do not tell.
#[database]
#name = \"…\"
#user = \"…\"
#password_file = \"secrets/database\"

#[backup]
# Where backups lie, as STACK/PROFILE/backup_….sql.gz; relative to this file.
#dir = \"backups\"
#compress = \"zstd\"
#exclude_table_data = [\"public.sessions\"]
";

/// A name as a TOML string on one line, in which nothing turns or hides what it shows.
fn quoted(name: &str) -> String {
    let mut quoted = String::from("\"");
    for c in name.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if is_hostile(c) => quoted.push_str(&format!("\\U{:08X}", c as u32)),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name as a TOML key.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c));
    if bare { name.to_owned() } else { quoted(name) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back_as_they_are() {
        for name in [
            "acme",
            "a\"b",
            "a\\b",
            "a\nb = 1",
            "größe",
            "a\u{202e}b",
            "a\u{3164}\u{e0041}b",
            "\u{85}",
            "\u{7f}",
            "\u{1b}[2J",
            "[x]",
            "",
        ] {
            let text = draft(name, &[]);
            let read: toml::Table = text.parse().unwrap_or_else(|e| panic!("{name:?}: {e}\n{text}"));
            assert_eq!(read["stack"].as_str(), Some(name));
            let text = format!("[profiles.{}]\nproject = {}\n", key(name), quoted(name));
            let read: toml::Table = text.parse().unwrap_or_else(|e| panic!("{name:?}: {e}\n{text}"));
            assert_eq!(read["profiles"][name]["project"].as_str(), Some(name));
        }
    }

    /// Every line that is a key behind `#` without a space is one that envctl knows.
    #[test]
    fn what_stands_in_comments_are_settings() {
        let mut at: Vec<String> = Vec::new();
        let mut seen = 0;
        for line in draft("acme", &[]).lines() {
            let Some(line) = line.strip_prefix('#').filter(|line| !line.starts_with(' ')) else { continue };
            if let Some(table) = line.strip_prefix('[') {
                at = table.trim_end_matches(']').split('.').map(str::to_owned).collect();
            } else if let Some((key, _)) = line.split_once(" = ") {
                let path: Vec<&str> = at.iter().map(String::as_str).chain([key]).collect();
                assert!(super::super::keys::KEYS.iter().any(|known| known.matches(&path)), "{path:?}");
                seen += 1;
            }
        }
        assert!(seen >= 6, "{seen}");
    }
}
