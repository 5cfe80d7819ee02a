//! Choosing a driver: what is there, what is named, and what is refused because it is not plain.

use std::fs;

use super::*;

fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

fn evidence(project: &tempfile::TempDir) -> DriverInputs<'_> {
    DriverInputs { driver: "auto", project: Some(project.path()), ..DriverInputs::default() }
}

#[test]
fn the_cli_is_taken_where_it_is_and_the_folder_where_it_is_not() {
    let dir = project(&[("a/b/src/database/prisma/migrations/1_x/migration.sql", "")]);
    let folder = dir.path().join("a/b/src/database/prisma/migrations");
    assert_eq!(
        choose(&evidence(&dir)).unwrap(),
        DriverChoice::Sql { layout: Layout::Prisma, folder: folder.clone() }
    );
    let with = DriverInputs { cli_in: Some("app"), ..evidence(&dir) };
    assert_eq!(choose(&with).unwrap(), DriverChoice::Prisma);
    let sql = DriverInputs { driver: "sql", ..with.clone() };
    assert_eq!(choose(&sql).unwrap(), DriverChoice::Sql { layout: Layout::Prisma, folder });
}

#[test]
fn two_that_fit_are_listed() {
    let dir = project(&[("db/migrations/1_a.sql", "-- migrate:up\n"), ("x/1_a/migration.sql", "")]);
    let error = choose(&evidence(&dir)).unwrap_err();
    assert!(error.message().contains("dbmate in") && error.message().contains("prisma in"), "{error}");
    let with = DriverInputs { cli_in: Some("app"), ..evidence(&dir) };
    assert!(choose(&with).unwrap_err().message().contains("the CLI in container app"));
    let named = DriverInputs { dir: Some("x"), ..evidence(&dir) };
    assert!(matches!(choose(&named).unwrap(), DriverChoice::Sql { layout: Layout::Prisma, .. }));
}

fn tools(names: &[&str]) -> Vec<Found> {
    let found = |name: &&str| Found { preset: preset(name).unwrap(), file: format!("file of {name}") };
    names.iter().map(found).collect()
}

#[test]
fn a_tool_in_the_backend_is_taken_where_it_is_the_only_one() {
    let empty = project(&[]);
    let (django, two) = (tools(&["django"]), tools(&["django", "alembic"]));
    let one = DriverInputs { tools: &django, backend: Some("app"), ..evidence(&empty) };
    let chosen = DriverChoice::Command(ToolChoice::Preset(preset("django").unwrap()));
    assert_eq!(choose(&one).unwrap(), chosen);
    // A directory of the container is no folder of this machine.
    assert_eq!(choose(&DriverInputs { dir: Some("srv"), ..one.clone() }).unwrap(), chosen);
    let both = DriverInputs { tools: &two, ..one.clone() };
    let error = choose(&both).unwrap_err();
    assert!(error.message().contains("command: django (file of django in container app)"), "{error}");
    assert!(error.message().contains("alembic") && error.hints()[0].contains("`preset`"), "{error}");
    assert_eq!(choose(&DriverInputs { preset: Some("django"), ..both.clone() }).unwrap(), chosen);
    let beside_prisma = choose(&DriverInputs { cli_in: Some("app"), ..one.clone() }).unwrap_err();
    assert!(beside_prisma.message().contains("prisma: the CLI in container app"), "{beside_prisma}");
    let sql = project(&[("db/migrations/1_a.sql", "-- migrate:up\n")]);
    let beside_sql = choose(&DriverInputs { project: Some(sql.path()), ..one }).unwrap_err();
    assert!(beside_sql.message().contains("sql: the dbmate files in"), "{beside_sql}");
}

#[test]
fn a_tool_that_is_named_needs_no_file_and_one_of_ones_own_no_row() {
    let dir = project(&[("x/1_a/migration.sql", "")]);
    let two = tools(&["django", "alembic"]);
    let named = DriverInputs { preset: Some("rails"), cli_in: Some("app"), ..evidence(&dir) };
    assert_eq!(choose(&named).unwrap(), DriverChoice::Command(ToolChoice::Preset(preset("rails").unwrap())));
    let own = DriverInputs { own: true, tools: &two, ..evidence(&dir) };
    assert_eq!(choose(&own).unwrap(), DriverChoice::Command(ToolChoice::Own));
    let none =
        choose(&DriverInputs { driver: "command", backend: Some("app"), ..evidence(&dir) }).unwrap_err();
    assert!(none.message().contains("container app") && none.hints()[0].contains("preset"), "{none}");
    let wrong = choose(&DriverInputs { preset: Some("djnago"), ..evidence(&dir) }).unwrap_err();
    assert_eq!(wrong.kind(), error::ErrorKind::Usage);
    assert!(wrong.hints()[0].contains("`django`"), "{:?}", wrong.hints());
}

#[test]
fn nothing_is_told_with_the_setting() {
    let dir = project(&[("sql/report.sql", "select 1"), ("node_modules/x/migrations/1_a.up.sql", "")]);
    let error = choose(&evidence(&dir)).unwrap_err();
    assert!(error.hints()[0].contains("[migrations] dir"), "{error}");
    let gone = DriverInputs { dir: Some("nowhere"), ..evidence(&dir) };
    assert!(choose(&gone).unwrap_err().message().contains("is not there"));
    let prisma = DriverInputs { driver: "prisma", ..evidence(&dir) };
    assert!(choose(&prisma).unwrap_err().hints()[0].contains("driver = \"sql\""));
}
