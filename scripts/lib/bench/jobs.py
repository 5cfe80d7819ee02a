"""What is measured: each part of the benchmark as jobs that take turns, and what they left behind.

A pipeline runs under `bash -o pipefail`, as a careful person would type it.
"""

import json
import os
import pathlib
import subprocess
import sys

from measure import Behind, RawApi, interleave, run

FLOOR = "`pg_dump >/dev/null` inside the container: the floor"
TRANSPORT = "`docker exec pg_dump >/dev/null` (transport only)"
GZIP = "`docker exec pg_dump \\| gzip`"
ZSTD = "`docker exec pg_dump \\| zstd -1 -T0`"
PIGZ = "`docker exec pg_dump \\| pigz`"
CUSTOM = "`docker exec pg_dump -Fc`"
FIFO = "a worker and a FIFO by hand: `docker run … pg_dump -f FIFO`, `cat FIFO >/dev/null`"
EMPTY = "starting and removing a container: `docker run --rm … true`"
BACKUP = "`envctl backup` (gzip)"
BACKUP_ONE = "`taskset -c 0 envctl backup` (gzip, one core for envctl)"
BACKUP_EXEC = "`envctl backup --transport exec` (gzip)"
BACKUP_ZSTD = "`envctl backup --compress zstd`"
BACKUP_ENCRYPTED = "`envctl backup`, encrypted to a recipient (gzip)"
BACKUP_NONE = "`envctl backup --compress none -o - >/dev/null`"
PG_RESTORE_TWO = "`pg_restore -j 2` inside the container: the floor of two"
PSQL_FLOOR = "`psql -f` inside the container: the floor of one session"
GUNZIP = "`gunzip \\| docker exec -i psql`"
RESTORE = "`envctl restore FILE --yes --no-backup` (checked, loaded aside, compared, swapped in)"
RESTORE_ONE = "`envctl restore FILE --yes --no-backup -j 1`"
RESTORE_ENCRYPTED = "`envctl restore FILE.age --yes --no-backup`"
RESTORE_TWO = "`envctl restore FILE --yes --no-backup -j 2`"
RAW = "raw API: create, start, read to the end, inspect"
DOCKER_EXEC = "`docker exec C true`"
COMPOSE_EXEC = "`docker compose exec -T db true` (the Compose named above)"
EXEC = "`envctl exec -q db -- true`"
SHELL = "`envctl shell db -- true`"
ANY = "`true` (what starting any process costs)"
VERSION = "`envctl --version`"
DOCKER_VERSION = "`docker --version`"
STATUS_ONE = "`envctl status --stack envctl-bench` (1 database)"
STATUS_ALL = "`envctl status`"
MIGRATE_STATUS = "`envctl migrate status`, 20 stacks (files of this machine)"
MIGRATE_STATUS_CLI = "`envctl migrate status`, 20 stacks (the backend's files)"
PSQL_LOOP = "a loop of 20 `docker exec DB psql`"
PRISMA_LOOP = "a loop of 20 `docker exec BACKEND prisma migrate status`"


# A pair of keys that the tests of age have published.
RECIPIENT = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa"
IDENTITY = "AGE-SECRET-KEY-1GQ9778VQXMMJVE8SK7J6VT8UJ4HDQAJUVSFCWCM02D8GEWQ72PVQ2Y5J33"


class Bench:
    """The tools and the database container, and a directory for what the jobs write."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)
        self.docker = os.environ["BENCH_DOCKER"]
        self.compose = os.environ.get("BENCH_COMPOSE", "").split()
        self.envctl_binary = os.environ["BENCH_ENVCTL"]
        self.container = os.environ["BENCH_CONTAINER"]
        self.project = os.environ["BENCH_PROJECT"]
        self.runs = int(os.environ["BENCH_RUNS"])
        # Nobody's configuration and nobody's backups: only what was asked for here.
        homes = {name: str(self.directory) for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        ours = {name: value for name, value in os.environ.items() if not name.startswith("ENVCTL_")}
        self.environment = ours | homes
        self.facts = {}
        init = [self.docker, "inspect", "--format", "{{.State.Pid}}", self.container]
        self.behind = Behind(subprocess.run(init, check=True, capture_output=True, text=True).stdout.strip())

    def file(self, name):
        return str(self.directory / name)

    def shell(self, pipeline):
        return lambda: run(["bash", "-o", "pipefail", "-c", pipeline], environment=self.environment)

    def inside(self, command):
        """A whole command line inside the container, none of whose output crosses the daemon."""
        return lambda: run([self.docker, "exec", self.container, "sh", "-c", command])

    def envctl(self, *arguments, target=True, watch=False, before=()):
        stack = ["--stack", self.project.removesuffix("-dev"), "--dev"] if target else []
        argv = [*before, self.envctl_binary, *arguments[:1], *stack, *arguments[1:]]
        return lambda: run(argv, watch, self.environment)

    def sql(self, database, *commands):
        argv = [self.docker, "exec", self.container, "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]
        argv += ["-U", "bench", "-d", database]
        for command in commands:
            argv += ["-c", command]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()

    def size(self, name):
        return os.path.getsize(self.file(name))

    def beside(self, program):
        """A container of the database's image in its network, with our directory as /w."""
        return (
            f"{self.docker} run --rm --network container:{self.container} -v {self.directory}:/w "
            f"--entrypoint {program} $({self.docker} inspect --format '{{{{.Image}}}}' {self.container})"
        )

    def dump(self):
        return f"{self.docker} exec {self.container} pg_dump -U bench bench"


