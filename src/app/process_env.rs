//! Settings and secrets from the command line, the environment variables and the files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::app::global_args::GlobalArgs;
use crate::config::color::Color;
use crate::config::{self, Inputs, Settings};
use crate::error::{self, Result};
use crate::ui::ColorChoice;

/// Every setting, from the command line, the variables and the files.
pub(crate) fn settings(global: &GlobalArgs, environment: &BTreeMap<String, String>) -> Result<Settings> {
    let cwd = std::env::current_dir().map_err(|e| {
        error::usage("the working directory cannot be read")
            .because(e)
            .hint("change to one that exists: `cd DIR`")
    })?;
    config::resolve(&Inputs {
        flags: global.flags(),
        env: environment.clone(),
        cwd,
        home: home(environment),
        uid: Some(rustix::process::getuid().as_raw()),
    })
}

/// The home directory, where a variable names one.
pub(crate) fn home(environment: &BTreeMap<String, String>) -> Option<PathBuf> {
    environment.get("HOME").filter(|home| !home.is_empty()).map(PathBuf::from)
}

/// The setting as the printer takes it.
pub(crate) fn color(color: Color) -> ColorChoice {
    match color {
        Color::Auto => ColorChoice::Auto,
        Color::Always => ColorChoice::Always,
        Color::Never => ColorChoice::Never,
    }
}

/// Runs a `*_command` of the configuration and gives what it printed.
pub(crate) fn run_for_secret(argv: &[String]) -> Result<Vec<u8>> {
    let (program, arguments) = argv.split_first().ok_or_else(|| error::usage("a `*_command` is empty"))?;
    let output = std::process::Command::new(program)
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|e| error::usage(format!("`{program}` cannot be started")).because(e))?;
    if !output.status.success() {
        return Err(error::usage(format!("`{program}` ended with {}", output.status)));
    }
    Ok(output.stdout)
}
