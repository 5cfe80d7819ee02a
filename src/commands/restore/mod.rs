//! `envctl restore`: put a backup back, all or nothing.

pub(crate) mod all_databases;
pub(crate) mod args;
mod fetch;
mod filter_args;
mod identity_check;
pub(crate) mod plan_json;
pub(crate) mod previous;
mod source;
mod target;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Subcommand;

use crate::app::App;
use crate::app::global_args::option;
use crate::commands::restore::args::RestoreArgs;
use crate::commands::restore::fetch::fetch;
use crate::commands::restore::identity_check::{compare, refuse_into_production};
use crate::commands::restore::source::source;
use crate::commands::restore::target::RestoreTarget;
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::database::ConnectedDatabase;
use crate::error::{self, Result};
use crate::fsutil::read_lock::ReadLock;
use crate::postgres::Session;
use crate::progress::Progress;
use crate::repository::manifest::{Manifest, Verification};
use crate::restore::all_databases::{Roles, is_cluster};
use crate::restore::examine::{DumpSource, ExaminedDump, InputOptions, examine};
use crate::restore::piped_dump::{self, PipeContent};
use crate::restore::plan::RestorePlan;
use crate::restore::planner::{RestoreInput, plan};
use crate::restore::run::{Restored, run as carry_out};
use crate::text::units::counted;

/// Arguments of `restore`.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct RestoreCommandArgs {
    #[command(flatten)]
    restore: RestoreArgs,
    #[command(subcommand)]
    verb: Option<RestoreVerb>,
}

#[derive(Debug, Subcommand)]
enum RestoreVerb {
    /// Swap the database that the last restore replaced back in
    Undo(undo::UndoArgs),
    /// List the databases that restores have replaced, or drop them
    Previous(previous::PreviousArgs),
}

/// # Errors
/// See [`carry_out`]; unless the kind is `Unknown`, the database is as it was.
pub(crate) async fn run(args: RestoreCommandArgs, ctx: &CommandContext) -> Result<()> {
    match args.verb {
        Some(RestoreVerb::Undo(args)) => undo::run(&args, ctx).await,
        Some(RestoreVerb::Previous(args)) => previous::run(&args, ctx).await,
        None => Box::pin(restore(args.restore, ctx)).await,
    }
}

async fn restore(args: RestoreArgs, ctx: &CommandContext) -> Result<()> {
    let asked = args.source.clone().ok_or_else(|| {
        error::usage("what shall be restored?")
            .hint("name it: `envctl restore latest`, or a file of `envctl backup list`")
    })?;
    let ctx = &args.to.as_deref().map_or_else(|| Ok(ctx.clone()), |profile| ctx.with_profile(profile))?;
    ctx.one_stack("restore", "select one stack, each has a backup of its own to choose: `-s STACK`")?;
    let inventory = ctx.inventory().await?;
    let stack = ctx.only_stack(inventory.environment(&ctx.settings.target)?)?.with_own_settings()?;
    let ctx = &stack;
    // The newest backup of a database is known once it is known which database that is.
    let early = if asked.as_os_str() == "latest" { Some(target::reach(&stack, None).await?) } else { None };
    let meant = early.as_ref().map(RestoreTarget::meant);
    let mut reading = args.asked(&asked, ctx)?;
    reading.database = ctx.global.database().map(str::to_owned);
    let progress: Arc<dyn Progress> = ctx.ui.progress();
    let mut notes = Vec::new();
    let source = if let Some(url) = &args.store {
        let fetching = fetch(&stack, url, &asked, args.from.as_deref(), meant.as_ref());
        DumpSource::Copy(Box::pin(fetching).await?)
    } else if asked.as_os_str() == "-" {
        match from_a_pipe(&stack, &mut reading).await? {
            PipeContent::Stream(pipe) => DumpSource::Stdin(pipe),
            PipeContent::Copy(copy, changes) => {
                notes = changes;
                DumpSource::Copy(copy)
            }
            PipeContent::AllDatabases(copy) => {
                return Box::pin(all_databases::run(
                    &args,
                    &stack,
                    &DumpSource::Copy(copy),
                    &reading.keyring,
                ))
                .await;
            }
        }
    } else {
        source(&stack, &inventory, &asked, args.from.as_deref(), meant.as_ref())?
    };
    // The file is opened several times: a prune beside it has to leave it.
    let _reading = source.path().and_then(ReadLock::take);
    if let Some(path) = source.path()
        && is_cluster(path, &reading.keyring, &ctx.cancel).await?
    {
        return Box::pin(all_databases::run(&args, &stack, &source, &reading.keyring)).await;
    }
    // The file first: what is not whole never meets the server.
    let mut examined = None;
    if source.path().is_some() {
        progress.step(&format!("checking {}", source.name()));
        let mut dump = examine(&source, &reading, ctx.threads(), &progress, &ctx.cancel).await?;
        dump.notes.splice(0..0, notes);
        examined = Some(dump);
    }
    ctx.ui.end_progress();
    let made_from =
        examined.as_ref().and_then(|examined| examined.manifest.as_ref()?.source.profile.as_deref());
    refuse_into_production(&args, &stack, made_from)?;
    // Only a manifest that vouches may settle which database is meant.
    let vouching = examined.as_ref().filter(|examined| examined.authenticity.is_authenticated());
    let made_of = vouching.and_then(|examined| Some(examined.manifest.as_ref()?.database.clone()));
    let reached = match early {
        Some(early) => early,
        None => target::reach(&stack, made_of.as_deref()).await?,
    };
    let of = examined.as_ref().and_then(ExaminedDump::of_database);
    let database = reached.database(args.into.as_deref(), of, &reading.command)?;
    let found = reached.found;
    let roles = match examined.as_mut().filter(|examined| !examined.globals.is_empty()) {
        Some(examined) => {
            ctx.cancel.run_until_cancelled(missing_roles_of(&found, examined, args.trust)).await??
        }
        None => Roles::default(),
    };
    let examined = examined.as_ref();
    let opened = opened_backup(&source, examined);
    let wanted = RestoreInput { source, examined, asked: reading, roles, database, encoding: None };
    let options = args.options(&stack)?;
    let planning = plan(&found.container, &found.access, wanted, &options);
    let (mut plan, detail) = Box::pin(planning).await?;
    if let Some(detail) = detail {
        ctx.ui.detail(&detail);
    }
    let unlike = compare(&args, &stack, &found, examined, &mut plan);
    let before = plan.backup_first.then(|| found.in_database(&plan.database));
    let show_plan = |plan: &RestorePlan| plan_json::show(ctx, plan);
    let Some(plan) = ctx.confirm_unlike(plan, &found.target, unlike, show_plan)? else { return Ok(()) };
    if let Some(before) = before {
        let path = super::backup::safety(&stack, &before).await?;
        ctx.ui.say(&format!("what is there now is backed up in {}", path.display()));
    }
    let restoring = carry_out(&found.container, plan);
    let restored = Box::pin(restoring).await;
    ctx.ui.end_progress();
    let restored = restored?;
    if let Some((path, manifest)) = opened {
        record_opening(ctx, &path, &manifest);
    }
    show(ctx, &restored);
    Ok(())
}

