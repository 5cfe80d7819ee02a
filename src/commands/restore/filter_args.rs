//! The options of `restore` that leave statements of a dump out or change them.

use crate::dump::sql::Rules;
use crate::error::{self, Result};

/// Options that become the [`Rules`] of a restore.
#[derive(clap::Args, Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option a person types")]
pub(crate) struct FilterArgs {
    /// Leave out the owners: the role that restores owns everything
    #[arg(long)]
    no_owner: bool,
    /// Leave out privileges: GRANT, REVOKE and default privileges
    #[arg(long)]
    no_privileges: bool,
    /// Write role NEW in place of role OLD; repeatable
    #[arg(long, value_name = "OLD=NEW")]
    role_map: Vec<String>,
    /// Leave out an extension that the server has not and nothing needs; repeatable
    #[arg(long, value_name = "NAME")]
    skip_extension: Vec<String>,
    /// Leave out event triggers
    #[arg(long)]
    skip_event_triggers: bool,
    /// Leave out text in front of the dump, such as messages of pg_dump
    #[arg(long)]
    skip_leading_text: bool,
    /// Load a script that does not end as pg_dump's output does; all of it or nothing
    #[arg(long)]
    sql_script: bool,
}

impl FilterArgs {
    /// The rules that were asked for.
    ///
    /// # Errors
    /// Kind `Usage`: a role map that is none, or that maps a role twice.
    pub(crate) fn rules(&self) -> Result<Rules> {
        let mut rules = Rules {
            no_owner: self.no_owner,
            no_privileges: self.no_privileges,
            extensions: self.skip_extension.iter().cloned().collect(),
            event_triggers: self.skip_event_triggers,
            skip_leading_text: self.skip_leading_text,
            script: self.sql_script,
            ..Rules::default()
        };
        for pair in &self.role_map {
            let Some((old, new)) =
                pair.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty())
            else {
                return Err(error::usage(format!("{pair:?} is not a role map"))
                    .hint("write the role of the dump first: `--role-map OLD=NEW`"));
            };
            if rules.roles.insert(old.to_owned(), new.to_owned()).is_some_and(|other| other != new) {
                return Err(error::usage(format!("`--role-map` names {old:?} twice"))
                    .hint("write each role of the dump once: `--role-map OLD=NEW`"));
            }
        }
        Ok(rules)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_map_has_both_sides_and_maps_each_role_once() {
        let rules = |pairs: &[&str]| {
            let role_map = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            FilterArgs { role_map, ..FilterArgs::default() }.rules()
        };
        assert_eq!(rules(&["a=b", "c=d=e"]).unwrap().roles["c"], "d=e");
        for bad in [&["a"][..], &["=b"], &["a="], &["a=b", "a=c"]] {
            assert!(rules(bad).is_err(), "{bad:?}");
        }
        assert!(FilterArgs::default().rules().unwrap().is_empty());
    }
}
