//! From what the daemon shows to the one environment that is meant: stack, profile, roles.
//!
//! Promises: everything is observed first and chosen after, deterministically; a choice that matters
//! is never guessed: ambiguity is an error that lists the candidates and the flag that picks each.
//! Pure: containers and wishes in, values or errors out; no daemon, no clock, no file.
//!
//! The way through: `labels` and `plain_name` read one container, `profile` and `role` say what its marks
//! mean, `unit` settles what a compose project's containers say together, [`observe`] groups them into the
//! [`Inventory`] (of those that are [`worth_a_look`], where one stack is meant), `choose` takes the [`Environment`] that is meant and `pick` its [`Target`].

pub(crate) mod assign_stack;
mod candidate;
pub(crate) mod container_name;
mod discover;
mod evidence;
mod labels;
pub(crate) mod model;
pub(crate) mod not_found;
pub(crate) mod not_running;
pub(crate) mod prefilter;
pub(crate) mod profile;
mod role;
pub(crate) mod select_by_container;
pub(crate) mod select_container;
pub(crate) mod select_environment;
pub(crate) mod selector;

pub(crate) use discover::observe;
pub(crate) use model::{Environment, Inventory, Service, Target};
pub(crate) use prefilter::worth_a_look;
pub(crate) use role::{Role, is_in_doubt};

/// The environment that is meant: [`observe`], then [`Inventory::environment`].
///
/// `containers` are all containers of the daemon, stopped ones too, with their image's own configuration
/// where it is there: without it a database is known by its process alone.
///
/// # Errors
/// Kind `Target`: nothing fits or more than one does; the message lists what was seen.
#[cfg(test)]
pub(crate) fn find(
    containers: &[crate::docker::ContainerInfo],
    request: &selector::TargetRequest,
) -> crate::error::Result<Environment> {
    observe(containers, request).environment(request)
}

#[cfg(test)]
mod tests;
