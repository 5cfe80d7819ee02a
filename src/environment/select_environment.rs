//! From the inventory to the environment that is meant.
//!
//! Promises: flags, then the project directory, then the only one that runs; a choice between several is an
//! error that lists them. A profile flag settles what nothing else speaks about, and never contradicts what is known.

use std::collections::BTreeSet;
use std::path::Path;

use globset::Glob;

use crate::error::{self, Error, Result};

use super::candidate::{ambiguous, listed};
use super::evidence::{Evidence, EvidenceSource};
use super::profile::{self, Profile};
use crate::environment::model::{Environment, Inventory};
use crate::environment::selector::TargetRequest;
use crate::text::escape::escape;

/// The environments of one stack, and why that stack.
struct Shortlist<'a> {
    environments: Vec<&'a Environment>,
    because: String,
}

impl Inventory {
    /// The one environment that is meant.
    ///
    /// # Errors
    /// Kind `Target`: nothing fits, or more than one does; kind `Usage`: a glob that is none.
    pub(crate) fn environment(&self, request: &TargetRequest) -> Result<Environment> {
        if let Some(name) = &request.container {
            return self.around(name, request);
        }
        let shortlist = self.meant_stack(request)?;
        self.of_stack(&shortlist, request)
    }

    /// The name of the one stack that is meant, whichever of its profiles.
    ///
    /// # Errors
    /// See [`Inventory::environment`]; an ambiguous profile is no error.
    pub(crate) fn stack_of(&self, request: &TargetRequest) -> Result<String> {
        if request.container.is_some() {
            return Ok(self.environment(request)?.stack);
        }
        let shortlist = self.meant_stack(request)?;
        let first = shortlist.environments.first().map(|environment| environment.stack.clone());
        first.ok_or_else(|| self.nothing("no stack"))
    }

    /// One environment for each stack that `--stack` globs or `--all-stacks` name, by stack; without them the
    /// one that is meant. Stacks without the profile asked for are left out unless named in full.
    ///
    /// # Errors
    /// See [`Inventory::environment`], for each of the stacks.
    pub(crate) fn environments(&self, request: &TargetRequest) -> Result<Vec<Environment>> {
        if request.container.is_some() || (request.stacks.is_empty() && !request.all_stacks) {
            return Ok(vec![self.environment(request)?]);
        }
        let mut chosen = Vec::new();
        for name in self.named_stacks(request)? {
            let environments: Vec<_> = self.environments.iter().filter(|other| other.stack == name).collect();
            let because = if request.all_stacks { "--all-stacks" } else { "--stack" }.to_owned();
            let exact = request.stacks.contains(&name);
            if !exact && !may_have_profile(&environments, request) {
                continue;
            }
            chosen.push(self.of_stack(&Shortlist { environments, because }, request)?);
        }
        if chosen.is_empty() {
            return Err(self.nothing("no stack has that profile"));
        }
        Ok(chosen)
    }

    /// The names of the stacks that are asked for; never empty.
    fn named_stacks(&self, request: &TargetRequest) -> Result<Vec<String>> {
        let names = |fits: &dyn Fn(&Environment) -> bool| -> BTreeSet<String> {
            self.environments.iter().filter(|other| fits(other)).map(|other| other.stack.clone()).collect()
        };
        if request.all_stacks {
            let up = names(&|other| other.is_application() && other.is_up());
            return if up.is_empty() {
                Err(self.nothing("no stack runs"))
            } else {
                Ok(up.into_iter().collect())
            };
        }
        let mut found = BTreeSet::new();
        for pattern in &request.stacks {
            let exact = names(&|other| other.stack == *pattern);
            let glob = Glob::new(pattern).map_err(|cause| {
                error::usage(format!("`--stack {}` is no pattern", escape(pattern))).because(cause)
            });
            let matching = if exact.is_empty() {
                let glob = glob?.compile_matcher();
                names(&|other| other.is_application() && glob.is_match(&other.stack))
            } else {
                exact
            };
            if matching.is_empty() {
                return Err(self.nothing(&format!("no stack `{}`", escape(pattern))));
            }
            found.extend(matching);
        }
        Ok(found.into_iter().collect())
    }

