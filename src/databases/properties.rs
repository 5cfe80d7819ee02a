//! Properties of a database besides its content: read from one database, written as SQL for another.
//!
//! A dump without `-C` holds no such property, and a swap by rename would lose each (reliability §3.2): owner, access
//! rights, connection limit, comment, security labels, `ALTER DATABASE … SET`, `ALTER ROLE … IN DATABASE … SET`.

use crate::postgres::session::{Refusal, Session};
use crate::postgres::version::ServerVersion;
use crate::text::sql_quote::{ident, literal};

/// Everything [`Properties::create`] and [`Properties::alter`] need.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Properties {
    pub(crate) owner: String,
    pub(crate) encoding: String,
    collate: String,
    ctype: String,
    provider: String,
    locale: String,
    icu_rules: String,
    /// Tablespace of the database.
    pub(crate) tablespace: String,
    /// Statements with `%DB%` where the database's quoted name goes.
    statements: Vec<String>,
}

/// The tablespace of a database that is made without naming one: that of its template.
pub(crate) const USUAL_TABLESPACE: &str = "select t.spcname from pg_catalog.pg_database d \
     join pg_catalog.pg_tablespace t on t.oid = d.dattablespace where d.datname = 'template0'";

/// Stands for the database's name in the statements that the server writes for us. It is a quoted
/// identifier no database can have: names hold at most 63 bytes.
fn placeholder() -> String {
    "envctl_placeholder_".repeat(5)
}

impl Properties {
    /// Reads them; `session` may be in any database of the server.
    ///
    /// # Errors
    /// See [`Session::query`]; `Ok(None)` when there is no such database.
    pub(crate) async fn read(
        session: &mut Session,
        version: &ServerVersion,
        database: &str,
    ) -> Result<Option<Self>, Refusal> {
        let name = literal(database);
        let provider = if version.has_locale_provider() { "d.datlocprovider::text" } else { "'c'" };
        let locale =
            version.locale_column().map_or_else(|| "''".to_owned(), |c| format!("coalesce(d.{c}, '')"));
        let rules = if version.has_icu_rules() { "coalesce(d.daticurules, '')" } else { "''" };
        let rows = session
            .query(&format!(
                "select pg_catalog.pg_get_userbyid(d.datdba), pg_catalog.pg_encoding_to_char(d.encoding), \
                        d.datcollate, d.datctype, {provider}, {locale}, {rules}, t.spcname, \
                        d.datconnlimit, d.datistemplate, d.datallowconn \
                 from pg_catalog.pg_database d join pg_catalog.pg_tablespace t on t.oid = d.dattablespace \
                 where d.datname = {name}"
            ))
            .await?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let [
            owner,
            encoding,
            collate,
            ctype,
            provider,
            locale,
            icu_rules,
            tablespace,
            limit,
            template,
            _allow,
        ] = <[String; 11]>::try_from(row).unwrap_or_default();
        let mut statements = vec![format!("ALTER DATABASE %DB% OWNER TO {}", ident(&owner))];
        statements.push(format!("ALTER DATABASE %DB% CONNECTION LIMIT {limit}"));
        if template == "t" {
            statements.push("ALTER DATABASE %DB% IS_TEMPLATE true".to_owned());
        }
        let written = session.column(&written_by_server(&name)).await?;
        let placeholder = ident(&placeholder());
        statements.extend(written.into_iter().map(|s| s.replace(&placeholder, "%DB%")));
        Ok(Some(Self {
            owner,
            encoding,
            collate,
            ctype,
            provider,
            locale,
            icu_rules,
            tablespace,
            statements,
        }))
    }

    /// `CREATE DATABASE` for an empty one of the same kind: encoding, locale, provider, tablespace. From
    /// `template0`: anything else would bring its own objects. A tablespace that is `usual` is left out: to name even the
    /// default one takes a right that an owner need not have.
    pub(crate) fn create(&self, database: &str, usual: &str) -> String {
        let mut sql = format!(
            "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
            ident(database),
            literal(&self.encoding),
            literal(&self.collate),
            literal(&self.ctype),
        );
        if self.tablespace != usual && !self.tablespace.is_empty() {
            sql.push_str(&format!(" TABLESPACE {}", ident(&self.tablespace)));
        }
        let provider = match self.provider.as_str() {
            "i" => Some(("icu", "ICU_LOCALE")),
            "b" => Some(("builtin", "BUILTIN_LOCALE")),
            _ => None,
        };
        if let Some((provider, option)) = provider {
            sql.push_str(&format!(" LOCALE_PROVIDER {provider} {option} {}", literal(&self.locale)));
            if !self.icu_rules.is_empty() {
                sql.push_str(&format!(" ICU_RULES {}", literal(&self.icu_rules)));
            }
        }
        sql
    }

    /// Returns the properties with another encoding, and with the locale C where the present locale may not fit the
    /// encoding.
    #[must_use]
    pub(crate) fn in_encoding(mut self, encoding: &str) -> Self {
        if self.encoding == encoding {
            return self;
        }
        encoding.clone_into(&mut self.encoding);
        let any = |name: &str| matches!(name, "C" | "POSIX");
        if self.provider != "c" || !any(&self.collate) || !any(&self.ctype) {
            "C".clone_into(&mut self.collate);
            "C".clone_into(&mut self.ctype);
            "c".clone_into(&mut self.provider);
            self.locale.clear();
            self.icu_rules.clear();
        }
        self
    }

