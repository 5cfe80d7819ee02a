"""How one command is measured: started without a shell of ours, timed to its end, its peak memory read.

Promises: a command that fails ends the whole run with its own words; no time goes into the report that does
not belong to a success.
"""

import collections
import http.client
import json
import os
import pathlib
import socket
import statistics
import sys
import tempfile
import threading
import time


# Wall seconds, peak resident memory in KiB (0 where it was not watched), CPU seconds of the command itself.
Run = collections.namedtuple("Run", "seconds kib cpu")


class Sample(list):
    """Seconds of the runs of one job, the highest peak memory seen, and CPU seconds where they are known."""

    def __init__(self):
        super().__init__()
        self.peak, self.cpu = 0, []

    @property
    def median(self):
        return statistics.median(self)

    def spread(self, unit):
        return f"{unit(min(self))}–{unit(max(self))}"


def run(argv, watch=False, environment=None):
    """Runs a command to its end, `watch` its memory.

    The peak is VmHWM, polled: what wait4 reports begins with the memory of the process that forked.
    """
    with tempfile.TemporaryFile() as words:
        files = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, words.fileno(), 2),
        ]
        begun = time.perf_counter()
        child = os.posix_spawnp(argv[0], argv, environment or os.environ, file_actions=files)
        peak = Peak(child) if watch else None
        _, status, usage = os.wait4(child, 0)
        seconds = time.perf_counter() - begun
        code = os.waitstatus_to_exitcode(status)
        if code != 0:
            words.seek(0)
            sys.stderr.write(words.read().decode(errors="replace"))
            sys.exit(f"bench: error: exit code {code}: {' '.join(argv)}")
    return Run(seconds, peak.stop() if peak else 0, usage.ru_utime + usage.ru_stime)


class Peak:
    """Reads a process's high-water mark until it is gone."""

    def __init__(self, pid):
        self.path, self.kib, self.over = f"/proc/{pid}/status", 0, threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)
        self.thread.start()

    def watch(self):
        while not self.over.is_set():
            try:
                with open(self.path, encoding="ascii", errors="replace") as status:
                    marks = [line for line in status if line.startswith("VmHWM")]
            except OSError:
                return
            if marks:
                self.kib = max(self.kib, int(marks[0].split()[1]))
            self.over.wait(0.01)

    def stop(self):
        self.over.set()
        self.thread.join()
        return self.kib


class Behind:
    """CPU seconds of what works behind a client: the container, its shim, and the whole daemon.

    The daemon serves others too, so only a machine at rest gives a clean number. Where one of them cannot be
    seen (a remote daemon, another way of counting), nothing is told.
    """

    def __init__(self, init):
        """`init` is the process id of the container's first process."""
        try:
            shim = int(pathlib.Path(f"/proc/{init}/stat").read_text().rsplit(")", 1)[1].split()[1])
            daemons = [p.name for p in pathlib.Path("/proc").glob("[0-9]*") if self.name(p) == "dockerd"]
            self.processes = [shim, *daemons]
            self.counter = self.cgroup(init)
            self.now()
        except (OSError, ValueError, IndexError, StopIteration):
            self.processes = None

    @staticmethod
    def name(process):
        try:
            return (process / "comm").read_text().strip()
        except OSError:
            return ""

    @staticmethod
    def cgroup(init):
        lines = [line.split(":", 2) for line in pathlib.Path(f"/proc/{init}/cgroup").read_text().splitlines()]
        for _, controllers, path in lines:
            if "cpuacct" in controllers.split(","):
                return pathlib.Path("/sys/fs/cgroup/cpuacct" + path) / "cpuacct.usage"
        return pathlib.Path("/sys/fs/cgroup" + next(path for _, names, path in lines if not names)) / "cpu.stat"

    def now(self):
        if self.processes is None:
            return None
        text = self.counter.read_text()
        used = int(text) / 1e9 if self.counter.name == "cpuacct.usage" else int(text.split()[1]) / 1e6
        for process in self.processes:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            used += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return used


def interleave(jobs, runs, before=None, behind=None):
    """Runs every job once a round, `runs` rounds, each round beginning with another job.

    A job is a name and a function that gives a Run. `before` runs untimed ahead of each.
    """
    samples = {name: Sample() for name, _ in jobs}
    for turn in range(runs):
        at = turn % len(jobs)
        for name, job in jobs[at:] + jobs[:at]:
            if before:
                before()
            begun = behind.now() if behind else None
            one = job()
            samples[name].append(one.seconds)
            samples[name].peak = max(samples[name].peak, one.kib)
            if begun is not None:
                samples[name].cpu.append(behind.now() - begun + one.cpu)
            if one.seconds > 0.5:
                print(f"bench: {one.seconds:6.2f} s  {name}", file=sys.stderr)
    return samples


class RawApi:
    """One exec through the daemon's socket with nothing around it: create, start, read to the end, inspect."""

    def __init__(self, container):
        host = os.environ.get("DOCKER_HOST", "")
        self.path = host.removeprefix("unix://") if host.startswith("unix://") else "/var/run/docker.sock"
        self.container = container

    def connect(self):
        connection = http.client.HTTPConnection("docker")
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.connect(self.path)
        return connection

    def exec_true(self):
        begun = time.perf_counter()
        connection = self.connect()
        body = {"AttachStdout": True, "AttachStderr": True, "Cmd": ["true"]}
        exec_id = self.ask(connection, "POST", f"/containers/{self.container}/exec", body)["Id"]
        stream = self.connect().sock
        request = b'{"Detach":false,"Tty":false}'
        stream.sendall(
            f"POST /exec/{exec_id}/start HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\n"
            f"Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: {len(request)}\r\n\r\n".encode() + request
        )
        while stream.recv(65536):
            pass
        stream.close()
        if self.ask(connection, "GET", f"/exec/{exec_id}/json")["ExitCode"] != 0:
            sys.exit("bench: error: `true` failed through the raw API")
        connection.close()
        return Run(time.perf_counter() - begun, 0, 0)

    @staticmethod
    def ask(connection, method, path, body=None):
        headers = {"Content-Type": "application/json"} if body else {}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        if response.status >= 300:
            sys.exit(f"bench: error: {path}: {answer.get('message')}")
        return answer
