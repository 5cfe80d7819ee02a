//! The settings of a session that loads a database on which nobody depends yet.
//!
//! Promises: they are that session's alone; the memory for building indexes is raised and never lowered, and all
//! sessions together take no more of it than one that builds alone, twice.

use crate::postgres::session::{Refusal, Session};

/// Memory of a load session for building indexes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadSettings {
    /// `maintenance_work_mem` as the server has it, in kB.
    usual: u64,
}

/// Memory of all load sessions together, then the least and the most of each, in MB.
const TOGETHER: u64 = 512;
const EACH: std::ops::RangeInclusive<u64> = 64..=256;

impl LoadSettings {
    /// Asks the server.
    pub(crate) async fn of(session: &mut Session) -> Result<Self, Refusal> {
        let ask = "select setting from pg_catalog.pg_settings where name = 'maintenance_work_mem'";
        let usual = session.value(ask).await?.and_then(|kb| kb.parse().ok()).unwrap_or(0);
        Ok(Self { usual })
    }

    /// Returns the value of `PGOPTIONS` where `sessions` load sessions run at once. `synchronous_commit` is off: the
    /// swap commits with the server's own settings, after all loaded rows.
    pub(crate) fn options(self, sessions: usize) -> String {
        let ours = (TOGETHER / sessions.max(1) as u64).clamp(*EACH.start(), *EACH.end());
        let memory = (ours << 10 > self.usual).then(|| format!(" -c maintenance_work_mem={ours}MB"));
        format!(" -c synchronous_commit=off{}", memory.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_shared_among_sessions_and_never_lowered() {
        let usual = |mb: u64| LoadSettings { usual: mb << 10 };
        for (server, sessions, memory) in [
            (64, 1, Some("256MB")),
            (64, 2, Some("256MB")),
            (64, 4, Some("128MB")),
            (64, 6, Some("85MB")),
            (100, 6, None),
            (256, 1, None),
            (2048, 2, None),
        ] {
            let options = usual(server).options(sessions);
            assert!(options.starts_with(" -c synchronous_commit=off"), "{options}");
            let set = options.split_once("maintenance_work_mem=").map(|(_, value)| value);
            assert_eq!(set, memory, "{server} MB, {sessions} sessions");
        }
    }
}
