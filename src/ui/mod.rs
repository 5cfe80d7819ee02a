//! The only module that prints: answers to stdout, talk to stderr, questions before what cannot be undone.
//!
//! Promises: the process's streams, terminal and environment come in as plain values ([`UiOptions`],
//! [`Streams`]); foreign text is escaped on its way out; a progress line is gone before anything else
//! is written.

mod ask;
pub(crate) mod bars;
#[cfg(test)]
pub(crate) mod capture;
mod checklist;
mod error_text;
mod printer;
mod progress;
mod progress_line;
mod streams;
pub(crate) mod style;
mod table;
mod target_line;
mod target_options;
mod wrap;

pub(crate) use checklist::{Checklist, Item};
pub(crate) use printer::{Ui, UiOptions};
pub(crate) use streams::OutputFailure;
pub(crate) use style::{ColorChoice, Tone};
pub(crate) use table::{Cell, Column, Table};
pub(crate) use target_line::TargetLine;
pub(crate) use target_options::TargetOptions;
