//! Rights that a role needs for what envctl does, as conditions in SQL.
//!
//! Promises: each condition is true for a superuser, and agrees with the server's own check in 13 to 18.

/// May end the session `a` of `pg_stat_activity` (`pg_signal_backend` in signalfuncs.c). Background workers have no role
/// and are left to the server, which ends them itself before a rename.
pub(crate) const MAY_END: &str = "coalesce((select me.rolsuper from pg_catalog.pg_roles me where me.rolname = current_user) \
     or (not coalesce((select them.rolsuper from pg_catalog.pg_roles them where them.oid = a.usesysid), true) \
         and (pg_catalog.pg_has_role(a.usesysid, 'usage') or pg_catalog.pg_has_role('pg_signal_backend', 'usage'))), false)";

/// May read the size of the database `d` of `pg_database` (`calculate_database_size` in dbsize.c).
pub(crate) const MAY_MEASURE: &str = "(pg_catalog.has_database_privilege(d.oid, 'connect') \
     or pg_catalog.pg_has_role('pg_read_all_stats', 'usage'))";
