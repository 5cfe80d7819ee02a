//! Tests of progress: on a terminal, in a log, and switched off.

use super::super::capture::{captured, terminal};
use super::super::printer::UiOptions;
use super::*;

fn moving() -> UiOptions {
    UiOptions { progress: true, ..terminal(80) }
}

fn work(progress: &dyn Progress) {
    progress.step("dumping");
    progress.on(Event::Table("public.orders".to_owned()));
    for done in 0..1_000_000 {
        progress.on(Event::Bytes { done, total: Some(1_000_000) });
    }
    progress.on(Event::Warning("collation changed".to_owned()));
    progress.step("checking the file");
    progress.on(Event::Done);
}

#[test]
fn a_log_gets_a_line_for_each_step() {
    let (ui, out, err) = captured(UiOptions { progress: true, ..UiOptions::default() }, "");
    work(&*ui.progress());
    assert_eq!(err.text(), "dumping\nwarning: collation changed\nchecking the file\n");
    assert_eq!(out.text(), "");
}

#[test]
fn a_dumb_terminal_is_a_log() {
    let (ui, _, err) = captured(UiOptions { dumb_terminal: true, ..moving() }, "");
    work(&*ui.of_stack("acme").progress());
    assert_eq!(err.text(), "acme: dumping\nwarning: acme: collation changed\nacme: checking the file\n");
}

#[test]
fn where_it_is_not_wanted_only_warnings_are_said() {
    for options in [
        UiOptions { progress: false, ..moving() },
        UiOptions { quiet: true, ..moving() },
        UiOptions { json: true, ..moving() },
        UiOptions { quiet: true, progress: true, ..UiOptions::default() },
        UiOptions { json: true, progress: true, ..UiOptions::default() },
    ] {
        let (ui, out, err) = captured(options, "");
        work(&*ui.progress());
        assert_eq!(err.text() + &out.text(), "warning: collation changed\n");
    }
}

/// Returns the lines that a terminal shows after these bytes, with erased text removed.
fn screen(bytes: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    let (mut row, mut rest) = (0, bytes);
    while let Some(c) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("\x1b[2K") {
            lines[row].clear();
            rest = after;
        } else if let Some(after) = rest.strip_prefix("\x1b[") {
            let end = after.find(char::is_alphabetic).unwrap();
            let n: usize = after[..end].parse().unwrap();
            match &after[end..=end] {
                "A" => row = row.saturating_sub(n),
                "B" => row += n,
                other => panic!("unexpected move {other}"),
            }
            rest = &after[end + 1..];
        } else {
            rest = &rest[c.len_utf8()..];
            match c {
                '\r' => {}
                '\n' => {
                    row += 1;
                    if row == lines.len() {
                        lines.push(String::new());
                    }
                }
                c => lines[row].push(c),
            }
        }
    }
    lines.into_iter().map(|line| line.trim_end().to_owned()).collect()
}

#[test]
fn a_moving_line_leaves_nothing_behind() {
    let (ui, out, err) = captured(moving(), "");
    let progress = ui.progress();
    progress.step("dumping");
    progress.on(Event::Bytes { done: 500_000, total: Some(1_000_000) });
    std::thread::sleep(Duration::from_millis(350));
    assert!(err.text().contains("dumping  ████████░░░░░░░░  500.0 kB of about 1.0 MB"), "{:?}", err.text());
    ui.warn("the disk is slow");
    std::thread::sleep(Duration::from_millis(250));
    assert!(screen(&err.text()).last().unwrap().contains("dumping"), "it is drawn again below the warning");
    ui.answer("done");
    let after_answer = err.text();
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(err.text(), after_answer, "nothing is drawn after the answer");
    let shown: Vec<String> = screen(&after_answer).into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(shown, ["warning: the disk is slow"]);
    assert_eq!(out.text(), "done\n");
}

#[test]
fn a_million_counts_are_drawn_a_few_times() {
    let (ui, _, err) = captured(moving(), "");
    let began = Instant::now();
    let progress = ui.progress();
    work(&*progress);
    drop(progress);
    let ticks = began.elapsed().as_millis() as usize / 100 + 1;
    let drawn = err.text().matches("dumping").count();
    assert!(drawn <= ticks * 2 + 6, "{drawn} drawings in {ticks} ticks");
    let shown: Vec<String> = screen(&err.text()).into_iter().filter(|line| !line.is_empty()).collect();
    assert_eq!(shown, ["warning: collation changed"]);
}

#[test]
fn a_dropped_indicator_takes_its_line_along() {
    let (ui, _, err) = captured(moving(), "");
    let progress = ui.progress();
    progress.step("dumping");
    std::thread::sleep(Duration::from_millis(150));
    drop(progress);
    assert!(err.text().contains("dumping"));
    assert_eq!(screen(&err.text()).concat(), "");
}

#[test]
fn a_log_line_is_due_every_ten_seconds() {
    let pace = Pace::new(Duration::from_secs(10));
    let due: Vec<u64> = (0..35).filter(|s| pace.is_due_at(Duration::from_secs(*s))).collect();
    assert_eq!(due, [10, 20, 30]);
}
