//! Tables that fit: aligned columns on a wide terminal, records on a narrow one, plain columns in a pipe.
//!
//! Promises: in a pipe no line is wrapped or cut, no cell is empty (`-`) and nothing is coloured;
//! cells are escaped here, so any string may be put in.

use comfy_table::{CellAlignment, ContentArrangement};

use super::escape::{columns, escape};
use super::style::{Styles, Tone};

/// At most this many columns make records instead of a table.
const NARROW: usize = 50;

/// How a table is laid out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    /// The terminal's columns; `None` where there is no terminal.
    pub(super) width: Option<usize>,
    pub(super) styles: Styles,
}

/// A column: its heading and whether it holds numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    heading: String,
    number: bool,
}

impl Column {
    /// A column of words, aligned left.
    pub fn text(heading: &str) -> Self {
        Self { heading: heading.to_owned(), number: false }
    }

    /// A column of numbers, aligned right.
    pub fn number(heading: &str) -> Self {
        Self { heading: heading.to_owned(), number: true }
    }
}

/// One cell: foreign text and how it is toned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    text: String,
    tone: Option<Tone>,
}

impl Cell {
    /// A cell in a tone.
    pub fn toned(text: impl Into<String>, tone: Tone) -> Self {
        Self { text: text.into(), tone: Some(tone) }
    }

    fn shown(&self) -> String {
        let shown = escape(self.text.trim());
        if shown.is_empty() { "-".to_owned() } else { shown }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: text.into(), tone: None }
    }
}

/// Rows under headings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    pub fn new(columns: impl IntoIterator<Item = Column>) -> Self {
        Self { columns: columns.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; missing cells are empty, surplus ones are dropped.
    pub fn row<C: Into<Cell>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        let mut row: Vec<Cell> = cells.into_iter().map(Into::into).collect();
        row.resize_with(self.columns.len(), || Cell::from(""));
        self.rows.push(row);
        self
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text, ended; nothing where there are no rows.
    pub(super) fn render(&self, layout: Layout) -> String {
        if self.is_empty() {
            return String::new();
        }
        match layout.width {
            Some(width) if width <= NARROW || self.natural_width() > width * 3 / 2 => {
                self.records(layout.styles)
            }
            _ => self.grid(layout),
        }
    }

    /// How wide the table wants to be: the widest cells and two spaces between the columns.
    fn natural_width(&self) -> usize {
        let widest = |at: usize| {
            let cells = self.rows.iter().map(|row| columns(&row[at].shown())).max().unwrap_or(0);
            cells.max(columns(&self.columns[at].heading)) + 2
        };
        (0..self.columns.len()).map(widest).sum::<usize>().saturating_sub(2)
    }

    fn grid(&self, layout: Layout) -> String {
        let mut grid = comfy_table::Table::new();
        grid.load_style(comfy_table::presets::NOTHING);
        match layout.width {
            Some(width) => {
                grid.set_content_arrangement(ContentArrangement::Dynamic);
                grid.set_width(u16::try_from(width).unwrap_or(u16::MAX));
            }
            None => {
                grid.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        grid.set_header(self.columns.iter().map(|column| column.heading.to_uppercase()));
        for row in &self.rows {
            grid.add_row(row.iter().map(Cell::shown));
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
        self.painted(&lines, layout.styles)
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

    fn records(&self, styles: Styles) -> String {
        let mut shown = String::new();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                shown.push('\n');
            }
            for (column, cell) in self.columns.iter().zip(row) {
                let text = cell.shown();
                let text = cell.tone.map_or(text.clone(), |tone| styles.paint(tone, &text));
                let key = styles.paint(Tone::Faint, &format!("{}:", column.heading));
                shown.extend([key.as_str(), " ", &text, "\n"]);
            }
        }
        shown
    }
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
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new([Column::text("stack"), Column::text("profile"), Column::number("size")]);
        table.row([Cell::from("acme"), Cell::toned("prod", Tone::Prod), Cell::from("143.4 MB")]);
        table.row([Cell::from("bo\x1bb"), Cell::from("dev"), Cell::from("9 B")]);
        table.row(["größe"]);
        table
    }

    fn at(width: Option<usize>, styles: Styles) -> String {
        sample().render(Layout { width, styles })
    }

    #[test]
    fn a_pipe_and_a_wide_terminal_get_aligned_columns() {
        for width in [None, Some(80)] {
            assert_eq!(
                at(width, Styles::PLAIN),
                "\
STACK      PROFILE      SIZE
acme       prod     143.4 MB
bo\\u{1b}b  dev           9 B
größe      -               -
"
            );
        }
    }

    #[test]
    fn tones_are_put_on_cells() {
        let shown = at(Some(80), Styles::COLOURED);
        assert!(shown.starts_with("\x1b[1mSTACK"), "{shown}");
        assert!(shown.contains("\x1b[1;97;41mprod\x1b[0m "), "{shown}");
        let bare = shown.replace("\x1b[1;97;41m", "").replace("\x1b[1m", "").replace("\x1b[0m", "");
        assert_eq!(bare, at(Some(80), Styles::PLAIN));
    }

    #[test]
    fn a_narrow_terminal_gets_records() {
        assert_eq!(
            at(Some(40), Styles::PLAIN),
            "stack: acme\nprofile: prod\nsize: 143.4 MB\n\nstack: bo\\u{1b}b\nprofile: dev\nsize: 9 B\n\n\
             stack: größe\nprofile: -\nsize: -\n"
        );
    }

    #[test]
    fn a_pipe_is_never_wrapped_and_a_terminal_never_overrun() {
        let mut table = Table::new([Column::text("name"), Column::text("why")]);
        let long = "word ".repeat(20);
        table.row(["acme", long.as_str()]);
        let layout = |width| Layout { width, styles: Styles::PLAIN };
        assert_eq!(table.render(layout(None)).lines().count(), 2);
        let wrapped = table.render(layout(Some(80)));
        assert!(wrapped.lines().count() > 2 && wrapped.lines().all(|line| columns(line) <= 80), "{wrapped}");
        table.row(["x".repeat(300)]);
        assert!(table.render(layout(Some(80))).starts_with("name: acme\n"));
    }

    #[test]
    fn no_rows_are_no_text() {
        assert_eq!(
            Table::new([Column::text("stack")]).render(Layout { width: None, styles: Styles::PLAIN }),
            ""
        );
    }
}
