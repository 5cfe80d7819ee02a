//! Hostile files of unknown origin: none runs a program, reads or writes a file of the server, or changes what is outside
//! of its database (Y2).
//!
//! Two kinds of attacks. Those of the first are code that runs while a dump is restored: every act below, called from
//! every place that PostgreSQL evaluates; an act that fails is swallowed, so that one dump tries them all. Those of the
//! second are statements of their own, each in a file of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use crate::support::rig::{Server, Wanted};
use crate::support::timing::is_long;
use crate::support::{Project, pairs};

/// Statements that hostile code tries; `%W` is a file that only a successful attack makes, `%C` the place it is called from.
const ACTS: &[&str] = &[
    "copy (select 1) to program 'touch %W'",
    "copy (select 1) to '%W'",
    "select pg_catalog.lo_export(pg_catalog.lo_from_bytea(0, 'x'), '%W')",
    "insert into public.loot select '%C', pg_read_file('/etc/passwd')",
    "insert into public.loot select '%C', pg_catalog.encode(pg_read_binary_file('PG_VERSION'), 'hex')",
    "insert into public.loot select '%C', pg_ls_dir('.')",
    "insert into public.loot select '%C', name from pg_ls_logdir()",
    "insert into public.loot select '%C', name from pg_ls_waldir()",
    "insert into public.loot select '%C', auth_method from pg_hba_file_rules()",
    "insert into public.loot select '%C', setting from pg_catalog.pg_file_settings",
    "insert into public.loot select '%C', size::text from pg_stat_file('PG_VERSION')",
    "insert into public.loot select '%C', rolpassword from pg_catalog.pg_authid where rolpassword is not null",
    "insert into public.loot select '%C', pg_catalog.lo_get(pg_catalog.lo_import('/etc/passwd'))::text",
    "create table if not exists public.loot_file (line text); copy public.loot_file from '/etc/passwd'",
    "reset session authorization; copy (select 1) to program 'touch %W'",
    "reset role; copy (select 1) to program 'touch %W'",
    "set role postgres; copy (select 1) to program 'touch %W'",
    "set session authorization postgres; copy (select 1) to program 'touch %W'",
    "alter role current_user superuser",
    "alter role current_user createrole replication bypassrls",
    "grant pg_execute_server_program to current_user",
    "grant pg_read_server_files, pg_write_server_files to current_user",
    "create role pwned superuser login",
    "update pg_catalog.pg_authid set rolsuper = true",
    "update pg_catalog.pg_proc set prolang = 13 where proname = 'act'",
    "create function public.c_code(text) returns int language c as 'libc.so.6', 'system'",
    "create function public.internal_code() returns int language internal as 'pg_read_file_all'",
    "create extension file_fdw",
    "create extension dblink",
    "create extension postgres_fdw",
    "create extension adminpack",
    "load 'auto_explain'",
    "select pg_catalog.set_config('session_preload_libraries', 'evil', false); create table public.loot_library ()",
    "do 'begin execute ''alter database ' || current_database() || ' set session_preload_libraries = evil''; end'",
    "do 'begin execute ''alter database ' || current_database() || ' set search_path = evil''; end'",
    "select pg_create_physical_replication_slot('pwned')",
    "create subscription pwned connection 'dbname=postgres' publication p with (connect = false)",
    "create publication pwned for all tables",
    "create event trigger pwned on ddl_command_start execute function public.fires_event()",
    "create tablespace pwned location '/tmp'",
    "select pg_catalog.pg_reload_conf(); create table public.loot_reload ()",
    "select pg_catalog.pg_promote(); create table public.loot_promote ()",
    "select pg_catalog.set_config('standard_conforming_strings', 'off', false)",
];

/// What hostile code is made of. It sleeps in the database that it was written in.
fn hostile_functions() -> String {
    let mut acts = String::new();
    for (number, act) in ACTS.iter().enumerate() {
        let text = act.replace('\'', "''");
        acts.push_str(&format!(
            "  begin execute replace(replace('{text}', '%W', '/tmp/pwn-' || place || '-{number}'), '%C', place); exception when others then null; end;\n"
        ));
    }
    format!(
        "create table public.loot (place text, content text);
create function public.fires_event() returns event_trigger language plpgsql as 'begin null; end';
create function public.act(place text) returns int language plpgsql as $_$
begin
  if current_database() like 'armed%' then return 1; end if;
  begin create table public.ran (place text); exception when others then null; end;
  insert into public.ran values (place);
{acts}  return 1;
end $_$;
create function public.calm(place text) returns int language plpgsql immutable as 'begin return public.act(place); end';
create function public.sure(place text, integer) returns boolean language plpgsql immutable as 'begin return public.act(place) = 1; end';
create function public.fires() returns trigger language plpgsql as 'begin perform public.act(''trigger''); return new; end';
"
    )
}

/// Places of a real database whose code runs while its dump is restored.
const PLACES: &[(&str, &str)] = &[
    (
        "check",
        "create table public.p_check (a int check (public.sure('check', a))); insert into public.p_check values (1);",
    ),
    (
        "generated",
        "create table public.p_generated (a int, b int generated always as (public.calm('generated')) stored); insert into public.p_generated (a) values (1);",
    ),
    (
        "index",
        "create table public.p_index (a int); insert into public.p_index values (1); create index on public.p_index (public.calm('index'));",
    ),
    (
        "predicate",
        "create table public.p_predicate (a int); insert into public.p_predicate values (1); create index on public.p_predicate (a) where public.calm('predicate') = 1;",
    ),
    (
        "domain",
        "create domain public.p_domain as int check (public.sure('domain', value)); create table public.p_of_domain (a public.p_domain); insert into public.p_of_domain values (1);",
    ),
    ("matview", "create materialized view public.p_matview as select public.act('matview') a;"),
    (
        "view",
        "create view public.p_view as select public.act('view') a; create materialized view public.p_of_view as select * from public.p_view;",
    ),
    (
        "operator",
        "create function public.op(int, int) returns int language sql as 'select public.act(''operator'')'; \
         create operator public.=== (leftarg = int, rightarg = int, function = public.op); \
         create materialized view public.p_operator as select 1 operator(public.===) 1 a;",
    ),
    (
        "cast",
        "create type public.p_type as (a int); create function public.to_type(int) returns public.p_type language sql as 'select row(public.act(''cast''))::public.p_type'; \
         create cast (int as public.p_type) with function public.to_type(int); create materialized view public.p_cast as select 1::public.p_type a;",
    ),
    (
        "aggregate",
        "create function public.step(int, int) returns int language sql as 'select public.act(''aggregate'')'; \
         create aggregate public.p_sum(int) (sfunc = public.step, stype = int); create materialized view public.p_aggregate as select public.p_sum(1) a;",
    ),
    (
        "partition",
        "create table public.p_part (a int) partition by range ((public.calm('partition') + a)); create table public.p_part_1 partition of public.p_part for values from (0) to (1000); insert into public.p_part values (1);",
    ),
    (
        "exclusion",
        "create table public.p_exclusion (a int, exclude using btree (public.calm('exclusion') with =)); insert into public.p_exclusion values (1);",
    ),
    (
        "notvalid",
        "create table public.p_valid (a int); insert into public.p_valid values (1); alter table public.p_valid add constraint late check (public.sure('notvalid', a)) not valid;",
    ),
    (
        "definer",
        "create function public.definer() returns int security definer language sql as 'select public.act(''definer'')'; create materialized view public.p_definer as select public.definer() a;",
    ),
    (
        "policy",
        "create table public.p_policy (a int); insert into public.p_policy values (1); alter table public.p_policy enable row level security; \
         create policy p on public.p_policy using (public.act('policy') = 1); create materialized view public.p_of_policy as select * from public.p_policy;",
    ),
    (
        "statistics",
        "create table public.p_statistics (a int); insert into public.p_statistics values (1); create statistics public.s on (public.calm('statistics')), a from public.p_statistics;",
    ),
];

