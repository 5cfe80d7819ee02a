//! From what the daemon shows to the one environment that is meant: stack, profile, roles.
//!
//! Promises: everything is observed first and chosen after, deterministically; a choice that matters
//! is never guessed: ambiguity is an error that lists the candidates and the flag that picks each.

pub mod request;
