//! Stack and profile of the containers of one place (a compose project in one directory).
//!
//! Promises: what a person decreed (`envctl.toml`, labels) outweighs customs; customs that disagree make the
//! profile unknown, they do not vote. A container lowers the caution for itself only: siblings that say
//! nothing become dev with their database or not at all, while prod spreads from any of them.

use std::collections::{BTreeMap, BTreeSet};

use crate::docker::ContainerInfo;

use super::evidence::{Evidence, EvidenceSource};
use super::labels::ContainerLabels;
use super::profile::{self, Profile};
use super::role::Role;
use crate::environment::selector::{ProfileRule, ProjectRules};
use crate::text::escape::escape;

/// One container with what it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct ObservedContainer<'a> {
    pub(crate) container: &'a ContainerInfo,
    pub(crate) marks: ContainerLabels,
    /// Role by the container's own marks; rules of a profile come later.
    pub(crate) role: Option<Role>,
}

/// Stack and profile of one container.
#[derive(Clone, Debug)]
pub(crate) struct StackAssignment {
    pub(crate) stack: String,
    pub(crate) stack_evidence: Option<Evidence>,
    pub(crate) profile: Profile,
    /// Taken from its own project into another stack by a rule of envctl.toml.
    pub(crate) labelled_elsewhere: bool,
}

/// Profiles by name, each with what says so.
type ProfileEvidence = BTreeMap<String, Vec<Evidence>>;

