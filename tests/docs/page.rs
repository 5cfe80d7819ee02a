//! A Markdown file as the tests need it: its code, its links, its headings, its tables, section by section.
//!
//! Promise: knows as much Markdown as the documents of this project use, and no more.

use std::path::{Path, PathBuf};

/// A document.
pub(crate) struct Page {
    /// From the project's root: `docs/json.md`.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Fence<'a> {
    /// What stands behind the three backticks.
    pub(crate) language: &'a str,
    pub(crate) body: String,
}

/// The project's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every document that a user or a developer reads.
pub(crate) fn pages() -> Vec<Page> {
    let mut names: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md", "migrations/README.md"]
            .map(str::to_owned)
            .into();
    let entries = std::fs::read_dir(root().join("docs")).expect("there is a folder docs");
    for entry in entries.map(|entry| entry.expect("docs can be listed")) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.sort();
    names.iter().map(|name| page(name)).collect()
}

/// One document.
pub(crate) fn page(name: &str) -> Page {
    let text = std::fs::read_to_string(root().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
    Page { name: name.to_owned(), text }
}

impl Page {
    /// The fenced blocks, in order.
    pub(crate) fn fences(&self) -> Vec<Fence<'_>> {
        let mut fences = Vec::new();
        let mut open: Option<Fence<'_>> = None;
        for line in self.text.lines() {
            match (line.trim_start().strip_prefix("```"), open.as_mut()) {
                (Some(_), Some(_)) => fences.extend(open.take()),
                (Some(language), None) => open = Some(Fence { language, body: String::new() }),
                (None, Some(fence)) => {
                    fence.body.push_str(line);
                    fence.body.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a fenced block is not closed", self.name);
        fences
    }

    /// The text without its fenced blocks.
    pub(crate) fn prose(&self) -> String {
        let mut inside = false;
        let mut prose = String::new();
        for line in self.text.lines() {
            if line.trim_start().starts_with("```") {
                inside = !inside;
            } else if !inside {
                prose.push_str(line);
                prose.push('\n');
            }
        }
        prose
    }

    /// What stands between backticks in the prose.
    pub(crate) fn spans(&self) -> Vec<String> {
        self.prose().split('`').skip(1).step_by(2).map(|span| span.replace('\n', " ")).collect()
    }

    /// The targets of links.
    pub(crate) fn links(&self) -> Vec<String> {
        let prose = self.prose();
        let ends = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        ends.map(str::to_owned).collect()
    }

    /// The file a link leads to.
    pub(crate) fn beside(&self, target: &str) -> PathBuf {
        root().join(&self.name).parent().unwrap_or(root()).join(target)
    }

    /// The sections of second rank: heading and page.
    pub(crate) fn sections(&self) -> Vec<(String, Page)> {
        let parts = self.text.split("\n## ").skip(1);
        parts
            .map(|part| {
                let (heading, text) = part.split_once('\n').unwrap_or((part, ""));
                let name = format!("{}, {heading}", self.name);
                (heading.to_owned(), Page { name, text: text.to_owned() })
            })
            .collect()
    }

    /// The cells of every table row, their backticks taken off; rules and rows of other widths are passed over.
    pub(crate) fn rows(&self, width: usize) -> Vec<Vec<String>> {
        let rows = self.prose();
        rows.lines()
            .filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'))
            .filter(|row| !row.contains("---"))
            .map(|row| {
                row.split('|').map(|cell| cell.trim().trim_matches('`').to_owned()).collect::<Vec<_>>()
            })
            .filter(|cells| cells.len() == width)
            .collect()
    }
}
