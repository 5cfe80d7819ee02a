//! Progress shown: a moving line on a terminal, a line now and then in a log, nothing where not wanted.
//!
//! Promises: an emitter pays two atomic stores for a byte count, however often it counts; drawing is
//! done by a ticker of its own, ten times a second; other talk and the moving line never mix.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::printer::Ui;
use crate::progress::{Event, Progress};
use crate::sync::lock;
use crate::ui::bars::{NO_TOTAL, Phase, ProgressText};

/// Between two lines in a log.
const LOG_EVERY: Duration = Duration::from_secs(10);

impl Ui {
    /// Somebody to tell events of one operation to; shown as a bar, as lines, or not at all.
    pub(crate) fn progress(&self) -> Arc<ProgressReporter> {
        Arc::new(ProgressReporter::new(self.clone(), &self.name))
    }
}

/// Listens to one operation and shows it. Dropped, its line is gone.
pub(crate) struct ProgressReporter {
    ui: Ui,
    phase: Arc<Phase>,
    bar: Mutex<Option<ProgressBar>>,
    /// Lines are logged: no terminal, and progress is wanted.
    logs: bool,
    pace: Pace,
}

impl ProgressReporter {
    pub(crate) fn new(ui: Ui, name: &str) -> Self {
        let options = ui.options();
        let logs = options.progress && !options.quiet && !options.json && !ui.bars().move_at_all();
        let text = ProgressText { step: String::new(), table: String::new(), began: Instant::now() };
        let phase = Phase {
            name: name.to_owned(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(NO_TOTAL),
            text: Mutex::new(text),
        };
        Self { ui, phase: Arc::new(phase), bar: Mutex::default(), logs, pace: Pace::new(LOG_EVERY) }
    }

    /// The printer without the stack's name, which the facts bear themselves.
    fn plain(&self) -> Ui {
        self.ui.of_stack("")
    }

    fn begin(&self, step: String) {
        self.phase.begin(step);
        if self.logs {
            self.pace.restart();
            self.plain().say(&self.phase.facts().title());
        }
        let mut bar = lock(&self.bar);
        if bar.as_ref().is_none_or(ProgressBar::is_finished) {
            *bar = self.ui.bars().start(&self.phase);
        }
    }

    fn count(&self, done: u64, total: Option<u64>) {
        self.phase.done.store(done, Ordering::Relaxed);
        self.phase.total.store(total.unwrap_or(NO_TOTAL), Ordering::Relaxed);
        if self.logs && self.pace.is_due() {
            self.plain().say(&self.phase.facts().log_line());
        }
    }

    fn end(&self) {
        if let Some(bar) = lock(&self.bar).take() {
            bar.finish_and_clear();
        }
    }
}

impl Progress for ProgressReporter {
    fn on(&self, event: Event) {
        match event {
            Event::Step(what) => self.begin(what),
            Event::Bytes { done, total } => self.count(done, total),
            Event::Table(table) => lock(&self.phase.text).table = table,
            Event::Warning(text) => self.ui.warn(&text),
            Event::Detail(text) => self.ui.detail(&text),
            Event::Done => self.end(),
        }
    }
}

impl Drop for ProgressReporter {
    fn drop(&mut self) {
        self.end();
    }
}

/// Says when the next line of a log is due.
struct Pace {
    every: Duration,
    started: Instant,
    /// Milliseconds after `started`.
    next: AtomicU64,
}

impl Pace {
    fn new(every: Duration) -> Self {
        Self { every, started: Instant::now(), next: AtomicU64::new(every.as_millis() as u64) }
    }

    fn restart(&self) {
        self.next.store((self.started.elapsed() + self.every).as_millis() as u64, Ordering::Relaxed);
    }

    fn is_due(&self) -> bool {
        self.is_due_at(self.started.elapsed())
    }

    /// At most one of several that ask at a time is told so.
    fn is_due_at(&self, since_start: Duration) -> bool {
        let next = self.next.load(Ordering::Relaxed);
        let now = since_start.as_millis() as u64;
        let after = now + self.every.as_millis() as u64;
        now >= next && self.next.compare_exchange(next, after, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
