//! A flat folder: every file has a number or a date in front, of one shape, and is a way forward.
//!
//! Promises: whatever reads the folder by name and whatever reads it by number agree on the order, or it is refused; no
//! file of the folder that could be a migration is passed over; a new file gets the folder's own shape.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;

use super::{Script, foreign_tools};
use crate::error::{self, Error, Result};
use crate::migrations::directory;
use crate::migrations::migration_name::MigrationName;

/// Reads every file.
///
/// # Errors
/// Kind `Refused`: a way back, a file of another tool, an order that cannot be told.
pub(crate) fn read(at: &Path) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for file in ordered(at)? {
        let path = at.join(&file);
        let text = directory::read(&path)?;
        if let Some(mark) = foreign_tools::mark(&text) {
            return Err(marked(&file, &mark));
        }
        let name = file.strip_suffix(".sql").unwrap_or(&file).to_owned();
        scripts.push(Script { key: name.clone(), name, path, sql: text.clone(), text, transaction: false });
    }
    Ok(scripts)
}

fn marked(file: &str, mark: &foreign_tools::Mark<'_>) -> Error {
    let text = mark.text.escape_debug();
    let place = format!("{file}:{}", mark.line);
    let split = format!("or keep the up part alone in {file}");
    match mark.tool {
        Some(tool) => {
            let error = error::refused(format!(
                "{place}: `{text}` is a marker of {}, and as one file its down part would run too",
                tool.name
            ));
            if tool.name == "dbmate" {
                return error.hint(
                    "read the folder as dbmate does: `[migrations] layout = \"dbmate\"` in envctl.toml",
                );
            }
            tool.hints(error).hint(split)
        }
        None => error::refused(format!("{place}: the statements after `{text}` would run too"))
            .hint(format!("keep the up part alone in {file}, or reword the comment")),
    }
}

/// The files of a folder in their order.
fn ordered(at: &Path) -> Result<Vec<String>> {
    let entries = directory::list(at)?;
    if let Some((tool, sign)) = foreign_tools::tool_of_folder(at, &entries).filter(|(tool, _)| !tool.whole) {
        return Err(
            tool.hints(error::refused(format!("{sign} is a migration of {}, and no flat file", tool.name)))
        );
    }
    for item in &entries {
        if item.folder {
            below(at, &item.name)?;
        } else {
            passed_over(&item.name)?;
        }
    }
    let files: Vec<String> = entries
        .into_iter()
        .filter(|item| !item.folder && crate::migrations::layout::is_sql(&item.name))
        .map(|item| item.name)
        .collect();
    if let Some((file, tool)) = files.iter().find_map(|file| Some((file, foreign_tools::tool_of_name(file)?)))
    {
        return Err(
            tool.hints(error::refused(format!("{file} is a file name of {}, and no flat file", tool.name)))
        );
    }
    let numbers: Vec<Number<'_>> = files.iter().map(|file| Number::of(file)).collect::<Result<_>>()?;
    let mut by_number: BTreeMap<&[&str], usize> = BTreeMap::new();
    for number in &numbers {
        *by_number.entry(&number.groups[..1]).or_default() += 1;
    }
    for (file, number) in files.iter().zip(&numbers) {
        let pair = by_number.get(&number.groups[..1]).is_some_and(|count| *count > 1);
        if let Some(part) = foreign_tools::way_back(file.strip_suffix(".sql").unwrap_or(file), pair) {
            return Err(error::refused(format!("{file} is a down migration by its name (`{part}`), and would run as an up migration"))
                .hint("move down migrations into a folder of their own, or rename the file if it is none")
                .hint("name the layout where the halves are called `NAME.up.sql` and `NAME.down.sql`: `[migrations] layout = \"golang-migrate\"` or `\"sqlx\"`"));
        }
    }
    let mut sorted: Vec<(&Number<'_>, &String)> = numbers.iter().zip(&files).collect();
    sorted.sort_by(|a, b| a.0.groups.cmp(&b.0.groups).then_with(|| a.1.cmp(b.1)));
    one_shape(&sorted)?;
    Ok(sorted.into_iter().map(|(_, file)| file.clone()).collect())
}

/// The digits in front of a name.
#[derive(Debug, PartialEq, Eq)]
struct Number<'a> {
    /// `2024`, `12`, `01` of `2024-12-01-users.sql`.
    groups: Vec<&'a str>,
    /// Separators between the groups.
    separators: Vec<char>,
}

