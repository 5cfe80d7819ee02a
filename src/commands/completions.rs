//! `envctl completions`: a shell's completion script on stdout.

use crate::app::App;
use crate::error::Result;

/// Arguments of `completions`.
#[derive(clap::Args, Debug)]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: clap_complete::Shell,
}

/// # Errors
/// None today; the signature is every command's.
#[expect(clippy::unnecessary_wraps, reason = "every command is called alike")]
pub(crate) fn run(args: &CompletionsArgs, mut definition: clap::Command, app: &App) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut definition, "envctl", &mut script);
    app.ui.answer(&String::from_utf8_lossy(&script));
    Ok(())
}
