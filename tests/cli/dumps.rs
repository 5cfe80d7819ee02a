//! pg_dump for the fake engine, and dumps as it writes them.

use crate::daemon::Process;

/// A small database as pg_dump 15.18 writes it: one table with two rows.
pub(crate) const DUMP: &str = "\
--
-- PostgreSQL database dump
--

-- Dumped from database version 15.18 (Debian 15.18-0+deb12u1)
-- Dumped by pg_dump version 15.18 (Debian 15.18-0+deb12u1)

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);

--
-- Name: users; Type: TABLE; Schema: public; Owner: postgres
--

CREATE TABLE public.users (
    id integer NOT NULL,
    name text
);


ALTER TABLE public.users OWNER TO postgres;

--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: postgres
--

COPY public.users (id, name) FROM stdin;
1\tada
2\tbob
\\.


--
-- PostgreSQL database dump complete
--

";

/// The program `pg_dump` that writes this.
pub(crate) fn pg_dump(dump: &str) -> impl Fn(&mut Process<'_>) -> i64 + Send + Sync + 'static {
    let dump = dump.to_owned();
    move |process| {
        process.out(&dump);
        0
    }
}

/// The program `pg_dump` that fails half-way with these words.
pub(crate) fn failing_pg_dump(
    words: &'static str,
) -> impl Fn(&mut Process<'_>) -> i64 + Send + Sync + 'static {
    move |process| {
        process.out(&DUMP[..DUMP.len() / 2]);
        process.err(format!("pg_dump: error: {words}\n"));
        1
    }
}
