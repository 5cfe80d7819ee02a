//! `envctl backup prune`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::keep_args::KeepArgs;
use crate::commands::multi_stack::{ManyArgs, MultiStackVerb, for_each_stack};
use crate::commands::shared::context::{CommandContext, StackContext};
use crate::commands::shared::find_catalog::{self, SelectedBackups};
use crate::config::Settings;
use crate::config::store_url::StoreUrl;
use crate::consent::{Confirmed, Consent, Guard, GuardTarget, Plan};
use crate::error::{self, Error, ErrorKind, Result};
use crate::fsutil::read_lock::SoleLock;
use crate::multi_stack::schedule::OnFailure;
use crate::repository::authenticity::ManifestKeys;
use crate::repository::catalog::Catalog;
use crate::repository::identity::service_of;
use crate::repository::manifest::Manifest;
use crate::repository::prune::{
    PlannedBackupRemoval, PrunePlan, PruneRequest, PrunedBackups, StoreCopies, prune, try_lock,
};
use crate::repository::remote_backups::RemoteBackups;
use crate::repository::store::Patience;
use crate::text::shell_word::shell_word;
use crate::text::units::{age, bytes, counted};
use crate::ui::{Cell, Column, Table, Tone};

/// Arguments of `backup prune`.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct BackupPruneArgs {
    /// Remove; without it the plan is shown
    #[arg(long)]
    apply: bool,
    /// The backups in this store, by the rules of `[backup.keep_in_stores]`: s3://BUCKET/PREFIX, gs://…, az://…
    #[arg(long, value_name = "URL", conflicts_with = "keep_until_copied")]
    store: Option<StoreUrl>,
    /// Every backup that has no confirmed copy in each store of `backup.stores`
    #[arg(long, help_heading = "Keep")]
    keep_until_copied: bool,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    many: ManyArgs,
}

impl BackupPruneArgs {
    /// Returns the options as they were typed.
    fn typed(&self) -> String {
        let store = self.store.as_ref().map(|url| format!(" --store {}", shell_word(&url.to_string())));
        let until = if self.keep_until_copied { " --keep-until-copied" } else { "" };
        format!("{}{until}{}", store.unwrap_or_default(), self.keep.typed())
    }
}

/// Place of the backups of one stack and profile.
enum PrunePlace {
    Directory(Catalog),
    Store(RemoteBackups),
}

impl PrunePlace {
    async fn of(
        args: &BackupPruneArgs,
        ctx: &CommandContext,
        settings: &Settings,
        selected: &SelectedBackups,
    ) -> Result<Self> {
        match &args.store {
            None => Ok(Self::Directory(selected.catalog.clone())),
            Some(url) => {
                Ok(Self::Store(selected.in_store(ctx.open_store(settings, url, Patience::Short).await?)))
            }
        }
    }

    fn catalog(&self) -> &Catalog {
        match self {
            Self::Directory(catalog) => catalog,
            Self::Store(backups) => backups.catalog(),
        }
    }

    async fn prune(&self, plan: &Confirmed<PrunePlan>, ctx: &CommandContext) -> PrunedBackups {
        match self {
            Self::Directory(_) => prune(plan, &ctx.cancel),
            Self::Store(backups) => backups.prune(plan, ctx.now(), &ctx.cancel).await,
        }
    }
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
    let selected = find_catalog::select_backups(ctx).await?;
    let settings = match &selected.environment {
        Some(environment) => &Arc::new(ctx.settings.for_stack(environment)?),
        None => &ctx.settings,
    };
    let apply = args.apply && !ctx.global.dry_run;
    let place = PrunePlace::of(args, ctx, settings, &selected).await?;
    let plan = plan(args, ctx, settings, (&place, &selected), apply).await?;
    tell_lone_manifests(ctx, &place, &plan);
    tell_fallen(args, ctx, &plan);
    let zone = args.keep.zone(settings, ctx)?;
    let shown = Shown { catalog: place.catalog(), zone: &zone, applied: apply };
    if !apply {
        shown.show(ctx, &plan, "keep", "remove");
        tell_dry_run(args, ctx, &plan);
        return Ok(());
    }
    let target = find_catalog::guard_target(ctx, &selected).await?;
    let confirmed = ctx.confirm_each(plan, &[target], &ctx.global.consent())?;
    let Some(confirmed) = confirmed.go_or(|_| ()) else { return Ok(()) };
    let done = place.prune(&confirmed, ctx).await;
    tell_versions(ctx, &done);
    finish(args, confirmed.plan(), &done, ctx)?;
    shown.show(ctx, confirmed.plan(), "keep", "removed");
    let freed = bytes(confirmed.plan().freed_bytes());
    let removed = counted(done.removed.len() as u64, "backup", "backups");
    ctx.ui.say(&format!("{removed} removed, {freed}"));
    Ok(())
}