/// Places of a file that a person wrote, in their order.
const WRITTEN: &[(&str, &str)] = &[
    (
        "trigger",
        "create table public.w_trigger (a int); create trigger t before insert on public.w_trigger for each row execute function public.fires();\ncopy public.w_trigger (a) from stdin;\n1\n\\.\n",
    ),
    (
        "default",
        "create table public.w_default (id int, a int default public.act('default'));\ncopy public.w_default (id) from stdin;\n1\n\\.\n",
    ),
    ("column", "alter table public.w_default add b int default public.act('column');"),
    ("using", "alter table public.w_default alter id type bigint using public.act('using');"),
    ("ctas", "create table public.w_ctas as select public.act('ctas') a;"),
    (
        "rule",
        "create table public.w_rule (a int); create rule r as on insert to public.w_rule do also insert into public.loot select 'rule', public.act('rule')::text; insert into public.w_rule values (1);",
    ),
    ("update", "update public.w_rule set a = public.act('update');"),
    ("delete", "delete from public.w_rule where public.act('delete') = 2;"),
    ("returning", "insert into public.w_ctas values (1) returning public.act('returning');"),
    (
        "refresh",
        "create materialized view public.w_refresh as select public.act('refresh') a with no data; refresh materialized view public.w_refresh;",
    ),
    (
        "analyze",
        "create index on public.w_ctas (public.calm('analyze')); analyze public.w_ctas; reindex table public.w_ctas;",
    ),
    (
        "truncate",
        "create function public.truncates() returns trigger language plpgsql as 'begin perform public.act(''truncate''); return null; end'; create trigger t before truncate on public.w_rule for each statement execute function public.truncates(); truncate public.w_rule;",
    ),
    (
        "validate",
        "alter table public.w_ctas add constraint c check (public.sure('validate', a)) not valid; alter table public.w_ctas validate constraint c;",
    ),
    ("comment", "comment on table public.w_ctas is 'x';"),
    (
        "attach",
        "create table public.w_part (a int) partition by list (a); create table public.w_one (a int check (public.sure('attach', a))); insert into public.w_one values (1); alter table public.w_part attach partition public.w_one for values in (1);",
    ),
    (
        "deferred",
        "create table public.w_deferred (a int); create constraint trigger t after insert on public.w_deferred deferrable initially deferred for each row execute function public.fires(); insert into public.w_deferred values (1);",
    ),
];

