// Where the database is: DATABASE_URL (development), or DATABASE_HOST, _PORT, _USER, _NAME and
// DATABASE_PASSWORD_FILE (production, where the password is a secret file and never in the environment).
const { readFileSync } = require("node:fs");

function connection(env = process.env) {
  if (env.DATABASE_URL) {
    const url = new URL(env.DATABASE_URL);
    return {
      host: url.hostname,
      port: Number(url.port || 5432),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
    };
  }
  return {
    host: env.DATABASE_HOST ?? "db",
    port: Number(env.DATABASE_PORT ?? 5432),
    user: env.DATABASE_USER ?? "techmage",
    password: readFileSync(env.DATABASE_PASSWORD_FILE, "utf8").trim(),
    database: env.DATABASE_NAME ?? "techmage",
  };
}

function connectionUrl({ host, port, user, password, database } = connection()) {
  const part = encodeURIComponent;
  return `postgresql://${part(user)}:${part(password)}@${host}:${port}/${part(database)}`;
}

module.exports = { connection, connectionUrl };
