//! The Prisma CLI in a container: where it is, where the project's schema and migrations are.
//!
//! Promises: found by looking, in one exec; what is ambiguous is an error that lists it and names the setting.

use crate::docker::{Container, ExecSpec};
use crate::error::{self, Result};
use serde::Deserialize;

/// Looks upwards for the CLI as Node does, then below; lists what could be the project's files. A `find` that meets
/// a folder it may not read goes on.
const LOOK: &str = r#"
at=$PWD
while :; do
  if [ -x "$at/node_modules/.bin/prisma" ]; then echo "cli $at/node_modules/.bin/prisma"; echo "dir $PWD"; found=1; break; fi
  [ "$at" = / ] && break
  at=${at%/*}; [ -n "$at" ] || at=/
done
if [ -z "$found" ]; then
  find . -maxdepth 5 -path '*/node_modules/.bin/prisma' 2>/dev/null | while read -r cli; do
    below=${cli#./}; below=${below%node_modules/.bin/prisma}
    echo "cli $PWD/${cli#./}"; echo "dir $PWD/${below%/}"
  done
fi
for f in prisma.config.ts prisma.config.mts prisma.config.js prisma.config.mjs prisma.config.cjs .config/prisma.ts .config/prisma.js; do
  [ -f "$f" ] && echo "config $f"
done
find . -name node_modules -prune -o -name .git -prune -o -name migration_lock.toml -print 2>/dev/null | while read -r f; do echo "lock $f"; done
find . -name node_modules -prune -o -name .git -prune -o -name schema.prisma -print 2>/dev/null | while read -r f; do echo "schema $f"; done
[ -f package.json ] && { echo package; cat package.json; }
exit 0
"#;

/// A Prisma CLI and its project.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PrismaCli {
    /// The program, absolute.
    pub(crate) program: String,
    /// The directory it is run in, absolute.
    pub(crate) dir: String,
    /// `--schema`, where the CLI would not find it by itself.
    pub(crate) schema: Option<String>,
    /// The schema's file, for `migrate diff`; relative to `dir`.
    pub(crate) schema_file: Option<String>,
    /// The folder of migrations, relative to `dir`.
    pub(crate) migrations: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PrismaSettings {
    /// `migrations.schema`.
    pub(crate) schema: Option<String>,
    /// `migrations.dir`, where it is a path in the container.
    pub(crate) dir: Option<String>,
}

#[derive(Default, Deserialize)]
struct Package {
    #[serde(default)]
    prisma: PackagePrisma,
}

#[derive(Default, Deserialize)]
struct PackagePrisma {
    schema: Option<String>,
}

impl PrismaCli {
    /// Looks into a container; `None` where there is no CLI.
    ///
    /// # Errors
    /// Kind `Usage`: no schema, or several. As [`Container::capture`].
    pub(crate) async fn find(container: &Container, settings: &PrismaSettings) -> Result<Option<Self>> {
        let spec = ExecSpec::new(["sh", "-c", LOOK]);
        let looked = container.capture(&spec, None).await?;
        if looked.exit_code != 0 {
            return Ok(None);
        }
        Self::read(&looked.text(), settings, &container.name)
    }

    fn read(text: &str, settings: &PrismaSettings, container: &str) -> Result<Option<Self>> {
        let (lines, package) = text.split_once("\npackage\n").unwrap_or((text, ""));
        let all = |argument: &str| -> Vec<String> {
            let prefix = format!("{argument} ");
            let found = lines.lines().filter_map(|line| line.strip_prefix(&prefix));
            found.map(|path| path.trim_start_matches("./").to_owned()).collect()
        };
        let (clis, dirs) = (all("cli"), all("dir"));
        let (program, dir) = match (clis.as_slice(), dirs.as_slice()) {
            ([], _) | (_, []) => return Ok(None),
            ([cli], [dir, ..]) => (cli.clone(), dir.trim_end_matches('/').to_owned()),
            (many, _) => {
                return Err(error::usage(format!(
                    "several Prisma CLIs in container {container}: {}",
                    many.join(", ")
                ))
                .hint("give the service a `working_dir` in compose, the package that is meant"));
            }
        };
        let package: Package = serde_json::from_str(package).unwrap_or_default();
        let knows = !all("config").is_empty() || package.prisma.schema.is_some();
        let schemas = all("schema");
        let usual = ["schema.prisma", "prisma/schema.prisma"];
        let schema_file = match (&settings.schema, package.prisma.schema, schemas.as_slice()) {
            (Some(requested), _, _) => Some(requested.clone()),
            (None, Some(configured), _) => Some(configured),
            (None, None, [one]) => Some(one.clone()),
            (None, None, many) => many.iter().find(|path| usual.contains(&path.as_str())).cloned(),
        };
        if schema_file.is_none() && !knows {
            let error = if schemas.is_empty() {
                error::usage(format!("there is no schema.prisma in {dir} of container {container}"))
            } else {
                error::usage(format!("several schemas in container {container}: {}", schemas.join(", ")))
            };
            return Err(
                error.hint("name it in envctl.toml: `[migrations] schema = \"path/in/the/container\"`")
            );
        }
        let by_itself = knows || schema_file.as_deref().is_some_and(|path| usual.contains(&path));
        let schema = schema_file.clone().filter(|_| settings.schema.is_some() || !by_itself);
        let migrations = folder(&all("lock"), schema_file.as_deref(), settings, container)?;
        Ok(Some(Self { program, dir, schema, schema_file, migrations }))
    }

    /// A call of the CLI: `arguments` and the schema.
    pub(crate) fn spec(&self, arguments: &[&str], guard: &[(String, String)]) -> ExecSpec {
        let mut argv = vec![self.program.clone()];
        argv.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        if let Some(schema) = &self.schema
            && arguments.first() != Some(&"studio")
            && !arguments.contains(&"diff")
        {
            argv.extend(["--schema".to_owned(), schema.clone()]);
        }
        let mut spec = ExecSpec::new(argv)
            .env("CHECKPOINT_DISABLE", "1")
            .env("PRISMA_HIDE_UPDATE_MESSAGE", "1")
            .env("NO_COLOR", "1");
        spec.workdir = Some(self.dir.clone());
        for (name, value) in guard {
            spec = spec.env(name, value.clone());
        }
        spec
    }
}

/// The folder of migrations: beside the lock file, of which there is one in a project.
fn folder(
    locks: &[String],
    schema: Option<&str>,
    settings: &PrismaSettings,
    container: &str,
) -> Result<String> {
    let parent = |path: &str| path.rsplit_once('/').map_or(".", |(parent, _)| parent).to_owned();
    let beside = schema.map(|schema| match parent(schema).as_str() {
        "." => "migrations".to_owned(),
        dir => format!("{dir}/migrations"),
    });
    if let Some(dir) = &settings.dir {
        return Ok(dir.clone());
    }
    let folders: Vec<String> = locks.iter().map(|lock| parent(lock)).collect();
    match (folders.as_slice(), beside) {
        ([one], _) => Ok(one.clone()),
        (many, Some(beside)) if many.is_empty() || many.contains(&beside) => Ok(beside),
        ([], None) => Ok("prisma/migrations".to_owned()),
        (many, _) => Err(error::usage(format!(
            "several folders of migrations in container {container}: {}",
            many.join(", ")
        ))
        .hint("name the one in envctl.toml: `[migrations] dir = \"path/in/the/container\"`")),
    }
}

/// Environment variables that Prisma's guard against autonomous programs reads (prisma 6.19 `build/index.js`).
/// Behind an exec the CLI would see none of them. Passing the variables on keeps the guard working.
pub(crate) const GUARD: &[&str] = &[
    "CLAUDECODE",
    "GEMINI_CLI",
    "CURSOR_AGENT",
    "OR_APP_NAME",
    "REPLIT_CLI",
    "CODEX_SANDBOX",
    "PRISMA_USER_CONSENT_FOR_DANGEROUS_AI_ACTION",
];

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "cli /app/node_modules/.bin/prisma\ndir /app\n";

    fn read(more: &str) -> Result<Option<PrismaCli>> {
        PrismaCli::read(&format!("{ONE}{more}"), &PrismaSettings::default(), "c")
    }

    #[test]
    fn the_project_of_the_manual_is_found() {
        let cli = read(
            "config prisma.config.ts\nlock ./src/database/prisma/migrations/migration_lock.toml\n\
             schema ./src/database/prisma/schema.prisma\npackage\n{\"name\":\"x\"}",
        );
        let cli = cli.unwrap().unwrap();
        assert_eq!(cli.schema, None, "the configuration knows");
        assert_eq!(cli.migrations, "src/database/prisma/migrations");
        assert_eq!(
            cli.spec(&["migrate", "deploy"], &[]).argv,
            ["/app/node_modules/.bin/prisma", "migrate", "deploy"]
        );
    }

    #[test]
    fn a_schema_at_an_unusual_place_is_named_to_the_cli() {
        let cli = read("schema ./src/db/schema.prisma").unwrap().unwrap();
        assert_eq!(cli.spec(&["generate"], &[]).argv[1..], ["generate", "--schema", "src/db/schema.prisma"]);
        assert_eq!(cli.migrations, "src/db/migrations");
        let cli = read("schema ./prisma/schema.prisma").unwrap().unwrap();
        assert_eq!(cli.schema, None);
        let cli = read(
            "schema ./a/schema.prisma\nschema ./b/schema.prisma\npackage\n{\"prisma\":{\"schema\":\"b/schema.prisma\"}}",
        );
        assert_eq!(cli.unwrap().unwrap().migrations, "b/migrations");
    }

    #[test]
    fn none_and_two_are_told_apart() {
        assert_eq!(PrismaCli::read("schema ./schema.prisma", &PrismaSettings::default(), "c").unwrap(), None);
        assert!(read("").unwrap_err().message().contains("no schema.prisma"));
        let two = read("schema ./a/schema.prisma\nschema ./b/schema.prisma").unwrap_err();
        assert!(
            two.message().contains("several schemas") && two.hints()[0].contains("[migrations]"),
            "{two}"
        );
    }
}
