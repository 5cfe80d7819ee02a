-- The fixture of the round trip: one of everything that a dump and a restore could get wrong.
-- Loaded with `psql -v ON_ERROR_STOP=1` into an empty database; :db is its name.

CREATE EXTENSION pg_trgm;
CREATE EXTENSION pgcrypto;
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;

CREATE SCHEMA first;
CREATE SCHEMA second;
CREATE TABLE first.same (id int PRIMARY KEY, here text);
CREATE TABLE second.same (id int PRIMARY KEY, there text);
INSERT INTO first.same SELECT n, 'first ' || n FROM generate_series(1, 20) n;
INSERT INTO second.same SELECT n, 'second ' || n FROM generate_series(1, 30) n;

-- Types.
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy', 'it''s', 'ünïcode');
CREATE TYPE address AS (street text, city citext, number int);
CREATE TYPE float_range AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE DOMAIN email AS citext CHECK (VALUE ~ '@') NOT NULL;
CREATE TABLE typed (
    id int GENERATED ALWAYS AS IDENTITY (START 100 INCREMENT 7) PRIMARY KEY,
    m mood DEFAULT 'ok', a address, r float_range, rs int4range[], p positive, e email,
    j jsonb, x xml, u uuid DEFAULT gen_random_uuid(), i interval, ip inet, b bit varying(9),
    ts timestamptz, n numeric(30, 10), ar text[][], t tsvector, pt point
);
INSERT INTO typed (m, a, r, rs, p, e, j, u, i, ip, b, ts, n, ar, t, pt) VALUES
    ('happy', ROW('Main "St"', 'Köln', 7), '[1.5,2.5)', '{"[1,3)","[5,)",empty}', 1, 'A@b.example',
     '{"a": [1, null, "\u00e9\n"]}', '00000000-0000-0000-0000-000000000001', '1 mon -2 days 03:04:05.6', '::1/64',
     B'10101', 'infinity', 12345678901234567890.0123456789, '{{a,NULL},{"NULL","x,y"}}', 'a:1 fat:2 cat:3', '(1,2)'),
    ('it''s', NULL, 'empty', NULL, 2147483647, '@', 'null', '00000000-0000-0000-0000-000000000002', '-1 year', '10.0.0.0/8',
     B'', '-infinity', 'NaN', '{}', '', NULL);

-- Every byte, every odd float, text that looks like COPY's own signs.
CREATE TABLE bytes (id int PRIMARY KEY, b bytea);
INSERT INTO bytes SELECT n, decode(lpad(to_hex(n), 2, '0'), 'hex') FROM generate_series(0, 255) n;
INSERT INTO bytes SELECT 256, string_agg(decode(lpad(to_hex(n), 2, '0'), 'hex'), '' ORDER BY n) FROM generate_series(0, 255) n;
INSERT INTO bytes VALUES (257, ''), (258, NULL);
CREATE TABLE floats (id serial PRIMARY KEY, f float8, g float4, n numeric, d date);
INSERT INTO floats (f, g, n, d) VALUES
    ('NaN', 'NaN', 'NaN', 'infinity'), ('inf', 'inf', 'Infinity', '-infinity'), ('-inf', '-inf', '-Infinity', '0044-03-15 BC'),
    (-0.0, -0.0, 0.000, '5874897-12-31'), (1e-307, 1.17549435e-38, 1e-100, '2000-02-29'),
    (0.1, 0.1, 0.1, '1582-10-10'), (1.7976931348623157e308, 3.4028235e38, 1e100, NULL);
CREATE TABLE texts (t text);
INSERT INTO texts VALUES ('\.'), (E'\\.\n\\.\n'), (E'\ttab\t'), ('\N'), (E'\\'), (''), (NULL), (E'\r\n'), (E'\x01\x7f'),
    ('-- PostgreSQL database dump complete'), (E'a\n--\n-- PostgreSQL database dump complete\n--\n\n'), ('COPY x FROM stdin;'),
    (E'\\unrestrict abc'), (E'\\connect postgres'), ('ENVCTL-EOF 0 rc=000'), (U&'\202E\200B\FEFF\+01F600'), (repeat('wide ', 400000));
CREATE TABLE columnless ();
INSERT INTO columnless DEFAULT VALUES;
INSERT INTO columnless DEFAULT VALUES;
CREATE TABLE empty_one (id int);
CREATE UNLOGGED TABLE unlogged_one (id int);
INSERT INTO unlogged_one VALUES (1);

