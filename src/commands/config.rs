//! `envctl config`: every setting and where it came from.

use serde::Serialize;

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::config::SettingRow;
use crate::error::Result;
use crate::ui::{Column, Table};

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub(crate) struct EffectiveConfigArgs {}

#[derive(Serialize)]
struct EffectiveConfigAnswer<'a> {
    settings: &'a [SettingRow],
}

/// # Errors
/// Kind `Usage`: a setting cannot be understood.
pub(crate) fn run(_args: &EffectiveConfigArgs, global: &GlobalArgs, app: &App) -> Result<()> {
    let settings = app.settings(global)?;
    let rows = settings.table();
    app.ui.show(&EffectiveConfigAnswer { settings: rows }, |ui| {
        let mut table = Table::new([Column::text("setting"), Column::text("value"), Column::text("from")]);
        for row in rows {
            table.row([
                row.key.clone(),
                row.value.clone().unwrap_or_else(|| "-".to_owned()),
                row.origin.to_string(),
            ]);
        }
        ui.render(&table)
    });
    Ok(())
}