/// Statements that stand by themselves. `%W` as above.
const STATEMENTS: &[&str] = &[
    "DO $$ begin copy (select 1) to program 'touch %W'; end $$;",
    "DO LANGUAGE plpgsql $$ begin execute 'copy (select 1) to pro' || 'gram ''touch %W'''; end $$;",
    "DO 'begin execute E''copy (select 1) to \\\\x70rogram ''''touch %W''''''; end';",
    "do/**/$x$begin execute chr(99)||'opy (select 1) to program ''touch %W''';end$x$;",
    "CALL public.p();",
    "SELECT public.act('select');",
    "SELECT act('select') FROM public.t;",
    "SELECT pg_catalog.setval('public.q', 1) , public.act('setval');",
    "SELECT 1 WHERE public.act('where') = 1;",
    "SELECT * FROM public.act('from');",
    "SELECT 'x'::public.d;",
    "SELECT pg_catalog.set_config('search_path', public.act('config')::text, false);",
    "(SELECT public.act('parenthesis'));",
    "WITH x AS (SELECT public.act('with')) TABLE x;",
    "TABLE public.v;",
    "VALUES (public.act('values'));",
    "EXPLAIN ANALYZE SELECT public.act('explain');",
    "PREPARE x AS SELECT public.act('prepare'); EXECUTE x;",
    "DECLARE c CURSOR WITH HOLD FOR SELECT public.act('cursor');",
    "INSERT INTO public.t SELECT public.act('insert');",
    "INSERT INTO public.t VALUES (public.act('value'));",
    "MERGE INTO public.t USING (SELECT public.act('merge') b) s ON false WHEN NOT MATCHED THEN INSERT VALUES (s.b);",
    "COPY public.t TO PROGRAM 'touch %W';",
    "COPY public.t FROM PROGRAM 'touch %W; echo 1';",
    "copy(select 1)to/**/program'touch %W';",
    "COPY public.t TO '%W';",
    "COPY public.t FROM '/etc/passwd';",
    "COPY public.t TO E'\\x2ftmp/pwn-copy';",
    "COPY public.t TO U&'\\002ftmp/pwn-copy';",
    "COPY public.t TO $$%W$$;",
    "COPY BINARY public.t TO '%W';",
    "COPY public.t (a) TO STDOUT; COPY public.t TO '%W';",
    "COPY (SELECT public.act('copy')) TO STDOUT;",
    "COPY U&\"\\0070ublic\".t TO '%W';",
    "SELECT lo_export(lo_create(0), '%W');",
    "SELECT pg_catalog.lo_export(pg_catalog.lo_creat(-1), '%W');",
    "SELECT U&\"lo\\005fexport\"(lo_create(0), '%W');",
    "SELECT \"lo_export\"(lo_create(0), '%W');",
    "SELECT lo_import('/etc/passwd');",
    "CREATE FUNCTION public.exports(oid, text) RETURNS int LANGUAGE internal AS 'be_lo_export'; CREATE OPERATOR public.|> (LEFTARG = oid, RIGHTARG = text, FUNCTION = public.exports); CREATE MATERIALIZED VIEW public.m AS SELECT 1::oid OPERATOR(public.|>) '%W'::text a;",
    "CREATE OPERATOR public.|> (LEFTARG = oid, RIGHTARG = text, FUNCTION = pg_catalog.lo_export); CREATE MATERIALIZED VIEW public.m AS SELECT 1::oid OPERATOR(public.|>) '%W'::text a;",
    "CREATE OPERATOR public.|> (LEFTARG = oid, RIGHTARG = text, FUNCTION = lo_export); CREATE TABLE public.o (a int DEFAULT (7::oid OPERATOR(public.|>) '%W'::text), b int); INSERT INTO public.o (b) VALUES (1);",
    "CREATE MATERIALIZED VIEW public.m AS SELECT U&\"pg_read\\005ffile\"('/etc/passwd') a;",
    "CREATE MATERIALIZED VIEW public.m AS SELECT \"pg_read_file\"('/etc/passwd') a;",
    "CREATE CAST (text AS xml) WITH FUNCTION pg_read_file(text); CREATE MATERIALIZED VIEW public.m AS SELECT '/etc/passwd'::text::xml a;",
    "CREATE AGGREGATE public.reads(text) (SFUNC = textcat, STYPE = text, FINALFUNC = pg_read_file); CREATE MATERIALIZED VIEW public.m AS SELECT public.reads('/etc/passwd') a;",
    "CREATE TABLE public.m (a text GENERATED ALWAYS AS (pg_read_file('/etc/passwd')) STORED, b int); INSERT INTO public.m (b) VALUES (1);",
    "CREATE TABLE public.m AS SELECT * FROM pg_ls_logdir();",
    "CREATE TABLE public.m AS SELECT * FROM pg_hba_file_rules;",
    "CREATE TABLE public.m AS SELECT * FROM pg_catalog.pg_file_settings;",
    "CREATE TABLE public.m AS SELECT pg_ls_dir('.') a;",
    "CREATE TABLE public.m AS SELECT rolpassword FROM pg_authid;",
    "CREATE AGGREGATE public.sets(text, boolean) (SFUNC = set_config, STYPE = text, INITCOND = 'standard_conforming_strings'); CREATE TABLE public.m AS SELECT public.sets('off', false) a; INSERT INTO public.m VALUES ('\\'); \\! touch %W\n--'",
    "CREATE TABLE public.m (a text DEFAULT \"set_config\"('standard_conforming_strings', 'off', false), b int); INSERT INTO public.m (b) VALUES (1); INSERT INTO public.m VALUES ('\\'); \\! touch %W\n--', 1);",
    "SELECT pg_catalog.U&\"set\\005fconfig\"('standard_conforming_strings', 'off', false); INSERT INTO public.t VALUES ('\\'); \\! touch %W\n--');",
    "SET standard_conforming_strings = off; INSERT INTO public.t VALUES ('\\'); \\! touch %W\n--');",
    "ALTER FUNCTION public.act(text) SET standard_conforming_strings = off;",
    "CREATE EXTENSION file_fdw; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE public.f (a text) SERVER s OPTIONS (program 'touch %W');",
    "CREATE EXTENSION \"file_fdw\"; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE public.f (a text) SERVER s OPTIONS (U&\"progra\\006d\" 'touch %W'); CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.f;",
    "CREATE EXTENSION U&\"file\\005ffdw\"; CREATE SERVER s FOREIGN DATA WRAPPER file_fdw; CREATE FOREIGN TABLE public.f (a text) SERVER s OPTIONS (\"filename\" '/etc/passwd'); CREATE MATERIALIZED VIEW public.m AS SELECT * FROM public.f;",
    "CREATE EXTENSION dblink; CREATE MATERIALIZED VIEW public.m AS SELECT * FROM dblink('dbname=postgres user=postgres', 'copy (select 1) to program ''touch %W''') AS x(a text);",
    "CREATE EXTENSION postgres_fdw; CREATE SERVER s FOREIGN DATA WRAPPER postgres_fdw OPTIONS (dbname 'postgres'); CREATE USER MAPPING FOR PUBLIC SERVER s OPTIONS (user 'postgres', password 'hunter2');",
    "CREATE EXTENSION adminpack;",
    "CREATE EXTENSION plpython3u;",
    "CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog;",
    "CREATE LANGUAGE plpython3u;",
    "CREATE LANGUAGE evil HANDLER plpgsql_call_handler;",
    "CREATE FUNCTION public.c(cstring) RETURNS int LANGUAGE c AS 'libc.so.6', 'system';",
    "CREATE FUNCTION public.c(cstring) RETURNS int AS 'libc.so.6', 'system' LANGUAGE U&\"\\0063\";",
    "CREATE OR REPLACE FUNCTION public.c(cstring) RETURNS int AS '$libdir/plpgsql', 'x' STRICT LANGUAGE 'C';",
    "CREATE FUNCTION public.i(text) RETURNS text LANGUAGE internal AS 'pg_read_file_all'; CREATE MATERIALIZED VIEW public.m AS SELECT public.i('/etc/passwd') a;",
    "LOAD 'auto_explain';",
    "SET session_preload_libraries = evil;",
    "SET LOCAL local_preload_libraries = evil;",
    "ALTER SYSTEM SET archive_command = 'touch %W';",
    "ALTER DATABASE postgres SET session_preload_libraries = evil;",
    "ALTER DATABASE U&\"postgre\\0073\" SET work_mem = '1MB';",
    "ALTER ROLE postgres SET session_preload_libraries = evil;",
    "ALTER ROLE ALL SET search_path = evil;",
    "ALTER USER postgres PASSWORD 'hunter2';",
    "CREATE ROLE pwned SUPERUSER;",
    "CREATE USER pwned IN ROLE pg_execute_server_program;",
    "GRANT pg_execute_server_program TO PUBLIC;",
    "GRANT pg_read_server_files TO postgres WITH ADMIN OPTION;",
    "GRANT EXECUTE ON FUNCTION pg_catalog.pg_read_file(text) TO PUBLIC;",
    "GRANT SELECT ON TABLE pg_catalog.pg_authid TO PUBLIC;",
    "GRANT ALTER SYSTEM ON PARAMETER archive_command TO PUBLIC;",
    "UPDATE pg_catalog.pg_authid SET rolsuper = true;",
    "UPDATE U&\"pg_catalo\\0067\".pg_proc SET prolang = 13;",
    "UPDATE \"pg_catalog\".\"pg_proc\" SET prolang = 13;",
    "UPDATE ONLY (pg_catalog.pg_proc) SET prolang = 13;",
    "WITH x AS (UPDATE pg_catalog.pg_authid SET rolsuper = true RETURNING 1) SELECT 1;",
    "DELETE FROM pg_shdepend;",
    "INSERT INTO pg_catalog.pg_auth_members SELECT 1;",
    "COPY pg_catalog.pg_authid FROM stdin;\n\\.",
    "SET ROLE postgres;",
    "SET SESSION AUTHORIZATION postgres; COPY public.t TO PROGRAM 'touch %W';",
    "RESET SESSION AUTHORIZATION; CREATE ROLE pwned SUPERUSER;",
    "RESET ROLE;",
    "DISCARD ALL;",
    "SELECT pg_catalog.pg_create_physical_replication_slot('pwned');",
    "CREATE TABLE public.m AS SELECT pg_create_physical_replication_slot('pwned');",
    "CREATE SUBSCRIPTION pwned CONNECTION 'dbname=postgres password=hunter2' PUBLICATION p WITH (connect = false);",
    "CREATE EVENT TRIGGER pwned ON ddl_command_start EXECUTE FUNCTION public.fires_event();",
    "CREATE TABLESPACE pwned LOCATION '/tmp';",
    "CREATE DATABASE pwned;",
    "DROP DATABASE postgres;",
    "CREATE SERVER s FOREIGN DATA WRAPPER x; ALTER TABLE public.t OWNER TO postgres, ADD b int DEFAULT public.act('owner');",
    "ALTER TABLE public.t ADD b int DEFAULT public.act('add'), OWNER TO postgres;",
    "ALTER FUNCTION public.act(text) OWNER TO postgres; ALTER FUNCTION public.act(text) SECURITY DEFINER; CREATE TABLE public.m AS SELECT public.act('given') a;",
    "ALTER TABLE public.t OWNER TO postgres; CREATE INDEX ON public.t (public.calm('owned'));",
    "\\! touch %W",
    "SELECT 1 \\! touch %W",
    "SELECT 1;\\! touch %W",
    "/* x */ \\! touch %W",
    "-- x\r\\! touch %W",
    "\\o %W",
    "\\o |touch %W",
    "SELECT 1 \\g |touch %W",
    "SELECT 1 \\gx %W",
    "SELECT 'touch %W' \\gexec",
    "\\w %W",
    "\\copy public.t to program 'touch %W'",
    "\\copy public.t to '%W'",
    "\\set x `touch %W`",
    "\\echo `touch %W`",
    "\\i /etc/passwd",
    "\\include_relative x",
    "\\lo_export 1 %W",
    "\\lo_import /etc/passwd",
    "\\connect postgres",
    "\\c postgresql://postgres:hunter2@localhost/postgres",
    "\\setenv PAGER 'touch %W'",
    "\\pset pager always",
    "\\watch 1",
    "\\restrict abc\n\\! touch %W",
    "\\unrestrict abc\n\\! touch %W",
    "\\restrict `touch %W`",
    "COPY public.t FROM stdin; \\! touch %W\n\\.",
    "COPY public.t FROM stdin;\n1\n\\.\n\\! touch %W",
    "INSERT INTO public.t VALUES (E'a'\n'\\'); \\! touch %W\n--');",
    "SELECT :'x', :HOME, :\"x\"; \\! touch %W",
    "CREATE FUNCTION public.b() RETURNS int BEGIN ATOMIC SELECT 1; END; \\! touch %W",
];

