//! From the daemon's containers to the inventory: read, settle each place, group, give roles.
//!
//! Promises: sees every container once and in a fixed order, so the daemon's order never matters; containers of
//! two directories are never mixed; nothing is chosen here.

use std::collections::{BTreeMap, BTreeSet};

use crate::docker::ContainerInfo;

use super::evidence::{Evidence, EvidenceSource};
use super::labels::{self, ComposeProject, ContainerLabels};
use super::profile::{self, Profile};
use super::role::{self, Confidence, Role, RoleEvidence};
use crate::environment::assign_stack;
use crate::environment::assign_stack::{ObservedContainer, StackAssignment};
use crate::environment::model::{Environment, Inventory, Service};
use crate::environment::selector::{ProfileRule, ProjectRules, TargetRequest};

/// Observes everything: all stacks with their profiles, containers and roles, and the evidence for each.
///
/// `request` gives the rules of `envctl.toml`; its flags choose later ([`Inventory::environment`]).
pub(crate) fn observe(containers: &[ContainerInfo], request: &TargetRequest) -> Inventory {
    let mut sorted: Vec<&ContainerInfo> = containers.iter().collect();
    sorted.sort_by(|a, b| (&a.id, &a.name).cmp(&(&b.id, &b.name)));
    sorted.dedup_by(|a, b| a.id == b.id);
    let mut passed_over = Vec::new();
    let mut sightings = Vec::new();
    for container in sorted {
        match labels::passed_over(container) {
            Some(reason) => passed_over.push((container.clone(), reason)),
            None => sightings.push(sight(container)),
        }
    }
    drop_predecessors(&mut sightings);
    passed_over.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
    Inventory { environments: environments(sightings, request), passed_over }
}

pub(crate) fn sight(container: &ContainerInfo) -> ObservedContainer<'_> {
    let marks = ContainerLabels::read(container);
    let role = role::by_itself(container, &marks).map(|role_evidence| role_evidence.role);
    ObservedContainer { container, marks, role }
}

/// Swarm keeps the ended tasks of a slot beside the one that runs; of a slot without a running one the
/// newest stays.
fn drop_predecessors(sightings: &mut Vec<ObservedContainer<'_>>) {
    type Slot = (Option<ComposeProject>, String, Option<u32>);
    let slot = |sighting: &ObservedContainer<'_>| -> Slot {
        (sighting.marks.place.clone(), sighting.marks.service.clone(), sighting.marks.number)
    };
    let mut best: BTreeMap<Slot, (bool, String)> = BTreeMap::new();
    for sighting in sightings.iter().filter(|sighting| sighting.marks.swarm_task) {
        let rank = (sighting.container.is_running(), sighting.container.created.clone());
        let entry = best.entry(slot(sighting)).or_insert_with(|| rank.clone());
        if rank > *entry {
            *entry = rank;
        }
    }
    sightings.retain(|sighting| {
        let running = sighting.container.is_running();
        !sighting.marks.swarm_task
            || running
            || best
                .get(&slot(sighting))
                .is_none_or(|(up, created)| !up && *created == sighting.container.created)
    });
}

/// A container that knows where it belongs.
struct SettledContainer<'a> {
    sighting: ObservedContainer<'a>,
    belonging: StackAssignment,
}

fn environments(sightings: Vec<ObservedContainer<'_>>, request: &TargetRequest) -> Vec<Environment> {
    let mut buckets: BTreeMap<(String, Option<String>), Vec<SettledContainer<'_>>> = BTreeMap::new();
    for unit in units(sightings) {
        let belongings = assign_stack::assign(&unit, &request.rules);
        for (sighting, belonging) in unit.into_iter().zip(belongings) {
            let key = (belonging.stack.clone(), belonging.profile.name.clone());
            buckets.entry(key).or_default().push(SettledContainer { sighting, belonging });
        }
    }
    let mut environments: Vec<_> = (buckets.into_values())
        .flat_map(|bucket| by_place(bucket).into_iter())
        .map(|(place, members)| environment(place, members, request))
        .collect();
    environments.sort_by(|a, b| key(a).cmp(&key(b)));
    environments
}

