"""A stage for one measurement: a backend, a peer in front of it, sessions, and the proof that equal work is done."""

import base64
import hashlib
import hmac
import http.client
import json
import ssl
import time

import machine
import peers
from load import Failed

SESSIONS = 1000
SAMPLES = 10


class Stage:
    def __init__(self, folder, case, peer, binary, proxy_core, load_core, plan=None):
        self.folder, self.case, self.peer = folder, case, peer
        self.proxy_core, self.load_core = proxy_core, load_core
        self.plan = plan or {}
        self.processes = []
        ports = [machine.free_port() for _ in range(4)]
        self.port, self.plain, checked, self.redis_port = ports
        self.backend = self.start(peers.backend(folder, self.plain, checked, **self.plan.get("backend", {})), self.plain, load_core)
        if peer == "cloakroom" and case.store == "redis":
            self.redis = self.start(peers.redis(folder, self.redis_port), self.redis_port, load_core)
        loaded = case.session in ("live", "written", "vault")
        upstream = checked if peer == "cloakroom" and loaded else self.plain
        if peer == "cloakroom":
            (folder / "sessions.db").unlink(missing_ok=True)
            command = peers.cloakroom(folder, self.port, upstream, case, binary, self.redis_port)
        else:
            command = getattr(peers, peer)(folder, self.port, upstream, case)
        self.proxy = self.start([*self.plan.get("wrapper", []), *command], self.port, proxy_core)
        scheme = "https" if case.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self.port}{case.path}"
        self.cookies = self.log_in() if loaded else [""]
        self.cookie_file = folder / "cookies"
        self.cookie_file.write_text("\n".join(self.cookies) + "\n")

    def start(self, command, port, on):
        cores = on if isinstance(on, (set, frozenset)) else {on}
        process = machine.Process(command, cores, self.folder / "log")
        self.processes.append(process)
        machine.wait_for(port, process, 60.0)
        return process

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.stop()

    # ---- asking

    def connection(self):
        if not self.case.tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        context = ssl.create_default_context(cafile=self.folder / f"{peers.kind(self.case)}cert.pem")
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=20, context=context)

    def ask(self, connection, path, cookie=""):
        connection.request("GET", path, headers={"Cookie": cookie} if cookie else {})
        answer = connection.getresponse()
        return answer, answer.read()

    def log_in(self):
        """Cookies of as many sessions as there shall be, each as this peer keeps sessions."""
        path = "/vault-login" if self.case.session == "vault" else "/login"
        connection, cookies = self.connection(), []
        for number in range(self.plan.get("sessions", SESSIONS)):
            if self.peer in ("cloakroom", "apache"):
                answer, _ = self.ask(connection, path)
                lines = answer.headers.get_all("Set-Cookie") or []
                if len(lines) != 1:
                    raise Failed(f"{self.peer}: {len(lines)} cookies at the log-in")
                cookies.append(lines[0].split(";")[0])
            else:  # a cookie that means nothing here, as long as ours
                cookies.append("__Host-session=" + hashlib.sha512(str(number).encode()).hexdigest()[:107])
        connection.close()
        return cookies

    # ---- what the peer must do besides being fast

    def proof(self):
        """What every peer of this case must have in common."""
        connection = self.connection()
        seen = set()
        for cookie in self.cookies[:SAMPLES]:
            if connection.sock is None and seen:
                raise Failed(f"{self.peer} did not keep the connection")
            answer, body = self.ask(connection, self.case.path, cookie)
            seen.add((answer.status, len(body), hashlib.sha256(body).hexdigest()))
        if len(seen) != 1:
            raise Failed(f"{self.peer} answers {len(seen)} different things")
        encryption = (connection.sock.version(), connection.sock.cipher()[0]) if self.case.tls else None
        connection.close()
        return (*seen.pop(), encryption)

    def verify_tokens(self):
        """Sampled requests reach the application with a token of the right session, signed by the right key."""
        if self.peer != "cloakroom" or self.case.session is None:
            return 0
        connection = self.connection()
        step = max(1, len(self.cookies) // SAMPLES)
        handles = [self.verify(self.ask(connection, "/echo", cookie)[1].decode()) for cookie in self.cookies[::step]]
        connection.close()
        if self.cookies[0] and len(set(handles)) != len(handles):
            raise Failed("two sessions have the same handle")
        return len(handles)

    def verify(self, token):
        signed, _, tag = token.rpartition(".")
        wanted = hmac.new(peers.TOKEN_KEY, signed.encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(wanted, decoded(tag)):
            raise Failed("a token is not signed by our key")
        claims = json.loads(decoded(signed.split(".")[1]))
        fits = claims["iss"] == "cloakroom" and claims["aud"] == "app" and claims["exp"] > time.time()
        if not fits or ("sid" in claims) != bool(self.cookies[0]) or (len(token) > peers.LONG_TOKEN) != ("sid" in claims):
            raise Failed(f"a token says the wrong thing: {claims}")
        if "sid" in claims and self.case.session != "written" and "user" not in claims["data"]:
            raise Failed(f"a token has not the session's data: {claims}")
        return claims.get("sid")

    def reached_application(self):
        """Requests that the application has seen."""
        connection = http.client.HTTPConnection("127.0.0.1", self.plain, timeout=20)
        connection.request("GET", "/status")
        words = connection.getresponse().read().split()
        connection.close()
        return int(words[9])

    def store_commands(self):
        """How often Redis was asked what."""
        if not hasattr(self, "redis"):
            return {}
        with machine.socket.create_connection(("127.0.0.1", self.redis_port)) as link:
            link.sendall(b"INFO commandstats\r\nQUIT\r\n")
            text = b"".join(iter(lambda: link.recv(65536), b"")).decode()
        lines = (line.split(":") for line in text.splitlines() if line.startswith("cmdstat_"))
        return {name[8:]: int(rest.split(",")[0].split("=")[1]) for name, rest in lines}


def decoded(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
