"""What stands behind the browsers: private servers on free ports, in one temporary folder, gone at the end.

Waiting is polling with a limit, and what is polled is the thing itself (a port, a key in Redis), never the clock.
"""

import os
import pathlib
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


def eventually(condition, what, limit=30.0):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + limit
    while True:
        if answer := condition():
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"waited {limit:g} s for {what}")
        time.sleep(0.02)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


class Stage:
    """Starts programs and ends them; a context manager."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="cloakroom-stage-", ignore_cleanup_errors=True)
        self.path = pathlib.Path(self.folder.name)
        self.running = []
        self.closing = []

    def __enter__(self):
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        return self

    def __exit__(self, *_):
        for close in reversed(self.closing):
            close()
        for program in reversed(self.running):
            program.end()
        self.folder.cleanup()

    def start(self, name, command, port, **environment):
        """Starts a program that listens on `port`, and waits until it does."""
        program = Program(name, command, self.path / f"{name}.log", environment)
        self.running.append(program)
        eventually(lambda: program.answers(port), f"{name} on port {port}")
        return program

    def call(self, command, **environment):
        """Runs a program to its end."""
        done = subprocess.run([str(word) for word in command], env={**os.environ, **environment}, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command[0]} ended with exit code {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def on_exit(self, close):
        self.closing.append(close)

    def logs(self):
        """The last lines of every log."""
        for log in sorted(self.path.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-15:]
            yield "\n".join([f"---- {log.name}", *lines])


class Program:
    """A process of ours, with its output in a file."""

    def __init__(self, name, command, log, environment):
        self.name = name
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **environment},
                start_new_session=True,  # Apache ends its whole process group, which must not be ours
            )

    def answers(self, port):
        if self.process.poll() is not None:
            raise RuntimeError(f"{self.name} ended at once with exit code {self.process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return True
        except OSError:
            return False

    def kill(self):
        """Gives it no chance to say goodbye."""
        self.process.kill()
        self.process.wait()

    def end(self, how=signal.SIGTERM):
        """Asks it to stop, and returns its exit code."""
        self.process.send_signal(how)
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            return None


class Redis:
    """A private Redis server without files, and one question to it."""

    def __init__(self, stage):
        self.port = free_port()
        command = ["redis-server", "--bind", "127.0.0.1", "--port", self.port, "--save", "", "--appendonly", "no"]
        self.program = stage.start("redis", [*command, "--dir", stage.path], self.port)

    def stop_answering(self):
        """Whoever asks waits."""
        self.program.process.send_signal(signal.SIGSTOP)

    def answer_again(self):
        self.program.process.send_signal(signal.SIGCONT)

    def has(self, key):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall(f"EXISTS {key}\r\n".encode())
            return connection.recv(16) == b":1\r\n"


class Example:
    """An example with its own configuration file, on other ports and with fresh keys."""

    def __init__(self, stage, redis, name):
        self.stage, self.redis, self.folder = stage, redis, EXAMPLES / name
        self.port, self.app_port, self.application_port = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.keys = {key: stage.path / f"{name}-{key}" for key in ("root", "token")}
        for path in self.keys.values():
            path.write_text(secrets.token_urlsafe(32) + "\n")
        environment = {
            "PORT": str(self.app_port),
            "CLOAKROOM_TOKEN_KEY_FILE": str(self.keys["token"]),
            "CLOAKROOM_URL": f"http://127.0.0.1:{self.application_port}",
        }
        stage.start(f"{name}-app", self.command(), self.app_port, **environment)

    def command(self):
        """As the example's README starts it."""
        if (self.folder / "app.mjs").exists():
            return ["node", self.folder / "app.mjs"]
        if (self.folder / "app.php").exists():
            return ["php", "-S", f"127.0.0.1:{self.app_port}", self.folder / "app.php"]
        return [sys.executable, self.folder / "app.py"]

    def run(self, binary, **changes):
        """`cloakroom run` with the example's configuration; `changes` are settings of its [session]."""
        text = (self.folder / "cloakroom.toml").read_text()
        replaced = {
            "127.0.0.1:8080": f"127.0.0.1:{self.port}",
            "http://127.0.0.1:3000": f"http://127.0.0.1:{self.app_port}",
            "127.0.0.1:6379": f"127.0.0.1:{self.redis.port}",
            "keys/token": str(self.keys["token"]),
            "keys/root": str(self.keys["root"]),
        }
        if "[application]" in text:
            replaced["127.0.0.1:9900"] = f"127.0.0.1:{self.application_port}"
        for old, new in replaced.items():
            assert text.count(old) == 1, f"cloakroom.toml should name {old} once"
            text = text.replace(old, new)
        for key, value in changes.items():
            lines = [line for line in text.splitlines() if not line.startswith(f"{key} =")]
            lines.insert(lines.index("[session]") + 1, f'{key} = "{value}"')
            text = "\n".join(lines) + "\n"
        config = self.stage.path / "cloakroom.toml"
        config.write_text(text)
        return self.stage.start("proxy", [binary, "run", "--config", config], self.port)
