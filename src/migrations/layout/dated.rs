//! One file a migration: flat folders, dbmate, sqlx, golang-migrate.
//!
//! The rules are those of the tools: dbmate `pkg/dbmate/migration.go`, sqlx `sqlx-core/src/migrate/source.rs`,
//! golang-migrate `source/parse.go`.

use std::path::Path;

use super::{Layout, Script, dbmate, is_number};
use crate::error::{self, Result};
use crate::migrations::folder;

/// Reads every file that the tool would take, in its order.
pub(super) fn read(layout: Layout, at: &Path) -> Result<Vec<Script>> {
    let mut scripts = Vec::new();
    for item in folder::list(at)?.into_iter().filter(|item| !item.folder && is_sql(&item.name)) {
        if layout != Layout::Flat && item.name.ends_with(".down.sql") {
            continue;
        }
        if let Some((key, name)) = named(layout, &item.name) {
            let path = at.join(&item.name);
            let text = folder::read(&path)?;
            let (sql, transaction) = body(layout, &text, &item.name)?;
            scripts.push(Script { name, key, path, text, sql, transaction });
        } else if is_nearly_one(layout, &item.name) {
            return Err(error::refused(format!("{} is no file name of {}", item.name, layout.word()))
                .hint("they are called `NUMBER_name.up.sql` and `NUMBER_name.down.sql`"));
        }
    }
    if layout == Layout::Sqlx || layout == Layout::GolangMigrate {
        // By number: 10 comes after 9.
        scripts.sort_by_key(|script| script.key.parse::<u64>().unwrap_or(u64::MAX));
    }
    for pair in scripts.windows(2) {
        if pair[0].key == pair[1].key {
            return Err(error::refused(format!(
                "{} and {} have the same version {}",
                pair[0].name, pair[1].name, pair[0].key
            ))
            .hint("rename one of them"));
        }
    }
    Ok(scripts)
}

/// The tools take this ending and no other case of it.
#[expect(clippy::case_sensitive_file_extension_comparisons, reason = "as the tools do")]
pub(super) fn is_sql(name: &str) -> bool {
    name.ends_with(".sql")
}

/// What the tools pass over belongs to no migration; but sqlx stops at a version that is no number, and what looks like
/// a migration and has no direction, golang-migrate would leave out without a word.
fn is_nearly_one(layout: Layout, file: &str) -> bool {
    let version = file.split_once('_').map(|(version, _)| version);
    match layout {
        Layout::Sqlx => version.is_some(),
        Layout::GolangMigrate => version.is_some_and(is_number),
        _ => false,
    }
}

/// What the tool's table holds, and the name for people. `None`: the tool would not take the file.
fn named(layout: Layout, file: &str) -> Option<(String, String)> {
    let stem = file.strip_suffix(".sql")?;
    let number = |stem: &str| {
        let (version, _) = stem.split_once('_')?;
        // A leading zero is part of the file's name and not of the number.
        let version: u64 = version.parse().ok().filter(|_| is_number(version))?;
        Some(version.to_string())
    };
    match layout {
        Layout::Flat => Some((stem.to_owned(), stem.to_owned())),
        Layout::Dbmate => {
            let digits = stem.bytes().take_while(u8::is_ascii_digit).count();
            (digits > 0).then(|| (stem[..digits].to_owned(), stem.to_owned()))
        }
        Layout::Sqlx => {
            let stem = stem.strip_suffix(".up").unwrap_or(stem);
            Some((number(stem)?, stem.to_owned()))
        }
        Layout::GolangMigrate => {
            let stem = stem.strip_suffix(".up")?;
            Some((number(stem)?, stem.to_owned()))
        }
        Layout::Prisma => None,
    }
}

/// What runs of a file, and whether in a transaction.
fn body(layout: Layout, text: &str, file: &str) -> Result<(String, bool)> {
    match layout {
        Layout::Dbmate => {
            let up = dbmate::read(text, file)?;
            Ok((up.sql, up.transaction))
        }
        Layout::Sqlx => Ok((text.to_owned(), !text.starts_with("-- no-transaction"))),
        // One query either way, which PostgreSQL runs whole or not at all.
        _ => Ok((text.to_owned(), false)),
    }
}