/// A small dump in pg_dump's frame; `text` stands where tables do.
fn dump(text: &str) -> String {
    format!(
        "--\n-- PostgreSQL database dump\n--\n\nSET client_encoding = 'UTF8';\nSET standard_conforming_strings = on;\n\
         SELECT pg_catalog.set_config('search_path', '', false);\n\n{text}\n\n--\n-- PostgreSQL database dump complete\n--\n\n"
    )
}

/// What is outside of the databases that are restored, as text.
fn outside(server: &Server) -> String {
    server.sql(
        "postgres",
        "select string_agg(rolname || rolsuper || rolcreaterole || rolreplication || rolbypassrls || coalesce(rolpassword, '-'), ' ' order by rolname) from pg_authid; \
         select string_agg(roleid::regrole || '>' || member::regrole, ' ' order by 1) from (select * from pg_auth_members order by 1) m; \
         select count(*) from pg_db_role_setting; select count(*) from pg_replication_slots; select count(*) from pg_subscription; \
         select string_agg(spcname, ' ' order by spcname) from pg_tablespace; select md5(pg_read_file('postgresql.auto.conf')); \
         select count(*) from pg_language where lanname = 'evil'; select count(*) from pg_event_trigger; \
         select string_agg(datname, ' ' order by datname) from pg_database where datname not like 'victim%' and datname not like 'envctl%'",
    )
}

/// Everything that a successful attack would have left.
#[track_caller]
fn nothing_happened(server: &Server, before: &str, what: &str) {
    assert_eq!(server.sh("ls /tmp | grep pwn || true"), "", "{what}");
    assert_eq!(outside(server), before, "{what}");
    let databases = server.sql(
        "postgres",
        "select datname from pg_database where datname like 'victim%' or datname like 'envctl%'",
    );
    for database in databases.lines() {
        let found = server.sql(
            database,
            "select 'loot: ' || relname from pg_class where relname ~ '^loot_' union all \
             select 'code: ' || proname from pg_proc p join pg_language l on l.oid = p.prolang where lanname in ('c', 'internal') and p.prokind <> 'a' \
                and p.oid >= 16384 and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e') union all \
             select 'extension: ' || extname from pg_extension where extname in ('file_fdw', 'dblink', 'postgres_fdw', 'adminpack') union all \
             select 'publication: ' || pubname from pg_publication union all select 'trigger: ' || evtname from pg_event_trigger union all \
             select 'right: ' || proname from pg_proc where oid < 16384 and proacl::text like '{=X%' and proname in ('pg_read_file') union all \
             select 'right: ' || relname from pg_class where relname = 'pg_authid' and relacl::text like '%,=r%'",
        );
        assert_eq!(found, "", "{what}, database {database}");
        let table = "select count(*) from pg_class where relname = 'loot' and relkind = 'r'";
        if server.sql(database, table) == "1" {
            let loot = server.sql(database, "select distinct place || ' ' || content from public.loot where content <> '1' and content not like 'SCRAM%x'");
            assert_eq!(loot, "", "{what}, database {database}");
        }
    }
}

