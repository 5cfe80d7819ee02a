//! Progress events, which operations emit and `ui` shows, logs as JSON, or drops.
//!
//! Promise: work never prints and never knows who listens. Events are cheap; a listener that is slow
//! must not slow the work (the byte counter is throttled by the listener, not by the emitter).

/// Something that happened while an operation ran.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Event {
    /// A phase began, named as the user would: "dumping", "checking the file", "swapping".
    Step(String),
    /// Bytes of the plain stream so far, with an estimate of the whole where one is known.
    Bytes {
        /// Plain bytes seen so far.
        done: u64,
        /// The estimated or exact total, in plain bytes.
        total: Option<u64>,
    },
    /// The table whose rows are passing by, as `schema.table`.
    Table(String),
    /// Something worth knowing that does not stop the work.
    Warning(String),
    /// Detail for `-v`.
    Detail(String),
    /// The phase ended; a bar may be cleared.
    Done,
}

/// Somebody who listens to events.
pub(crate) trait Progress: Send + Sync {
    /// Takes note of one event.
    fn on(&self, event: Event);

    /// Shorthand for a phase.
    fn step(&self, what: &str) {
        self.on(Event::Step(what.to_owned()));
    }
}

/// Nobody listens: tests and `-q`.
#[derive(Clone, Copy, Debug, Default)]
#[cfg(test)]
pub(crate) struct NoProgress;

#[cfg(test)]
impl Progress for NoProgress {
    fn on(&self, _event: Event) {}
}
