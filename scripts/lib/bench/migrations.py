"""434 migrations into an empty database: envctl's own runner, one psql that is fed the files, the Prisma CLI.

Promises: the files are generated from a fixed seed, in the shape that a grown project has (mostly small, a table in
every fifth, comments as Prisma writes them); every run begins with an empty database and ends with the same schema,
which is compared.
"""

import os
import pathlib
import random
import subprocess
import sys

from measure import interleave, run

COUNT = 434
STREAMED = "434 files streamed through one `docker exec -i DB psql`"
MIGRATE = "`envctl migrate`, driver `sql`, 434 migrations"
PRISMA = "`docker exec BACKEND prisma migrate deploy`, 434 migrations, its left-over timer unref'd"
BACKEND = "envctl-bench-backend"
TYPES = ["TEXT", "INTEGER", "BIGINT", "BOOLEAN NOT NULL DEFAULT false", "TIMESTAMP(3)", "JSONB", "DECIMAL(65,30)", "VARCHAR(120)"]


class Project:
    """A schema that grows, and the SQL of each step."""

    def __init__(self):
        self.random = random.Random(COUNT)
        self.tables = {}
        self.enums = self.names = 0

    def name(self, stem):
        self.names += 1
        return f"{stem}{self.names}"

    def table(self):
        return self.random.choice(list(self.tables))

    def create_table(self):
        name = self.name("Table")
        columns = [self.name("col") for _ in range(self.random.randint(4, 11))]
        lines = ['    "id" SERIAL NOT NULL', '    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP']
        lines += [f'    "{column}" {self.random.choice(TYPES)}' for column in columns]
        parent = self.table() if self.tables and self.random.random() < 0.7 else None
        if parent:
            lines.append('    "parentId" INTEGER')
        lines.append(f'\n    CONSTRAINT "{name}_pkey" PRIMARY KEY ("id")')
        self.tables[name] = columns
        sql = f'-- CreateTable\nCREATE TABLE "{name}" (\n' + ",\n".join(lines) + "\n);\n"
        if self.random.random() < 0.6:
            sql += "\n" + self.index(name)
        if parent:
            sql += (
                f'\n-- AddForeignKey\nALTER TABLE "{name}" ADD CONSTRAINT "{name}_parentId_fkey" FOREIGN KEY ("parentId") '
                f'REFERENCES "{parent}"("id") ON DELETE SET NULL ON UPDATE CASCADE;\n'
            )
        return sql

    def index(self, name=None):
        name = name or self.table()
        column = self.random.choice(self.tables[name])
        return f'-- CreateIndex\nCREATE INDEX "{self.name("idx")}" ON "{name}"("{column}");\n'

    def add_columns(self):
        name = self.table()
        added = [self.name("col") for _ in range(self.random.randint(1, 3))]
        parts = ",\n".join(f'ADD COLUMN     "{column}" {self.random.choice(TYPES)}' for column in added)
        self.tables[name] += added
        return f'-- AlterTable\nALTER TABLE "{name}" {parts};\n'

    def rename(self):
        name = self.table()
        at = self.random.randrange(len(self.tables[name]))
        old, new = self.tables[name][at], self.name("col")
        self.tables[name][at] = new
        return f'-- AlterTable\nALTER TABLE "{name}" RENAME COLUMN "{old}" TO "{new}";\n'

    def drop(self):
        name = self.table()
        if len(self.tables[name]) < 3:
            return self.add_columns()
        column = self.tables[name].pop(self.random.randrange(len(self.tables[name])))
        return (
            f"/*\n  Warnings:\n\n  - You are about to drop the column `{column}` on the `{name}` table.\n\n*/\n"
            f'-- AlterTable\nALTER TABLE "{name}" DROP COLUMN "{column}";\n'
        )

    def enum(self):
        name, enum, column = self.table(), self.name("Kind"), self.name("col")
        self.tables[name].append(column)
        return (
            f"-- CreateEnum\nCREATE TYPE \"{enum}\" AS ENUM ('ONE', 'TWO', 'THREE');\n\n"
            f"-- AlterTable\nALTER TABLE \"{name}\" ADD COLUMN     \"{column}\" \"{enum}\" NOT NULL DEFAULT 'ONE';\n"
        )

    def data(self):
        name = self.table()
        return f'UPDATE "{name}" SET "createdAt" = now() WHERE "createdAt" IS NULL;\n'

    def function(self):
        name = self.name("touch")
        return (
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  NEW.\"createdAt\" := now();\n"
            f'  RETURN NEW;\nEND;\n$$;\n\nCREATE TRIGGER {name} BEFORE UPDATE ON "{self.table()}" '
            f"FOR EACH ROW EXECUTE FUNCTION {name}();\n"
        )

    def step(self, number):
        if number < 5:
            return self.create_table()
        kinds = [self.create_table, self.add_columns, self.index, self.enum, self.rename, self.drop, self.data, self.function]
        return self.random.choices(kinds, [20, 36, 16, 8, 5, 8, 5, 2])[0]()