/// Checks that the settings have a rule, where they say that a schedule prunes.
///
/// # Errors
/// Kind `Usage`: there is none.
pub(super) fn check_rules(settings: &Settings) -> Result<()> {
    let (keep, has_stores) = (KeepArgs::default(), !settings.backup.stores.is_empty());
    if settings.backup.schedule.prune && !(has_stores && keep.policy(settings, true).is_ok()) {
        keep.policy(settings, false)?;
    }
    Ok(())
}

/// Removes the backups of a stack that the rules of its settings do not keep, also in the stores that have rules, and
/// returns their number. Nobody is asked: `backup.schedule.prune` is written by whoever owns the settings. `None`: the
/// stack is protected.
///
/// # Errors
/// Errors of [`run`].
pub(super) async fn as_configured(stack: &StackContext) -> Result<Option<usize>> {
    let environment = &stack.environment;
    if environment.protected {
        stack.ui.say("the stack is protected, and its backups stay");
        return Ok(None);
    }
    let settings = stack.settings.for_stack(environment)?;
    let meant = SelectedBackups::of(&stack.settings, environment)?;
    let here = BackupPruneArgs::default();
    let there = settings.backup.stores.iter();
    let there = there.map(|url| BackupPruneArgs { store: Some(url.clone()), ..here.clone() });
    let mut places: Vec<BackupPruneArgs> = std::iter::once(here.clone()).chain(there).collect();
    places.retain(|args| args.keep.policy(&settings, args.store.is_some()).is_ok());
    if places.is_empty() {
        here.keep.policy(&settings, false)?;
    }
    let mut removed = 0;
    for args in &places {
        let place = PrunePlace::of(args, stack, &settings, &meant).await?;
        let plan = plan(args, stack, &settings, (&place, &meant), true).await?;
        tell_lone_manifests(stack, &place, &plan);
        tell_fallen(args, stack, &plan);
        let target = GuardTarget {
            stack: environment.stack.clone(),
            profile: environment.profile.name.clone(),
            prod: environment.profile.counts_as_prod(),
            protected: environment.protected,
            unlike: None,
        };
        let consent = Consent { yes: true, confirm: vec![environment.stack.clone()], dry_run: false };
        let confirmed = stack.confirm_each(plan, &[target], &consent)?;
        let Some(confirmed) = confirmed.go_or(|_| ()) else { continue };
        let done = place.prune(&confirmed, stack).await;
        finish(args, confirmed.plan(), &done, stack)?;
        removed += done.removed.len();
    }
    Ok(Some(removed))
}

/// Decides about each backup of a place, under its lock where the plan is to be carried out. Stores have no locks.
async fn plan(
    args: &BackupPruneArgs,
    ctx: &CommandContext,
    settings: &Settings,
    (place, selected): (&PrunePlace, &SelectedBackups),
    apply: bool,
) -> Result<PrunePlan> {
    let policy = args.keep.policy(settings, args.store.is_some())?;
    let zone = args.keep.zone(settings, ctx)?;
    let keys = ctx.manifest_keys(settings)?;
    let copies = match place {
        PrunePlace::Directory(_) => copies(args, ctx, settings, selected, &keys).await?,
        PrunePlace::Store(_) => Vec::new(),
    };
    let request = PruneRequest { policy: &policy, keys: &keys, copies: &copies, now: ctx.now(), zone: &zone };
    match place {
        PrunePlace::Directory(catalog) if apply => {
            let lock = lock(ctx, settings, catalog).await?;
            Ok(PrunePlan::new(catalog, &request)?.locked(lock))
        }
        PrunePlace::Directory(catalog) => PrunePlan::new(catalog, &request),
        PrunePlace::Store(backups) => {
            let listed = ctx.cancel.run_until_cancelled(Box::pin(backups.listing(&keys))).await??.backups;
            Ok(PrunePlan::of_store(backups.catalog(), listed, &request))
        }
    }
}