fn write(project: &Project, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = project.path().join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn servers(name: &str) -> [Server; 2] {
    // Their own: an attack that succeeds hurts nobody else. No filter of the engine helps against it.
    [15, 17].map(|major| Wanted::postgres(major, &format!("{name}{major}")).without_filter().start().ready())
}

/// Shares of the two servers: each attack is tried on one of them, and one of each kind on both. A long run tries each
/// on both.
fn shares<T: Clone, K: Ord>(attacks: &[T], kind: impl Fn(&T) -> K) -> [Vec<T>; 2] {
    let mut kinds: BTreeMap<K, Vec<T>> = BTreeMap::new();
    for attack in attacks {
        kinds.entry(kind(attack)).or_default().push(attack.clone());
    }
    let mut shares = [Vec::new(), Vec::new()];
    for attacks in kinds.into_values() {
        for (at, attack) in attacks.iter().enumerate() {
            for (server, share) in shares.iter_mut().enumerate() {
                if is_long() || attacks.len() == 1 || at % 2 == server {
                    share.push(attack.clone());
                }
            }
        }
    }
    shares
}

#[test]
fn each_attack_is_tried_on_a_server_and_each_kind_on_both() {
    let shares = shares(STATEMENTS, |attack| attack.chars().next());
    let tried: BTreeSet<&str> = shares.iter().flatten().copied().collect();
    assert!(STATEMENTS.iter().all(|attack| tried.contains(attack)));
    let kinds = |share: &[&str]| share.iter().map(|attack| attack.chars().next()).collect::<BTreeSet<_>>();
    assert_eq!(kinds(&shares[0]), kinds(&shares[1]));
}

/// Names of the files of [`hostile_dumps`].
const DUMPS: [&str; 6] =
    ["plain.sql", "written.sql", "custom.dump", "tar.dump", "directory.tar", "directory"];

/// A database whose restore runs hostile code from every place that there is, dumped in every format.
fn hostile_dumps(server: &Server, project: &Project) -> [PathBuf; 6] {
    let source = server.database("armed");
    let places: String = PLACES.iter().map(|(_, sql)| format!("{sql}\n")).collect();
    server.sql(&source, &format!("set check_function_bodies = off; {}{places}", hostile_functions()));
    server.sh("rm -rf /tmp/dump-*");
    let dumped = |args: &str| server.bytes(&format!("pg_dump -U postgres {args} {source}"));
    let plain = String::from_utf8(dumped("")).unwrap();
    let plain: String = plain.split_inclusive('\n').filter(|line| !line.contains("restrict ")).collect();
    let directory = project.path().join("directory");
    std::fs::create_dir(&directory).unwrap();
    let packed = server.bytes(&format!(
        "pg_dump -U postgres -Fd -f /tmp/dump-d {source} && tar -C /tmp/dump-d -cf - . && rm -rf /tmp/dump-d"
    ));
    let tar = write(project, "directory.tar", packed);
    assert!(Command::new("tar").arg("-xf").arg(&tar).arg("-C").arg(&directory).status().unwrap().success());
    let written: String = WRITTEN.iter().map(|(_, sql)| format!("{sql}\n")).collect();
    [
        write(project, "plain.sql", &plain),
        write(
            project,
            "written.sql",
            dump(&format!("SET check_function_bodies = off;\n{}{written}", hostile_functions())),
        ),
        write(project, "custom.dump", dumped("-Fc")),
        write(project, "tar.dump", dumped("-Ft")),
        tar,
        directory,
    ]
}

fn restore(project: &Project, file: &Path, into: &str, more: &[&str]) -> crate::support::Finished {
    let file = file.to_str().unwrap();
    project.run(&[&["restore", file, "--into", into, "--yes", "--no-backup"], more].concat())
}

#[test]
fn code_of_a_foreign_file_runs_as_nobody_and_reaches_nothing() {
    let formats: Vec<usize> = (0..DUMPS.len()).collect();
    // Each format on one of the servers, and what a person wrote on both.
    let shares = shares(&formats, |at| DUMPS[*at] == "written.sql");
    for (server, share) in servers("code").into_iter().zip(shares) {
        let project = Project::new(&server, "code");
        let dumps = hostile_dumps(&server, &project);
        // What the server evaluates by itself is let in for a role without superuser alone.
        server.sql("postgres", "create role sec_app");
        let mapped = ["--role-map", "postgres=sec_app"];
        let before = outside(&server);
        for at in share {
            let (name, file) = (DUMPS[at], &dumps[at]);
            let into = format!("victim_{at}");
            if name == "written.sql" {
                // It names no owner.
                server.sql("postgres", &format!("create database {into} owner sec_app"));
            }
            restore(&project, file, &into, &mapped).code(0);
            let ran = server.sql(&into, "select place from public.ran");
            let ran: BTreeSet<&str> = ran.lines().collect();
            let places = if name == "written.sql" { WRITTEN } else { PLACES };
            let silent = ["comment", "notvalid", "policy", "statistics"];
            for (place, _) in places.iter().filter(|(place, _)| !silent.contains(place)) {
                let place = if *place == "deferred" { "trigger" } else { place };
                assert!(ran.contains(place), "{name}: no code ran from {place}: {ran:?}");
            }
            nothing_happened(&server, &before, name);
            let sql =
                "select string_agg(distinct relowner::regrole::text, ',') from pg_class where oid >= 16384";
            assert_eq!(server.sql(&into, sql), "sec_app", "{name}: nothing is a superuser's");
            server.sql(&into, "analyze");
            nothing_happened(&server, &before, &format!("{name}, analyzed"));
            // The same by several sessions of a worker.
            if ["custom.dump", "directory"].contains(&name) {
                let finished = restore(
                    &project,
                    file,
                    &format!("victim_j{at}"),
                    &[&["-j", "2", "-v"][..], &mapped].concat(),
                );
                assert!(finished.err().contains("by pg_restore over 2 sessions"), "{}", finished.err());
                finished.code(0);
                nothing_happened(&server, &before, &format!("{} with -j 2", file.display()));
            }
        }
        // From a pipe nothing is known before.
        let pipe = std::fs::read(&dumps[0]).unwrap();
        let piped = ["restore", "-", "--into", "victim_pipe", "--yes", "--no-backup"];
        project.run_with(&pipe, &[&piped[..], &mapped].concat()).code(0);
        nothing_happened(&server, &before, "a pipe");
        // What keeps it from happening is the role: with trust it happens.
        let _ = restore(&project, &dumps[0], "victim_trusted", &["--trust"]);
        assert!(server.sh("ls /tmp | grep pwn || true").contains("-0"), "the attacks are real");
    }
}

#[test]
fn no_statement_of_a_foreign_file_reaches_out() {
    assert!(STATEMENTS.len() + PLACES.len() + WRITTEN.len() > 150);
    let attacks: Vec<(usize, &str)> = STATEMENTS.iter().copied().enumerate().collect();
    let kind = |attack: &str| {
        let name = attack.trim_start_matches(['(', '\\']).split(|c: char| !c.is_ascii_alphabetic()).next();
        (attack.starts_with('\\'), name.unwrap_or_default().to_ascii_lowercase())
    };
    for (server, attacks) in servers("text").into_iter().zip(shares(&attacks, |(_, attack)| kind(attack))) {
        let project = Project::new(&server, "statement");
        let before = outside(&server);
        let functions = hostile_functions();
        let attacks = Mutex::new(attacks.into_iter());
        let next = || attacks.lock().unwrap().next();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    while let Some((at, attack)) = next() {
                        let attack = attack.replace("%W", &format!("/tmp/pwn-{at}"));
                        let text = dump(&format!(
                            "SET check_function_bodies = off;\n{functions}CREATE TABLE public.t (a int);\nCREATE SEQUENCE public.q;\n{attack}\n"
                        ));
                        let file = write(&project, &format!("{at}.sql"), text);
                        let finished = restore(&project, &file, &format!("victim_{at}"), &[]);
                        assert!([0, 6, 7, 8].contains(&finished.code), "{attack}: {}", finished.err());
                        assert!(!finished.err().contains("hunter2"), "{attack}: {}", finished.err());
                    }
                });
            }
        });
        nothing_happened(&server, &before, "statements");
        assert_eq!(
            server.sql("postgres", "select count(*) from pg_database where datname like 'envctl_new%'"),
            "0"
        );
    }
}

