"""`envctl forward` beside a published port: so many bytes from a server in a container, read to their end.

Promises: only the transfer is timed, each on a connection of its own; every byte is counted.
"""

import signal
import socket
import subprocess
import sys
import time

from measure import Run, interleave

BYTES = 1 << 30
PUBLISHED = "a published port, 1 GiB"
DIRECT = "`envctl forward` to the container's address, 1 GiB"
BRIDGED = "`envctl forward` through a bridge in the container, 1 GiB"
SOURCE = """
require('net').createServer((s) => {
  let left = +process.argv[1]; const block = Buffer.alloc(65536, 120); s.on('error', () => {});
  const more = () => { while (left > 0) { left -= block.length; if (!s.write(block)) return s.once('drain', more); } s.end(); };
  more();
}).listen(7001, '0.0.0.0');
"""


class Source:
    """A container that serves the bytes on port 7001."""

    def __init__(self, bench, service, arguments):
        self.bench, self.service, self.name = bench, service, f"{bench.project}-{service}-1"
        self.remove()
        labels = {"project": bench.project, "service": service, "container-number": 1, "oneoff": "False"}
        argv = [bench.docker, "run", "--detach", "--name", self.name, "--env", "NODE_OPTIONS="]
        argv += [f"--label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        argv += [*arguments, "--entrypoint", "node", "envctl-backend:20", "-e", SOURCE, str(BYTES)]
        subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

    def remove(self):
        subprocess.run([self.bench.docker, "rm", "--force", self.name], check=False, capture_output=True)

    def published(self):
        argv = [self.bench.docker, "port", self.name, "7001"]
        return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[0]


class Forward:
    """A forward that goes on until it is stopped."""

    def __init__(self, bench, source):
        argv = [bench.envctl_binary, "forward", "-q", "--stack", bench.project.removesuffix("-dev"), "--dev"]
        self.child = subprocess.Popen(
            [*argv, source.service, "0:7001"], env=bench.environment, stdout=subprocess.PIPE, text=True)
        self.address = self.child.stdout.readline().strip()

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        self.child.wait()


def read(address):
    """Reads everything from there."""
    host, port = address.rsplit(":", 1)
    begun, total = time.perf_counter(), 0
    buffer = bytearray(1 << 20)
    with socket.create_connection((host, int(port))) as connection:
        while count := connection.recv_into(buffer):
            total += count
    if total != BYTES:
        sys.exit(f"bench: error: {total} of {BYTES} bytes came from {address}")
    return Run(time.perf_counter() - begun, 0, 0)


def until_it_listens(address):
    host, port = address.rsplit(":", 1)
    for _ in range(100):
        try:
            with socket.create_connection((host, int(port))) as connection:
                if connection.recv(1):
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit(f"bench: error: nothing answers at {address}")


def forward(bench):
    sources, forwards = [], []
    try:
        near = Source(bench, "source", ["--publish", "127.0.0.1::7001"])
        sources.append(near)
        # Without a network of its own there is no address to reach: an exec carries each connection.
        far = Source(bench, "hidden", ["--network", "none"])
        sources.append(far)
        published = near.published()
        until_it_listens(published)
        forwards += [Forward(bench, near), Forward(bench, far)]
        direct, bridged = (one.address for one in forwards)
        until_it_listens(bridged)
        jobs = [
            (PUBLISHED, lambda: read(published)),
            (DIRECT, lambda: read(direct)),
            (BRIDGED, lambda: read(bridged)),
        ]
        return interleave(jobs, bench.runs)
    finally:
        for one in forwards:
            one.stop()
        for source in sources:
            source.remove()


PARTS = {"forward": forward}
