//! Functions of which a backup warns, and those of which it does not.

use crate::support::{Project, Server};

#[test]
fn a_backup_warns_of_functions_that_a_restore_would_call_and_of_no_others() {
    let server = Server::shared(15);
    let project = Project::new(server, "rely");
    project.sql(
        "create table public.t (id int); create type public.mood as enum ('a'); create schema other; \
         create function public.inner_one(text) returns text language sql immutable as 'select lower($1)'; \
         create function public.bad_function(text) returns text language sql immutable as 'select upper(lower(inner_one($1)))'; \
         create function public.bad_table(int) returns bool language plpgsql stable as \
           'begin return exists (select from only T where id = $1); end'; \
         create function public.bad_type(text) returns text language plpgsql immutable as 'begin return $1::mood; end'; \
         create function public.bad_deep(text) returns text language plpgsql immutable as 'begin return inner_one($1); end'; \
         create function public.inside(text) returns text language plpgsql immutable as \
           'begin return public.bad_deep($1); end'; \
         create function public.good_qualified(text) returns text language sql immutable as \
           'select public.inner_one($1) -- inner_one(1) from t'; \
         create function public.good_path(text) returns text language sql immutable set search_path = public as \
           'select inner_one($1)'; \
         create function public.good_built_in(text) returns text language sql immutable as 'select lower($1) from pg_class'; \
         create function public.good_unused(text) returns text language sql immutable as 'select inner_one($1)'; \
         create function public.good_default() returns text language sql as 'select inner_one(''x'')'; \
         create table public.a (v text default public.good_default(), i int check (public.bad_table(i)), \
           g text generated always as (public.bad_function(v)) stored, h text generated always as (public.good_path(v)) stored, \
           k text generated always as (public.good_qualified(v)) stored); \
         create index a_type on public.a (public.bad_type(v)); create index a_good on public.a (public.good_built_in(v)); \
         create domain other.d as text check (public.inside(value) is not null)",
    );
    let said = project.run(&["backup"]).code(0).err();
    let words = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for told in [
        "public.bad_function(text), which generated column g of public.a calls, names inner_one of schema public",
        "public.bad_deep(text), which CHECK d_check of other.d calls, names inner_one of schema public",
        "public.bad_table(integer), which CHECK a_i_check of public.a calls, names t of schema public",
        "public.bad_type(text), which index public.a_type calls, names mood of schema public",
        "ALTER FUNCTION public.bad_table(integer) SET search_path = public",
    ] {
        assert!(words.contains(told), "{told}\n{words}");
    }
    assert_eq!(words.matches("with an empty search path").count(), 4, "{words}");
    assert!(!words.contains("good_"), "{words}");
}