fn key(environment: &Environment) -> impl Ord + '_ {
    let profile = environment.profile.name.as_deref();
    (&environment.stack, profile.is_none(), profile, &environment.project, &environment.directory)
}

/// The containers of each place; one without a place stands alone.
pub(crate) fn units(sightings: Vec<ObservedContainer<'_>>) -> Vec<Vec<ObservedContainer<'_>>> {
    let mut places: BTreeMap<ComposeProject, Vec<ObservedContainer<'_>>> = BTreeMap::new();
    let mut units = Vec::new();
    for sighting in sightings {
        match sighting.marks.place.clone() {
            Some(place) => places.entry(place).or_default().push(sighting),
            None => units.push(vec![sighting]),
        }
    }
    units.extend(places.into_values());
    units
}

/// One group for each place. Containers labelled for another stack, and those started by hand, join the only place
/// there is; where there are several, nothing says which, and they stay apart.
fn by_place(
    bucket: Vec<SettledContainer<'_>>,
) -> BTreeMap<Option<ComposeProject>, Vec<SettledContainer<'_>>> {
    let places = |labelled_elsewhere: bool| -> BTreeSet<ComposeProject> {
        (bucket.iter())
            .filter(|settled| settled.belonging.labelled_elsewhere == labelled_elsewhere)
            .filter_map(|settled| settled.sighting.marks.place.clone())
            .collect()
    };
    let (homes, inns) = (places(false), places(true));
    let home = if homes.len() == 1 { homes.first() } else { None };
    let inn = if homes.is_empty() && inns.len() == 1 { inns.first() } else { None };
    let mut groups: BTreeMap<Option<ComposeProject>, Vec<SettledContainer<'_>>> = BTreeMap::new();
    for settled in bucket {
        let own = settled.sighting.marks.place.clone();
        let place = match &own {
            Some(_) if !settled.belonging.labelled_elsewhere => own,
            _ => home.or(inn).cloned().or(own),
        };
        groups.entry(place).or_default().push(settled);
    }
    groups
}

fn environment(
    place: Option<ComposeProject>,
    group: Vec<SettledContainer<'_>>,
    request: &TargetRequest,
) -> Environment {
    let mut evidence: Vec<Evidence> =
        group.iter().filter_map(|settled| settled.belonging.stack_evidence.clone()).collect();
    evidence.sort();
    evidence.dedup();
    let stack = group.first().map(|settled| settled.belonging.stack.clone()).unwrap_or_default();
    let profile = common_profile(&group);
    let (project, directory) = place.map_or((None, None), |place| (Some(place.project), place.directory));
    let rule = rule_for(&request.rules, &stack, &profile, project.as_deref());
    let protected = rule.is_some_and(|rule| rule.protected == Some(true))
        || group.iter().any(|settled| settled.sighting.marks.protected);
    let mut members = members(group, rule);
    members.sort_by(|a, b| {
        (&a.service, a.number, &a.container.name, &a.container.id).cmp(&(
            &b.service,
            b.number,
            &b.container.name,
            &b.container.id,
        ))
    });
    Environment {
        stack,
        profile,
        evidence,
        project,
        directory,
        chosen_because: String::new(),
        members,
        protected,
        named: None,
    }
}

/// The group's profile (all have the same name) with everything that was said for it.
fn common_profile(group: &[SettledContainer<'_>]) -> Profile {
    let mut evidence: Vec<Evidence> =
        group.iter().flat_map(|settled| settled.belonging.profile.evidence.iter().cloned()).collect();
    evidence.sort_by(|a, b| b.source.cmp(&a.source).then_with(|| a.text.cmp(&b.text)));
    evidence.dedup();
    Profile { name: group.first().and_then(|settled| settled.belonging.profile.name.clone()), evidence }
}

/// The rule of `envctl.toml` for this environment. A file that names no stack speaks of the projects it names.
fn rule_for<'a>(
    rules: &'a ProjectRules,
    stack: &str,
    profile: &Profile,
    project: Option<&str>,
) -> Option<&'a ProfileRule> {
    let name = profile.name.as_deref()?;
    let (_, rule) =
        rules.profiles.iter().find(|(key, _)| profile::normalise(key).as_deref() == Some(name))?;
    let decreed = profile.evidence.iter().any(|evidence| evidence.source == EvidenceSource::Config);
    let same_stack = rules.stack.as_deref() == Some(stack);
    let same_project = rule.project.is_some() && rule.project.as_deref() == project;
    (decreed || same_stack || same_project).then_some(rule)
}

