//! Settings, slots and rules of a server that decide whether its data survives: values only.
//!
//! Promises: waits for no lock and reads no table of the user's; what the role may not see is left out.

use super::session::{Refusal, Session};

/// Settings of a server that decide whether its data survives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ServerDurability {
    /// Directory of the cluster; `None` where the role may not see it.
    pub(crate) data_directory: Option<String>,
    /// Path of `pg_hba.conf`; `None` where the role may not see it.
    pub(crate) hba_file: Option<String>,
    pub(crate) has_checksums: Option<bool>,
    /// Addresses that the server listens on, as configured.
    pub(crate) listen_addresses: Option<String>,
    /// True where no limit keeps a slot from filling the disk.
    pub(crate) slots_are_unlimited: bool,
    /// Replication slots that nobody reads, the twenty that retain most.
    pub(crate) slots: Vec<InactiveSlot>,
    /// Rules of `pg_hba.conf` for hosts, in their order; empty where the role may not see them.
    pub(crate) host_rules: Vec<HostRule>,
}

/// Replication slot that nobody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InactiveSlot {
    pub(crate) name: String,
    /// Bytes of WAL that the server keeps for the slot.
    pub(crate) retained: u64,
}

/// Rule of `pg_hba.conf` for hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostRule {
    pub(crate) line: String,
    /// `host`, `hostssl`, …
    pub(crate) connection: String,
    /// Databases, with commas between them.
    pub(crate) databases: String,
    /// Roles, with commas between them.
    pub(crate) roles: String,
    /// `all`, `samehost`, a name, or an address with its mask.
    pub(crate) address: String,
    pub(crate) method: String,
}

/// Fields that a version does not have are absent in the JSON and so null. A slot that a standby copies from its primary
/// (`synced`, 17) is inactive by nature.
const LOOK: &str = "\
    select 'setting', s.name::text, s.setting from pg_catalog.pg_settings s \
     where s.name in ('data_directory', 'hba_file', 'data_checksums', 'listen_addresses', 'max_slot_wal_keep_size') \
    union all \
    select * from (select 'slot', s.slot_name::text, \
           greatest(pg_catalog.pg_wal_lsn_diff(case when pg_catalog.pg_is_in_recovery() \
             then pg_catalog.pg_last_wal_replay_lsn() else pg_catalog.pg_current_wal_lsn() end, s.restart_lsn), 0)::bigint::text \
      from pg_catalog.pg_replication_slots s \
     where not s.active and not s.temporary and s.restart_lsn is not null \
       and coalesce(pg_catalog.to_jsonb(s) ->> 'synced', 'false') <> 'true' \
     order by s.restart_lsn limit 20) slots";

/// Refused to an ordinary role.
const RULES: &str = "\
    select r.line_number::text, r.type, pg_catalog.array_to_string(r.database, ','), \
           pg_catalog.array_to_string(r.user_name, ','), coalesce(r.address || coalesce('/' || r.netmask, ''), ''), \
           r.auth_method \
      from pg_catalog.pg_hba_file_rules r where r.type like 'host%' and r.error is null";

impl ServerDurability {
    /// Looks; two questions.
    pub(crate) async fn read(session: &mut Session) -> Result<Self, Refusal> {
        let mut found = Self::of_rows(session.query(LOOK).await?);
        found.host_rules = match session.query(RULES).await {
            Ok(rows) => rows.iter().map(|row| host_rule(row)).collect(),
            Err(Refusal::Sql(_)) => Vec::new(),
            Err(lost) => return Err(lost),
        };
        Ok(found)
    }

    fn of_rows(rows: Vec<Vec<String>>) -> Self {
        let mut found = Self::default();
        for row in rows {
            let [kind, name, value] = row.as_slice() else { continue };
            match (kind.as_str(), name.as_str()) {
                ("setting", "data_directory") => found.data_directory = Some(value.clone()),
                ("setting", "hba_file") => found.hba_file = Some(value.clone()),
                ("setting", "data_checksums") => found.has_checksums = Some(value == "on"),
                ("setting", "listen_addresses") => found.listen_addresses = Some(value.clone()),
                ("setting", "max_slot_wal_keep_size") => found.slots_are_unlimited = value == "-1",
                ("slot", _) => found
                    .slots
                    .push(InactiveSlot { name: name.clone(), retained: value.parse().unwrap_or(0) }),
                _ => {}
            }
        }
        found
    }
}

fn host_rule(row: &[String]) -> HostRule {
    let text = |at: usize| row.get(at).cloned().unwrap_or_default();
    HostRule {
        line: text(0),
        connection: text(1),
        databases: text(2),
        roles: text(3),
        address: text(4),
        method: text(5),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_row_goes_to_its_place() {
        let rows = [
            ["setting", "data_checksums", "off"],
            ["setting", "data_directory", "/var/lib/postgresql/data"],
            ["setting", "max_slot_wal_keep_size", "-1"],
            ["slot", "gone", "1234"],
            ["later", "", ""],
        ];
        let found = ServerDurability::of_rows(rows.iter().map(|row| row.map(str::to_owned).into()).collect());
        assert_eq!(found.has_checksums, Some(false));
        assert_eq!(found.data_directory.as_deref(), Some("/var/lib/postgresql/data"));
        assert!(found.slots_are_unlimited);
        assert_eq!(found.slots, [InactiveSlot { name: "gone".into(), retained: 1234 }]);
        assert_eq!((found.listen_addresses, found.host_rules), (None, Vec::new()));
    }
}
