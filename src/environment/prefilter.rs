//! Which containers are worth a closer look, by what a listing shows of them: names and labels.
//!
//! Promise: with every container of the stack that is meant, and of those that could be taken for it, among them, the
//! choice comes out as it would with all; where a listing cannot tell, all are. One daemon may run forty stacks, and
//! each look is a question to it.

use std::collections::BTreeSet;
use std::path::Path;

use globset::Glob;

use crate::docker::ContainerInfo;

use super::discover::{sight, units};
use super::evidence::EvidenceSource;
use super::labels;
use crate::environment::assign_stack;
use crate::environment::assign_stack::StackAssignment;
use crate::environment::selector::TargetRequest;

/// A container and where it belongs.
struct Known {
    id: String,
    belonging: StackAssignment,
    directory: Option<String>,
}

/// The ids of those worth it; `None`: all are.
pub(crate) fn worth_a_look(listed: &[ContainerInfo], request: &TargetRequest) -> Option<BTreeSet<String>> {
    if request.container.is_some() || request.all_stacks {
        return None;
    }
    let known = known(listed, request)?;
    let here = here(&known, request);
    let meant = named(&known, request)?.or_else(|| here.clone())?;
    // Those of this directory too: they decide which of a stack's profiles is at home here.
    let of_interest = |stack: &str| meant.contains(stack) || here.iter().flatten().any(|own| own == stack);
    Some(known.iter().filter(|one| of_interest(&one.belonging.stack)).map(|one| one.id.clone()).collect())
}

/// Returns each container with its stack and profile, as far as no role decides them.
fn known(listed: &[ContainerInfo], request: &TargetRequest) -> Option<Vec<Known>> {
    let sightings = listed.iter().filter(|one| labels::passed_over(one).is_none()).map(sight).collect();
    let mut known: Vec<Known> = Vec::new();
    for unit in units(sightings) {
        let belongings = assign_stack::assign(&unit, &request.rules);
        let first = belongings.first().map(|own| own.stack.clone());
        for (sighting, belonging) in unit.into_iter().zip(belongings) {
            // The directory of a container that is labelled for another stack is a matter of all profiles; those of
            // one place are one stack's.
            if belonging.labelled_elsewhere || first.as_ref() != Some(&belonging.stack) {
                return None;
            }
            let directory = sighting.marks.place.and_then(|place| place.directory);
            known.push(Known { id: sighting.container.id.clone(), belonging, directory });
        }
    }
    Some(known)
}

/// The stacks of this directory or the nearest above it.
fn here(known: &[Known], request: &TargetRequest) -> Option<BTreeSet<String>> {
    let directory: &Path = request.project_dir.as_deref()?;
    let above =
        |one: &Known| one.directory.as_ref().filter(|own| directory.starts_with(own)).map(String::len);
    let nearest = known.iter().filter_map(above).max()?;
    Some(
        known
            .iter()
            .filter(|one| above(one) == Some(nearest))
            .map(|one| one.belonging.stack.clone())
            .collect(),
    )
}

/// The stacks that flags or `envctl.toml` name; `Some(None)`: they name none; `None`: one that is not there.
#[expect(clippy::option_option, reason = "nothing named, and named what is not there, are two answers")]
fn named(known: &[Known], request: &TargetRequest) -> Option<Option<BTreeSet<String>>> {
    let stacks = |fits: &dyn Fn(&StackAssignment) -> bool| -> BTreeSet<String> {
        known.iter().map(|one| &one.belonging).filter(|own| fits(own)).map(|own| own.stack.clone()).collect()
    };
    let mut found = BTreeSet::new();
    for pattern in &request.stacks {
        let exact = stacks(&|own| own.stack == *pattern);
        let matching = if exact.is_empty() {
            let glob = Glob::new(pattern).ok()?.compile_matcher();
            stacks(&|own| glob.is_match(&own.stack))
        } else {
            exact
        };
        if matching.is_empty() {
            return None;
        }
        found.extend(matching);
    }
    if !request.stacks.is_empty() {
        return Some(Some(found));
    }
    if let Some(stack) = &request.rules.stack {
        let named = stacks(&|own| own.stack == *stack);
        return (!named.is_empty()).then_some(Some(named));
    }
    let ruled = stacks(&|own| own.profile.evidence.iter().any(|said| said.source == EvidenceSource::Config));
    Some((!ruled.is_empty()).then_some(ruled))
}