/// Databases with code that autovacuum and ANALYZE run; the table is `public.b`, the second word is in the refusal.
const BACKGROUND: &[(&str, &str)] = &[
    ("create table public.b (a int); create index on public.b (public.calm('index'))", "index public.b_"),
    (
        "create table public.b (a int); create index on public.b (a) where public.calm('where') = 1",
        "public.calm(text)",
    ),
    (
        "create table public.b (a int); create function public.op(int, int) returns boolean language plpgsql immutable as 'begin return public.act(''operator'') = $2; end'; \
         create operator public.=== (leftarg = int, rightarg = int, function = public.op); create index on public.b ((a operator(public.===) 1))",
        "public.op(integer,integer)",
    ),
    (
        "create domain public.d as int check (public.sure('domain', value)); create table public.b (a int); create index on public.b ((a::public.d))",
        "public.sure(text,integer)",
    ),
    (
        "create table public.b (a int, exclude using btree (public.calm('exclusion') with =))",
        "public.calm(text)",
    ),
    (
        "create table public.b (a int); create statistics public.s on (public.calm('statistics')), a from public.b",
        "statistics s",
    ),
    (
        "create table public.b (a int); create view public.v as select public.act('xml') a; \
         create statistics public.s on (table_to_xml('public.v'::regclass, true, true, a::text)::text), a from public.b",
        "table_to_xml",
    ),
    (
        "create function public.gap(float8, float8) returns float8 language plpgsql immutable as 'begin perform public.act(''range''); return $1 - $2; end'; \
         create type public.span as range (subtype = float8, subtype_diff = public.gap); create table public.b (a int, r public.span)",
        "type public.span",
    ),
    (
        "create materialized view public.b as select 1 a; create index on public.b (public.calm('matview'))",
        "public.calm(text)",
    ),
    (
        "create function public.high() returns int language sql security definer as 'select public.act(''definer'')'; \
         create function public.low(int) returns int language plpgsql immutable as 'begin return public.high(); end'; \
         create table public.b (a int); create index on public.b (public.low(a)); alter table public.b owner to sec_low; alter function public.low owner to sec_low",
        "SECURITY DEFINER function public.high()",
    ),
    (
        "create table public.b (a int primary key); create index on public.b (public.calm('cascade')); alter table public.b owner to sec_low; \
         create table public.c (a int constraint of_b references public.b on delete cascade)",
        "foreign key of_b",
    ),
];

/// Words of the first command of the hints that begins with `envctl restore`; notes of the plan have such commands too.
fn printed(err: &str) -> Vec<String> {
    let flat = err.split_whitespace().collect::<Vec<_>>().join(" ");
    let (_, hints) = flat.split_once(" hint: ").unwrap_or_else(|| panic!("{err}"));
    let command =
        hints.split('`').find(|part| part.starts_with("envctl restore ")).unwrap_or_else(|| panic!("{err}"));
    command.split(' ').skip(1).map(|word| word.trim_matches('\'').to_owned()).collect()
}

#[test]
fn code_that_the_server_runs_by_itself_is_not_run_as_a_superuser() {
    let cases: Vec<(usize, (&str, &str))> = BACKGROUND.iter().copied().enumerate().collect();
    // The first one is a kind of its own: on both servers.
    let shares = shares(&cases, |(at, _)| *at == 0);
    for (server, cases) in servers("background").into_iter().zip(shares) {
        let project = Project::new(&server, "background");
        server.sql("postgres", "create role sec_low");
        for (at, (sql, told)) in cases {
            let source = server.database("armed");
            server.sql(&source, &format!("set check_function_bodies = off; {}{sql};", hostile_functions()));
            let filled = !["materialized", "primary", "exclude"].iter().any(|word| sql.contains(word));
            if filled {
                server.sql(&source, "insert into public.b (a) select n from generate_series(1, 200) n");
            }
            let before = outside(&server);
            let formats: &[&str] = if at == 0 { &["-Fp", "-Fc", "-Ft"] } else { &["-Fp"] };
            for format in formats {
                let file = write(
                    &project,
                    &format!("{at}{format}"),
                    server.bytes(&format!("pg_dump -U postgres {format} {source}")),
                );
                let into = format!("victim_{at}{}", &format[2..]);
                let refused = restore(&project, &file, &into, &[]).code(6).says(told).says("untrusted");
                let there = format!(
                    "select count(*) from pg_database where datname = '{into}' or datname like 'envctl%'"
                );
                assert_eq!(server.sql("postgres", &there), "0", "{sql}");
                let left = "select count(*) from pg_roles where rolname like 'envctl_load%'";
                assert_eq!(server.sql("postgres", left), "0", "{sql}");
                nothing_happened(&server, &before, sql);
                // The server has no role that could own it: the refusal makes one.
                let words = printed(&refused.err());
                let owner = format!("{into}_owner");
                assert!(words.contains(&format!("postgres={owner}")), "{words:?}");
                server.sql("postgres", &format!("create role {owner}"));
                let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
                args.push("--yes");
                project.run(&args).code(0);
                // Whoever owns the code notes down that it ran, and gets as far as the acts.
                let noted = "create table if not exists public.ran (place text); grant insert on public.ran to public";
                server.sql(&into, &format!("{noted}; analyze; vacuum analyze").replace("; ", ";\n"));
                server.sql(
                    "postgres",
                    &format!("drop database {into}; drop role {owner}").replace("; ", ";\n"),
                );
                assert_eq!(server.sh("ls /tmp | grep pwn || true"), "", "{sql}");
                assert_eq!(outside(&server), before, "{sql}");
            }
        }
        // What keeps it from happening is the owner: a superuser's table does it.
        server.sql("postgres", "create role sec_real");
        let mapped = ["--role-map", "postgres=sec_real"];
        restore(&project, &project.path().join("0-Fp"), "victim_real", &mapped).code(0);
        server.sql("victim_real", "alter table public.b owner to postgres");
        // The acts may break what runs them.
        let _ = server.try_sql("victim_real", "analyze public.b");
        assert!(server.sh("ls /tmp | grep pwn || true").contains("index"), "the attack is real");
    }
}

#[test]
fn what_a_file_gives_no_owner_goes_to_the_owner_of_the_database() {
    for server in Server::each() {
        server.sql("postgres", "do $$ begin create role sec_heir; exception when others then null; end $$");
        let project = Project::new(server, "heir");
        project.sql(
            "create function double(int) returns int language sql immutable as 'select $1 * 2'; \
             create table item (id serial primary key); create index on item (double(id)); insert into item values (1)",
        );
        let file =
            write(&project, "f.dump", server.bytes(&format!("pg_dump -U postgres -Fc {}", project.database)));
        let owners =
            "select string_agg(distinct relowner::regrole::text, ',') from pg_class where oid >= 16384";
        let run = |more: &[&str]| {
            let file = file.to_str().unwrap();
            project.run(&[&["restore", file, "--yes", "--no-backup"], more].concat())
        };
        // Owned by a superuser, and no owner is named: the owner of the database is the way.
        run(&["--no-owner"]).code(6).says("double(integer)").says("--trust");
        server.sql("postgres", &format!("alter database {} owner to sec_heir", project.database));
        run(&["--no-owner"]).code(0);
        assert_eq!(project.sql(owners), "sec_heir");
        // Named owners stay what they are, and the role that owns the database is offered.
        let refused = run(&[]).code(6).err();
        assert!(printed(&refused).contains(&"postgres=sec_heir".to_owned()), "{refused}");
        project.drop_siblings();
        server.sql("postgres", &format!("alter database {} owner to postgres", project.database));
    }
}

#[test]
fn an_owner_that_cannot_be_set_is_refused_and_not_lost() {
    let server = Server::shared(17);
    let project = Project::new(server, "owners");
    project.sql("create function oddly(integer) returns int language sql as 'select 1'");
    let mut archive = server.bytes(&format!("pg_dump -U postgres -Fc {}", project.database));
    let drop = b"DROP FUNCTION public.oddly(integer);";
    let at = archive.windows(drop.len()).position(|part| part == drop).unwrap();
    archive[at..at + drop.len()].copy_from_slice(b"DROP FUNCTION ''public.odd(integer);");
    let file = write(&project, "f.dump", archive);
    let into = format!("{}_i", project.database);
    for more in [&[][..], &["-j", "2"]] {
        restore(&project, &file, &into, more).code(6).says("the owner of function \"oddly(integer)\"");
    }
    restore(&project, &file, &into, &["--no-owner"]).code(0);
    server.sql("postgres", &format!("drop database {into}"));
}

