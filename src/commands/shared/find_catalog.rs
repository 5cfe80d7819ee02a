//! Backups that a command means: a stack's and profile's, wherever the command is typed.
//!
//! Promise: what is written and what is looked for go to one place; where both names are given a daemon that does not
//! answer is no obstacle, since the backups may be all that is left.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::commands::shared::context::CommandContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::config::Settings;
use crate::consent::GuardTarget;
use crate::environment::profile::{Profile, normalise};
use crate::environment::{Environment, Inventory};
use crate::error::{ErrorKind, Result};
use crate::repository::catalog::Catalog;
use crate::repository::remote_backups::RemoteBackups;
use crate::repository::store::Store;

/// Time limit for asking the daemon where a project is, in a command that needs nothing else from the daemon.
const LIMIT: Duration = Duration::from_secs(5);

/// The backups of an environment.
///
/// # Errors
/// Kind `Usage`: its project's own file cannot be understood.
pub(crate) fn catalog_of_environment(settings: &Settings, environment: &Environment) -> Result<Catalog> {
    let root = settings.backups_of(&environment.stack, environment.directory.as_deref())?;
    Ok(Catalog::new(&root, &environment.stack, environment.profile.name.as_deref()))
}

/// Directories of backups of these environments, and of the directory that the command is typed in.
pub(crate) fn backup_directories<'a>(
    settings: &Settings,
    environments: impl Iterator<Item = &'a Environment>,
) -> Vec<PathBuf> {
    let mut directories = vec![settings.backup.root.clone()];
    for environment in environments {
        let own = settings.backups_of(&environment.stack, environment.directory.as_deref());
        if let Ok(own) = own.as_ref()
            && !directories.contains(own)
        {
            directories.push(own.clone());
        }
    }
    directories
}

/// The backups of a database; where its project has several database services, new ones lie in a directory of its own.
///
/// # Errors
/// Errors of [`catalog_of_environment`].
pub(crate) fn catalog_of_database(settings: &Settings, found: &ConnectedDatabase) -> Result<Catalog> {
    let target = &found.target;
    let root = settings.backups_of(&target.stack, target.directory.as_deref())?;
    Ok(with_service_directory(Catalog::new(&root, &target.stack, target.profile.name.as_deref()), found))
}

/// The backups of a database in a store.
pub(crate) fn in_store(store: Arc<dyn Store>, found: &ConnectedDatabase) -> RemoteBackups {
    let target = &found.target;
    RemoteBackups::new(store, |root| {
        with_service_directory(Catalog::new(root, &target.stack, target.profile.name.as_deref()), found)
    })
}

/// Returns the catalog with the directory for new backups that belongs to this database's service.
pub(crate) fn with_service_directory(catalog: Catalog, found: &ConnectedDatabase) -> Catalog {
    if found.only_service { catalog } else { catalog.of_service(&found.target.service) }
}

/// The backups of another profile of an environment's stack: in that one's project where there is one, else
/// beside the environment's own.
///
/// # Errors
/// Errors of [`catalog_of_environment`].
pub(crate) fn catalog_of_profile(
    settings: &Settings,
    inventory: &Inventory,
    environment: &Environment,
    profile: &str,
) -> Result<Catalog> {
    if let [only] = named(inventory, &environment.stack, profile).as_slice() {
        return catalog_of_environment(settings, only);
    }
    let root = settings.backups_of(&environment.stack, environment.directory.as_deref())?;
    Ok(Catalog::new(&root, &environment.stack, Some(profile)))
}

/// The backups that the options mean.
pub(crate) struct SelectedBackups {
    pub(crate) catalog: Catalog,
    pub(crate) stack: String,
    pub(crate) profile: Option<String>,
    /// Environment of the backups, where the engine was asked for it.
    pub(crate) environment: Option<Environment>,
}

impl SelectedBackups {
    /// Returns the backups of an environment.
    ///
    /// # Errors
    /// Errors of [`catalog_of_environment`].
    pub(crate) fn of(settings: &Settings, environment: &Environment) -> Result<Self> {
        Ok(Self {
            catalog: catalog_of_environment(settings, environment)?,
            stack: environment.stack.clone(),
            profile: environment.profile.name.clone(),
            environment: Some(environment.clone()),
        })
    }