def generate(folder):
    """Writes the folders, one an hour; gives the files in their order."""
    project, files = Project(), []
    for number in range(COUNT):
        day, hour = divmod(number, 20)
        at = folder / f"2024{1 + day // 28:02}{1 + day % 28:02}{hour:02}0000_step_{number:03}"
        at.mkdir(parents=True)
        files.append(at / "migration.sql")
        files[-1].write_text(project.step(number))
    (folder / "migration_lock.toml").write_text('provider = "postgresql"\n')
    return files


def fresh(bench):
    bench.sql("postgres", "DROP DATABASE IF EXISTS migrated WITH (FORCE)")
    bench.sql("postgres", "CREATE DATABASE migrated TEMPLATE template0")
    bench.sql("postgres", "CHECKPOINT")


def schema(bench):
    argv = [bench.docker, "exec", bench.container, "pg_dump", "-U", "bench", "--schema-only", "--restrict-key=x"]
    argv += ["--exclude-table=_prisma_migrations", "migrated"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


def backend(bench, folder):
    """The Prisma CLI beside the database, with the generated folder in the place of the demo's own."""
    remove(bench)
    at = "/app/src/database/prisma/migrations"
    argv = [bench.docker, "run", "--detach", "--name", BACKEND, "--network", f"container:{bench.container}"]
    argv += ["--volume", f"{folder}:{at}:ro", "--env", "DATABASE_URL=postgresql://bench:bench@127.0.0.1:5432/migrated"]
    subprocess.run([*argv, "--entrypoint", "sleep", "envctl-backend:20", "infinity"], check=True, stdout=subprocess.DEVNULL)


def remove(bench):
    subprocess.run([bench.docker, "rm", "--force", BACKEND], check=False, capture_output=True)


def migrations(bench):
    folder = pathlib.Path(bench.file("generated")) / "migrations"
    files = generate(folder)
    whole = bench.directory / "generated.sql"
    whole.write_text("\n".join(path.read_text() for path in files))
    os.chmod(bench.directory, 0o755)  # the container's user reads the folder
    ours = bench.environment | {"ENVCTL_MIGRATIONS_DRIVER": "sql", "ENVCTL_MIGRATIONS_DIR": str(folder)}
    stack = bench.project.removesuffix("-dev")
    argv = [bench.envctl_binary, "migrate", "-q", "--stack", stack, "--dev", "--database", "migrated"]
    psql = f"{bench.docker} exec -i {bench.container} psql -X -q -v ON_ERROR_STOP=1 -U bench -d migrated"
    deploy = [bench.docker, "exec", BACKEND, "node_modules/.bin/prisma", "migrate", "deploy"]
    seen = {}

    def checked(name, job, rows):
        def measured():
            one = job()
            if rows and bench.sql("migrated", "SELECT count(*) FROM _prisma_migrations WHERE finished_at IS NOT NULL") != str(COUNT):
                sys.exit(f"bench: error: {name} has not applied {COUNT} migrations")
            seen[name] = schema(bench)
            return one
        return name, measured

    backend(bench, folder)
    try:
        jobs = [
            checked(STREAMED, bench.shell(f"{psql} >/dev/null <{whole}"), rows=False),
            checked(MIGRATE, lambda: run(argv, environment=ours), rows=True),
            checked(PRISMA, lambda: run(deploy), rows=True),
        ]
        samples = interleave(jobs, bench.runs, before=lambda: fresh(bench))
    finally:
        remove(bench)
        bench.sql("postgres", "DROP DATABASE IF EXISTS migrated WITH (FORCE)")
    if len(set(seen.values())) != 1:
        sys.exit("bench: error: the ways to migrate leave different schemas")
    return samples


PARTS = {"migrations": migrations}
