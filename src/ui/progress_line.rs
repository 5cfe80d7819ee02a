//! The text of a progress line: what is known of a phase, put into the columns there are.
//!
//! Promise: pure, and never wider than the terminal; what does not fit is left out, the least
//! important first.

use std::time::Duration;

use crate::text::escape::{columns, ellipsis};
use crate::text::units;

/// Facts about a phase.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PhaseStats {
    /// The stack's name where several are worked on, else empty.
    pub(crate) name: String,
    pub(crate) step: String,
    pub(crate) table: String,
    pub(crate) done: u64,
    /// Exact or estimated, in plain bytes; may turn out too small.
    pub(crate) total: Option<u64>,
    /// Since the phase began.
    pub(crate) elapsed: Duration,
}

impl PhaseStats {
    /// The line in at most `width` columns.
    pub(crate) fn line(&self, width: usize) -> String {
        let mut shown = ellipsis(&self.title(), width);
        let parts = [self.bar(), self.amount(), self.rate(), self.left()];
        let table = (!self.table.is_empty()).then(|| self.table.clone());
        for part in parts.into_iter().flatten() {
            if columns(&shown) + 2 + columns(&part) > width {
                return shown;
            }
            shown = format!("{shown}  {part}");
        }
        let available = width.saturating_sub(columns(&shown) + 2);
        match table {
            Some(table) if available >= 8 => format!("{shown}  {}", ellipsis(&table, available)),
            _ => shown,
        }
    }

    /// The line for a log, of any length: `dumping: 143.4 MB of about 1.2 GB, 48.1 MB/s, 22.0 s left`.
    pub(crate) fn log_line(&self) -> String {
        let table = (!self.table.is_empty()).then(|| self.table.clone());
        let parts = [self.amount(), self.rate(), self.left(), table];
        format!("{}: {}", self.title(), parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }

    pub(crate) fn title(&self) -> String {
        match (self.name.is_empty(), self.step.is_empty()) {
            (true, true) => "working".to_owned(),
            (true, false) => self.step.clone(),
            (false, true) => self.name.clone(),
            (false, false) => format!("{}: {}", self.name, self.step),
        }
    }

    /// The total, as long as it has not proved too small.
    fn known_total(&self) -> Option<u64> {
        self.total.filter(|total| *total > 0 && self.done <= *total)
    }

    fn bar(&self) -> Option<String> {
        const CELLS: u64 = 16;
        let total = self.known_total()?;
        let full = u128::from(self.done) * u128::from(CELLS) / u128::from(total);
        Some((0..CELLS).map(|cell| if u128::from(cell) < full { '█' } else { '░' }).collect())
    }

    fn amount(&self) -> Option<String> {
        let done = units::bytes(self.done);
        match self.known_total() {
            Some(total) => Some(format!("{done} of about {}", units::bytes(total))),
            None => (self.done > 0).then_some(done),
        }
    }

    fn rate(&self) -> Option<String> {
        if self.done == 0 || self.elapsed < Duration::from_secs(1) {
            return None;
        }
        units::rate(self.done, self.elapsed)
    }

    fn left(&self) -> Option<String> {
        let total = self.known_total()?;
        if self.done == 0 || self.elapsed < Duration::from_secs(3) {
            return None;
        }
        let seconds = self.elapsed.as_secs_f64() * (total - self.done) as f64 / self.done as f64;
        // Whole seconds: an estimate with a decimal would pretend to know.
        let left = Duration::try_from_secs_f64(seconds.round()).ok()?;
        (left > Duration::ZERO).then(|| match left.as_secs() {
            s @ 0..60 => format!("{s} s left"),
            _ => format!("{} left", units::duration(left)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dumping() -> PhaseStats {
        PhaseStats {
            step: "dumping".to_owned(),
            table: "public.orders".to_owned(),
            done: 300_000_000,
            total: Some(1_200_000_000),
            elapsed: Duration::from_secs(6),
            ..PhaseStats::default()
        }
    }

    #[test]
    fn it_fits_and_drops_the_least_important() {
        assert_eq!(
            dumping().line(100),
            "dumping  ████░░░░░░░░░░░░  300.0 MB of about 1.2 GB  50.0 MB/s  18 s left  public.orders"
        );
        assert_eq!(
            dumping().line(80),
            "dumping  ████░░░░░░░░░░░░  300.0 MB of about 1.2 GB  50.0 MB/s  18 s left"
        );
        assert_eq!(dumping().line(40), "dumping  ████░░░░░░░░░░░░");
        for width in 0..120 {
            assert!(columns(&dumping().line(width)) <= width, "{width}");
        }
    }

    #[test]
    fn a_total_that_proved_too_small_is_dropped() {
        let facts = PhaseStats { total: Some(1), table: String::new(), ..dumping() };
        assert_eq!(facts.line(80), "dumping  300.0 MB  50.0 MB/s");
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        assert_eq!(PhaseStats::default().line(80), "working");
        let facts =
            PhaseStats { name: "acme".to_owned(), step: "swapping \x1b".to_owned(), ..PhaseStats::default() };
        assert_eq!(facts.line(80), "acme: swapping \\u{1b}");
    }

    #[test]
    fn logs_get_one_sentence() {
        assert_eq!(
            dumping().log_line(),
            "dumping: 300.0 MB of about 1.2 GB, 50.0 MB/s, 18 s left, public.orders"
        );
    }
}