fn members(group: Vec<SettledContainer<'_>>, rule: Option<&ProfileRule>) -> Vec<Service> {
    let role_evidences: Vec<Option<RoleEvidence>> = group
        .iter()
        .map(|settled| role::role_evidence(settled.sighting.container, &settled.sighting.marks, rule))
        .collect();
    let bars = RoleBars::of(&group, &role_evidences);
    (group.into_iter().zip(role_evidences))
        .map(|(settled, role_evidence)| {
            let ObservedContainer { container, marks, .. } = settled.sighting;
            let kept =
                role_evidence.as_ref().is_some_and(|role_evidence| bars.let_pass(&marks, role_evidence));
            let hint = if kept { None } else { role::hint_of_database(container) };
            Service {
                container: container.clone(),
                service: marks.service,
                number: marks.number,
                role: role_evidence.as_ref().filter(|_| kept).map(|role_evidence| role_evidence.role),
                evidence: role_evidence.into_iter().map(|role_evidence| role_evidence.evidence).collect(),
                hint,
            }
        })
        .collect()
}

/// Confidence that a role needs: the highest of its own place. A rule of `envctl.toml` outweighs all others. Across
/// places no role outweighs another: a label on a foreign container must not displace a database.
struct RoleBars {
    by_place: BTreeMap<(Option<ComposeProject>, Role), Confidence>,
    ruled: BTreeSet<Role>,
    /// Several services hold the migration tool: holding it tells nothing.
    several_have_tool: bool,
}

impl RoleBars {
    fn of(group: &[SettledContainer<'_>], role_evidences: &[Option<RoleEvidence>]) -> Self {
        let with_evidence = || {
            group.iter().zip(role_evidences).filter_map(|(settled, role_evidence)| {
                Some((&settled.sighting.marks, role_evidence.as_ref()?))
            })
        };
        let tool_services: BTreeSet<_> = with_evidence()
            .filter(|(_, role_evidence)| role_evidence.confidence == Confidence::HasTool)
            .map(|(marks, _)| (&marks.place, &marks.service))
            .collect();
        let several_have_tool = tool_services.len() > 1;
        let ruled = with_evidence()
            .filter(|(_, role_evidence)| role_evidence.confidence == Confidence::Configured)
            .map(|(_, role_evidence)| role_evidence.role)
            .collect();
        let mut bars = Self { by_place: BTreeMap::new(), ruled, several_have_tool };
        for (marks, role_evidence) in with_evidence() {
            let mut confidence = bars.confidence(marks, role_evidence);
            // Containers started by hand share no place: a label on one must not displace another.
            if marks.place.is_none() && confidence >= Confidence::Labelled {
                confidence = Confidence::Likely;
            }
            let bar = bars.by_place.entry((marks.place.clone(), role_evidence.role)).or_insert(confidence);
            *bar = (*bar).max(confidence);
        }
        bars
    }

    fn confidence(&self, marks: &ContainerLabels, role_evidence: &RoleEvidence) -> Confidence {
        match role_evidence.confidence {
            Confidence::HasTool
                if self.several_have_tool && marks.service.eq_ignore_ascii_case("backend") =>
            {
                Confidence::Plain
            }
            Confidence::HasTool if self.several_have_tool => Confidence::Likely,
            confidence => confidence,
        }
    }

    fn let_pass(&self, marks: &ContainerLabels, role_evidence: &RoleEvidence) -> bool {
        if self.ruled.contains(&role_evidence.role) {
            return role_evidence.confidence == Confidence::Configured;
        }
        let bar = self.by_place.get(&(marks.place.clone(), role_evidence.role));
        bar.is_none_or(|bar| self.confidence(marks, role_evidence) >= *bar)
    }
}
