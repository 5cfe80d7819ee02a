//! The look before a restore: what would fail, and what a swap would silently lose.
//!
//! Promise: nothing is changed; what is refused here would have failed later or lost something (each
//! case seen, reliability F37–F47).

use std::fmt;

use super::privileges::{MAY_END, MAY_MEASURE};
use super::session::Session;
use super::version::ServerVersion;
use crate::docker::{Container, ExecSpec};
use crate::error::{self, Error, Result};
use crate::postgres::connections::ConnectionGroup;
use crate::text::encoding::{Fit, Pair, Text, has_bytes};
use crate::text::shell_word::quoted;
use crate::text::sql_quote::{ident, literal};

/// Requirements of the dump on the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct DumpRequirements {
    /// Major version of the server that was dumped.
    pub(crate) server_major: Option<u32>,
    /// True where the dump begins with `\restrict`.
    pub(crate) restrict: bool,
    pub(crate) roles: Vec<String>,
    /// Extensions it creates.
    pub(crate) extensions: Vec<String>,
    pub(crate) tablespaces: Vec<String>,
    /// The encoding that its text is in.
    pub(crate) encoding: Option<String>,
    /// Kind of the dump's text, by its bytes.
    pub(crate) text: Text,
    /// Bytes of SQL.
    pub(crate) bytes: u64,
    /// Settings it sets.
    pub(crate) settings: Vec<String>,
    /// Owners are left out.
    pub(crate) no_owner: bool,
    /// Privileges are left out.
    pub(crate) no_privileges: bool,
    /// The command as it was typed, for a hint that adds to it.
    pub(crate) command: String,
}

/// Model of a database that does not exist yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CreateFrom {
    /// Another one.
    Database(String),
    /// Properties in the backup, of which this is the encoding.
    Encoding(String),
}

impl fmt::Display for CreateFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Database(name) => write!(f, "{name:?}"),
            Self::Encoding(_) => f.write_str("the backup"),
        }
    }
}

/// Findings about the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// The target's size now, in bytes; 0 where it is not there.
    pub(crate) size: u64,
    /// Connected sessions of the target.
    pub(crate) sessions: Vec<ConnectionGroup>,
    /// Worth knowing, no obstacle.
    pub(crate) warnings: Vec<String>,
    /// Encoding in which a database that is not there is made, where it differs from its model's.
    pub(crate) new_encoding: Option<String>,
    /// PGDATA, where the role may know it.
    pub(crate) data_directory: Option<String>,
    /// Settings of the dump that the server does not know.
    pub(crate) unknown_settings: Vec<String>,
    /// The role may not create databases and owns this one: it may fill it if it is empty.
    pub(crate) in_place: bool,
}

/// Looks at the server and at `database`; `session` is in another one. Where it is not there it will be made `like`.
///
/// # Errors
/// Kind `Refused`, with what to do.
pub(crate) async fn look(
    session: &mut Session,
    (database, like): (&str, &CreateFrom),
    needs: Option<&DumpRequirements>,
) -> Result<(bool, ServerVersion, Findings)> {
    let rows = session
        .query(&format!(
            "select current_setting('server_version_num'), current_setting('server_version'), \
                    (select rolsuper or rolcreatedb from pg_catalog.pg_roles where rolname = current_user), \
                    coalesce((select oid::text from pg_catalog.pg_database where datname = {0}), ''), \
                    coalesce((select pg_catalog.pg_database_size(d.oid) from pg_catalog.pg_database d \
                              where d.datname = {0} and {MAY_MEASURE}), 0), \
                    pg_catalog.pg_is_in_recovery(), \
                    coalesce((select setting from pg_catalog.pg_settings where name = 'data_directory'), '')",
            literal(database)
        ))
        .await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let [num, text, creates, oid, size, recovery, data] = <[String; 7]>::try_from(row).unwrap_or_default();
    let version = ServerVersion::new(num.parse().unwrap_or(0), &text);
    if recovery == "t" {
        return Err(error::refused("this server is a replica and takes no writes")
            .hint("pick the primary: `--index N`"));
    }
    let in_place = creates != "t";
    if in_place && (oid.is_empty() || owns(session, database).await.is_err()) {
        return Err(may_not_create(&session.access().user));
    }
    owns(session, database).await?;
    let mut findings = Findings {
        size: size.parse().unwrap_or(0),
        data_directory: Some(data).filter(|data| !data.is_empty()),
        in_place,
        ..Findings::default()
    };
    if !oid.is_empty() && !in_place {
        replaceable(session, database).await?;
        findings.sessions = ConnectionGroup::of(session, database).await?;
        findings.warnings.extend(kept(session).await?);
        findings.warnings.extend(beyond_reach(session, database, &version).await?);
    }
    let newer: Vec<String> = NEWER_SETTINGS.iter().map(|name| (*name).to_owned()).collect();
    findings.unknown_settings =
        unknown_settings(session, needs.map_or(&newer, |needs| &needs.settings)).await?;
    if let Some(needs) = needs {
        provided(session, needs, &version, &mut findings).await?;
        let there = CreateFrom::Database(database.to_owned());
        let model = if oid.is_empty() { like } else { &there };
        if let Some(dump) = &needs.encoding {
            let is_new = oid.is_empty() && matches!(like, CreateFrom::Database(_));
            let warnings = &mut findings.warnings;
            findings.new_encoding = encoding(session, (model, is_new), (dump, needs.text), warnings).await?;
        }
    }
    Ok((!oid.is_empty(), version, findings))
}

