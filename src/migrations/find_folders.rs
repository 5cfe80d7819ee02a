//! Search of a project for migrations: folders of envctl's layouts, and those of other tools.
//!
//! Promises: a tool's own files beat files that only end in `.sql`; folders for other databases do not count; "none were
//! found" is said only together with what was seen instead.

use std::path::{Path, PathBuf};

use super::layout::{FolderMarkers, ForeignTool, Layout, configured, other_database};
use crate::error::{self, Error, Result};
use crate::migrations::directory;
use crate::migrations::driver_inputs::DriverInputs;

/// Depth to which a project is searched: `applications/backend/src/database/prisma/migrations`.
const DEPTH: usize = 6;

/// Everything that was seen.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    /// Folders with marks of a layout.
    pub(crate) marked: Vec<(Layout, PathBuf)>,
    /// Folders called so, with files that end in `.sql`.
    pub(crate) bare: Vec<(Layout, PathBuf)>,
    /// Other tools, each with the file that says so.
    pub(crate) theirs: Vec<(&'static ForeignTool, PathBuf)>,
    pub(crate) nothing: Nothing,
}

/// Folders that were seen instead of migrations.
#[derive(Debug, Default)]
pub(crate) struct Nothing {
    /// Folders of migrations for other databases.
    others: Vec<PathBuf>,
    /// Folders with numbered files and another name.
    numbered: Vec<PathBuf>,
}

impl Survey {
    /// Looks where the configuration says, else everywhere in the project.
    ///
    /// # Errors
    /// Kind `Usage`: no such layout, no such folder.
    pub(crate) fn of(evidence: &DriverInputs<'_>) -> Result<Self> {
        let requested = evidence.layout.map(str::parse::<Layout>).transpose()?;
        let base = evidence.base.or(evidence.project).unwrap_or(Path::new("."));
        let mut survey = Self::default();
        match (evidence.dir.map(|dir| base.join(dir)), evidence.project) {
            (Some(folder), _) if folder.is_dir() => survey.named(&folder, evidence.project, requested),
            // With a tool in the container a folder there may be meant, which is none of this machine's.
            (Some(folder), _)
                if (evidence.cli_in.is_none() && evidence.tools.is_empty()) || evidence.driver == "sql" =>
            {
                return Err(error::usage(format!(
                    "the folder of migrations {} is not there",
                    folder.display()
                ))
                .hint("name it: `migrations.dir` in envctl.toml, or ENVCTL_MIGRATIONS_DIR"));
            }
            (Some(_), _) | (None, None) => {}
            (None, Some(project)) => survey.everywhere(project, requested),
        }
        Ok(survey)
    }

    /// Reports whether no migrations of any kind were seen.
    pub(crate) fn is_empty(&self) -> bool {
        self.marked.is_empty() && self.bare.is_empty() && self.theirs.is_empty()
    }

    /// A folder that is named is meant, whatever it is called.
    fn named(&mut self, folder: &Path, project: Option<&Path>, requested: Option<Layout>) {
        let signs = FolderMarkers::of(folder);
        match (requested, signs.tool()) {
            (Some(layout), _) => self.marked.push((layout, folder.to_owned())),
            (None, Some((tool, sign))) => self.theirs.push((tool, folder.join(sign))),
            (None, None) => self.marked.extend(with_layouts(&signs, folder, project)),
        }
    }

    fn everywhere(&mut self, project: &Path, requested: Option<Layout>) {
        let mut level = vec![project.to_owned()];
        for _ in 0..=DEPTH {
            let mut next = Vec::new();
            for folder in level {
                self.theirs.extend(configured(&folder));
                if !self.folder(&folder, project) {
                    next.extend(directory::below(&folder));
                }
            }
            level = next;
        }
        if let Some(requested) = requested {
            self.only(requested);
        }
        self.leave_out_tests(project);
    }

