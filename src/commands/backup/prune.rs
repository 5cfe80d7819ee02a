//! `envctl backup prune`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::keep_args::KeepArgs;
use crate::commands::context::{CommandContext, StackContext};
use crate::commands::find_catalog;
use crate::commands::multi_stack::{ManyArgs, MultiStackVerb, for_each_stack};
use crate::config::Settings;
use crate::consent::{Confirmed, Guard, Plan};
use crate::error::{Error, ErrorKind, Result};
use crate::fsutil::read_lock::SoleLock;
use crate::multi_stack::schedule::OnFailure;
use crate::repository::catalog::Catalog;
use crate::repository::identity::service_of;
use crate::repository::manifest::Manifest;
use crate::repository::prune::{
    PlannedBackupRemoval, PrunePlan, PruneRequest, PrunedBackups, prune, try_lock,
};
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes, counted};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `backup prune`.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct BackupPruneArgs {
    /// Remove; without it the plan is shown
    #[arg(long)]
    apply: bool,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    many: ManyArgs,
}

#[derive(Serialize)]
struct PruneRow<'a> {
    path: String,
    action: &'static str,
    reasons: Vec<String>,
    started: jiff::Timestamp,
    stored_bytes: u64,
    database: Option<&'a str>,
    service: Option<&'a str>,
    pinned: bool,
}

#[derive(Serialize)]
struct PruneAnswer<'a> {
    directory: String,
    applied: bool,
    time_zone: String,
    /// Number of backups that stay.
    kept: usize,
    /// Number of backups that were or would be removed.
    removed: usize,
    /// Bytes of those.
    freed_bytes: u64,
    backups: Vec<PruneRow<'a>>,
}

/// # Errors
/// Kind `Usage`: no rule. `Refused`: not confirmed. `Busy`: another run prunes. `Failed`: some could not be removed.
pub(crate) async fn run(args: &BackupPruneArgs, ctx: &CommandContext) -> Result<()> {
    if args.many.wanted(&ctx.settings)? {
        return several(args, ctx).await;
    }
    let meant = find_catalog::meant(ctx).await?;
    let settings = match &meant.environment {
        Some(environment) => &Arc::new(ctx.settings.for_stack(environment)?),
        None => &ctx.settings,
    };
    let apply = args.apply && !ctx.global.dry_run;
    let plan = plan(args, ctx, settings, &meant.catalog, apply).await?;
    tell_lone_manifests(ctx, &plan);
    tell_fallen(ctx, &plan);
    let zone = args.keep.zone(settings, ctx)?;
    let shown = Shown { catalog: &meant.catalog, zone: &zone, applied: apply };
    if !apply {
        shown.show(ctx, &plan, "keep", "remove");
        tell_dry_run(args, ctx, &plan);
        return Ok(());
    }
    let target = find_catalog::guard_target(ctx, &meant).await?;
    let confirmed = ctx.confirm_each(plan, &[target], &ctx.global.consent())?;
    let Some(confirmed) = confirmed.go_or(|_| ()) else { return Ok(()) };
    let done = prune(&confirmed, &ctx.cancel);
    finish(confirmed.plan(), &done, ctx)?;
    shown.show(ctx, confirmed.plan(), "keep", "removed");
    let freed = bytes(confirmed.plan().freed_bytes());
    let removed = counted(done.removed.len() as u64, "backup", "backups");
    ctx.ui.say(&format!("{removed} removed, {freed}"));
    Ok(())
}

/// Decides about each backup of a catalog, under its lock where the plan is to be carried out.
async fn plan(
    args: &BackupPruneArgs,
    ctx: &CommandContext,
    settings: &Settings,
    catalog: &Catalog,
    apply: bool,
) -> Result<PrunePlan> {
    let policy = args.keep.policy(settings)?;
    let zone = args.keep.zone(settings, ctx)?;
    let keys = ctx.manifest_keys(settings)?;
    let lock = if apply { Some(lock(ctx, settings, catalog).await?) } else { None };
    let request = PruneRequest { catalog, policy: &policy, keys: &keys, now: ctx.now(), zone: &zone };
    let plan = PrunePlan::new(&request)?;
    Ok(match lock {
        Some(lock) => plan.locked(lock),
        None => plan,
    })
}

/// Interval between two looks at a lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(100);

