//! Tables at every width.

use super::*;

fn sample() -> Table {
    let mut table = Table::new([Column::text("stack"), Column::text("profile"), Column::number("size")]);
    table.row([Cell::from("acme"), Cell::toned("prod", Tone::Prod), Cell::from("143.4 MB")]);
    table.row([Cell::from("bo\x1bb"), Cell::from("dev"), Cell::from("9 B")]);
    table.row(["größe"]);
    table
}

fn at(width: Option<usize>, styles: Styles) -> String {
    sample().render(TableLayout { width, styles })
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
        at(Some(24), Styles::PLAIN),
        "stack: acme\nprofile: prod\nsize: 143.4 MB\n\nstack: bo\\u{1b}b\nprofile: dev\nsize: 9 B\n\n\
         stack: größe\n"
    );
}

#[test]
fn a_pipe_is_never_wrapped_and_a_terminal_never_overrun() {
    let mut table = Table::new([Column::text("name"), Column::text("why")]);
    let long = "word ".repeat(20);
    table.row(["acme", long.as_str()]);
    let layout = |width| TableLayout { width, styles: Styles::PLAIN };
    assert_eq!(table.render(layout(None)).lines().count(), 2);
    let wrapped = table.render(layout(Some(80)));
    assert!(wrapped.lines().count() > 2 && wrapped.lines().all(|line| columns(line) <= 80), "{wrapped}");
    table.row(["x".repeat(300)]);
    assert!(table.render(layout(Some(80))).starts_with("name: acme\n"));
}

/// A table as `status` shows it: the second row repeats the stack's name.
fn wide() -> Table {
    let mut table = Table::new([
        Column::text("stack"),
        Column::text("container"),
        Column::number("rows"),
        Column::text("result"),
    ]);
    let why = "failed: the database does not answer, and nobody knows why";
    table.row(["acme", "acme-prod-backend-1", "1\u{202f}234\u{202f}567", why]);
    table.row([Cell::from("acme").again(), Cell::from("acme-prod-db-1"), Cell::from(""), Cell::from("-")]);
    table
}

#[test]
fn only_the_last_column_is_wrapped_and_only_at_its_words() {
    let shown = wide().render(TableLayout { width: Some(80), styles: Styles::PLAIN });
    assert_eq!(
        shown,
        "\
STACK  CONTAINER                 ROWS  RESULT
acme   acme-prod-backend-1  1\u{202f}234\u{202f}567  failed: the database does not answer, and
                                       nobody knows why
       acme-prod-db-1               -  -
"
    );
}

#[test]
fn a_record_says_again_what_stood_above_and_leaves_out_what_is_not_known() {
    let shown = wide().render(TableLayout { width: Some(40), styles: Styles::PLAIN });
    assert_eq!(
        shown,
        "\
stack: acme
container: acme-prod-backend-1
rows: 1\u{202f}234\u{202f}567
result: failed: the database does not
  answer, and nobody knows why

stack: acme
container: acme-prod-db-1
"
    );
}

#[test]
fn what_can_be_spared_goes_first_and_is_named() {
    let mut table = Table::new([
        Column::text("backup"),
        Column::number("trend").spare(),
        Column::number("rows").spare(),
        Column::text("verified"),
    ]);
    table.row(["backup_20260101_000000.sql.gz", "+5 %", "161558", "complete"]);
    let at = |width| table.render(TableLayout { width: Some(width), styles: Styles::PLAIN });
    assert_eq!(at(80).lines().count(), 2, "{}", at(80));
    assert_eq!(
        at(48),
        "BACKUP                           ROWS  VERIFIED
backup_20260101_000000.sql.gz  161558  \
complete
(columns left out: trend)
"
    );
    assert_eq!(
        at(40),
        "BACKUP                         VERIFIED
backup_20260101_000000.sql.gz  complete
(columns left out: \
trend, rows)
"
    );
    assert!(at(30).contains("trend: +5 %\nrows: 161558\n"), "{}", at(30));
}

proptest::proptest! {
    /// At every width every word of every cell is there whole, and no line is longer than it has to be.
    #[test]
    fn nothing_is_broken_or_cut_at_any_width(
        cells in proptest::collection::vec("[a-z0-9]{1,12}( [a-z0-9]{1,12}){0,6}", 4..16),
        width in 20_usize..120,
    ) {
        let mut table = Table::new(["one", "two", "three", "four"].map(Column::text));
        for row in cells.chunks_exact(4) {
            table.row(row.iter().map(String::as_str));
        }
        let shown = table.render(TableLayout { width: Some(width), styles: Styles::PLAIN });
        let mut words: Vec<&str> = shown.split_whitespace().collect();
        for word in cells.chunks_exact(4).flatten().flat_map(|cell| cell.split(' ')) {
            let at = words.iter().position(|shown| *shown == word);
            proptest::prop_assert!(at.is_some(), "{word} is broken in\n{shown}");
            words.remove(at.unwrap_or(0));
        }
        for line in shown.lines() {
            proptest::prop_assert!(columns(line) <= width.max(20), "{line}");
        }
    }
}

#[test]
fn no_rows_are_no_text() {
    assert_eq!(
        Table::new([Column::text("stack")]).render(TableLayout { width: None, styles: Styles::PLAIN }),
        ""
    );
}