-- Names.
CREATE SCHEMA "Schema with ""quotes"" and 'more'";
CREATE TABLE "Schema with ""quotes"" and 'more'"."table
with newline" ("select" int, "ö\backslash" text, " " int, "a""b" int, "; DROP TABLE x; --" int);
INSERT INTO "Schema with ""quotes"" and 'more'"."table
with newline" VALUES (1, 'x', 2, 3, 4);
CREATE TABLE "Ünïcode_表" (id int PRIMARY KEY, "日本" text);
INSERT INTO "Ünïcode_表" VALUES (1, '語');
COMMENT ON TABLE "Ünïcode_表" IS E'line one\nline ''two''\n\\. three';
COMMENT ON COLUMN "Ünïcode_表"."日本" IS '-- PostgreSQL database dump complete';

-- Generated, inherited, partitioned.
CREATE TABLE generated (a int, b int GENERATED ALWAYS AS (a * 2) STORED, c text GENERATED ALWAYS AS (a::text || '!') STORED);
INSERT INTO generated (a) SELECT generate_series(1, 10);
CREATE TABLE parent (one int, two text, three date);
CREATE TABLE child (three date, four int, one int, two text) INHERITS (parent);
ALTER TABLE child ADD COLUMN five int DEFAULT 5;
ALTER TABLE parent DROP COLUMN three;
INSERT INTO parent VALUES (1, 'parent');
INSERT INTO child (one, two, three, four) VALUES (2, 'child', '2020-01-01', 4);
CREATE TABLE parted (id int, at date NOT NULL, what text) PARTITION BY RANGE (at);
CREATE INDEX parted_id ON parted (id, at DESC);
CREATE TABLE parted_2020 PARTITION OF parted FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE parted_2021 PARTITION OF parted FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY LIST (what);
CREATE TABLE parted_2021_a PARTITION OF parted_2021 FOR VALUES IN ('a', NULL);
CREATE TABLE parted_2021_rest PARTITION OF parted_2021 DEFAULT;
CREATE TABLE parted_rest (what text, at date NOT NULL, id int, PRIMARY KEY (at, id));
ALTER TABLE parted ATTACH PARTITION parted_rest DEFAULT;
INSERT INTO parted SELECT n, '2019-12-01'::date + n * 20, chr(97 + n % 3) FROM generate_series(1, 100) n;
CREATE TABLE hashed (id int) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT generate_series(1, 50);

-- Keys and constraints of the awkward kind.
CREATE TABLE booking (room int, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&) DEFERRABLE INITIALLY DEFERRED);
INSERT INTO booking VALUES (1, '[2020-01-01,2020-01-02)'), (1, '[2020-01-02,2020-01-03)'), (2, '[2020-01-01,2020-01-05)');
CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node DEFERRABLE INITIALLY DEFERRED);
BEGIN; INSERT INTO node VALUES (2, 3), (3, 1), (1, 2); COMMIT;
CREATE TABLE loose (id int PRIMARY KEY, node int);
INSERT INTO loose VALUES (1, 999);
ALTER TABLE loose ADD CONSTRAINT not_valid_fk FOREIGN KEY (node) REFERENCES node NOT VALID;
ALTER TABLE loose ADD CONSTRAINT not_valid_check CHECK (node < 10) NOT VALID;
CREATE UNIQUE INDEX loose_partial ON loose ((node % 7)) WHERE id > 0;
CREATE INDEX texts_trgm ON texts USING gin (left(t, 100) gin_trgm_ops);
CREATE INDEX typed_json ON typed USING gin (j jsonb_path_ops);
ALTER TABLE typed REPLICA IDENTITY FULL;
ALTER TABLE typed CLUSTER ON typed_pkey;
ALTER TABLE typed ALTER COLUMN j SET STORAGE EXTERNAL, ALTER COLUMN n SET STATISTICS 500;
CREATE STATISTICS parted_stats (dependencies, mcv) ON id, what FROM parted;
ALTER TABLE first.same SET (fillfactor = 70, autovacuum_enabled = off);
CREATE COLLATION german (provider = icu, locale = 'de-u-co-phonebk');
CREATE TABLE collated (t text COLLATE german, c text COLLATE "C");
INSERT INTO collated VALUES ('ä', 'B'), ('z', 'a');

-- Sequences with a position of their own.
CREATE SEQUENCE odd_sequence AS smallint INCREMENT -3 MINVALUE -1000 MAXVALUE 500 START 99 CYCLE CACHE 1;
SELECT nextval('odd_sequence'), nextval('odd_sequence');
CREATE SEQUENCE untouched START 42;
SELECT setval('floats_id_seq', 1000, false);

-- Code.
CREATE FUNCTION twice(x int) RETURNS int LANGUAGE plpgsql IMMUTABLE STRICT AS $body$
BEGIN
    -- a line that looks like the end: \.
    RETURN x * 2; -- $$ not the end $$