    /// The statements that give `database` these properties, in an order that works in one transaction.
    pub(crate) fn alter(&self, database: &str) -> Vec<String> {
        let name = ident(database);
        self.statements.iter().map(|statement| statement.replacen("%DB%", &name, 1)).collect()
    }
}

/// Lets the server write the statements: it knows how to quote what it holds. Rights first revoke all
/// from everybody that has a default, then grant as they are.
fn written_by_server(name: &str) -> String {
    let db = literal(&ident(&placeholder()));
    format!(
        r"with d as (select oid, datname, datdba, coalesce(datacl, acldefault('d', datdba)) as acl
                     from pg_catalog.pg_database where datname = {name}),
          steps as (
            select 1 as step, 0::bigint as n, 'REVOKE ALL ON DATABASE ' || {db} || ' FROM PUBLIC' as sql from d
            union all
            select 2, row_number() over (), format('REVOKE ALL ON DATABASE %s FROM %I', {db}, pg_get_userbyid(datdba)) from d
            union all
            select 3, row_number() over (),
                   format('GRANT %s ON DATABASE %s TO %s%s', a.privilege_type, {db},
                          case when a.grantee = 0 then 'PUBLIC' else quote_ident(pg_get_userbyid(a.grantee)) end,
                          case when a.is_grantable then ' WITH GRANT OPTION' else '' end)
            from d, lateral aclexplode(d.acl) a
            union all
            select 4, 1, format('COMMENT ON DATABASE %s IS %s', {db}, coalesce(quote_literal(s.description), 'NULL'))
            from d left join pg_catalog.pg_shdescription s on s.objoid = d.oid and s.classoid = 'pg_catalog.pg_database'::regclass
            union all
            select 5, row_number() over (), format('SECURITY LABEL FOR %I ON DATABASE %s IS %L', l.provider, {db}, l.label)
            from d join pg_catalog.pg_shseclabel l on l.objoid = d.oid and l.classoid = 'pg_catalog.pg_database'::regclass
            union all
            select 6, row_number() over (order by r.setrole, c.ordinality),
                   case when r.setrole = 0 then format('ALTER DATABASE %s SET ', {db})
                        else format('ALTER ROLE %I IN DATABASE %s SET ', pg_get_userbyid(r.setrole), {db}) end
                   || quote_ident(split_part(c.setting, '=', 1)) || ' TO '
                   || case when lower(split_part(c.setting, '=', 1)) in ({LIST_SETTINGS})
                           then substr(c.setting, strpos(c.setting, '=') + 1)
                           else quote_literal(substr(c.setting, strpos(c.setting, '=') + 1)) end
            from d join pg_catalog.pg_db_role_setting r on r.setdatabase = d.oid,
                 lateral unnest(r.setconfig) with ordinality c(setting, ordinality))
          select sql from steps order by step, n"
    )
}

/// Settings whose stored value is already a list of quoted names (`GUC_LIST_QUOTE` in guc_tables.c);
/// quoting the whole would make one name of them.
const LIST_SETTINGS: &str = "'search_path', 'temp_tablespaces', 'session_preload_libraries', \
                             'shared_preload_libraries', 'local_preload_libraries', 'unix_socket_directories'";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_of_another_locale_is_created_alike() {
        let properties = Properties {
            encoding: "UTF8".into(),
            collate: "C".into(),
            ctype: "C.UTF-8".into(),
            provider: "i".into(),
            locale: "de-u-co-phonebk".into(),
            tablespace: "pg_default".into(),
            ..Properties::default()
        };
        assert_eq!(
            properties.create("a\"b", "fast"),
            "CREATE DATABASE \"a\"\"b\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C.UTF-8' \
             TABLESPACE \"pg_default\" LOCALE_PROVIDER icu ICU_LOCALE 'de-u-co-phonebk'"
        );
        assert!(
            !properties.create("a", "pg_default").contains("TABLESPACE"),
            "the default tablespace is not named"
        );
    }

    #[test]
    fn another_encoding_takes_the_locale_that_goes_with_any() {
        let german = Properties {
            encoding: "UTF8".into(),
            collate: "de_DE.UTF-8".into(),
            ctype: "de_DE.UTF-8".into(),
            provider: "i".into(),
            locale: "de".into(),
            ..Properties::default()
        };
        assert_eq!(german.clone().in_encoding("UTF8"), german);
        assert_eq!(
            german.in_encoding("EUC_JP").create("a", ""),
            "CREATE DATABASE \"a\" TEMPLATE template0 ENCODING 'EUC_JP' LC_COLLATE 'C' LC_CTYPE 'C'"
        );
    }

    #[test]
    fn the_name_is_put_in_once() {
        let properties = Properties {
            statements: vec!["COMMENT ON DATABASE %DB% IS '%DB%'".into()],
            ..Properties::default()
        };
        assert_eq!(properties.alter("x"), ["COMMENT ON DATABASE \"x\" IS '%DB%'"]);
    }
}
