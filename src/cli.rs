//! Command line: the global flags, the verbs, one match.
//!
//! Promise: this file and `commands/` are the only places that know clap. Nothing here decides anything;
//! `--help`, completions and errors of usage never touch Docker.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::app::App;
use crate::app::global_args::GlobalArgs;
use crate::commands;
use crate::commands::shared::context::CommandContext;
use crate::error::{Error, ErrorKind, Result};
use crate::exit;
use crate::ui::{Ui, UiOptions};

/// Shells, backups and restores for stacks on Docker Compose and PostgreSQL.
///
/// envctl finds the containers of a stack by talking to the Docker daemon and does the daily work on
/// them, in development and production, one stack or many.
#[derive(Debug, Parser)]
#[command(name = "envctl", version, propagate_version = true, max_term_width = 100)]
#[command(after_help = "Start with `envctl status`. Exit codes: `envctl help exit-codes`.")]
pub(crate) struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every stack: containers, health, database version and size, migrations, last backup
    Status(commands::status::StatusArgs),
    /// Interactive shell in a container, or one command
    #[command(visible_alias = "ssh")]
    Shell(commands::shell::ShellArgs),
    /// One command in a container, byte-clean, its exit code passed through
    Exec(commands::exec::ExecCommandArgs),
    /// psql in the database container
    Psql(commands::psql::PsqlArgs),
    /// A container's logs
    Logs(commands::logs::LogsArgs),
    /// Prisma Studio in the container, tunnelled to 127.0.0.1
    Studio(commands::studio::StudioArgs),
    /// A local port to a port in a container, published or not
    Forward(commands::forward::ForwardArgs),
    /// Make a verified backup, or look at the ones there are
    #[command(visible_alias = "db:dump")]
    Backup(Box<commands::backup::BackupArgs>),
    /// Put a backup back, all or nothing; `restore undo` takes it back
    #[command(alias = "db:restore")]
    Restore(Box<commands::restore::RestoreCommandArgs>),
    /// Look at a store of backups: s3://, gs://, az:// or file://
    Store(commands::store::StoreArgs),
    /// Apply migrations, look at them, create, resolve, reset
    Migrate(commands::migrate::MigrateArgs),
    /// Generate the schema tool's client
    Generate(commands::schema_tool::generate::GenerateArgs),
    /// Push the schema into the database without a migration: for prototypes
    Push(commands::schema_tool::push::PushArgs),
    /// Read the schema out of the database
    Pull(commands::schema_tool::pull::PullArgs),
    /// Fill the database as the project says
    Seed(commands::schema_tool::seed::SeedArgs),
    /// Find what is wrong and what to type about it; remove orphans of killed runs
    #[command(after_help = commands::doctor::AFTER_HELP)]
    Doctor(commands::doctor::DoctorArgs),
    /// Write a commented envctl.toml from what is running, and a Makefile with the old names
    Init(commands::init::InitArgs),
    /// Every setting and where it came from
    Config(commands::config::EffectiveConfigArgs),
    /// Shell completions on stdout
    Completions(commands::completions::CompletionsArgs),
    /// The manual page on stdout
    Man(commands::man::ManArgs),
    /// The table of exit codes
    #[command(name = "help-exit-codes", alias = "exit-codes", hide = true)]
    HelpExitCodes(commands::exit_codes::ExitCodesArgs),
}

/// The command line as clap sees it: for completions and the manual.
pub fn definition() -> clap::Command {
    Cli::command()
}

/// Parses, runs, reports once, and gives the exit code.
pub fn main() -> ExitCode {
    let arguments = arguments();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => return misunderstood(&error, &arguments),
    };
    let beside_a_child = matches!(cli.command, Command::Shell(_) | Command::Exec(_) | Command::Psql(_));
    let app = App::from_process(&cli.global);
    // On the heap: the largest verb would else decide how much stack every one takes.
    let result = app.run(|app| async move { Box::pin(dispatch(cli, &app)).await });
    finish(&app, result, beside_a_child)
}

/// Arguments of the process. `envctl help exit-codes` is how people ask for the table; clap's own `help` takes only verbs.
fn arguments() -> Vec<OsString> {
    exit_codes_asked_for(std::env::args_os().collect())
}

/// Rewrites `help exit-codes` where `help` is the verb: behind another verb both words belong to that one.
fn exit_codes_asked_for(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let verbs = Cli::command();
    let is_verb = |argument: &OsString| {
        argument == "help"
            || argument.to_str().is_some_and(|argument| verbs.find_subcommand(argument).is_some())
    };
    let first =
        arguments.iter().enumerate().skip(1).find(|(_, argument)| *argument == "--" || is_verb(argument));
    if let Some((at, argument)) = first
        && argument == "help"
        && arguments.get(at + 1).is_some_and(|argument| argument == "exit-codes")
    {
        arguments.splice(at..at + 2, ["help-exit-codes".into()]);
    }
    arguments
}

