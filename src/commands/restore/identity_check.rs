//! Differences between what comes in and its target: what is refused, told, or asked for.

use super::source::normal;
use crate::app::global_args::option;
use crate::commands::restore::args::RestoreArgs;
use crate::commands::shared::context::StackContext;
use crate::commands::shared::database::ConnectedDatabase;
use crate::consent::IdentityMismatch;
use crate::error::{self, Result};
use crate::repository::identity::{Difference, IdentityPart};
use crate::repository::manifest::Manifest;
use crate::restore::examine::ExaminedDump;
use crate::restore::plan::RestorePlan;

/// Refuses data of another profile for production, unless both ends are named.
///
/// # Errors
/// Kind `Refused`.
pub(super) fn refuse_into_production(
    args: &RestoreArgs,
    stack: &StackContext,
    made_from: Option<&str>,
) -> Result<()> {
    let environment = &stack.environment;
    let from = args.from.as_deref().or(made_from).map(normal);
    let upwards = environment.profile.counts_as_prod() && from.is_some_and(|from| from != "prod");
    let both_named = args.from.is_some() && (args.to.is_some() || stack.global.names_profile());
    if upwards && !both_named {
        let from = from.unwrap_or_default();
        return Err(error::refused(format!("this would put the data of {from} into {environment}")).hint(
            format!(
                "name both ends, if that is what you want: `--from {from} --to {}`",
                environment.profile.keyword()
            ),
        ));
    }
    Ok(())
}

/// Tells in the plan how its data differs from the target, and returns what has to be agreed to.
pub(super) fn compare(
    args: &RestoreArgs,
    stack: &StackContext,
    found: &ConnectedDatabase,
    examined: Option<&ExaminedDump>,
    plan: &mut RestorePlan,
) -> Option<IdentityMismatch> {
    let mut command = plan.command.clone();
    // With `--into` none is added to the command when it is printed.
    if let Some(name) = stack.global.database() {
        command.push_str(&format!(" {}", option("-d", "--database", name)));
    }
    let identity = found.in_database(&plan.database).identity();
    let manifest = examined.and_then(|examined| examined.manifest.as_ref());
    let differences = manifest.map(|manifest| identity.differences(manifest)).unwrap_or_default();
    let taken = examined.and_then(|examined| examined.taken.as_ref());
    let other = taken.filter(|taken| plan.exists && args.into.is_none() && **taken != plan.database);
    let prod = stack.environment.profile.counts_as_prod();
    let naming = option("--into", "--into", &plan.database);
    let unnamed =
        UnnamedDifferences { differences: &differences, exists: plan.exists, taken: other.is_some(), naming };
    let unlike = args.unlike(&unnamed, prod, &command);
    if let Some(taken) = other {
        let note = format!("the part of the file is of database {taken:?}, this is {:?}", plan.database);
        plan.findings.warnings.insert(0, note);
    }
    if manifest.is_some_and(Manifest::is_empty) {
        plan.findings.warnings.push("the backup is of an empty database: there is nothing in it".to_owned());
    }
    plan.findings.warnings.splice(0..0, differences.iter().map(ToString::to_string));
    unlike
}

/// Differences between what comes in and its target, as far as they may still have to be named.
pub(super) struct UnnamedDifferences<'a> {
    pub(super) differences: &'a [Difference],
    /// The database that is restored is there.
    pub(super) exists: bool,
    /// The part of a file with several databases is of another one.
    pub(super) taken: bool,
    /// Option that names where the data goes: `--into shop`.
    pub(super) naming: String,
}

impl RestoreArgs {
    /// Returns what has to be agreed to where the command line does not name every difference: another database by
    /// `--into`, another profile by `--from`.
    pub(super) fn unlike(
        &self,
        unnamed: &UnnamedDifferences<'_>,
        prod: bool,
        command: &str,
    ) -> Option<IdentityMismatch> {
        let (into, from) = (self.into.is_some(), self.from.as_deref().map(normal));
        let (mut wants_into, mut wants_from, mut wants_name) = (unnamed.taken, None, false);
        for difference in unnamed.differences {
            let profile = normal(&difference.backup);
            match difference.part {
                IdentityPart::Database => wants_into |= !into,
                IdentityPart::Profile if from != Some(profile) => wants_from = Some(profile),
                IdentityPart::Profile => {}
                // In production the typed name is asked for anyway: where the data goes is named as well.
                IdentityPart::Stack | IdentityPart::Service | IdentityPart::Host if prod => {
                    wants_into |= !into && from.is_none();
                }
                // Into a database that is not there nothing comes unasked.
                IdentityPart::Stack | IdentityPart::Service | IdentityPart::Host => {
                    wants_name |= !into || unnamed.exists;
                }
            }
        }
        if !wants_into && wants_from.is_none() && !wants_name {
            return None;
        }
        let mut command = command.to_owned();
        if wants_into {
            command.push_str(&format!(" {}", unnamed.naming));
        }
        if let Some(profile) = wants_from {
            command.push_str(&format!(" {}", option("--from", "--from", profile)));
        }
        Some(IdentityMismatch { command })
    }
}
