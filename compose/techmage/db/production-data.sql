-- Fills a migrated, empty techmage database with 50 000 users and 50 000 posts, for a production worth backing up.
-- Promises: one transaction, the same rows every time, nothing where there are users already.
BEGIN;

SELECT NOT EXISTS (SELECT FROM users) AS empty \gset
\if :empty

INSERT INTO tags (name)
SELECT unnest(ARRAY['postgres', 'docker', 'typescript', 'rust', 'linux', 'testing', 'design', 'news', 'release', 'security',
                    'кухня', 'поход', 'it''s complicated', 'back\slash', E'tab\there', 'emoji 🧙']);

INSERT INTO users (email, name, role, created_at)
SELECT format('%s.%s@%s', lower(first), n, (ARRAY['example.com', 'example.org', 'mail.example.net'])[1 + n % 3]),
       CASE WHEN n % 29 > 0 THEN initcap(first) || ' ' || last END,
       (CASE WHEN n % 5000 = 0 THEN 'ADMIN' WHEN n % 12 = 0 THEN 'AUTHOR' ELSE 'READER' END)::"Role",
       timestamptz '2024-12-01 14:30:22+00' + n * interval '17 minutes'
FROM generate_series(1, 50000) AS n,
     LATERAL (SELECT (ARRAY['anna', 'boris', 'chen', 'daria', 'emil', 'fatima', 'grigori', 'hana', 'ivan', 'julia', 'kofi'])[1 + n % 11] AS first,
                     (ARRAY['Ivanova', 'O''Neill', 'Müller', 'Петрова', 'Sato', 'Nowak', 'Silva', 'de la Cruz', 'Okafor'])[1 + n % 9] AS last) AS names;

INSERT INTO posts (author_id, title, body, views, published_at, created_at)
SELECT u.id,
       (ARRAY['How we', 'Why I', 'Notes on how we', 'What nobody says when we'])[1 + n % 4] || ' ' ||
       (ARRAY['migrated', 'lost', 'restored', 'measured', 'rewrote', 'deleted'])[1 + n % 6] || ' ' ||
       (ARRAY['the database', 'the queue', 'everything', 'a backup', 'the schema'])[1 + n % 5],
       repeat(md5(n::text) || E' — it took a while; here is what we saw.\n', 2 + n % 9),
       (n * 7919) % 100000,
       CASE WHEN n % 6 > 0 THEN u.created_at + interval '2 days' END,
       u.created_at + interval '1 day'
FROM generate_series(1, 50000) AS n
JOIN LATERAL (SELECT 12 * (1 + n % 4166) AS nth) AS a ON true
JOIN users u ON u.id = a.nth;

INSERT INTO post_tags (post_id, tag_id)
SELECT p.id, t.id FROM posts p JOIN tags t ON (p.id * 31 + t.id * 17) % 13 = 0;

\endif
COMMIT;
ANALYZE;
