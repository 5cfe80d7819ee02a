//! From what the daemon shows to the one environment that is meant: stack, profile, roles.
//!
//! Promises: everything is observed first and chosen after, deterministically; a choice that matters
//! is never guessed: ambiguity is an error that lists the candidates and the flag that picks each.
//! Pure: containers and wishes in, values or errors out; no daemon, no clock, no file.
//!
//! The way through: `labels` and `plain_name` read one container, `profile` and `role` say what its marks
//! mean, `unit` settles what a compose project's containers say together, [`observe`] groups them into the
//! [`Landscape`] (of those that are [`worth_a_look`], where one stack is meant), `choose` takes the [`Environment`] that is meant and `pick` its [`Target`].

mod candidate;
mod choose;
mod discover;
mod environments;
mod evidence;
mod labels;
mod named;
mod nothing;
mod pick;
mod plain_name;
mod profile;
mod quoting;
pub mod request;
mod role;
mod shortlist;
mod state;
mod unit;

pub use candidate::Candidate;
pub use discover::observe;
pub use environments::{Environment, Landscape, Member, Stack, Target};
pub use evidence::{Evidence, Source};
pub use labels::{LABEL_PROFILE, LABEL_PROTECTED, LABEL_ROLE, LABEL_STACK, LABEL_WORKER};
pub use profile::Profile;
pub use quoting::shell_word;
pub use role::{Role, is_in_doubt};
pub use shortlist::worth_a_look;

use crate::docker::Container;
use crate::error::Result;
use request::TargetRequest;

/// The environment that is meant: [`observe`], then [`Landscape::environment`].
///
/// `containers` are all containers of the daemon, stopped ones too, with their image's own configuration
/// where it is there: without it a database is known by its process alone.
///
/// # Errors
/// Kind `Target`: nothing fits or more than one does; the message lists what was seen.
pub fn find(containers: &[Container], request: &TargetRequest) -> Result<Environment> {
    observe(containers, request).environment(request)
}

#[cfg(test)]
mod tests;