    /// Notes what a folder is; `true`: nothing below it is another one.
    fn folder(&mut self, folder: &Path, project: &Path) -> bool {
        let mut signs = FolderMarkers::of(folder);
        let called = is_called_so(folder);
        // A `scripts/migration.sql` of somebody's does not make Prisma's folder of the whole project.
        signs.prisma &= called || signs.prisma_named;
        let is_one = signs.is_marked() || signs.tool().is_some_and(|(tool, _)| called || !tool.is_vague());
        let bare = called && (signs.numbered || signs.other);
        let elsewhere = signs.other_database || is_for_another_database(folder, project);
        if elsewhere {
            if is_one || bare || signs.numbered {
                self.nothing.others.push(folder.to_owned());
            }
            return is_one || bare;
        }
        match signs.tool() {
            Some((tool, sign)) if is_one => {
                self.theirs.push((tool, folder.join(sign)));
                return true;
            }
            _ => {}
        }
        let found = with_layouts(&signs, folder, Some(project));
        if signs.is_marked() {
            self.marked.extend(found);
        } else if bare {
            self.bare.extend(found);
        } else if signs.numbered && !is_of_seeds(folder) {
            self.nothing.numbered.push(folder.to_owned());
        }
        is_one || bare
    }

    /// With a layout that is asked for, what can be read so is meant, and no other tool.
    fn only(&mut self, requested: Layout) {
        let whole = self.theirs.iter().filter(|(tool, _)| tool.whole && requested == Layout::Flat);
        let whole = whole.filter_map(|(_, sign)| folder_of(sign)).map(|folder| (requested, folder));
        let all: Vec<(Layout, PathBuf)> =
            whole.chain(self.marked.drain(..)).chain(self.bare.drain(..)).collect();
        let mut fits: Vec<_> = all.iter().filter(|(layout, _)| *layout == requested).cloned().collect();
        if fits.is_empty() {
            // Nothing looks like it: whoever asks for it may know better, and reading tells.
            fits = all.into_iter().map(|(_, folder)| (requested, folder)).collect();
        }
        fits.sort_by(|a, b| a.1.cmp(&b.1));
        fits.dedup();
        if !fits.is_empty() {
            self.theirs.clear();
        }
        self.marked = fits;
    }

    /// Removes folders of tests and examples where there are others.
    fn leave_out_tests(&mut self, project: &Path) {
        for found in [&mut self.marked, &mut self.bare] {
            if found.iter().any(|(_, folder)| !is_of_tests(folder, project)) {
                found.retain(|(_, folder)| !is_of_tests(folder, project));
            }
        }
        self.theirs.retain(|(_, file)| !is_of_tests(file, project));
    }

    /// The refusal that names whose migrations lie there, and what to type.
    pub(crate) fn theirs(&self, evidence: &DriverInputs<'_>) -> Error {
        let shown = |path: &Path| directory::shown(path, evidence.project);
        let mut names: Vec<&str> = Vec::new();
        for (tool, _) in &self.theirs {
            if !names.contains(&tool.name) {
                names.push(tool.name);
            }
        }
        let files: Vec<String> = self.theirs.iter().take(3).map(|(_, file)| shown(file)).collect();
        let more = if self.theirs.len() > 3 { ", …" } else { "" };
        let mut error = error::refused(format!(
            "the migrations of this project are of {} ({}{more}), which envctl does not run by itself",
            names.join(" and "),
            files.join(", ")
        ));
        let mut told: Vec<&ForeignTool> = Vec::new();
        for (tool, _) in &self.theirs {
            if !told.contains(tool) {
                error = tool.hints(error);
                told.push(tool);
            }
        }
        match self.bare.first() {
            Some((_, folder)) => error.hint(format!(
                "name the folder of another layout: `[migrations] dir = \"{}\"` in envctl.toml",
                shown(folder)
            )),
            None => error,
        }
    }
}

