// The techmage backend: one process that answers /health and counts what is in the database.
// Promises: it starts without its database and outlives the loss of it; /health tells.
const { createServer } = require("node:http");
const { Pool } = require("pg");
const { connection } = require("./database/connection.cjs");

const PORT = Number(process.env.PORT ?? 3000);
const pool = new Pool({ ...connection(), max: 4, connectionTimeoutMillis: 2_000 });
// A connection that the server ends while it is idle must not end the process.
pool.on("error", (error) => console.error(`database: ${error.message}`));

const routes = {
  "/health": async () => {
    await pool.query("SELECT 1");
    return { status: "ok" };
  },
  "/": async () => {
    const { rows } = await pool.query("SELECT (SELECT count(*) FROM users)::int AS users, (SELECT count(*) FROM posts)::int AS posts");
    return rows[0];
  },
};

const server = createServer(async (request, response) => {
  const route = routes[request.url];
  let status = route ? 200 : 404;
  let body = { status: "not found" };
  try {
    if (route) body = await route();
  } catch (error) {
    status = 503;
    body = { status: "error", error: error.message };
  }
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body) + "\n");
});

server.listen(PORT, () => console.log(`techmage listens on ${PORT}`));

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close();
    server.closeAllConnections();
    pool.end().finally(() => process.exit(0));
  });
}
