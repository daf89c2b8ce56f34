"""What the checks play on: a proxy, an application behind it, a browser, a publisher of keys, and the verifiers."""

import contextlib
import http.client
import http.server
import json
import os
import queue
import signal
import socket
import subprocess
import threading
import time
import urllib.request


def eventually(what, attempt, limit=15):
    """The first true answer of `attempt`."""
    deadline = time.monotonic() + limit
    while not (answer := attempt()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"in {limit} s not: {what}")
        time.sleep(0.05)
    return answer


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class Quiet(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, body, headers):
        self.send_response(200)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Application(Quiet):
    """Answers with the token that it was given, and with the response headers that the request's `Script` dictates."""

    def do_GET(self):
        self.answer(self.headers["X-Session"].encode(), json.loads(self.headers.get("Script", "{}")))


class Publisher(Quiet):
    """Hands on the proxy's keys as they are, and counts who asked how often."""

    asked: dict
    origin: str

    def do_GET(self):
        self.asked[self.path] = self.asked.get(self.path, 0) + 1
        if self.path.startswith("/stranger"):
            return self.answer(b'{"keys":[]}', {})
        with urllib.request.urlopen(self.origin, timeout=5) as keys:
            self.answer(keys.read(), {name: keys.headers[name] for name in ("Content-Type", "Cache-Control")})


class Proxy:
    def __init__(self, binary, folder, algorithm, application):
        self.binary, self.folder, self.algorithm, self.application = binary, folder, algorithm, application
        self.port, self.application_port = free_port(), free_port()
        self.process = None
        for name in "k1", "k2", "k3":
            self.key(name).write_bytes(subprocess.check_output([binary, "keys", "new", "--algorithm", algorithm]))

    def key(self, name):
        return self.folder / name

    def jwks(self):
        return f"http://127.0.0.1:{self.application_port}/.well-known/jwks.json"

    def start(self, *keys):
        """The first of `keys` signs."""
        self.stop()
        keys = ", ".join(f'{{ id = "{name}", file = "{self.key(name)}" }}' for name in keys)
        config = self.folder / "cloakroom.toml"
        config.write_text(f"""
            listen = {{ address = "127.0.0.1:{self.port}" }}
            application = {{ address = "127.0.0.1:{self.application_port}" }}
            token = {{ algorithm = "{self.algorithm}", lifetime = "5m", keys = [{keys}] }}
            routes = [{{ path = "/", upstream = "app" }}, {{ path = "/other", upstream = "other" }}]
            [upstreams]
            app = {{ servers = ["http://127.0.0.1:{self.application}"] }}
            other = {{ servers = ["http://127.0.0.1:{self.application}"] }}
        """)
        with open(self.folder / "cloakroom.log", "ab") as log:
            self.process = subprocess.Popen([self.binary, "run", "--config", config], stderr=log)
        eventually("the proxy answers", self.answers)

    def answers(self):
        if self.process.poll() is not None:
            raise RuntimeError((self.folder / "cloakroom.log").read_text())
        try:
            return Browser(self).token() and urllib.request.urlopen(self.jwks(), timeout=5)
        except OSError:
            return None

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=15)

    def ask(self, method, token, body=None, **headers):
        """What the application listener says about a token's session."""
        connection = http.client.HTTPConnection("127.0.0.1", self.application_port, timeout=10)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, "/v1/session", body, {"Authorization": f"Bearer {token}", **headers})
        response = connection.getresponse()
        return response.status, response.headers["ETag"], response.read().decode()


class Browser:
    def __init__(self, proxy):
        self.port, self.cookie = proxy.port, None

    def token(self, path="/", update=None, control=None):
        """The token that the application gets with a request; its answer has these headers."""
        script = {"X-Session-Update": update, "X-Session-Control": control}
        headers = {"Script": json.dumps({name: value for name, value in script.items() if value})}
        if self.cookie:
            headers["Cookie"] = self.cookie
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        if response.status != 200:
            raise RuntimeError(f"{response.status} {body}")
        if cookie := response.headers["Set-Cookie"]:
            self.cookie = cookie.split(";")[0]
        return body


class Verifier:
    """A program that answers each line with a line."""

    def __init__(self, command, log, **environment):
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env={**os.environ, **environment}
        )
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line.decode().rstrip("\n"))
        self.lines.put("died")

    def __call__(self, token):
        try:
            self.process.stdin.write(token.encode() + b"\n")
            self.process.stdin.flush()
            return self.lines.get(timeout=30)
        except (OSError, queue.Empty) as error:
            return f"no answer: {error!r}"

    def stop(self):
        self.process.kill()
        self.process.wait()
