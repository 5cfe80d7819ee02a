//! The table of how each of several stacks ended.

use std::fmt::Display;

use crate::error::Error;
use crate::exit;
use crate::multi_stack::{End, Report};
use crate::text::units::duration;
use crate::ui::{Cell, Column, Table, Tone};

/// Returns the final table: one row a stack.
pub(crate) fn table<O: Display>(report: &Report<O>) -> Table {
    let columns =
        [Column::text("stack"), Column::text("profile"), Column::number("time"), Column::text("result")];
    let mut table = Table::new(columns);
    for ended in &report.stacks {
        let profile = ended.profile.as_deref().unwrap_or("unknown");
        let profile = if ended.prod { Cell::toned(profile, Tone::Prod) } else { Cell::from(profile) };
        let (time, result) = match &ended.end {
            End::Done(outcome) => (duration(ended.took), Cell::from(outcome.to_string())),
            End::Planned(plan) => (String::new(), Cell::from(plan.to_string())),
            End::NotBegun => (String::new(), Cell::toned("not begun", Tone::Warn)),
            End::Failed(error) => (duration(ended.took), Cell::toned(failure(error), Tone::Bad)),
        };
        table.row([Cell::from(ended.stack.clone()), profile, Cell::from(time), result]);
    }
    table
}

/// `exit 7, tool`: the words have been said when it happened.
fn failure(error: &Error) -> String {
    format!("failed: {} (exit {})", error.kind().code(), exit::code(error.kind()))
}
