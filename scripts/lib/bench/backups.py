"""What is measured of backups at rest: verifying one, listing ten thousand, and the way into a store.

The S3 server is moto, where `scripts/setup tools` has installed it. It is written in Python and hashes what it takes, so
that the ratio says what is lost to the slowest of servers.
"""

import datetime
import json
import os
import pathlib
import socket
import subprocess
import sys
import time
import urllib.request

from measure import interleave, run

GZIP_TEST = "`gzip -t` (one core)"
VERIFY = "`envctl backup verify FILE` (every core)"
VERIFY_ONE = "`taskset -c 0 envctl backup verify FILE` (one core)"
VERIFY_QUICK = "`envctl backup verify --quick FILE`"
TO_FILE = "`envctl backup` to a file (gzip)"
TO_DIRECTORY = "`envctl backup --store file://…` (gzip)"
TO_S3 = "`envctl backup --store s3://…` to moto (gzip)"
LIST = "`envctl backup list`, 10,000 backups"
LIST_JSON = "`envctl backup list --json`, 10,000 backups"
PRUNE = "`envctl backup prune`, 10,000 backups (the plan)"
BACKUPS = 10_000


def moto():
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
    found = sorted(cache.glob("envctl-rig/moto-*/bin/moto_server"))
    return found[-1] if found else None


def serve(program):
    """Starts a server with an empty bucket; returns the process and its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen([program, "-H", "127.0.0.1", "-p", str(port)], **quiet)
    address = f"http://127.0.0.1:{port}"
    for _ in range(300):
        try:
            urllib.request.urlopen(urllib.request.Request(f"{address}/bench", method="PUT")).read()
            return server, address
        except OSError:
            time.sleep(0.1)
    server.kill()
    sys.exit("bench: error: the S3 server did not start")


def fill(bench, manifest):
    """Ten thousand small files, each with a whole manifest: what a list reads."""
    home = bench.directory / "envctl" / "backups" / bench.project.removesuffix("-dev") / "dev"
    home.mkdir(parents=True)
    manifest = manifest | {"stored_bytes": 10}
    manifest.pop("mac", None)
    begun = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    for number in range(BACKUPS):
        at = begun + datetime.timedelta(hours=number)
        manifest |= {"started": at.strftime("%Y-%m-%dT%H:%M:%SZ"), "operation": f"{number:032x}"}
        path = home / at.strftime("backup_%Y%m%d_%H%M%S.sql.gz")
        path.write_text("0123456789")
        pathlib.Path(f"{path}.json").write_text(json.dumps(manifest, indent=2))


def backups(bench):
    name = bench.file("rest.sql.gz")
    bench.envctl("backup", "-q", "--force", "-o", name)()
    named = ["--stack", bench.project.removesuffix("-dev"), "--dev"]

    def ours(*arguments, before=()):
        return bench.envctl("backup", *arguments, *named, target=False, watch=True, before=before)

    samples = interleave([
        (GZIP_TEST, lambda: run(["gzip", "-t", name])),
        (VERIFY, ours("verify", name)),
        (VERIFY_ONE, ours("verify", name, before=["taskset", "-c", "0"])),
        (VERIFY_QUICK, ours("verify", "--quick", name)),
    ], bench.runs)
    jobs = [
        (TO_FILE, bench.envctl("backup", "-q", "--force", "-o", bench.file("at_rest.sql.gz"), watch=True)),
        (TO_DIRECTORY, bench.envctl("backup", "-q", "--store", f"file://{bench.file('store')}", watch=True)),
    ]
    server = None
    if program := moto():
        server, address = serve(program)
        variables = ["AWS_ACCESS_KEY_ID=bench", "AWS_SECRET_ACCESS_KEY=bench", f"AWS_ENDPOINT_URL={address}"]
        store = ["backup", "-q", "--plain", "--store", "s3://bench/x"]
        jobs.append((TO_S3, bench.envctl(*store, watch=True, before=["env", *variables])))
    try:
        samples |= interleave(jobs, bench.runs)
    finally:
        if server:
            server.kill()
            server.wait()
    fill(bench, json.loads(pathlib.Path(f"{name}.json").read_text()))
    lists = [
        (LIST, ours("list")),
        (LIST_JSON, ours("list", "--json")),
        (PRUNE, ours("prune", "--keep-daily", "7")),
    ]
    for _, job in lists:
        job()
    return samples | interleave(lists, bench.runs)


PARTS = {"backups": backups}
