"""Processes and what they cost: started on one core, counted over all their processes, ended by their own id."""

import os
import resource
import signal
import socket
import subprocess
import time

import peers

PROXY, LOAD = 0, 1
TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def raise_file_limit():
    """Ten thousand connections take more files than most shells allow."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def cores():
    """The core of the proxy, and that of everything else."""
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        raise SystemExit("two cores are needed: one for the proxy, one for load, backend and Redis")
    return usable[0], usable[1]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A command and everything that it starts."""

    def __init__(self, command, on, log, environment=None):
        self.command, self.log = command, log
        self.begun = time.perf_counter()
        self.popen = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log.open("ab"),
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            preexec_fn=lambda: os.sched_setaffinity(0, on),
            start_new_session=True,
        )

    def pids(self):
        found, todo = [], [self.popen.pid]
        while todo:
            pid = todo.pop()
            found.append(pid)
            try:
                for task in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{task}/children") as children:
                        todo.extend(int(child) for child in children.read().split())
            except FileNotFoundError:
                pass
        return found

    def seconds(self):
        """Processor time until now: in user mode, and in the kernel."""
        user = system = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/stat") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            user, system = user + int(fields[11]), system + int(fields[12])
        return user / TICK, system / TICK

    def resident(self):
        """Bytes; pages that its processes share count once for each."""
        total = 0
        for pid in self.pids():
            with open(f"/proc/{pid}/statm") as statm:
                total += int(statm.read().split()[1]) * PAGE
        return total

    def alive(self):
        return self.popen.poll() is None

    def stop(self):
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.popen.pid, signal.SIGKILL)
                self.popen.wait()


def wait_for(port, process, patience=20.0):
    """Returns when something listens there."""
    end = time.monotonic() + patience
    while time.monotonic() < end and process.alive():
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.01)
    tail = process.log.read_text(errors="replace")[-2000:]
    raise SystemExit(f"{' '.join(map(str, process.command))} does not listen on port {port}:\n{tail}")


def described():
    """The machine, for whoever reads the numbers."""
    with open("/proc/cpuinfo") as cpuinfo:
        model = next((line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")), "unknown")
    return {"processor": model, "cores": os.cpu_count(), "kernel": os.uname().release}


def prepare(folder):
    """What every peer finds there."""
    raise_file_limit()
    folder.chmod(0o755)
    peers.certificate(folder, lambda command: subprocess.run(command, check=True, capture_output=True))
