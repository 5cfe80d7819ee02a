//! Bars of the operations that run, one a line, on the terminal.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{fmt, io};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use crate::sync::lock;
use crate::ui::progress_line::PhaseStats;
use crate::ui::streams::Sink;
use crate::ui::style::cursor;

/// Between two drawings of the moving line.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// In place of a total that is not known; no dump has this size.
pub(crate) const NO_TOTAL: u64 = u64::MAX;

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

    pub(super) fn start(&self, phase: &Arc<Phase>) -> Option<ProgressBar> {
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
pub(crate) struct Phase {
    pub(super) name: String,
    pub(super) done: AtomicU64,
    pub(super) total: AtomicU64,
    pub(super) text: Mutex<ProgressText>,
}

pub(crate) struct ProgressText {
    pub(super) step: String,
    pub(super) table: String,
    pub(super) began: Instant,
}

impl Phase {
    pub(super) fn begin(&self, step: String) {
        let mut text = lock(&self.text);
        self.done.store(0, Ordering::Relaxed);
        self.total.store(NO_TOTAL, Ordering::Relaxed);
        *text = ProgressText { step, table: String::new(), began: Instant::now() };
    }

    pub(super) fn facts(&self) -> PhaseStats {
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

/// stderr as the moving line draws on it. Nothing here fails: the line is not worth an error, and the
/// drawing library would panic over one.
pub(crate) struct Terminal {
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
