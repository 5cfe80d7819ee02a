//! One file a migration, or a pair: dbmate, sqlx, golang-migrate.
//!
//! The rules are those of the tools: dbmate `pkg/dbmate/migration.go`, sqlx `sqlx-core/src/migrate/source.rs`,
//! golang-migrate `source/parse.go`.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Layout, Script, dbmate, foreign_tools, is_number};
use crate::error::{self, Result};
use crate::migrations::directory;
use crate::migrations::layout::is_sql;

/// Reads every file that the tool would take, in its order.
pub(crate) fn read(layout: Layout, at: &Path) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    let mut ways_back = Vec::new();
    for item in directory::list(at)?.into_iter().filter(|item| !item.folder && is_sql(&item.name)) {
        if item.name.ends_with(".down.sql") {
            ways_back.extend(way_back(layout, &item.name));
            continue;
        }
        if let Some((key, name)) = named(layout, &item.name) {
            let path = at.join(&item.name);
            let text = directory::read(&path)?;
            let (sql, transaction) = body(layout, &text, &item.name)?;
            scripts.push(Script { name, key, path, text, sql, transaction });
        } else if is_nearly_one(layout, &item.name) {
            return Err(error::refused(format!("{} is no file name of {}", item.name, layout.keyword()))
                .hint("rename it: `NUMBER_name.up.sql` and `NUMBER_name.down.sql`"));
        }
    }
    if let Some((file, _)) =
        ways_back.iter().find(|(_, key)| !scripts.iter().any(|script| script.key == *key))
    {
        return Err(error::refused(format!("{file} is a down migration, and its up migration is missing"))
            .hint(format!(
                "put {} back from version control, or remove {file}",
                file.replace(".down.sql", ".up.sql")
            )));
    }
    if layout == Layout::Sqlx || layout == Layout::GolangMigrate {
        // By number: 10 comes after 9.
        scripts.sort_by_key(|script| script.key.parse::<u64>().unwrap_or(u64::MAX));
    }
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    for script in &scripts {
        if let Some(other) = names.insert(&script.key, &script.name) {
            return Err(error::refused(format!(
                "{other} and {} have the same version {}",
                script.name, script.key
            ))
            .hint("rename one of them"));
        }
    }
    Ok(scripts)
}

/// A file of a pair, and its version.
fn way_back(layout: Layout, file: &str) -> Option<(String, String)> {
    let forward = format!("{}.up.sql", file.strip_suffix(".down.sql")?);
    let pairs = matches!(layout, Layout::Sqlx | Layout::GolangMigrate);
    let (key, _) = named(layout, &forward).filter(|_| pairs)?;
    Some((file.to_owned(), key))
}

/// Reports whether a file seems meant as a migration, though its tool would not take it.
/// sqlx stops at a version that is no number. golang-migrate skips a wrong name silently, even with a number in front.
fn is_nearly_one(layout: Layout, file: &str) -> bool {
    let numbered = file.starts_with(|c: char| c.is_ascii_digit());
    match layout {
        Layout::Sqlx => numbered || file.contains('_'),
        Layout::GolangMigrate => numbered,
        _ => false,
    }
}

/// Returns the key of the history table and the name for people. `None`: the tool would not take the file.
fn named(layout: Layout, file: &str) -> Option<(String, String)> {
    let stem = file.strip_suffix(".sql")?;
    let number = |stem: &str| {
        let (version, _) = stem.split_once('_')?;
        // A leading zero is part of the file's name and not of the number.
        let version: u64 = version.parse().ok().filter(|_| is_number(version))?;
        Some(version.to_string())
    };
    match layout {
        Layout::Dbmate => {
            let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then(|| (stem[..digits].to_owned(), stem.to_owned()))
        }
        Layout::Sqlx => {
            // sqlx would run `1_a.DOWN.sql` as a way forward.
            let stem = stem.strip_suffix(".up").unwrap_or(stem);
            let half = stem.rsplit_once('.').map_or("", |(_, half)| half).to_ascii_lowercase();
            let other_case = half == "up" || half == "down";
            Some((number(stem).filter(|_| !other_case)?, stem.to_owned()))
        }
        Layout::GolangMigrate => {
            let stem = stem.strip_suffix(".up")?;
            Some((number(stem)?, stem.to_owned()))
        }
        Layout::Prisma | Layout::Flat => None,
    }
}

/// Returns the SQL that runs of a file, and whether it runs in a transaction.
fn body(layout: Layout, text: &str, file: &str) -> Result<(String, bool)> {
    if layout == Layout::Dbmate {
        let up = dbmate::read(text, file)?;
        return Ok((up.sql, up.transaction));
    }
    if let Some((tool, mark)) = foreign_tools::mark(text).and_then(|mark| Some((mark.tool?, mark))) {
        let text = mark.text.escape_debug();
        let error = error::refused(format!("{file}:{}: `{text}` is a marker of {}", mark.line, tool.name));
        return Err(tool.hints(error));
    }
    // Outside of a block it is one query all the same, which PostgreSQL runs whole or not at all.
    Ok((text.to_owned(), layout == Layout::Sqlx && !text.starts_with("-- no-transaction")))
}
