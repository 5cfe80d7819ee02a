//! Target options of this run, and the one function that puts them into the commands that a hint names.
//!
//! A hint is written where the failure is known: deep below the command line, with the arguments that belong to the
//! failure (`` `envctl restore undo` ``). Which stack, profile, database and Docker host were meant is known at the top
//! alone. So [`TargetOptions::complete`] adds them when a hint is printed: the command that a person copies then means
//! the same target from the directory where it is typed.
//!
//! Promises: an option that the command names already is not added; a command that takes no such option stays as it is;
//! everything outside of `` `envctl …` `` stays as it is.

/// Options that name the target, each in the form in which a shell takes it (`-s shop`), quoted where that is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TargetOptions {
    /// Options that say where the configuration and the Docker host are: `-C DIR`, `--config FILE`, `--context NAME`.
    pub(crate) location: Vec<String>,
    /// `-s NAME`, or nothing where the directory alone says which stack is meant.
    pub(crate) stack: Option<String>,
    /// `--dev`, `--prod` or `--profile NAME`.
    pub(crate) profile: Option<String>,
    /// The profile was typed, and not found by discovery.
    pub(crate) profile_typed: bool,
    /// `--container NAME`.
    pub(crate) container: Option<String>,
    /// `--index N`.
    pub(crate) index: Option<String>,
    /// `-d NAME`.
    pub(crate) database: Option<String>,
}

/// Names under which an option may stand in a command already.
const LOCATION_NAMES: &[&str] = &["-C", "--project-dir", "--config", "--context", "-H", "--host"];
const STACK_NAMES: &[&str] = &["-s", "--stack", "--all-stacks", "--resume"];
const PROFILE_NAMES: &[&str] = &["--dev", "--prod", "--profile", "--to"];
const CONTAINER_NAMES: &[&str] = &["--container"];
const INDEX_NAMES: &[&str] = &["--index"];
const DATABASE_NAMES: &[&str] = &["-d", "--database", "--into"];

/// Commands that have no target at all.
const WITHOUT_TARGET: &[&str] = &["completions", "man", "help", "--help", "--version"];
/// Commands over every stack and profile: options that discovery found would narrow them.
const OVER_ALL: &[&str] = &["status", "doctor", "config", "init"];
/// Commands whose first argument names a role or service.
const OF_A_SERVICE: &[&str] = &["shell", "ssh", "exec", "logs", "forward"];
/// Commands that speak to one database and let it be named.
const OF_A_DATABASE: &[&str] = &["psql", "backup", "db:dump", "restore", "db:restore", "migrate"];

impl TargetOptions {
    /// Returns the text with this run's target options added to each command in it that stands in backticks.
    pub(crate) fn complete(&self, text: &str) -> String {
        const OPENING: &str = "`envctl ";
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(OPENING) {
            let begin = at + 1;
            let Some(len) = rest[begin..].find('`') else { break };
            out.push_str(&rest[..begin]);
            out.push_str(&self.with_options(&rest[begin..begin + len]));
            rest = &rest[begin + len..];
        }
        out.push_str(rest);
        out
    }

    /// One command, `envctl VERB …`, with the options that it lacks.
    fn with_options(&self, command: &str) -> String {
        let (own, behind) = split_at_double_dash(command);
        let arguments = arguments(own);
        let verb = arguments.get(1).map_or("", String::as_str);
        if verb.is_empty() || WITHOUT_TARGET.contains(&verb) {
            return command.to_owned();
        }
        let lacks = |names: &[&str]| !arguments.iter().any(|argument| is_one_of(argument, names));
        let mut added: Vec<&str> = Vec::new();
        for option in &self.location {
            // Each kind of location for itself: `--context` does not stand for `-C`.
            let name = option.split([' ', '=']).next().unwrap_or_default();
            let same: Vec<&str> =
                LOCATION_NAMES.iter().copied().filter(|other| same_option(name, other)).collect();
            if lacks(&same) {
                added.push(option);
            }
        }
        let over_all = OVER_ALL.contains(&verb);
        let of_the_database = if OF_A_SERVICE.contains(&verb) {
            arguments.get(2).is_some_and(|role| role == "db")
        } else {
            OF_A_DATABASE.contains(&verb)
        };
        let profile_fits = self.profile_typed || !over_all;
        for (option, names, fits) in [
            (&self.stack, STACK_NAMES, true),
            (&self.profile, PROFILE_NAMES, profile_fits),
            (&self.container, CONTAINER_NAMES, of_the_database),
            (&self.index, INDEX_NAMES, of_the_database),
            (&self.database, DATABASE_NAMES, OF_A_DATABASE.contains(&verb)),
        ] {
            if let Some(option) = option
                && fits
                && lacks(names)
            {
                added.push(option);
            }
        }
        if added.is_empty() {
            return command.to_owned();
        }
        let gap = if behind.is_empty() { "" } else { " " };
        format!("{} {}{gap}{behind}", own.trim_end(), added.join(" "))
    }
}

