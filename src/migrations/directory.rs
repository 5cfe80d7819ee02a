//! Folder of migrations on this machine, read whole before anything is applied.
//!
//! Promises: nothing outside the folder is read, since links are not followed; a file that is too large or
//! no text is refused before the first one runs (reliability F67), with its name and what to do.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{self, Error, Result};

/// Larger files are dumps, not migrations.
pub(crate) const LARGEST: u64 = 64 << 20;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryEntry {
    pub(crate) name: String,
    /// True where the entry is a folder itself.
    pub(crate) folder: bool,
}

/// The entries of a folder, links and hidden ones left out, in byte order.
///
/// # Errors
/// Kind `Usage`: it cannot be read. Kind `Refused`: a name that is no UTF-8.
pub(crate) fn list(folder: &Path) -> Result<Vec<DirectoryEntry>> {
    let unreadable = |e: std::io::Error| {
        error::usage(format!("the folder of migrations {} cannot be read", folder.display())).because(e)
    };
    let mut items = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let kind = entry.file_type().map_err(unreadable)?;
        let name = entry.file_name().into_string().map_err(|name| {
            error::refused(format!("{} in {} is no UTF-8 name", name.display(), folder.display()))
                .hint("rename it")
        })?;
        // As Prisma does: a link is neither a folder nor a file of its own.
        if !name.starts_with('.') && (kind.is_dir() || kind.is_file()) {
            items.push(DirectoryEntry { name, folder: kind.is_dir() });
        }
    }
    items.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(items)
}

/// The names of a folder's links, which [`list`] leaves out.
pub(crate) fn links(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let links = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink()));
    let mut names: Vec<String> = links.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// The text of one migration.
///
/// # Errors
/// Kind `Refused`: too large, a byte order mark, bytes that are no UTF-8, or a NUL. Kind `Usage`: unreadable.
pub(crate) fn read(path: &Path) -> Result<String> {
    let shown = path.display();
    let size = path.symlink_metadata().map_err(|e| unreadable(path, e))?.len();
    if size > LARGEST {
        return Err(error::refused(format!("{shown} is larger than 64 MiB"))
            .hint("load data with `envctl psql -f FILE`, and keep migrations for the schema"));
    }
    let bytes = fs::read(path).map_err(|e| unreadable(path, e))?;
    text(bytes, path)
}

/// The beginning of a file, as far as it is text: enough to see whose it is. Empty where it cannot be read.
pub(crate) fn beginning(path: &Path) -> String {
    use std::io::Read as _;
    /// Marks of tools stand before the first statement, or in small files.
    const ENOUGH: u64 = 64 << 10;
    let mut bytes = Vec::new();
    match fs::File::open(path).and_then(|file| file.take(ENOUGH).read_to_end(&mut bytes)) {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

fn unreadable(path: &Path, cause: std::io::Error) -> Error {
    error::usage(format!("{} cannot be read", path.display())).because(cause)
}

fn text(bytes: Vec<u8>, path: &Path) -> Result<String> {
    let shown = path.display();
    // The server answers a mark with a syntax error, psql drops it silently: two tools, two results.
    if bytes.starts_with(&[0xEF, 0xBB, 0xBF]) {
        return Err(error::refused(format!("{shown} begins with a byte order mark"))
            .hint("save it as UTF-8 without a mark, for example `sed -i '1s/^\\xEF\\xBB\\xBF//' FILE`"));
    }
    if bytes.contains(&0) {
        return Err(error::refused(format!("{shown} holds a NUL byte; is it UTF-16?"))
            .hint("save it as UTF-8, for example `iconv -f UTF-16 -t UTF-8`"));
    }
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        let line = String::from_utf8_lossy(&e.as_bytes()[..at]).matches('\n').count() + 1;
        error::refused(format!("{shown} is no UTF-8 text, in line {line}"))
            .note("Prisma would replace the wrong bytes silently")
            .hint("save it as UTF-8")
    })
}

/// A path as people read it: relative to the working directory where it lies below it.
pub(crate) fn shown(path: &Path, project: Option<&Path>) -> String {
    project.and_then(|project| path.strip_prefix(project).ok()).map_or_else(
        || path.display().to_string(),
        |below| if below.as_os_str().is_empty() { ".".to_owned() } else { below.display().to_string() },
    )
}

/// The folders of a folder; packages, build output and hidden ones are left out.
pub(crate) fn below(folder: &Path) -> Vec<PathBuf> {
    const SKIPPED: &[&str] = &["node_modules", "target", "dist", "build", "vendor", "backups", "venv"];
    let items = list(folder).unwrap_or_default();
    let folders = items.into_iter().filter(|item| item.folder && !SKIPPED.contains(&item.name.as_str()));
    folders.map(|item| folder.join(item.name)).collect()
}

/// Looks for a folder below `root` that `fits`, breadth first, at most `depth` levels down.
pub(crate) fn search(root: &Path, depth: usize, fits: &dyn Fn(&Path) -> bool) -> Vec<PathBuf> {
    let mut level = vec![root.to_owned()];
    let mut found = Vec::new();
    for _ in 0..=depth {
        let (fitting, others): (Vec<_>, Vec<_>) = level.into_iter().partition(|folder| fits(folder));
        found.extend(fitting);
        level = others.iter().flat_map(|folder| below(folder)).collect();
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_server_would_take_differently_is_refused_with_its_line() {
        let path = Path::new("m/migration.sql");
        for (bytes, name) in [
            (b"\xEF\xBB\xBFselect 1".to_vec(), "byte order mark"),
            (b"select 1;\0".to_vec(), "NUL"),
            (b"select 1;\n\n-- caf\xe9".to_vec(), "line 3"),
        ] {
            let error = text(bytes, path).unwrap_err();
            assert_eq!(error.kind(), error::ErrorKind::Refused);
            assert!(error.message().contains(name), "{error}");
        }
        assert_eq!(text(b"select 1;\r\n".to_vec(), path).unwrap(), "select 1;\r\n");
        assert_eq!(text(Vec::new(), path).unwrap(), "");
    }

    #[test]
    fn links_are_neither_listed_nor_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("b")).unwrap();
        fs::write(dir.path().join("a.sql"), "").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("c")).unwrap();
        let names: Vec<String> = list(dir.path()).unwrap().into_iter().map(|item| item.name).collect();
        assert_eq!(names, ["a.sql", "b"]);
    }
}