/// Help and version go to stdout with code 0. Errors of usage go to stderr, or with `--json` as a document to
/// stdout; beside a child they are 125, since 2 would read as the child's own code.
fn misunderstood(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        return ExitCode::from(if error.print().is_ok() { 0 } else { 141 });
    }
    if arguments.iter().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let mut parts = text.trim().splitn(2, "\n\n");
        let message = parts.next().unwrap_or_default().trim_start_matches("error: ").to_owned();
        let mut told = crate::error::usage(message);
        if let Some(rest) = parts.next() {
            told = told.hint(rest.trim().to_owned());
        }
        Ui::new(UiOptions { json: true, ..UiOptions::default() }).error(&told);
    } else {
        let _ = error.print();
    }
    let verbs = Cli::command();
    let verb = arguments
        .iter()
        .skip(1)
        .filter_map(|argument| argument.to_str())
        .find(|argument| verbs.find_subcommand(argument).is_some());
    ExitCode::from(if matches!(verb, Some("exec" | "shell" | "ssh" | "psql")) { 125 } else { 2 })
}

async fn dispatch(cli: Cli, app: &App) -> Result<()> {
    let ctx = || CommandContext::new(app, &cli.global);
    match cli.command {
        Command::Status(args) => commands::status::run(args, &ctx()?).await,
        Command::Shell(args) => commands::shell::run(args, &ctx()?).await,
        Command::Exec(args) => commands::exec::run(args, &ctx()?).await,
        Command::Psql(args) => commands::psql::run(args, &ctx()?).await,
        Command::Logs(args) => commands::logs::run(args, &ctx()?).await,
        Command::Studio(args) => commands::studio::run(args, &ctx()?).await,
        Command::Forward(args) => commands::forward::run(args, &ctx()?).await,
        Command::Backup(args) => Box::pin(commands::backup::run(*args, &ctx()?)).await,
        Command::Restore(args) => Box::pin(commands::restore::run(*args, &ctx()?)).await,
        Command::Store(args) => Box::pin(commands::store::run(&args, &ctx()?)).await,
        Command::Migrate(args) => Box::pin(commands::migrate::run(args, &ctx()?)).await,
        Command::Generate(args) => commands::schema_tool::generate::run(&args, &ctx()?).await,
        Command::Push(args) => commands::schema_tool::push::run(&args, &ctx()?).await,
        Command::Pull(args) => commands::schema_tool::pull::run(&args, &ctx()?).await,
        Command::Seed(args) => commands::schema_tool::seed::run(&args, &ctx()?).await,
        Command::Doctor(args) => commands::doctor::run(args, &ctx()?).await,
        Command::Init(args) => commands::init::run(args, &ctx()?).await,
        Command::Config(args) => {
            commands::config::run(&args, &ctx()?);
            Ok(())
        }
        Command::Completions(args) => commands::completions::run(&args, definition(), app),
        Command::Man(args) => commands::man::run(&args, definition(), app),
        Command::HelpExitCodes(args) => commands::exit_codes::run(&args, app),
    }
}

fn finish(app: &App, result: Result<()>, beside_a_child: bool) -> ExitCode {
    let code = match result {
        Ok(()) => 0,
        Err(error) => report(app, &error, beside_a_child),
    };
    match app.ui.output_failure() {
        // As a program that SIGPIPE ended: quiet, and no success.
        Some(crate::ui::OutputFailure::BrokenPipe) if code == 0 => ExitCode::from(141),
        Some(_) if code == 0 => ExitCode::from(1),
        _ => ExitCode::from(code),
    }
}

fn report(app: &App, error: &Error, beside_a_child: bool) -> u8 {
    if beside_a_child {
        app.ui.error_beside_a_child(error);
        exit::code_beside_a_child(error.kind())
    } else {
        // The answer was the document: the report over several stacks, the history that is not settled, the findings.
        let kind_is_told = matches!(error.kind(), ErrorKind::Partial | ErrorKind::Pending | ErrorKind::Found);
        let told = (kind_is_told || error.is_answered()) && app.ui.is_json();
        if !told && !matches!(error.kind(), ErrorKind::Child(_)) {
            app.ui.error(error);
        }
        exit::code(error.kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_in_a_container_stay_as_they_are() {
        let rewritten = |line: &str| {
            let arguments = line.split(' ').map(OsString::from).collect();
            exit_codes_asked_for(arguments)
                .iter()
                .map(|argument| argument.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
                .join(" ")
        };
        for line in [
            "envctl exec db -- echo a -- x help exit-codes",
            "envctl exec db -- help exit-codes",
            "envctl -q exec db -- mytool help exit-codes",
            "envctl shell help exit-codes",
            "envctl -- help exit-codes",
            "envctl help exec",
            "envctl help",
        ] {
            assert_eq!(rewritten(line), line);
        }
        assert_eq!(rewritten("envctl help exit-codes"), "envctl help-exit-codes");
        assert_eq!(rewritten("envctl --color never help exit-codes"), "envctl --color never help-exit-codes");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