fn list(rows: Vec<Vec<String>>) -> String {
    rows.into_iter().filter_map(|row| row.into_iter().next()).collect::<Vec<_>>().join(", ")
}

/// Checks that a database can be renamed: no prepared transaction holds the database.
///
/// # Errors
/// Kind `Refused`, naming them.
pub(crate) async fn renamable(session: &mut Session, database: &str) -> Result<()> {
    let name = literal(database);
    let prepared = session
        .query(&format!("select format('%L (owner %s)', gid, owner) from pg_catalog.pg_prepared_xacts where database = {name}"))
        .await?;
    if prepared.is_empty() {
        return Ok(());
    }
    Err(error::refused(format!("database {database:?} has prepared transactions: {}", list(prepared)))
        .hint("end each, they block the swap: `COMMIT PREPARED 'id'` or `ROLLBACK PREPARED 'id'`"))
}

/// Checks that nothing makes the swap of the database fail or is lost with the previous database.
///
/// # Errors
/// Kind `Refused`, with what to do.
pub(crate) async fn replaceable(session: &mut Session, database: &str) -> Result<()> {
    renamable(session, database).await?;
    let name = literal(database);
    let slots = session
        .query(&format!("select slot_name from pg_catalog.pg_replication_slots where database = {name}"))
        .await?;
    if !slots.is_empty() {
        return Err(error::refused(format!("database {database:?} has logical replication slots: {}", list(slots)))
            .hint("drop them and set the consumers up again after the restore: they would stay with the previous database, and its consumers would see nothing new"));
    }
    // Not readable by every role; then the rename itself decides.
    let subscriptions = session
        .query(&format!("select subname from pg_catalog.pg_subscription where subdbid = (select oid from pg_catalog.pg_database where datname = {name})"))
        .await
        .unwrap_or_default();
    if !subscriptions.is_empty() {
        return Err(error::refused(format!("database {database:?} has subscriptions: {}", list(subscriptions)))
            .hint("drop them first (`DROP SUBSCRIPTION`) and create them again after the restore: they would go on writing into the previous database"));
    }
    Ok(())
}

