//! Schedules the tasks of a stage over the load sessions.
//!
//! Promises: each task is handed out once, and the longest first. A task waits until the tasks before it are done.
//! A task that builds a key never runs beside another task on the same table.
//! A session waits only while another session runs a task.

use std::sync::{Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::restore::load::plan::{After, LoadTask, TaskKind};
use crate::sync::lock;

/// The parts of a stage while several sessions work on them.
pub(crate) struct TaskScheduler<'a> {
    parts: &'a [LoadTask],
    state: Mutex<SchedulerState>,
    changed: Notify,
}

struct SchedulerState {
    /// Not begun, in order.
    waiting: Vec<usize>,
    running: Vec<usize>,
    done: Vec<bool>,
    /// Parts with rows that are not done.
    rows: usize,
}

/// Answer to a session that asks for a task.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    Part(usize),
    /// Not before one that runs is done.
    Wait,
    Nothing,
}

impl<'a> TaskScheduler<'a> {
    /// Creates a scheduler with no task begun.
    pub(crate) fn new(parts: &'a [LoadTask]) -> Self {
        let rows = parts.iter().filter(|part| part.class == TaskKind::Rows).count();
        let (waiting, done) = ((0..parts.len()).collect(), vec![false; parts.len()]);
        let state = SchedulerState { waiting, running: Vec::new(), done, rows };
        Self { parts, state: Mutex::new(state), changed: Notify::new() }
    }

    /// The next part to do and its place, as soon as there is one; `None` when all are begun.
    pub(crate) async fn next(&self) -> Option<(usize, &'a LoadTask)> {
        loop {
            // Before the look, so that what changes behind it is heard of.
            let changed = self.changed.notified();
            match self.take() {
                Next::Part(at) => return Some((at, &self.parts[at])),
                Next::Nothing => return None,
                Next::Wait => changed.await,
            }
        }
    }

    /// The part at that place is done.
    pub(crate) fn done(&self, at: usize) {
        let mut state = self.state();
        state.running.retain(|running| *running != at);
        state.done[at] = true;
        state.rows -= usize::from(self.parts[at].class == TaskKind::Rows);
        drop(state);
        self.changed.notify_waiters();
    }

    fn take(&self) -> Next {
        let mut state = self.state();
        let Some(place) = state.waiting.iter().position(|at| self.may_begin(*at, &state)) else {
            return if state.waiting.is_empty() { Next::Nothing } else { Next::Wait };
        };
        let at = state.waiting.remove(place);
        state.running.push(at);
        Next::Part(at)
    }

    fn may_begin(&self, at: usize, state: &SchedulerState) -> bool {
        let part = &self.parts[at];
        let ready = match &part.after {
            After::Nothing => true,
            After::Rows => state.rows == 0,
            After::Parts(parts) => parts.iter().all(|before| state.done[*before]),
        };
        let in_the_way = |running: &usize| {
            let other = &self.parts[*running];
            other.table == part.table && (part.class == TaskKind::Key || other.class == TaskKind::Key)
        };
        ready && !state.running.iter().any(in_the_way)
    }

    fn state(&self) -> MutexGuard<'_, SchedulerState> {
        lock(&self.state)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parts() -> impl Strategy<Value = Vec<LoadTask>> {
        prop::collection::vec((0..4usize, 0..4usize), 1..30).prop_map(|drawn| {
            let mut parts: Vec<LoadTask> = Vec::new();
            for (class, table) in drawn {
                let class = [TaskKind::Rows, TaskKind::Sequences, TaskKind::Index, TaskKind::Key][class];
                // The fourth is one that nobody knows.
                let table = (table < 3).then(|| format!("t{table}"));
                let (name, range, after) = (String::new(), 0..1, After::Nothing);
                parts.push(LoadTask { range, name, class, copies: Vec::new(), table, after });
            }
            crate::restore::load::plan::order(&mut parts);
            parts
        })
    }

    proptest! {
        #[test]
        fn each_part_is_done_once_behind_what_it_needs_and_nobody_is_stuck(
            parts in parts(), sessions in 1..5usize, ends in prop::collection::vec(0..5usize, 60)
        ) {
            let scheduler = TaskScheduler::new(&parts);
            let (mut running, mut done): (Vec<usize>, Vec<usize>) = (Vec::new(), Vec::new());
            let mut ends = ends.into_iter();
            loop {
                let next = if running.len() < sessions { scheduler.take() } else { Next::Wait };
                match next {
                    Next::Part(at) => {
                        let part = &parts[at];
                        prop_assert!(!running.contains(&at) && !done.contains(&at));
                        if part.class.builds() {
                            let needed = |rows: &&usize| {
                                let rows = &parts[**rows];
                                rows.class == TaskKind::Rows && (part.table.is_none() || rows.table == part.table)
                            };
                            let all: Vec<usize> = (0..parts.len()).collect();
                            prop_assert!(all.iter().filter(needed).all(|rows| done.contains(rows)));
                        }
                        for other in &running {
                            let keys = part.class == TaskKind::Key || parts[*other].class == TaskKind::Key;
                            prop_assert!(!keys || parts[*other].table != part.table);
                        }
                        running.push(at);
                    }
                    Next::Wait => {
                        prop_assert!(!running.is_empty(), "everybody waits and nothing runs");
                        let at = running.remove(ends.next().unwrap_or(0) % running.len());
                        scheduler.done(at);
                        done.push(at);
                    }
                    Next::Nothing if running.is_empty() => break,
                    Next::Nothing => {
                        let at = running.remove(0);
                        scheduler.done(at);
                        done.push(at);
                    }
                }
            }
            prop_assert_eq!(done.len(), parts.len());
        }
    }

    #[tokio::test]
    async fn who_waits_is_woken_when_the_rows_are_in() {
        let part = |class, table: &str| LoadTask {
            range: 0..1,
            name: String::new(),
            class,
            copies: Vec::new(),
            table: Some(table.to_owned()),
            after: After::Nothing,
        };
        let mut parts = vec![part(TaskKind::Rows, "a"), part(TaskKind::Index, "a")];
        crate::restore::load::plan::order(&mut parts);
        let scheduler = TaskScheduler::new(&parts);
        let (rows, _) = scheduler.next().await.unwrap();
        let (waited, ()) = tokio::join!(scheduler.next(), async {
            tokio::task::yield_now().await;
            scheduler.done(rows);
        });
        assert_eq!(waited.unwrap().1.class, TaskKind::Index);
        assert!(scheduler.next().await.is_none());
    }
}
