//! The guards: what may run at once, what is asked first, and what is refused.
//!
//! Promises: only this module makes a [`Confirmed`], so work that takes one cannot start unasked; a plan says itself what it
//! does to its target, and whoever asks cannot ask for less; the
//! plan is shown before the question; the answer to silence is no. What is asked is the product's table:
//!
//! | act | dev | prod or unknown |
//! |---|---|---|
//! | read | runs | runs |
//! | change | runs | y/N, or `--yes` |
//! | open | runs | the stack's name, or `--confirm STACK` |
//! | destroy | y/N, or `--yes` | the stack's name, or `--confirm STACK` |
//!
//! Data of another stack, profile or database has to be confirmed: in development with the target stack's name.
//! In production, options have to name the source or the target of the data too.
//!
//! Ask before the signal handlers of an operation are installed: Ctrl-C at a question simply leaves.

use std::fmt::Display;

use crate::error::{self, Error, Result};
use crate::text::escape::escape;
use crate::text::shell_word::shell_word;

/// Effect of an operation on its target. Each asks for more than the one before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Guard {
    /// Looks only.
    Read,
    /// Changes without loss: migrate, seed.
    Change,
    /// Opens the data to a person's hands: `studio`. Asks like destroying in prod, runs in dev.
    Open,
    /// May lose data: reset, restore, prune.
    Destroy,
}

/// A person who can be asked, and the places where a plan is shown. The terminal implements it.
pub(crate) trait Ask {
    /// Returns true where somebody sits at a terminal to answer.
    fn can_ask(&self) -> bool;
    /// Returns true where the answer of the command is a JSON document.
    fn is_json(&self) -> bool;
    /// Shows a plan; one that is `asked` about is shown whatever the verbosity.
    fn show_plan(&self, plan: &dyn Display, asked: bool);
    /// Writes a plan as the answer of the command.
    fn answer_plan(&self, plan: &dyn Display);
    /// Asks `question` and returns one line, or `None` at the end of input.
    fn ask(&self, question: &str) -> Option<String>;
    /// Says a line that is no answer.
    fn say(&self, text: &str);
    fn warn(&self, text: &str);
    /// Paints text as the name of a production target.
    fn painted_as_prod(&self, text: &str) -> String;
}

/// Facts about one target that the guards use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuardTarget {
    /// The stack's name, raw: what has to be typed.
    pub(crate) stack: String,
    /// The profile's name, where it is known.
    pub(crate) profile: Option<String>,
    /// The profile is production or cannot be known.
    pub(crate) prod: bool,
    /// `envctl.protected`: destroying is refused whatever the flags.
    pub(crate) protected: bool,
    /// Difference between the data and the target. The user then has to name the stack in development too.
    /// In production, the user has to name the difference itself.
    pub(crate) unlike: Option<IdentityMismatch>,
}

/// Data of something else than its target, and nothing on the command line names the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IdentityMismatch {
    pub(crate) command: String,
}

impl GuardTarget {
    /// Returns true where the stack has to be named before this act.
    fn is_named(&self, guard: Guard) -> bool {
        self.prod || (self.unlike.is_some() && guard == Guard::Destroy)
    }
}

/// Consent given on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Consent {
    /// `--yes`.
    pub(crate) yes: bool,
    /// Every `--confirm STACK`.
    pub(crate) confirm: Vec<String>,
    /// `--dry-run`: show the plan and stop.
    pub(crate) dry_run: bool,
}

/// A plan as a person agrees to it: its `Display` is what is shown.
pub(crate) trait Plan: Display {
    /// Returns what carrying it out does to its target: the least that is asked, whatever the caller asks for.
    fn guard(&self) -> Guard;
}

/// A text is shown, and nothing carries it out.
impl Plan for String {
    fn guard(&self) -> Guard {
        Guard::Read
    }
}

/// A plan that was agreed to. Only [`confirm`] makes one.
#[derive(Debug)]
pub(crate) struct Confirmed<P> {
    plan: P,
    /// Guard that the user agreed to.
    guard: Guard,
}

impl<P> Confirmed<P> {
    pub(crate) fn plan(&self) -> &P {
        &self.plan
    }

