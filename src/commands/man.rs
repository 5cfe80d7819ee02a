//! `envctl man`: the manual page on stdout, for `envctl man | man -l -`.

use crate::app::App;
use crate::error::{self, Result};

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub(crate) struct ManArgs {}

/// # Errors
/// The page cannot be written.
pub(crate) fn run(_args: &ManArgs, definition: clap::Command, app: &App) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(definition)
        .render(&mut page)
        .map_err(|e| error::failed("the manual page cannot be made").because(e))?;
    app.ui.answer(&String::from_utf8_lossy(&page));
    Ok(())
}
