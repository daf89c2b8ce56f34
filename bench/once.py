"""What is measured apart from requests: idle connections, start-up, size, and two shards against one."""

import os
import resource
import shutil
import socket
import statistics
import time

import machine
from cases import chosen
from load import Failed
from stage import Stage

QUIET = 6
STARTS = 11
REQUEST = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


def idle_kib(run, peer, count):
    """Resident KiB per kept-alive connection that has been answered once and is quiet for a few seconds."""
    case = chosen(["plain"])[0]
    with Stage(run.folder, case, peer, run.binary, run.proxy_core, run.load_core) as stage:
        stage.proof()
        before, links = stage.proxy.resident(), []
        try:
            for _ in range(count):
                link = socket.create_connection(("127.0.0.1", stage.port), 10)
                link.sendall(REQUEST)
                if not link.recv(4096).startswith(b"HTTP/1.1 200"):
                    raise Failed(f"{peer}: an idle connection was not answered")
                links.append(link)
            time.sleep(QUIET)
            resident = stage.proxy.resident() - before
            links[0].sendall(REQUEST)
            if not links[0].recv(4096).startswith(b"HTTP/1.1 200"):
                raise Failed(f"{peer}: a connection was closed while it was idle")
        finally:
            for link in links:
                link.close()
    return resident / count / 1024


def start_up_ms(run, peer):
    """From the start of the process to its first answer."""
    case, spans = chosen(["plain"])[0], []
    with Stage(run.folder, case, peer, run.binary, run.proxy_core, run.load_core) as stage:
        command, port = stage.proxy.command, stage.port
        for _ in range(STARTS):
            stage.proxy.stop()
            process = machine.Process(command, {run.proxy_core}, run.folder / "log")
            stage.processes.append(process)
            stage.proxy = process
            while not answered(port):
                if not process.alive() or time.perf_counter() - process.begun > 20:
                    raise Failed(f"{peer} does not start")
            spans.append((time.perf_counter() - process.begun) * 1e3)
    return statistics.median(spans)


def answered(port):
    try:
        with socket.create_connection(("127.0.0.1", port), 1) as link:
            link.sendall(REQUEST)
            return link.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def size_mb(run, peer):
    """The file that is run (modules that Apache and nginx load beside it not counted)."""
    path = run.binary if peer == "cloakroom" else shutil.which(peer if peer != "apache" else "apache2")
    return os.stat(path).st_size / 2**20


def per_second(run, name, proxy_cores, load_cores):
    """Requests in a second of our own proxy on these cores."""
    case = chosen([name])[0]
    with Stage(run.folder, case, "cloakroom", run.binary, proxy_cores, load_cores) as stage:
        run.drive(stage, 1)
        result = run.drive(stage, run.seconds)
    return result["requests"] / result["seconds"]


def shards(run):
    """One shard on one core and two on two, with the load free to use what is left of both: where the load is the dearer
    side, and where the proxy is."""
    both = frozenset({run.proxy_core, run.load_core})
    rows = []
    for name in ("plain", "tls-strange"):
        one = [per_second(run, name, run.proxy_core, both) for _ in range(run.rounds)]
        two = [per_second(run, name, both, both) for _ in range(run.rounds)]
        gain = statistics.median(b / a for a, b in zip(one, two))
        title = chosen([name])[0].title
        rows.append((f"requests/s, {title}: one shard, two shards (ratio)",
                     {"cloakroom": f"{statistics.median(one):.0f}, {statistics.median(two):.0f} ({gain:.2f})"}))
    return rows


def measure(run):
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    count = min(10_000, files // 2 - 200)
    everybody = ["nginx", "haproxy", "apache", "cloakroom"]
    idle = {peer: f"{idle_kib(run, peer, count):.1f}" for peer in ("nginx", "haproxy", "cloakroom")}
    start = {peer: f"{start_up_ms(run, peer):.0f}" for peer in everybody}
    size = {peer: f"{size_mb(run, peer):.1f}" for peer in everybody}
    return {"peers": everybody, "rows": [
        (f"resident KiB of an idle kept-alive connection, {count} of them", idle),
        ("start to first answer, ms", start),
        ("size of the program, MB", size),
        *shards(run),
    ]}
