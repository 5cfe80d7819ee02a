//! Which stack is next: one first, so many at a time, and nothing more after a failure.
//!
//! Promises: pure; every stack is begun at most once; with a canary nothing else is begun before it has
//! ended well; after a failure that stops, what is under way goes on to its end and nothing new is begun.

use std::collections::VecDeque;

/// Rule for the other stacks when one fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Begins no further stack.
    Stop,
    /// Continues with the others.
    Continue,
}

impl OnFailure {
    /// Reads `stop` or `continue`.
    pub(crate) fn parse(value: &str) -> Option<Self> {
        match value {
            "stop" => Some(Self::Stop),
            "continue" => Some(Self::Continue),
            _ => None,
        }
    }
}

/// The order of a run.
#[derive(Debug)]
pub(crate) struct Schedule {
    waiting: VecDeque<usize>,
    running: usize,
    parallel: usize,
    on_failure: OnFailure,
    /// The canary, until it has ended well.
    canary: Option<usize>,
    stopped: bool,
}

impl Schedule {
    /// For the stacks `0..count`, in this order but for the canary, at most `parallel` at a time (at least 1).
    pub(crate) fn new(count: usize, parallel: usize, canary: Option<usize>, on_failure: OnFailure) -> Self {
        let canary = canary.filter(|canary| *canary < count);
        let others = (0..count).filter(|at| Some(*at) != canary);
        Self {
            waiting: canary.into_iter().chain(others).collect(),
            running: 0,
            parallel: parallel.max(1),
            on_failure,
            canary,
            stopped: false,
        }
    }

    /// The next stack to begin now, if any; it counts as running until [`Schedule::ended`].
    pub(crate) fn begin(&mut self) -> Option<usize> {
        let limit = if self.canary.is_some() { 1 } else { self.parallel };
        if self.stopped || self.running >= limit {
            return None;
        }
        let next = self.waiting.pop_front()?;
        self.running += 1;
        Some(next)
    }

    /// That one has ended, and whether well. A canary that fails stops everything, whatever was asked:
    /// that is what it is for.
    pub(crate) fn ended(&mut self, which: usize, well: bool) {
        self.running = self.running.saturating_sub(1);
        let was_canary = self.canary == Some(which);
        if was_canary {
            self.canary = None;
        }
        if !well && (was_canary || self.on_failure == OnFailure::Stop) {
            self.stopped = true;
        }
    }

    /// Begins nothing more.
    pub(crate) fn stop(&mut self) {
        self.stopped = true;
    }

    /// Returns the stacks that were never begun, in the order of their turns.
    #[cfg(test)]
    pub(crate) fn rest(&self) -> impl Iterator<Item = usize> + '_ {
        self.waiting.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Runs to the end, ending the oldest first; gives the order of beginnings and the most at a time.
    fn play(schedule: &mut Schedule, failing: &[usize]) -> (Vec<usize>, usize) {
        let (mut order, mut running, mut most) = (Vec::new(), VecDeque::new(), 0);
        loop {
            while let Some(next) = schedule.begin() {
                order.push(next);
                running.push_back(next);
            }
            most = most.max(running.len());
            let Some(ended) = running.pop_front() else { break };
            schedule.ended(ended, !failing.contains(&ended));
        }
        (order, most)
    }

    #[test]
    fn one_after_the_other_and_nothing_after_a_failure() {
        let mut schedule = Schedule::new(5, 1, None, OnFailure::Stop);
        assert_eq!(play(&mut schedule, &[2]), (vec![0, 1, 2], 1));
        assert_eq!(schedule.rest().collect::<Vec<_>>(), [3, 4]);
    }

    #[test]
    fn or_the_others_all_the_same() {
        let mut schedule = Schedule::new(5, 2, None, OnFailure::Continue);
        assert_eq!(play(&mut schedule, &[0, 2]), (vec![0, 1, 2, 3, 4], 2));
        assert_eq!(schedule.rest().count(), 0);
    }

    #[test]
    fn the_canary_goes_first_and_alone() {
        let mut schedule = Schedule::new(4, 3, Some(2), OnFailure::Continue);
        assert_eq!(schedule.begin(), Some(2));
        assert_eq!(schedule.begin(), None, "nothing beside the canary");
        schedule.ended(2, true);
        assert_eq!(play(&mut schedule, &[]), (vec![0, 1, 3], 3));
    }

    #[test]
    fn a_dead_canary_stops_everything_whatever_was_asked() {
        let mut schedule = Schedule::new(4, 3, Some(2), OnFailure::Continue);
        assert_eq!(play(&mut schedule, &[2]), (vec![2], 1));
        assert_eq!(schedule.rest().collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn what_is_under_way_when_one_fails_comes_to_its_end() {
        let mut schedule = Schedule::new(4, 2, None, OnFailure::Stop);
        assert_eq!((schedule.begin(), schedule.begin(), schedule.begin()), (Some(0), Some(1), None));
        schedule.ended(0, false);
        assert_eq!(schedule.begin(), None);
        schedule.ended(1, true);
        assert_eq!(schedule.begin(), None);
        assert_eq!(schedule.rest().collect::<Vec<_>>(), [2, 3]);
    }

    proptest! {
        #[test]
        fn each_is_begun_once_or_left(
            count in 0_usize..24,
            parallel in 0_usize..6,
            canary in proptest::option::of(0_usize..30),
            failing in proptest::collection::vec(0_usize..24, 0..4),
            stop in any::<bool>(),
        ) {
            let on_failure = if stop { OnFailure::Stop } else { OnFailure::Continue };
            let mut schedule = Schedule::new(count, parallel, canary, on_failure);
            let (mut seen, most) = play(&mut schedule, &failing);
            prop_assert!(most <= parallel.max(1));
            if let Some(canary) = canary.filter(|canary| *canary < count) {
                prop_assert_eq!(seen[0], canary);
            }
            seen.extend(schedule.rest());
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..count).collect::<Vec<_>>());
        }
    }
}
