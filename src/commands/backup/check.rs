//! `envctl backup check`: judges files and manifests, for monitoring.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::check_answer::{CheckOwner, DatabaseCheckAnswer, item, target};
use super::check_metrics;
use crate::commands::shared::context::CommandContext;
use crate::commands::shared::find_catalog::{self, SelectedBackups};
use crate::commands::status;
use crate::config::Settings;
use crate::config::check_limits::{AgeLimit, SizeLimit};
use crate::config::origin::Origin;
use crate::config::store_url::StoreUrl;
use crate::error::{self, Result};
use crate::repository::authenticity::ManifestKeys;
use crate::repository::catalog::Catalog;
use crate::repository::check::{CheckInput, CheckLimits, judge, newer_unreadable, read, read_store};
use crate::repository::remote_backups::RemoteBackups;
use crate::repository::store::Patience;
use crate::text::units::counted;
use crate::ui::Checklist;

/// Arguments of `backup check`.
#[derive(clap::Args, Debug)]
pub(crate) struct BackupCheckArgs {
    /// Fail where the newest verified backup is older
    #[arg(long, value_name = "TIME", default_value = "26h", value_parser = AgeLimit::parse)]
    max_age: AgeLimit,
    /// Fail where the newest backup is smaller: a share of the one before (80%), or a size (10m)
    #[arg(long, value_name = "SIZE", value_parser = SizeLimit::parse)]
    min_size: Option<SizeLimit>,
    /// Fail where no backup was restored in a test within this time: 7d
    #[arg(long, value_name = "TIME", value_parser = AgeLimit::parse)]
    verified_within: Option<AgeLimit>,
    /// Judge the backups in this store: s3://BUCKET/PREFIX, gs://…, az://…, file:///DIRECTORY
    #[arg(long, value_name = "URL", conflicts_with = "verified_within")]
    store: Option<StoreUrl>,
    /// Print metrics for node_exporter's textfile collector
    #[arg(long)]
    prometheus: bool,
}

/// Time after which a manifest without its backup is looked at again: a backup in the making has one for a moment.
const SECOND_LOOK: Duration = Duration::from_secs(1);

#[derive(Serialize)]
struct CheckAnswer<'a> {
    ok: bool,
    max_age: String,
    min_size: Option<String>,
    verified_within: Option<String>,
    targets: &'a [DatabaseCheckAnswer],
}

/// Place of the backups of one stack and profile.
struct CheckPlace {
    catalog: Catalog,
    /// Backups in a store, in place of the catalog's directory.
    remote: Option<RemoteBackups>,
    owner: CheckOwner,
    keys: ManifestKeys,
    /// The one database that is meant.
    database: Option<String>,
}

/// # Errors
/// Kind `Integrity`: a limit is not kept. `Target` or `Docker`: stack and profile are not named, and the engine does
/// not tell. `Failed`: a directory cannot be read.
pub(crate) async fn run(args: &BackupCheckArgs, ctx: &CommandContext) -> Result<()> {
    if args.prometheus && ctx.ui.is_json() {
        return Err(
            error::usage("`--prometheus` and `--json` are two forms of one answer").hint("take one of them")
        );
    }
    let limits = CheckLimits {
        max_age: args.max_age.clone(),
        min_size: args.min_size,
        verified_within: args.verified_within.clone(),
    };
    let mut targets = Vec::new();
    for place in places(args, ctx).await? {
        targets.extend(check(ctx, place, &limits).await?);
    }
    let now = ctx.now();
    if args.prometheus {
        ctx.ui.answer(&check_metrics::render(&targets, now));
    } else {
        show(ctx, &limits, &targets, now);
    }
    let failed = targets.iter().filter(|target| !target.ok).count() as u64;
    if failed == 0 {
        return Ok(());
    }
    let all = counted(targets.len() as u64, "target", "targets");
    let below = if args.prometheus { "see them: `envctl backup check`" } else { "see the hint below each" };
    let error = error::integrity(format!(
        "{failed} of {all} {} its limits",
        if failed == 1 { "breaks" } else { "break" }
    ));
    Err(error.hint(below).answered())
}

