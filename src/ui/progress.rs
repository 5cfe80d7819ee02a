//! Progress shown: a moving line on a terminal, a line now and then in a log, nothing where not wanted.
//!
//! Promises: an emitter pays two atomic stores for a byte count, however often it counts; drawing is
//! done by a ticker of its own, ten times a second; other talk and the moving line never mix.

use std::fmt;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::printer::Ui;
use super::progress_line::PhaseStats;
use super::streams::Sink;
use super::style::cursor;
use crate::progress::{Event, Progress};
use crate::sync::lock;

/// Between two drawings of the moving line.
const TICK: Duration = Duration::from_millis(100);
/// Between two lines in a log.
const LOG_EVERY: Duration = Duration::from_secs(10);
/// In place of a total that is not known; no dump has this size.
const NO_TOTAL: u64 = u64::MAX;

/// All moving lines of a terminal.
pub(crate) struct Bars {
    /// `None` where nothing moves.
    multi: Option<MultiProgress>,
    columns: usize,
    shown: Mutex<Vec<ProgressBar>>,
}

impl Bars {
    /// Moving lines on stderr, with its columns; or none.
    pub(crate) fn new(terminal: Option<(Sink, usize)>) -> Self {
        let columns = terminal.as_ref().map_or(80, |(_, columns)| *columns);
        let multi = terminal.map(|(sink, columns)| {
            let terminal = Terminal { sink, columns, pending: Mutex::default() };
            // One drawing for each tick; the ticker is the throttle.
            MultiProgress::with_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(terminal), 20))
        });
        Self { multi, columns, shown: Mutex::default() }
    }

    /// Reports whether there are moving lines; without them, progress is logged.
    pub(crate) fn move_at_all(&self) -> bool {
        self.multi.is_some()
    }

    /// Writes something else while no moving line is in the way.
    pub(crate) fn suspend(&self, write: impl FnOnce()) {
        match &self.multi {
            Some(multi) => multi.suspend(write),
            None => write(),
        }
    }

    /// Takes every moving line away for good.
    pub(crate) fn end_all(&self) {
        for bar in lock(&self.shown).drain(..) {
            bar.finish_and_clear();
        }
    }

    fn start(&self, phase: &Arc<Phase>) -> Option<ProgressBar> {
        let multi = self.multi.as_ref()?;
        let (phase, available) = (Arc::clone(phase), self.columns.saturating_sub(3));
        let style = ProgressStyle::with_template("{spinner} {facts}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner())
            .with_key("facts", move |_: &ProgressState, out: &mut dyn fmt::Write| {
                let _ = out.write_str(&phase.facts().line(available));
            });
        let bar = multi.add(ProgressBar::new_spinner().with_style(style));
        bar.enable_steady_tick(TICK);
        let mut shown = lock(&self.shown);
        shown.retain(|bar| !bar.is_finished());
        shown.push(bar.clone());
        Some(bar)
    }
}

/// Facts about the current phase, written by emitters and read by the ticker.
struct Phase {
    name: String,
    done: AtomicU64,
    total: AtomicU64,
    text: Mutex<ProgressText>,
}

struct ProgressText {
    step: String,
    table: String,
    began: Instant,
}

impl Phase {
    fn begin(&self, step: String) {
        let mut text = lock(&self.text);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(NO_TOTAL, Ordering::Relaxed);
        *text = ProgressText { step, table: String::new(), began: Instant::now() };
    }

    fn facts(&self) -> PhaseStats {
        let text = lock(&self.text);
        let total = self.total.load(Ordering::Relaxed);
        PhaseStats {
            name: self.name.clone(),
            step: text.step.clone(),
            table: text.table.clone(),
            done: self.done.load(Ordering::Relaxed),
            total: (total != NO_TOTAL).then_some(total),
            elapsed: text.began.elapsed(),
        }
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

/// stderr as the moving line draws on it. Nothing here fails: the line is not worth an error, and the
/// drawing library would panic over one.
struct Terminal {
    sink: Sink,
    columns: usize,
    pending: Mutex<String>,
}

impl Terminal {
    fn add(&self, text: &str) {
        lock(&self.pending).push_str(text);
    }
}

impl fmt::Debug for Terminal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terminal").field("columns", &self.columns).finish_non_exhaustive()
    }
}

impl TermLike for Terminal {
    fn width(&self) -> u16 {
        u16::try_from(self.columns).unwrap_or(u16::MAX)
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.add(&cursor::step(n, 'A'));
        Ok(())
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.add(&cursor::step(n, 'B'));
        Ok(())
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.add(&cursor::step(n, 'C'));
        Ok(())
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.add(&cursor::step(n, 'D'));
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.add(text);
        self.add("\n");
        Ok(())
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.add(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        self.add(cursor::WIPE_LINE);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *lock(&self.pending));
        if !text.is_empty() {
            let _ = self.sink.write(text.as_bytes());
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