/// Returns the encrypted backup of a directory of backups that an identity has just opened.
fn opened_backup(source: &DumpSource, examined: Option<&ExaminedDump>) -> Option<(PathBuf, Manifest)> {
    let DumpSource::File(path) = source else { return None };
    let manifest = examined?.manifest.as_ref().filter(|manifest| manifest.is_encrypted())?;
    Some((path.clone(), manifest.clone()))
}

/// Notes in the manifest that somebody can open the backup. A manifest that cannot be changed here is no failure.
fn record_opening(ctx: &CommandContext, path: &Path, manifest: &Manifest) {
    let now = ctx.now();
    let recording = || {
        let (keys, key) = (ctx.manifest_keys(&ctx.settings)?, ctx.signing_key(&ctx.settings)?);
        let change = |verified: &mut Verification| verified.opened_at = Some(now);
        Manifest::record(path, manifest, change, key.as_ref(), &keys)
    };
    let reason = match recording() {
        Ok(reason) => reason,
        Err(error) => Some(error.full_message()),
    };
    if let Some(reason) = reason {
        ctx.ui.detail(&format!("that the backup was opened is not recorded: {reason}"));
    }
}

/// Reads as much of stdin as tells how it is restored.
async fn from_a_pipe(stack: &StackContext, asked: &mut InputOptions) -> Result<PipeContent> {
    stack.ui.progress().step("reading stdin");
    let how = (stack.threads(), asked.rules.skip_leading_text);
    let parent = std::path::absolute(std::env::temp_dir())
        .map_err(|e| error::failed("cannot resolve the temporary directory").because(e))?;
    let database = stack.global.database().map(|name| option("-d", "--database", name));
    let command =
        database.iter().fold(asked.command.clone(), |command, option| format!("{command} {option}"));
    let opening = piped_dump::open(how, &asked.keyring, &parent, &command, &stack.cancel);
    let content =
        opening.await.map_err(|error| error.map_hints(|hint| asked.complete(hint, piped_dump::STDIN)))?;
    // What stood in front of it is not in the copy.
    asked.rules.skip_leading_text &= !matches!(content, PipeContent::Copy(..));
    stack.ui.end_progress();
    Ok(content)
}

/// Takes the roles that the file makes and the server has not, of those that the dump names.
async fn missing_roles_of(
    found: &ConnectedDatabase,
    examined: &mut ExaminedDump,
    trust: bool,
) -> Result<Roles> {
    let mut session = Session::open(&found.container, &found.access, "envctl restore").await?;
    let existing = session.column("select rolname from pg_catalog.pg_roles").await?;
    session.close().await;
    Ok(examined.take_roles(&existing, trust))
}

fn show(app: &App, restored: &Restored) {
    app.ui.show(restored, |_| {
        format!(
            "{} in {} restored into {}\n",
            counted(restored.rows, "row", "rows"),
            counted(restored.tables as u64, "table", "tables"),
            crate::text::escape::escape(&restored.database)
        )
    });
    for note in &restored.notes {
        app.ui.say(&format!("note: {note}"));
    }
    if let Some(previous) = &restored.previous_database {
        app.ui.say(&format!(
            "the previous database is {previous:?} now; swap it back with {}",
            undo::undo_command(&restored.database)
        ));
    }
}
