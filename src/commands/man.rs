//! `envctl man`: the manual page on stdout, for `envctl man | man -l -`.

use crate::app::App;
use crate::error::{self, Result};

/// Arguments of `man`.
#[derive(clap::Args, Debug)]
pub struct Args {}

/// # Errors
/// The page cannot be written.
pub fn run(_args: &Args, app: &App) -> Result<()> {
    let mut page = Vec::new();
    clap_mangen::Man::new(crate::cli::definition())
        .render(&mut page)
        .map_err(|e| error::failed("the manual page cannot be made").because(e))?;
    app.ui.answer(&String::from_utf8_lossy(&page));
    Ok(())
}
