//! `envctl config`: every setting and where it came from.

use serde::Serialize;

use crate::commands::shared::context::CommandContext;
use crate::config::SettingRow;
use crate::ui::{Column, Table};

/// Arguments of `config`.
#[derive(clap::Args, Debug)]
pub(crate) struct EffectiveConfigArgs {}

#[derive(Serialize)]
struct EffectiveConfigAnswer<'a> {
    settings: &'a [SettingRow],
}

/// Shows the settings.
pub(crate) fn run(_args: &EffectiveConfigArgs, ctx: &CommandContext) {
    let rows = ctx.settings.table();
    ctx.ui.show(&EffectiveConfigAnswer { settings: rows }, |ui| {
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
}