    /// Returns the backups of the same stack and profile in a store.
    pub(crate) fn in_store(&self, store: Arc<dyn Store>) -> RemoteBackups {
        RemoteBackups::new(store, |root| Catalog::new(root, &self.stack, self.profile.as_deref()))
    }
}

/// The backups that the options mean, and whose they are.
///
/// # Errors
/// Kind `Target` or `Docker`: not both names are given, and the engine does not tell.
pub(crate) async fn select_backups(ctx: &CommandContext) -> Result<SelectedBackups> {
    let settings = &ctx.settings;
    let target = &settings.target;
    let stack = match target.stacks.as_slice() {
        [one] if !one.contains(['*', '?', '[', '{']) => Some(one),
        _ => target.rules.stack.as_ref(),
    };
    let (Some(stack), Some(profile)) = (stack, &target.profile) else {
        return SelectedBackups::of(settings, &ctx.stack().await?.environment);
    };
    let selected = |catalog, environment| {
        Ok(SelectedBackups { catalog, stack: stack.clone(), profile: Some(profile.clone()), environment })
    };
    let here = || selected(Catalog::new(&settings.backup.root, stack, Some(profile)), None);
    if settings.has_one_backup_place() || settings.is_about(stack) {
        return here();
    }
    let inventory = match tokio::time::timeout(LIMIT, ctx.inventory()).await {
        Ok(Ok(inventory)) => inventory,
        Ok(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled(_)) => return Err(error),
        Ok(Err(_)) | Err(_) => return here(),
    };
    match named(&inventory, stack, profile).as_slice() {
        [] => here(),
        [only] => selected(catalog_of_environment(settings, only)?, Some((*only).clone())),
        // Several checkouts of one stack: the directory we stand in may tell, else they are listed.
        _ => {
            let environment = inventory.environment(target)?;
            selected(catalog_of_environment(settings, &environment)?, Some(environment))
        }
    }
}

/// Returns the facts about a stack by which a prune of its backups is guarded. The engine tells whether the stack is
/// protected; a stack that is gone is guarded by its names. Where the engine does not answer it counts as production.
///
/// # Errors
/// Kind `Usage`: the project's own file cannot be understood. `Cancelled`.
pub(crate) async fn guard_target(ctx: &CommandContext, selected: &SelectedBackups) -> Result<GuardTarget> {
    let profile = Profile::known(selected.profile.as_deref().unwrap_or_default(), Vec::new());
    let own = &ctx.settings.target.rules;
    let mut target = GuardTarget {
        stack: selected.stack.clone(),
        profile: profile.name.clone(),
        prod: profile.counts_as_prod(),
        protected: ctx.settings.is_about(&selected.stack)
            && own
                .profiles
                .iter()
                .any(|(name, rule)| normalise(name) == profile.name && rule.protected == Some(true)),
        unlike: None,
    };
    let environments = match &selected.environment {
        Some(environment) => vec![environment.clone()],
        None => match tokio::time::timeout(LIMIT, ctx.inventory()).await {
            Ok(Ok(inventory)) => {
                named(&inventory, &selected.stack, profile.keyword()).into_iter().cloned().collect()
            }
            Ok(Err(error)) if matches!(error.kind(), ErrorKind::Cancelled(_)) => return Err(error),
            Ok(Err(_)) | Err(_) => {
                ctx.ui.warn("Docker does not tell whether this stack is protected: it counts as production");
                target.prod = true;
                Vec::new()
            }
        },
    };
    for environment in environments {
        target.protected |= ctx.protected_by_its_own(environment)?.protected;
    }
    Ok(target)
}

/// The environments of this stack and profile.
fn named<'a>(inventory: &'a Inventory, stack: &str, profile: &str) -> Vec<&'a Environment> {
    let stacks = inventory.stacks().into_iter().filter(|known| known.name == stack);
    stacks
        .flat_map(|known| known.environments)
        .filter(|environment| environment.profile.keyword() == profile)
        .collect()
}
