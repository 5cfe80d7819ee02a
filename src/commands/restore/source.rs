//! Choice of the dump: a file, a name of the catalog, or the newest backup.

use std::path::Path;

use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::commands::shared::find_catalog;
use crate::config::Settings;
use crate::environment::Inventory;
use crate::error::{ErrorKind, Result};
use crate::repository::catalog::Backup;
use crate::repository::identity::Identity;
use crate::restore::examine::DumpSource;

/// Returns the dump that is meant; `found` is the database whose newest backup is wanted.
///
/// # Errors
/// Kind `Target`: there is no such backup. `Usage`: a project's own file cannot be understood.
pub(super) fn source(
    stack: &StackContext,
    inventory: &Inventory,
    asked: &Path,
    from: Option<&str>,
    found: Option<&ConnectedDatabase>,
) -> Result<DumpSource> {
    let (settings, environment) = (&stack.settings, &stack.environment);
    let own = environment.profile.name.as_deref();
    let profile = from.map(normal).or(own);
    let catalog = match profile.filter(|profile| Some(*profile) != own) {
        Some(other) => find_catalog::catalog_of_profile(settings, inventory, environment, other)?,
        None => find_catalog::catalog_of_environment(settings, environment)?,
    };
    if let Some(found) = found {
        let latest = latest(&|target: &_| catalog.latest(target), found, profile, settings)?;
        for (path, problem) in catalog.passed_over(&latest)? {
            stack.ui.warn(&format!("{} is newer and passed over: {problem}", path.display()));
        }
        return Ok(DumpSource::File(latest.path));
    }
    let named = catalog.find(asked);
    let path = if !asked.exists() && named.exists() { named } else { asked.to_owned() };
    Ok(DumpSource::File(path))
}

/// The newest backup of this target; of another profile, of the database that is configured for that, else of the one
/// of the same name, else of the only one.
pub(super) fn latest(
    choose: &dyn Fn(&Identity) -> Result<Backup>,
    found: &ConnectedDatabase,
    profile: Option<&str>,
    settings: &Settings,
) -> Result<Backup> {
    let own = found.identity();
    if profile == own.profile.as_deref() {
        return choose(&own);
    }
    // What runs there has its own containers, on whatever host.
    let container = None;
    let there = Identity { profile: profile.map(str::to_owned), container, context: None, ..own };
    if let Some(name) = &settings.database(profile).name {
        return choose(&Identity { database: Some(name.clone()), ..there });
    }
    choose(&there).or_else(|error| match error.kind() {
        ErrorKind::Target => choose(&Identity { database: None, ..there }),
        _ => Err(error),
    })
}

/// Returns the short name of a profile.
pub(super) fn normal(profile: &str) -> &str {
    match profile {
        "production" => "prod",
        "development" => "dev",
        other => other,
    }
}