    /// Rule 3: the stack that is named, that of this directory, or the only one that runs.
    fn meant_stack(&self, request: &TargetRequest) -> Result<Shortlist<'_>> {
        if !request.stacks.is_empty() || request.all_stacks {
            let names = self.named_stacks(request)?;
            return self.only(
                &names.iter().map(String::as_str).collect(),
                "--stack",
                "several stacks are named",
            );
        }
        if let Some(stack) = &request.rules.stack {
            let seen = self.environments.iter().any(|other| other.stack == *stack);
            let absent =
                || self.nothing(&format!("no container belongs to stack `{}` of envctl.toml", escape(stack)));
            return if seen {
                self.only(&BTreeSet::from([stack.as_str()]), "envctl.toml", "")
            } else {
                Err(absent())
            };
        }
        let ruled = self.stacks_where(|other| {
            other.profile.evidence.iter().any(|said| said.source == EvidenceSource::Config)
        });
        if !ruled.is_empty() {
            return self.only(&ruled, "envctl.toml", "envctl.toml speaks of several stacks");
        }
        match &request.project_dir {
            Some(directory) => self.stack_of_directory(directory),
            None => self.running_stack(),
        }
    }

    /// Inside a project directory another directory's stack is never meant, also where it is the only one.
    fn stack_of_directory(&self, directory: &Path) -> Result<Shortlist<'_>> {
        let shown = escape(&directory.display().to_string());
        let question = format!("several stacks run from {shown}");
        let here = self.here(directory);
        for pick in [true, false] {
            // Applications first: a proxy in the same directory is no rival.
            let stacks: BTreeSet<&str> = here
                .iter()
                .filter(|other| !pick || other.is_application())
                .map(|other| other.stack.as_str())
                .collect();
            if !stacks.is_empty() {
                return self.only(&stacks, &format!("directory {shown}"), &question);
            }
        }
        let below = self.stacks_where(|other| {
            other.is_application()
                && other.directory.as_ref().is_some_and(|own| Path::new(own).starts_with(directory))
        });
        if !below.is_empty() {
            return self.only(&below, &format!("below directory {shown}"), &question);
        }
        // What carries no directory (swarm, plain containers) may be this one's, if it is all there is.
        let up = self.stacks_where(|other| other.is_application() && other.is_up());
        let elsewhere =
            self.stacks_where(|other| other.is_application() && other.is_up() && other.directory.is_some());
        if up.len() == 1 && elsewhere.is_empty() {
            return self.only(&up, "the only one that runs", "");
        }
        Err(self.nothing(&format!("no container was started from {shown}")))
    }

    fn running_stack(&self) -> Result<Shortlist<'_>> {
        let up = self.stacks_where(|other| other.is_application() && other.is_up());
        if !up.is_empty() {
            return self.only(&up, "the only one that runs", "several stacks run");
        }
        let all = self.stacks_where(Environment::is_application);
        if all.is_empty() {
            return Err(self.nothing(""));
        }
        self.only(&all, "the only one there is", "no stack runs, and there are several")
    }

    fn stacks_where(&self, fits: impl Fn(&Environment) -> bool) -> BTreeSet<&str> {
        self.environments.iter().filter(|other| fits(other)).map(|other| other.stack.as_str()).collect()
    }

    /// The environments whose directory is this one or the nearest above it.
    fn here(&self, directory: &Path) -> Vec<&Environment> {
        let above = |other: &&Environment| {
            other.directory.as_ref().filter(|own| directory.starts_with(own)).map(String::len)
        };
        let nearest = self.environments.iter().filter_map(|other| above(&other)).max();
        self.environments.iter().filter(|other| nearest.is_some() && above(other) == nearest).collect()
    }

    fn only(&self, stacks: &BTreeSet<&str>, because: &str, question: &str) -> Result<Shortlist<'_>> {
        let environments: Vec<_> =
            self.environments.iter().filter(|other| stacks.contains(other.stack.as_str())).collect();
        if stacks.len() > 1 {
            return Err(ambiguous(question, listed(&applications(&environments), &self.environments)));
        }
        Ok(Shortlist { environments, because: because.to_owned() })
    }

    /// Rule 4: the profile that is asked for, dev if it runs, the only one that runs.
    fn of_stack(&self, shortlist: &Shortlist<'_>, request: &TargetRequest) -> Result<Environment> {
        let all = applications(&shortlist.environments);
        let here: Vec<&Environment> = match &request.project_dir {
            Some(directory) => self.here(directory).into_iter().filter(|own| all.contains(own)).collect(),
            None => Vec::new(),
        };
        if let Some(wanted) = &request.profile {
            return self.with_profile(&all, &here, wanted);
        }
        // A directory that holds only one of the profiles means that one, not its sibling's next door.
        let pool = if here.is_empty() { &all } else { &here };
        let up: Vec<&Environment> = pool.iter().copied().filter(|other| other.is_up()).collect();
        let dev: Vec<&Environment> = up.iter().copied().filter(|other| other.profile.is_dev()).collect();
        let profiles = |list: &[&Environment]| -> usize {
            list.iter().map(|other| other.profile.name.as_deref()).collect::<BTreeSet<_>>().len()
        };
        let (found, because) = match (dev.is_empty(), profiles(&up), profiles(pool)) {
            (false, 1, _) => (&dev, "the only profile that runs"),
            (false, ..) => (&dev, "dev runs"),
            (true, 1, _) => (&up, "the only profile that runs"),
            (true, 0, 1) => (pool, "the only profile there is"),
            (true, 0, _) => return Err(self.which("no profile of", pool)),
            _ => return Err(self.which("several profiles of", pool)),
        };
        let mut chosen = self.narrow(found, &here)?.clone();
        chosen.chosen_because = format!("{}, {because}", shortlist.because);
        Ok(chosen)
    }

    fn which(&self, parts: &str, pool: &[&Environment]) -> Error {
        let stack = pool.first().map(|other| escape(&other.stack)).unwrap_or_default();
        let runs = if parts.starts_with("no") { "runs" } else { "run" };
        ambiguous(format!("{parts} {stack} {runs}; say which is meant"), listed(pool, &self.environments))
    }

    fn with_profile(&self, all: &[&Environment], here: &[&Environment], wanted: &str) -> Result<Environment> {
        let name = profile::normalise(wanted);
        let found: Vec<&Environment> =
            all.iter().copied().filter(|other| other.profile.name == name).collect();
        if !found.is_empty() {
            let mut chosen = self.narrow(&found, here)?.clone();
            chosen.chosen_because = chosen.profile.flag();
            return Ok(chosen);
        }
        let unknown: Vec<&Environment> =
            all.iter().copied().filter(|other| other.profile.is_unknown()).collect();
        if let ([only], Some(name)) = (unknown.as_slice(), &name) {
            return decided_by_flag((*only).clone(), name);
        }
        let stack = all.first().map(|other| escape(&other.stack)).unwrap_or_default();
        Err(ambiguous(
            format!("{stack} has no profile `{}`", escape(wanted)),
            listed(all, &self.environments),
        ))
    }

    /// Several checkouts of one profile: the one of this directory, else the only one that runs.
    fn narrow<'a>(&self, found: &[&'a Environment], here: &[&Environment]) -> Result<&'a Environment> {
        let in_here: Vec<_> = found.iter().copied().filter(|other| here.contains(other)).collect();
        let pool = if in_here.is_empty() { found.to_vec() } else { in_here };
        let up: Vec<_> = pool.iter().copied().filter(|other| other.is_up()).collect();
        match (pool.as_slice(), up.as_slice()) {
            ([only], _) | (_, [only]) => Ok(only),
            _ => {
                let shown = found.first().map(ToString::to_string).unwrap_or_default();
                let question = format!("{shown} is there more than once");
                Err(ambiguous(question, listed(&pool, &self.environments)))
            }
        }
    }
}

