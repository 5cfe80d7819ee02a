//! `envctl help exit-codes`: the table that scripts rely on.

use serde::Serialize;

use crate::app::App;
use crate::error::Result;
use crate::exit;
use crate::ui::{Column, Table};

/// Arguments of `help exit-codes`.
#[derive(clap::Args, Debug)]
pub(crate) struct ExitCodesArgs {}

#[derive(Serialize)]
struct ExitCodeRow {
    code: u8,
    meaning: &'static str,
}

#[derive(Serialize)]
struct ExitCodesAnswer {
    exit_codes: Vec<ExitCodeRow>,
}

/// # Errors
/// None; the signature is every command's.
#[expect(clippy::unnecessary_wraps, reason = "every command is called alike")]
pub(crate) fn run(_args: &ExitCodesArgs, app: &App) -> Result<()> {
    let exit_codes = exit::TABLE.iter().map(|&(code, meaning)| ExitCodeRow { code, meaning }).collect();
    app.ui.show(&ExitCodesAnswer { exit_codes }, |ui| {
        let mut table = Table::new([Column::number("code"), Column::text("meaning")]);
        for (code, meaning) in exit::TABLE {
            table.row([code.to_string(), (*meaning).to_owned()]);
        }
        ui.render(&table)
    });
    Ok(())
}
