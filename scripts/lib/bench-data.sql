-- The database that scripts/bench measures: two tables, text and JSON, keys and three more indexes.
--
--   psql -v rows=1500000 -f bench-data.sql      about 518 MB as a plain dump
--
-- Promises: the same rows wherever it runs. Every value follows from its row number through hashes, so that
-- the dump packs like a real one (about 3.5 times with gzip -6): few words, many repeated keys, some digits that
-- nothing can pack.
-- How it packs decides who wins on size: with bodies of short random words gzip at level 4 came out 0.34 % larger than
-- `gzip -6`, with these repeating phrases 4 % smaller.

\set ON_ERROR_STOP on
SET client_min_messages = warning;
SET synchronous_commit = off;
SET maintenance_work_mem = '256MB';
SET max_parallel_maintenance_workers = 0;
SET timezone = 'UTC';

-- Word number `pick` of a small vocabulary.
CREATE FUNCTION word(pick bigint) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT ('{order,invoice,customer,shipped,pending,the,a,of,to,for,with,and,was,has,been,is,not,payment,received,
        account,delivery,address,changed,by,on,at,warehouse,north,south,article,returned,damaged,refund,approved,
        rejected,manager,support,ticket,opened,closed,again,after,before,weekend,holiday,express,standard,courier,
        parcel,label,printed,scanned,missing,found,replacement,sent,email,phone,call,back,tomorrow,today,urgent,
        normal}'::text[])[1 + (pick & 63)]
$$;

CREATE TABLE events (
    id bigint PRIMARY KEY,
    account_id integer NOT NULL,
    kind text NOT NULL,
    payload jsonb NOT NULL,
    created_at timestamptz NOT NULL
);

CREATE TABLE messages (
    id bigint PRIMARY KEY,
    event_id bigint NOT NULL,
    author text NOT NULL,
    body text NOT NULL,
    price numeric(12, 2),
    created_at timestamptz NOT NULL
);

INSERT INTO events
SELECT id,
    1 + (h & 65535)::integer,
    word(h >> 16) || '.' || word(h >> 22),
    jsonb_build_object(
        'session', substr(md5(id::text), 1, 32),
        'amount', 10000 + ((h >> 30) & 16383),
        'client', jsonb_build_object('platform', CASE WHEN (h & 7) < 3 THEN 'android' ELSE 'browser' END, 'release', '4.17.' || ((h >> 40) & 7)),
        'currency', CASE WHEN (h & 7) = 0 THEN 'USD' ELSE 'EUR' END,
        'retry', (h & 31) = 1),
    '2024-01-01'::timestamptz + id * interval '17 seconds' + (h & 1023) * interval '1 millisecond'
FROM (SELECT id, hashint8extended(id, 1) AS h FROM generate_series(1, :rows::bigint) AS id) AS numbered;

-- Sentences repeat as they do in what programs and people write: far apart.
CREATE TEMP TABLE phrases AS
SELECT n, concat_ws(' ', word(h), word(h >> 6), word(h >> 12), word(h >> 18), word(h >> 24)) AS phrase
FROM (SELECT n, hashint8extended(n, 4) AS h FROM generate_series(0, 255) AS n) AS numbered;
ANALYZE phrases;

INSERT INTO messages
SELECT id,
    1 + (h & 9223372036854775807) % :rows,
    word(h) || '.' || word(g) || (h & 511),
    concat_ws(' ', phrases.phrase, g & 65535, md5(h::text)),
    CASE WHEN (g & 3) > 0 THEN ((g >> 42) & 1048575) / 100.0 END,
    '2024-01-01'::timestamptz + id * interval '17 seconds' + (g & 1023) * interval '1 millisecond'
FROM (
    SELECT id, hashint8extended(id, 2) AS h, hashint8extended(id, 3) AS g
    FROM generate_series(1, :rows::bigint) AS id
) AS numbered
JOIN phrases ON phrases.n = ((h >> 20) & 255)
ORDER BY id;

CREATE INDEX events_account ON events (account_id, created_at);
CREATE INDEX messages_event ON messages (event_id);
CREATE INDEX messages_author ON messages (author);
DROP FUNCTION word(bigint);

VACUUM ANALYZE;
CHECKPOINT;
