"""Runs the parts, judges the targets, writes the report.

Promises: the report names the machine by what matters to a measurement and by nothing that identifies it.
"""

import datetime
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

import backups
import jobs
import migrations
import tunnels
from jobs import Bench

PARTS = jobs.PARTS | backups.PARTS | migrations.PARTS | tunnels.PARTS


def seconds(value):
    return f"{value:.2f}"


def milliseconds(value):
    return f"{value * 1000:.1f}"


def told(command):
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def machine(bench, load):
    """What the numbers depend on."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        memory = int(re.search(r"MemTotal:\s+(\d+)", lines.read())[1]) / (1 << 20)
    engine = told([bench.docker, "version", "--format", "{{.Server.Version}}"])
    client = told([bench.docker, "version", "--format", "{{.Client.Version}}"])
    compose = re.search(r"\d+\.\d+[\w.-]*", told([*bench.compose, "version"]) if bench.compose else "")
    commit = os.environ.get("BENCH_COMMIT")
    after = " ".join(f"{value:.1f}" for value in os.getloadavg())
    rows = int(os.environ["BENCH_ROWS"])
    return [
        ("date", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("envctl", told([bench.envctl_binary, "--version"]).removeprefix("envctl ") + (f", commit {commit}" if commit else "")),
        ("machine", f"{os.cpu_count()} cores ({platform.machine()}), {memory:.0f} GiB of memory, Linux {platform.release()}"),
        ("load average", f"{load} before, {after} after"),
        ("engine", f"Docker Engine {engine}, docker CLI {client}" + (f", Compose {compose[0]}" if compose else ", no Compose")),
        ("database", f"PostgreSQL {bench.sql('postgres', 'SHOW server_version').split()[0]}, 2 tables of {rows:,} rows, 3 more indexes"),
        ("dump", f"{bench.facts['plain'] / 1e6:.0f} MB of plain SQL" if "plain" in bench.facts else "not taken"),
        ("runs", f"medians of {bench.runs}; of {max(20, 5 * bench.runs)} for latency and start-up; in turns"),
    ]


def table(header, rows):
    lines = ["| " + " | ".join(row) + " |" for row in [header, ["---"] * len(header), *rows]]
    return "\n".join(lines) + "\n"


def against(value, samples, peer):
    return f"{value / samples[peer].median:.2f}" if peer in samples else ""


def long_jobs(bench, samples, first, second):
    """A table of seconds, with ratios to two rows of it."""
    rows = []
    for name, sample in samples.items():
        size = f"{bench.facts[name] / 1e6:.1f}" if name in bench.facts else ""
        memory = f"{sample.peak / 1024:.0f}" if sample.peak else ""
        ratios = [against(sample.median, samples, peer) for peer in (first, second)]
        cpu = f"{statistics.median(sample.cpu):.1f}" if sample.cpu else ""
        rows.append([name, seconds(sample.median), sample.spread(seconds), *ratios, cpu, size, memory])
    head = ["what", "median, s", "extremes", "× floor", "× the usual way", "CPU, s", "MB", "envctl's peak, MiB"]
    return table(head, rows)


def short_jobs(samples, peer):
    rows = [
        [name, milliseconds(sample.median), sample.spread(milliseconds), against(sample.median, samples, peer)]
        for name, sample in samples.items()
    ]
    return table(["what", "median, ms", "extremes", f"× {peer.split(':')[0]}"], rows)


def at_rest(samples):
    """A table of seconds, with the peak of the memory."""
    rows = [
        [name, seconds(sample.median), sample.spread(seconds), f"{sample.peak / 1024:.0f}" if sample.peak else ""]
        for name, sample in samples.items()
    ]
    return table(["what", "median, s", "extremes", "envctl's peak, MiB"], rows)


def targets(bench, measured):
    """Every target that these parts can judge: job, target, measured, reached."""
    rows = []

    def judge(job, target, value, limit, text):
        rows.append([job, target, text, "yes" if value <= limit else "**no**"])

    def ratio(part, job, peer, limit, target, name=None):
        samples = measured.get(part, {})
        if job in samples and peer in samples:
            value = samples[job].median / samples[peer].median
            judge(name or job, target, value, limit, f"{value:.2f} ×")

    def faster(part, job, peer, times):
        samples = measured.get(part, {})
        if job in samples and peer in samples:
            value = samples[peer].median / samples[job].median
            rows.append([job, f"≥ {times:g} × faster than {peer}", f"{value:.2f} × faster", "yes" if value >= times else "**no**"])

    ratio("dumps", jobs.BACKUP, jobs.FLOOR, 1.3, "≤ 1.30 × the floor")
    faster("dumps", jobs.BACKUP, jobs.GZIP, 4)
    faster("dumps", jobs.BACKUP_EXEC, jobs.GZIP, 2)
    if jobs.BACKUP in bench.facts:
        value = bench.facts[jobs.BACKUP] / bench.facts[jobs.GZIP]
        judge(jobs.BACKUP, "file ≤ that of `gzip -6`", value, 1, f"{value:.3f} ×")
    ratio("dumps", jobs.BACKUP_ENCRYPTED, jobs.BACKUP, 1.1, f"≤ 1.10 × {jobs.BACKUP}")
    ratio("dumps", jobs.BACKUP_ZSTD, jobs.FLOOR, 1.15, "≤ 1.15 × the floor")
    faster("dumps", jobs.BACKUP_ZSTD, jobs.ZSTD, 2)
    ratio("restores", jobs.RESTORE, jobs.GUNZIP, 1, f"≤ 1.0 × {jobs.GUNZIP}", "`envctl restore FILE`")
    ratio("restores", jobs.RESTORE_TWO, jobs.GUNZIP, 0.75, f"≤ 0.75 × {jobs.GUNZIP}", "`envctl restore FILE -j 2`")
    ratio("restores", jobs.RESTORE_ENCRYPTED, jobs.RESTORE, 1.1, "≤ 1.10 × without encryption")
    faster("backups", backups.VERIFY_ONE, backups.GZIP_TEST, 0.8)
    ratio("backups", backups.TO_S3, backups.TO_FILE, 1 / 0.9, f"≤ 1.11 × {backups.TO_FILE}")
    at_rest = measured.get("backups", {})
    for name in (backups.LIST, backups.LIST_JSON):
        if name in at_rest:
            judge(name, "≤ 1 s", at_rest[name].median, 1, f"{at_rest[name].median:.2f} s")
    for name, sample in at_rest.items():
        if sample.peak:
            judge(name, "peak memory ≤ 64 MiB", sample.peak, 64 << 10, f"{sample.peak / 1024:.0f} MiB")
    for job in (jobs.EXEC, jobs.SHELL):
        ratio("latency", job, jobs.RAW, 1.15, "≤ 1.15 × the raw API")
        faster("latency", job, jobs.DOCKER_EXEC, 1)
        faster("latency", job, jobs.COMPOSE_EXEC, 1)
    for part in ("dumps", "restores"):
        for name, sample in measured.get(part, {}).items():
            if sample.peak:
                judge(name, "peak memory ≤ 48 MiB", sample.peak, 48 << 10, f"{sample.peak / 1024:.0f} MiB")
    ratio("stacks", jobs.MIGRATE_STATUS, jobs.PSQL_LOOP, 0.8, f"≤ 0.8 × {jobs.PSQL_LOOP}")
    ratio("stacks", jobs.MIGRATE_STATUS_CLI, jobs.PRISMA_LOOP, 0.25, f"≤ 0.25 × {jobs.PRISMA_LOOP}")
    ratio("migrations", migrations.MIGRATE, migrations.STREAMED, 1.6, f"≤ 1.6 × {migrations.STREAMED}")
    faster("migrations", migrations.MIGRATE, migrations.PRISMA, 2.5)
    start = measured.get("start", {})
    limits = {jobs.VERSION: 5}
    if start:
        limits |= {jobs.STATUS_ONE: 160, jobs.STATUS_ALL: 100 + 60 * bench.facts["databases"]}
    for job, limit in limits.items():
        if job in start:
            value = start[job].median * 1000
            judge(job, f"≤ {limit} ms", value, limit, f"{value:.1f} ms")
    return table(["job", "target", "measured", "reached"], rows)


def report(bench, measured, load):
    parts = ["# What `scripts/bench` measured\n"]
    parts.append("Every number comes from one run on one machine, the peers in turns with envctl.\n")
    parts.append("CPU is that of the client, the container, its shim and the whole daemon, whoever it serves.\n")
    parts.append(table(["", ""], machine(bench, load)))
    if "dumps" in measured:
        parts += ["## Dumps\n", long_jobs(bench, measured["dumps"], jobs.FLOOR, jobs.GZIP)]
    if "restores" in measured:
        parts += ["## Restores\n", long_jobs(bench, measured["restores"], jobs.PSQL_FLOOR, jobs.GUNZIP)]
    if "backups" in measured:
        parts += ["## Backups at rest\n", at_rest(measured["backups"])]
    if "latency" in measured:
        parts += ["## One command in a container\n", short_jobs(measured["latency"], jobs.RAW)]
    if "start" in measured:
        databases = bench.facts["databases"]
        parts += [f"## Start-up and status ({databases} databases)\n", short_jobs(measured["start"], jobs.DOCKER_VERSION)]
    if "stacks" in measured:
        parts += ["## Twenty stacks\n", short_jobs(measured["stacks"], jobs.PSQL_LOOP)]
    if "migrations" in measured:
        parts += ["## Migrations\n", short_jobs(measured["migrations"], migrations.STREAMED)]
    if "forward" in measured:
        parts += ["## Forward\n", short_jobs(measured["forward"], tunnels.PUBLISHED)]
    parts += ["## Targets\n", targets(bench, measured)]
    return "\n".join(parts)


def main(names):
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    with tempfile.TemporaryDirectory(prefix="envctl-bench.") as directory:
        os.chdir(directory)
        bench = Bench(directory)
        measured = {}
        for name, part in PARTS.items():
            if not names or name in names:
                measured[name] = part(bench)
                text = report(bench, measured, load)
                save(text)  # a run that is stopped half-way has half a report
    print(text)


def save(text):
    if output := os.environ.get("BENCH_OUTPUT"):
        os.makedirs(os.path.dirname(output), exist_ok=True)
        with open(output, "w", encoding="utf-8") as file:
            file.write(text)


main(sys.argv[1:])