def encrypted(bench):
    return bench.envctl(
        "backup", "-q", "--force", "-o", bench.file("ours.sql.gz.age"), watch=True,
        before=["env", f"ENVCTL_RECIPIENTS={RECIPIENT}"])


def dumps(bench):
    jobs = [
        (FLOOR, bench.inside("pg_dump -U bench bench >/dev/null")),
        (TRANSPORT, bench.shell(f"{bench.dump()} >/dev/null")),
        (GZIP, bench.shell(f"{bench.dump()} | gzip >{bench.file('peer.sql.gz')}")),
        (ZSTD, bench.shell(f"{bench.dump()} | zstd -q -1 -T0 >{bench.file('peer.sql.zst')}")),
        (PIGZ, bench.shell(f"{bench.dump()} | pigz >{bench.file('peer.pigz')}")),
        (CUSTOM, bench.shell(f"{bench.dump()} -Fc >{bench.file('peer.dump')}")),
        (FIFO, bench.shell(
            f"rm -f {bench.file('fifo')}; mkfifo {bench.file('fifo')}; "
            f"{bench.beside('pg_dump')} -h 127.0.0.1 -U bench -f /w/fifo bench & "
            f"cat {bench.file('fifo')} >/dev/null; wait $!")),
        (EMPTY, bench.shell(bench.beside("true"))),
        (BACKUP, bench.envctl("backup", "-q", "--force", "-o", bench.file("ours.sql.gz"), watch=True)),
        (BACKUP_ONE, bench.envctl(
            "backup", "-q", "--force", "-o", bench.file("one.sql.gz"), watch=True, before=["taskset", "-c", "0"])),
        (BACKUP_EXEC, bench.envctl(
            "backup", "-q", "--force", "--transport", "exec", "-o", bench.file("exec.sql.gz"), watch=True)),
        (BACKUP_ZSTD, bench.envctl(
            "backup", "-q", "--force", "--compress", "zstd", "-o", bench.file("ours.sql.zst"), watch=True)),
        (BACKUP_ENCRYPTED, encrypted(bench)),
        (BACKUP_NONE, bench.envctl("backup", "-q", "--compress", "none", "-o", "-", watch=True)),
    ]
    jobs[0][1]()  # warms the caches and writes the hint bits that a fresh restore leaves unset
    samples = interleave(jobs, bench.runs, behind=bench.behind)
    bench.facts |= {
        "plain": json.loads(pathlib.Path(bench.file("ours.sql.gz.json")).read_text())["plain_bytes"],
        GZIP: bench.size("peer.sql.gz"),
        ZSTD: bench.size("peer.sql.zst"),
        PIGZ: bench.size("peer.pigz"),
        CUSTOM: bench.size("peer.dump"),
        BACKUP: bench.size("ours.sql.gz"),
        BACKUP_ZSTD: bench.size("ours.sql.zst"),
        BACKUP_ENCRYPTED: bench.size("ours.sql.gz.age"),
    }
    return samples


def restores(bench):
    if not os.path.exists(bench.file("ours.sql.gz")):
        bench.envctl("backup", "-q", "--force", "-o", bench.file("ours.sql.gz"))()
        bench.shell(f"{bench.dump()} | gzip >{bench.file('peer.sql.gz')}")()
        encrypted(bench)()
    pathlib.Path(bench.file("identity")).write_text(IDENTITY + "\n")
    bench.inside("pg_dump -U bench bench >/tmp/bench.sql && pg_dump -U bench -Fc -Z1 -f /tmp/bench.dump bench")()
    psql = "psql -X -q -v ON_ERROR_STOP=1 -U bench -d fresh"
    jobs = [
        (PSQL_FLOOR, bench.inside(f"{psql} -f /tmp/bench.sql >/dev/null")),
        (PG_RESTORE_TWO, bench.inside("pg_restore -U bench -d fresh -j 2 /tmp/bench.dump")),
        (GUNZIP, bench.shell(
            f"gunzip -c {bench.file('peer.sql.gz')} | {bench.docker} exec -i {bench.container} {psql} >/dev/null")),
        (RESTORE, bench.envctl("restore", "-q", "--yes", "--no-backup", bench.file("ours.sql.gz"), watch=True)),
        (RESTORE_ONE, bench.envctl(
            "restore", "-q", "--yes", "--no-backup", "-j", "1", bench.file("ours.sql.gz"), watch=True)),
        (RESTORE_TWO, bench.envctl(
            "restore", "-q", "--yes", "--no-backup", "-j", "2", bench.file("ours.sql.gz"), watch=True)),
        (RESTORE_ENCRYPTED, bench.envctl(
            "restore", "-q", "--yes", "--no-backup", "-i", bench.file("identity"), bench.file("ours.sql.gz.age"),
            watch=True)),
    ]
    counts = "SELECT count(*) FROM events", "SELECT count(*) FROM messages"
    rows = bench.sql("bench", *counts)
    samples = interleave(jobs, bench.runs, before=lambda: clear(bench), behind=bench.behind)
    clear(bench)
    if bench.sql("bench", *counts) != rows:
        sys.exit("bench: error: the restored database has other rows")
    bench.sql("postgres", "DROP DATABASE fresh")
    bench.inside("rm /tmp/bench.sql /tmp/bench.dump")()
    return samples