    /// Returns a part of the plan, which was agreed to with the whole.
    ///
    /// # Panics
    /// The part does more to its target than was asked for the whole: a fault of the program.
    pub(crate) fn map<Q: Plan>(self, part: impl FnOnce(P) -> Q) -> Confirmed<Q> {
        let (plan, guard) = (part(self.plan), self.guard);
        assert!(plan.guard() <= guard, "a part would {:?}, and {guard:?} was asked for", plan.guard());
        Confirmed { plan, guard }
    }

    /// The plan, to carry out.
    pub(crate) fn into_plan(self) -> P {
        self.plan
    }
}

/// A target that was made for one operation and is removed after it: nobody's data can be lost there.
pub(crate) trait Disposable {}

impl<P: Plan> Confirmed<P> {
    /// A plan for a target that nobody has to be asked about.
    pub(crate) fn on_disposable(plan: P, _target: &impl Disposable) -> Self {
        let guard = plan.guard();
        Self { plan, guard }
    }
}

/// A plan that is made of plans: who has agreed to the whole, shown as a whole, has agreed to each part.
pub(crate) trait Parts {
    /// Key of a part: the target that the part is for.
    type Key;
    type Part: Plan;

    /// The parts as they were shown.
    fn parts(self) -> Vec<(Self::Key, Self::Part)>;
}

impl<P: Parts> Confirmed<P> {
    /// Each part, confirmed.
    ///
    /// # Panics
    /// A part does more to its target than was asked for the whole: a fault of the program, which ends before anything is
    /// done.
    pub(crate) fn each(self) -> Vec<(P::Key, Confirmed<P::Part>)> {
        let Self { plan, guard } = self;
        let confirmed = |plan: P::Part| {
            let (part, asked) = (plan.guard(), guard);
            assert!(part <= asked, "a part would {part:?}, and {asked:?} was asked for");
            Confirmed { plan, guard }
        };
        plan.parts().into_iter().map(|(key, part)| (key, confirmed(part))).collect()
    }
}

/// Outcome of a confirmation.
#[derive(Debug)]
pub(crate) enum Decision<P> {
    /// Carry it out.
    Go(Confirmed<P>),
    /// `--dry-run`: the plan was shown; with `--json` the caller prints it.
    DryRun(P),
}

impl<P> Decision<P> {
    /// Returns the confirmed plan; hands the plan of a dry run to `show`.
    pub(crate) fn go_or(self, show: impl FnOnce(&P)) -> Option<Confirmed<P>> {
        match self {
            Self::Go(confirmed) => Some(confirmed),
            Self::DryRun(plan) => {
                show(&plan);
                None
            }
        }
    }

    /// The confirmed plan; `None` for a dry run.
    #[cfg(test)]
    pub(crate) fn confirmed(self) -> Option<Confirmed<P>> {
        match self {
            Self::Go(confirmed) => Some(confirmed),
            Self::DryRun(_) => None,
        }
    }
}

/// Asks what has to be asked about one target. The plan is printed escaped.
///
/// # Errors
/// `Refused`: a guard or the person said no; nothing was changed.
#[cfg(test)]
pub(crate) fn confirm<P: Plan>(
    ask: &dyn Ask,
    plan: P,
    guard: Guard,
    target: &GuardTarget,
    consent: &Consent,
) -> Result<Decision<P>> {
    confirm_each(ask, plan, guard, std::slice::from_ref(target), consent)
}

/// See [`confirm`] for one plan over several targets: every prod stack is named on its own. Asks for `guard` or for what the
/// plan itself demands, whichever is more.
pub(crate) fn confirm_each<P: Plan>(
    ask: &dyn Ask,
    plan: P,
    guard: Guard,
    targets: &[GuardTarget],
    consent: &Consent,
) -> Result<Decision<P>> {
    let guard = guard.max(plan.guard());
    if consent.dry_run {
        show_dry_run(ask, &plan, guard, targets);
        return Ok(Decision::DryRun(plan));
    }
    refuse_protected(guard, targets)?;
    if let Err(error) = refuse_unlike(guard, targets, consent) {
        ask.show_plan(&plan, false);
        return Err(error);
    }
    match settle(&demand(guard, targets), consent, ask.can_ask()) {
        // Whoever works on several wants to see on which.
        NextStep::Runs if targets.len() > 1 => ask.show_plan(&plan, false),
        NextStep::Runs => {}
        NextStep::Agreed => ask.show_plan(&plan, false),
        // What was refused is worth seeing: the next thing typed is the flag that allows it.
        NextStep::Refused(error) => {
            ask.show_plan(&plan, false);
            let way = way_to_settle_a_profile(guard, targets).filter(|_| consent.confirm.is_empty());
            return Err(way.into_iter().fold(error, Error::hint));
        }
        NextStep::AskYes => {
            ask.show_plan(&plan, true);
            ask_yes(ask, targets)?;
        }
        NextStep::AskNames(names) => {
            ask.show_plan(&plan, true);
            if let Some(way) = way_to_settle_a_profile(guard, targets) {
                ask.say(&way);
            }
            for name in names {
                ask_name(ask, guard, name, targets)?;
            }
        }
    }
    Ok(Decision::Go(Confirmed { plan, guard }))
}