/// Finds the backups that are meant: those of one stack, or of each of several.
async fn places(args: &BackupCheckArgs, ctx: &CommandContext) -> Result<Vec<CheckPlace>> {
    if !ctx.settings.target.names_several() {
        let selected = find_catalog::select_backups(ctx).await?;
        let own = selected
            .environment
            .as_ref()
            .map(|environment| ctx.settings.for_stack(environment))
            .transpose()?;
        let settings = own.as_ref().unwrap_or(&ctx.settings);
        return Ok(vec![place(args, ctx, settings, selected).await?]);
    }
    let mut places: Vec<CheckPlace> = Vec::new();
    for environment in status::each_profile(&ctx.inventory().await?, &ctx.settings)? {
        let settings = ctx.settings.for_stack(&environment)?;
        let place = place(args, ctx, &settings, SelectedBackups::of(&ctx.settings, &environment)?).await?;
        if !places.iter().any(|known| known.catalog.home() == place.catalog.home()) {
            places.push(place);
        }
    }
    Ok(places)
}

async fn place(
    args: &BackupCheckArgs,
    ctx: &CommandContext,
    settings: &Settings,
    selected: SelectedBackups,
) -> Result<CheckPlace> {
    // A file names the database of the stack; its backups of other databases are checked all the same.
    let typed = matches!(ctx.settings.origin("database.name"), Origin::Flag { .. } | Origin::Env { .. });
    let database = ctx.settings.database(selected.profile.as_deref()).name.clone().filter(|_| typed);
    let remote = match &args.store {
        None => None,
        Some(url) => Some(selected.in_store(ctx.open_store(settings, url, Patience::Short).await?)),
    };
    let catalog = remote.as_ref().map_or(selected.catalog, |remote| remote.catalog().clone());
    let directory = catalog.home().display().to_string();
    let store = args.store.as_ref().map(ToString::to_string);
    let owner = CheckOwner { stack: selected.stack, profile: selected.profile, directory, store };
    Ok(CheckPlace { catalog, remote, owner, keys: ctx.manifest_keys(settings)?, database })
}

/// Reads the manifests of a place.
async fn look(ctx: &CommandContext, place: &Arc<CheckPlace>) -> Result<CheckInput> {
    if let Some(remote) = &place.remote {
        let listed = ctx.cancel.run_until_cancelled(Box::pin(remote.listing(&place.keys))).await??.backups;
        let owner = &place.owner;
        return Ok(read_store(&place.catalog, listed, &owner.stack, owner.profile.as_deref()));
    }
    // On a thread of its own: a directory on a server that is gone hangs whoever reads it.
    let place = place.clone();
    let look = move || {
        let owner = &place.owner;
        read(&place.catalog, &owner.stack, owner.profile.as_deref(), &place.keys)
    };
    let read = ctx.cancel.run_until_cancelled(tokio::task::spawn_blocking(look)).await?;
    read.unwrap_or_else(|_| Err(error::failed("the look at the backups failed")))
}

async fn check(
    ctx: &CommandContext,
    place: CheckPlace,
    limits: &CheckLimits,
) -> Result<Vec<DatabaseCheckAnswer>> {
    let place = Arc::new(place);
    let mut input = look(ctx, &place).await?;
    if input.lone_manifests > 0 {
        ctx.cancel.run_until_cancelled(tokio::time::sleep(SECOND_LOOK)).await?;
        input = look(ctx, &place).await?;
    }
    let judged = judge(&input.items, place.database.as_deref(), limits, ctx.now());
    for (name, problem) in newer_unreadable(&input, &judged) {
        ctx.ui.warn(&format!("{}: {name} does not count: {problem}", place.owner.shown()));
    }
    let services: BTreeSet<&str> = judged.iter().filter_map(|one| one.service.as_deref()).collect();
    let several = services.len() > 1;
    Ok(judged.into_iter().map(|one| target(&place.owner, one, several)).collect())
}

fn show(ctx: &CommandContext, limits: &CheckLimits, targets: &[DatabaseCheckAnswer], now: Timestamp) {
    let answer = CheckAnswer {
        ok: targets.iter().all(|target| target.ok),
        max_age: limits.max_age.to_string(),
        min_size: limits.min_size.map(|limit| limit.to_string()),
        verified_within: limits.verified_within.as_ref().map(ToString::to_string),
        targets,
    };
    let quiet = ctx.ui.options().quiet;
    let shown = targets.iter().filter(|target| !quiet || !target.ok);
    let items = shown.map(|target| item(target, now)).collect();
    ctx.ui.show(&answer, |ui| ui.checked(&Checklist { items }));
}
