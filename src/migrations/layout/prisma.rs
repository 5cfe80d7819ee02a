//! Prisma's folders: `20241201143022_add_user/migration.sql`.

use std::path::Path;

use super::{Script, as_node_sorts};
use crate::error::{self, Result};
use crate::migrations::directory;

/// Prisma's column holds no more.
const LONGEST: usize = 255;

/// Reads every folder. Entries that are no folders are not migrations, as with Prisma.
pub(crate) fn read(at: &Path) -> Result<Vec<Script>> {
    let mut names: Vec<String> =
        directory::list(at)?.into_iter().filter(|item| item.folder).map(|item| item.name).collect();
    if let Some(name) = names.iter().find(|name| name.len() > LONGEST) {
        return Err(error::refused(format!("the folder {name} has a name of more than {LONGEST} bytes"))
            .note("Prisma's table cannot hold it")
            .hint("rename the folder"));
    }
    if let [_, _, ..] = names.as_slice()
        && let Some(name) = names.iter().find(|name| !name.is_ascii())
    {
        return Err(error::refused(format!(
            "the order of the migrations is ambiguous: {name:?} is not ASCII"
        ))
        .note("Prisma sorts by the rules of a language, which differ from machine to machine")
        .hint("rename the folder"));
    }
    names.sort_by(|a, b| as_node_sorts(a, b).unwrap_or_else(|| a.cmp(b)));
    names.into_iter().map(|name| script(at, name)).collect()
}

fn script(at: &Path, name: String) -> Result<Script> {
    let path = at.join(&name).join("migration.sql");
    if !path.symlink_metadata().is_ok_and(|meta| meta.is_file()) {
        // Prisma would apply those before it and then stop with P3015.
        return Err(error::refused(format!("{name} holds no migration.sql")).hint(format!(
            "put the file back from version control, or remove the folder {}",
            at.join(&name).display()
        )));
    }
    let text = directory::read(&path)?;
    Ok(Script { key: name.clone(), name, path, sql: text.clone(), text, transaction: false })
}