/// Offers something that need not be: yes only where a person at the terminal says so.
pub(crate) fn offer(ask: &dyn Ask, question: &str, consent: &Consent) -> bool {
    ask.can_ask() && !consent.yes && is_yes(ask.ask(&format!("{question} [y/N] ")))
}

fn is_yes(answer: Option<String>) -> bool {
    answer.is_some_and(|answer| ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

/// Consent that an operation needs.
#[derive(Debug, PartialEq, Eq)]
enum Demand<'a> {
    Nothing,
    /// A yes, for an act on these targets; `flag` is what the message suggests.
    Yes,
    /// The name of each of these stacks, and what asks for it.
    Names(Vec<&'a str>, &'static str),
}

fn demand(guard: Guard, targets: &[GuardTarget]) -> Demand<'_> {
    let mut names: Vec<&str> =
        targets.iter().filter(|t| t.is_named(guard)).map(|t| t.stack.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let why = if targets.iter().any(|t| t.prod) { "production" } else { "a backup of something else" };
    match (guard, names.is_empty()) {
        (Guard::Read, _) | (Guard::Change | Guard::Open, true) => Demand::Nothing,
        (Guard::Change, false) | (Guard::Destroy, true) => Demand::Yes,
        (Guard::Open | Guard::Destroy, false) => Demand::Names(names, why),
    }
}

#[derive(Debug)]
enum NextStep<'a> {
    /// Run without a question: no consent is needed.
    Runs,
    /// The flags agree; the plan is said and carried out.
    Agreed,
    AskYes,
    AskNames(Vec<&'a str>),
    Refused(Error),
}

/// The pure heart of the guards.
fn settle<'a>(demand: &Demand<'a>, consent: &Consent, can_ask: bool) -> NextStep<'a> {
    match demand {
        Demand::Nothing => NextStep::Runs,
        Demand::Yes if consent.yes => NextStep::Agreed,
        Demand::Yes if can_ask => NextStep::AskYes,
        Demand::Yes => NextStep::Refused(
            error::refused("this needs a yes, and there is no terminal to ask at: nothing was changed")
                .hint("look at the plan with `--dry-run`, then add `--yes`"),
        ),
        Demand::Names(names, why) => settle_names(names, why, consent, can_ask),
    }
}

fn settle_names<'a>(names: &[&'a str], why: &str, consent: &Consent, can_ask: bool) -> NextStep<'a> {
    let missing: Vec<&str> =
        names.iter().copied().filter(|name| !consent.confirm.iter().any(|given| given == name)).collect();
    if missing.is_empty() {
        return NextStep::Agreed;
    }
    // Somebody who named other stacks means other stacks; a prompt would only help to go on.
    if can_ask && consent.confirm.is_empty() {
        return NextStep::AskNames(names.to_vec());
    }
    let flags: Vec<String> = missing.iter().map(|name| format!("--confirm {}", shell_word(name))).collect();
    let message = if !consent.confirm.is_empty() {
        format!(
            "`--confirm` names {}, but the target is {}: nothing was changed",
            listed(consent.confirm.iter().map(String::as_str)),
            listed(missing.iter().copied())
        )
    } else if consent.yes {
        format!(
            "`--yes` is not enough for {why}, the stack has to be named ({}): nothing was changed",
            listed(missing.iter().copied())
        )
    } else {
        let what = if why == "production" { why.to_owned() } else { format!("for {why} the stack") };
        format!(
            "{what} has to be named ({}), and there is no terminal to ask at: nothing was changed",
            listed(missing.iter().copied())
        )
    };
    NextStep::Refused(
        error::refused(message)
            .hint(format!("look at the plan with `--dry-run`, then add `{}`", flags.join(" "))),
    )
}

