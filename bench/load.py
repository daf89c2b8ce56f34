"""Load: wrk for HTTP/1.1, h2load for HTTP/2 and for a steady rate, ab for TLS sessions that are never resumed. Any answer but
a 2xx, and any broken connection, is a failure of the run."""

import json
import re
import subprocess
from pathlib import Path

HERE = Path(__file__).parent


class Failed(Exception):
    """The work was not done."""


def pinned(core, command):
    cores = ",".join(map(str, core)) if isinstance(core, frozenset) else str(core)
    done = subprocess.run(["taskset", "-c", cores, *map(str, command)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{command[0]} ended with {done.returncode}: {done.stdout[-500:]}{done.stderr[-500:]}")
    return done.stdout


def wrk(core, url, cookies, seconds, connections, fields=()):
    """Requests in a closed loop: each connection asks again as soon as it is answered. Latencies in microseconds."""
    out = pinned(core, ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s",
                        "-s", HERE / "load.lua", url, "--", cookies, *fields])
    result = json.loads(out.strip().splitlines()[-1])
    if result["errors"] or not result["requests"]:
        raise Failed(f"wrk {url}: {result}\n{out}")
    return result


def h2load(core, url, cookie, log, *, seconds=None, requests=None, clients=16, streams=1, rate=None, http=2):
    """Requests over `clients` connections; `rate`: of each client in a second."""
    command = ["h2load", "-t1", f"-c{clients}", f"-m{streams}", f"--log-file={log}"]
    command += [f"-D{seconds}"] if requests is None else [f"-n{requests}"]
    command += ["--h1"] if http == 1 else []
    command += [f"--rps={rate}"] if rate else []
    command += ["-H", f"cookie: {cookie}"] if cookie else []
    log.unlink(missing_ok=True)
    out = pinned(core, [*command, url])
    counts = re.search(r"requests: .*?(\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", out)
    finished = re.search(r"finished in ([\d.]+)(ms|s|us)", out)
    traffic = re.search(r"traffic: .*?\((\d+)\) total", out)
    if not counts or not finished:
        raise Failed(f"h2load {url}:\n{out}")
    done, good, *bad = map(int, counts.groups())
    if done != good or any(bad) or not good:
        raise Failed(f"h2load {url}:\n{out}")
    spans = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    log.unlink()
    unit = {"s": 1, "ms": 1e-3, "us": 1e-6}[finished[2]]
    return {"requests": good, "seconds": float(finished[1]) * unit if requests else float(seconds),
            "bytes": int(traffic[1]) if traffic else 0,
            "p50": spans[len(spans) // 2], "p99": spans[len(spans) * 99 // 100], "errors": 0}


def ab(core, url, log, seconds, connections):
    """A new connection for each request, and for each a whole TLS handshake (wrk and h2load resume their sessions)."""
    out = pinned(core, ["ab", "-q", "-t", seconds, "-n", 10_000_000, "-c", connections, "-g", log, url])
    found = dict(re.findall(r"^([A-Z][^:]+):\s+([\d.]+)", out, re.M))
    if found.get("Failed requests") != "0" or "Non-2xx responses" in found or found.get("Complete requests", "0") == "0":
        raise Failed(f"ab {url}:\n{out}")
    spans = sorted(int(line.split("\t")[4]) for line in log.read_text().splitlines()[1:])
    log.unlink()
    return {"requests": int(found["Complete requests"]), "seconds": float(found["Time taken for tests"]),
            "bytes": int(found["Total transferred"]), "errors": 0,
            "p50": spans[len(spans) // 2] * 1000, "p99": spans[len(spans) * 99 // 100] * 1000}