/// Checks what becomes of the dump's text in the database, see [`Fit`]. A database that is not there and of which nothing is
/// known is made in the dump's encoding; gives that where it is not the one of the database it is modelled on.
///
/// # Errors
/// Kind `Refused`: the server would keep bytes that are not of the database's encoding, or cannot convert.
pub(crate) async fn encoding(
    session: &mut Session,
    (model, is_new): (&CreateFrom, bool),
    (dump, text): (&str, Text),
    warnings: &mut Vec<String>,
) -> Result<Option<String>> {
    let there = match model {
        CreateFrom::Database(name) => format!(
            "(select pg_catalog.pg_encoding_to_char(encoding) from pg_catalog.pg_database where datname = {})",
            literal(name)
        ),
        CreateFrom::Encoding(encoding) => literal(encoding),
    };
    // The numbers up to 34 are those of encodings that a database can have (`PG_ENCODING_BE_LAST` in pg_wchar.h).
    let ask = format!(
        "select coalesce({there}, ''), pg_catalog.pg_encoding_to_char(pg_catalog.pg_char_to_encoding({0})), \
                pg_catalog.pg_char_to_encoding({0}) between 0 and 34, \
                exists (select from pg_catalog.pg_conversion where condefault \
                          and conforencoding = pg_catalog.pg_char_to_encoding({0}) \
                          and contoencoding = pg_catalog.pg_char_to_encoding({there}))",
        literal(dump)
    );
    let rows = session.query(&ask).await?;
    let row = rows.into_iter().next().unwrap_or_default();
    let Ok([database, dump, of_servers, converts]) = <[String; 4]>::try_from(row) else { return Ok(None) };
    if dump.is_empty() || database.is_empty() || dump == database {
        return Ok(None);
    }
    if is_new && of_servers == "t" {
        warnings.push(format!("the database is made in {dump}, as the dump is, and with the locale C unless that of {model} goes with it"));
        return Ok(Some(dump));
    }
    match (Pair { dump: &dump, text, database: &database, converts: converts == "t" }).fit() {
        Fit::Same => {}
        Fit::Converted if database == "UTF8" => {}
        Fit::Converted => warnings.push(format!(
            "the dump is in {dump}, the database in {database}: the restore stops, without changes, at a character that {database} cannot store"
        )),
        Fit::Unfit(why) => {
            return Err(error::refused(why).hint(format!(
                "restore it into a new database, which is made in {dump}: `--into NAME`"
            )));
        }
    }
    Ok(None)
}

/// Checks that this role may swap `database`: it creates databases, and owns this one.
///
/// # Errors
/// Kind `Refused`, naming the right that is missing.
pub(crate) async fn may_swap(session: &mut Session, database: &str) -> Result<()> {
    let ask = "select rolsuper or rolcreatedb from pg_catalog.pg_roles where rolname = current_user";
    if session.value(ask).await?.as_deref() == Some("f") {
        return Err(may_not_create(&session.access().user));
    }
    owns(session, database).await
}

/// The refusal of a restore by a role without CREATEDB.
pub(crate) fn may_not_create(role: &str) -> Error {
    error::refused(format!(
        "the role {role} may not create databases, and a restore loads into a new one and swaps"
    ))
    .hint(format!(
        "let a superuser run `ALTER ROLE {} CREATEDB`, or name another role in envctl.toml: `[database] user = \"…\"`",
        ident(role)
    ))
}

/// Checks that this role may rename `database`, where it is there.
async fn owns(session: &mut Session, database: &str) -> Result<()> {
    let ask = format!(
        "select pg_catalog.pg_get_userbyid(datdba) from pg_catalog.pg_database \
         where datname = {} and not pg_catalog.pg_has_role(datdba, 'usage')",
        literal(database)
    );
    let Some(owner) = session.value(&ask).await? else { return Ok(()) };
    let role = &session.access().user;
    Err(error::refused(format!(
        "database {database:?} belongs to the role {owner}, and the role {role} may not rename it"
    ))
    .hint(format!(
        "let a superuser run `ALTER DATABASE {} OWNER TO {}`, or name the owner in envctl.toml: `[database] user = \"{owner}\"`",
        ident(database),
        ident(role)
    )))
}