/// Next step where a stack's name has to be typed only because nothing says which profile it is.
fn way_to_settle_a_profile(guard: Guard, targets: &[GuardTarget]) -> Option<String> {
    let unknown = |target: &&GuardTarget| target.prod && target.profile.is_none();
    let target = targets.iter().find(unknown).filter(|_| matches!(guard, Guard::Destroy | Guard::Open))?;
    Some(format!(
        "settle once which profile {} is: label its services `envctl.profile: dev` (or prod), or say it in envctl.toml, which \
         `envctl init` writes",
        target.stack
    ))
}

fn refuse_protected(guard: Guard, targets: &[GuardTarget]) -> Result<()> {
    match targets.iter().find(|target| guard == Guard::Destroy && target.protected) {
        Some(target) => Err(error::refused(format!(
            "{} is protected (`envctl.protected=true`), so nothing that may lose data runs on it: nothing was changed",
            named(target)
        ))
        .note("no flag lifts this").hint("take the label off the database service if you mean it")),
        None => Ok(()),
    }
}

/// Refuses to put something else into production until the command line names what differs: a typed name says only
/// where the data goes.
fn refuse_unlike(guard: Guard, targets: &[GuardTarget], consent: &Consent) -> Result<()> {
    let unlike = |target: &GuardTarget| target.unlike.clone().filter(|_| target.prod);
    let found = targets.iter().find_map(|target| Some((target, unlike(target)?)));
    let Some((target, IdentityMismatch { mut command })) = found.filter(|_| guard == Guard::Destroy) else {
        return Ok(());
    };
    for name in &consent.confirm {
        command.push_str(&format!(" --confirm {}", shell_word(name)));
    }
    Err(error::refused(format!(
        "what comes in is of something else than {}, and the command does not name it: nothing was changed",
        named(target)
    ))
    .hint(format!("name it if you mean it: `{command}`")))
}

fn show_dry_run(ask: &dyn Ask, plan: &dyn Display, guard: Guard, targets: &[GuardTarget]) {
    if !ask.is_json() {
        ask.answer_plan(plan);
    }
    let refusal =
        refuse_protected(guard, targets).and_then(|()| refuse_unlike(guard, targets, &Consent::default()));
    if let Err(refusal) = refusal {
        ask.warn(&format!("without `--dry-run` this would be refused: {}", refusal.message()));
    }
}

fn ask_yes(ask: &dyn Ask, targets: &[GuardTarget]) -> Result<()> {
    let question = format!("Go on with {}? [y/N] ", painted(ask, targets));
    if is_yes(ask.ask(&question)) {
        return Ok(());
    }
    Err(error::refused("not confirmed: nothing was changed"))
}

fn ask_name(ask: &dyn Ask, guard: Guard, name: &str, targets: &[GuardTarget]) -> Result<()> {
    let meant: Vec<GuardTarget> =
        targets.iter().filter(|t| t.is_named(guard) && t.stack == name).cloned().collect();
    let what = if guard == Guard::Destroy { "This may lose data of" } else { "This opens the data of" };
    let question = format!("{what} {}.\nType the stack's name to go on: ", painted(ask, &meant));
    match ask.ask(&question) {
        Some(typed) if typed.trim() == name => Ok(()),
        None => Err(error::refused("not confirmed: nothing was changed")),
        Some(typed) if typed.trim().is_empty() => Err(error::refused("not confirmed: nothing was changed")),
        Some(_) => Err(error::refused(format!("the typed name is not `{name}`: nothing was changed"))),
    }
}

/// The targets as a question names them, prod in its band.
fn painted(ask: &dyn Ask, targets: &[GuardTarget]) -> String {
    let shown = |target: &GuardTarget| {
        let text = escape(&named(target));
        if target.prod { ask.painted_as_prod(&text) } else { text }
    };
    targets.iter().map(shown).collect::<Vec<_>>().join(", ")
}

fn named(target: &GuardTarget) -> String {
    let stack = &target.stack;
    match target.profile.as_deref() {
        Some("prod") => format!("{stack} [prod]"),
        Some(profile) if target.prod => format!("{stack} [{profile}: counts as prod]"),
        Some(profile) => format!("{stack} [{profile}]"),
        None => format!("{stack} [profile unknown: counts as prod]"),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
#[path = "consent_tests.rs"]
mod tests;