def clear(bench):
    """Every restore finds the same server: one empty database, no old copies, nothing left to write out."""
    others = "datname NOT IN ('bench', 'postgres', 'template0', 'template1')"
    for name in bench.sql("postgres", f"SELECT quote_ident(datname) FROM pg_database WHERE {others}").splitlines():
        bench.sql("postgres", f"DROP DATABASE {name} WITH (FORCE)")
    bench.sql("postgres", "CREATE DATABASE fresh TEMPLATE template0")
    bench.sql("postgres", "CHECKPOINT")


def latency(bench):
    api = RawApi(bench.container)
    jobs = [
        (RAW, api.exec_true),
        (DOCKER_EXEC, lambda: run([bench.docker, "exec", bench.container, "true"])),
        (EXEC, bench.envctl("exec", "-q", "db", "--", "true")),
        (SHELL, bench.envctl("shell", "-q", "db", "--", "true")),
    ]
    if bench.compose:
        file = bench.directory / "compose.yml"
        file.write_text("services:\n  db:\n    image: envctl-postgres:15\n")
        argv = [*bench.compose, "-p", bench.project, "-f", str(file), "exec", "-T", "db", "true"]
        jobs.append((COMPOSE_EXEC, lambda: run(argv)))
    for _, job in jobs:
        job()
    return interleave(jobs, max(20, 5 * bench.runs))


def start(bench):
    answer = subprocess.run(
        [bench.envctl_binary, "status", "--json"], env=bench.environment, check=True, capture_output=True, text=True)
    databases = sum(1 for row in json.loads(answer.stdout)["stacks"] if row.get("database"))
    bench.facts["databases"] = databases
    jobs = [
        (ANY, lambda: run(["true"])),
        (DOCKER_VERSION, lambda: run([bench.docker, "--version"])),
        (VERSION, bench.envctl("--version", target=False)),
        (STATUS_ONE, bench.envctl("status", "-q")),
        (STATUS_ALL, bench.envctl("status", "-q", target=False)),
    ]
    return interleave(jobs, max(20, 5 * bench.runs))


def stacks(bench):
    """What is applied, in 20 stacks: one command of envctl's against the loops that people write."""
    # Not before: the other parts look at every stack that runs.
    library = pathlib.Path(__file__).parent.parent
    start = 'set -euo pipefail; for part in common engine bench-stacks; do . "$0/$part.sh"; done; pick_docker; start_bench_stacks'
    subprocess.run(["bash", "-c", start, library], check=True)
    names = [f"{os.environ['BENCH_STACKS']}{number:02}-dev" for number in range(1, 21)]
    sql = "SELECT migration_name, finished_at, rolled_back_at FROM _prisma_migrations ORDER BY started_at"
    psql = [f"{bench.docker} exec {name}-db-1 psql -X -U techmage -c '{sql}'" for name in names]
    prisma = [f"{bench.docker} exec {name}-backend-1 node_modules/.bin/prisma migrate status" for name in names]
    ours = [bench.envctl_binary, "migrate", "status", "-q", "--stack", os.environ["BENCH_STACKS"] + "*"]
    files = library.parent.parent / "compose/techmage/backend/src/database/prisma/migrations"
    by_files = bench.environment | {"ENVCTL_MIGRATIONS_DRIVER": "sql", "ENVCTL_MIGRATIONS_DIR": str(files)}
    quick = [
        (MIGRATE_STATUS, lambda: run(ours, environment=by_files)),
        (MIGRATE_STATUS_CLI, lambda: run(ours, environment=bench.environment)),
        (PSQL_LOOP, bench.shell(" && ".join(psql))),
    ]
    for _, job in quick:
        job()
    samples = interleave(quick, max(5, bench.runs))
    # Half a minute each: as often as the long jobs would be too often.
    return samples | interleave([(PRISMA_LOOP, bench.shell(" && ".join(prisma)))], 1 if bench.runs < 5 else 3)


PARTS = {"dumps": dumps, "restores": restores, "latency": latency, "start": start, "stacks": stacks}