/// Warns of what this role may not do at the swap: end sessions of other roles, and copy settings that take a superuser.
/// The names of settings are told and their values are not.
pub(crate) async fn beyond_reach(
    session: &mut Session,
    database: &str,
    version: &ServerVersion,
) -> Result<Vec<String>> {
    let name = literal(database);
    let may_set = if version.grants_parameters() {
        "pg_catalog.has_parameter_privilege(p.name, 'set')"
    } else {
        "false"
    };
    let me = session.access().user.clone();
    let mut warnings = Vec::new();
    let stay = session
        .query(&format!(
            "select count(*), pg_catalog.string_agg(distinct a.usename::text, ', ') from pg_catalog.pg_stat_activity a \
             where a.datname = {name} and a.usesysid is not null and a.pid <> pg_catalog.pg_backend_pid() and not {MAY_END} \
             having count(*) > 0"
        ))
        .await?;
    for row in stay {
        let [count, roles] = <[String; 2]>::try_from(row).unwrap_or_default();
        warnings.push(format!(
            "the role {me} may not end {count} of the connected sessions (of {roles}): unless they leave, nothing is \
             swapped; a superuser allows it with `GRANT pg_signal_backend TO {}`",
            ident(&me)
        ));
    }
    let settings = session
        .query(&format!(
            "select case when r.setrole = 0 then s.name else pg_catalog.format('%s of role %s', s.name, pg_catalog.pg_get_userbyid(r.setrole)) end \
             from pg_catalog.pg_db_role_setting r \
             join pg_catalog.pg_database d on d.oid = r.setdatabase and d.datname = {name}, \
             lateral (select pg_catalog.split_part(c, '=', 1) from pg_catalog.unnest(r.setconfig) c) s (name) \
             left join pg_catalog.pg_settings p on p.name = s.name, \
             pg_catalog.pg_roles me \
             where me.rolname = current_user and not me.rolsuper \
               and (r.setrole not in (0, me.oid) and not me.rolcreaterole \
                    or p.context in ('superuser', 'superuser-backend') and not {may_set}) \
             order by 1"
        ))
        .await?;
    if !settings.is_empty() {
        warnings.push(format!(
            "settings of the database that the role {me} may not copy, a superuser may: {}",
            list(settings)
        ));
    }
    Ok(warnings)
}

/// Replaced databases that are still there: each is as large as a whole one.
async fn kept(session: &mut Session) -> Result<Option<String>> {
    let rows = session
        .query(
            &format!("select count(*), pg_catalog.pg_size_pretty(coalesce(sum(pg_catalog.pg_database_size(d.oid)) filter (where {MAY_MEASURE}), 0)) \
             from pg_catalog.pg_database d where d.datname like 'envctl\\_old\\_%'"),
        )
        .await?;
    Ok(match rows.first().map(Vec::as_slice) {
        Some([count, size]) if count != "0" => Some(format!(
            "{count} previous databases of earlier restores ({size}); list and drop them: `envctl restore previous`"
        )),
        _ => None,
    })
}

/// Checks that the server has the roles, extensions and tablespaces that the dump names.
async fn provided(
    session: &mut Session,
    needs: &DumpRequirements,
    version: &ServerVersion,
    findings: &mut Findings,
) -> Result<()> {
    if needs.restrict && !version.psql_knows_restrict() {
        return Err(error::refused(format!(
            "the dump begins with `\\restrict`, which the psql of PostgreSQL {version} does not know"
        ))
        .hint("update the server's image: 17.6, 16.10, 15.14, 14.19, 13.22 or later know it"));
    }
    if let Some(from) = needs.server_major.filter(|from| *from > version.major()) {
        findings.warnings.push(format!("the dump is of PostgreSQL {from}, the server is {}: a statement may be refused, and then nothing is changed", version.major()));
    }
    let roles = missing(session, &needs.roles, "select rolname from pg_catalog.pg_roles").await?;
    let extensions =
        missing(session, &needs.extensions, "select name from pg_catalog.pg_available_extensions").await?;
    if !roles.is_empty() || !extensions.is_empty() {
        return Err(lacking(&roles, &extensions, needs, &session.access().user));
    }
    let missing =
        missing(session, &needs.tablespaces, "select spcname from pg_catalog.pg_tablespace").await?;
    if !missing.is_empty() {
        return Err(error::refused(format!(
            "tablespaces that the dump names do not exist: {}",
            missing.join(", ")
        ))
        .hint("create them, or dump with `--no-tablespaces`"));
    }
    Ok(())
}

/// An option once for each value, with a space before it.
fn options(name: &str, values: impl Iterator<Item = String>) -> String {
    values.fold(String::new(), |all, value| format!("{all} --{name} {}", quoted(&value)))
}

