//! Tables that fit: aligned columns where they fit, else a last column that is wrapped at its words, else without
//! the columns that can be spared, else records; plain columns in a pipe.
//!
//! Promises: no word and no number is ever broken and nothing is cut, whatever the width, and what was left out is
//! named; in a pipe no line is wrapped, no cell is empty (`-`), repeated or coloured; cells are escaped here, so any
//! string may be put in.

use comfy_table::{CellAlignment, ContentArrangement};

use super::style::{Styles, Tone};
use super::wrap::wrap;
use crate::text::escape::{columns, escape};

/// A last column that is narrower than this is not worth wrapping: records read better.
const WRAP_FROM: usize = 24;

#[derive(Clone, Copy, Debug)]
pub(crate) struct TableLayout {
    /// The terminal's columns; `None` where there is no terminal.
    pub(crate) width: Option<usize>,
    pub(crate) styles: Styles,
}

/// A column: its heading and whether it holds numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Column {
    heading: String,
    number: bool,
    spare: bool,
}

impl Column {
    /// A column of words, aligned left.
    pub(crate) fn text(heading: &str) -> Self {
        Self { heading: heading.to_owned(), number: false, spare: false }
    }

    /// A column of numbers, aligned right.
    pub(crate) fn number(heading: &str) -> Self {
        Self { heading: heading.to_owned(), number: true, spare: false }
    }

    /// Returns the column, marked as one to leave out on a narrow terminal. The first of several is left out first.
    #[must_use]
    pub(crate) fn spare(self) -> Self {
        Self { spare: true, ..self }
    }
}

/// One cell: foreign text and how it is toned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Option<Tone>,
    /// Cell with the text of the row above. Records, which have no row above, repeat the text.
    again: bool,
}