END $body$;
CREATE PROCEDURE nothing() LANGUAGE sql AS $$ SELECT 1; SELECT 'COPY x FROM stdin;' $$;
CREATE FUNCTION "atomic one"(a int DEFAULT 7) RETURNS int LANGUAGE sql BEGIN ATOMIC SELECT a + 1; END;
CREATE AGGREGATE longest(text) (SFUNC = textcat, STYPE = text, INITCOND = '');
CREATE OPERATOR === (LEFTARG = int, RIGHTARG = int, FUNCTION = int4eq, COMMUTATOR = ===);
CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'a trigger fired while loading'; END $$;
CREATE TRIGGER guard BEFORE INSERT ON empty_one FOR EACH ROW EXECUTE FUNCTION touch();
CREATE TABLE watched (id int);
INSERT INTO watched VALUES (1), (2);
CREATE TRIGGER watched_guard BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE watched DISABLE TRIGGER watched_guard;
CREATE TRIGGER watched_always BEFORE DELETE ON watched FOR EACH ROW EXECUTE FUNCTION touch();
ALTER TABLE watched ENABLE ALWAYS TRIGGER watched_always;
CREATE RULE quiet AS ON UPDATE TO empty_one DO INSTEAD NOTHING;
CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN NULL; END $$;
CREATE EVENT TRIGGER audit_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();
COMMENT ON EVENT TRIGGER audit_ddl IS 'seen';

-- Views on views, one of them not filled.
CREATE VIEW totals AS SELECT what, count(*) AS n FROM parted GROUP BY what;
CREATE MATERIALIZED VIEW mv_one AS SELECT * FROM totals;
CREATE MATERIALIZED VIEW mv_two AS SELECT sum(n) AS s FROM mv_one;
CREATE UNIQUE INDEX mv_one_what ON mv_one (what);
CREATE MATERIALIZED VIEW mv_unfilled AS SELECT 1 AS one WITH NO DATA;
CREATE RECURSIVE VIEW "up the tree" (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM "up the tree" WHERE n < 5;
CREATE VIEW guarded WITH (security_barrier) AS SELECT * FROM node WHERE id > 0 WITH LOCAL CHECK OPTION;

-- Rights.
DO $$ BEGIN
    CREATE ROLE "r1 owner"; EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
DO $$ BEGIN
    CREATE ROLE r1_reader; EXCEPTION WHEN duplicate_object THEN NULL;
END $$;
ALTER TABLE second.same OWNER TO "r1 owner";
ALTER SCHEMA second OWNER TO "r1 owner";
GRANT USAGE ON SCHEMA first TO r1_reader;
GRANT SELECT (id), UPDATE (here) ON first.same TO r1_reader WITH GRANT OPTION;
GRANT EXECUTE ON FUNCTION twice(int) TO r1_reader;
REVOKE EXECUTE ON FUNCTION twice(int) FROM PUBLIC;
GRANT USAGE ON SEQUENCE odd_sequence TO r1_reader;
ALTER DEFAULT PRIVILEGES IN SCHEMA first GRANT SELECT ON TABLES TO r1_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE "r1 owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER TABLE typed ENABLE ROW LEVEL SECURITY;
ALTER TABLE typed FORCE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON typed FOR ALL TO r1_reader USING (p > 0) WITH CHECK (p < 100);

-- Large objects.
SELECT lo_from_bytea(424242, decode(repeat('00ff5c0a', 5000), 'hex'));
SELECT lo_from_bytea(424243, '');
COMMENT ON LARGE OBJECT 424242 IS 'a large one';
GRANT SELECT ON LARGE OBJECT 424242 TO r1_reader;

CREATE PUBLICATION some_tables FOR TABLE node, parted;
CREATE PUBLICATION all_tables FOR ALL TABLES WITH (publish = 'insert,delete');
CREATE FOREIGN DATA WRAPPER dummy;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER dummy OPTIONS (host 'nowhere');
CREATE FOREIGN TABLE far_away (id int) SERVER elsewhere;
CREATE FUNCTION mood_number(m mood) RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 1 $$;
CREATE CAST (mood AS int) WITH FUNCTION mood_number(mood) AS ASSIGNMENT;
CREATE TEXT SEARCH CONFIGURATION mine (COPY = simple);

-- What belongs to the database itself and is in no dump.
ALTER DATABASE :"db" OWNER TO "r1 owner";
ALTER DATABASE :"db" CONNECTION LIMIT 33;
COMMENT ON DATABASE :"db" IS 'the round trip''s';
ALTER DATABASE :"db" SET "r1.setting" = 'a "quoted" value';
ALTER ROLE r1_reader IN DATABASE :"db" SET work_mem = '9MB';
GRANT CONNECT, TEMPORARY ON DATABASE :"db" TO r1_reader;
REVOKE TEMPORARY ON DATABASE :"db" FROM PUBLIC;