/// Splits a command before ` -- `: what follows belongs to another program.
fn split_at_double_dash(command: &str) -> (&str, &str) {
    match command.find(" -- ") {
        Some(at) => (&command[..at], &command[at + 1..]),
        None => (command, ""),
    }
}

/// Words of a command line; quoted parts are kept together, without their quotes.
fn arguments(command: &str) -> Vec<String> {
    let (mut arguments, mut argument, mut quote) = (Vec::new(), None::<String>, None);
    for c in command.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => {
                quote = Some(c);
                argument.get_or_insert_default();
            }
            (None, ' ') => arguments.extend(argument.take()),
            _ => argument.get_or_insert_default().push(c),
        }
    }
    arguments.extend(argument);
    arguments
}

fn is_one_of(argument: &str, names: &[&str]) -> bool {
    names.iter().any(|name| {
        argument == *name || (name.starts_with("--") && argument.starts_with(&format!("{name}=")))
    })
}

/// Reports whether two names mean one option: `-C` and `--project-dir`, `-H` and `--host`.
fn same_option(a: &str, b: &str) -> bool {
    let long = |name| match name {
        "-C" => "--project-dir",
        "-H" => "--host",
        other => other,
    };
    long(a) == long(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prod_of_shop() -> TargetOptions {
        TargetOptions {
            location: vec!["--context eu".to_owned()],
            stack: Some("-s shop".to_owned()),
            profile: Some("--prod".to_owned()),
            profile_typed: true,
            container: Some("--container first".to_owned()),
            index: None,
            database: Some("-d h1".to_owned()),
        }
    }

    #[test]
    fn a_hint_means_the_target_of_this_run() {
        let options = prod_of_shop();
        for (hint, completed) in [
            (
                "take it back: `envctl restore undo`",
                "take it back: `envctl restore undo --context eu -s shop --prod --container first -d h1`",
            ),
            (
                "see `envctl exec backend -- npx prisma -s x`, then `envctl migrate`",
                "see `envctl exec backend --context eu -s shop --prod -- npx prisma -s x`, then `envctl migrate --context eu \
                 -s shop --prod --container first -d h1`",
            ),
            (
                "its logs: `envctl logs db`",
                "its logs: `envctl logs db --context eu -s shop --prod --container first`",
            ),
            (
                "apply it there first: `envctl migrate --dev`",
                "apply it there first: `envctl migrate --dev --context eu -s shop --container first -d h1`",
            ),
            (
                "`envctl psql -d postgres -c 'select \"-s\"'` shows them",
                "`envctl psql -d postgres -c 'select \"-s\"' --context eu -s shop --prod --container first` shows them",
            ),
            (
                "`envctl restore F --into h2`",
                "`envctl restore F --into h2 --context eu -s shop --prod --container first`",
            ),
            (
                "go on: `envctl backup --resume`",
                "go on: `envctl backup --resume --context eu --prod --container first -d h1`",
            ),
            ("`envctl help exit-codes`", "`envctl help exit-codes`"),
            ("`docker logs x`, or envctl psql", "`docker logs x`, or envctl psql"),
            ("an open `envctl psql", "an open `envctl psql"),
        ] {
            assert_eq!(options.complete(hint), completed);
        }
    }

    #[test]
    fn a_profile_that_discovery_found_does_not_narrow_a_command_over_all() {
        let options = TargetOptions { profile_typed: false, ..prod_of_shop() };
        assert_eq!(options.complete("`envctl status`"), "`envctl status --context eu -s shop`");
        assert_eq!(prod_of_shop().complete("`envctl doctor`"), "`envctl doctor --context eu -s shop --prod`");
    }

    #[test]
    fn without_options_nothing_is_added() {
        let text = "see `envctl backup list` and `envctl migrate --dev`";
        assert_eq!(TargetOptions::default().complete(text), text);
    }
}