/// Returns the environments that are applications; all where none is.
fn applications<'a>(environments: &[&'a Environment]) -> Vec<&'a Environment> {
    let applications: Vec<_> = environments.iter().copied().filter(|other| other.is_application()).collect();
    if applications.is_empty() { environments.to_vec() } else { applications }
}

fn may_have_profile(environments: &[&Environment], request: &TargetRequest) -> bool {
    let Some(wanted) = &request.profile else { return true };
    let name = profile::normalise(wanted);
    environments.iter().any(|other| other.profile.name == name)
}

/// A flag says what nothing else does. Where the evidence disagrees it may only raise the caution.
pub(crate) fn decided_by_flag(mut environment: Environment, name: &str) -> Result<Environment> {
    let flag = Profile::known(name, Vec::new()).flag();
    if environment.profile.is_disputed() && name != "prod" {
        let because = environment.profile.because();
        return Err(error::target(format!("{environment} cannot be taken for {}: {because}", escape(name)))
            .hint("leave the flag out: it is used as it is, and guarded as prod")
            .hint(format!(
                "label the services `envctl.profile: {}`, or say it in envctl.toml",
                escape(name)
            )));
    }
    let mut evidence =
        vec![Evidence::new(EvidenceSource::Flag, format!("{flag}, and nothing else says one"))];
    evidence.append(&mut environment.profile.evidence);
    environment.profile = Profile::known(name, evidence);
    environment.chosen_because = flag;
    Ok(environment)
}