#[test]
fn roles_beyond_the_limit_are_refused_with_the_command_that_needs_none() {
    let server = Server::shared(15);
    let project = Project::new(server, "roles");
    project.fill(5);
    let dump =
        String::from_utf8(server.bytes(&format!("pg_dump -U postgres -C {}", project.database))).unwrap();
    let roles: String = (0..160_000).map(|n| format!("CREATE ROLE role_{n:020};\n")).collect();
    let file = write(
        &project,
        "all.sql",
        format!(
            "--\n-- PostgreSQL database cluster dump\n--\n\n{roles}\n{dump}--\n-- PostgreSQL database cluster dump complete\n--\n\n"
        ),
    );
    let into = format!("{}_i", project.database);
    let refused = restore(&project, &file, &into, &[]).code(6).says("take more than 4 MiB").err();
    let words = printed(&refused);
    let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
    args.push("--yes");
    project.run(&args).code(0);
    assert_eq!(server.sql(&into, "select count(*) from item"), "5");
    server.sql("postgres", &format!("drop database {into}"));
}

#[test]
fn rules_reach_an_archive_that_pg_restore_reads_itself() {
    type Rule = (String, &'static [&'static str], &'static [&'static str], &'static str);
    let mut all: Vec<Rule> = Vec::new();
    for server in Server::each() {
        for trust in [&[][..], &["--trust"]] {
            for (more, left) in [
                (&["--no-owner"][..], "postgres true"),
                (&["--no-privileges"], "sec_rule "),
                (&["--no-owner", "--no-privileges"], "postgres "),
            ] {
                all.push((server.container.clone(), trust, more, left));
            }
        }
    }
    let selected =
        pairs::rows(all, |(server, trust, more, _)| [server.clone(), trust.join(" "), more.join(" ")]);
    for server in Server::each() {
        server.sql(
            "postgres",
            "do $$ begin create role sec_rule; create role sec_read; exception when others then null; end $$",
        );
        let project = Project::new(server, "rules");
        project.sql(
            "create table item (id int primary key); alter table item owner to sec_rule; grant select on item to sec_read; insert into item values (1)",
        );
        let dumped =
            |format: &str| server.bytes(&format!("pg_dump -U postgres {format} {}", project.database));
        let archive = write(&project, "f.dump", dumped("-Fc"));
        let plain = write(&project, "f.sql", dumped("-Fp"));
        let into = format!("{}_i", project.database);
        let state = "select relowner::regrole || ' ' || coalesce((relacl::text like '%sec_read%')::text, '') from pg_class where relname = 'item'";
        for (_, trust, more, left) in selected.iter().filter(|row| row.0 == server.container) {
            let worker = [&["-j", "2", "--transport", "worker", "-v"], *more, *trust].concat();
            let finished = restore(&project, &archive, &into, &worker).code(0);
            assert!(finished.err().contains("by pg_restore over 2 sessions"), "{}", finished.err());
            assert_eq!(server.sql(&into, state).trim_end(), left.trim_end(), "{more:?} {trust:?}");
            server.sql("postgres", &format!("drop database {into}"));
        }
        // A list tells no other owner, where no role of its own loads.
        restore(
            &project,
            &archive,
            &into,
            &["--transport", "worker", "--trust", "--role-map", "sec_rule=postgres"],
        )
        .code(6)
        .says("--transport exec");
        let finished = restore(&project, &plain, &into, &["-j", "2", "--no-owner"]).code(0);
        assert!(finished.err().contains("ignoring -j 2"), "{}", finished.err());
        server.sql("postgres", &format!("drop database {into}"));
        // A pipe is read once: the count is told at the end.
        let piped = ["restore", "-", "--into", &into, "--yes", "--no-backup", "--no-owner"];
        project.run_with(&dumped("-Fp"), &piped).code(0).says("left out: 1 OWNER statement");
        server.sql("postgres", &format!("drop database {into}"));
    }
}

/// An ordinary database of several owners.
const ORDINARY: &str = r#"
create extension pgcrypto; create extension citext; create schema extra; create extension hstore with schema extra;
create schema shop authorization sec_owner; grant usage on schema shop to sec_reader;
comment on schema shop is 'of the shop';
create type shop.mood as enum ('sad', 'ok'); alter type shop.mood owner to sec_owner;
create domain shop.positive as int check (value > 0); alter domain shop.positive owner to sec_other;
create function shop.double(a int, variadic b int[]) returns int language sql immutable as 'select a * 2'; alter function shop.double owner to sec_owner;
revoke all on function shop.double from public; grant execute on function shop.double to sec_reader, sec_other; grant usage on schema shop to sec_other;
create function public.stamp() returns trigger language plpgsql as $$ begin new.note := coalesce(new.note, '\x'); return new; end $$;
create procedure shop.nothing() language sql as 'select 1'; alter procedure shop.nothing() owner to sec_other;
create aggregate shop.total(int) (sfunc = int4pl, stype = int); alter aggregate shop.total(int) owner to sec_owner;
create operator shop.=== (leftarg = int, rightarg = int, function = int4eq); alter operator shop.===(int, int) owner to sec_other;
create table shop.item (id int generated always as identity primary key, name citext not null, mood shop.mood, tags extra.hstore, note text, "Odd ""name" int default 3);
alter table shop.item owner to sec_owner;
create sequence shop.free; alter sequence shop.free owner to sec_other; select setval('shop.free', 42);
create table shop.line (id serial primary key, item int references shop.item, amount shop.positive, twice int generated always as (amount * 2) stored);
alter table shop.line owner to sec_other;
create table shop.log (at int, t text) partition by range (at); create table shop.log_1 partition of shop.log for values from (0) to (10); alter table shop.log owner to sec_owner;
insert into shop.item (name, mood, tags) select 'n' || n, 'ok', 'a=>1' from generate_series(1, 20) n;
insert into shop.line (item, amount) select n, n from generate_series(1, 20) n; insert into shop.log values (1, E'tab\tand\\');
create trigger stamp before update on shop.item for each row execute function public.stamp();
create index on shop.item (lower(name::text)); create index on shop.line (shop.double(amount::int, 1));
create view shop.names as select name from shop.item; alter view shop.names owner to sec_owner;
create materialized view shop.counts as select mood, count(*) from shop.item group by mood; alter materialized view shop.counts owner to sec_owner;
alter table shop.item enable row level security; alter table shop.item force row level security;
create policy mine on shop.item for select to sec_reader using (mood = 'ok');
grant select, update (note) on shop.item to sec_reader with grant option; grant all on shop.line to public; grant usage on sequence shop.free to sec_reader;
revoke insert on shop.item from sec_owner;
alter default privileges for role sec_owner in schema shop grant select on tables to sec_reader;
alter default privileges for role sec_other revoke execute on functions from public;
create statistics shop.st on id, item from shop.line;
create publication pub_some for table shop.line;
create text search configuration shop.ts (copy = simple); alter text search configuration shop.ts owner to sec_owner;
create collation shop.c from "C"; alter collation shop.c owner to sec_owner;
select lo_from_bytea(7000, '\x0102'); alter large object 7000 owner to sec_owner; grant select on large object 7000 to sec_reader;
comment on extension citext is 'another comment'; revoke create on schema public from public; grant create on schema public to sec_owner;
"#;

