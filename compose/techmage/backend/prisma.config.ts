// How the Prisma CLI works here: the JavaScript engine over node-postgres, because the native engines
// cannot be downloaded without a network. Prisma 7 has no `engine: "js"`; this stays on 6.19.
import { defineConfig } from "prisma/config";
import { adapterFactory } from "./src/database/adapter.cjs";
import { connectionUrl } from "./src/database/connection.cjs";

// schema.prisma insists on the variable; in production only the parts of it are given.
process.env.DATABASE_URL ??= connectionUrl();

export default defineConfig({
  experimental: { adapter: true },
  engine: "js",
  schema: "src/database/prisma/schema.prisma",
  migrations: {
    path: "src/database/prisma/migrations",
    seed: "node src/database/prisma/seed.cjs",
  },
  adapter: async () => adapterFactory(),
});
