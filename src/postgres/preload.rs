//! Libraries that a server loads at its start, and the settings that they need in a throwaway server.

use super::session::{Refusal, Session};

/// Reads `shared_preload_libraries`; empty where the role may not read it.
pub(crate) async fn read(session: &mut Session) -> Result<Vec<String>, Refusal> {
    let ask = "select case when pg_catalog.pg_has_role(current_user, 'pg_read_all_settings', 'usage') \
        then pg_catalog.current_setting('shared_preload_libraries') else '' end";
    match session.value(ask).await {
        Ok(text) => Ok(names(&text.unwrap_or_default())),
        Err(Refusal::Lost(cause)) => Err(Refusal::Lost(cause)),
        Err(Refusal::Sql(_)) => Ok(Vec::new()),
    }
}

/// Names of a list as the setting has it: `pg_cron, "timescaledb"`, some with a directory before them.
fn names(list: &str) -> Vec<String> {
    let name = |part: &str| {
        let name = part.trim().trim_matches('"');
        name.strip_prefix("$libdir/").unwrap_or(name).trim_end_matches(".so").to_owned()
    };
    list.split(',').map(name).filter(|name| is_plain(name)).collect()
}

/// Reports whether a name is that of a library of the server's own directory.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c))
}

/// Arguments of a server that loads these libraries and works for one database; nothing of them talks to anybody.
pub(crate) fn arguments(libraries: &[String], database: &str) -> Vec<String> {
    let libraries: Vec<&str> = libraries.iter().map(String::as_str).filter(|name| is_plain(name)).collect();
    if libraries.is_empty() {
        return Vec::new();
    }
    let mut settings = vec![format!("shared_preload_libraries={}", libraries.join(","))];
    for library in libraries {
        match library {
            // Its extension can be made in this database alone, and no job of the backup may run.
            "pg_cron" => {
                settings.push(format!("cron.database_name={database}"));
                settings.push("cron.launch_active_jobs=off".to_owned());
            }
            "timescaledb" => settings.push("timescaledb.telemetry_level=off".to_owned()),
            _ => {}
        }
    }
    settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]).collect()
}

/// Finds in the log of a server the library that it could not load.
pub(crate) fn missing_in(log: &str) -> Option<&str> {
    let (_, rest) = log.split_once("could not access file \"")?;
    let (name, _) = rest.split_once('"')?;
    is_plain(name).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_servers_own_directory() {
        assert_eq!(
            names("pg_cron, \"timescaledb\",$libdir/pg_stat_statements.so"),
            ["pg_cron", "timescaledb", "pg_stat_statements"]
        );
        assert!(names("").is_empty() && names("/tmp/evil, ../evil, a b").is_empty());
    }

    #[test]
    fn a_library_gets_the_settings_that_it_needs() {
        assert!(arguments(&[], "app").is_empty() && arguments(&["/tmp/evil".into()], "app").is_empty());
        let of = arguments(&["pg_cron".into(), "timescaledb".into()], "app");
        assert_eq!(of[1], "shared_preload_libraries=pg_cron,timescaledb");
        assert!(
            of.contains(&"cron.database_name=app".to_owned())
                && of.contains(&"timescaledb.telemetry_level=off".to_owned())
        );
        let log = "FATAL:  could not access file \"pg_cron\": No such file or directory";
        assert_eq!((missing_in(log), missing_in("ready")), (Some("pg_cron"), None));
    }
}