#[test]
fn ordinary_files_of_others_get_in_as_psql_would_have_them() {
    for server in Server::each() {
        server.sql(
            "postgres",
            "do $$ begin create role sec_owner; create role sec_other; create role sec_reader; exception when others then null; end $$",
        );
        let project = Project::new(server, "ordinary");
        let source = &project.database;
        server.sql(source, ORDINARY);
        let dumped =
            |database: &str, args: &str| server.bytes(&format!("pg_dump -U postgres {args} {database}"));
        let text = |database: &str| {
            let text = String::from_utf8(dumped(database, "")).unwrap();
            // The comment of an extension is its own.
            text.lines()
                .filter(|line| !line.contains("restrict ") && !line.starts_with("COMMENT ON EXTENSION"))
                .map(|line| format!("{line}\n"))
                .collect::<String>()
        };
        let rounds = [("1", &["", "-Fc", "-Ft"][..]), ("2", &["-Fc"])];
        for (jobs, formats) in rounds {
            if jobs == "2" {
                // A part of a statement cannot be left out of an archive that pg_restore reads itself.
                server.sql(source, "alter table shop.item no force row level security");
            }
            let before = text(source);
            for format in formats {
                let file = write(&project, &format!("dump{format}{jobs}"), dumped(source, format));
                let into = format!("{source}_o");
                let finished = restore(&project, &file, &into, &["-j", jobs, "-v"]).code(0);
                let by_worker = finished.err().contains("by pg_restore over 2 sessions");
                assert_eq!(by_worker, jobs == "2", "{}", finished.err());
                let after = text(&into);
                for (one, other) in before.lines().zip(after.lines()) {
                    assert_eq!(one, other, "pg_dump {format}, -j {jobs}");
                }
                assert_eq!(before.lines().count(), after.lines().count());
                server.sql("postgres", &format!("drop database {into}"));
            }
        }
        // An index that calls a function of the file is not let in for a superuser, and the refusal tells who may own it.
        let owners = "select string_agg(distinct relowner::regrole::text, ',') from pg_class where relnamespace = 'shop'::regnamespace";
        let into = format!("{source}_u");
        let evaluated = write(&project, "evaluated.sql", dumped(source, "-O -x"));
        let refused =
            restore(&project, &evaluated, &into, &[]).code(6).says("shop.double").says("--trust").err();
        let words = printed(&refused);
        let owner = words
            .iter()
            .find_map(|word| word.split_once('=').filter(|(old, _)| *old == "postgres"))
            .expect("a role map")
            .1;
        let made =
            format!("do $$ begin create role {owner}; exception when duplicate_object then null; end $$");
        server.sql("postgres", &made);
        let mut args: Vec<&str> = words.iter().map(String::as_str).collect();
        args.push("--yes");
        project.run(&args).code(0);
        assert_eq!(server.sql(&into, owners), owner);
        server.sql("postgres", &format!("drop database {into}"));
        // What psql leaves without an owner is whose connection it was.
        server.sql(source, "drop index shop.line_double_idx");
        let unowned = write(&project, "unowned.sql", dumped(source, "-O -x"));
        restore(&project, &unowned, &into, &[]).code(0);
        assert_eq!(server.sql(&into, owners), "postgres");
        let left = "select count(*) from pg_roles where rolname like 'envctl_load%' and not exists \
                    (select from pg_stat_activity where application_name like 'envctl/' || substr(rolname, 13, 8) || ' %')";
        assert_eq!(server.sql("postgres", left), "0");
        project.drop_siblings();
    }
}

#[test]
fn a_role_that_a_killed_restore_left_is_dropped_by_the_next() {
    // Its own: restores of other tests would drop the role first.
    let server = Wanted::postgres(15, "left").start().ready();
    let project = Project::new(&server, "left");
    project.fill(5);
    let file = write(&project, "f.sql", server.bytes(&format!("pg_dump -U postgres {}", project.database)));
    server.sql(
        "postgres",
        "create role envctl_load_0123abcd; comment on role envctl_load_0123abcd is 'envctl: loads for restore 0123abcd'; \
         create role envctl_load_0123abce",
    );
    restore(&project, &file, &format!("{}_i", project.database), &[]).code(0).says("envctl_load_0123abcd");
    let left = server.sql(
        "postgres",
        "select string_agg(rolname, ',') from pg_roles where rolname like 'envctl_load_0123abc_'",
    );
    assert_eq!(left, "envctl_load_0123abce", "one that envctl did not note down is left alone");
    server.sql("postgres", "drop role envctl_load_0123abce");
}

#[test]
fn a_server_that_does_not_let_the_role_in_is_refused_with_the_way_out() {
    let server = Wanted::postgres(17, "peer").start().ready();
    let project = Project::new(&server, "peer");
    project.fill(5);
    let file = write(&project, "f.sql", server.bytes(&format!("pg_dump -U postgres {}", project.database)));
    server.sh("printf 'local all postgres trust\\nhost all postgres 127.0.0.1/32 trust\\n' >\"$PGDATA/pg_hba.conf\"");
    server.sql("postgres", "select pg_reload_conf()");
    restore(&project, &file, "victim", &[]).code(6).says("does not let").says("--trust");
    assert_eq!(
        server.sql("postgres", "select count(*) from pg_roles where rolname like 'envctl_load%'"),
        "0"
    );
    restore(&project, &file, "victim", &["--trust"]).code(0);
}

#[test]
fn a_role_without_superuser_loads_by_itself_unless_it_may_run_programs() {
    for server in Server::each() {
        let major = server.sql("postgres", "show server_version_num");
        let name = format!("sec_plain_{}", &major[..2]);
        server.sql(
            "postgres",
            &format!("create role {name} login createdb; grant create on tablespace pg_default to {name}"),
        );
        let database = format!("sec_plain_{}", std::process::id());
        server.sql("postgres", &format!("create database {database} owner {name}"));
        server.sql(
            &database,
            &format!("set role {name}; create table item (id int); insert into item values (1)"),
        );
        let project = Project::of(server, &database);
        let file = write(&project, "f.sql", server.bytes(&format!("pg_dump -U postgres {database}")));
        let toml = format!("stack = \"{}\"\n[database]\nuser = \"{name}\"\n", server.stack);
        std::fs::write(project.path().join("envctl.toml"), toml).unwrap();
        restore(&project, &file, &format!("{database}_i"), &[]).code(0);
        server.sql("postgres", &format!("grant pg_execute_server_program to {name}"));
        restore(&project, &file, &format!("{database}_j"), &[])
            .code(6)
            .says("pg_execute_server_program")
            .says("--trust");
        server.sql(
            "postgres",
            &format!(
                "drop database {database}_i; drop database {database}; drop owned by {name}; drop role {name}"
            )
            .replace("; ", ";\n"),
        );
    }
}