/// Asks each store of the settings for its copies, where the rules want them before a backup goes.
async fn copies(
    args: &BackupPruneArgs,
    ctx: &CommandContext,
    settings: &Settings,
    selected: &SelectedBackups,
    keys: &ManifestKeys,
) -> Result<Vec<StoreCopies>> {
    if !args.keep_until_copied && !settings.backup.keep_until_copied {
        return Ok(Vec::new());
    }
    if settings.backup.stores.is_empty() {
        return Err(error::usage("backups are to be kept until they are copied, and no store is named")
            .hint("name one in envctl.toml: `backup.stores = [\"s3://BUCKET/PREFIX\"]`"));
    }
    let mut copies = Vec::new();
    for url in &settings.backup.stores {
        let asking = async {
            let store = ctx.open_store(settings, url, Patience::Short).await?;
            selected.in_store(store).confirmed(keys).await
        };
        let confirmed = match ctx.cancel.run_until_cancelled(Box::pin(asking)).await? {
            Ok(confirmed) => Some(confirmed),
            Err(error) if matches!(error.kind(), ErrorKind::Cancelled(_)) => return Err(error),
            Err(error) => {
                ctx.ui.warn(&format!("nothing is removed that may have no copy: {}", error.full_message()));
                None
            }
        };
        copies.push(StoreCopies { url: url.clone(), confirmed });
    }
    Ok(copies)
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
fn tell_fallen(args: &BackupPruneArgs, ctx: &CommandContext, plan: &PrunePlan) {
    let mut fallen = plan.backups.iter().filter(|planned| planned.has_fallen());
    // The oldest one: with its rows accepted the later ones are compared with it.
    let Some(oldest) = fallen.next_back() else { return };
    let store = args.store.as_ref().map(|url| format!(" --store {}", shell_word(&url.to_string())));
    ctx.ui.warn(&format!(
        "{} holds less than half as much as the last good backup; it stays, and no older backup is removed in its \
         favour; if that is right: `envctl backup pin {} --accept-rows{}`",
        oldest.name,
        shell_word(&oldest.name),
        store.unwrap_or_default()
    ));
}

fn tell_lone_manifests(ctx: &CommandContext, place: &PrunePlace, plan: &PrunePlan) {
    for path in &plan.lone_manifests {
        let path = path.display().to_string();
        let next = match place {
            PrunePlace::Directory(_) => format!("put it back, or: `rm {}`", shell_word(&path)),
            PrunePlace::Store(_) => "delete it with the tool of the store".to_owned(),
        };
        ctx.ui.warn(&format!("{path} describes a backup that is not there; {next}"));
    }
}

fn tell_versions(ctx: &CommandContext, done: &PrunedBackups) {
    if done.versions_kept {
        ctx.ui.warn(
            "the bucket keeps versions: what was removed takes its space until a lifecycle rule removes old versions",
        );
    }
}

fn tell_dry_run(args: &BackupPruneArgs, ctx: &CommandContext, plan: &PrunePlan) {
    if plan.backups.is_empty() {
        let store = args.store.as_ref().map(|url| format!(" --store {}", shell_word(&url.to_string())));
        ctx.ui.say(&format!("there are no backups; make one: `envctl backup{}`", store.unwrap_or_default()));
        return;
    }
    let summary = plan.summary();
    if plan.removals().next().is_none() {
        ctx.ui.say(&format!("would {summary}"));
        return;
    }
    let typed = args.typed();
    ctx.ui.say(&format!("would {summary}; nothing was removed: `envctl backup prune{typed} --apply`"));
}

/// Reports backups that could not be removed.
fn finish(
    args: &BackupPruneArgs,
    plan: &PrunePlan,
    done: &PrunedBackups,
    ctx: &CommandContext,
) -> Result<()> {
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
    let Some(url) = &args.store else {
        return Err(error.hint("see what is left, and try again: `envctl backup list`"));
    };
    let url = shell_word(&url.to_string());
    Err(error
        .hint(format!("see what is left: `envctl backup list --store {url}`"))
        .hint(format!("see whether a right is missing: `envctl store check {url}`")))
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
    place: PrunePlace,
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
        let settings = stack.settings.for_stack(&stack.environment)?;
        let selected = SelectedBackups::of(&stack.settings, &stack.environment)?;
        let place = PrunePlace::of(args, &stack, &settings, &selected).await?;
        let plan = plan(args, &stack, &settings, (&place, &selected), apply).await?;
        tell_lone_manifests(&stack, &place, &plan);
        tell_fallen(args, &stack, &plan);
        let removed = plan.removals().count();
        Ok(StackPrunePlan {
            directory: place.catalog().home().display().to_string(),
            kept: plan.backups.len() - removed,
            removed,
            freed_bytes: plan.freed_bytes(),
            place,
            plan,
        })
    };
    let run = async |stack: StackContext, plan: Confirmed<StackPrunePlan>| {
        let mut place = None;
        let plan = plan.map(|plan| {
            place = Some(plan.place);
            plan.plan
        });
        let Some(place) = place else { return Err(error::failed("the plan has no place")) };
        let done = place.prune(&plan, &stack).await;
        tell_versions(&stack, &done);
        finish(args, plan.plan(), &done, &stack)?;
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
        ctx.ui.say(&format!("nothing was removed: `envctl backup prune{} --apply`", args.typed()));
    }
    Ok(())
}