/// The refusal of a dump that names roles or extensions that the server has not, with the command that restores it.
fn lacking(roles: &[String], extensions: &[String], needs: &DumpRequirements, user: &str) -> Error {
    let mut lacks = Vec::new();
    if !roles.is_empty() {
        lacks.push(format!("roles that the dump names do not exist: {}", roles.join(", ")));
    }
    if !extensions.is_empty() {
        lacks.push(format!(
            "extensions that the dump creates are not installed on the server: {}",
            extensions.join(", ")
        ));
    }
    let skipped = options("skip-extension", extensions.iter().cloned());
    let mapped = options("role-map", roles.iter().map(|name| format!("{name}={user}")));
    let mut error = error::refused(lacks.join("\n"));
    let command = &needs.command;
    let leaves_out = needs.no_owner && needs.no_privileges;
    if !roles.is_empty() && !leaves_out {
        let no_owner = if needs.no_owner { "" } else { " --no-owner" };
        let no_privileges = if needs.no_privileges { "" } else { " --no-privileges" };
        error = error.hint(format!(
            "restore it without its owners and privileges: `{command}{no_owner}{no_privileges}{skipped}`"
        ));
    }
    if !roles.is_empty() {
        error = error.hint(format!("write {user:?} in their place: `{command}{mapped}{skipped}`"));
        let created: Vec<String> = roles.iter().map(|name| format!("CREATE ROLE {};", ident(name))).collect();
        error = error.hint(format!("create them first: `envctl psql -c {}`", quoted(&created.join(" "))));
    }
    if !extensions.is_empty() {
        if roles.is_empty() {
            error = error
                .hint(format!("leave them out, if nothing in the dump needs them: `{command}{skipped}`"));
        }
        error = error.hint("use a database image that has them, e.g. the one the dump was made from");
    }
    error
}

/// Settings that pg_dump writes for newer servers, asked for where the dump cannot be read before it is loaded.
const NEWER_SETTINGS: &[&str] = &[
    "idle_in_transaction_session_timeout",
    "row_security",
    "transaction_timeout",
    "default_table_access_method",
];

/// Returns those of these settings that the server does not know. `pg_settings` hides a few that it takes.
async fn unknown_settings(session: &mut Session, names: &[String]) -> Result<Vec<String>> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let values: Vec<String> = names.iter().map(|name| format!("({})", literal(name))).collect();
    let sql = format!(
        "select n.name from (values {}) n(name) \
         where not case when exists (select from pg_catalog.pg_settings s where s.name = lower(n.name)) then true \
                        else pg_catalog.current_setting(n.name, true) is not null end order by 1",
        values.join(", ")
    );
    Ok(session.column(&sql).await?)
}

async fn missing(session: &mut Session, names: &[String], known: &str) -> Result<Vec<String>> {
    // A name in an encoding that nobody knows cannot be looked up from another database.
    let values = names.iter().filter(|name| !has_bytes(name)).map(|name| format!("({})", literal(name)));
    let values: Vec<String> = values.collect();
    if values.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "select n.name from (values {}) n(name) where n.name not in ({known}) and n.name <> '' order by 1",
        values.join(", ")
    );
    Ok(session.column(&sql).await?)
}

/// Checks with `df` that the server's disk can hold a second copy. Succeeds where `df` does not answer.
///
/// # Errors
/// Kind `Refused`: the disk has less free space than needed.
pub(crate) async fn space(container: &Container, data: Option<&str>, needed: u64) -> Result<()> {
    let Some(data) = data else { return Ok(()) };
    let spec = ExecSpec::new(["df", "-Pk", "--", data]);
    let Ok(answer) = container.capture(&spec, None).await else { return Ok(()) };
    let free =
        answer.text().lines().nth(1).and_then(|line| line.split_whitespace().nth(3)?.parse::<u64>().ok());
    match free.map(|kib| kib * 1024) {
        Some(free) if answer.exit_code == 0 && free < needed => Err(error::refused(format!(
            "the server's disk has {free} bytes free and the restore needs about {needed}: the previous database stays until the new one is in place"
        ))
        .hint("free some space; list the previous databases, which can be dropped: `envctl restore previous`")),
        _ => Ok(()),
    }
}