/// Settles a place's containers, in their order.
pub(crate) fn assign(unit: &[ObservedContainer<'_>], rules: &ProjectRules) -> Vec<StackAssignment> {
    let hits: Vec<_> = unit.iter().map(|sighting| rule_hit(sighting, rules)).collect();
    let profiles = profiles(unit, &hits);
    let common_stack = common_label(unit);
    unit.iter()
        .zip(hits)
        .zip(profiles)
        .map(|((sighting, hit), profile)| belonging(sighting, hit, profile, common_stack.as_deref(), rules))
        .collect()
}

fn belonging(
    sighting: &ObservedContainer<'_>,
    hit: Option<RuleMatch<'_>>,
    profile: Profile,
    common_stack: Option<&str>,
    rules: &ProjectRules,
) -> StackAssignment {
    let own = stem(&sighting.marks);
    if let (Some(hit), Some(stack)) = (&hit, &rules.stack) {
        let evidence = Evidence::new(EvidenceSource::Config, "envctl.toml names the stack");
        let labelled_elsewhere = !hit.by_project;
        return StackAssignment {
            stack: stack.clone(),
            stack_evidence: Some(evidence),
            profile,
            labelled_elsewhere,
        };
    }
    if let Some(stack) = sighting.marks.stack.as_deref().or(common_stack) {
        let text = format!("label envctl.stack={}", escape(stack));
        let labelled_elsewhere = stack != own && sighting.marks.stack.is_some();
        let evidence = Some(Evidence::new(EvidenceSource::Label, text));
        return StackAssignment {
            stack: stack.to_owned(),
            stack_evidence: evidence,
            profile,
            labelled_elsewhere,
        };
    }
    let evidence = sighting.marks.place.as_ref().map(|place| {
        Evidence::new(EvidenceSource::Convention, format!("project `{}`", escape(&place.project)))
    });
    StackAssignment {
        stack: own.to_owned(),
        stack_evidence: evidence,
        profile,
        labelled_elsewhere: hit.is_some_and(|hit| !hit.by_project),
    }
}

/// The stack's name by custom: the project's without its suffix, or what the container's name says.
fn stem(marks: &ContainerLabels) -> &str {
    match (&marks.place, &marks.plain) {
        (Some(place), _) => profile::split_suffix(&place.project).0,
        (None, Some(plain)) => &plain.stack,
        (None, None) => &marks.service,
    }
}

/// The one stack that labels of this place name; siblings without the label follow it.
fn common_label(unit: &[ObservedContainer<'_>]) -> Option<String> {
    let named: BTreeSet<_> = unit.iter().filter_map(|sighting| sighting.marks.stack.as_ref()).collect();
    (named.len() == 1).then(|| named.first().copied().cloned()).flatten()
}

/// A profile's rule that recognises a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RuleMatch<'a> {
    pub(crate) profile: &'a str,
    by_project: bool,
}

/// The one rule that a container falls under. A rule with a project is about that project alone; one
/// without recognises single containers by their name.
fn rule_hit<'a>(sighting: &ObservedContainer<'_>, rules: &'a ProjectRules) -> Option<RuleMatch<'a>> {
    let project = sighting.marks.place.as_ref().map(|place| place.project.as_str());
    let of_project: Vec<_> = (rules.profiles.iter())
        .filter(|(_, rule)| rule.project.is_some() && rule.project.as_deref() == project)
        .collect();
    if !of_project.is_empty() {
        let names = |rule: &ProfileRule| {
            names_it(rule, &sighting.marks.service) || names_it(rule, &sighting.container.name)
        };
        let named: Vec<_> = of_project.iter().copied().filter(|(_, rule)| names(rule)).collect();
        return match (of_project.as_slice(), named.as_slice()) {
            ([(name, _)], _) | (_, [(name, _)]) => Some(RuleMatch { profile: name, by_project: true }),
            _ => None,
        };
    }
    let mut named = (rules.profiles.iter())
        .filter(|(_, rule)| rule.project.is_none() && names_it(rule, &sighting.container.name));
    let (name, _) = named.next()?;
    named.next().is_none().then_some(RuleMatch { profile: name, by_project: false })
}

fn names_it(rule: &ProfileRule, name: &str) -> bool {
    [&rule.db, &rule.backend].into_iter().any(|wanted| wanted.as_deref() == Some(name))
}

fn profiles(unit: &[ObservedContainer<'_>], hits: &[Option<RuleMatch<'_>>]) -> Vec<Profile> {
    let decreed: Vec<Option<Profile>> =
        unit.iter().zip(hits).map(|(sighting, hit)| project_rule(sighting, hit.as_ref())).collect();
    if let Some(all) = common_rule(unit, &decreed) {
        return decreed.into_iter().map(|own| own.unwrap_or_else(|| all.clone())).collect();
    }
    let by_custom = customary(unit, &decreed);
    decreed.into_iter().zip(by_custom).map(|(own, custom)| own.unwrap_or(custom)).collect()
}

fn project_rule(sighting: &ObservedContainer<'_>, hit: Option<&RuleMatch<'_>>) -> Option<Profile> {
    if let Some(hit) = hit {
        let text = format!("envctl.toml says {}", escape(hit.profile));
        return Some(Profile::known(hit.profile, vec![Evidence::new(EvidenceSource::Config, text)]));
    }
    let label = sighting.marks.profile.as_deref()?;
    let text = format!("label envctl.profile={} on `{}`", escape(label), escape(&sighting.marks.service));
    Some(Profile::known(label, vec![Evidence::new(EvidenceSource::Label, text)]))
}

/// The rule that holds for a whole place: the only one, of its databases or raising the caution.
fn common_rule(unit: &[ObservedContainer<'_>], decreed: &[Option<Profile>]) -> Option<Profile> {
    let mut said = decreed.iter().flatten();
    let first = said.next()?;
    if said.any(|other| other.name != first.name) {
        return None;
    }
    let speaks = |index: usize| decreed[index].is_some();
    (first.is_prod() || databases_speak(unit, speaks) == Some(true)).then(|| first.clone())
}

/// Reports whether `speaks` is true for every database of the place; `None` where the place has none.
fn databases_speak(unit: &[ObservedContainer<'_>], speaks: impl Fn(usize) -> bool) -> Option<bool> {
    let mut databases = unit
        .iter()
        .enumerate()
        .filter(|(_, sighting)| sighting.role == Some(Role::Db))
        .map(|(index, _)| index)
        .peekable();
    databases.peek()?;
    Some(databases.all(speaks))
}

fn customary(unit: &[ObservedContainer<'_>], decreed: &[Option<Profile>]) -> Vec<Profile> {
    let mut of_place = ProfileEvidence::new();
    for sighting in unit {
        project_says(sighting, &mut of_place);
    }
    let project_speaks = !of_place.is_empty();
    let files: Vec<ProfileEvidence> = unit.iter().map(files_say).collect();
    merge(&mut of_place, &files);
    let place_speaks = !of_place.is_empty();
    let own: Vec<ProfileEvidence> = unit
        .iter()
        .zip(decreed)
        .map(
            |(sighting, project_rule)| {
                if project_rule.is_some() { ProfileEvidence::new() } else { container_says(sighting) }
            },
        )
        .collect();
    let mut all = of_place;
    merge(&mut all, &own);
    let speaks = |index: usize| !own[index].is_empty() || !files[index].is_empty();
    match all.len() {
        0 => vec![Profile::unknown(Vec::new()); unit.len()],
        1 => vec![agreed(all, project_speaks || databases_speak(unit, speaks) != Some(false)); unit.len()],
        _ if place_speaks => vec![judge(all); unit.len()],
        _ => own.into_iter().map(judge).collect(),
    }
}

/// One profile was named. The project's word settles it; that of a container or of its compose files settles
/// it for silent siblings where every database says it too, or where it is prod.
fn agreed(said: ProfileEvidence, binding: bool) -> Profile {
    let profile = judge(said);
    if binding || profile.is_prod() {
        return profile;
    }
    let mut evidence = profile.evidence;
    evidence.push(Evidence::new(EvidenceSource::Convention, "the database says nothing"));
    Profile::unknown(evidence)
}

fn judge(said: ProfileEvidence) -> Profile {
    let names: Vec<String> = said.keys().cloned().collect();
    let evidence = said.into_values().flatten().collect();
    match names.as_slice() {
        [name] => Profile::known(name, evidence),
        _ => Profile::unknown(evidence),
    }
}

fn project_says(sighting: &ObservedContainer<'_>, said: &mut ProfileEvidence) {
    let Some(place) = &sighting.marks.place else { return };
    if let (_, Some(profile)) = profile::split_suffix(&place.project) {
        say(said, profile, format!("project `{}` says {profile}", escape(&place.project)));
    }
}

fn files_say(sighting: &ObservedContainer<'_>) -> ProfileEvidence {
    let mut said = ProfileEvidence::new();
    for file in &sighting.marks.config_files {
        for profile in profile::of_file(file) {
            let name = file.rsplit(['/', '\\']).next().unwrap_or(file);
            say(&mut said, profile, format!("compose file `{}` says {profile}", escape(name)));
        }
    }
    said
}

fn container_says(sighting: &ObservedContainer<'_>) -> ProfileEvidence {
    let mut said = ProfileEvidence::new();
    let name = &sighting.container.name;
    if let Some(plain) = &sighting.marks.plain {
        for profile in &plain.profiles {
            say(&mut said, profile, format!("container `{}` says {profile}", escape(name)));
        }
        return said;
    }
    for (what, name) in [("service", &sighting.marks.service), ("container", name)] {
        if let (_, Some(profile)) = profile::split_suffix(name) {
            say(&mut said, profile, format!("{what} `{}` says {profile}", escape(name)));
        }
    }
    said
}

fn say(said: &mut ProfileEvidence, profile: &str, text: String) {
    add(said, profile, vec![Evidence::new(EvidenceSource::Convention, text)]);
}

fn merge(into: &mut ProfileEvidence, others: &[ProfileEvidence]) {
    others.iter().flatten().for_each(|(name, evidence)| add(into, name, evidence.clone()));
}

fn add(said: &mut ProfileEvidence, profile: &str, evidence: Vec<Evidence>) {
    let known = said.entry(profile.to_owned()).or_default();
    known.extend(evidence);
    known.sort();
    known.dedup();
}