impl Nothing {
    /// The error where no migrations were found, with what was seen instead.
    pub(crate) fn error(&self, evidence: &DriverInputs<'_>) -> Error {
        let where_ = evidence.project.map_or_else(
            || "there is no project directory on this machine".to_owned(),
            |project| format!("none in {}", project.display()),
        );
        let shown = |path: &Path| directory::shown(path, evidence.project);
        let mut message =
            format!("no migrations were found: no Prisma CLI and no other tool in the backend, {where_}");
        if let Some(first) = self.others.first() {
            message.push_str(&format!("; those in {} are for another database", shown(first)));
        }
        let mut error = error::usage(message);
        if let Some(first) = self.numbered.first() {
            error = error.hint(format!(
                "name the folder if those in {0} are migrations: `[migrations] dir = \"{0}\"` in envctl.toml",
                shown(first)
            ));
        }
        error
            .hint("run it in the project's directory, or name the folder: `[migrations] dir = \"…\"` in envctl.toml")
            .hint("name a tool in the backend: `[migrations] preset = \"django\"`")
    }
}

/// The layouts that a folder can have, by the project around it.
fn with_layouts(signs: &FolderMarkers, folder: &Path, project: Option<&Path>) -> Vec<(Layout, PathBuf)> {
    let around = || {
        let inside = move |up: &&Path| project.is_some_and(|project| up.starts_with(project));
        folder.ancestors().take_while(inside).chain(project)
    };
    let uses = |file: &str, segment: &str| {
        around().any(|at| std::fs::read_to_string(at.join(file)).is_ok_and(|text| text.contains(segment)))
    };
    let sqlx = uses("Cargo.toml", "sqlx")
        || around().any(|at| at.join(".sqlx").is_dir() || at.join("sqlx.toml").is_file());
    let layouts = signs.layouts(sqlx, uses("go.mod", "module"));
    layouts.into_iter().map(|layout| (layout, folder.to_owned())).collect()
}

/// `migrations`, or `migrations/postgres`.
fn is_called_so(folder: &Path) -> bool {
    const NAMES: &[&str] = &["migrations", "migrate", "migration"];
    let is = |folder: Option<&Path>, names: &[&str]| {
        let name = folder.and_then(Path::file_name).map(|name| name.to_string_lossy().to_ascii_lowercase());
        name.is_some_and(|name| names.contains(&name.as_str()))
    };
    is(Some(folder), NAMES)
        || (is(folder.parent(), NAMES)
            && is(Some(folder), &["postgres", "postgresql", "pg", "sql", "versions"]))
}

fn is_for_another_database(folder: &Path, project: &Path) -> bool {
    text_below(folder, project).any(|name| other_database(&name))
}

fn is_of_tests(path: &Path, project: &Path) -> bool {
    const TESTS: &[&str] =
        &["test", "tests", "__tests__", "testdata", "fixtures", "examples", "example", "e2e", "samples"];
    text_below(path, project).any(|name| TESTS.contains(&name.to_ascii_lowercase().as_str()))
}

/// Numbered files that nobody takes for migrations.
fn is_of_seeds(folder: &Path) -> bool {
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    ["seed", "initdb", "fixture", "backup", "dump", "down", "rollback", "undo", "test"]
        .iter()
        .any(|segment| name.contains(segment))
}

fn text_below<'a>(path: &'a Path, project: &'a Path) -> impl Iterator<Item = String> + 'a {
    let below = path.strip_prefix(project).unwrap_or(Path::new(""));
    below.components().map(|part| part.as_os_str().to_string_lossy().into_owned())
}

/// The folder of migrations that a sign of a whole tool lies in or beside.
fn folder_of(sign: &Path) -> Option<PathBuf> {
    let folder = sign.parent()?;
    if sign.ends_with("meta/_journal.json") {
        return folder.parent().map(Path::to_owned);
    }
    FolderMarkers::of(folder).numbered.then(|| folder.to_owned())
}

#[cfg(test)]
#[path = "survey_tests.rs"]
mod tests;