async fn lock(ctx: &CommandContext, settings: &Settings, catalog: &Catalog) -> Result<SoleLock> {
    let started = Instant::now();
    loop {
        if let Some(lock) = try_lock(catalog) {
            return Ok(lock);
        }
        if started.elapsed() >= settings.timeouts.lock {
            let place = catalog.home().display();
            return Err(Error::new(ErrorKind::Busy, format!("another `backup prune` works in {place}"))
                .hint("wait longer with `--lock-timeout 5m`, or try again later"));
        }
        ctx.cancel.run_until_cancelled(tokio::time::sleep(LOCK_INTERVAL)).await?;
    }
}

/// Tells which backups do not count because of their rows, and what to type where the rows are right.
fn tell_fallen(ctx: &CommandContext, plan: &PrunePlan) {
    let mut fallen = plan.backups.iter().filter(|planned| planned.has_fallen());
    // The oldest one: with its rows accepted the later ones are compared with it.
    let Some(oldest) = fallen.next_back() else { return };
    ctx.ui.warn(&format!(
        "{} has less than half of the rows of the last good backup; it stays, and no older backup is removed in its \
         favour; if the rows are right: `envctl backup pin {} --accept-rows`",
        oldest.name,
        shell_word(&oldest.name)
    ));
}

fn tell_lone_manifests(ctx: &CommandContext, plan: &PrunePlan) {
    for path in &plan.lone_manifests {
        let path = path.display().to_string();
        ctx.ui.warn(&format!(
            "{path} describes a backup that is not there; put it back, or: `rm {}`",
            shell_word(&path)
        ));
    }
}

fn tell_dry_run(args: &BackupPruneArgs, ctx: &CommandContext, plan: &PrunePlan) {
    if plan.backups.is_empty() {
        ctx.ui.say("there are no backups; make one: `envctl backup`");
        return;
    }
    let summary = plan.summary();
    if plan.removals().next().is_none() {
        ctx.ui.say(&format!("would {summary}"));
        return;
    }
    let typed = args.keep.typed();
    ctx.ui.say(&format!("would {summary}; nothing was removed: `envctl backup prune{typed} --apply`"));
}

/// Reports backups that could not be removed.
fn finish(plan: &PrunePlan, done: &PrunedBackups, ctx: &CommandContext) -> Result<()> {
    let planned = plan.removals().count();
    let removed = done.removed.len();
    if done.failed.is_empty() {
        return match ctx.cancel.signal() {
            Some(signal) if removed < planned => {
                let error = crate::cancel::cancelled(signal);
                Err(error.note(format!("{removed} of {planned} backups were removed")))
            }
            _ => Ok(()),
        };
    }
    let busy = done.failed.iter().all(|(_, error)| error.kind() == ErrorKind::Busy);
    let kind = if busy { ErrorKind::Busy } else { ErrorKind::Failed };
    let failed = done.failed.len();
    let error = Error::new(kind, format!("{failed} of {planned} backups could not be removed"));
    let error = done.failed.iter().fold(error, |error, (_, cause)| error.note(cause.full_message()));
    let error = error.note(format!("{removed} of {planned} backups were removed"));
    Err(error.hint("see what is left, and try again: `envctl backup list`"))
}

/// Facts about a plan that its table and its document show.
struct Shown<'a> {
    catalog: &'a Catalog,
    zone: &'a jiff::tz::TimeZone,
    applied: bool,
}

impl Shown<'_> {
    fn show(&self, ctx: &CommandContext, plan: &PrunePlan, keep: &'static str, remove: &'static str) {
        let action = |planned: &PlannedBackupRemoval| if planned.decision.is_keep() { keep } else { remove };
        let row = |planned| row(planned, action(planned));
        let removed = plan.removals().count();
        let answer = PruneAnswer {
            directory: self.catalog.home().display().to_string(),
            applied: self.applied,
            time_zone: self.zone.iana_name().unwrap_or("local").to_owned(),
            kept: plan.backups.len() - removed,
            removed,
            freed_bytes: plan.freed_bytes(),
            backups: plan.backups.iter().map(row).collect(),
        };
        let now = ctx.now();
        ctx.ui.show(&answer, |ui| {
            if plan.backups.is_empty() { String::new() } else { ui.render(&table(plan, action, now)) }
        });
    }
}

fn row<'a>(planned: &'a PlannedBackupRemoval, action: &'static str) -> PruneRow<'a> {
    let backup = &planned.backup;
    let manifest = backup.manifest.as_ref().ok();
    PruneRow {
        path: backup.path.display().to_string(),
        action,
        reasons: planned.decision.reasons(),
        started: backup.label.timestamp(),
        stored_bytes: backup.stored_bytes,
        database: manifest.map(|manifest| manifest.database.as_str()),
        service: manifest.and_then(|manifest| manifest.source.service.as_deref()),
        pinned: backup.pin.is_some(),
    }
}