impl Cell {
    pub(crate) fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone: Some(tone), again: false }
    }

    /// Returns the cell, marked as a repetition of the cell above.
    #[must_use]
    pub(crate) fn again(self) -> Self {
        Self { again: true, ..self }
    }

    fn shown(&self) -> String {
        if self.again { String::new() } else { self.whole() }
    }

    fn whole(&self) -> String {
        let shown = escape(self.text.trim());
        if shown.is_empty() { "-".to_owned() } else { shown }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: None, again: false }
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub(crate) fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, surplus ones are dropped.
    pub(crate) fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        row.resize_with(self.columns.len(), || Cell::from(""));
        self.rows.push(row);
        self
    }

    /// Reports whether the table has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, ended; nothing where there are no rows.
    pub(crate) fn render(&self, layout: TableLayout) -> String {
        if self.is_empty() {
            return String::new();
        }
        let Some(width) = layout.width else { return self.repeated().grid(None, layout.styles) };
        let mut spared = Vec::new();
        let mut narrower = self.clone();
        loop {
            if let Some(shown) = narrower.fitted(width, layout.styles) {
                return shown + &left_out(&spared, width, layout.styles);
            }
            let Some(at) = narrower.columns.iter().position(|column| column.spare) else {
                return self.records(width, layout.styles);
            };
            spared.push(narrower.columns.remove(at).heading);
            for row in &mut narrower.rows {
                row.remove(at);
            }
        }
    }

    /// Returns the table with the text of repeated cells: a line of a pipe is read alone.
    fn repeated(&self) -> Self {
        let mut table = self.clone();
        table.rows.iter_mut().flatten().for_each(|cell| cell.again = false);
        table
    }

    /// Renders the table as a grid if the grid fits, with the last column wrapped if necessary.
    fn fitted(&self, width: usize, styles: Styles) -> Option<String> {
        let widths = self.widths();
        let before: usize = widths.iter().rev().skip(1).map(|column| column + 2).sum();
        if before + widths.last().copied().unwrap_or(0) <= width {
            return Some(self.grid(None, styles));
        }
        let available = width.saturating_sub(before);
        let wraps = self.columns.last().is_some_and(|column| !column.number);
        (wraps && available >= WRAP_FROM && self.longest_word() <= available)
            .then(|| self.grid(Some(available), styles))
    }

    /// Full width of each column.
    fn widths(&self) -> Vec<usize> {
        let widest = |at: usize| {
            let cells = self.rows.iter().map(|row| columns(&row[at].shown())).max().unwrap_or(0);
            cells.max(columns(&self.columns[at].heading))
        };
        (0..self.columns.len()).map(widest).collect()
    }

    /// The longest word of the last column: what cannot be wrapped.
    fn longest_word(&self) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.last()).map(Cell::shown);
        cells.flat_map(|cell| cell.split(' ').map(columns).collect::<Vec<_>>()).max().unwrap_or(0)
    }

    /// Aligned columns; `available` is what the last one has where it has to be wrapped.
    fn grid(&self, available: Option<usize>, styles: Styles) -> String {
        let mut grid = comfy_table::Table::new();
        grid.load_style(comfy_table::presets::NOTHING);
        grid.set_content_arrangement(ContentArrangement::Disabled);
        grid.set_header(self.columns.iter().map(|column| column.heading.to_uppercase()));
        for row in &self.rows {
            let mut cells: Vec<String> = row.iter().map(Cell::shown).collect();
            if let (Some(available), Some(last)) = (available, cells.last_mut()) {
                let mut lines = wrap("", 0, last, 0, Some(available));
                lines.truncate(lines.trim_end().len());
                *last = lines;
            }
            grid.add_row(cells);
        }
        for (at, column) in self.columns.iter().enumerate() {
            if let Some(drawn) = grid.column_mut(at) {
                drawn.set_padding((0, if at + 1 == self.columns.len() { 0 } else { 2 }));
                drawn.set_cell_alignment(if column.number {
                    CellAlignment::Right
                } else {
                    CellAlignment::Left
                });
            }
        }
        let lines: Vec<String> = grid.lines().map(|line| line.trim_end().to_owned()).collect();
        self.painted(&lines, styles)
    }

    /// Adds tones. Where rows were wrapped, only the heading has one: the lines are no rows any more.
    fn painted(&self, lines: &[String], styles: Styles) -> String {
        let whole = lines.len() == self.rows.len() + 1;
        let mut shown = String::new();
        for (number, line) in lines.iter().enumerate() {
            match number.checked_sub(1).and_then(|row| self.rows.get(row)) {
                _ if !styles.coloured() => shown.push_str(line),
                None if number == 0 => shown.push_str(&styles.paint(Tone::Strong, line)),
                Some(row) if whole => shown.push_str(&painted_row(line, row, styles)),
                _ => shown.push_str(line),
            }
            shown.push('\n');
        }
        shown
    }

    /// One field a line, the empty ones left out, and a line between two rows.
    fn records(&self, width: usize, styles: Styles) -> String {
        let mut shown = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                shown.push('\n');
            }
            for (column, cell) in self.columns.iter().zip(row) {
                let text = cell.whole();
                if text == "-" {
                    continue;
                }
                let text = cell.tone.map_or(text.clone(), |tone| styles.paint(tone, &text));
                let key = styles.paint(Tone::Faint, &format!("{}:", column.heading));
                let lead = columns(&column.heading) + 2;
                // A tone may not be torn apart by a line end.
                let limit = Some(width).filter(|_| cell.tone.is_none());
                shown.push_str(&wrap(&format!("{key} "), lead, &text, 2, limit));
            }
        }
        shown
    }
}

/// Names of the columns that did not fit; nothing if all did.
fn left_out(spared: &[String], width: usize, styles: Styles) -> String {
    if spared.is_empty() {
        return String::new();
    }
    let text = format!("(columns left out: {})", spared.join(", "));
    let shown = wrap("", 0, &text, 2, Some(width));
    styles.paint(Tone::Faint, shown.trim_end()) + "\n"
}

/// Tones the cells of an unwrapped line. Between two cells there are only spaces, so each cell's text
/// is the next place where it occurs.
fn painted_row(line: &str, row: &[Cell], styles: Styles) -> String {
    let mut shown = String::new();
    let mut rest = line;
    for cell in row {
        let text = cell.shown();
        let Some(at) = rest.find(&text) else { break };
        shown.push_str(&rest[..at]);
        shown.push_str(&cell.tone.map_or(text.clone(), |tone| styles.paint(tone, &text)));
        rest = &rest[at + text.len()..];
    }
    shown + rest
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