impl<'a> Number<'a> {
    fn of(file: &'a str) -> Result<Self> {
        let number = Self::read(file);
        if number.groups.is_empty() {
            return Err(error::refused(format!("the order of the migrations cannot be told: {file} has no number or date in front"))
                .hint("rename it, for example `20241201143022_name.sql`, or move it out of the folder of migrations"));
        }
        Ok(number)
    }

    fn read(file: &'a str) -> Self {
        let (mut groups, mut separators) = (Vec::new(), Vec::new());
        let mut rest = file;
        loop {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let behind = &rest[digits..];
            let ends = behind.chars().next().is_none_or(|c| !c.is_alphanumeric());
            // `0001_2fa.sql`: the 2 belongs to the name.
            if digits == 0 || !(ends || groups.is_empty()) {
                separators.truncate(groups.len().saturating_sub(1));
                break;
            }
            groups.push(&rest[..digits]);
            let Some(separator) = behind.chars().next().filter(|c| matches!(c, '-' | '_' | '.' | 'T' | ':'))
            else {
                break;
            };
            separators.push(separator);
            rest = &behind[separator.len_utf8()..];
        }
        separators.truncate(groups.len().saturating_sub(1));
        Self { groups, separators }
    }
}

/// Neighbours in order have to differ in a part of their numbers that has one width in both; the first part has one
/// width in all. Then the order by name is that by number.
fn one_shape(sorted: &[(&Number<'_>, &String)]) -> Result<()> {
    let width = |number: &Number<'_>| number.groups[0].len();
    if let Some((first, rest)) = sorted.split_first()
        && let Some(other) = rest.iter().find(|other| width(other.0) != width(first.0))
    {
        return Err(untold(first, other, "their numbers are not of one width"));
    }
    for pair in sorted.windows(2) {
        let (a, b) = (pair[0].0, pair[1].0);
        let differs = a.groups.iter().zip(&b.groups).find(|(a, b)| a != b);
        match differs {
            Some((a, b)) if a.len() == b.len() => {}
            Some(_) => return Err(untold(&pair[0], &pair[1], "their numbers are not of one width")),
            None => return Err(untold(&pair[0], &pair[1], "they have the same number")),
        }
    }
    Ok(())
}

fn untold(a: &(&Number<'_>, &String), b: &(&Number<'_>, &String), why: &str) -> Error {
    let error = error::refused(format!("the order of {} and {} cannot be told: {why}", a.1, b.1));
    let (short, long) = if a.0.groups[0].len() <= b.0.groups[0].len() { (a, b) } else { (b, a) };
    let (from, to) = (short.0.groups[0], long.0.groups[0]);
    if from.len() == to.len() {
        return error.hint("rename the one that is not applied yet");
    }
    if to.len() - from.len() > 4 {
        return error.hint("use numbers or dates, not both: rename those that are not applied yet");
    }
    let padded = format!("{from:0>width$}{}", &short.1[from.len()..], width = to.len());
    let name = padded.strip_suffix(".sql").unwrap_or(&padded).to_owned();
    error.hint(format!("write all numbers with {} digits: `mv {} {padded}`", to.len(), short.1)).hint(
        format!(
            "say of one that is applied already under its new name: `envctl migrate resolve {name} --applied`"
        ),
    )
}

/// Files that could be migrations and that the runner would pass over.
fn passed_over(file: &str) -> Result<()> {
    if crate::migrations::layout::is_sql(file) || !file.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    if let Some(tool) = foreign_tools::tool_of_program(file) {
        return Err(tool.hints(error::refused(format!(
            "{file} is a program among the migrations, and would be passed over"
        ))));
    }
    let lower = file.to_ascii_lowercase();
    let nearly =
        [".sql", ".psql", ".pgsql", ".ddl", ".dml", ".sql.gz"].iter().any(|ending| lower.ends_with(ending));
    if nearly {
        return Err(error::refused(format!("{file} would be passed over: migrations end in `.sql`"))
            .hint("rename it, or move it out of the folder of migrations"));
    }
    Ok(())
}

/// Folders whose numbered files are no migrations of this folder by their names; [`super::Layout::remarks`] tells them.
fn is_elsewhere(name: &str) -> bool {
    const ELSEWHERE: &[&str] = &[
        "down",
        "downs",
        "rollback",
        "rollbacks",
        "undo",
        "revert",
        "seed",
        "seeds",
        "seeders",
        "fixtures",
        "test",
        "tests",
        "testdata",
        "examples",
        "archive",
        "archived",
        "old",
        "meta",
        "snapshots",
        "functions",
        "views",
        "templates",
    ];
    ELSEWHERE.contains(&name.to_ascii_lowercase().as_str()) || foreign_tools::other_database(name)
}

/// Refuses numbered files of a folder below this one: they would be passed over.
fn below(at: &Path, name: &str) -> Result<()> {
    if is_elsewhere(name) {
        return Ok(());
    }
    match super::numbered_below(at, name)?.first() {
        Some(file) => Err(error::refused(format!(
            "{file} would be passed over: a flat folder has no folders of migrations"
        ))
        .hint("move its files up, or name the folder that is meant: `[migrations] dir` in envctl.toml")),
        None => Ok(()),
    }
}

/// The name of a new file, in the folder's shape: the time where the others have one, else the next number.
///
/// # Errors
/// Kind `Refused`: the folder cannot be read in order, or has no number left.
pub(crate) fn next(at: &Path, name: &MigrationName, now: Timestamp) -> Result<String> {
    let files = if at.is_dir() { ordered(at)? } else { Vec::new() };
    let Some(last) = files.last() else { return Ok(format!("{}.sql", name.dated(now))) };
    let number = Number::read(last);
    let first = number.groups[0];
    let whole =
        &last[..number.groups.iter().map(|group| group.len()).sum::<usize>() + number.separators.len()];
    let behind =
        last[whole.len()..].chars().next().filter(|c| !c.is_alphanumeric() && *c != '.').unwrap_or('_');
    let timed = |format: &str| now.strftime(format).to_string();
    let seconds = now.as_second();
    let in_front = match (first.len(), number.groups.len()) {
        (14, 1) => timed("%Y%m%d%H%M%S"),
        (12, 1) => timed("%Y%m%d%H%M"),
        (8, 1) if first.starts_with("20") || first.starts_with("19") => timed("%Y%m%d"),
        (10, 1) if first.starts_with('1') => seconds.to_string(),
        (13, 1) if first.starts_with('1') => now.as_millisecond().to_string(),
        (8, 2) if number.groups[1].len() == 6 => {
            format!("{}{}{}", timed("%Y%m%d"), number.separators[0], timed("%H%M%S"))
        }
        (8, 2) if number.groups[1].len() == 4 => {
            format!("{}{}{}", timed("%Y%m%d"), number.separators[0], timed("%H%M"))
        }
        (4, 3) if number.groups[1].len() == 2 && number.groups[2].len() == 2 => {
            let [a, b] = [number.separators[0], number.separators[1]];
            format!("{}{a}{}{b}{}", timed("%Y"), timed("%m"), timed("%d"))
        }
        (width, 1) => {
            let next = first
                .parse::<u64>()
                .ok()
                .and_then(|number| number.checked_add(1))
                .map(|next| format!("{next:0width$}"));
            next.filter(|next| next.len() == width).ok_or_else(|| no_number_left(last))?
        }
        _ => {
            return Err(error::refused(format!("the number behind that of {last} cannot be told"))
                .hint("write the file by hand, with a number of the same shape"));
        }
    };
    if in_front.as_str() <= whole {
        return Err(error::refused(format!("a new migration {in_front} would not come behind {last}"))
            .hint("write the file by hand, with a later number"));
    }
    Ok(format!("{in_front}{behind}{name}.sql"))
}

fn no_number_left(last: &str) -> Error {
    error::refused(format!("no number of that width is left behind {last}"))
        .hint("write all numbers with one digit more, and say of those that are applied: `envctl migrate resolve NAME --applied`")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for name in files {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "select 1;").unwrap();
        }
        dir
    }

    #[track_caller]
    fn refused(files: &[&str], says: &str) {
        let error = read(folder(files).path()).unwrap_err();
        assert_eq!(error.kind(), error::ErrorKind::Refused);
        assert!(error.message().contains(says), "{files:?}: {error}");
        assert!(!error.hints().is_empty(), "{error}");
    }

    #[track_caller]
    fn order(files: &[&str]) {
        let mut shuffled = files.to_vec();
        shuffled.reverse();
        let names: Vec<String> =
            read(folder(&shuffled).path()).unwrap().into_iter().map(|script| script.name + ".sql").collect();
        assert_eq!(names, files);
    }

    #[test]
    fn an_order_that_cannot_be_told_is_refused_by_name() {
        refused(
            &["1_t.sql", "2_t.sql", "10_t.sql"],
            "1_t.sql and 10_t.sql cannot be told: their numbers are not of one width",
        );
        refused(&["00010-a.sql", "0002-b.sql"], "00010-a.sql and 0002-b.sql cannot be told");
        refused(&["V1__t.sql", "V2__t.sql", "V10__t.sql"], "V10__t.sql is a file name of Flyway");
        refused(&["0001_a.sql", "20240101000000_b.sql"], "not of one width");
        refused(&["20240101_a.sql", "20240101_b.sql"], "they have the same number");
        refused(&["20240101_a.sql", "20240101_120000_b.sql"], "they have the same number");
        refused(&["2024-1-9-a.sql", "2024-1-10-b.sql"], "not of one width");
        refused(&["1.2_a.sql", "1.10_b.sql"], "not of one width");
        refused(&["0001_a.sql", "seed.sql"], "seed.sql has no number or date in front");
        refused(&["01_a.sql", "1_b.sql"], "not of one width");
        let hints = read(folder(&["9_a.sql", "10_b.sql"]).path()).unwrap_err().hints().join("\n");
        assert!(
            hints.contains("`mv 9_a.sql 09_a.sql`") && hints.contains("resolve 09_a --applied"),
            "{hints}"
        );
    }

    #[test]
    fn numbers_and_dates_of_one_shape_are_in_their_order() {
        order(&["0001_a.sql", "0002-b.sql", "0010.c.sql", "0999.sql"]);
        order(&["2024-12-01-a.sql", "2024-12-02-b.sql", "2025-01-01-a.sql"]);
        order(&["20240101_000000_b.sql", "20240101_120000_a.sql", "20240102_000000_a.sql"]);
        order(&["20240101000000_a.sql", "20240101000001_b.sql"]);
        order(&["1_a.sql", "2_2fa.sql", "3_2024_report.sql", "9.sql"]);
        order(&[]);
    }

    #[test]
    fn a_way_back_among_flat_files_is_refused_by_name() {
        refused(
            &["20240101000000_users_up.sql", "20240101000000_users_down.sql"],
            "users_down.sql is a down migration",
        );
        refused(&["001_users.sql", "001_users.undo.sql"], "`undo`");
        refused(&["0001.create.sql", "0001.create.rollback.sql"], "`rollback`");
        refused(&["0001_users.sql", "0001_users_drop.sql"], "`drop`");
        refused(&["001.do.users.sql", "001.undo.users.sql"], "001.do.users.sql is a file name of Postgrator");
        refused(&["V1__users.sql", "U1__users.sql", "R__view.sql"], "is a file name of Flyway");
    }

    #[test]
    fn marks_of_other_tools_are_refused_with_their_line_and_what_to_type() {
        for (text, says, hint) in [
            (
                "-- +goose Up\nselect 1;\n-- +goose Down\nselect 2;\n",
                "1_a.sql:1: `-- +goose Up` is a marker of Goose",
                "preset = \"goose\"",
            ),
            (
                "select 0;\n-- +migrate Up\n",
                "1_a.sql:2: `-- +migrate Up` is a marker of sql-migrate",
                "apply = [\"sql-migrate\", \"up\"]",
            ),
            ("-- migrate:up\nselect 1;", "is a marker of dbmate", "layout = \"dbmate\""),
            (
                "select 1;\n-- DOWN\nselect 2;",
                "1_a.sql:2: the statements after `-- DOWN`",
                "the up part alone",
            ),
        ] {
            let dir = folder(&[]);
            fs::write(dir.path().join("1_a.sql"), text).unwrap();
            let error = read(dir.path()).unwrap_err();
            assert!(error.message().contains(says), "{error}");
            assert!(error.hints().join("\n").contains(hint), "{:?}", error.hints());
        }
    }

    #[test]
    fn what_lies_beside_and_could_be_a_migration_is_never_passed_over() {
        refused(&["0001_a.sql", "0002_b.SQL"], "0002_b.SQL would be passed over");
        refused(&["0001_a.sql", "0002_b.psql"], "0002_b.psql would be passed over");
        refused(&["0001_a.sql", "0002_b.py"], "0002_b.py is a program");
        refused(&["0001_a.sql", "v2/0002_b.sql"], "v2/0002_b.sql would be passed over");
        refused(
            &["0001_a.sql", "2017_b/up.sql", "2017_b/down.sql"],
            "2017_b/up.sql is a migration of Diesel",
        );
        refused(
            &["000001.sql", "committed/000001.sql", "current.sql"],
            "committed is a migration of Graphile Migrate",
        );
        refused(&["0001_a.sql", "v2/deep/0002_b.sql"], "v2/deep/0002_b.sql would be passed over");
        let dir = folder(&[
            "0001_a.sql",
            "README.md",
            "seeds/01_x.sql",
            "clickhouse/01_x.sql",
            "down/0001_a.sql",
            "0001_a.png",
        ]);
        assert_eq!(read(dir.path()).unwrap().len(), 1);
    }

    #[test]
    fn numbered_files_in_folders_of_other_names_are_told_and_not_run() {
        let dir = folder(&[
            "0001_a.sql",
            "functions/0002_f.sql",
            "functions/0003_g.sql",
            "views/2024-12-01-v.sql",
            "archive/old/0001_z.sql",
            "old/readme.sql",
            "templates/t.txt",
        ]);
        let scripts = read(dir.path()).unwrap();
        assert_eq!(scripts.len(), 1);
        let remarks = super::super::Layout::Flat.remarks(dir.path(), &scripts).unwrap().join("\n");
        for file in [
            "functions/0002_f.sql",
            "functions/0003_g.sql",
            "views/2024-12-01-v.sql",
            "archive/old/0001_z.sql",
        ] {
            assert!(remarks.contains(file), "{remarks}");
        }
        assert!(remarks.contains("not run") && !remarks.contains("readme"), "{remarks}");
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error_and_no_empty_folder() {
        let dir = folder(&["0001_a.sql", "functions/0002_f.sql", "v2/0003_b.sql"]);
        for name in ["functions", "v2"] {
            // Nobody, root included, can list a folder whose name in it is no UTF-8.
            let odd: &std::ffi::OsStr = std::os::unix::ffi::OsStrExt::from_bytes(b"0009_\xff.sql");
            fs::write(dir.path().join(name).join(odd), "select 1;").unwrap();
        }
        let error = read(dir.path()).unwrap_err();
        assert!(error.message().contains("v2"), "{error}");
        let error = super::super::Layout::Flat.remarks(dir.path(), &[]).unwrap_err();
        assert!(error.message().contains("functions"), "{error}");
    }

    #[test]
    fn a_new_file_has_the_shape_of_the_folder_and_comes_last() {
        let now = "2024-12-01T14:30:22Z".parse().unwrap();
        let name: MigrationName = "add_x".parse().unwrap();
        let new = |files: &[&str]| {
            next(folder(files).path(), &name, now).map_err(|error| error.message().to_owned())
        };
        for (files, wanted) in [
            (&[][..], "20241201143022_add_x.sql"),
            (&["20240101000000_a.sql"], "20241201143022_add_x.sql"),
            (&["0001_a.sql", "0009_b.sql"], "0010_add_x.sql"),
            (&["001-a.sql"], "002-add_x.sql"),
            (&["7_a.sql"], "8_add_x.sql"),
            (&["20240101_a.sql"], "20241201_add_x.sql"),
            (&["20240101_120000_a.sql"], "20241201_143022_add_x.sql"),
            (&["2024-01-01-a.sql"], "2024-12-01-add_x.sql"),
            (&["1700000000000_a.sql"], "1733063422000_add_x.sql"),
            (&["001.sql"], "002_add_x.sql"),
        ] {
            assert_eq!(new(files).as_deref(), Ok(wanted), "{files:?}");
        }
        assert!(new(&["9_a.sql"]).unwrap_err().contains("no number of that width is left"));
        assert!(new(&["20241201_a.sql"]).unwrap_err().contains("would not come behind"));
        assert!(new(&["20990101000000_a.sql"]).unwrap_err().contains("would not come behind"));
    }

    proptest::proptest! {
        #[test]
        fn a_folder_that_is_read_is_in_the_order_of_its_numbers_and_of_its_names(
            numbers in proptest::collection::btree_set("[0-9]{1,3}", 0..6),
        ) {
            let files: Vec<String> = numbers.iter().map(|number| format!("{number}_t.sql")).collect();
            let dir = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
            if let Ok(scripts) = read(dir.path()) {
                let values: Vec<u64> = scripts.iter().map(|script| script.name.split_once('_').unwrap().0.parse().unwrap()).collect();
                proptest::prop_assert!(values.is_sorted_by(|a, b| a < b));
                proptest::prop_assert!(scripts.is_sorted_by(|a, b| a.path < b.path));
            }
        }
    }
}