/// One part of a manifest, as a cell.
type ManifestPart = fn(&Manifest) -> &str;

fn table(
    plan: &PrunePlan,
    action: impl Fn(&PlannedBackupRemoval) -> &'static str,
    now: jiff::Timestamp,
) -> Table {
    let of = |part: ManifestPart| -> BTreeSet<&str> {
        plan.backups.iter().filter_map(|planned| Some(part(planned.backup.manifest.as_ref().ok()?))).collect()
    };
    // A column whose cells are all the same tells nothing.
    let parts: [(&str, ManifestPart); 2] =
        [("database", |manifest| manifest.of_what()), ("service", service_of)];
    let parts = parts.map(|(name, part)| (name, part, of(part).len() > 1));
    let several = || parts.iter().filter(|(_, _, several)| *several);
    let mut columns =
        vec![Column::text("action"), Column::text("backup"), Column::text("age"), Column::number("size")];
    columns.extend(several().map(|(name, ..)| Column::text(name)));
    columns.push(Column::text("reason"));
    let mut table = Table::new(columns);
    for planned in &plan.backups {
        let backup = &planned.backup;
        let manifest = backup.manifest.as_ref().ok();
        let tone = if planned.decision.is_keep() { Tone::Good } else { Tone::Warn };
        let mut cells = vec![
            Cell::toned(action(planned), tone),
            Cell::from(planned.name.clone()),
            Cell::from(age(backup.label.timestamp(), now)),
            Cell::from(bytes(backup.stored_bytes)),
        ];
        cells.extend(several().map(|(_, part, _)| Cell::from(manifest.map_or("-", part).to_owned())));
        cells.push(Cell::from(planned.decision.reasons().join(", ")));
        table.row(cells);
    }
    table
}

/// Plan for one of several stacks.
#[derive(Serialize)]
struct StackPrunePlan {
    directory: String,
    kept: usize,
    removed: usize,
    freed_bytes: u64,
    #[serde(skip)]
    plan: PrunePlan,
}

impl Plan for StackPrunePlan {
    fn guard(&self) -> Guard {
        self.plan.guard()
    }
}

impl fmt::Display for StackPrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)
    }
}

/// Result for one of several stacks.
#[derive(Serialize)]
struct StackPruned {
    removed: usize,
    freed_bytes: u64,
}

impl fmt::Display for StackPruned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let removed = counted(self.removed as u64, "backup", "backups");
        write!(f, "{removed} removed, {}", bytes(self.freed_bytes))
    }
}

async fn several(args: &BackupPruneArgs, ctx: &CommandContext) -> Result<()> {
    let apply = args.apply && !ctx.global.dry_run;
    let ctx = &if apply { ctx.clone() } else { ctx.as_dry_run() };
    let plan = async |stack: StackContext| {
        let catalog = find_catalog::of(&stack.settings, &stack.environment)?;
        let settings = stack.settings.for_stack(&stack.environment)?;
        let plan = plan(args, &stack, &settings, &catalog, apply).await?;
        tell_lone_manifests(&stack, &plan);
        tell_fallen(&stack, &plan);
        let removed = plan.removals().count();
        Ok(StackPrunePlan {
            directory: catalog.home().display().to_string(),
            kept: plan.backups.len() - removed,
            removed,
            freed_bytes: plan.freed_bytes(),
            plan,
        })
    };
    let run = async |stack: StackContext, plan: Confirmed<StackPrunePlan>| {
        let plan = plan.map(|plan| plan.plan);
        let done = prune(&plan, &stack.cancel);
        finish(plan.plan(), &done, &stack)?;
        Ok(StackPruned { removed: done.removed.len(), freed_bytes: plan.plan().freed_bytes() })
    };
    let (many, on_failure) = (&args.many, OnFailure::Continue);
    let verb = MultiStackVerb {
        name: "backup prune",
        args: many,
        on_failure,
        changes: |plan: &StackPrunePlan| plan.removed > 0,
    };
    for_each_stack(ctx, verb, plan, run).await?;
    if !apply {
        ctx.ui.say(&format!("nothing was removed: `envctl backup prune{} --apply`", args.keep.typed()));
    }
    Ok(())
}
