// Test data for development: a few hundred users, their posts and tags, the same ones every time.
// Promises: a second run changes nothing.
const { Client } = require("pg");
const { connection } = require("../connection.cjs");

const SEED = `
INSERT INTO tags (name)
VALUES ('postgres'), ('docker'), ('typescript'), ('rust'), ('linux'), ('testing'), ('design'), ('news')
ON CONFLICT DO NOTHING;

INSERT INTO users (email, name, role, created_at)
SELECT format('user%s@example.test', n),
       (ARRAY['Anna','Boris','Chen','Daria','Émile','Fatima','Grigori','Hana'])[1 + n % 8] || ' ' ||
       (ARRAY['Ivanova','O''Neill','Müller','Петрова','Sato','Nowak','Silva'])[1 + n % 7],
       (CASE WHEN n % 100 = 0 THEN 'ADMIN' WHEN n % 5 = 0 THEN 'AUTHOR' ELSE 'READER' END)::"Role",
       timestamptz '2024-12-01 14:30:22+00' + n * interval '3 hours'
FROM generate_series(1, 300) AS n
WHERE NOT EXISTS (SELECT FROM users);

INSERT INTO posts (author_id, title, body, views, published_at)
SELECT u.id, format('Post %s by %s', k, u.name), repeat(format('Paragraph %s. ', k), 20), u.id * k % 977,
       CASE WHEN k % 4 > 0 THEN u.created_at + k * interval '1 day' END
FROM users u, generate_series(1, 2) AS k
WHERE NOT EXISTS (SELECT FROM posts);

INSERT INTO post_tags (post_id, tag_id)
SELECT p.id, t.id FROM posts p JOIN tags t ON (p.id + t.id) % 5 = 0
ON CONFLICT DO NOTHING;
`;

async function main() {
  const client = new Client(connection());
  await client.connect();
  await client.query(`BEGIN; ${SEED} COMMIT;`);
  const { rows } = await client.query("SELECT (SELECT count(*) FROM users) AS users, (SELECT count(*) FROM posts) AS posts");
  console.log(`${rows[0].users} users, ${rows[0].posts} posts`);
  await client.end();
}

main().catch((error) => {
  console.error(`seed failed: ${error.message}`);
  process.exitCode = 1;
});
